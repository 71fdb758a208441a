use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C, align(16))]
struct Sample {
    gain: f32,
}

fn main() {}
