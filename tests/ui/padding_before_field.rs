use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    flag: u8,
    gain: f32,
}

fn main() {}
