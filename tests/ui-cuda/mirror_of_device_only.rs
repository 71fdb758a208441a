use shmstream::cuda::{CudaStream, DeviceOnly};

fn look(stream: &CudaStream<f32, DeviceOnly>) {
    let _ = stream.mirror();
}

fn main() {}
