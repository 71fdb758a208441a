use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(crate = "shmstream")]
struct Sample {
    gain: f32,
}

fn main() {}
