//! What a frame carries.

use shmstream::{Bool, ShmPayload};

pub(crate) const MAX_CORES: usize = 64;

/// The machine at one moment.
///
/// Counters are sums since the machine started, as the kernel has them, and not rates: a viewer
/// computes rates over the frames that it saw, so they are right also when it missed some.
#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
pub(crate) struct Sample {
    pub(crate) cpu: Ticks,
    pub(crate) cores: [Ticks; MAX_CORES],
    pub(crate) memory: Memory,
    pub(crate) network: Network,
    /// Averages over 1, 5 and 15 minutes.
    pub(crate) load: [f32; 3],
    /// How many of `cores` mean something.
    pub(crate) core_count: u32,
    pub(crate) known: Known,
    /// No frame follows. The latest frame stays in the stream, so no viewer misses this.
    pub(crate) last: Bool,
    // A payload has no hidden padding: without these bytes the derive says that three are missing.
    pub(crate) reserved: [u8; 3],
}

/// The time that processors have spent, in the kernel's ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmPayload)]
#[repr(C)]
pub(crate) struct Ticks {
    pub(crate) busy: u64,
    pub(crate) total: u64,
}

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmPayload)]
#[repr(C)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    /// What programs could still get.
    pub(crate) available: u64,
}

/// In bytes, over all interfaces but the loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ShmPayload)]
#[repr(C)]
pub(crate) struct Network {
    pub(crate) received: u64,
    pub(crate) sent: u64,
}

/// Which figures the machine gave. The others are zero.
#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
pub(crate) struct Known {
    pub(crate) cpu: Bool,
    pub(crate) memory: Bool,
    pub(crate) network: Bool,
    pub(crate) load: Bool,
}

impl Ticks {
    /// Returns the busy share since `before`, from 0 to 1, or `None` if no tick lies between.
    pub(crate) fn share_since(self, before: Self) -> Option<f64> {
        let total = self.total.saturating_sub(before.total);
        // The kernel's counters of idle time may run backwards a little.
        let busy = self.busy.saturating_sub(before.busy).min(total);
        (total > 0).then(|| busy as f64 / total as f64)
    }
}

impl Memory {
    pub(crate) const fn used(self) -> u64 {
        self.total.saturating_sub(self.available)
    }
}
