//! The process that publishes pictures.

use std::ffi::OsString;
use std::time::Duration;

use common::{Other, Result, Schedule, Stop};
use shmstream::{DynLockGuard, DynStream};

use crate::options::Options;
use crate::source::Source;

/// The longest wait without a look at what may end the program.
const LOOK_UP: Duration = Duration::from_millis(50);
/// How long to wait for a slot when viewers hold all of them.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn record(options: &Options) -> Result<()> {
    let stop = Stop::on_signals()?;
    let mut source = Source::new(options)?;

    // Temporary: unlinked when `stream` goes, also by way of a `?`.
    let stream = DynStream::builder(format!("camera-{}", std::process::id()))
        .schema(source.picture().schema())
        .temporary()
        .prefault()
        .create()?;
    // Held for as long as there are pictures to come.
    let writer = stream.lock()?;
    let mut viewer = Other::start("viewer", viewer_options(&stream, options))?;

    let ended = |viewer: &mut Other| Ok(stop.asked() || viewer.has_ended(&stop)?);
    let result = publish(&writer, &mut source, options, || ended(&mut viewer));
    // Also after a failure, since there may be a picture to see by then.
    drop(writer);
    viewer.wait(&stop)?;
    result
}

fn publish(
    writer: &DynLockGuard<'_>,
    source: &mut Source,
    options: &Options,
    mut ended: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let mut schedule = Schedule::new(source.period());
    for number in 1..=options.frames().unwrap_or(u64::MAX) {
        let tick = schedule.next_tick();
        if schedule.sleep_until(tick, &mut ended)? {
            return Ok(());
        }
        while !source.wait(LOOK_UP)? {
            if ended()? {
                return Ok(());
            }
        }
        let mut frame = writer.loan_timeout(PATIENCE)?;
        // A loan that is not published, because of a failure for example, leaves no trace.
        if !source.fill(number, &mut frame)? {
            return match number {
                1 => Err("there are no frames in the file".into()),
                _ => Ok(()),
            };
        }
        frame.publish_with_id(number)?;
    }
    Ok(())
}

fn viewer_options(stream: &DynStream, options: &Options) -> Vec<OsString> {
    let mut words = vec!["--view".into(), stream.name().to_string().into()];
    words.extend(["--png".into(), options.png().into()]);
    if let Some(still) = options.still {
        words.extend(["--still".into(), still.to_string().into()]);
    }
    words
}
