//! Contexts: the primary one of each device, and which one a thread uses.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_uint};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::blocks;
use crate::call::{Code, Out, context_call, device_call};
use crate::config::config;
use crate::device::{Physical, ordinal, physical};
use crate::event;
use crate::ipc;
use crate::log;
use crate::queue::{self, Queue};
use crate::status::{Outcome, Status};
use crate::table::lock;

/// A context, until it is destroyed.
pub(crate) struct Context {
    pub(crate) handle: usize,
    pub(crate) device: Physical,
    lost: AtomicBool,
    queues: Mutex<Vec<Weak<Queue>>>,
    /// The queue that a null handle means.
    null: Mutex<Option<Arc<Queue>>>,
    /// The devices whose memory the work of this context may reach.
    pub(crate) peers: Mutex<BTreeSet<Physical>>,
}

/// The primary context of each device, and how often it is retained.
static PRIMARY: Mutex<BTreeMap<Physical, (usize, Arc<Context>)>> = Mutex::new(BTreeMap::new());

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

impl Context {
    fn new(device: Physical) -> Arc<Self> {
        Arc::new(Self {
            // Always the same for a device, as with the driver.
            handle: (1 << 40) + 16 * (usize::try_from(device).unwrap_or(0) + 1),
            device,
            lost: AtomicBool::new(false),
            queues: Mutex::new(Vec::new()),
            null: Mutex::new(None),
            peers: Mutex::new(BTreeSet::new()),
        })
    }

    /// Makes every further call fail, and drops what waits in the queues.
    pub(crate) fn lose(&self) {
        if !self.lost.swap(true, Ordering::AcqRel) {
            log::lost();
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Refuses a context that is lost. The code stays the same for ever, whatever was called.
    pub(crate) fn check(&self) -> Outcome {
        if self.is_lost() {
            return Err(Status::ILLEGAL_ADDRESS);
        }
        Ok(())
    }

    /// Makes a queue of this context.
    pub(crate) fn new_queue(self: &Arc<Self>) -> Outcome<Arc<Queue>> {
        let queue = Queue::start(Arc::clone(self))?;
        let mut queues = lock(&self.queues);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        Ok(queue)
    }

    /// Returns the queue of a handle, for work in this context.
    pub(crate) fn queue(self: &Arc<Self>, handle: usize) -> Outcome<Arc<Queue>> {
        let queue = self.any_queue(handle)?;
        if !Arc::ptr_eq(queue.context(), self) {
            return Err(Status::INVALID_HANDLE);
        }
        Ok(queue)
    }

    /// Returns the queue of a handle, of whatever context.
    pub(crate) fn any_queue(self: &Arc<Self>, handle: usize) -> Outcome<Arc<Queue>> {
        // 1 and 2 name the legacy and the per-thread default queue. Here both are the null queue, and
        // it does not wait for other queues, nor they for it: stricter than the driver.
        if handle > 2 {
            return queue::find(handle);
        }
        let mut null = lock(&self.null);
        if let Some(queue) = &*null {
            return Ok(Arc::clone(queue));
        }
        let queue = self.new_queue()?;
        *null = Some(Arc::clone(&queue));
        Ok(queue)
    }

    /// Waits until every queue is idle.
    pub(crate) fn synchronize(&self) -> Outcome {
        let queues: Vec<_> = lock(&self.queues)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        queues.iter().try_for_each(|queue| queue.synchronize())
    }

    /// Ends the context: what it holds is gone, whoever still has a handle of it.
    fn destroy(&self) {
        // Work that is in the queues ends first, as with the driver as far as is known.
        let _ = self.synchronize();
        if let Some(queue) = lock(&self.null).take() {
            queue.close();
        }
        queue::forget(self);
        event::forget(self);
        ipc::forget(self);
        blocks::forget(self);
    }
}

/// Returns the context that this thread uses.
pub(crate) fn current() -> Outcome<Arc<Context>> {
    match CURRENT.get() {
        0 => Err(Status::INVALID_CONTEXT),
        handle => live(handle).ok_or(Status::CONTEXT_IS_DESTROYED),
    }
}

/// Returns the context of a handle, if it is not destroyed.
pub(crate) fn live(handle: usize) -> Option<Arc<Context>> {
    let primary = lock(&PRIMARY);
    let found = primary
        .values()
        .find(|(_, context)| context.handle == handle);
    found.map(|(_, context)| Arc::clone(context))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRetain(context: Out<usize>, device: c_int) -> Code {
    device_call("cuDevicePrimaryCtxRetain", || {
        let device = physical(device)?;
        let mut primary = lock(&PRIMARY);
        let (retained, kept) = primary
            .entry(device)
            .or_insert_with(|| (0, Context::new(device)));
        context.put(kept.handle)?;
        *retained += 1;
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxRelease_v2(device: c_int) -> Code {
    device_call("cuDevicePrimaryCtxRelease_v2", || {
        let device = physical(device)?;
        let mut primary = lock(&PRIMARY);
        let (retained, context) = primary.get_mut(&device).ok_or(Status::INVALID_CONTEXT)?;
        *retained -= 1;
        if *retained == 0 {
            let context = Arc::clone(context);
            primary.remove(&device);
            drop(primary);
            context.destroy();
        }
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuDevicePrimaryCtxGetState(
    device: c_int,
    flags: Out<c_uint>,
    active: Out<c_int>,
) -> Code {
    device_call("cuDevicePrimaryCtxGetState", || {
        let is_active = lock(&PRIMARY).contains_key(&physical(device)?);
        flags.put(0)?;
        active.put(c_int::from(is_active))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetCurrent(context: Out<usize>) -> Code {
    device_call("cuCtxGetCurrent", || context.put(CURRENT.get()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSetCurrent(context: usize) -> Code {
    device_call("cuCtxSetCurrent", || {
        if context != 0 && live(context).is_none() {
            return Err(Status::INVALID_CONTEXT);
        }
        CURRENT.set(context);
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxGetDevice(device: Out<c_int>) -> Code {
    context_call("cuCtxGetDevice", |context| {
        device.put(ordinal(context.device).ok_or(Status::INVALID_DEVICE)?)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuCtxSynchronize() -> Code {
    context_call("cuCtxSynchronize", |context| context.synchronize())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetInfo_v2(free: Out<usize>, total: Out<usize>) -> Code {
    context_call("cuMemGetInfo_v2", |_| {
        free.put(config().memory.saturating_sub(blocks::used()))?;
        total.put(config().memory)
    })
}
