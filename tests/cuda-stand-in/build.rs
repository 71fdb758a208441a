//! Gives the library the name that programs load the driver by.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // A program that loaded this file by its path then finds it as `libcuda.so` too.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libcuda.so");
}
