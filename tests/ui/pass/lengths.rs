//! Array lengths are any constant expression.

use shmstream::ShmPayload;

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Sample {
    call: [f32; larger(1, 2)],
    associated: [f32; Self::LEN],
    condition: [f32; if cfg!(unix) { 2 } else { 3 }],
    size: [f32; size_of::<Inner>()],
    block: [f32; {
        let mut len = 0;
        while len < 4 {
            len += 1;
        }
        len
    }],
}

impl Sample {
    const LEN: usize = 4;
}

struct Inner(u16);

fn main() {
    assert_eq!(size_of::<Sample>(), 4 * (2 + 4 + 2 + 2 + 4));
    assert_eq!(Inner(1).0, 1);
}
