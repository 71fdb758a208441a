use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(u8)]
struct Sample {
    gain: f32,
}

fn main() {}
