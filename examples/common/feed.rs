//! Two streams that another process writes, for the examples that show how to wait for several.

use std::time::Duration;

use shmstream::{ShmPayload, Stream};

use crate::{Other, Result, Schedule, Stop};

/// What a motion sensor measures.
#[derive(Clone, Copy, Debug, ShmPayload)]
#[repr(C)]
pub struct Motion {
    /// In m/s².
    pub accel: [f32; 3],
    /// In rad/s.
    pub gyro: [f32; 3],
}

/// Often: 200 frames a second.
pub type Motions = Stream<Motion, 1>;
/// Seldom: 4 frames a second, each of four temperatures in °C.
pub type Temperatures = Stream<f32, 4>;

const MOTION_PERIOD: Duration = Duration::from_millis(5);
/// One set of temperatures for as many motions.
const MOTIONS_PER_TEMPERATURE: u64 = 50;

/// The streams, and the process that writes them; all gone when dropped.
#[derive(Debug)]
pub struct Feed {
    /// The stream of motions, which keeps a few for readers in order.
    pub motions: Motions,
    /// The stream of temperatures.
    pub temperatures: Temperatures,
    /// The process that writes.
    pub writer: Other,
}

impl Feed {
    /// Creates the streams, and starts this program once more with `--publish` to write them.
    ///
    /// # Errors
    ///
    /// When the streams cannot be created, or the process cannot be started.
    pub fn start(program: &str, duration: Duration) -> Result<Self> {
        let base = format!("{program}-{}", std::process::id());
        let [motions, temperatures] = names(&base);
        let seconds = duration.as_secs_f64().to_string();
        Ok(Self {
            motions: Motions::builder(motions).history(32).temporary().create()?,
            temperatures: Temperatures::builder(temperatures).temporary().create()?,
            writer: Other::start("writer", ["--publish", &base, "--seconds", &seconds])?,
        })
    }
}

fn names(base: &str) -> [String; 2] {
    ["motion", "temperature"].map(|what| format!("{base}/{what}"))
}

/// Writes the streams that [`Feed::start`] created, as the other process.
///
/// # Errors
///
/// When the streams are not there, and when a write fails.
pub fn publish(base: &str, duration: Duration) -> Result<()> {
    let stop = Stop::on_signals()?;
    let [motions, temperatures] = names(base);
    let (motions, temperatures) = (Motions::open(motions)?, Temperatures::open(temperatures)?);
    // As long as this process writes; the lock goes with it, however it ends.
    let (motions, temperatures) = (motions.lock()?, temperatures.lock()?);
    let mut schedule = Schedule::new(MOTION_PERIOD);
    for _ in 0..schedule.ticks_in(duration) {
        let tick = schedule.next_tick();
        let gone = || Ok(stop.asked() || motions.link()? != shmstream::Link::Current);
        if schedule.sleep_until(tick, gone)? {
            break;
        }
        #[expect(clippy::cast_precision_loss, reason = "a picture of a motion")]
        let angle = tick as f32 * 0.02;
        let motion = Motion {
            accel: [angle.sin(), angle.cos(), 9.81],
            gyro: [0.0, 0.0, 0.02],
        };
        motions.write_with_id(tick, &[motion])?;
        if tick % MOTIONS_PER_TEMPERATURE == 1 {
            temperatures.write_with_id(tick, &[20.0, 21.5, 19.8, 22.1 + angle.sin()])?;
        }
    }
    Ok(())
}
