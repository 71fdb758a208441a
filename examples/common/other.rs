//! The processes that an example starts, and what their readers do when they end.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use shmstream::{Error, Producer, Status};

use crate::{Result, Stop};

/// How long another process may take to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(2);

/// Another process of the same program, ended and reaped at the latest when dropped.
#[derive(Debug)]
pub struct Other {
    name: &'static str,
    child: Child,
}

impl Other {
    /// Starts this program once more, with other options. `name` is what messages call it.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn start<A: AsRef<OsStr>>(
        name: &'static str,
        options: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .args(options)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start the {name}: {error}"))?;
        Ok(Self { name, child })
    }

    /// Says whether the process has ended in order.
    ///
    /// # Errors
    ///
    /// When it ended otherwise.
    pub fn has_ended(&mut self, stop: &Stop) -> Result<bool> {
        let Some(status) = self.child.try_wait()? else {
            return Ok(false);
        };
        // Ctrl-C reaches all processes, and this one may not have been ready for it yet.
        if status.success() || (status.signal().is_some() && stop.asked()) {
            return Ok(true);
        }
        let (name, pid) = (self.name, self.child.id());
        Err(format!("the {name} (process {pid}) ended with {status}").into())
    }

    /// Waits for the process to end.
    ///
    /// That can take long, when it writes into a pager for instance; so only Ctrl-C ends this early.
    ///
    /// # Errors
    ///
    /// When it ended with a failure, or not at all after Ctrl-C.
    pub fn wait(mut self, stop: &Stop) -> Result<()> {
        let mut asked = None;
        while !self.has_ended(stop)? {
            if stop.asked() && asked.get_or_insert_with(Instant::now).elapsed() > GRACE {
                return Err(format!("the {} did not end", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Both do nothing when it has ended and was reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a reader that got no frame for a while has to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// More frames.
    Writing,
    /// No more frames.
    Done,
    /// No more frames, since it was killed or crashed.
    Dead,
}

/// Says whether there is anything to come behind the frame `seen`.
///
/// In these examples a writer holds the write lock as long as it has something to say, and the kernel
/// takes the lock away from a dead process. So there is no heartbeat, and nothing to guess from the
/// time that passes.
#[must_use]
pub fn writer(status: &Status, seen: u64) -> Writer {
    if status.count > seen {
        return Writer::Writing;
    }
    // Without patience, "idle" means alive without the lock, and "stalled" alive with it.
    match status.producer(Duration::ZERO) {
        Producer::Dead => Writer::Dead,
        Producer::Idle | Producer::Gone | Producer::Replaced => Writer::Done,
        _ => Writer::Writing,
    }
}

/// Takes the result of unlinking the stream of a writer that died: it outlives its processes, and
/// nobody else is left to unlink it. It may be gone already, or have made room for another.
///
/// # Errors
///
/// The failure to unlink, other than these two.
pub fn removed(unlinked: shmstream::Result<()>) -> Result<()> {
    match unlinked {
        Ok(()) | Err(Error::NotFound { .. } | Error::Replaced { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use shmstream::Stream;

    use super::*;

    #[test]
    fn a_writer_is_done_when_it_lets_the_lock_go() -> shmstream::Result<()> {
        let stream = Stream::<u8, 1>::temporary()?;
        let reader = stream.try_clone()?;
        assert_eq!(writer(&reader.status()?, 0), Writer::Writing, "not begun");
        let lock = stream.lock()?;
        assert_eq!(writer(&reader.status()?, 0), Writer::Writing);
        lock.write(&[1])?;
        assert_eq!(writer(&reader.status()?, 1), Writer::Writing);
        drop(lock);
        assert_eq!(writer(&reader.status()?, 0), Writer::Writing, "one to read");
        assert_eq!(writer(&reader.status()?, 1), Writer::Done);
        drop(stream);
        assert_eq!(writer(&reader.status()?, 1), Writer::Done);
        Ok(())
    }

    #[test]
    fn a_stream_may_be_gone_already() {
        let name = format!("test-remove-{}", std::process::id());
        let stream = Stream::<u8, 1>::create(&name).unwrap();
        removed(stream.unlink()).unwrap();
        removed(stream.unlink()).unwrap();
    }
}
