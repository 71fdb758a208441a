use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    gain: f32,
    flag: u8,
}

fn main() {}
