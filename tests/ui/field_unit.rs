use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    nothing: (),
    gain: f32,
}

fn main() {}
