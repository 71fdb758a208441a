use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
union Word {
    bytes: [u8; 4],
    word: u32,
}

fn main() {}
