use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Inner {
    count: f32,
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
#[shm(gpu)]
struct Sample {
    inner: [Inner; 2],
    gain: f32,
}

fn main() {}
