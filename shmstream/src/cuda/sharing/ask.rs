//! Asking for memory: one holder after the other, and then all at once.
//!
//! A holder that is stopped takes a question and never answers. So the next one is asked after a moment,
//! while the answer of the first is still welcome.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Timespec;
use rustix::io::Errno;

use super::{ASK, GIVE};
use crate::gpu::Holders;
use crate::os::fork::Unshared;
use crate::os::pass::{self, Connected, Peer, Received};

/// How long to wait for an answer before the next holder is asked as well.
const NEXT: Duration = Duration::from_millis(50);
/// How long to wait for answers in all, and to look for somebody who listens.
pub(in crate::cuda) const PATIENCE: Duration = Duration::from_secs(5);

/// Asks whoever listens under these names for memory, and shows them `file`, which `owner` owns.
///
/// Returns why nobody handed it over if nobody did.
pub(super) fn ask(
    mut names: VecDeque<Vec<u8>>,
    file: &OwnedFd,
    owner: u32,
) -> io::Result<Result<OwnedFd, Holders>> {
    let deadline = Instant::now() + PATIENCE;
    let mut asked: Vec<Unshared> = Vec::new();
    let mut why = Holders::Elsewhere;
    loop {
        let mut busy = false;
        if let Some(name) = names.pop_front() {
            match pass::connect(&name)? {
                // What is shown there could be used to write to the stream.
                Connected::To(socket) if !is_trusted(&socket, owner) => {
                    why = why.max(Holders::OtherUsers);
                    continue;
                }
                Connected::To(socket) => match pass::send(&socket, ASK, file) {
                    Ok(()) => asked.push(socket),
                    Err(_) => {
                        why = why.max(Holders::Refused);
                        continue;
                    }
                },
                Connected::Busy => {
                    names.push_back(name);
                    busy = true;
                }
                Connected::Nobody => continue,
            }
        } else if asked.is_empty() {
            return Ok(Err(why));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Err(Holders::Silent));
        }
        let longest = match names.is_empty() && !busy {
            true => left,
            false => left.min(NEXT),
        };
        wait(&asked, longest);
        let mut i = 0;
        while let Some(socket) = asked.get(i) {
            match pass::receive(socket, GIVE) {
                Received::Descriptor(memory) => return Ok(Ok(memory)),
                Received::Nothing => i += 1,
                // It is there, and not for want of anybody else.
                Received::Cut => return Err(Errno::MFILE.into()),
                Received::Other => {
                    why = why.max(Holders::Refused);
                    asked.swap_remove(i);
                }
            }
        }
    }
}

/// Returns whether whoever listens is one who could do anything with the stream anyway: this user, the
/// owner of its file, or root. Others who may write to the file can put any name into a row.
fn is_trusted(socket: impl AsFd, owner: u32) -> bool {
    Peer::of(socket).is_ok_and(|peer| {
        peer.is_user(rustix::process::geteuid().as_raw()) || peer.is_user(0) || peer.is_user(owner)
    })
}

/// Waits until there is something to receive, as long as that may take.
fn wait(asked: &[Unshared], longest: Duration) {
    let timeout = Timespec {
        tv_sec: longest.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: longest.subsec_nanos().into(),
    };
    let mut sources: Vec<_> = asked
        .iter()
        .map(|socket| PollFd::new(socket, PollFlags::IN))
        .collect();
    // Fails when a signal handler ran; then everything is looked at in vain.
    let _ = poll(&mut sources, Some(&timeout));
}
