use shmstream::ShmPayload;

macro_rules! sample {
    ($name:ident, $field:ident: $ty:ty) => {
        #[derive(Clone, Copy, ShmPayload)]
        #[repr(C)]
        struct $name {
            $field: $ty,
        }
    };
}

sample!(Sample, flag: bool);

fn main() {}
