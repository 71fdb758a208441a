//! All streams of the machine: list, unlink by name, purge.

use super::file::{mark_unlinked, read_header, with_remedy};
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::os::shm::{Directory, Standing};

/// How often `unlink` starts again because the name was given to another stream in between.
const ATTEMPTS: u32 = 1000;

/// Lists the streams on this machine, sorted by name; those of other users as well.
///
/// Damaged streams are listed, so that they can be unlinked. Files that only look like streams by
/// their names are not, as far as their modes let this user tell.
///
/// # Errors
///
/// [`Error::Os`] when the directory of streams cannot be read.
///
/// # Examples
///
/// ```
/// let stream = shmstream::Stream::<f32, 1>::temporary()?;
/// assert!(shmstream::list()?.contains(stream.name()));
/// # Ok::<(), shmstream::Error>(())
/// ```
pub fn list() -> Result<Vec<StreamName>> {
    let directory = Directory::current();
    let mut names = directory.list()?;
    names.retain(|(name, _)| !is_foreign(&directory, name));
    Ok(names.into_iter().map(|(name, _)| name).collect())
}

fn is_foreign(directory: &Directory, name: &StreamName) -> bool {
    let header = directory
        .open_to_look(name)
        .and_then(|(file, file_len)| read_header(directory, name, &file, file_len));
    matches!(header, Err(Error::Foreign { .. } | Error::NotFound { .. }))
}

/// Takes a stream's name away.
///
/// Those who have it open go on with it, and its memory is freed with the last of them. Works on
/// damaged streams and on those of another version. If the name is given to a new stream meanwhile,
/// that one is unlinked.
///
/// # Errors
///
/// - [`Error::InvalidName`], [`Error::NotFound`];
/// - [`Error::Foreign`] when the file is no stream, [`Error::OtherUser`] when it is not this user's:
///   both stay where they are;
/// - [`Error::Limit`], [`Error::Os`].
///
/// # Examples
///
/// ```
/// # let name = format!("doc-unlink-{}", std::process::id());
/// shmstream::Stream::<f32, 1>::create(&name)?;
/// shmstream::unlink(&name)?;
/// assert!(shmstream::unlink(&name).is_err());
/// # Ok::<(), shmstream::Error>(())
/// ```
pub fn unlink(name: impl AsRef<[u8]>) -> Result<()> {
    let name = StreamName::new(name)?;
    let directory = Directory::current();
    let mut attempt = 0;
    loop {
        match unlink_once(&directory, &name)? {
            Standing::Same => return Ok(()),
            Standing::Other if attempt < ATTEMPTS => attempt += 1,
            Standing::Other | Standing::Nothing => {
                return Err(Error::NotFound {
                    name,
                    dir: directory.path().to_owned(),
                });
            }
        }
    }
}

fn unlink_once(directory: &Directory, name: &StreamName) -> Result<Standing> {
    let (file, file_len) = directory
        .open(name, false)
        .map_err(|error| with_remedy(error, "only that user can unlink it"))?;
    let header = match read_header(directory, name, &file, file_len) {
        Ok(header) => Some(header),
        // Nobody can open it any more, and where the flag lies is not known.
        Err(Error::Corrupt { .. } | Error::Version { .. }) => None,
        Err(error) => return Err(error),
    };
    directory.unlink(name, &file, || match &header {
        Some(header) => mark_unlinked(name, &file, header),
        None => Ok(()),
    })
}

/// What [`purge`] did.
#[derive(Debug)]
#[non_exhaustive]
pub struct Purged {
    /// The streams that were unlinked.
    pub unlinked: Vec<StreamName>,
    /// Those that were not, and why.
    pub failed: Vec<(StreamName, Error)>,
}

/// Unlinks every stream of this user, also those in use.
///
/// Those who have one open go on with it. Streams of other users stay, and so do files that are no
/// streams. One that cannot be unlinked does not keep the others from it.
///
/// # Errors
///
/// [`Error::Os`] when the directory of streams cannot be read.
pub fn purge() -> Result<Purged> {
    let mut purged = Purged {
        unlinked: Vec::new(),
        failed: Vec::new(),
    };
    for (name, ours) in Directory::current().list()? {
        if !ours {
            continue;
        }
        match unlink(&name) {
            Ok(()) => purged.unlinked.push(name),
            // No stream, or somebody else was faster.
            Err(Error::Foreign { .. } | Error::NotFound { .. }) => {}
            Err(error) => purged.failed.push((name, error)),
        }
    }
    Ok(purged)
}
