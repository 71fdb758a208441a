//! Streams in an event loop: two of them and a timer in one `epoll`.
//!
//! Another process writes the streams. `Stream::readiness` gives a descriptor that is readable when a
//! frame was published since it was cleared; it goes wherever descriptors go: `epoll`, `poll`, the
//! event loops of GUIs and servers.
//!
//! ```sh
//! cargo run --release --example epoll
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use common::{Feed, Statistics, Stop, publish};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};
use shmstream::Start;

/// Waits for the frames of two streams at a time, in one event loop.
#[derive(Debug, Parser)]
#[command(name = "epoll")]
struct Options {
    /// Go on for SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = common::seconds)]
    seconds: Duration,
    /// Write the streams that another process of this program made under NAME
    #[arg(long, value_name = "NAME", hide = true)]
    publish: Option<String>,
}

const MOTIONS: u64 = 0;
const TEMPERATURES: u64 = 1;
const TIMER: u64 = 2;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.publish {
        Some(base) => publish(base, options.seconds),
        None => read(options.seconds),
    };
    common::report("epoll", result)
}

fn read(duration: Duration) -> common::Result<()> {
    let stop = Stop::on_signals()?;
    let feed = Feed::start("epoll", duration)?;
    let motions = feed.motions.subscribe(Start::New)?;
    let temperatures = feed.temperatures.try_clone()?;
    let (motions_ready, temperatures_ready) = (motions.readiness()?, temperatures.readiness()?);
    let timer = each_second()?;

    let queue = epoll::create(CreateFlags::CLOEXEC)?;
    let wants = |token| (EventData::new_u64(token), EventFlags::IN);
    for (descriptor, token) in [
        (std::os::fd::AsFd::as_fd(&motions_ready), MOTIONS),
        (std::os::fd::AsFd::as_fd(&temperatures_ready), TEMPERATURES),
        (std::os::fd::AsFd::as_fd(&timer), TIMER),
    ] {
        let (data, flags) = wants(token);
        epoll::add(&queue, descriptor, data, flags)?;
    }

    let mut statistics = Statistics::default();
    let mut warmest = f32::MIN;
    let end = Instant::now() + duration + Duration::from_millis(200);
    let mut events = Vec::with_capacity(3);
    while !stop.asked() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        events.clear();
        let timeout = Timespec::try_from(left)?;
        let buffer = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&queue, buffer, Some(&timeout)) {
            // Ctrl-C, most likely.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for &Event { data, .. } in &events {
            match data.u64() {
                // First clear, then read all there is: what comes in between is read or announced.
                MOTIONS => {
                    motions_ready.clear()?;
                    while let Some(frame) = motions.read()? {
                        statistics.add(frame.info(), Some(frame.info().age()));
                    }
                }
                TEMPERATURES => {
                    temperatures_ready.clear()?;
                    if let Some(frame) = temperatures.read_new()? {
                        warmest = frame.iter().copied().fold(warmest, f32::max);
                    }
                }
                _ => {
                    rustix::io::read(&timer, &mut [0; 8])?;
                    let motions = statistics.received();
                    common::line(format_args!(
                        "{motions} motions; warmest so far: {warmest:.1} °C"
                    ))?;
                }
            }
        }
    }
    common::line(format_args!("{}", statistics.summary()))?;
    if let Some(ages) = statistics.ages() {
        common::line(ages)?;
    }
    Ok(())
}

/// Makes a descriptor that is readable each second.
fn each_second() -> common::Result<rustix::fd::OwnedFd> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let second = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    let each = Itimerspec {
        it_interval: second,
        it_value: second,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &each)?;
    Ok(timer)
}
