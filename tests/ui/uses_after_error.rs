use shmstream::{Pod, ShmPayload};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    count: usize,
}

fn publish<T: Pod>() {}

fn main() {
    publish::<Sample>();
}
