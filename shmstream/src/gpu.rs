//! Whether this machine has a GPU that streams can use.
//!
//! With the feature `cuda`, the driver library is looked for when a program runs, so a program that was
//! built with the feature starts on machines without one.

mod host;
mod info;
mod problem;

use std::fmt;

pub use host::{HostHandle, HostLock};
#[cfg(feature = "cuda")]
pub(crate) use info::uuid_text;
pub use info::{DeviceInfo, Handover, Placement, Sharing};
pub use problem::{Holders, Place, Problem};

/// What the CUDA driver says of this machine.
///
/// Written with `{}` it is one sentence that ends with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Availability {
    /// There is no driver library.
    NoLibrary,
    /// The driver library lacks a function: it is too old, or not NVIDIA's.
    MissingSymbol(&'static str),
    /// The driver refuses to start.
    Driver {
        /// Its code, a `CUresult`.
        code: i32,
        /// What it says of the code.
        text: String,
    },
    /// The driver works and has no device for this process.
    NoDevice,
    /// This process was forked from one that used CUDA, and so cannot use it.
    Forked,
    /// There are devices.
    Ready {
        /// The CUDA version that the driver is for: 1000 times the major plus 10 times the minor one.
        driver_version: i32,
        /// The number of devices that this process sees.
        devices: u32,
    },
}

/// The driver's code for a toolkit's stand-in library on the search path.
const STUB_LIBRARY: i32 = 34;
/// Kernel module and library are of different versions.
const DRIVER_MISMATCH: i32 = 803;

impl Availability {
    /// Returns whether there is a device.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }
}

impl fmt::Display for Availability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLibrary => f.write_str(
                "no CUDA driver: neither libcuda.so nor libcuda.so.1 was found; install NVIDIA's driver, \
                 or in a container make the GPU visible to it",
            ),
            Self::MissingSymbol(function) => write!(
                f,
                "the CUDA driver library has no {function}; install a driver for CUDA 11.4 or later"
            ),
            Self::Driver { code: STUB_LIBRARY, .. } => f.write_str(
                "the CUDA driver library is a toolkit's stub (code 34); take the toolkit's folder \
                 `stubs` off the library search path",
            ),
            Self::Driver { code: DRIVER_MISMATCH, text } => write!(
                f,
                "the CUDA driver does not start: {text} (code 803); restart the machine after an \
                 update of the driver"
            ),
            Self::Driver { code, text } => write!(
                f,
                "the CUDA driver does not start: {text} (code {code}); `nvidia-smi` tells whether it \
                 works at all"
            ),
            Self::NoDevice => f.write_str(
                "the CUDA driver has no device for this process; check `nvidia-smi` and the variable \
                 CUDA_VISIBLE_DEVICES",
            ),
            Self::Forked => f.write_str(
                "this process was forked from one that used CUDA, which does not work in the child; start \
                 a program instead (exec), or fork before the first use",
            ),
            Self::Ready { driver_version, devices } => write!(
                f,
                "CUDA {}.{} with {devices} {}",
                driver_version / 1000,
                driver_version % 1000 / 10,
                if *devices == 1 { "device" } else { "devices" },
            ),
        }
    }
}

/// Returns whether there is a GPU, and if not, why.
///
/// Never panics. The answer is found once in the life of a process; the first call starts the driver,
/// which takes a while. cudarc itself panics where there is no driver, so ask before calling it, or have
/// [`cuda::context`](crate::cuda::context) ask.
///
/// ```
/// println!("{}", shmstream::gpu::availability());
/// ```
#[cfg(feature = "cuda")]
#[must_use]
pub fn availability() -> &'static Availability {
    crate::cuda::availability()
}
