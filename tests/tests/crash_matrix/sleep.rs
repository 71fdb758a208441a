//! Noticing that a thread sleeps.

use std::fs;
use std::thread;
use std::time::Duration;

use shmstream_tests::tell;

/// How often in a row a thread must be found asleep.
const LOOKS: u32 = 4;

/// Calls `before` once the calling thread sleeps in the kernel, and then tells the parent `asleep`.
pub(crate) fn tell_when_asleep(before: impl FnOnce() + Send + 'static) {
    // SAFETY: `gettid` asks for nothing.
    let thread = unsafe { libc::gettid() };
    let stat = format!("/proc/self/task/{thread}/stat");
    thread::spawn(move || {
        let mut looks = 0;
        while looks < LOOKS {
            let stat = fs::read_to_string(&stat).unwrap_or_default();
            // The state comes behind the name, which is in brackets.
            let asleep = stat
                .rsplit(')')
                .next()
                .is_some_and(|rest| rest.starts_with(" S"));
            looks = if asleep { looks + 1 } else { 0 };
            thread::sleep(Duration::from_micros(300));
        }
        before();
        tell("asleep");
    });
}
