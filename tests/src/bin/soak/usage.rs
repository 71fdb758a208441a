//! What a process has of the system: descriptors, mappings, threads, memory.

use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::{FromBytes, IntoBytes, KnownLayout};

use crate::failures::Failure;

/// What a process has at one moment.
#[derive(Debug, Default, FromBytes, IntoBytes, KnownLayout)]
#[repr(C)]
pub(crate) struct Usage {
    pub(crate) descriptors: AtomicU64,
    /// Mappings of files.
    pub(crate) mappings: AtomicU64,
    pub(crate) threads: AtomicU64,
    /// Resident memory that is not shared, in KiB.
    pub(crate) memory: AtomicU64,
}

/// How much more memory a process may have at the end, in KiB. An allocator keeps what it was given
/// back, and not the same each time.
pub(crate) const SLACK: u64 = 4096;

impl Usage {
    /// Looks at this process.
    pub(crate) fn of_this_process() -> Self {
        let usage = Self::default();
        usage.measure();
        usage
    }

    /// Looks at this process, and keeps it here.
    pub(crate) fn measure(&self) {
        let set = |word: &AtomicU64, value: usize| word.store(value as u64, Ordering::SeqCst);
        set(&self.descriptors, entries("/proc/self/fd"));
        set(&self.threads, entries("/proc/self/task"));
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        set(
            &self.mappings,
            maps.lines().filter(|map| map.contains(" /")).count(),
        );
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().find_map(|line| {
            let value = line.strip_prefix("RssAnon:")?;
            value.trim().strip_suffix(" kB")?.parse().ok()
        });
        set(&self.memory, memory.unwrap_or(0));
    }

    /// Returns what there is now that was not there `before`, by kind, and both in words.
    pub(crate) fn growth(&self, before: &Self) -> Vec<(Failure, u64, String)> {
        let kinds = [
            (
                Failure::Descriptor,
                &self.descriptors,
                &before.descriptors,
                0,
            ),
            (Failure::Mapping, &self.mappings, &before.mappings, 0),
            (Failure::Thread, &self.threads, &before.threads, 0),
            (Failure::Memory, &self.memory, &before.memory, SLACK),
        ];
        let grown = kinds.map(|(failure, after, before, slack)| {
            let (after, before) = (after.load(Ordering::SeqCst), before.load(Ordering::SeqCst));
            let more = after.saturating_sub(before + slack);
            (failure, more, format!("{before} before, {after} after"))
        });
        grown.into_iter().filter(|(_, more, _)| *more > 0).collect()
    }

    /// Returns the four values.
    pub(crate) fn values(&self) -> [u64; 4] {
        [
            &self.descriptors,
            &self.mappings,
            &self.threads,
            &self.memory,
        ]
        .map(|word| word.load(Ordering::SeqCst))
    }
}

fn entries(path: &str) -> usize {
    std::fs::read_dir(path).map_or(0, Iterator::count)
}
