use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
struct Sample {
    gain: f32,
}

fn main() {}
