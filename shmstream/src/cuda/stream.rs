//! `CudaStream`: creating, opening and looking.

mod creating;
mod fill;
mod looking;
mod reading;
mod subscription;
mod writing;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError};

pub(super) use creating::Ways;
pub use subscription::CudaSubscription;
pub use writing::CudaLock;

use super::Queue;
use super::builder::CudaBuilder;
use super::device::Gpu;
use super::memory::Memory;
use super::shared::Shared;
use super::sharing::{self, Holding, Offer};
use crate::error::{Error, Result};
use crate::gpu::{Problem, uuid_text};
use crate::layout::{self, Header};
use crate::name::StreamName;
use crate::payload::GpuPayload;
use crate::schema::Schema;
use crate::stream::file::check_schema;
use crate::stream::handle::Handle;
use crate::stream::{DynStream, Options};

/// How often `open_or_create` starts again because the stream appeared or vanished in between.
const ATTEMPTS: u32 = 1000;

/// Frames are in the memory of the device alone.
#[derive(Clone, Copy, Debug)]
pub enum DeviceOnly {}

/// Frames are on the device, and copied to the host besides.
///
/// Programs without a GPU read them with [`Stream`](crate::Stream) and [`DynStream`](crate::DynStream).
#[derive(Clone, Copy, Debug)]
pub enum Mirrored {}

/// Where a stream keeps its frames: [`DeviceOnly`] or [`Mirrored`].
pub trait Placement: sealed::Sealed + Send + 'static {
    #[doc(hidden)]
    const MIRRORED: bool;
}

impl Placement for DeviceOnly {
    const MIRRORED: bool = false;
}

impl Placement for Mirrored {
    const MIRRORED: bool = true;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::DeviceOnly {}
    impl Sealed for super::Mirrored {}
}

/// A handle to a stream whose frames live in the memory of a GPU.
///
/// See the [module](super) for the model. `Send`, and not `Sync`: each thread has a handle of its own.
///
/// Payloads are the types that a GPU can compute with. Others do not compile:
///
/// ```compile_fail,E0277
/// # use shmstream::cuda::CudaStream;
/// fn stream(_: CudaStream<u16>) {}
/// ```
///
/// Nor does reading on the host where no mirror is kept:
///
/// ```compile_fail,E0599
/// # use shmstream::cuda::{CudaStream, DeviceOnly};
/// fn read(stream: &CudaStream<f32, DeviceOnly>) {
///     stream.mirror();
/// }
/// ```
pub struct CudaStream<T: GpuPayload, P: Placement = DeviceOnly> {
    /// What hands the memory on, if it is shared by descriptors. Dropped before the row goes, which may be
    /// another's then.
    #[expect(dead_code, reason = "dropped to hand nothing on any more")]
    offer: Option<Offer>,
    /// Dropped before the memory, whose fate depends on who is attached, if it is shared by handle.
    handle: Handle,
    shared: Arc<Shared>,
    memory: Arc<Memory>,
    /// The lock that says that the memory is there, if it is shared by descriptors. Dropped behind it.
    #[expect(dead_code, reason = "dropped to give it back")]
    memory_lock: Option<sharing::Lock>,
    gpu: Gpu,
    /// Elements of a frame.
    len: usize,
    /// The queues that may have host functions of this handle ahead of them.
    queues: RefCell<Vec<Arc<Queue>>>,
    /// The queue of the frame that was published last.
    last: RefCell<Option<Arc<Queue>>>,
    /// The count of the newest frame that was found lost with its writer.
    lost: Cell<u64>,
    /// How the context was lost.
    context_lost: OnceCell<Problem>,
    /// The queue of copies from the host.
    own: OnceCell<Arc<Queue>>,
    /// The queue of copies to the mirror.
    copies: OnceCell<Arc<Queue>>,
    /// Whether the mirror is pinned, once it was tried.
    pinned: OnceCell<bool>,
    payload: PhantomData<fn() -> (T, P)>,
}

impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Starts with the options of a stream.
    pub fn builder(name: impl AsRef<[u8]>) -> CudaBuilder<T, P> {
        CudaBuilder::new(name)
    }

    /// Creates a stream of frames of this shape, on the context's device.
    ///
    /// Where the driver can do it, the memory is shared by descriptors, and lives as long as any process
    /// has the stream open. Otherwise it is shared by a handle of the driver, and is there as long as this
    /// process: others go on with the stream when the handle is dropped, not when the process ends.
    /// [`CudaBuilder::sharing`] chooses. A name whose stream has lost its device memory is taken over.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] without a GPU, or where processes cannot share its memory;
    /// [`Error::AlreadyExists`], [`Error::InvalidName`], [`Error::Invalid`] for a shape without elements,
    /// and what [`Stream::create`](crate::Stream::create) returns for the file.
    pub fn create(
        name: impl AsRef<[u8]>,
        shape: &[usize],
        context: &Arc<CudaContext>,
    ) -> Result<Self> {
        Self::builder(name).create(shape, context)
    }

    /// Creates the stream that is declared, on the context's device, with the feature `serde` or `config`.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] when it is declared to be on the host or with another placement, [`Error::Type`] for
    /// another payload; else as [`create`](Self::create).
    #[cfg(feature = "serde")]
    pub fn create_declared(
        config: &crate::config::StreamConfig,
        context: &Arc<CudaContext>,
    ) -> Result<Self> {
        let (name, declared) = (&config.name, config.resolved());
        match declared.placement {
            Some(declared) if declared == placement::<P>() => {}
            Some(declared) => {
                let (stream, program) = (words(declared), words(placement::<P>()));
                return Err(Error::gpu(name, Problem::Placement { stream, program }));
            }
            None => return Err(Error::gpu(name, Problem::OnHost)),
        }
        let shape = check_payload::<T>(name, &declared.payload)?;
        let ways = Ways {
            handover: declared.handover(),
            sharing: declared.sharing,
        };
        Self::create_with(name, &declared.options(), ways, shape, context)
    }

    /// Opens a stream that exists, also one of this process.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] without a GPU, with a context of another device, with another placement,
    /// [`Problem::ExporterGone`] when the device memory is gone, and [`Problem::Unreachable`] when nobody
    /// hands it over, which is certain after ten seconds; [`Error::Type`] for another payload;
    /// [`Error::Limit`] without a descriptor or a thread to hand the memory on with;
    /// [`Error::NotFound`] and what [`Stream::open`](crate::Stream::open) returns for the file.
    pub fn open(name: impl AsRef<[u8]>, context: &Arc<CudaContext>) -> Result<Self> {
        Self::builder(name).open(context)
    }

    pub(super) fn open_or_create_with(
        name: &StreamName,
        options: &Options,
        ways: Ways,
        shape: &[usize],
        context: &Arc<CudaContext>,
    ) -> Result<Self> {
        for _ in 0..ATTEMPTS {
            match Self::open_with(name, options, context) {
                Err(Error::NotFound { .. }) => {}
                Err(Error::Gpu {
                    problem: Problem::ExporterGone,
                    ..
                }) => {}
                opened => return opened.and_then(|stream| stream.with_shape(shape)),
            }
            match Self::create_with(name, options, ways, shape, context) {
                // Somebody else was faster.
                Err(Error::AlreadyExists { .. }) => {}
                created => return created,
            }
        }
        Err(Error::AlreadyExists { name: name.clone() })
    }

    /// Checks the shape, as for a stream that would have been created with it.
    fn with_shape(self, shape: &[usize]) -> Result<Self> {
        let declared = declared::<T>(self.name(), shape)?;
        check_schema(self.name(), self.schema(), &declared)?;
        Ok(self)
    }

    pub(super) fn open_with(
        name: &StreamName,
        options: &Options,
        context: &Arc<CudaContext>,
    ) -> Result<Self> {
        let gpu = Gpu::new(context).map_err(|problem| Error::gpu(name, problem))?;
        let check = |header: &Header| check_header::<T, P>(name, header, &gpu);
        let mut handle = Handle::open_device(name, options, check)?;
        let Some(device) = handle.header().plan.device.clone() else {
            return Err(Error::gpu(name, Problem::OnHost));
        };
        let shared = Shared::new(name, &handle)?;
        let (memory, holding) = Memory::of(name, &gpu, &mut handle, &device)?;
        Ok(Self::join(handle, shared, memory, holding, gpu))
    }

    /// Makes a handle of its parts. Cannot fail, so that they are given up in the handle's order.
    fn join(
        handle: Handle,
        shared: Arc<Shared>,
        memory: Arc<Memory>,
        holding: Option<Holding>,
        gpu: Gpu,
    ) -> Self {
        let (offer, memory_lock) = holding.map(|Holding { offer, lock }| (offer, lock)).unzip();
        Self {
            shared,
            len: handle.header().plan.schema.size() / size_of::<T>(),
            offer,
            handle,
            memory,
            memory_lock,
            gpu,
            queues: RefCell::default(),
            last: RefCell::default(),
            own: OnceCell::new(),
            copies: OnceCell::new(),
            lost: Cell::new(0),
            context_lost: OnceCell::new(),
            pinned: OnceCell::new(),
            payload: PhantomData,
        }
    }

    #[cfg(feature = "async")]
    pub(crate) const fn participant(&self) -> &Handle {
        &self.handle
    }

    /// Makes an error of a problem. After the loss of the context, others get what the handle has.
    fn fail(&self, problem: Problem) -> Error {
        self.note(&problem);
        Error::gpu(self.name(), problem)
    }

    pub(super) fn refused(&self, operation: &'static str, error: DriverError) -> Error {
        self.fail(self.gpu.refused(operation, error))
    }

    fn note(&self, problem: &Problem) {
        if matches!(problem, Problem::ContextLost { .. })
            && self.context_lost.set(problem.clone()).is_ok()
        {
            self.shared.abandon(self.slots());
        }
    }

    /// Checks that this is no forked child, and that the context was not lost.
    fn check_usable(&self) -> Result<()> {
        self.handle.check_fork()?;
        match self.context_lost.get() {
            Some(problem) => Err(Error::gpu(self.name(), problem.clone())),
            None => Ok(()),
        }
    }

    /// Checks that a queue is one of the stream's context, and this no forked child.
    fn check_queue(&self, queue: &Queue) -> Result<()> {
        self.check_usable()?;
        match queue.context().cu_ctx() == self.gpu.context().cu_ctx() {
            true => Ok(()),
            false => Err(self.fail(Problem::WrongContext)),
        }
    }

    /// Remembers a queue, to wait for it in the end.
    fn note_queue(&self, queue: &Arc<Queue>) {
        let mut queues = self.queues.borrow_mut();
        if !queues.iter().any(|known| Arc::ptr_eq(known, queue)) {
            queues.push(Arc::clone(queue));
        }
    }
}

impl<T: GpuPayload> CudaStream<T, Mirrored> {
    /// Opens the mirror, as another participant: an ordinary stream to read from on the host.
    ///
    /// # Errors
    ///
    /// As [`DynStream::open`](crate::DynStream::open).
    pub fn mirror(&self) -> Result<DynStream> {
        Ok(DynStream::from_handle(self.handle.attach_again()?))
    }
}

impl<T: GpuPayload, P: Placement> Drop for CudaStream<T, P> {
    fn drop(&mut self) {
        if self.handle.check_fork().is_err() {
            return;
        }
        // Frames that are on their way arrive, and slots come back. A queue that cannot be waited for is of
        // a lost context, where nothing runs any more, so others get the slots with the row.
        for queue in self.queues.get_mut().drain(..) {
            let _ = self.gpu.synchronize(&queue);
        }
        self.shared.close();
        if self.pinned.get() == Some(&true) {
            self.gpu.unpin_host(self.shared.board().mirrors().0);
        }
    }
}

impl<T: GpuPayload, P: Placement> fmt::Debug for CudaStream<T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaStream")
            .field("name", self.name())
            .field("shape", &self.shape())
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

const fn placement<P: Placement>() -> layout::Placement {
    match P::MIRRORED {
        true => layout::Placement::Mirrored,
        false => layout::Placement::DeviceOnly,
    }
}

/// Returns the schema of frames of `T`.
fn declared<T: GpuPayload>(name: &StreamName, shape: &[usize]) -> Result<Schema> {
    if shape.is_empty() || shape.contains(&0) {
        let reason = format!("must have dimensions of at least 1, not {shape:?}");
        return Err(Error::invalid(name, "the shape", reason));
    }
    let schema = shape
        .iter()
        .rev()
        .fold(T::schema(), |schema, &len| schema.array(len));
    match schema.check_size() {
        Ok(()) => Ok(schema),
        Err(reason) => Err(Error::invalid(name, "the shape", reason)),
    }
}

/// Returns a placement as programs write it.
const fn words(placement: layout::Placement) -> &'static str {
    match placement {
        layout::Placement::DeviceOnly => "DeviceOnly",
        layout::Placement::Mirrored => "Mirrored",
    }
}

/// Checks that a payload is an array of `T`, and returns its dimensions.
fn check_payload<'a, T: GpuPayload>(name: &StreamName, payload: &'a Schema) -> Result<&'a [usize]> {
    let inner = T::schema().shape().len();
    let outer = payload.shape().len().saturating_sub(inner).max(1);
    let outer = payload.shape().get(..outer).unwrap_or_default();
    let expected = outer
        .iter()
        .rev()
        .fold(T::schema(), |schema, &len| schema.array(len));
    check_schema(name, payload, &expected)?;
    Ok(outer)
}

/// Checks that a stream is what a program declares, and on the device of its context.
fn check_header<T: GpuPayload, P: Placement>(
    name: &StreamName,
    header: &Header,
    gpu: &Gpu,
) -> Result<()> {
    let fail = |problem| Err(Error::gpu(name, problem));
    let Some(device) = &header.plan.device else {
        return fail(Problem::OnHost);
    };
    if device.placement != placement::<P>() {
        let (stream, program) = (words(device.placement), words(placement::<P>()));
        return fail(Problem::Placement { stream, program });
    }
    check_payload::<T>(name, &header.plan.schema)?;
    let uuid = gpu.uuid().map_err(|problem| Error::gpu(name, problem))?;
    if uuid != device.uuid {
        return fail(Problem::WrongDevice {
            stream: uuid_text(device.uuid),
            program: uuid_text(uuid),
        });
    }
    Ok(())
}
