use shmstream::ShmPayload;

#[derive(Clone, Copy)]
struct Name(u8);

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    first: Name,
    second: Name,
}

fn main() {}
