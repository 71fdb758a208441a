use shmstream::{Pod, ShmPayload};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    flag: u8,
    count: std::time::Duration,
}

fn publish<T: Pod>() {}

fn main() {
    publish::<Sample>();
}
