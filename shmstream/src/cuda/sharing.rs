//! Device memory that processes hand to each other by descriptors.
//!
//! Each handle that has the memory of a stream holds the lock on one byte of the stream's file, together
//! with the others, and listens on a socket whose name has a number that it draws and leaves in its row. Who
//! wants the memory takes the lock *before* it asks, and gives it back if nobody hands the memory over. So
//! whoever has the memory has held the lock since a moment at which another had both; and once the lock is
//! free, the memory is gone for good and the name can be given away.
//!
//! The lock goes when a process dies, and so do its sockets: nothing is left behind, and no number of a
//! process is asked for.

mod ask;
mod serve;

use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::gpu::{Holders, Problem};
use crate::layout::Sharing;
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::pass::{self, Word};
use crate::os::{draw, lock, shm};
use crate::stream::handle::{EXPORTER, Handle};
pub(super) use ask::PATIENCE;
pub(super) use serve::Offer;
use serve::Server;

/// What who wants memory says; the stream's file goes with it.
const ASK: &Word = b"shmstream ask  1";
/// What it gets; the memory goes with it.
const GIVE: &Word = b"shmstream give 1";

/// Returns the name of the socket of a row. The number in it makes it nobody else's: who cannot read the
/// row cannot take the name first, and it is not that of the row's owner before.
fn socket_name(instance: [u8; 16], row: usize, number: NonZeroU64) -> Vec<u8> {
    let instance = u128::from_be_bytes(instance);
    format!("shmstream.{instance:032x}.{row}.{number:016x}").into_bytes()
}

/// What it takes to hand memory on, but for the memory.
#[derive(Debug)]
pub(super) struct Ready {
    server: Arc<Server>,
    socket: Unshared,
}

/// Why memory cannot be handed on from here.
#[derive(Debug)]
pub(super) struct Refusal {
    operation: &'static str,
    source: io::Error,
    lacks: Lacks,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// A socket with a name, which a sandbox can forbid.
    Socket,
    /// Anything else.
    Other,
}

impl Lacks {
    fn refusal(self, operation: &'static str, source: impl Into<io::Error>) -> Refusal {
        let source = source.into();
        Refusal {
            operation,
            source,
            lacks: self,
        }
    }
}

impl Ready {
    /// Starts what is needed for it.
    pub(super) fn new() -> Result<Self, Refusal> {
        Ok(Self {
            server: Server::current()?,
            socket: pass::socket()
                .map_err(|error| Lacks::Socket.refusal("make a socket", error))?,
        })
    }

    /// Hands memory on from now on, for a handle that has the lock on it.
    pub(super) fn offer(self, handle: &Handle, memory: &Arc<Unshared>) -> Result<Offer, Refusal> {
        let Self { server, socket } = self;
        let instance = handle.header().origin.instance;
        let number = loop {
            let number = draw().map_err(|error| Lacks::Other.refusal("draw a number", error))?;
            let listens = pass::listen(&socket, &socket_name(instance, handle.row(), number));
            if listens.map_err(|error| Lacks::Socket.refusal("listen on a socket", error))? {
                break number;
            }
        };
        let offer = server
            .offer(socket, handle.file(), memory)
            .map_err(|error| Lacks::Other.refusal("watch a socket", error))?;
        handle.control().note_socket(handle.row(), number);
        Ok(offer)
    }
}

impl Refusal {
    /// Says it as an error of a stream that is created: where there are no sockets, the memory can be
    /// shared in another way.
    #[cold]
    pub(super) fn on_new(self, name: &StreamName) -> Error {
        let scarce = [Errno::NOMEM, Errno::NOBUFS].map(Some);
        match (self.lacks, self.on(name)) {
            (
                Lacks::Socket,
                Error::Os {
                    operation, source, ..
                },
            ) if !scarce.contains(&Errno::from_io_error(&source)) => {
                let problem = Problem::NoDescriptors {
                    operation,
                    code: 0,
                    text: source.to_string(),
                };
                Error::gpu(name, problem)
            }
            (_, error) => error,
        }
    }

    /// Says it as an error of the stream.
    #[cold]
    pub(super) fn on(self, name: &StreamName) -> Error {
        let Self {
            operation, source, ..
        } = self;
        let limit = match Errno::from_io_error(&source) {
            Some(Errno::MFILE | Errno::NFILE) => {
                "open files of the process; raise RLIMIT_NOFILE (`ulimit -n`)"
            }
            Some(Errno::AGAIN) => {
                "threads of the user, or tasks of the control group; raise RLIMIT_NPROC (`ulimit -u`) \
                 or pids.max"
            }
            _ => return Error::os(name, operation, source),
        };
        Error::Limit {
            name: name.clone(),
            operation,
            limit,
            source,
        }
    }
}

/// What a handle has while it has the memory of its stream. Given up in this order, with the memory itself
/// before the lock: then nobody gets it, in this process or another, from one who does not hold the lock.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) offer: Offer,
    pub(super) lock: Lock,
}

/// The lock that says that the memory is there.
#[derive(Debug)]
pub(super) struct Lock {
    file: Arc<Unshared>,
    generation: u32,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // In a forked child it is the parent's.
        if self.generation == fork::generation() {
            // By itself, since another thread may be between `fork` and `exec`.
            lock::unlock_row(&*self.file, EXPORTER);
        }
    }
}

/// Asks those who have the memory of a handle's stream for it, each for itself. The handle holds the lock.
pub(super) fn ask(handle: &Handle) -> Result<std::result::Result<OwnedFd, Holders>> {
    let failed = |operation| {
        let name = handle.name();
        move |error: io::Error| Lacks::Other.refusal(operation, error).on(name)
    };
    // Without any locks: what lies in the socket of a process that is stopped keeps them.
    let file = shm::open_again(&**handle.file())
        .map_err(|error| failed("open its file once more")(error.into()))?;
    let owner = rustix::fs::fstat(&file)
        .map_err(|error| failed("look at its file")(error.into()))?
        .st_uid;
    let instance = handle.header().origin.instance;
    let control = handle.control();
    let rows = control.attached().filter(|&row| row != handle.row());
    // Who has a row and no number does not listen yet, or any more.
    let names = rows.filter_map(|row| Some(socket_name(instance, row, control.socket(row)?)));
    ask::ask(names.collect(), &file, owner).map_err(failed("ask for its device memory"))
}

/// Takes the lock on the memory for a handle, which is about to get it.
pub(super) fn hold(handle: &mut Handle) -> Result<Lock> {
    match handle.hold_memory(Sharing::Descriptor)? {
        true => Ok(Lock {
            file: Arc::clone(handle.file()),
            generation: fork::generation(),
        }),
        // Nobody who keeps to the protocol does that.
        false => Err(Error::corrupt(
            handle.name(),
            "the lock on its device memory",
            "held by one process alone",
        )),
    }
}

#[cfg(test)]
mod tests;
