//! Shared memory as bare as it comes: what the floors are made of.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw};
use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::Outcome;

/// Returns the directory where streams live, and everything else that is shared here.
pub(crate) fn directory() -> PathBuf {
    match std::env::var_os("SHMSTREAM_DIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ => "/dev/shm".into(),
    }
}

/// Maps shared memory without a name, with its page tables filled, as a prefaulted stream is mapped.
pub(crate) fn anonymous(len: usize) -> Outcome<MmapMut> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(directory(), flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, len as u64)?;
    let file = File::from(file);
    // SAFETY: `map_mut` asks that nobody changes the file behind the map: it has no name, and its
    // only descriptor is closed when this function returns.
    let map = unsafe { MmapMut::map_mut(&file) }?;
    map.advise(Advice::PopulateWrite)?;
    Ok(map)
}

/// Private memory with its pages in place.
///
/// Large buffers are in huge pages where the system has them, as NumPy's are: everybody's payloads
/// come from and go to the same kind of memory.
pub(crate) fn private(len: usize, pages: Pages) -> Outcome<MmapMut> {
    // Room to begin at a huge page.
    let mut map = MmapMut::map_anon(len)?;
    let advice = match pages {
        Pages::Huge => Advice::HugePage,
        Pages::Small => Advice::NoHugePage,
    };
    // A kernel without them says no.
    let _ = map.advise(advice);
    map.fill(1);
    Ok(map)
}

/// What a mapping is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    Small,
    Huge,
}

impl Pages {
    /// NumPy's choice for an array of `len` bytes.
    pub(crate) const fn for_len(len: usize) -> Self {
        if len < 4 << 20 {
            Self::Small
        } else {
            Self::Huge
        }
    }
}

/// A few words in a file that two processes map.
pub(crate) struct Words {
    /// INVARIANT: [`Self::LEN`] bytes, all of them atomics.
    map: MmapRaw,
    path: Option<PathBuf>,
}

impl Words {
    const LEN: usize = 4096;

    /// Makes the file, which is gone with the result.
    pub(crate) fn create(name: &str) -> Outcome<Self> {
        let path = directory().join(name);
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        file.set_len(Self::LEN as u64)?;
        let mut words = Self::map(&file)?;
        words.path = Some(path);
        Ok(words)
    }

    /// Maps the file that another process has made.
    pub(crate) fn open(name: &str) -> Outcome<Self> {
        let path: &Path = &directory().join(name);
        Self::map(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn map(file: &File) -> Outcome<Self> {
        let map = MmapOptions::new().len(Self::LEN).map_raw(file)?;
        // INVARIANT (map): the length is that of the map.
        Ok(Self { map, path: None })
    }

    /// The word that carries the number.
    #[inline]
    pub(crate) fn number(&self) -> &AtomicU64 {
        // SAFETY: `from_ptr` asks for
        // - alignment: a mapping begins on a page;
        // - validity for reads and writes while the result lives: it borrows the mapping (invariant);
        // - no access that is not atomic meanwhile: there is none but by these methods, in any process.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast()) }
    }

    /// The word to sleep on, on the same line.
    #[inline]
    pub(crate) fn futex(&self) -> &AtomicU32 {
        let word = self.map.as_mut_ptr().wrapping_add(size_of::<u64>());
        // SAFETY: as above; 8 is a multiple of the alignment, and the word does not overlap the other.
        unsafe { AtomicU32::from_ptr(word.cast()) }
    }

    /// A line of eight words, on a pair of lines of its own. There are two.
    #[inline]
    pub(crate) fn line(&self, number: u64) -> &[AtomicU64; 8] {
        let line = self
            .map
            .as_mut_ptr()
            .wrapping_add(if number.is_multiple_of(2) { 1024 } else { 2048 });
        // SAFETY: the reference asks for
        // - alignment: a mapping begins on a page, and the offsets are multiples of 8;
        // - validity while it lives: 64 bytes from either lie in the mapping (invariant), which it borrows;
        // - no access that is not atomic meanwhile: as above; a fresh file is zeros, which atomics may be.
        unsafe { &*line.cast() }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }
}
