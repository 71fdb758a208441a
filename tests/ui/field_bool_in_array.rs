use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    flags: [[bool; 2]; 3],
}

fn main() {}
