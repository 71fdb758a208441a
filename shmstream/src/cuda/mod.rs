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
mod sharing;
mod stream;

use std::sync::Arc;

use cudarc::driver::CudaContext;

use crate::error::{Error, Result};
use crate::gpu::Problem;
use crate::name::StreamName;
use crate::stream::stat;
use device::{Gpu, Wanted};

pub use cudarc;
/// A queue of work on a device: cudarc's `CudaStream`, under the name that does not clash with ours.
pub use cudarc::driver::CudaStream as Queue;

pub use builder::CudaBuilder;
pub(crate) use driver::availability;
pub use frame::CudaFrame;
pub use stream::{CudaLock, CudaStream, CudaSubscription, DeviceOnly, Mirrored, Placement};

/// Makes a context of the device of this number, as [`CudaContext::new`] does, which panics where there
/// is no driver.
///
/// # Errors
///
/// [`Problem::NoGpu`] with what is missing; [`Problem::Driver`] for a device that is not there.
///
/// ```
/// use shmstream::gpu::Problem;
///
/// match shmstream::cuda::context(0) {
///     Ok(context) => println!("{:?}", context.name()),
///     Err(problem) => println!("{problem}"),
/// }
/// ```
pub fn context(ordinal: usize) -> std::result::Result<Arc<CudaContext>, Problem> {
    Gpu::find(Wanted::Ordinal(ordinal))
}

/// Makes a context of the device that a stream is on, whatever its number is in this process.
///
/// # Errors
///
/// [`Error::Gpu`] with [`Problem::OnHost`] for a stream on the host, [`Problem::WrongDevice`] when this
/// process does not see the device, and as [`context`]; else as [`stat`].
pub fn context_of(name: impl AsRef<[u8]>) -> Result<Arc<CudaContext>> {
    let name = StreamName::new(name)?;
    let device = stat(&name)?.device;
    let found = match device {
        Some(device) => Gpu::find(Wanted::Uuid(device.uuid_bytes())),
        None => Err(Problem::OnHost),
    };
    found.map_err(|problem| Error::gpu(&name, problem))
}
