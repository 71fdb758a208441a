use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample<'a> {
    values: Values<'a>,
}

#[derive(Clone, Copy)]
struct Values<'a>(&'a f32);

fn main() {}
