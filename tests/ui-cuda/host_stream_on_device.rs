use std::sync::Arc;

use shmstream::Stream;
use shmstream::cuda::Queue;

fn publish(stream: &Stream<f32, 4>, queue: &Arc<Queue>) {
    let _ = stream.publish(queue, |_, _| Ok(()));
}

fn main() {}
