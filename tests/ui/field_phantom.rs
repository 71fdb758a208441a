use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    gain: f32,
    unit: std::marker::PhantomData<u8>,
}

fn main() {}
