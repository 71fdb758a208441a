//! The process that shows the samples.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use shmstream::{Error, Stream};

use crate::display::Display;
use crate::sample::Sample;
use crate::statistics::Statistics;
use crate::{Result, Stop};

/// How long a viewer waits for a frame before it asks whether the publisher lives.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) fn watch(name: &OsStr) -> Result<()> {
    let stop = Stop::on_signals()?;
    let stream = Stream::<Sample, 1>::open(name.as_bytes())?;
    let end = match show_frames(&stream, &stop) {
        // As with `telemetry | head`: whoever read this has enough.
        Err(error) if is_broken_pipe(&*error) => return Ok(()),
        result => result?,
    };
    match end {
        End::Last | End::Stopped => Ok(()),
        End::PublisherDied => {
            // A stream outlives its processes; nobody else is left to remove this one.
            match stream.unlink() {
                Ok(()) | Err(Error::NotFound { .. } | Error::Replaced { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            Err("the publisher died; its stream is unlinked".into())
        }
    }
}

enum End {
    Last,
    Stopped,
    PublisherDied,
}

fn show_frames(stream: &Stream<Sample, 1>, stop: &Stop) -> Result<End> {
    let before = stream.count();
    let mut statistics = Statistics::default();
    let mut display = Display::new(stream.name())?;
    let end = loop {
        if stop.asked() {
            break End::Stopped;
        }
        let Some(frame) = stream.wait_timeout(PATIENCE)? else {
            if publisher_died(stream, statistics.published())? {
                break End::PublisherDied;
            }
            continue;
        };
        let info = frame.info();
        let age = info.age();
        // A frame that was there before this process waited for the process, not the other way.
        let age = (info.count > before).then_some(age);
        // Copied, to let the slot go before the terminal, which may be slow, gets the text.
        let sample = frame[0];
        drop(frame);
        statistics.add(info, age);
        display.show(&sample, info, age, &statistics)?;
        if sample.last.get() {
            break End::Last;
        }
    };
    display.summary(&mut statistics)?;
    Ok(end)
}

/// Says whether there is nobody to publish anything behind the frame `seen`.
///
/// The publisher holds the write lock all its life, and the kernel takes it away from a dead
/// process. So there is no heartbeat, and nothing to guess from the time that passes.
fn publisher_died(stream: &Stream<Sample, 1>, seen: u64) -> Result<bool> {
    // Looked at under the lock: the last frame may have come just before the publisher's end.
    Ok(stream.try_lock()?.is_some_and(|lock| lock.count() == seen))
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
