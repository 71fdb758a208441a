use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(Rust)]
struct Sample {
    gain: f32,
}

fn main() {}
