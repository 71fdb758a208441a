//! Passing descriptors to other processes, over sockets whose names are in no directory.
//!
//! Such a name is gone with the process that took it, however that ends. It belongs to a network
//! namespace, and to whoever comes first: who is at the other end has to be looked at.
//!
//! Messages are kept apart by the kernel, so each arrives whole or not at all. Nothing here waits.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};

use super::fork::Unshared;
use super::sys;

/// How many may have connected before they are looked at; the system has a limit of its own.
const BACKLOG: i32 = 256;

/// What the kernel says of a user, or a group, that this namespace does not know.
const UNKNOWN: u32 = 65534;

/// What a message says; a descriptor goes with it.
pub(crate) type Word = [u8; 16];

/// Makes a socket that is nobody's yet.
pub(crate) fn socket() -> io::Result<Unshared> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    Unshared::new(socket)
}

/// Has a socket listen under a name; false if that is taken.
pub(crate) fn listen(socket: &Unshared, name: &[u8]) -> io::Result<bool> {
    match rustix::net::bind(socket, &SocketAddrUnix::new_abstract_name(name)?) {
        Ok(()) => {}
        Err(Errno::ADDRINUSE) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    rustix::net::listen(socket, BACKLOG)?;
    Ok(true)
}

/// What became of an attempt to connect.
#[derive(Debug)]
pub(crate) enum Connected {
    To(Unshared),
    /// Too many others wait there.
    Busy,
    /// Nobody listens there, or this process may not connect.
    Nobody,
}

/// Connects to whoever listens under a name.
pub(crate) fn connect(name: &[u8]) -> io::Result<Connected> {
    let socket = socket()?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name)?) {
        Ok(()) => Ok(Connected::To(socket)),
        Err(Errno::AGAIN) => Ok(Connected::Busy),
        Err(_) => Ok(Connected::Nobody),
    }
}

/// Takes one who has connected, if there is one.
pub(crate) fn accept(listener: &Unshared) -> io::Result<Option<Unshared>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    match rustix::net::accept_with(listener, flags) {
        Ok(connection) => Unshared::new(connection).map(Some),
        // The second: it has hung up meanwhile.
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Who is at the other end of a socket.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) user: u32,
    groups: Vec<u32>,
}

impl Peer {
    /// Returns who connected, or who listens.
    pub(crate) fn of(socket: impl AsFd) -> io::Result<Self> {
        let (user, group) = sys::peer(socket.as_fd())?;
        // Old kernels do not tell them.
        let mut groups = sys::peer_groups(socket.as_fd()).unwrap_or_default();
        groups.push(group);
        Ok(Self { user, groups })
    }

    /// Returns whether the peer is certainly this user.
    pub(crate) fn is_user(&self, user: u32) -> bool {
        self.user == user && is_known(user, "/proc/self/uid_map")
    }

    fn is_in(&self, group: u32) -> bool {
        self.groups.contains(&group) && is_known(group, "/proc/self/gid_map")
    }

    /// Returns whether the peer may write to a file of this owner, group and mode.
    pub(crate) fn may_write(&self, owner: u32, group: u32, mode: u32) -> bool {
        const BY_GROUP: u32 = 0o020;
        const BY_OTHERS: u32 = 0o002;
        // As the kernel does it: the first class that fits decides.
        match () {
            () if self.is_user(0) || self.is_user(owner) => true,
            () if self.is_in(group) => mode & BY_GROUP != 0,
            () => mode & BY_OTHERS != 0,
        }
    }
}

/// Returns whether a number stands for one user, or group, and not for all that this user namespace does
/// not know. `map` is the file that tells which those are.
fn is_known(number: u32, map: &str) -> bool {
    number != UNKNOWN || std::fs::read_to_string(map).is_ok_and(|map| is_complete(&map))
}

/// Returns whether such a file has all numbers, as outside of user namespaces.
fn is_complete(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Sends a word and a descriptor.
pub(crate) fn send(socket: impl AsFd, word: &Word, descriptor: impl AsFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(&descriptors));
    let sent = rustix::net::sendmsg(
        socket,
        &[IoSlice::new(word)],
        &mut rights,
        SendFlags::NOSIGNAL,
    )?;
    match sent == word.len() {
        true => Ok(()),
        false => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// What has arrived.
#[derive(Debug)]
pub(crate) enum Received {
    Descriptor(OwnedFd),
    /// Nothing so far.
    Nothing,
    /// A message without its descriptor, for which this process has no room.
    Cut,
    /// No such message, or the other end has hung up.
    Other,
}

/// Receives a descriptor that comes with this word.
///
/// A message that is longer or shorter, or has another number of descriptors, counts as another;
/// descriptors of that are closed.
pub(crate) fn receive(socket: impl AsFd, word: &Word) -> Received {
    // One byte more, so that a longer message is told apart.
    let mut bytes = [0; size_of::<Word>() + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut rights,
        RecvFlags::CMSG_CLOEXEC,
    );
    let received = match received {
        Ok(received) => received,
        Err(Errno::AGAIN | Errno::INTR) => return Received::Nothing,
        Err(_) => return Received::Other,
    };
    // All are taken out, and with them closed: room for one is room for two, for alignment.
    let mut descriptors: Vec<OwnedFd> = rights
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
    let whole = !received.flags.intersects(cut) && bytes.get(..received.bytes) == Some(word);
    match (descriptors.pop(), whole && descriptors.is_empty()) {
        (Some(descriptor), true) => Received::Descriptor(descriptor),
        // There is space for one at least, so it is the process that cannot have it.
        (None, _) if received.flags.contains(ReturnFlags::CTRUNC) => Received::Cut,
        _ => Received::Other,
    }
}

/// Returns whether a descriptor is open for reading and writing.
pub(crate) fn is_for_writing(descriptor: impl AsFd) -> bool {
    rustix::fs::fcntl_getfl(descriptor)
        .is_ok_and(|flags| flags & OFlags::ACCMODE == OFlags::RDWR && !flags.contains(OFlags::PATH))
}

#[cfg(test)]
mod tests;
