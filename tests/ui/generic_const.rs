use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample<const N: usize> {
    value: [f32; N],
}

fn main() {}
