//! A stand-in for the CUDA driver library, for tests on machines without a GPU.
//!
//! It exports the functions of the driver that shmstream and cudarc call, with the driver's names and
//! codes. What makes it worth having:
//!
//! - A queue is a thread: an asynchronous call returns before its effect, after a delay that a test
//!   sets, so a missing wait gives wrong data.
//! - A device address is no address of the processor: host code that uses one faults.
//! - Device memory is shared memory, so handles and descriptors work between real processes, and what
//!   is left when one of them is killed is what a driver leaves.
//! - It refuses what the driver refuses, and what a test asks it to refuse.
//!
//! It has no kernels but the few of `kernel.rs`, no hardware and no timing of its own. Where neither
//! NVIDIA's text nor a report says what a driver does, the code that decides says so.
//!
//! `README.md` lists the settings, all read from the environment.
//!
//! # Unsafe code
//!
//! An exported function has the contract of the driver's function of the same name: pointers to
//! results are null or point to room for one, handles are any number at all. Handles are looked up,
//! never followed, so `unsafe` is needed for three things: to write results through the caller's
//! pointers (`call.rs`), to map and to touch device memory (`mapping.rs`, `span.rs`), and to run the
//! functions that a caller put into a queue. Other processes write to device memory at any time, which
//! is its purpose: it is touched through raw pointers alone, never by reference except to atomics.
#![allow(unsafe_code)]
// The driver's names.
#![allow(non_snake_case)]

mod blocks;
mod call;
mod config;
mod context;
mod context_calls;
mod copy;
mod device;
mod event;
mod fault;
mod host;
mod identity;
mod ipc;
mod kernel;
mod log;
mod mapping;
mod memory;
mod module;
mod own;
mod peer;
mod pointer;
mod queue;
mod queue_calls;
mod span;
mod status;
mod table;
mod vmm;
mod vmm_map;
mod wait_value;
