//! A frame from one process to another and word back, which takes two hand-overs of a kind: on the
//! device there, and on the host back.

use std::process::{Child, Command, Stdio};

use shmstream::Stream;
use shmstream::cuda::{CudaStream, context, context_of};

use super::table::{Table, Target};
use super::{Outcome, PATIENCE, Scale, median, name};

const ROLE: &str = "SHMSTREAM_BENCH_GPU_READS";

/// Bytes of a frame, what the row says of it, and by how much it is to be faster than pyshmem.
const SIZES: [(usize, &str); 2] = [(64 << 10, "64 KiB"), (400_000_000, "400 MB")];

/// What a child is started for: to read the stream of this name.
pub(crate) struct Role(String);

pub(crate) fn role() -> Option<Role> {
    std::env::var(ROLE).ok().map(Role)
}

impl Role {
    /// Answers each frame until none comes any more.
    pub(crate) fn play(&self) -> Outcome {
        let Self(name) = self;
        let context = context_of(name)?;
        let queue = context.new_stream()?;
        let frames = CudaStream::<u8>::open(name, &context)?;
        let answers = Stream::<u64, 1>::open(format!("{name}-back"))?;
        answers.write(&[0])?;
        while let Some(frame) = frames.wait_timeout(&queue, PATIENCE)? {
            let id = frame.info().frame_id;
            // The reader's kernels would go here, on the slot itself.
            drop(frame);
            if id == u64::MAX {
                break;
            }
            answers.write(&[id])?;
        }
        Ok(())
    }
}

/// Ends a child that is still there.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn measure(scale: Scale, table: &mut Table) -> Outcome {
    for (size, words) in SIZES {
        let bytes = match scale.bench {
            true => size,
            false => size.min(64 << 10),
        };
        for events in [false, true] {
            let how = if events { "event" } else { "callback" };
            let rounds = scale.rounds(64 << 10);
            table.add(
                format!("to another process and back, {words}, {how}"),
                there_and_back(bytes, events, rounds)?,
                Target::Faster(5.0),
            );
        }
    }
    Ok(())
}

fn there_and_back(bytes: usize, events: bool, rounds: usize) -> Outcome<f64> {
    let name = name("pair");
    let context = context(0)?;
    let queue = context.new_stream()?;
    let mut builder = CudaStream::<u8>::builder(&name);
    if events {
        builder = builder.events();
    }
    let frames = builder.create(&[bytes], &context)?;
    let answers = Stream::<u64, 1>::builder(format!("{name}-back"));
    let answers = answers.temporary().create()?;
    // In place: the work on the slot is a small part of it, whatever its size.
    let source = queue.alloc_zeros::<u8>(bytes.min(4096))?;
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.env(ROLE, &name).stdin(Stdio::null());
    let mut reader = Reader(command.spawn()?);
    drop(
        answers
            .wait_timeout(PATIENCE)?
            .ok_or("the reader did not come")?,
    );
    let mut id = 0;
    let time = median(rounds, || {
        id += 1;
        frames.publish_with_id_timeout(id, PATIENCE, &queue, |slot, queue| {
            queue.memcpy_dtod(&source, &mut slot.slice_mut(..source.len()))
        })?;
        while answers.wait_timeout(PATIENCE)?.ok_or("no answer")?.get() != id {}
        Ok(())
    })?;
    frames.publish_with_id_timeout(u64::MAX, PATIENCE, &queue, |_, _| Ok(()))?;
    let status = reader.0.wait()?;
    frames.unlink()?;
    match status.success() {
        true => Ok(time),
        false => Err(format!("the reader failed: {status}").into()),
    }
}
