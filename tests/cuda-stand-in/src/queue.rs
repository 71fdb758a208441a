//! Queues: each is a thread that does its jobs in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::call::waits;
use crate::config::config;
use crate::context::Context;
use crate::status::{Outcome, Status};
use crate::table::{Table, lock};

/// Something that a queue does. Refused, it costs the context, as a fault of a GPU does.
pub(crate) type Job = Box<dyn FnOnce(&Queue) -> Outcome + Send>;

/// A queue of jobs and the thread that does them.
pub(crate) struct Queue {
    context: Arc<Context>,
    state: Mutex<State>,
    /// Signalled when a job was put or done, and when the queue was closed.
    changed: Condvar,
    delay_us: AtomicU64,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    put: u64,
    done: u64,
    closed: bool,
}

static QUEUES: Table<Queue> = Table::new(2);

/// Returns the queue of a handle.
pub(crate) fn find(handle: usize) -> Outcome<Arc<Queue>> {
    QUEUES.find(handle)
}

/// Returns a handle of a queue.
pub(crate) fn register(queue: Arc<Queue>) -> usize {
    QUEUES.insert(queue)
}

/// Ends a queue behind the jobs that it has.
pub(crate) fn destroy(handle: usize) -> Outcome {
    QUEUES.remove(handle)?.close();
    Ok(())
}

/// Ends the queues of a context.
pub(crate) fn forget(context: &Context) {
    QUEUES.retain(|queue| {
        let other = queue.context.handle != context.handle;
        if !other {
            queue.close();
        }
        other
    });
}

impl Queue {
    /// Starts a queue.
    pub(crate) fn start(context: Arc<Context>) -> Outcome<Arc<Self>> {
        let delay = config().delay.as_micros();
        let queue = Arc::new(Self {
            context,
            state: Mutex::default(),
            changed: Condvar::new(),
            delay_us: AtomicU64::new(u64::try_from(delay).unwrap_or(u64::MAX)),
        });
        let worker = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("stand-in queue".to_owned())
            .spawn(move || worker.work())
            .map_err(|_| Status::OUT_OF_MEMORY)?;
        Ok(queue)
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Sets how long this queue waits before each thing that it does to memory.
    pub(crate) fn set_delay(&self, delay_us: u64) {
        self.delay_us.store(delay_us, Ordering::Relaxed);
    }

    /// Puts a job that touches memory, and so comes late.
    pub(crate) fn put_late(&self, job: impl FnOnce() -> Outcome + Send + 'static) {
        self.put(move |queue| {
            let delay = queue.delay_us.load(Ordering::Relaxed);
            if delay > 0 {
                std::thread::sleep(Duration::from_micros(delay));
            }
            job()
        });
    }

    /// Puts a job, and returns at once.
    pub(crate) fn put(&self, job: impl FnOnce(&Self) -> Outcome + Send + 'static) {
        let mut state = lock(&self.state);
        state.jobs.push_back(Box::new(job));
        state.put += 1;
        self.changed.notify_all();
    }

    /// Waits until the jobs of this moment are done, for a call of the driver.
    pub(crate) fn synchronize(&self) -> Outcome {
        waits();
        let mut state = lock(&self.state);
        let last = state.put;
        while state.done < last {
            state = self.sleep(state);
        }
        // A lost context ends the jobs too: none may touch the caller's memory after this.
        drop(state);
        self.context.check()
    }

    pub(crate) fn is_idle(&self) -> bool {
        let state = lock(&self.state);
        state.done == state.put
    }

    /// Lets the thread end behind the last job.
    pub(crate) fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_all();
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            if !self.context.is_lost() && job(self).is_err() {
                self.context.lose();
            }
            lock(&self.state).done += 1;
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(
        &self,
        state: std::sync::MutexGuard<'a, State>,
    ) -> std::sync::MutexGuard<'a, State> {
        self.changed
            .wait(state)
            .unwrap_or_else(PoisonError::into_inner)
    }
}
