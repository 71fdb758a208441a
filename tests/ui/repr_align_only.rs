use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(align(4))]
struct Sample {
    gain: f32,
}

fn main() {}
