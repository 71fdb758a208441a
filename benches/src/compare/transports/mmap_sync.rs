//! mmap-sync: bytes written into one of two files, and polled for a new version.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::time::Duration;

use mmap_sync::synchronizer::Synchronizer;
use zerocopy::IntoBytes;

use super::{Inlet, Outlet, Send, Transport, Visitor, check, fill, spin};
use crate::Outcome;
use crate::shared::directory;
use crate::sizes::SIZES;

/// How long a writer waits for a reader that holds the file it wants.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Frames of `WORDS` words.
pub(crate) struct Files<const WORDS: usize>(PhantomData<[u64; WORDS]>);

/// Finds the type for a size. Each frame is copied and checked, so the large ones are left out.
pub(crate) fn visit<V: Visitor>(len: usize, visitor: V) -> Outcome<V::Output> {
    const WORD: usize = size_of::<u64>();
    match len {
        _ if len == SIZES[0] => visitor.visit::<Files<{ SIZES[0] / WORD }>>(),
        _ if len == SIZES[1] => visitor.visit::<Files<{ SIZES[1] / WORD }>>(),
        _ if len == SIZES[2] => visitor.visit::<Files<{ SIZES[2] / WORD }>>(),
        _ => Err("it copies each frame, and has nothing to offer in place".into()),
    }
}

pub(crate) fn prefix(name: &str) -> PathBuf {
    directory().join(name)
}

/// Removes the files of a synchronizer, which nobody else does.
pub(crate) fn remove(prefix: &std::path::Path) {
    for part in ["state", "data_0", "data_1"] {
        let _ = std::fs::remove_file(format!("{}_{part}", prefix.display()));
    }
}

impl<const WORDS: usize> Transport for Files<WORDS> {
    type Outlet = FilesOutlet<WORDS>;
    type Inlet = FilesInlet<WORDS>;

    fn outlet(name: &str, _len: usize, _readers: usize) -> Outcome<FilesOutlet<WORDS>> {
        let prefix = prefix(name);
        let mut outlet = FilesOutlet {
            synchronizer: Synchronizer::new(prefix.as_os_str()),
            frame: [0; WORDS],
            prefix,
        };
        // Readers fail while there is no first version.
        (&mut outlet).send(0);
        Ok(outlet)
    }

    fn inlet(name: &str, _len: usize, _readers: usize) -> Outcome<FilesInlet<WORDS>> {
        let mut inlet = FilesInlet {
            synchronizer: Synchronizer::new(prefix(name).as_os_str()),
        };
        inlet.look();
        Ok(inlet)
    }
}

pub(crate) struct FilesOutlet<const WORDS: usize> {
    synchronizer: Synchronizer,
    frame: [u64; WORDS],
    prefix: PathBuf,
}

impl<const WORDS: usize> Drop for FilesOutlet<WORDS> {
    fn drop(&mut self) {
        remove(&self.prefix);
    }
}

impl<const WORDS: usize> Outlet for FilesOutlet<WORDS> {
    type Open<'a> = &'a mut Self;

    fn open(&mut self) -> &mut Self {
        self
    }
}

impl<const WORDS: usize> Send for &mut FilesOutlet<WORDS> {
    #[inline]
    fn send(&mut self, number: u64) {
        fill(&mut self.frame, number);
        self.synchronizer
            .write_raw::<[u64; WORDS]>(self.frame.as_bytes(), GRACE)
            .expect("a file with room");
    }
}

pub(crate) struct FilesInlet<const WORDS: usize> {
    synchronizer: Synchronizer,
}

impl<const WORDS: usize> FilesInlet<WORDS> {
    #[inline]
    fn look(&mut self) -> Option<u64> {
        // SAFETY: `read` asks that
        // - the result is dropped before the writer's time of grace is over: it lives for one line;
        // - the bytes are an archived value of that type: they are one of `write_raw` above, whose
        //   array of integers is its own archived form.
        let read = unsafe { self.synchronizer.read::<[u64; WORDS]>(false) };
        let frame = read.expect("an intact file");
        frame.is_switched().then(|| check(&frame[..]))
    }
}

impl<const WORDS: usize> Inlet for FilesInlet<WORDS> {
    #[inline]
    fn receive(&mut self) -> u64 {
        spin(|| self.look())
    }
}
