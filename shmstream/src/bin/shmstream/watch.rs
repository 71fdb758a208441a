//! `shmstream watch`: frames as they come.
//!
//! A read-only observer sees each frame that it gets hold of. The kernel wakes it on streams that
//! expect observers; on others the observer looks each millisecond.

mod line;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use line::{FrameLine, RateLine, Tally, as_f64};
use shmstream::{DynStream, Error, FrameInfo, Link, Observer, Schema};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::Watch;
use crate::failure::{Exit, Failure};
use crate::output::{Output, complain, remark};
use crate::style;
use crate::units::{self, Moment};
use crate::value::{Value, text};

/// How long Ctrl-C, and the loss of the stream's name, may go unnoticed while no frame comes.
const TICK: Duration = Duration::from_millis(100);
const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn run(options: &Watch, out: &mut Output) -> Result<(), Failure> {
    let mut watcher = Watcher::new(options)?;
    watcher.heading(out)?;
    let result = watcher.watch(out);
    out.flush()?;
    result
}

struct Watcher<'a> {
    options: &'a Watch,
    observer: Observer<DynStream>,
    schema: Schema,
    buffer: Vec<u8>,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
    begun: Instant,
    /// Lines still to print.
    left: u64,
    total: Tally,
    /// Since the last line of `--rate`.
    recent: Tally,
    recent_begun: Instant,
    latest: Option<FrameInfo>,
    /// When the last frame came, or the watching began.
    last_frame: Instant,
    /// When the name was looked at last, and whether its loss was told.
    last_look: Instant,
    told: bool,
}

impl<'a> Watcher<'a> {
    fn new(options: &'a Watch) -> Result<Self, Failure> {
        let observer = DynStream::builder(&options.stream.name)
            .allow_other_owner()
            .observe()?;
        let schema = observer.schema().clone();
        let now = Instant::now();
        Ok(Self {
            options,
            buffer: vec![0; schema.size()],
            observer,
            schema,
            stop: on_signals()?,
            begun: now,
            left: options.count.unwrap_or(u64::MAX),
            total: Tally::default(),
            recent: Tally::default(),
            recent_begun: now,
            latest: None,
            last_frame: now,
            last_look: now,
            told: false,
        })
    }

    fn watch(&mut self, out: &mut Output) -> Result<(), Failure> {
        while self.left > 0 {
            if self.stop.load(Ordering::Relaxed) {
                out.flush()?;
                self.summary();
                return Ok(());
            }
            if let Some(info) = self.next(out)? {
                self.last_frame = Instant::now();
                self.latest = Some(info);
                self.total.add(info.missed);
                self.recent.add(info.missed);
                if !self.options.rate {
                    self.frame(info, out)?;
                    self.left -= 1;
                }
            } else {
                self.idle()?;
            }
            if self.options.rate && self.recent_begun.elapsed() >= SECOND {
                self.rate(out)?;
                self.left -= 1;
            }
        }
        Ok(())
    }

    /// Returns the next frame, or `None` after a while without one.
    fn next(&mut self, out: &mut Output) -> Result<Option<FrameInfo>, Failure> {
        let mut wait = if self.options.rate {
            let end = self.recent_begun + SECOND;
            end.saturating_duration_since(Instant::now()).min(TICK)
        } else {
            TICK
        };
        // What is written goes out before this sleeps.
        if self.observer.count() > self.seen() {
            wait = Duration::ZERO;
        } else {
            out.flush()?;
        }
        let found = if self.options.values {
            self.observer.wait_timeout_into(&mut self.buffer, wait)
        } else {
            // A frame that nobody asks for is not copied.
            self.observer.wait_timeout_info(wait)
        };
        match found {
            // Counted as missed with the next one.
            Err(Error::Overtaken { .. }) => Ok(None),
            found => Ok(found?),
        }
    }

    fn seen(&self) -> u64 {
        self.latest.map_or(0, |latest| latest.count)
    }

    /// Looks, while no frame comes, for reasons to end.
    fn idle(&mut self) -> Result<(), Failure> {
        if let Some(timeout) = self.options.timeout
            && self.last_frame.elapsed() >= timeout
        {
            let text = units::duration(timeout);
            complain(format_args!(
                "no frame of `{}` for {text}",
                self.options.stream.name
            ));
            return Err(Failure::Told(Exit::Found));
        }
        if !self.told && self.last_look.elapsed() >= SECOND {
            self.last_look = Instant::now();
            if self.observer.link()? == Link::Unlinked {
                complain(format_args!(
                    "stream `{}` was unlinked; those who have it open may go on",
                    self.options.stream.name
                ));
                self.told = true;
            }
        }
        Ok(())
    }

    fn heading(&self, out: &mut Output) -> Result<(), Failure> {
        if self.options.json {
            return Ok(());
        }
        let head = style::HEAD;
        if self.options.rate {
            writeln!(
                out,
                "{head}{:<8}  {:>10}  {:>10}  {:>12}  {:>9}{head:#}",
                "TIME", "FRAMES/S", "MISSED/S", "BANDWIDTH", "AGE"
            )?;
        } else {
            let values = if self.options.values { "  VALUES" } else { "" };
            writeln!(
                out,
                "{head}{:>10}  {:>10}  {:<15}  {:>9}  {:>8}{values}{head:#}",
                "COUNT", "ID", "TIME", "AGE", "MISSED"
            )?;
        }
        Ok(())
    }

    /// Writes the line of a frame.
    fn frame(&self, info: FrameInfo, out: &mut Output) -> Result<(), Failure> {
        let value = Value::new(&self.schema, &self.buffer);
        let shown = self.options.values.then_some(value);
        if self.options.json {
            return out.json_line(&FrameLine::new(info, shown));
        }
        let missed = match info.missed {
            0 => style::QUIET,
            _ => style::DOUBTFUL,
        };
        write!(
            out,
            "{:>10}  {:>10}  {}  {:>9}  {missed}{:>8}{missed:#}",
            info.count,
            info.frame_id,
            Moment::new(info.realtime_ns).time(),
            units::duration(info.age()),
            info.missed
        )?;
        if let Some(value) = shown {
            write!(out, "  {}", text::line(value))?;
        }
        Ok(writeln!(out)?)
    }

    /// Writes the line of a second, and begins the next.
    fn rate(&mut self, out: &mut Output) -> Result<(), Failure> {
        let seconds = self.recent_begun.elapsed().as_secs_f64();
        let line = RateLine::new(self.recent, seconds, self.schema.size(), self.latest);
        self.recent = Tally::default();
        self.recent_begun = Instant::now();
        if self.options.json {
            return out.json_line(&line);
        }
        let missed = match line.missed {
            0 => style::QUIET,
            _ => style::DOUBTFUL,
        };
        writeln!(
            out,
            "{}  {:>10}  {missed}{:>10}{missed:#}  {:>12}  {:>9}",
            &Moment::now().time()[..8],
            units::rate(line.frames_per_second),
            units::rate(line.missed_per_second),
            format!("{}/s", units::bytes(line.bytes_per_second)),
            self.latest
                .map_or_else(String::new, |latest| units::duration(latest.age())),
        )?;
        Ok(())
    }

    /// Says on the standard error what came of it all.
    fn summary(&self) {
        let (elapsed, total) = (self.begun.elapsed(), self.total);
        // The first frame may have been there for long.
        let rate = as_f64(total.published().saturating_sub(1)) / elapsed.as_secs_f64();
        let share = 100.0 * as_f64(total.missed) / as_f64(total.published().max(1));
        remark(format_args!(
            "\n{} of `{}` in {}: {} frames/s, {} missed ({share:.1}%)",
            units::count(usize::try_from(total.frames).unwrap_or(usize::MAX), "frame"),
            self.options.stream.name,
            units::duration(elapsed),
            units::rate(rate),
            total.missed
        ));
    }
}

/// Has Ctrl-C and a polite request to end set a flag; a second one ends the program at once.
fn on_signals() -> Result<Arc<AtomicBool>, Failure> {
    const INTERRUPTED: i32 = 130;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset.
        signal_hook::flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&stop))?;
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
