use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu crate)]
struct Sample {
    gain: f32,
}

fn main() {}
