//! Which process this is, after a fork and in handles.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::config;

static OWNER: AtomicU32 = AtomicU32::new(0);

/// Remembers the process that initialized the driver.
pub(crate) fn claim() {
    OWNER.store(std::process::id(), Ordering::Release);
}

/// Returns whether this process got the driver's state from its parent.
pub(crate) fn is_forked() -> bool {
    let owner = OWNER.load(Ordering::Acquire);
    owner != 0 && owner != std::process::id()
}

/// Returns the process id as the driver sees it: in two containers it may be the same.
pub(crate) fn visible_pid() -> u32 {
    config().pid.unwrap_or_else(std::process::id)
}
