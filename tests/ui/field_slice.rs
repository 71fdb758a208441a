use shmstream::ShmPayload;

#[derive(ShmPayload)]
#[repr(C)]
struct Sample {
    values: [f32],
}

fn main() {}
