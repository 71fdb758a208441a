//! The program `shmstream`, as a shell sees it: output, exit codes, and that looking leaves no trace.

mod changing;
mod damage;
mod devices;
mod faults;
mod looking;
mod mutated;
mod support;
mod terminal;
mod watching;

use shmstream::Stream;
use shmstream::gpu::HostHandle;

use support::{hear, tell};

/// What a child of these tests does; see `support::Child`.
#[test]
fn child_entry() {
    support::play(&[
        ("hold", |name| {
            let _stream = Stream::<f32, 4>::create(name).expect("create a stream");
            tell("ready");
            hear();
        }),
        ("attend", |name| {
            let _stream = HostHandle::open(name).expect("open a stream");
            tell("ready");
            hear();
        }),
        ("publish", |name| {
            let stream = Stream::<u64, 32>::create(name).expect("create a stream");
            let lock = stream.lock().expect("lock a stream");
            for count in 1.. {
                lock.write(&[count; 32]).expect("write a frame");
                if count == 1 {
                    tell("ready");
                }
            }
        }),
    ]);
}
