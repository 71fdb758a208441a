//! What the stand-in does, and that it does what a driver does.
//!
//! Each test is a child that loads the driver, through cudarc as the library does. Tests that need no
//! setting of the stand-in run over a real driver too, with `SHMSTREAM_TEST_GPU=1`: that is how its
//! codes are compared.

mod memory;
mod processes;
mod queues;
mod refusals;
mod support;
mod virtual_memory;

#[test]
fn child_entry() {
    let roles = [
        memory::ROLES,
        processes::ROLES,
        queues::ROLES,
        refusals::ROLES,
        virtual_memory::ROLES,
    ];
    shmstream_tests::play(&roles.concat());
}
