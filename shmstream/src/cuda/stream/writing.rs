//! What writers do with a `CudaStream`.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cudarc::driver::{CudaViewMut, DevicePtr, DriverError};

use super::fill::Fill;
use super::{CudaStream, Placement};
use crate::cuda::Queue;
use crate::cuda::shared::Landing;
use crate::error::{Error, Result};
use crate::payload::GpuPayload;
use crate::write_lock::{LOOK_AGAIN, Patience};

/// How long a writer waits for frames of its own before it looks at those of others again.
const LANDING: Duration = Duration::from_millis(1);

/// How long to wait for the lock and for a slot.
type Waits = (Patience, Patience);

/// For the lock as long as it takes, and for a slot not at all.
const PROMPT: Waits = (Patience::Forever, Patience::None);

/// Writing.
///
/// A handle holds the write lock as long as frames of its are on their way, so writers elsewhere wait for
/// them. It belongs to the handle and not to a thread: a second handle in the same thread waits too.
impl<T: GpuPayload, P: Placement> CudaStream<T, P> {
    /// Publishes a copy of a frame on the host, and returns its count when that is done.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the frame has another length; else as [`publish`](Self::publish).
    pub fn write(&self, frame: &[T]) -> Result<u64> {
        self.write_with_id(0, frame)
    }

    /// As [`write`](Self::write), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_with_id(&self, frame_id: u64, frame: &[T]) -> Result<u64> {
        self.write_with(frame_id, frame, PROMPT)
    }

    /// As [`write`](Self::write), waiting for the lock and for a slot for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`Error::Busy`] when another handle has the lock for so long.
    pub fn write_timeout(&self, frame: &[T], timeout: Duration) -> Result<u64> {
        self.write_with_id_timeout(0, frame, timeout)
    }

    /// As [`write_timeout`](Self::write_timeout), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`write_timeout`](Self::write_timeout).
    pub fn write_with_id_timeout(
        &self,
        frame_id: u64,
        frame: &[T],
        timeout: Duration,
    ) -> Result<u64> {
        let patience = Patience::timeout(timeout);
        self.write_with(frame_id, frame, (patience, patience))
    }

    fn write_with(&self, frame_id: u64, frame: &[T], patience: Waits) -> Result<u64> {
        self.check_len("the frame", frame.len())?;
        self.check_usable()?;
        let queue = self.queue_in(&self.own)?;
        let flight = self.take_off(queue, patience)?;
        let slot = flight.slot;
        let copied = flight.copy_in(frame);
        let count = match copied {
            Ok(()) => flight.finish_behind(frame_id),
            Err(error) => {
                drop(flight);
                Err(error)
            }
        };
        // The frame is the caller's again only when nothing reads it any more.
        while !self.shared.has_landed(slot, LOOK_AGAIN) {
            if let Err(problem) = self.gpu.check_queue(queue)
                && !self.shared.has_landed(slot, Duration::ZERO)
            {
                return Err(self.fail(problem));
            }
        }
        count
    }

    /// Publishes a frame that `fill` computes on the device, and returns at once.
    ///
    /// `fill` puts work on the queue that writes all of the slot, which holds some older frame. The frame
    /// becomes the latest when that work is done: a host function behind it does that, in a thread of the
    /// driver. Returns the count that the frame will have.
    ///
    /// Frames appear in the order in which they were published, also from several queues: a queue waits
    /// on the device for the one before. If `fill` fails or panics, nothing is published. If the process
    /// dies before the work is done, nothing is either.
    ///
    /// Work on other queues must be joined to `queue` inside of `fill`.
    ///
    /// # Errors
    ///
    /// - [`Error::NoFreeSlot`] when readers hold all slots but the latest; slots that frames of this
    ///   handle are on their way in are waited for.
    /// - [`Error::Gpu`] for a queue of another context, and when `fill` or the driver fails.
    /// - [`Error::Replaced`], [`Error::Forked`], [`Error::Os`].
    pub fn publish(
        &self,
        queue: &Arc<Queue>,
        fill: impl FnOnce(&mut CudaViewMut<'_, T>, &Arc<Queue>) -> Result<(), DriverError>,
    ) -> Result<u64> {
        self.publish_with_id(0, queue, fill)
    }

    /// Publishes a copy of a buffer on the device, of whatever kind its memory is, and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] when the buffer has another length; else as [`publish`](Self::publish).
    pub fn publish_copy(&self, queue: &Arc<Queue>, buffer: &impl DevicePtr<T>) -> Result<u64> {
        self.check_len("the device buffer", buffer.len())?;
        self.publish(queue, |slot, queue| queue.memcpy_dtod(buffer, slot))
    }

    fn check_len(&self, what: &'static str, len: usize) -> Result<()> {
        if len == self.len {
            return Ok(());
        }
        let reason = format!("has {len} elements and must have {}", self.len);
        Err(Error::invalid(self.name(), what, reason))
    }

    /// As [`publish`](Self::publish), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    pub fn publish_with_id(
        &self,
        frame_id: u64,
        queue: &Arc<Queue>,
        fill: impl FnOnce(&mut CudaViewMut<'_, T>, &Arc<Queue>) -> Result<(), DriverError>,
    ) -> Result<u64> {
        self.publish_with(frame_id, queue, PROMPT, fill)
    }

    /// As [`publish`](Self::publish), waiting for the lock and for a slot for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and [`Error::Busy`] when another handle has the lock for so long.
    pub fn publish_timeout(
        &self,
        timeout: Duration,
        queue: &Arc<Queue>,
        fill: impl FnOnce(&mut CudaViewMut<'_, T>, &Arc<Queue>) -> Result<(), DriverError>,
    ) -> Result<u64> {
        self.publish_with_id_timeout(0, timeout, queue, fill)
    }

    /// As [`publish_timeout`](Self::publish_timeout), with a frame_id of the caller's.
    ///
    /// # Errors
    ///
    /// As [`publish_timeout`](Self::publish_timeout).
    pub fn publish_with_id_timeout(
        &self,
        frame_id: u64,
        timeout: Duration,
        queue: &Arc<Queue>,
        fill: impl FnOnce(&mut CudaViewMut<'_, T>, &Arc<Queue>) -> Result<(), DriverError>,
    ) -> Result<u64> {
        let patience = Patience::timeout(timeout);
        self.publish_with(frame_id, queue, (patience, patience), fill)
    }

    fn publish_with(
        &self,
        frame_id: u64,
        queue: &Arc<Queue>,
        patience: Waits,
        fill: impl FnOnce(&mut CudaViewMut<'_, T>, &Arc<Queue>) -> Result<(), DriverError>,
    ) -> Result<u64> {
        self.check_queue(queue)?;
        let flight = self.take_off(queue, patience)?;
        let address = self.memory.slot(flight.slot);
        let lent = self.gpu.lend(queue, address, self.len);
        let mut lent = lent.map_err(|problem| self.fail(problem))?;
        fill(&mut lent.view_mut(), queue).map_err(|error| self.refused("fill the slot", error))?;
        drop(lent);
        flight.finish(frame_id)
    }

    /// Takes the write lock, and waits for it as long as that takes.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`], [`Error::Forked`], [`Error::Os`].
    pub fn lock(&self) -> Result<CudaLock<'_, T, P>> {
        match self.lock_with(Patience::Forever)? {
            Some(guard) => Ok(guard),
            None => unreachable!("the patience to wait for the lock is endless"),
        }
    }

    /// Takes the write lock, or returns `None` when another handle has it.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<CudaLock<'_, T, P>>> {
        self.lock_with(Patience::None)
    }

    /// Takes the write lock, or returns `None` when another handle has it for all of `timeout`.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<CudaLock<'_, T, P>>> {
        self.lock_with(Patience::timeout(timeout))
    }

    fn lock_with(&self, patience: Patience) -> Result<Option<CudaLock<'_, T, P>>> {
        let held = self.hold(patience)?;
        Ok(held.then(|| CudaLock { stream: self }))
    }

    /// Returns the process that holds the write lock, or held it when it died; for messages.
    #[must_use]
    pub fn lock_holder(&self) -> Option<u32> {
        self.handle.lock_holder()
    }

    /// Waits until all frames of this handle that are on their way have arrived.
    ///
    /// # Errors
    ///
    /// [`Error::Gpu`] when the context is lost and they never will.
    pub fn flush(&self) -> Result<()> {
        self.handle.check_fork()?;
        let queues = self.queues.borrow().clone();
        for queue in queues {
            let waited = self.gpu.synchronize(&queue);
            waited.map_err(|problem| self.fail(problem))?;
        }
        Ok(())
    }

    /// Holds the write lock once more; false when patience runs out first.
    fn hold(&self, patience: Patience) -> Result<bool> {
        self.check_usable()?;
        if self.shared.hold_again() {
            return Ok(true);
        }
        let taken = self.handle.lock_for_handle(patience)?;
        if taken {
            self.shared.hold();
        }
        Ok(taken)
    }

    /// Returns one of the handle's own queues, which is made at its first use.
    fn queue_in<'a>(&self, place: &'a OnceCell<Arc<Queue>>) -> Result<&'a Arc<Queue>> {
        if place.get().is_none() {
            let made = self.gpu.context().new_stream();
            let queue = made.map_err(|error| self.refused("make a queue", error))?;
            let _ = place.set(queue);
        }
        match place.get() {
            Some(queue) => Ok(queue),
            None => unreachable!("set just now"),
        }
    }

    /// Takes the lock and a slot for a frame that `queue` computes.
    fn take_off<'a>(
        &'a self,
        queue: &'a Arc<Queue>,
        (for_lock, for_slot): Waits,
    ) -> Result<Flight<'a, T, P>> {
        if !self.hold(for_lock)? {
            return Err(self.handle.busy());
        }
        let slot = match self.claim(for_slot) {
            Ok(slot) => slot,
            Err(error) => {
                self.shared.let_go();
                return Err(error);
            }
        };
        let flight = Flight {
            stream: self,
            queue,
            slot,
        };
        self.note_queue(queue);
        let before = self.last.replace(Some(Arc::clone(queue)));
        let ordered = match (self.memory.event(slot), before) {
            (Some(event), _) => match self.fill_of(slot)? {
                // Work of another queue is filling the slot with a frame that nobody read.
                Fill::Coming => self.gpu.wait(queue, event),
                // Or it ended with its context, and its event never comes.
                Fill::Done | Fill::Lost => Ok(()),
            },
            // The frame before is published first, whichever queue is done first.
            (None, Some(before)) if !Arc::ptr_eq(&before, queue) => queue
                .join(&before)
                .map_err(|error| self.gpu.refused("order two queues", error)),
            (None, _) => Ok(()),
        };
        ordered.map_err(|problem| self.fail(problem))?;
        Ok(flight)
    }

    fn claim(&self, patience: Patience) -> Result<usize> {
        let mut notes = None;
        loop {
            match self.shared.claim() {
                Ok(slot) => return Ok(slot),
                // Frames of its own on their way give slots back by themselves.
                Err((_, 1..)) if !patience.is_over() && self.shared.wait_landing(LANDING) => {
                    for queue in self.queues.borrow().iter() {
                        self.check_alive(queue)?;
                    }
                }
                Err((occupied, loaned)) => {
                    self.handle
                        .make_room_for(occupied, loaned, &mut notes, patience)?;
                }
            }
        }
    }

    /// Checks that a queue goes on, or is done.
    fn check_alive(&self, queue: &Queue) -> Result<()> {
        let checked = self.gpu.check_queue(queue);
        checked.map_err(|problem| self.fail(problem))
    }

    /// Copies a slot that `queue` fills to the mirror, and returns the queue that does so.
    ///
    /// It is one of the handle's own, so that the work behind the frame does not wait for the copy. In
    /// order, since all frames go through it.
    fn copy_to_mirror(&self, queue: &Arc<Queue>, slot: usize) -> Result<&Arc<Queue>> {
        let copies = self.queue_in(&self.copies)?;
        let joined = copies.join(queue);
        joined.map_err(|error| self.refused("join two queues", error))?;
        self.note_queue(copies);
        let (start, size) = self.shared.board().mirrors();
        self.pinned.get_or_init(|| self.gpu.pin_host(start, size));
        let (target, size) = self.shared.board().mirror(slot);
        let address = self.memory.slot(slot);
        let copied = self.gpu.mirror(copies, address, target, size);
        copied.map_err(|problem| self.fail(problem))?;
        Ok(copies)
    }
}

/// A frame on its way: a slot that work of a queue may be writing to.
///
/// Whatever becomes of the frame, a host function behind that work ends it.
struct Flight<'a, T: GpuPayload, P: Placement> {
    stream: &'a CudaStream<T, P>,
    queue: &'a Arc<Queue>,
    slot: usize,
}

impl<T: GpuPayload, P: Placement> Flight<'_, T, P> {
    /// Copies a frame from the host. It must stay until the slot has landed.
    fn copy_in(&self, frame: &[T]) -> Result<()> {
        let stream = self.stream;
        let copied = stream
            .gpu
            .copy_frame(self.queue, stream.memory.slot(self.slot), frame);
        copied.map_err(|problem| stream.fail(problem))
    }

    /// Publishes the frame, at once with an event or else once the work so far is done, and returns the
    /// count that it has then.
    fn finish(self, frame_id: u64) -> Result<u64> {
        let stream = self.stream;
        let Some(event) = stream.memory.event(self.slot) else {
            return self.finish_behind(frame_id);
        };
        let recorded = stream.gpu.record(event, self.queue);
        recorded.map_err(|problem| stream.fail(problem))?;
        let count = stream.shared.next_count();
        let this = std::mem::ManuallyDrop::new(self);
        // Behind the record: the event and the number of who recorded it go together. A writer that dies
        // in between leaves the number of the one before, whose end the next then waits for.
        let maker = stream.shared.maker();
        stream
            .shared
            .land(this.slot, Some(Landing { frame_id, maker }));
        Ok(count)
    }

    /// Has the frame published once the work so far is done, and returns its count then.
    fn finish_behind(self, frame_id: u64) -> Result<u64> {
        let queue = match P::MIRRORED {
            true => self.stream.copy_to_mirror(self.queue, self.slot)?,
            false => self.queue,
        };
        let count = self.stream.shared.next_count();
        let this = std::mem::ManuallyDrop::new(self);
        let maker = None;
        this.land(queue, Some(Landing { frame_id, maker }))?;
        Ok(count)
    }

    /// Ends the flight behind the work in a queue.
    fn land(&self, queue: &Queue, frame: Option<Landing>) -> Result<()> {
        let (stream, slot) = (self.stream, self.slot);
        if cfg!(shmstream_broken = "early_publish") {
            stream.shared.land(slot, frame);
            return Ok(());
        }
        let shared = Arc::clone(&stream.shared);
        let land = move || shared.land(slot, frame);
        stream.gpu.after(queue, land).map_err(|(problem, _)| {
            // If the queue can still be waited for, the slot is free. If not, work may be writing to it
            // for all that is known, so it comes back when the handle goes.
            if stream.gpu.synchronize(queue).is_ok() {
                stream.shared.land(slot, None);
            }
            stream.fail(problem)
        })
    }
}

impl<T: GpuPayload, P: Placement> Drop for Flight<'_, T, P> {
    fn drop(&mut self) {
        self.stream.shared.give_up(self.slot);
        // An error is on its way to the caller already.
        let _ = self.land(self.queue, None);
    }
}

/// The write lock of a stream on a device, held by a handle.
///
/// Given back when this and the frames that are on their way are gone. If the process dies, it is free.
#[must_use = "the lock is held only while the guard lives"]
pub struct CudaLock<'a, T: GpuPayload, P: Placement> {
    stream: &'a CudaStream<T, P>,
}

impl<T: GpuPayload, P: Placement> Drop for CudaLock<'_, T, P> {
    fn drop(&mut self) {
        if self.stream.handle.check_fork().is_ok() {
            self.stream.shared.let_go();
        }
    }
}

impl<T: GpuPayload, P: Placement> fmt::Debug for CudaLock<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CudaLock").field(self.stream).finish()
    }
}
