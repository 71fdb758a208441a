use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    letter: char,
}

fn main() {}
