use shmstream::ShmPayload;

#[derive(Clone, Copy, ShmPayload)]
struct Sample {
    count: usize,
    flag: bool,
}

fn main() {}
