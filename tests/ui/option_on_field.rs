use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    #[shm(gpu)]
    gain: f32,
}

fn main() {}
