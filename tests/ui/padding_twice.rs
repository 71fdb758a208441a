use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    _pad: u8,
    gain: f32,
    flag: u8,
}

fn main() {}
