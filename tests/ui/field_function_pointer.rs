use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    apply: fn(f32) -> f32,
}

fn main() {}
