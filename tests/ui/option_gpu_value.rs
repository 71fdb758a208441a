use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu = true)]
struct Sample {
    gain: f32,
}

fn main() {}
