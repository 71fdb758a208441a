use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample<'a> {
    values: &'a [f32],
}

fn main() {}
