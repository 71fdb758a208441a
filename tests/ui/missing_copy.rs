use shmstream::ShmPayload;

#[derive(ShmPayload)]
#[repr(C)]
struct Sample {
    gain: f32,
}

fn main() {}
