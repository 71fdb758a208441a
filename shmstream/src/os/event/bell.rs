//! A descriptor that becomes readable when somebody says so.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::os::fork::Unshared;

/// A descriptor that is readable from a [`ring`](Self::ring) to the next [`silence`](Self::silence).
#[derive(Debug)]
pub(crate) struct Bell(Unshared);

impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Unshared::new(event).map(Self)
    }

    pub(crate) fn ring(&self) {
        // Fails only when it was rung 2^64 - 2 times in a row, and is readable then.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    pub(crate) fn silence(&self) {
        // Fails when it was not rung.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
