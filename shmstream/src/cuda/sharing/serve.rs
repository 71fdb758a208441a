//! Handing memory on: one thread for all that this process has.
//!
//! It waits for nobody: who has connected and says nothing is hung up on after a while, and whoever may not
//! write to the stream's file is at once. It makes no call of the driver.
//!
//! But what a peer has sent can be of a file system that takes its time when it is looked at or closed. So
//! that happens outside the mutex: the thread may have to wait then, and no handle waits for the thread.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fs::{Timespec, fstat};

use super::{ASK, GIVE, Lacks, Refusal};
use crate::os::fork::{self, Unshared};
use crate::os::pass::{self, Peer, Received};
use crate::os::shm::FileId;
use crate::os::without_signals;

/// The thread's name, which the kernel cuts after 15 bytes.
const THREAD: &str = "shmstream-memory";
/// How long one who has connected may take for its question.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many may take their time at once; the first of them goes for one more.
const ASKERS: usize = 64;
/// How long not to look at sockets when there are no descriptors for those who connect.
const REST: Duration = Duration::from_millis(20);

/// What the thread and the handles share.
#[derive(Debug)]
pub(super) struct Server {
    /// The process, told from those that it forks.
    generation: u32,
    /// Where all sockets are watched.
    watched: Arc<Unshared>,
    state: Mutex<State>,
}

/// A socket that the thread watches.
#[derive(Debug)]
struct Watched {
    socket: Unshared,
    by: Arc<Unshared>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        // By itself: where a child has the socket too, forked before the descriptor was in charge, or with
        // none of the hooks of `fork`, closing it here leaves it watched, and readable for ever. There is
        // nobody to tell if it fails.
        let _ = epoll::delete(&*self.by, &self.socket);
    }
}

#[derive(Debug, Default)]
struct State {
    /// The number of what is watched next. None is given twice, so that a late event is told from others.
    next: u64,
    offers: HashMap<u64, Offered>,
    /// In the order in which they came.
    askers: BTreeMap<u64, Asker>,
}

/// Memory, and where it is asked for.
#[derive(Debug)]
struct Offered {
    listener: Watched,
    goods: Goods,
}

/// Memory, and the stream's file, which whoever wants it has to show.
#[derive(Clone, Debug)]
struct Goods {
    file: Arc<Unshared>,
    memory: Arc<Unshared>,
}

/// One who has connected.
#[derive(Debug)]
struct Asker {
    connection: Watched,
    offer: u64,
    until: Instant,
}

/// Memory that is handed on until this is dropped.
#[derive(Debug)]
pub(in crate::cuda) struct Offer {
    server: Arc<Server>,
    number: u64,
}

impl Server {
    /// Returns the server of this process, and starts it if there is none.
    pub(super) fn current() -> Result<Arc<Self>, Refusal> {
        static CURRENT: Mutex<Option<Arc<Server>>> = Mutex::new(None);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        match &*current {
            // In a forked child the parent's is there, without its thread.
            Some(server) if server.generation == fork::generation() => Ok(Arc::clone(server)),
            _ => {
                let server = Self::start()?;
                *current = Some(Arc::clone(&server));
                Ok(server)
            }
        }
    }

    /// Starts another, which no other stream uses.
    pub(super) fn start() -> Result<Arc<Self>, Refusal> {
        let refused = |operation| move |error| Lacks::Other.refusal(operation, error);
        let watched = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from);
        let watched = watched.and_then(Unshared::new);
        let server = Arc::new(Self {
            generation: fork::generation(),
            watched: Arc::new(watched.map_err(refused("watch sockets"))?),
            state: Mutex::default(),
        });
        let its = Arc::clone(&server);
        let (unborn, born) = channel::<()>();
        let run = move || {
            drop(unborn);
            its.run();
        };
        let thread = thread::Builder::new().name(THREAD.to_owned());
        without_signals(|| thread.spawn(run))
            .map_err(refused("start the thread that hands device memory on"))?;
        // As for the thread that watches streams: its own memory is asked for now or never.
        let _ = born.recv();
        Ok(server)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here can be left half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, socket: Unshared, number: u64) -> io::Result<Watched> {
        let data = epoll::EventData::new_u64(number);
        epoll::add(&*self.watched, &socket, data, epoll::EventFlags::IN)?;
        Ok(Watched {
            socket,
            by: Arc::clone(&self.watched),
        })
    }

    /// Returns how many sockets are watched.
    #[cfg(test)]
    pub(super) fn watched(&self) -> usize {
        use std::os::fd::{AsFd, AsRawFd};
        let number = self.watched.as_fd().as_raw_fd();
        let about = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
        about.unwrap().matches("tfd:").count()
    }

    /// Hands memory on to those who connect to `listener` and have the stream's file.
    pub(super) fn offer(
        self: &Arc<Self>,
        listener: Unshared,
        file: &Arc<Unshared>,
        memory: &Arc<Unshared>,
    ) -> io::Result<Offer> {
        let mut state = self.state();
        let number = state.draw();
        let offered = Offered {
            listener: self.watch(listener, number)?,
            goods: Goods {
                file: Arc::clone(file),
                memory: Arc::clone(memory),
            },
        };
        state.offers.insert(number, offered);
        drop(state);
        Ok(Offer {
            server: Arc::clone(self),
            number,
        })
    }

    /// What the thread does, as long as the process lives.
    fn run(&self) {
        let mut next_end = None;
        loop {
            let mut tired = false;
            for number in self.sleep(next_end) {
                if self.state().offers.contains_key(&number) {
                    tired |= self.admit(number).is_err();
                } else {
                    self.answer(number);
                }
            }
            next_end = self.hang_up_on_the_late();
            if tired {
                // Who has connected stays readable until there are descriptors again.
                thread::sleep(REST);
            }
        }
    }

    /// Hangs up on those who took too long, and returns when the next of them will have.
    fn hang_up_on_the_late(&self) -> Option<Instant> {
        // Declared first, as below, so that it goes behind the mutex.
        let mut late = Vec::new();
        let mut state = self.state();
        let now = Instant::now();
        while let Some(first) = state.askers.first_entry() {
            if first.get().until > now {
                return Some(first.get().until);
            }
            late.push(first.remove());
        }
        None
    }

    /// Sleeps until something can be read, or a time has come; returns the numbers of what can be read.
    fn sleep(&self, until: Option<Instant>) -> Vec<u64> {
        let timeout = until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            // Rounded up where the kernel counts milliseconds.
            let left = left + Duration::from_millis(1);
            Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut space = [MaybeUninit::uninit(); 16];
        match epoll::wait(&*self.watched, &mut space, timeout.as_ref()) {
            Ok((events, _)) => events.iter().map(|event| event.data.u64()).collect(),
            // Interrupted: by a debugger, since the thread gets no signals.
            Err(_) => Vec::new(),
        }
    }

    /// Takes one who has connected; fails for lack of descriptors.
    fn admit(&self, offer: u64) -> io::Result<()> {
        let (_refused, _displaced);
        let mut state = self.state();
        let Some(offered) = state.offers.get(&offer) else {
            return Ok(());
        };
        let Some(connection) = pass::accept(&offered.listener.socket)? else {
            return Ok(());
        };
        // Before anything is taken from it: descriptors of strangers can make whoever closes them wait.
        if !offered.goods.admits(&connection) {
            _refused = connection;
            return Ok(());
        }
        let number = state.draw();
        let asker = Asker {
            connection: self.watch(connection, number)?,
            offer,
            until: Instant::now() + PATIENCE,
        };
        if state.askers.len() >= ASKERS {
            _displaced = state.askers.pop_first();
        }
        state.askers.insert(number, asker);
        Ok(())
    }

    /// Answers one who has asked, and hangs up.
    fn answer(&self, number: u64) {
        let Some((asker, goods)) = self.state().take(number) else {
            return;
        };
        let connection = &asker.connection.socket;
        let shown = match pass::receive(connection, ASK) {
            Received::Nothing => {
                let _gone = self.state().put_back(number, asker);
                return;
            }
            Received::Descriptor(shown) => shown,
            Received::Cut | Received::Other => return,
        };
        if goods.is_for_writing(shown) {
            // Fails when it has hung up. Who has not holds the lock on the memory, whatever became of this
            // offer meanwhile.
            let _ = pass::send(connection, GIVE, &*goods.memory);
        }
    }
}

impl State {
    fn draw(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Takes out one who has asked, with what it is about.
    fn take(&mut self, number: u64) -> Option<(Asker, Goods)> {
        let asker = self.askers.remove(&number)?;
        let goods = self.offers.get(&asker.offer)?.goods.clone();
        Some((asker, goods))
    }

    /// Undoes that for one who has said nothing yet, or returns it if nothing is offered any more.
    fn put_back(&mut self, number: u64, asker: Asker) -> Option<Asker> {
        match self.offers.contains_key(&asker.offer) {
            true => self.askers.insert(number, asker),
            false => Some(asker),
        }
    }
}

impl Goods {
    /// Returns whether a peer may write to the stream's file, as its mode says.
    fn admits(&self, connection: &Unshared) -> bool {
        let (Ok(peer), Ok(stat)) = (Peer::of(connection), fstat(&*self.file)) else {
            return false;
        };
        peer.is_user(rustix::process::geteuid().as_raw())
            || peer.may_write(stat.st_uid, stat.st_gid, stat.st_mode)
    }

    /// Returns whether a descriptor is of the stream's file, and can write to it.
    fn is_for_writing(&self, shown: impl std::os::fd::AsFd) -> bool {
        let own = FileId::of(&*self.file);
        pass::is_for_writing(&shown) && own.is_ok() && FileId::of(shown) == own
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        // A forked child has nothing of it, and its mutex may be locked for ever.
        if self.server.generation != fork::generation() {
            return;
        }
        let (_offered, _askers);
        let mut state = self.server.state();
        _offered = state.offers.remove(&self.number);
        let askers = std::mem::take(&mut state.askers).into_iter();
        (_askers, state.askers) =
            askers.partition::<BTreeMap<_, _>, _>(|(_, asker)| asker.offer == self.number);
    }
}
