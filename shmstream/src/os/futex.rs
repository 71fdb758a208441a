//! Sleeping on a word that processes share.

use std::io;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slept {
    /// Somebody called, or the word had another value, or there was a signal.
    Awoken,
    /// To the end of the time.
    Through,
}

/// Sleeps while `word` holds `value`, at most for `timeout`.
///
/// May return earlier. The caller looks at what it waits for again.
pub(crate) fn wait(word: &AtomicU32, value: u32, timeout: Duration) -> io::Result<Slept> {
    let timeout = Timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // Without `PRIVATE`: the word is shared between processes.
    match futex::wait(word, futex::Flags::empty(), value, Some(&timeout)) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR) => Ok(Slept::Awoken),
        // The memory is gone, which whoever looks at the file after a whole sleep finds out.
        Err(Errno::TIMEDOUT | Errno::FAULT) => Ok(Slept::Through),
        Err(error) => Err(error.into()),
    }
}

/// Wakes everybody who sleeps on `word`.
///
/// Cannot fail for a word in a mapping.
pub(crate) fn wake_all(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), u32::MAX >> 1);
}
