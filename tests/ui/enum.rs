use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(u8)]
enum Mode {
    Idle,
    Running,
}

fn main() {}
