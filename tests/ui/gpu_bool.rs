use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu)]
struct Sample {
    flags: [shmstream::Bool; 4],
    gain: f32,
}

fn main() {}
