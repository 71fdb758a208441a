//! Device memory that processes hand to each other by descriptors.
//!
//! Each handle that has the memory of a stream holds the lock on one byte of the stream's file, together
//! with the others, and listens on a socket that is named after the stream and the handle's row. Who wants
//! the memory takes the lock *before* it asks, and gives it back if nobody hands the memory over. So whoever
//! has the memory has held the lock since a moment at which another had both; and once the lock is free,
//! the memory is gone for good and the name can be given away.
//!
//! The lock goes when a process dies, and so do its sockets: nothing is left behind, and no number of a
//! process is asked for.

mod ask;
mod serve;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::gpu::Holders;
use crate::layout::Sharing;
use crate::name::StreamName;
use crate::os::fork::{self, Unshared};
use crate::os::pass::{self, Word};
use crate::os::{lock, shm};
use crate::stream::handle::{EXPORTER, Handle};
pub(super) use serve::Offer;
use serve::Server;

/// What who wants memory says; the stream's file goes with it.
const ASK: &Word = b"shmstream ask  1";
/// What it gets; the memory goes with it.
const GIVE: &Word = b"shmstream give 1";

/// How long to wait, in milliseconds, for a name that the row's owner before, who was killed, still has.
const NAME_PAUSES: [u64; 7] = [0, 1, 2, 5, 10, 30, 100];

/// Returns the name of the socket of a row.
fn socket_name(instance: [u8; 16], row: usize) -> Vec<u8> {
    let instance = u128::from_be_bytes(instance);
    format!("shmstream.{instance:032x}.{row}").into_bytes()
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
}

impl Ready {
    /// Starts what is needed for it.
    pub(super) fn new() -> Result<Self, Refusal> {
        let refused = |operation| move |source| Refusal { operation, source };
        Ok(Self {
            server: Server::current()?,
            socket: pass::socket().map_err(refused("make a socket"))?,
        })
    }
}

impl Refusal {
    /// Says it as an error of the stream.
    #[cold]
    pub(super) fn on(self, name: &StreamName) -> Error {
        let Self { operation, source } = self;
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
    /// `None` where somebody else has the name: others are asked in its place.
    pub(super) offer: Option<Offer>,
    pub(super) lock: Lock,
}

/// The lock that says that the memory is there.
#[derive(Debug)]
pub(super) struct Lock {
    file: Arc<Unshared>,
    generation: u32,
}

impl Holding {
    /// Hands memory on from now on, for a handle that has the lock on it.
    pub(super) fn begin(handle: &Handle, ready: Ready, memory: &Arc<Unshared>) -> Result<Self> {
        let name = socket_name(handle.header().origin.instance, handle.row());
        let listen = || pass::listen(&ready.socket, &name);
        let mut listens = false;
        for pause in NAME_PAUSES {
            std::thread::sleep(Duration::from_millis(pause));
            let tried =
                listen().map_err(|error| Error::os(handle.name(), "listen on a socket", error));
            listens = tried?;
            if listens {
                break;
            }
        }
        let Ready { server, socket } = ready;
        let offer = match listens {
            true => Some(
                server
                    .offer(socket, handle.file(), memory)
                    .map_err(|source| {
                        let operation = "watch a socket";
                        Refusal { operation, source }.on(handle.name())
                    })?,
            ),
            false => None,
        };
        let lock = Lock {
            file: Arc::clone(handle.file()),
            generation: fork::generation(),
        };
        Ok(Self { offer, lock })
    }
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
        move |source: io::Error| Refusal { operation, source }.on(name)
    };
    // Without any locks: what lies in the socket of a process that is stopped keeps them.
    let file = shm::open_again(&**handle.file())
        .map_err(|error| failed("open its file once more")(error.into()))?;
    let owner = rustix::fs::fstat(&file)
        .map_err(|error| failed("look at its file")(error.into()))?
        .st_uid;
    let instance = handle.header().origin.instance;
    let rows = handle.control().attached();
    let names = rows
        .filter(|&row| row != handle.row())
        .map(|row| socket_name(instance, row));
    ask::ask(names.collect(), &file, owner).map_err(failed("ask for its device memory"))
}

/// Takes the lock on the memory for a handle, which is about to get it.
pub(super) fn hold(handle: &mut Handle) -> Result<()> {
    match handle.hold_memory(Sharing::Descriptor)? {
        true => Ok(()),
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
