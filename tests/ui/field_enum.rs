use shmstream::ShmPayload;

#[derive(Clone, Copy)]
#[repr(u8)]
enum Mode {
    Idle,
    Running,
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    mode: Mode,
}

fn main() {}
