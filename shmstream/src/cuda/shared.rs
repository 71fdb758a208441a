//! What a handle shares with the host functions that finish its frames and let go of its slots.
//!
//! They run in a thread of the driver, which waits for them and must not be called. So nothing here
//! calls the driver, or owns what does when dropped.

use std::io;
use std::num::NonZeroU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::os::clock::{Clock, monotonic_ns};
use crate::os::fork::Unshared;
use crate::os::{draw, futex, lock};
use crate::protocol::{FrameWords, Next, Occupied, Pinned, Pins, Torn, Waiting};
use crate::region::Board;
use crate::stream::handle::Handle;
use crate::write_lock::WriteLock;

/// How long a slot is left alone in which work of one who died may still go on, in nanoseconds, if there is
/// another.
///
/// The kernel gives up the locks of a process before it closes the device, and with that the context. There
/// is no bound on the time between the two; it is milliseconds, by all that is known.
const GRACE: u64 = 1_000_000_000;

/// The part of a handle that outlives it if need be.
pub(super) struct Shared {
    board: Board,
    lock: Arc<WriteLock>,
    /// Some readers cannot say that they sleep.
    observers: bool,
    state: Mutex<State>,
    /// Signalled when a frame is published or given up.
    landed: Condvar,
    /// The descriptor that locks are taken through.
    file: Arc<Unshared>,
    /// The number of the lock that is held as long as work of this handle may go on, where frames are
    /// published before that is done.
    maker: Option<NonZeroU64>,
}

/// A frame that lands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Landing {
    pub(super) frame_id: u64,
    /// Who has yet to finish it, if it is not complete.
    pub(super) maker: Option<NonZeroU64>,
}

/// Guarded, since several threads of the driver may come at once.
struct State {
    pins: Pins,
    /// Slots that are being filled, one bit each.
    in_flight: u64,
    /// Those among them that will not be published.
    given_up: u64,
    /// Who needs the write lock: frames on their way, and guards.
    holds: u64,
    /// The handle is gone, and its row may be another's.
    closed: bool,
}

impl Shared {
    pub(super) fn new(name: &StreamName, handle: &Handle) -> Result<Arc<Self>> {
        let maker = match handle.header().plan.is_by_event() {
            true => Some(draw_maker(name, handle.file())?),
            false => None,
        };
        Ok(Arc::new(Self {
            board: Board::map(name, &**handle.file(), handle.header())?,
            lock: Arc::clone(handle.write_lock()),
            observers: handle.header().plan.observers,
            state: Mutex::new(State {
                pins: Pins::new(handle.row()),
                in_flight: 0,
                given_up: 0,
                holds: 0,
                closed: false,
            }),
            landed: Condvar::new(),
            file: Arc::clone(handle.file()),
            maker,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing here can be left half changed by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the words of the stream, and its mirror.
    pub(super) const fn board(&self) -> &Board {
        &self.board
    }

    /// Returns the handle's number among those that may have work on its way, where that matters.
    pub(super) const fn maker(&self) -> Option<NonZeroU64> {
        self.maker
    }

    /// Returns whether the work of a maker that is not done may still come to its end.
    pub(super) fn is_at_work(&self, maker: NonZeroU64) -> io::Result<bool> {
        match self.maker == Some(maker) {
            true => Ok(true),
            false => lock::is_maker_locked(&*self.file, maker.get()),
        }
    }

    /// Tells others that no work of this handle is on its way, or that it will not come to its end.
    fn stop_making(&self) {
        if let Some(maker) = self.maker {
            lock::unlock_maker(&*self.file, maker.get());
        }
    }

    // Writing.

    /// Holds the write lock once more, if this handle has it.
    pub(super) fn hold_again(&self) -> bool {
        let mut state = self.state();
        if state.holds == 0 {
            return false;
        }
        state.holds += 1;
        true
    }

    /// Notes that this handle has just taken the write lock.
    pub(super) fn hold(&self) {
        self.state().holds += 1;
    }

    /// Lets go of one hold on the write lock.
    pub(super) fn let_go(&self) {
        self.let_go_of(&mut self.state());
    }

    fn let_go_of(&self, state: &mut State) {
        debug_assert!(
            state.holds > 0 || state.closed,
            "let go of what is not held"
        );
        let Some(left) = state.holds.checked_sub(1) else {
            return;
        };
        state.holds = left;
        if left == 0 {
            self.lock.release_for_handle(self.board.control().head());
        }
    }

    /// Claims a slot. The caller holds the write lock.
    ///
    /// Not at the same time as a frame lands, which would change what is the latest under its eyes.
    pub(super) fn claim(&self) -> std::result::Result<usize, (Occupied, u64)> {
        let mut state = self.state();
        let control = self.board.control();
        let now = monotonic_ns();
        let left = control.left_behind(state.in_flight, now, GRACE);
        let claimed = match control.claim(state.in_flight | left) {
            // Rather one of those than none.
            Err(_) if left != 0 => control.claim(state.in_flight),
            claimed => claimed,
        };
        match claimed {
            Ok(slot) => {
                control.note_filling(slot, true);
                state.in_flight |= 1 << slot;
                Ok(slot)
            }
            Err(occupied) => Err((occupied, state.in_flight)),
        }
    }

    /// Returns the count that the next frame gets if all that are on their way arrive.
    ///
    /// The caller has one slot claimed for it.
    pub(super) fn next_count(&self) -> u64 {
        let state = self.state();
        let coming = state.in_flight & !state.given_up;
        self.board.control().count() + u64::from(coming.count_ones())
    }

    /// Notes that a slot will be given up when it lands.
    pub(super) fn give_up(&self, slot: usize) {
        self.state().given_up |= 1 << slot;
    }

    /// Waits a moment for a frame on its way to land; false if there is none.
    pub(super) fn wait_landing(&self, longest: Duration) -> bool {
        let state = self.state();
        if state.in_flight == 0 {
            return false;
        }
        let waited = self.landed.wait_timeout(state, longest);
        drop(waited);
        true
    }

    /// Returns whether a slot has landed, and waits for that a moment if not.
    pub(super) fn has_landed(&self, slot: usize, longest: Duration) -> bool {
        let is_flying = |state: &mut State| state.in_flight >> slot & 1 != 0;
        let waited = self
            .landed
            .wait_timeout_while(self.state(), longest, is_flying);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !is_flying(&mut state)
    }

    /// Publishes a slot that is filled, or gives it up, and lets go of the write lock.
    pub(super) fn land(&self, slot: usize, frame: Option<Landing>) {
        if self.board.is_forked() {
            return;
        }
        let mut state = self.state();
        if state.closed {
            return;
        }
        if let Some(frame) = frame {
            self.publish(slot, frame);
        }
        self.board.control().note_filling(slot, false);
        state.in_flight &= !(1 << slot);
        state.given_up &= !(1 << slot);
        self.let_go_of(&mut state);
        drop(state);
        self.landed.notify_all();
    }

    /// Publishes a slot. The caller holds the write lock, and no other thread of the handle publishes.
    fn publish(&self, slot: usize, Landing { frame_id, maker }: Landing) {
        let now = Clock::default().now();
        let frame = FrameWords {
            frame_id,
            realtime_ns: now.realtime_ns,
            monotonic_ns: now.monotonic_ns,
        };
        let control = self.board.control();
        control.note_maker(slot, maker.map_or(0, NonZeroU64::get));
        control.publish(slot, frame);
        let waiting: Option<Waiting> = if self.observers {
            Some(control.notify().announce())
        } else {
            control.notify().fire()
        };
        if let Some(waiting) = waiting {
            self.lock.tell(control.notify(), waiting);
        }
    }

    // Reading.

    /// Pins the latest frame, or returns `None` before the first.
    pub(super) fn pin_latest(&self) -> std::result::Result<Option<Pinned>, Torn> {
        self.board.control().pin_latest(&self.state().pins)
    }

    /// Pins the frame of count `next`, or the oldest behind it that is left.
    pub(super) fn pin_next(&self, next: u64, hint: usize) -> std::result::Result<Next, Torn> {
        self.board
            .control()
            .pin_next(&self.state().pins, next, hint)
    }

    /// Pins the newest frame of a lower count that is left.
    pub(super) fn pin_before(&self, count: u64) -> Option<Pinned> {
        self.board.control().pin_before(&self.state().pins, count)
    }

    /// Takes one pin back.
    pub(super) fn unpin(&self, slot: usize) {
        if self.board.is_forked() {
            return;
        }
        let state = self.state();
        if state.closed {
            return;
        }
        let control = self.board.control();
        // As for frames on the host, a writer that this misses looks again by itself.
        if state.pins.remove(control, slot) && control.freed().fire().is_some() {
            futex::wake_all(control.freed().word());
        }
    }

    /// Gives others what the handle has, since its context is lost: no work in that goes on, and no host
    /// function runs any more.
    pub(super) fn abandon(&self, slots: usize) {
        if self.board.is_forked() {
            return;
        }
        let mut state = self.state();
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        self.stop_making();
        let control = self.board.control();
        control.await_nothing(&state.pins);
        for slot in 0..slots {
            // As often as there are guards.
            while !state.pins.remove(control, slot) {}
        }
        if control.freed().fire().is_some() {
            futex::wake_all(control.freed().word());
        }
        if std::mem::take(&mut state.holds) > 0 {
            self.lock.release_for_handle(control.head());
        }
    }

    /// Ends what the handle does in the stream. Host functions that come later do nothing: there are
    /// none but those of a lost context, which never run.
    pub(super) fn close(&self) {
        if self.board.is_forked() {
            return;
        }
        let mut state = self.state();
        state.closed = true;
        self.stop_making();
        if std::mem::take(&mut state.holds) > 0 {
            self.lock.release_for_handle(self.board.control().head());
        }
    }
}

/// Draws a number and takes the lock that it stands for.
///
/// A number and no row: a row is another's soon after its owner's death, and that one would be taken
/// for it in the moment between its lock and the first word that it writes.
fn draw_maker(name: &StreamName, file: &Unshared) -> Result<NonZeroU64> {
    loop {
        let maker = draw().map_err(|error| Error::os(name, "draw a number", error))?;
        let taken = lock::try_lock_maker(file, maker.get());
        if taken.map_err(|error| Error::os(name, "lock a maker's byte", error))? {
            return Ok(maker);
        }
    }
}
