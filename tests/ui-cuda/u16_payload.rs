use shmstream::cuda::CudaStream;

fn take(_: CudaStream<u16>) {}

fn main() {}
