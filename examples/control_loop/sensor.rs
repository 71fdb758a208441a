//! The process that measures slopes. It creates the streams, and starts the others.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use common::{Other, Result, Schedule, Stop, bytes_text};

use crate::options::Options;
use crate::payload::{
    ACTUATORS, MatrixStream, SLOPES, SlopeStream, fill_matrix, sense as sense_slopes, wavefront,
};
use crate::streams::Streams;

pub(crate) fn sense(options: &Options) -> Result<()> {
    let stop = Stop::on_signals()?;
    let base = format!("control-{}", std::process::id());
    let streams = Streams::create(&base)?;
    publish_matrix(&streams.matrix, 1)?;
    writeln!(
        io::stdout(),
        "{ACTUATORS} commands of {SLOPES} slopes, through a matrix of {}: {:.0} times a second for \
         {:.1} s",
        bytes_text(size_of::<[[f32; SLOPES]; ACTUATORS]>() as f64),
        1.0 / options.period.as_secs_f64(),
        options.seconds.as_secs_f64(),
    )?;

    // Held for as long as there are slopes to come.
    let lock = streams.slopes.lock()?;
    let start = |role| Other::start(role, ["--role", role, "--base", &base]);
    let mut others = [start("controller")?, start("mirror")?];

    // A new matrix takes milliseconds to compute. So that is done by a thread of its own, with a
    // handle of its own, and the sensor keeps its pace.
    let matrices = streams.matrix.try_clone()?;
    let (end, ended) = channel();
    let every = options.matrix_every;
    std::thread::scope(|scope| {
        let calibration = scope.spawn(move || calibrate(&matrices, every, &ended));
        let result = publish_slopes(&streams.slopes, options, || {
            let mut gone = stop.asked() || calibration.is_finished();
            for other in &mut others {
                gone |= other.has_ended(&stop)?;
            }
            Ok(gone)
        });
        drop(end);
        let calibrated = calibration.join().expect("the thread does not panic");
        result.and(calibrated.map_err(Into::into))
    })?;

    drop(lock);
    let [controller, mirror] = others;
    controller.wait(&stop)?;
    mirror.wait(&stop)
}

fn publish_slopes(
    stream: &SlopeStream,
    options: &Options,
    mut ended: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let mut schedule = Schedule::new(options.period);
    let frames = schedule.ticks_in(options.seconds);
    loop {
        let number = schedule.next_tick();
        if number > frames || schedule.sleep_until(number, &mut ended)? {
            return Ok(());
        }
        let mut frame = stream.loan()?;
        sense_slopes(&wavefront(number), frame.as_flattened_mut());
        frame.publish_with_id(number)?;
    }
}

/// Publishes a new matrix now and then, until the other end of `ended` is gone.
fn calibrate(
    stream: &MatrixStream,
    every: Duration,
    ended: &Receiver<()>,
) -> shmstream::Result<()> {
    let mut number = 2;
    while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        publish_matrix(stream, number)?;
        number += 1;
    }
    Ok(())
}

fn publish_matrix(stream: &MatrixStream, number: u64) -> shmstream::Result<u64> {
    let mut matrix = stream.loan()?;
    fill_matrix(number, &mut matrix);
    matrix.publish_with_id(number)
}
