use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    count: std::num::NonZeroU32,
}

fn main() {}
