//! The process that makes commands of slopes.

use common::{Result, Stop, Writer, writer};

use crate::payload::SLOPES;
use crate::product::product;
use crate::streams::{PATIENCE, Streams, remove};

pub(crate) fn control(base: &str) -> Result<()> {
    let stop = Stop::on_signals()?;
    let streams = Streams::open(base)?;
    let end = run(&streams, &stop)?;
    if end == Writer::Dead {
        remove(base)?;
        return Err("the sensor died; its streams are unlinked".into());
    }
    Ok(())
}

fn run(streams: &Streams, stop: &Stop) -> Result<Writer> {
    // Held for as long as there are commands to come.
    let commands = streams.commands.lock()?;
    // In place, for as long as there is no newer one: all that this holds is one slot of the stream.
    let mut matrix = streams.matrix.wait()?;
    let (mut seen, mut missed) = (0, 0);
    while !stop.asked() {
        let Some(slopes) = streams.slopes.wait_timeout(PATIENCE)? else {
            match writer(&streams.slopes.status()?, seen) {
                Writer::Writing => continue,
                end => return Ok(end),
            }
        };
        let info = slopes.info();
        seen = info.count;
        missed += info.missed;
        let taken_ns = info.monotonic_ns + u64::try_from(info.age().as_nanos())?;
        if let Some(newer) = streams.matrix.read_new()? {
            matrix = newer;
        }

        let vector: &[f32; SLOPES] = slopes.as_flattened().try_into()?;
        let mut command = commands.loan()?;
        product(&matrix, vector, &mut command[0].actuators);
        command[0].matrix = matrix.info().frame_id;
        command[0].missed = missed;
        command[0].sensed_ns = info.monotonic_ns;
        command[0].taken_ns = taken_ns;
        command.publish_with_id(info.frame_id)?;
    }
    Ok(Writer::Done)
}
