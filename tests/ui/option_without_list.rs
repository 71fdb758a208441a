use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm]
struct Sample {
    gain: f32,
}

fn main() {}
