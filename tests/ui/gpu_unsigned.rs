use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu)]
struct Sample {
    count: u32,
    gain: f32,
}

fn main() {}
