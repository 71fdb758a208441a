//! Contexts: the primary one of each device and others, and which one a thread uses.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use crate::blocks;
use crate::device::Physical;
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

/// The contexts that are not destroyed.
static LIVE: Mutex<BTreeMap<usize, Arc<Context>>> = Mutex::new(BTreeMap::new());
/// How often the primary context of a device is retained.
static RETAINED: Mutex<BTreeMap<Physical, usize>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// The contexts of a thread; the last is current.
    static STACK: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

impl Context {
    /// Makes a context that can be found by its handle.
    fn make(handle: usize, device: Physical) {
        let context = Self {
            handle,
            device,
            lost: AtomicBool::new(false),
            queues: Mutex::new(Vec::new()),
            null: Mutex::new(None),
            peers: Mutex::new(BTreeSet::new()),
        };
        lock(&LIVE).insert(handle, Arc::new(context));
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

/// Returns the handle of a device's primary context: always the same, as with the driver.
fn primary(device: Physical) -> usize {
    (1 << 40) + 16 * (usize::try_from(device).unwrap_or(0) + 1)
}

/// Returns the context that this thread uses.
pub(crate) fn current() -> Outcome<Arc<Context>> {
    match current_handle() {
        0 => Err(Status::INVALID_CONTEXT),
        handle => live(handle).ok_or(Status::CONTEXT_IS_DESTROYED),
    }
}

fn current_handle() -> usize {
    STACK.with_borrow(|stack| stack.last().copied().unwrap_or(0))
}

/// Returns the context of a handle, if it is not destroyed.
pub(crate) fn live(handle: usize) -> Option<Arc<Context>> {
    lock(&LIVE).get(&handle).cloned()
}

/// Keeps the primary context of a device, and returns its handle.
pub(crate) fn retain(device: Physical) -> usize {
    let mut retained = lock(&RETAINED);
    let count = retained.entry(device).or_insert(0);
    if *count == 0 {
        Context::make(primary(device), device);
    }
    *count += 1;
    primary(device)
}

/// Lets go of the primary context of a device; the last to do so destroys it.
pub(crate) fn release(device: Physical) -> Outcome {
    let mut retained = lock(&RETAINED);
    let count = retained.get_mut(&device).filter(|count| **count > 0);
    let count = count.ok_or(Status::INVALID_CONTEXT)?;
    *count -= 1;
    if *count == 0 {
        destroy(primary(device))?;
    }
    Ok(())
}

/// Returns whether the primary context of a device is there.
pub(crate) fn is_active(device: Physical) -> bool {
    live(primary(device)).is_some()
}

/// Makes a context besides the primary one, current in this thread.
pub(crate) fn create(device: Physical) -> usize {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    let handle = (5 << 40) + 16 * number;
    Context::make(handle, device);
    STACK.with_borrow_mut(|stack| stack.push(handle));
    handle
}

/// Destroys a context, whoever still has its handle.
pub(crate) fn destroy(handle: usize) -> Outcome {
    let found = lock(&LIVE).remove(&handle);
    found.ok_or(Status::INVALID_CONTEXT)?.destroy();
    Ok(())
}

/// The contexts of this thread, for the calls that change which is current.
pub(crate) fn with_stack<R>(change: impl FnOnce(&mut Vec<usize>) -> R) -> R {
    STACK.with_borrow_mut(change)
}
