//! The process that shows the samples.

use std::time::Duration;

use common::{Result, Statistics, Stop, Writer, removed, writer};
use shmstream::Stream;

use crate::display::Display;
use crate::sample::Sample;

/// How long a viewer waits for a frame before it asks whether the publisher lives.
const PATIENCE: Duration = Duration::from_millis(250);

pub(crate) fn watch(name: &str) -> Result<()> {
    let stop = Stop::on_signals()?;
    let stream = Stream::<Sample, 1>::open(name)?;
    match show_frames(&stream, &stop)? {
        End::Last | End::Stopped => Ok(()),
        End::PublisherDied => {
            removed(stream.unlink())?;
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
            match writer(&stream.status()?, statistics.published()) {
                Writer::Writing => continue,
                Writer::Done => break End::Last,
                Writer::Dead => break End::PublisherDied,
            }
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
