use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    pair: (f32, f32),
}

fn main() {}
