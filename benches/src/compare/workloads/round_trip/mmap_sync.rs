//! mmap-sync: raw bytes in, a checked copy out.

use std::cell::RefCell;
use std::hint::black_box;
use std::path::PathBuf;

use mmap_sync::synchronizer::Synchronizer;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::super::names::unique;
use super::{Size, Trips};
use crate::Outcome;
use crate::contender::Contender;
use crate::transports::mmap_sync::{GRACE, prefix, remove};

const COPY: Contender = Contender::mmap_sync("mmap-sync, raw copy");

pub(super) fn add<const N: usize>(size: &mut Size<'_>)
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    let files = RefCell::new(Files::new());
    size.add(
        COPY,
        Ok(move |trips: Trips<'_, N>| copies(&mut files.borrow_mut(), trips)),
    );
}

struct Files {
    writer: Synchronizer,
    reader: Synchronizer,
    prefix: PathBuf,
}

impl Files {
    fn new() -> Self {
        let prefix = prefix(&unique());
        Self {
            writer: Synchronizer::new(prefix.as_os_str()),
            reader: Synchronizer::new(prefix.as_os_str()),
            prefix,
        }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        remove(&self.prefix);
    }
}

fn copies<const N: usize>(files: &mut Files, trips: Trips<'_, N>) -> Outcome<()>
where
    [f32; N]: FromBytes + IntoBytes + Immutable + KnownLayout,
{
    trips.each(|source, sink| {
        files
            .writer
            .write_raw::<[f32; N]>(black_box(source).as_bytes(), GRACE)?;
        // SAFETY: `read` asks that
        // - the result is dropped before the writer's time of grace is over: the writer is this thread;
        // - the bytes are an archived value of that type: they are those written above, and an array
        //   of numbers is its own archived form.
        let frame = unsafe { files.reader.read::<[f32; N]>(false) }?;
        sink.copy_from_slice(&frame[..]);
        black_box(sink);
        Ok(())
    })
}
