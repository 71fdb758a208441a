use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu)]
struct Sample {
    name: std::time::Duration,
}

fn main() {}
