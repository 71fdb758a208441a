//! `shmstream`: looks into streams from a shell.

fn main() {}
