use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample;

fn main() {}
