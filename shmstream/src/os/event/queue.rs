//! Events on many files, in one queue (inotify).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::os::fork::Unshared;

/// What happened to a file that is watched, with the number of the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody wrote to it.
    Modified(i32),
    /// A name of it was taken away or changed.
    Renamed(i32),
    /// The queue was full, so anything may have happened to any file.
    Anything,
}

/// A queue of events.
#[derive(Debug)]
pub(crate) struct Queue(Unshared);

impl Queue {
    pub(crate) fn new() -> io::Result<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Unshared::new(queue).map(Self)
    }

    /// Watches an open file, whether it has a name or not, and returns the watch's number.
    ///
    /// A file that is watched already keeps its number. Numbers count up, and begin anew after 2^31.
    pub(crate) fn watch(&self, file: impl AsFd) -> io::Result<i32> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        // The number of names is an attribute of a file.
        let events = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        Ok(inotify::add_watch(&self.0, path, events)?)
    }

    /// Ends a watch.
    pub(crate) fn forget(&self, watch: i32) {
        // Fails when the kernel ended it before, as it does with a file that is gone.
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Takes all events out of the queue.
    pub(crate) fn drain(&self, mut event: impl FnMut(Event)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.0, &mut buffer);
        loop {
            let (watch, happened) = match events.next() {
                Ok(event) => (event.wd(), event.events()),
                Err(Errno::INTR) => continue,
                // Empty. Nothing else can be: the buffer has room for the longest event.
                Err(_) => return,
            };
            if happened.contains(ReadFlags::QUEUE_OVERFLOW) {
                event(Event::Anything);
            } else if happened.contains(ReadFlags::MODIFY) {
                event(Event::Modified(watch));
            } else if happened.intersects(ReadFlags::ATTRIB | ReadFlags::MOVE_SELF) {
                event(Event::Renamed(watch));
            }
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
