//! The process that looks at pictures.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::{Result, Statistics, Stop, Writer, bytes_text, duration_text, removed, writer};
use shmstream::{DynFrame, DynStream};

use crate::options::Options;
use crate::picture::{Format, Picture};
use crate::still::write_png;

/// How long to wait for a picture before asking what became of the camera.
const PATIENCE: Duration = Duration::from_millis(100);
/// The time from one line of the output to the next.
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) fn view(name: &str, options: &Options) -> Result<()> {
    let stop = Stop::on_signals()?;
    let stream = DynStream::open(name)?;
    let Some(picture) = Picture::of(stream.schema()) else {
        let schema = stream.schema();
        return Err(format!("stream `{name}` carries {schema}, which is no picture").into());
    };
    let mut viewer = Viewer::new(&stream, picture, options)?;
    let end = viewer.look(&stop)?;
    viewer.finish()?;
    if end == Writer::Dead {
        removed(stream.unlink())?;
        return Err("the camera died; its stream is unlinked".into());
    }
    Ok(())
}

struct Viewer<'a> {
    stream: &'a DynStream,
    picture: Picture,
    png: PathBuf,
    /// The picture to write, if not the last.
    still: Option<u64>,
    written: Option<Still>,
    statistics: Statistics,
    /// When the first picture came, and what was printed last.
    start: Option<Instant>,
    printed: Option<Printed>,
}

/// What is said of the picture that was written.
struct Still {
    number: u64,
    took: Duration,
}

struct Printed {
    at: Instant,
    received: u64,
}

impl<'a> Viewer<'a> {
    fn new(stream: &'a DynStream, picture: Picture, options: &Options) -> Result<Self> {
        let mut out = io::stdout();
        let bytes = bytes_text(stream.frame_size() as f64);
        writeln!(out, "stream {}: {picture}, {bytes} a frame", stream.name())?;
        writeln!(
            out,
            "{:>8}  {:>7}  {:>7}  {:>6}  {:>8}  {:>6}",
            "time", "frame", "fps", "missed", "age", "level"
        )?;
        Ok(Self {
            stream,
            picture,
            png: options.png(),
            still: options.still,
            written: None,
            statistics: Statistics::default(),
            start: None,
            printed: None,
        })
    }

    /// Looks at each picture in place, until there are no more.
    fn look(&mut self, stop: &Stop) -> Result<Writer> {
        let before = self.stream.count();
        while !stop.asked() {
            let Some(frame) = self.stream.wait_timeout(PATIENCE)? else {
                match writer(&self.stream.status()?, self.statistics.published()) {
                    Writer::Writing => continue,
                    end => return Ok(end),
                }
            };
            let info = frame.info();
            let age = info.age();
            // A picture that was there before this process waited for the process, not the other way.
            self.statistics
                .add(info, (info.count > before).then_some(age));
            self.print(&frame, age)?;
            let wanted = self.still.is_some_and(|number| info.frame_id >= number);
            if wanted && self.written.is_none() {
                self.write(&frame)?;
            }
        }
        Ok(Writer::Done)
    }

    fn print(&mut self, frame: &DynFrame<'_>, age: Duration) -> Result<()> {
        let now = Instant::now();
        let start = *self.start.get_or_insert(now);
        let printed = self.printed.get_or_insert(Printed {
            at: now,
            received: self.statistics.received(),
        });
        let interval = now - printed.at;
        if interval < INTERVAL {
            return Ok(());
        }
        let frames = self.statistics.received() - printed.received;
        writeln!(
            io::stdout(),
            "{:>6.1} s  {:>7}  {:>7.1}  {:>6}  {:>8}  {:>4.0} %",
            (now - start).as_secs_f64(),
            frame.info().frame_id,
            frames as f64 / interval.as_secs_f64(),
            self.statistics.missed(),
            duration_text(age),
            100.0 * level(self.picture, frame.bytes()),
        )?;
        *printed = Printed {
            at: now,
            received: self.statistics.received(),
        };
        Ok(())
    }

    fn write(&mut self, frame: &DynFrame<'_>) -> Result<()> {
        let start = Instant::now();
        write_png(&self.png, self.picture, frame)?;
        self.written = Some(Still {
            number: frame.info().frame_id,
            took: start.elapsed(),
        });
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        if self.still.is_none()
            && let Some(last) = self.stream.read()?
        {
            self.write(&last)?;
        }
        let mut out = io::stdout();
        writeln!(out, "{}", self.statistics.summary())?;
        if let Some(ages) = self.statistics.ages() {
            writeln!(out, "{ages}")?;
        }
        let png = self.png.display();
        match (&self.written, self.still) {
            (Some(Still { number, took }), _) => {
                let bytes = bytes_text(std::fs::metadata(&self.png)?.len() as f64);
                let took = duration_text(*took);
                writeln!(out, "{png}: frame {number}, {bytes}, written in {took}")?;
            }
            (None, Some(number)) => {
                let last = self.statistics.published();
                return Err(format!(
                    "{png} is not written: frame {number} did not come, {last} did"
                )
                .into());
            }
            (None, None) => {}
        }
        Ok(())
    }
}

/// Returns how bright a picture is, from 0 to 1.
fn level(picture: Picture, bytes: &[u8]) -> f64 {
    let bytes = match picture.format {
        Format::Gray | Format::Rgb => bytes,
        // The plane of luma.
        Format::Yuv(..) => &bytes[..picture.size.pixels()],
    };
    let sum: u64 = bytes.iter().map(|&byte| u64::from(byte)).sum();
    sum as f64 / (255.0 * bytes.len() as f64)
}
