//! Frames on a GPU between two processes: one publishes, the other computes a checksum of each.
//!
//! ```text
//! cargo run --release --example gpu_pipeline publish
//! cargo run --release --example gpu_pipeline read      # in another shell
//! ```
//!
//! Without a GPU it says what is missing.

use std::process::ExitCode;
use std::time::Duration;

use shmstream::cuda::{self, CudaStream};

const NAME: &str = "gpu-pipeline";
const SHAPE: [usize; 2] = [480, 640];
const FRAMES: u32 = 500;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let gpu = shmstream::gpu::availability();
    if !gpu.is_ready() {
        eprintln!("gpu_pipeline needs a GPU: {gpu}");
        return ExitCode::FAILURE;
    }
    let role = std::env::args().nth(1);
    let outcome = match role.as_deref() {
        Some("publish") => publish(),
        Some("read") => read(),
        _ => Err("say `publish` or `read`".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gpu_pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn publish() -> Outcome {
    let context = cuda::context(0)?;
    let queue = context.new_stream()?;
    let stream = CudaStream::<f32>::create(NAME, &SHAPE, &context)?;
    println!("publishing {FRAMES} frames as `{NAME}`");
    for i in 0..FRAMES {
        // A program of its own would have a kernel fill the slot; this copies an image to it.
        let image = queue.clone_htod(&vec![f32::from(u16::try_from(i)?); stream.len()])?;
        stream.publish_with_id(u64::from(i), &queue, |slot, queue| {
            queue.memcpy_dtod(&image, slot)
        })?;
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.flush()?;
    stream.unlink()?;
    Ok(())
}

fn read() -> Outcome {
    // The device is told by its UUID, whatever its number is here.
    let context = cuda::context_of(NAME)?;
    let queue = context.new_stream()?;
    let stream = CudaStream::<f32>::open(NAME, &context)?;
    while let Some(frame) = stream.wait_timeout(&queue, Duration::from_secs(1))? {
        let info = frame.info();
        // Kernels take `frame.view()`; this looks at the values on the host.
        let sum: f32 = frame.copy_to_host()?.iter().sum();
        println!("frame {}: sum {sum}, {} missed", info.frame_id, info.missed);
    }
    println!("no frame for a second: {} missed in all", stream.missed());
    Ok(())
}
