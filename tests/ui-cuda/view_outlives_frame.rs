use std::sync::Arc;

use shmstream::cuda::{CudaStream, Queue};

fn last(stream: &CudaStream<f32>, queue: &Arc<Queue>) -> usize {
    let frame = stream.read(queue).unwrap().unwrap();
    let view = frame.view();
    drop(frame);
    view.len()
}

fn main() {}
