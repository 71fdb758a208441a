use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C, align(8192))]
struct Sample {
    gain: f32,
}

fn main() {}
