use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(crate)]
struct Sample {
    gain: f32,
}

fn main() {}
