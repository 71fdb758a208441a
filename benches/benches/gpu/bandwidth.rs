//! Round trips of a frame in one process, and copies beside plain ones.

use shmstream::cuda::{CudaStream, Mirrored, context};

use super::table::{Table, Target};
use super::{Outcome, PATIENCE, Scale, median, name};

/// From the host into a stream, and read on the device: as in pyshmem's documentation.
pub(crate) fn round_trips(scale: Scale, table: &mut Table) -> Outcome {
    for (side, target) in [(100, 3.0), (1000, 1.5), (10_000, 1.0)] {
        let label = format!("round trip {side}x{side}");
        let side = scale.side(side);
        let context = context(0)?;
        let queue = context.new_stream()?;
        let name = name("trip");
        let writer = CudaStream::<f32>::create(&name, &[side, side], &context)?;
        let reader = CudaStream::<f32>::open(&name, &context)?;
        let frame = vec![1.0; side * side];
        let time = median(scale.rounds(size_of_val(&*frame)), || {
            writer.write_timeout(&frame, PATIENCE)?;
            let frame = reader.read(&queue)?.ok_or("no frame")?;
            let _view = frame.view();
            Ok(())
        })?;
        writer.unlink()?;
        table.add(label, time, Target::Faster(target));
    }
    Ok(())
}

/// From pinned memory of the host into a stream, and into a mirror, beside plain copies.
pub(crate) fn copies(scale: Scale, table: &mut Table) -> Outcome {
    let len = match scale.bench {
        true => 64 << 20,
        false => 1 << 16,
    };
    let rounds = scale.rounds(len * size_of::<f32>());
    let context = context(0)?;
    let queue = context.new_stream()?;
    // SAFETY: `alloc_pinned` asks that the memory is written before it is read: that is done below, and
    // every bit pattern is a number.
    let mut pinned = unsafe { context.alloc_pinned::<f32>(len) }?;
    pinned.as_mut_slice()?.fill(1.0);
    let mut buffer = queue.alloc_zeros::<f32>(len)?;

    let name = name("copies");
    let stream = CudaStream::<f32>::builder(&name).slots(3);
    let stream = stream.create(&[len], &context)?;
    let frame = pinned.as_slice()?.to_vec();
    let pageable = median(rounds, || Ok(stream.write(&frame).map(drop)?))?;
    let written = median(rounds, || Ok(stream.write(pinned.as_slice()?).map(drop)?))?;
    stream.unlink()?;
    drop(stream);
    let floor = median(rounds, || {
        queue.memcpy_htod(&pinned, &mut buffer)?;
        Ok(queue.synchronize()?)
    })?;
    table.add_beside(
        "write from pinned memory",
        written,
        floor,
        Target::OfFloor(0.9),
    );
    table.add_beside("write from other memory", pageable, floor, Target::Open);

    let stream = CudaStream::<f32, Mirrored>::builder(&name).slots(3);
    let stream = stream.create(&[len], &context)?;
    let mirrored = median(rounds, || {
        stream.publish(&queue, |_, _| Ok(()))?;
        Ok(stream.flush()?)
    })?;
    stream.unlink()?;
    drop(stream);
    let floor = median(rounds, || {
        queue.memcpy_dtoh(&buffer, &mut pinned)?;
        Ok(queue.synchronize()?)
    })?;
    table.add_beside("mirror", mirrored, floor, Target::OfFloor(0.9));
    Ok(())
}
