//! Tasks that wait for frames, on tokio: two streams, a timer and Ctrl-C in one `select!`.
//!
//! Another process writes the streams. One is read in order, so that no frame is overlooked, the
//! other for its latest frame. Waiting takes no thread for each stream and no polling: one thread of
//! the library serves all of them, and a frame that is not waited for costs nothing.
//!
//! ```sh
//! cargo run --release --example async_reader
//! ```

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use common::{Feed, Statistics, publish};
use shmstream::Start;

/// Waits for the frames of two streams at a time, in one task.
#[derive(Debug, Parser)]
#[command(name = "async_reader")]
struct Options {
    /// Go on for SECONDS
    #[arg(long, value_name = "SECONDS", default_value = "3", value_parser = common::seconds)]
    seconds: Duration,
    /// Write the streams that another process of this program made under NAME
    #[arg(long, value_name = "NAME", hide = true)]
    publish: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.publish {
        Some(base) => publish(base, options.seconds),
        None => read(options.seconds).await,
    };
    common::report("async_reader", result)
}

async fn read(duration: Duration) -> common::Result<()> {
    let feed = Feed::start("async_reader", duration)?;
    let mut motions = feed.motions.subscribe(Start::New)?;
    let mut temperatures = feed.temperatures.try_clone()?;
    let mut statistics = Statistics::default();
    let (mut turn, mut warmest) = (0.0, f32::MIN);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.tick().await;
    let end = tokio::time::sleep(duration + Duration::from_millis(200));
    tokio::pin!(end);
    loop {
        tokio::select! {
            // A future that loses is dropped, and loses no frame by that.
            frame = motions.wait_async() => {
                let frame = frame?;
                statistics.add(frame.info(), Some(frame.info().age()));
                turn += frame[0].gyro[2] * 0.005;
            }
            frame = temperatures.wait_async() => {
                warmest = frame?.iter().copied().fold(warmest, f32::max);
            }
            _ = second.tick() => common::line(format_args!(
                "{} motions, turned by {turn:.4} rad; warmest so far: {warmest:.1} °C; {} threads",
                statistics.received(),
                threads(),
            ))?,
            _ = tokio::signal::ctrl_c() => break,
            () = &mut end => break,
        }
    }
    common::line(format_args!("{}", statistics.summary()))?;
    if let Some(ages) = statistics.ages() {
        common::line(ages)?;
    }
    Ok(())
}

/// Counts this process's threads: this one, and the library's.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}
