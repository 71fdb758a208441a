//! Streams whose frames live in the memory of a GPU.
//!
//! [`docs::gpu`](crate::docs::gpu) has the model, the hand-overs, what happens after a crash, and the
//! limits.

mod builder;
mod device;
mod driver;
mod frame;
mod memory;
mod shared;
mod stream;

pub use cudarc;
/// A queue of work on a device: cudarc's `CudaStream`, under the name that does not clash with ours.
pub use cudarc::driver::CudaStream as Queue;

pub use builder::CudaBuilder;
pub(crate) use driver::availability;
pub use frame::CudaFrame;
pub use stream::{CudaLock, CudaStream, CudaSubscription, DeviceOnly, Mirrored, Placement};
