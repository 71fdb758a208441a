use shmstream::{Pod, ShmPayload};

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample<T> {
    value: T,
}

fn publish<T: Pod>() {}

fn main() {
    publish::<Sample<f32>>();
}
