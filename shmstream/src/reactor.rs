//! Waking tasks and descriptors when streams change: one thread for all of them.
//!
//! A thread that waits by itself sleeps on the stream's [`Signal`](crate::protocol::Signal). Whoever
//! cannot sleep sets the signal's other bit, and the next to publish makes an event on the stream's
//! file for it. All these events arrive in one queue, and one thread per process waits for that
//! queue, however many streams there are and whoever waits for them:
//!
//! 1. a task is put on the list of the stream's [`Watch`], and the kernel is asked for events;
//! 2. the bit is set, and the task looks once more whether there is something to read;
//! 3. the thread gets an event, compares the stream's count with what each on the list has seen, and
//!    wakes them.
//!
//! An event can fail to come: a writer may die between publishing and making it. So while the kernel
//! is asked for events of any stream, the thread also compares the counts each [`LOOK_AGAIN`], which
//! costs a look into shared memory and one at the file's size for each of these streams. On the same occasion
//! it gives back the kernel's watches of streams that nobody waits for any more; without any, it
//! sleeps until somebody asks for the next.
//!
//! Threads, descriptors and locked mutexes do not survive a `fork` in a useful way, so the child of a
//! process that has a reactor makes its own, and leaves the old one alone.

mod watch;

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;

use crate::error::Error;
use crate::name::StreamName;
use crate::os::event::{Bell, Event, Queue};
use crate::os::fork;
use crate::os::shm::FileId;
use crate::write_lock::LOOK_AGAIN;

pub(crate) use watch::{Place, Subject, Waiter, Watch, Whom};

/// The thread's name, which the kernel cuts after 15 bytes.
const THREAD: &str = "shmstream-events";

/// What the thread and those who wait share.
pub(crate) struct Reactor {
    /// The process, told from those that it forks.
    generation: u32,
    queue: Queue,
    /// Rung when the thread has to look for its timeout anew.
    bell: Bell,
    /// Locked before a watch's own state, if both are.
    watches: Mutex<Watches>,
}

/// The watches of a reactor.
#[derive(Default)]
struct Watches {
    /// All of them. A watch keeps its file in existence, so no other file has its id.
    of_file: HashMap<FileId, Weak<Watch>>,
    /// Those that the kernel was asked for, by the kernel's number.
    numbered: HashMap<i32, Weak<Watch>>,
}

/// Why there is no reactor, or why it cannot watch a stream.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No queue of events.
    Queue(io::Error),
    /// No descriptor to ring.
    Bell(io::Error),
    Thread(io::Error),
    /// No watch on the file.
    Watch(io::Error),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing here can be left half changed by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reactor {
    /// Returns the reactor of this process, and starts it if there is none.
    pub(crate) fn current() -> Result<Arc<Self>, Refusal> {
        static CURRENT: Mutex<Option<Arc<Reactor>>> = Mutex::new(None);
        let mut current = locked(&CURRENT);
        match &*current {
            // In a forked child the parent's is there, without its thread.
            Some(reactor) if reactor.generation == fork::generation() => Ok(Arc::clone(reactor)),
            _ => {
                let reactor = Self::start()?;
                *current = Some(Arc::clone(&reactor));
                Ok(reactor)
            }
        }
    }

    fn start() -> Result<Arc<Self>, Refusal> {
        let reactor = Arc::new(Self {
            generation: fork::generation(),
            bell: Bell::new().map_err(Refusal::Bell)?,
            queue: Queue::new().map_err(Refusal::Queue)?,
            watches: Mutex::default(),
        });
        let its = Arc::clone(&reactor);
        let (unborn, born) = channel::<()>();
        let thread = thread::Builder::new().name(THREAD.to_owned());
        let run = move || {
            drop(unborn);
            its.run();
        };
        thread.spawn(run).map_err(Refusal::Thread)?;
        // The thread asks for memory before it comes to its work, and ends the program where it gets none. So
        // that is now or never, and not when the caller has gone on and set itself a limit.
        let _ = born.recv();
        Ok(reactor)
    }

    /// What the thread does, as long as the process lives.
    fn run(&self) {
        let mut woken = Vec::new();
        let mut next_look = Instant::now();
        loop {
            // Whoever puts the first watch there rings, so this sees it or the poll returns.
            let watching = !locked(&self.watches).numbered.is_empty();
            let rung = self.sleep(watching.then_some(next_look));
            if rung {
                self.bell.silence();
                next_look = Instant::now() + LOOK_AGAIN;
            }
            self.queue.drain(|event| self.handle(event, &mut woken));
            if watching && Instant::now() >= next_look {
                next_look = Instant::now() + LOOK_AGAIN;
                self.look_again(&mut woken);
            }
        }
    }

    /// Sleeps until there are events, the bell is rung, or the time has come; says whether the bell
    /// was rung.
    fn sleep(&self, until: Option<Instant>) -> bool {
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut sources = [
            PollFd::new(&self.bell, PollFlags::IN),
            PollFd::new(&self.queue, PollFlags::IN),
        ];
        // Fails when a signal handler ran in this thread; then everything is looked at in vain.
        let _ = poll(&mut sources, timeout.as_ref());
        sources[0].revents().contains(PollFlags::IN)
    }

    /// Wakes those whom an event concerns.
    fn handle(&self, event: Event, woken: &mut Vec<Waker>) {
        let numbered = |number| locked(&self.watches).numbered.get(&number)?.upgrade();
        match event {
            // Without a watch: it was given back meanwhile.
            Event::Modified(number) => {
                if let Some(watch) = numbered(number) {
                    watch.look(woken);
                }
            }
            Event::Renamed(number) => {
                if let Some(watch) = numbered(number) {
                    watch.doubt();
                }
            }
            Event::Anything => {
                for watch in self.numbered() {
                    watch.doubt();
                    watch.look(woken);
                }
            }
        }
        wake(woken);
    }

    /// Looks whether an event was missed, and gives back what nobody needs.
    fn look_again(&self, woken: &mut Vec<Waker>) {
        for watch in self.numbered() {
            if watch.is_idle() {
                watch.pause();
            } else {
                watch.look_again(woken);
            }
        }
        wake(woken);
    }

    /// Returns the watches that the kernel was asked for.
    ///
    /// By themselves, and not under the lock: the last reference to a watch takes it when it goes.
    fn numbered(&self) -> Vec<Arc<Watch>> {
        let watches = locked(&self.watches);
        watches
            .numbered
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

/// Wakes tasks. No lock may be held: a waker runs what an executor wants to.
fn wake(woken: &mut Vec<Waker>) {
    for waker in woken.drain(..) {
        // A waker that panics is the executor's mistake, and must not cost others their events.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waker.wake()));
    }
}

impl Refusal {
    /// Says it as an error of the stream that was to be waited for.
    #[cold]
    fn on(self, name: &StreamName) -> Error {
        let limited = |operation, limit, source| Error::Limit {
            name: name.clone(),
            operation,
            limit,
            source,
        };
        match self {
            Self::Queue(source) if is(&source, Errno::MFILE) => limited(
                "watch its file",
                "inotify instances of the user, or open files of the process; raise the sysctl \
                 fs.inotify.max_user_instances or RLIMIT_NOFILE (`ulimit -n`)",
                source,
            ),
            Self::Watch(source) if is(&source, Errno::NOSPC) => limited(
                "watch its file",
                "inotify watches of the user; raise the sysctl fs.inotify.max_user_watches",
                source,
            ),
            Self::Thread(source) if is(&source, Errno::AGAIN) => limited(
                "start the thread that watches streams",
                "threads of the user, or tasks of the control group; raise RLIMIT_NPROC \
                 (`ulimit -u`) or pids.max",
                source,
            ),
            Self::Thread(source) => {
                Error::os(name, "start the thread that watches streams", source)
            }
            Self::Bell(source) => Error::os(name, "make an eventfd", source),
            Self::Queue(source) | Self::Watch(source) => Error::os(name, "watch its file", source),
        }
    }
}

fn is(error: &io::Error, number: Errno) -> bool {
    Errno::from_io_error(error) == Some(number)
}
