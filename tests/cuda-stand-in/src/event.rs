//! Events: how many records were asked for, and how many came to pass.
//!
//! Both counts are in memory that another process can map. A record that its process did not live to
//! see never completes, and whoever waits for it waits for ever: so it is reported of the driver.

use std::ffi::c_uint;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::Timespec;
use rustix::thread::futex;
use rustix::time::{ClockId, clock_gettime};

use crate::call::{Code, Out, context_call, waits};
use crate::context::Context;
use crate::mapping::{Mapping, PAGE, file};
use crate::status::{Outcome, Status};
use crate::table::Table;

/// `CU_EVENT_*`.
const BLOCKING_SYNC: c_uint = 1;
const DISABLE_TIMING: c_uint = 2;
const INTERPROCESS: c_uint = 4;

/// What the processes that have an event share.
#[derive(Default)]
#[repr(C)]
struct Words {
    /// Counted up by each record. Wraps around.
    recorded: AtomicU32,
    /// The last record that came to pass; waiters sleep on it.
    completed: AtomicU32,
    /// When that was, in nanoseconds.
    at: AtomicU64,
}

enum Home {
    Own(Box<Words>),
    /// Shared by all who have the event; it begins with the words.
    Shared(Mapping),
}

/// An event.
pub(crate) struct Event {
    home: Home,
    flags: c_uint,
    context: usize,
    /// What other processes open, in the process that made it.
    pub(crate) file: Option<OwnedFd>,
}

static EVENTS: Table<Event> = Table::new(3);

impl Event {
    fn new(context: &Context, flags: c_uint) -> Outcome<Self> {
        if flags & INTERPROCESS == 0 {
            return Ok(Self {
                home: Home::Own(Box::default()),
                flags,
                context: context.handle,
                file: None,
            });
        }
        // Without this a process could ask for times of another's device.
        if flags & DISABLE_TIMING == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let file = file("stand-in event", PAGE)?;
        Ok(Self {
            home: Home::Shared(Mapping::of(&file, PAGE)?),
            flags,
            context: context.handle,
            file: Some(file),
        })
    }

    /// Makes the event of another process.
    pub(crate) fn opened(context: &Context, file: &OwnedFd) -> Outcome<Self> {
        Ok(Self {
            home: Home::Shared(Mapping::of(file, PAGE)?),
            flags: DISABLE_TIMING | INTERPROCESS,
            context: context.handle,
            file: None,
        })
    }

    fn words(&self) -> &Words {
        match &self.home {
            Home::Own(words) => words,
            // SAFETY: a page, aligned, mapped as long as `self`; atomics alone, so others may write.
            Home::Shared(mapping) => unsafe { mapping.start().cast::<Words>().as_ref() },
        }
    }

    /// Returns the latest record.
    fn latest(&self) -> u32 {
        self.words().recorded.load(Ordering::Acquire)
    }

    /// Returns whether a record came to pass. Counts wrap around, so half of them lie behind.
    fn has_passed(&self, record: u32) -> bool {
        let completed = self.words().completed.load(Ordering::Acquire);
        completed.wrapping_sub(record) < 1 << 31
    }

    fn pass(&self, record: u32) {
        let words = self.words();
        let now = clock_gettime(ClockId::Monotonic);
        let now = now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs();
        words.at.store(now, Ordering::Relaxed);
        // A queue may be behind another that recorded later; nothing goes back.
        let newer = |completed: u32| (record.wrapping_sub(completed) < 1 << 31).then_some(record);
        let _ = words
            .completed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, newer);
        let _ = futex::wake(&words.completed, futex::Flags::empty(), u32::MAX >> 1);
    }

    /// Waits until a record came to pass, or the context is lost.
    fn wait(&self, record: u32, context: &Context) -> Outcome {
        let pause = Timespec {
            tv_sec: 0,
            tv_nsec: Duration::from_millis(10).subsec_nanos().into(),
        };
        loop {
            let completed = self.words().completed.load(Ordering::Acquire);
            if self.has_passed(record) {
                return Ok(());
            }
            context.check()?;
            let word = &self.words().completed;
            let _ = futex::wait(word, futex::Flags::empty(), completed, Some(&pause));
        }
    }
}

/// Returns the event of a handle.
pub(crate) fn find(handle: usize) -> Outcome<Arc<Event>> {
    EVENTS.find(handle)
}

/// Returns a handle of an event.
pub(crate) fn register(event: Event) -> usize {
    EVENTS.insert(Arc::new(event))
}

/// Takes the events of a context away.
pub(crate) fn forget(context: &Context) {
    EVENTS.retain(|event| event.context != context.handle);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventCreate(result: Out<usize>, flags: c_uint) -> Code {
    context_call("cuEventCreate", |context| {
        if flags & !(BLOCKING_SYNC | DISABLE_TIMING | INTERPROCESS) != 0 {
            return Err(Status::INVALID_VALUE);
        }
        result.put(register(Event::new(context, flags)?))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventDestroy_v2(handle: usize) -> Code {
    // A queue that waits for it, or records it, keeps it as long as it needs it.
    context_call("cuEventDestroy_v2", |_| EVENTS.remove(handle).map(|_| ()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventRecord(handle: usize, queue: usize) -> Code {
    context_call("cuEventRecord", |context| {
        let event = find(handle)?;
        let queue = context.any_queue(queue)?;
        if queue.context().handle != event.context {
            return Err(Status::INVALID_HANDLE);
        }
        let record = event.words().recorded.fetch_add(1, Ordering::AcqRel);
        let record = record.wrapping_add(1);
        queue.put(move |_| {
            event.pass(record);
            Ok(())
        });
        Ok(())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventQuery(handle: usize) -> Code {
    context_call("cuEventQuery", |_| {
        let event = find(handle)?;
        if event.has_passed(event.latest()) {
            Ok(())
        } else {
            Err(Status::NOT_READY)
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventSynchronize(handle: usize) -> Code {
    context_call("cuEventSynchronize", |context| {
        let event = find(handle)?;
        waits();
        event.wait(event.latest(), context)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuStreamWaitEvent(queue: usize, handle: usize, flags: c_uint) -> Code {
    context_call("cuStreamWaitEvent", |context| {
        if flags & !1 != 0 {
            return Err(Status::INVALID_VALUE);
        }
        let event = find(handle)?;
        let queue = context.any_queue(queue)?;
        // The latest record at the time of the call, as documented.
        let record = event.latest();
        queue.put(move |queue| event.wait(record, queue.context()));
        Ok(())
    })
}

/// Computes the milliseconds between two events.
fn elapsed(result: Out<f32>, start: usize, end: usize) -> Outcome {
    let (start, end) = (find(start)?, find(end)?);
    let timed = |event: &Event| event.flags & DISABLE_TIMING == 0 && event.latest() != 0;
    if !timed(&start) || !timed(&end) {
        return Err(Status::INVALID_HANDLE);
    }
    if !start.has_passed(start.latest()) || !end.has_passed(end.latest()) {
        return Err(Status::NOT_READY);
    }
    let at = |event: &Event| Duration::from_nanos(event.words().at.load(Ordering::Relaxed));
    let elapsed = at(&end).saturating_sub(at(&start));
    result.put(elapsed.as_secs_f32() * 1000.0)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime(result: Out<f32>, start: usize, end: usize) -> Code {
    context_call("cuEventElapsedTime", |_| elapsed(result, start, end))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuEventElapsedTime_v2(result: Out<f32>, start: usize, end: usize) -> Code {
    context_call("cuEventElapsedTime_v2", |_| elapsed(result, start, end))
}
