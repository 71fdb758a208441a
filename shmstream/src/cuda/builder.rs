//! The options of a stream on a device.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::CudaContext;

use super::stream::{CudaStream, DeviceOnly, Placement, Ways};
use crate::error::Result;
use crate::layout::{Handover, Sharing};
use crate::name::StreamName;
use crate::payload::GpuPayload;
use crate::stream::Options;

/// Options for creating and opening a stream on a device.
#[must_use = "a builder does nothing before `create` or `open`"]
pub struct CudaBuilder<T, P> {
    name: Vec<u8>,
    options: Options,
    ways: Ways,
    stream: PhantomData<fn() -> (T, P)>,
}

impl<T: GpuPayload> CudaBuilder<T, DeviceOnly> {
    /// Hands frames over by events of the driver, so that they appear when they are published and not
    /// when they are computed: queues of readers wait on the device.
    ///
    /// For the last bit of latency. A frame whose writer died with its work undone is passed over by who
    /// reads later; but a queue that waits for it when the writer is killed may wait for ever. Not for
    /// mirrored streams, whose readers on the host need frames that are complete. The memory is shared by
    /// handles then, since the driver's events are, and go with the process that created them.
    pub const fn events(mut self) -> Self {
        self.ways.handover = Handover::Event;
        self
    }
}

impl<T: GpuPayload, P: Placement> CudaBuilder<T, P> {
    pub(super) fn new(name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            options: Options::default(),
            ways: Ways {
                handover: Handover::Callback,
                sharing: None,
            },
            stream: PhantomData,
        }
    }

    /// Sets the number of slots, from 2 to 64. Default: 4.
    ///
    /// Needed are one for the latest frame, one for each frame that is on its way, and one for each that
    /// a reader's queue holds.
    pub const fn slots(mut self, slots: usize) -> Self {
        self.options.slots = Some(slots);
        self
    }

    /// Sets how many frames are kept for readers in order, the latest included. Default: 1.
    ///
    /// Without [`slots`](Self::slots), there are three slots more than that.
    pub const fn history(mut self, frames: usize) -> Self {
        self.options.history = frames;
        self
    }

    /// Sets how many handles can be attached at a time, from 1 to 1024. Default: 64.
    pub const fn participants(mut self, participants: usize) -> Self {
        self.options.participants = participants;
        self
    }

    /// Sets the permissions of the stream's file, as for `chmod`. Default: `0o600`.
    pub const fn mode(mut self, mode: u32) -> Self {
        self.options.mode = mode;
        self
    }

    /// Sets how the device memory is shared. Default: by descriptors where the driver can do that, so that
    /// the memory lives as long as any process has the stream open; else by a handle of the driver, with
    /// which it lives as long as the process that created it. [`stat`](crate::stat) and `shmstream info` say
    /// which it became.
    ///
    /// Descriptors are passed over Unix sockets, so who opens the stream has to be in the network namespace
    /// of one who has it open: for containers that share `/dev/shm` and not that, ask for
    /// [`Sharing::Handle`]. Where memory must not go with its creator, ask for [`Sharing::Descriptor`]:
    /// then [`create`](Self::create) fails where the driver cannot do it.
    ///
    /// ```no_run
    /// use shmstream::cuda::CudaStream;
    /// use shmstream::gpu::Sharing;
    ///
    /// let context = shmstream::cuda::context(0)?;
    /// let builder = CudaStream::<f32>::builder("image").sharing(Sharing::Handle);
    /// let stream = builder.create(&[480, 640], &context)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn sharing(mut self, sharing: Sharing) -> Self {
        self.ways.sharing = Some(sharing);
        self
    }

    /// Has the stream unlinked when the handle that created it is dropped.
    ///
    /// Other handles to it go on working. A process that ends without dropping the handle leaves the
    /// stream behind.
    pub const fn temporary(mut self) -> Self {
        self.options.temporary = true;
        self
    }

    /// Opens the stream also if it belongs to another user.
    pub const fn allow_other_owner(mut self) -> Self {
        self.options.any_owner = true;
        self
    }

    /// Creates the stream.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::create`], and [`Error::Invalid`](crate::Error::Invalid) for an option out of its
    /// range, or [`Sharing::Descriptor`] together with [`events`](Self::events); with the former,
    /// [`Problem::NoDescriptors`](crate::gpu::Problem::NoDescriptors) and
    /// [`Error::Limit`](crate::Error::Limit) say why it cannot be.
    pub fn create(self, shape: &[usize], context: &Arc<CudaContext>) -> Result<CudaStream<T, P>> {
        let name = StreamName::new(self.name)?;
        CudaStream::create_with(&name, &self.options, self.ways, shape, context)
    }

    /// Opens the stream.
    ///
    /// # Errors
    ///
    /// As [`CudaStream::open`].
    pub fn open(self, context: &Arc<CudaContext>) -> Result<CudaStream<T, P>> {
        let name = StreamName::new(self.name)?;
        CudaStream::open_with(&name, &self.options, context)
    }

    /// Opens the stream, or creates it if there is none, or none whose device memory is left.
    ///
    /// A stream that exists keeps the slots, history and so on with which it was created.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create) and [`open`](Self::open); [`Error::Shape`](crate::Error::Shape) when
    /// it has another shape.
    pub fn open_or_create(
        self,
        shape: &[usize],
        context: &Arc<CudaContext>,
    ) -> Result<CudaStream<T, P>> {
        let name = StreamName::new(self.name)?;
        CudaStream::open_or_create_with(&name, &self.options, self.ways, shape, context)
    }
}

impl<T, P> fmt::Debug for CudaBuilder<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaBuilder")
            .field("name", &String::from_utf8_lossy(&self.name))
            .field("options", &self.options)
            .finish()
    }
}
