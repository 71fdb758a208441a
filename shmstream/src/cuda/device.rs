//! A context, and what streams do with it: memory that processes share, copies, host functions.
#![allow(unsafe_code)]
// This file guarantees that
// - a slice over a slot is never freed by cudarc, and lies inside the block that it was lent from;
// - a host function runs once, or is given back;
// - a context is made current while it is there;
// - copies stay inside the memory that the caller passes.

mod virtual_memory;

use std::ffi::c_void;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use cudarc::driver::result::ctx;
use cudarc::driver::{CudaContext, CudaSlice, CudaView, CudaViewMut, DriverError};

use super::Queue;
use super::driver::{
    Address, Code, Functions, Handle, INVALID_CONTEXT, INVALID_VALUE, LOST, NOT_READY, RawEvent,
    SUCCESS, functions,
};
use crate::gpu::{Place, Problem, uuid_text};
use crate::payload::GpuPayload;

pub(super) use virtual_memory::Mapped;

/// The only flag that the driver knows for opening memory: peer access is made as needed.
const LAZY_PEER_ACCESS: u32 = 1;

/// Flags of events: without times, which is quicker, and for other processes.
const NO_TIMING: u32 = 2;
const INTERPROCESS: u32 = 4;

/// Codes that say that a handle cannot be made or opened here, whatever the memory.
const UNSUPPORTED: [Code; 4] = [
    801, // not supported
    800, // not permitted
    215, // unsupported limit
    217, // no peer access
];

/// An event of the driver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event(RawEvent);

// SAFETY: `Send` asks that another thread may have it: it is a number to the driver, whose functions
// may be called from all threads.
unsafe impl Send for Event {}
// SAFETY: `Sync` asks that several threads may use it at once: as above.
unsafe impl Sync for Event {}

/// Which device is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    Ordinal(usize),
    Uuid([u8; 16]),
}

/// Returns the number that a device has in this process.
fn find_device(functions: &Functions, wanted: [u8; 16]) -> Result<usize, Problem> {
    let mut seen = Vec::new();
    for ordinal in 0.. {
        let (mut device, mut uuid) = (0, [0; 16]);
        // SAFETY: the function writes one `int`, which outlives the call; it refuses what is no number
        // of a device.
        if unsafe { (functions.device)(&raw mut device, ordinal) } != SUCCESS {
            break;
        }
        // SAFETY: the function writes 16 bytes, which outlive the call.
        if unsafe { (functions.device_uuid)(&raw mut uuid, device) } != SUCCESS {
            continue;
        }
        if uuid == wanted {
            return Ok(usize::try_from(ordinal).unwrap_or(0));
        }
        seen.push(uuid_text(uuid));
    }
    Err(Problem::WrongDevice {
        stream: uuid_text(wanted),
        program: seen.join(", "),
    })
}

/// A context of the caller's, with the driver's functions.
#[derive(Clone)]
pub(super) struct Gpu {
    context: Arc<CudaContext>,
    functions: &'static Functions,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context.fmt(f)
    }
}

impl Gpu {
    pub(super) fn new(context: &Arc<CudaContext>) -> Result<Self, Problem> {
        Ok(Self {
            functions: functions().map_err(|why| Problem::NoGpu(why.clone()))?,
            context: Arc::clone(context),
        })
    }

    pub(super) const fn context(&self) -> &Arc<CudaContext> {
        &self.context
    }

    /// Returns a number that tells the context from others of this process.
    pub(super) fn key(&self) -> usize {
        self.context.cu_ctx().addr()
    }

    /// Makes the context current in this thread, as most functions of the driver need it.
    ///
    /// By itself, since cudarc's function of that name first returns what a drop of anything in the context
    /// failed with before. That is the caller's to hear of, and no reason not to wait for a queue.
    fn bind(&self) -> Result<(), Problem> {
        let context = self.context.cu_ctx();
        let bound = match ctx::get_current() {
            Ok(Some(current)) if current == context => Ok(()),
            // SAFETY: `set_current` asks for a context that is there: `self.context` keeps it.
            Ok(_) => unsafe { ctx::set_current(context) },
            Err(error) => Err(error),
        };
        bound.map_err(|error| self.refused("use the context", error))
    }

    /// Puts an error of cudarc into words, which could panic for lack of a function if it did so itself.
    pub(super) fn refused(&self, operation: &'static str, error: DriverError) -> Problem {
        self.problem(operation, error.0 as Code)
    }

    #[cold]
    fn problem(&self, operation: &'static str, code: Code) -> Problem {
        if LOST.contains(&code) {
            let text = self.functions.describe(code);
            return Problem::ContextLost { code, text };
        }
        Problem::Driver {
            operation,
            code,
            text: self.functions.describe(code),
        }
    }

    fn check(&self, operation: &'static str, code: Code) -> Result<(), Problem> {
        match code {
            SUCCESS => Ok(()),
            code => Err(self.problem(operation, code)),
        }
    }

    fn check_shared(&self, operation: &'static str, code: Code) -> Result<(), Problem> {
        match code {
            code if UNSUPPORTED.contains(&code) => Err(Problem::Unsupported {
                place: Place::find(code, &self.context.name().unwrap_or_default()),
                code,
                text: self.functions.describe(code),
            }),
            code => self.check(operation, code),
        }
    }

    /// Returns a context of the device of this number, or of the one with this UUID.
    pub(super) fn find(wanted: Wanted) -> Result<Arc<CudaContext>, Problem> {
        let functions = functions().map_err(|why| Problem::NoGpu(why.clone()))?;
        let ordinal = match wanted {
            Wanted::Ordinal(ordinal) => ordinal,
            Wanted::Uuid(uuid) => find_device(functions, uuid)?,
        };
        CudaContext::new(ordinal).map_err(|error| Problem::Driver {
            operation: "make a context",
            code: error.0 as Code,
            text: functions.describe(error.0 as Code),
        })
    }

    /// Returns what tells the device from others, in every process.
    pub(super) fn uuid(&self) -> Result<[u8; 16], Problem> {
        let mut uuid = [0; 16];
        let device = self.context.cu_device();
        // SAFETY: the function writes 16 bytes, which outlive the call.
        let code = unsafe { (self.functions.device_uuid)(&raw mut uuid, device) };
        self.check("ask for the device's UUID", code)?;
        Ok(uuid)
    }

    // Memory.

    /// Allocates memory that other processes can open.
    pub(super) fn allocate(&self, size: usize) -> Result<(Address, [u8; 64]), Problem> {
        self.bind()?;
        let mut address = 0;
        // SAFETY: the function writes one address, which outlives the call.
        let code = unsafe { (self.functions.allocate)(&raw mut address, size) };
        self.check("allocate memory for the slots", code)?;
        let mut handle = Handle([0; 64]);
        // SAFETY: the function writes one handle, which outlives the call; the address is the start
        // of an allocation, made just now.
        let code = unsafe { (self.functions.memory_handle)(&raw mut handle, address) };
        let shared = match code {
            // The address is right, so this is about the kind of memory.
            INVALID_VALUE => Err(Problem::StreamOrdered),
            code => self.check_shared("make a handle to its memory", code),
        };
        if shared.is_err() {
            self.free(address);
        }
        shared.map(|()| (address, handle.0))
    }

    /// Frees what [`allocate`](Self::allocate) returned. Nobody may use it any more.
    pub(super) fn free(&self, address: Address) {
        if self.bind().is_ok() {
            // SAFETY: the function asks for an address that was allocated: otherwise it refuses, and
            // there is nobody to tell.
            let _ = unsafe { (self.functions.free)(address) };
        }
    }

    /// Opens another process's memory.
    pub(super) fn open(&self, handle: [u8; 64]) -> Result<Address, Problem> {
        self.bind()?;
        let (mut address, open) = (0, self.functions.open_memory);
        // SAFETY: the function writes one address, which outlives the call. It refuses what is no
        // handle.
        let code = unsafe { open(&raw mut address, Handle(handle), LAZY_PEER_ACCESS) };
        if code == INVALID_CONTEXT {
            // The context is current, so this is about whose the handle is.
            let pid = std::process::id();
            return Err(Problem::EqualPids { pid });
        }
        self.check_shared("open its device memory", code)?;
        Ok(address)
    }

    /// Closes what [`open`](Self::open) returned. Nothing of it may be in use in this process.
    pub(super) fn close(&self, address: Address) {
        if self.bind().is_ok() {
            // SAFETY: the function asks for an address that was opened: otherwise it refuses, and
            // there is nobody to tell.
            let _ = unsafe { (self.functions.close_memory)(address) };
        }
    }

    /// Returns a slice over part of a block that this context has open, ordered by `queue`.
    ///
    /// The caller keeps the block open while the slice is there.
    pub(super) fn lend<T>(
        &self,
        queue: &Arc<Queue>,
        address: Address,
        len: usize,
    ) -> Result<Lent<T>, Problem> {
        self.bind()?;
        // What follows panics where events cannot be made.
        let probe = self.context.new_event(None);
        probe.map_err(|error| self.refused("make an event", error))?;
        // SAFETY: `upgrade_device_ptr` asks for
        // - memory of `len` elements at the address: the caller names a slot, whose size follows
        //   from `len` (checked at open);
        // - that every bit pattern is a valid element: streams carry such types only;
        // - that it may be freed by `cuMemFreeAsync` or `cuMemFree`: `Lent` prevents that.
        let slice = unsafe { queue.upgrade_device_ptr(address, len) };
        Ok(Lent(Some(slice)))
    }

    // Events, which say to other processes how far a queue is.

    /// Makes an event that other processes can open.
    pub(super) fn make_event(&self) -> Result<(Event, [u8; 64]), Problem> {
        self.bind()?;
        let (mut event, create) = (std::ptr::null_mut(), self.functions.create_event);
        // SAFETY: the function writes one event, which outlives the call.
        let code = unsafe { create(&raw mut event, NO_TIMING | INTERPROCESS) };
        self.check("make an event for other processes", code)?;
        let (event, mut handle) = (Event(event), Handle([0; 64]));
        // SAFETY: the function writes one handle, which outlives the call; the event was made just now.
        let code = unsafe { (self.functions.event_handle)(&raw mut handle, event.0) };
        let shared = self.check_shared("make a handle to an event", code);
        if shared.is_err() {
            self.destroy(event);
        }
        shared.map(|()| (event, handle.0))
    }

    /// Opens another process's event.
    pub(super) fn open_event(&self, handle: [u8; 64]) -> Result<Event, Problem> {
        self.bind()?;
        let (mut event, open) = (std::ptr::null_mut(), self.functions.open_event);
        // SAFETY: the function writes one event, which outlives the call. It refuses what is no handle.
        let code = unsafe { open(&raw mut event, Handle(handle)) };
        self.check_shared("open an event of its slots", code)?;
        Ok(Event(event))
    }

    /// Gives an event back. Nobody may use it any more.
    pub(super) fn destroy(&self, event: Event) {
        if self.bind().is_ok() {
            // SAFETY: the function asks for an event that is there: otherwise it refuses, and there is
            // nobody to tell.
            let _ = unsafe { (self.functions.destroy_event)(event.0) };
        }
    }

    /// Notes in an event how much work there is in a queue.
    pub(super) fn record(&self, event: Event, queue: &Queue) -> Result<(), Problem> {
        self.bind()?;
        // SAFETY: the event is open while the slots are, and the queue is borrowed.
        let code = unsafe { (self.functions.record_event)(event.0, queue.cu_stream().cast()) };
        self.check("record an event", code)
    }

    /// Has a queue wait for the work that an event notes now.
    pub(super) fn wait(&self, queue: &Queue, event: Event) -> Result<(), Problem> {
        self.bind()?;
        // SAFETY: as in `record`.
        let code = unsafe { (self.functions.wait_event)(queue.cu_stream().cast(), event.0, 0) };
        self.check("wait for an event", code)
    }

    /// Returns whether the work that an event notes now is done, which is then as if waited for.
    pub(super) fn is_done(&self, event: Event) -> Result<bool, Problem> {
        self.bind()?;
        // SAFETY: the event is open while the slots are.
        match unsafe { (self.functions.query_event)(event.0) } {
            NOT_READY => Ok(false),
            code => self.check("ask for an event", code).map(|()| true),
        }
    }

    // Work.

    /// Copies a frame from the host behind the work in a queue, and returns before that is done.
    ///
    /// The caller keeps the frame until the queue has come that far, or has failed.
    pub(super) fn copy_frame<T: Copy>(
        &self,
        queue: &Queue,
        address: Address,
        source: &[T],
    ) -> Result<(), Problem> {
        self.bind()?;
        let (start, size) = (source.as_ptr().cast::<c_void>(), size_of_val(source));
        let queue = queue.cu_stream().cast();
        // SAFETY: the function reads `size` bytes from the source and writes them to the address, at
        // any time until the queue has come that far: the caller keeps the frame until then, and names
        // a slot of that size that it has claimed.
        let code = unsafe { (self.functions.copy_in)(address, start, size, queue) };
        self.check("copy to the slot", code)
    }

    /// Copies a frame to the host behind the work in a queue, and waits until that is done.
    pub(super) fn copy_to_box<T: GpuPayload>(
        &self,
        queue: &Queue,
        address: Address,
        len: usize,
    ) -> Result<Box<[T]>, Problem> {
        self.bind()?;
        let mut target = Box::<[T]>::new_uninit_slice(len);
        let (start, size) = (target.as_mut_ptr().cast::<c_void>(), size_of_val(&*target));
        let raw = queue.cu_stream().cast();
        // SAFETY: the function writes `size` bytes to the target at any time until the queue has come
        // that far, which is below. The caller names a slot of that size.
        let code = unsafe { (self.functions.copy_out)(start, address, size, raw) };
        let copied = self.check("copy from the slot", code);
        // A queue that cannot be waited for is of a lost context, where nothing is copied any more.
        self.synchronize(queue)?;
        copied?;
        // SAFETY: `assume_init` asks for initialised values: the copy wrote all bytes, and every bit
        // pattern is a valid value (`ShmPayload`, 1).
        Ok(unsafe { target.assume_init() })
    }

    /// Copies a slot to its mirror behind the work in a queue, and returns before that is done.
    ///
    /// The caller has claimed the slot, and keeps the mirror mapped until the queue has come that far,
    /// or has failed.
    pub(super) fn mirror(
        &self,
        queue: &Queue,
        address: Address,
        target: *mut u8,
        size: usize,
    ) -> Result<(), Problem> {
        self.bind()?;
        let queue = queue.cu_stream().cast();
        // SAFETY: the function writes `size` bytes to the target at any time until the queue has come
        // that far: the caller keeps it mapped, and the claim keeps others out.
        let code = unsafe { (self.functions.copy_out)(target.cast(), address, size, queue) };
        self.check("mirror the slot", code)
    }

    /// Pins memory of the host for copies that do not block; false where the driver refuses, and
    /// copies go through its own buffers.
    pub(super) fn pin_host(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: the function asks for mapped memory, and refuses other.
        self.bind().is_ok()
            && unsafe { (self.functions.register_host)(start.cast(), size, 0) } == SUCCESS
    }

    /// Undoes [`pin_host`](Self::pin_host), before the memory is unmapped.
    pub(super) fn unpin_host(&self, start: *mut u8) {
        if self.bind().is_ok() {
            // SAFETY: the function refuses what was not pinned, and there is nobody to tell.
            let _ = unsafe { (self.functions.unregister_host)(start.cast()) };
        }
    }

    /// Waits until the work in a queue is done. Not for handing over frames.
    pub(super) fn synchronize(&self, queue: &Queue) -> Result<(), Problem> {
        self.bind()?;
        // SAFETY: the queue is alive, since it is borrowed.
        let code = unsafe { (self.functions.synchronize)(queue.cu_stream().cast()) };
        self.check("wait for the queue", code)
    }

    /// Returns an error if the work in a queue cannot go on.
    pub(super) fn check_queue(&self, queue: &Queue) -> Result<(), Problem> {
        self.bind()?;
        // SAFETY: the queue is alive, since it is borrowed.
        match unsafe { (self.functions.query_queue)(queue.cu_stream().cast()) } {
            SUCCESS | NOT_READY => Ok(()),
            code => self.check("go on with the queue", code),
        }
    }

    /// Has `function` called once the work before it in the queue is done, or gives it back.
    ///
    /// It must make no call into the driver, nor drop anything that does.
    pub(super) fn after<F: FnOnce() + Send + 'static>(
        &self,
        queue: &Queue,
        function: F,
    ) -> Result<(), (Problem, F)> {
        if let Err(problem) = self.bind() {
            return Err((problem, function));
        }
        let data = Box::into_raw(Box::new(function));
        let (raw, launch) = (queue.cu_stream().cast(), self.functions.launch_host);
        // SAFETY: the function asks for a pointer that `call::<F>` may be given once, in another
        // thread: it is a box of an `F`, which is `Send`, and only the driver has it if it accepts.
        let code = unsafe { launch(raw, call::<F>, data.cast()) };
        self.check("enqueue a host function", code)
            .map_err(|problem| {
                // SAFETY: `from_raw` asks for what `into_raw` returned and nobody else uses: the driver
                // refused it.
                let function = unsafe { Box::from_raw(data) };
                (problem, *function)
            })
    }
}

/// Calls the boxed function behind `data`.
///
/// # Safety
///
/// `data` is what `Box::into_raw` returned for a box of an `F`, and this is called once for it.
unsafe extern "C" fn call<F: FnOnce()>(data: *mut c_void) {
    // SAFETY: `from_raw` asks for what `into_raw` returned, once: the caller promises that.
    let function = unsafe { Box::from_raw(data.cast::<F>()) };
    function();
}

/// A slice over memory that is not cudarc's to free.
///
/// INVARIANT: there is a slice until this is dropped.
pub(super) struct Lent<T>(Option<CudaSlice<T>>);

impl<T> Lent<T> {
    pub(super) fn view(&self) -> CudaView<'_, T> {
        self.deref().as_view()
    }

    pub(super) fn view_mut(&mut self) -> CudaViewMut<'_, T> {
        self.0.as_mut().expect("the slice is there").as_view_mut()
    }
}

impl<T> Deref for Lent<T> {
    type Target = CudaSlice<T>;

    fn deref(&self) -> &CudaSlice<T> {
        self.0.as_ref().expect("the slice is there")
    }
}

impl<T> Drop for Lent<T> {
    fn drop(&mut self) {
        if let Some(slice) = self.0.take() {
            // Its queue waits for what cudarc knows of uses on other queues.
            slice.leak();
        }
    }
}
