use shmstream::ShmPayload;

#[derive(Clone, Copy)]
struct Name(u8);

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    names: [[Name; 2]; 4],
}

fn main() {}
