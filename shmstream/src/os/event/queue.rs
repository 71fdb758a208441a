//! Events on many files, in one queue (inotify).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    sendmsg, socketpair,
};

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
pub(crate) struct Queue {
    events: Unshared,
    /// See [`outlast`]. Without it everything works, and a death takes longer.
    _kept: Option<Unshared>,
}

impl Queue {
    pub(crate) fn new() -> io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            _kept: outlast(events.as_fd()).ok(),
            events: Unshared::new(events)?,
        })
    }

    /// Watches an open file, whether it has a name or not, and returns the watch's number.
    ///
    /// A file that is watched already keeps its number. Numbers count up, and begin anew after 2^31.
    pub(crate) fn watch(&self, file: impl AsFd) -> io::Result<i32> {
        let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        // The number of names is an attribute of a file.
        let events = WatchFlags::MODIFY | WatchFlags::ATTRIB | WatchFlags::MOVE_SELF;
        Ok(inotify::add_watch(&self.events, path, events)?)
    }

    /// Ends a watch.
    pub(crate) fn forget(&self, watch: i32) {
        // Fails when the kernel ended it before, as it does with a file that is gone.
        let _ = inotify::remove_watch(&self.events, watch);
    }

    /// Takes all events out of the queue.
    pub(crate) fn drain(&self, mut event: impl FnMut(Event)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = Reader::new(&self.events, &mut buffer);
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
        self.events.as_fd()
    }
}

/// Has a queue outlast everything else that the process has open, if the process is killed.
///
/// To take a queue down, the kernel waits until nobody in the system looks at any file's watches:
/// milliseconds, and hundreds on a busy machine. It closes what the process had open one by one, the
/// last opened first, so the locks of all streams that were opened before the queue would stay taken
/// meanwhile. A descriptor that lies in a socket and was never received is closed with the socket, in
/// another round behind all others.
fn outlast(queue: BorrowedFd<'_>) -> io::Result<Unshared> {
    let (kept, other) = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let kept = Unshared::new(kept)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let queue = [queue];
    rights.push(SendAncillaryMessage::ScmRights(&queue));
    sendmsg(
        other,
        &[IoSlice::new(&[0])],
        &mut rights,
        SendFlags::NOSIGNAL,
    )?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_outlasts_what_was_opened_before_it() {
        let queue = Queue::new().unwrap();
        let kept = queue._kept.as_ref().expect("sockets are allowed");
        let path = format!("/proc/self/fdinfo/{}", kept.as_fd().as_raw_fd());
        let info = std::fs::read_to_string(path).unwrap();
        let in_flight = info.lines().find_map(|line| line.strip_prefix("scm_fds:"));
        assert_eq!(in_flight.map(str::trim), Some("1"), "{info}");
    }
}
