use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    gain: f32,
    rest: [f32; 0],
}

fn main() {}
