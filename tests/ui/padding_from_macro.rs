use shmstream::ShmPayload;

macro_rules! sample {
    ($name:ident, $field:ident: $ty:ty) => {
        #[derive(Clone, Copy, ShmPayload)]
        #[repr(C)]
        struct $name {
            head: u8,
            $field: $ty,
        }
    };
}

sample!(Sample, value: [u32; 2]);

fn main() {}
