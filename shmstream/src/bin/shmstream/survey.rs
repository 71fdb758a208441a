//! A look at every stream there is.

use shmstream::{Error, Result, Status, StreamName};

/// A stream that is listed, and how it is or why that is not known.
pub(crate) struct Found {
    pub(crate) name: StreamName,
    pub(crate) status: Result<Status>,
}

/// Looks at every stream; those that go away meanwhile are left out.
pub(crate) fn all() -> Result<Vec<Found>> {
    let looked = shmstream::list()?.into_iter().map(|name| Found {
        status: shmstream::stat(&name),
        name,
    });
    let there = |found: &Found| {
        !matches!(
            found.status,
            Err(Error::NotFound { .. } | Error::Foreign { .. })
        )
    };
    Ok(looked.filter(there).collect())
}

/// Says whether a live process is attached to the stream.
pub(crate) fn is_used(status: &Status) -> bool {
    status.participants.iter().any(|one| one.alive)
}
