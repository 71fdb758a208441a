use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C, packed)]
struct Sample {
    gain: f32,
}

fn main() {}
