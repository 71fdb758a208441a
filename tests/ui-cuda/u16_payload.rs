use shmstream::cuda::CudaStream;

fn count(stream: &CudaStream<u16>) -> u64 {
    stream.count()
}

fn main() {}
