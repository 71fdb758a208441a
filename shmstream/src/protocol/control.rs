//! The control block: every word that processes share and change.

use super::Signal;
use crate::prefetch;
use crate::sync::{AtomicU32, AtomicU64, Label, Ordering, handshake_load, handshake_or, ordering};

/// Most slots of a stream: `latest` keeps the slot in six bits, a row its pins in 64.
pub(crate) const MAX_SLOTS: usize = 64;
/// Most rows of the participant table: as many bits as `attached` has.
pub(crate) const MAX_PARTICIPANTS: usize = 1024;

/// A state is odd while its slot is being rewritten.
pub(super) const REWRITING: u64 = 1;

const SLOT_BITS: u32 = MAX_SLOTS.trailing_zeros();

/// The words that belong to the stream as a whole. All zero is a stream without a frame.
///
/// A line is 128 bytes, since processors fetch lines of 64 bytes in pairs.
#[repr(C)]
pub(crate) struct Head {
    pub(super) publication: Publication,
    pub(super) writer: WriterWords,
    lock: LockWords,
    attached: Attached,
}

/// What a publish writes and a reader loads first.
///
/// Nothing else is on this line, and a writer loads it when it takes the lock, not in a publish: a reader
/// that polls takes it away with each publish, and to have it back costs as much as all instructions of
/// one.
#[repr(C, align(128))]
pub(super) struct Publication {
    /// Written by the writer, loaded by everybody: `count << 6 | slot`, zero before the first frame.
    /// A writer that dies before it stores leaves the frame before as the latest.
    pub(super) latest: AtomicU64,
}

/// What the writer looks at in each publish, and readers that find a frame do not.
#[repr(C, align(128))]
pub(super) struct WriterWords {
    /// Written by the holder of the write lock, when it has just taken the lock and behind `latest`;
    /// loaded by it alone: what `latest` is. A writer that dies leaves any value.
    pub(super) published: AtomicU64,
    /// Fired by the writer behind `latest`; readers without a new frame sleep on it.
    notify: Signal,
    /// Written and read by the writer: the slot to try first. The one that was the latest before,
    /// which is in the cache; or the next, where slots take turns. Any value is allowed.
    pub(super) first: AtomicU32,
    /// Counted up by subscribers once `needs` in their row is no longer zero, loaded by the writer,
    /// and set back by it when it found no such row. Zero: nobody awaits anything.
    pub(super) awaited: AtomicU32,
}

/// The words around the write lock; the lock itself is the kernel's.
#[repr(C, align(128))]
struct LockWords {
    /// Written by the holder of the write lock: one more than its row, or zero when it signs off.
    /// A holder that dies leaves its row behind, which tells the next one to tidy up.
    holder: AtomicU32,
    /// Fired by whoever releases the write lock; those who want it until a deadline sleep on it.
    released: Signal,
    /// Fired by readers when they unpin; a writer without a free slot sleeps on it.
    freed: Signal,
    /// Written by whoever takes the stream's name away, through the file and not through this
    /// mapping: [`UNLINKED`]. Loaded by writers. Never cleared.
    flags: AtomicU32,
    /// Written by whoever takes the write lock, and when its row is given back: who published last.
    /// One more than the row, [`GONE`] or [`DEAD`]; zero for nobody yet.
    publisher: AtomicU32,
    /// Written through the file and not through this mapping, to make an event of it for those who
    /// watch the file. Loaded by nobody.
    nudge: AtomicU32,
}

/// The publisher closed its handle.
const GONE: u32 = u32::MAX;
/// The publisher died, and its row was given to somebody else.
const DEAD: u32 = u32::MAX - 1;

/// Who published last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    Nobody,
    /// The owner of this row, or who was when it died.
    Row(usize),
    Gone,
    Dead,
}

/// What [`LockWords::flags`] holds once the stream has lost its name.
pub(crate) const UNLINKED: u32 = 1;

impl Head {
    /// Where the flags are, in bytes from the start of the control block.
    pub(crate) const FLAGS_OFFSET: usize = std::mem::offset_of!(Self, lock.flags);
    /// Where to write for an event on the file, likewise.
    pub(crate) const NUDGE_OFFSET: usize = std::mem::offset_of!(Self, lock.nudge);

    /// Signs off, before the caller releases the write lock.
    pub(crate) fn sign_off(&self) {
        self.lock.holder.store(0, Ordering::Relaxed);
    }

    /// Returns the signal that those sleep on who want the write lock until a deadline.
    pub(crate) const fn released(&self) -> &Signal {
        &self.lock.released
    }
}

/// One bit for each row that may hold pins.
#[repr(C, align(128))]
struct Attached([AtomicU64; MAX_PARTICIPANTS / 64]);

/// One slot's state and the header of the frame in it.
///
/// The header lies beside the state and not before the payload, so that a reader finds both on the
/// line that it has to load anyway.
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// Written by the writer, loaded by readers: see the table in the module's documentation. A
    /// writer that dies leaves it odd, or `2·count` with a count that `latest` never reached.
    pub(super) state: AtomicU64,
    pub(super) frame: FrameHeader,
    /// Written by the writer before it publishes, loaded by readers that pinned the slot and by
    /// writers that claimed it, on a device alone: who has yet to finish the work that fills the slot,
    /// as the number of a lock. Zero: the frame was complete when it was published. A writer that dies
    /// leaves its number, and the kernel frees the lock.
    maker: AtomicU64,
    /// Written and loaded by the holder of the write lock, on a device alone: whether work that its owner
    /// put into a queue fills the slot. Zero: no. [`FILLING`]: yes. Else somebody died over it, and this is
    /// when the next holder found that, by the monotonic clock: the work may go on for a moment.
    filling: AtomicU64,
}

/// What [`Slot::filling`] holds while the slot is being filled, and what who dies meanwhile leaves.
#[cfg(feature = "cuda")]
const FILLING: u64 = 1;

impl Slot {
    /// Returns the count of the frame that a state stands for, or `None` for one that is odd or
    /// was never written.
    #[inline]
    pub(super) const fn count(state: u64) -> Option<u64> {
        if state & REWRITING != 0 || state == 0 {
            None
        } else {
            Some(state >> 1)
        }
    }
}

/// The frame header, less the count, which is in the state. Written by the writer that claimed the
/// slot, read by readers that pinned it.
#[repr(C)]
pub(super) struct FrameHeader {
    frame_id: AtomicU64,
    realtime_ns: AtomicU64,
    monotonic_ns: AtomicU64,
}

/// The frame header as plain values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameWords {
    pub(crate) frame_id: u64,
    pub(crate) realtime_ns: u64,
    pub(crate) monotonic_ns: u64,
}

/// One row of the participant table.
///
/// The row belongs to whoever holds the kernel lock that stands for it, and only the owner writes
/// to it. A participant that dies leaves everything as it was; the next to take the kernel lock
/// clears it.
#[repr(C, align(128))]
pub(crate) struct Row {
    /// Loaded by the writer: one bit for each slot that the participant pins.
    pub(super) pins: AtomicU64,
    /// Loaded by the writer: frames of this count and above must not be overwritten; zero for a
    /// participant that does not ask for that. Only grows once it is not zero.
    pub(super) needs: AtomicU64,
    /// Loaded by whoever asks: the count of the newest frame that the participant read.
    pub(super) seen: AtomicU64,
    /// Loaded by whoever asks: the process, as it is numbered in its own PID namespace.
    pid: AtomicU32,
    /// Loaded by whoever asks: what the participant has done, as in [`Role`].
    pub(super) roles: AtomicU32,
    /// Loaded by whoever wants the memory of a device, where that is shared by descriptors: the number in
    /// the name of the socket at which the participant hands it on; zero for none. One that dies leaves
    /// the number, and the name is nobody's: no other ever draws it.
    socket: AtomicU64,
}

/// What a participant is noted for in its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Role {
    Writer = 1,
    Subscriber = 2,
    Lossless = 4,
}

/// Which slots a writer takes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    /// How many frames are kept beside the one that is written: the history less one.
    pub(crate) kept: u64,
    /// Slots take turns, so that a frame stays as long as there are slots. Otherwise the slot that
    /// was retired last is taken first, and a stream that nobody pins stays in the cache.
    pub(crate) all: bool,
}

impl FrameHeader {
    // Relaxed: the header is written between Claim and Publish and read between Validate and
    // Unpin, like the payload, and is ordered with it.
    #[inline]
    pub(super) fn store(&self, words: FrameWords) {
        self.frame_id.store(words.frame_id, Ordering::Relaxed);
        self.realtime_ns.store(words.realtime_ns, Ordering::Relaxed);
        self.monotonic_ns
            .store(words.monotonic_ns, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn load(&self) -> FrameWords {
        FrameWords {
            frame_id: self.frame_id.load(Ordering::Relaxed),
            realtime_ns: self.realtime_ns.load(Ordering::Relaxed),
            monotonic_ns: self.monotonic_ns.load(Ordering::Relaxed),
        }
    }
}

/// A view of the control block of one stream.
#[derive(Clone, Copy)]
pub(crate) struct Control<'a> {
    pub(super) head: &'a Head,
    pub(super) slots: &'a [Slot],
    pub(super) rows: &'a [Row],
    pub(super) turns: Turns,
}

pub(super) const fn pack(count: u64, slot: usize) -> u64 {
    count << SLOT_BITS | slot as u64
}

/// Splits `latest` into count and slot; the slot is below [`MAX_SLOTS`], and no more than that.
pub(super) const fn unpack(latest: u64) -> (u64, usize) {
    #[expect(clippy::cast_possible_truncation, reason = "six bits")]
    let slot = (latest % MAX_SLOTS as u64) as usize;
    (latest >> SLOT_BITS, slot)
}

impl<'a> Control<'a> {
    /// Joins the parts of a control block.
    pub(crate) const fn new(
        head: &'a Head,
        slots: &'a [Slot],
        rows: &'a [Row],
        turns: Turns,
    ) -> Self {
        Self {
            head,
            slots,
            rows,
            turns,
        }
    }

    /// Returns the words that belong to the stream as a whole.
    #[inline]
    pub(crate) const fn head(self) -> &'a Head {
        self.head
    }

    /// Returns the count of the latest frame, zero before the first.
    #[inline]
    pub(crate) fn count(self) -> u64 {
        // Relaxed: nothing is read on the strength of it.
        unpack(self.head.publication.latest.load(Ordering::Relaxed)).0
    }

    /// Asks for the line of the latest frame's header, and returns its slot, which may be any number.
    #[inline]
    pub(crate) fn prefetch_latest(self) -> usize {
        // Relaxed: a guess, which is all that a prefetch needs.
        let (_, slot) = unpack(self.head.publication.latest.load(Ordering::Relaxed));
        if let Some(words) = self.slots.get(slot) {
            prefetch::to_read(words);
        }
        slot
    }

    /// Returns the count of the latest frame, after [`Signal::arm`] and before the sleep.
    #[inline]
    pub(crate) fn recheck(self) -> u64 {
        // Recheck: pairs with Publish.
        let latest = &self.head.publication.latest;
        unpack(handshake_load(Label::Recheck, &[Label::Arm], latest)).0
    }

    /// Returns the signal that readers without a new frame sleep on.
    #[inline]
    pub(crate) const fn notify(self) -> &'a Signal {
        &self.head.writer.notify
    }

    /// Returns the signal that a writer without a free slot sleeps on.
    #[inline]
    pub(crate) const fn freed(self) -> &'a Signal {
        &self.head.lock.freed
    }

    /// Returns whether the stream's name may have been taken away.
    #[inline]
    pub(crate) fn is_unlinked(self) -> bool {
        // Relaxed: a hint to look at the file system, which has the truth.
        self.head.lock.flags.load(Ordering::Relaxed) & UNLINKED != 0
    }

    /// Signs the write lock, which the caller has just taken, and returns whether the holder before
    /// died with it.
    pub(crate) fn sign_on(self, row: usize) -> bool {
        let holder = &self.head.lock.holder;
        // Relaxed, here and when signing off: read by the next holder, to whom the kernel's lock
        // hands over what this one wrote, and by whoever wants to name the holder in a message.
        let before = holder.load(Ordering::Relaxed);
        holder.store(number(row), Ordering::Relaxed);
        kill_point!(LockSigned);
        // Relaxed: what the last holder stored, which the kernel's lock hands over.
        let latest = self.head.publication.latest.load(Ordering::Relaxed);
        self.head.writer.published.store(latest, Ordering::Relaxed);
        before != 0
    }

    /// Notes that the owner of `row` has the write lock, and not only to put slots in order.
    #[cold]
    pub(crate) fn note_publisher(self, row: usize) {
        // Relaxed: for messages.
        let publisher = &self.head.lock.publisher;
        publisher.store(number(row), Ordering::Relaxed);
        kill_point!(LockNamed);
        self.note(row, Role::Writer);
    }

    /// Returns who published last, as far as rows tell.
    pub(crate) fn publisher(self) -> Publisher {
        // Relaxed: for messages.
        match self.head.lock.publisher.load(Ordering::Relaxed) {
            0 => Publisher::Nobody,
            GONE => Publisher::Gone,
            DEAD => Publisher::Dead,
            number => Publisher::Row(number as usize - 1),
        }
    }

    /// Notes that the publisher's row is not its any more.
    fn forget_publisher(self, row: usize, becomes: u32) {
        // Relaxed: for messages. Failing means that somebody else is the publisher.
        let _ = self.head.lock.publisher.compare_exchange(
            number(row),
            becomes,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Notes what the owner of `row` does.
    pub(crate) fn note(self, row: usize, role: Role) {
        // Relaxed: for messages.
        if let Some(owned) = self.rows.get(row) {
            owned.roles.fetch_or(role as u32, Ordering::Relaxed);
        }
    }

    /// Notes the newest frame that the owner of `row` read.
    #[inline]
    pub(crate) fn note_seen(self, row: usize, count: u64) {
        // Relaxed: for messages. Always in the table; a check that could fail would cost a read more
        // than the store.
        if let Some(owned) = self.rows.get(row) {
            owned.seen.store(count, Ordering::Relaxed);
        }
    }

    /// Returns the row of the participant that holds the write lock, or died with it.
    pub(crate) fn holder(self) -> Option<usize> {
        // Relaxed: for messages.
        let row = (self.head.lock.holder.load(Ordering::Relaxed) as usize).checked_sub(1)?;
        (row < self.rows.len()).then_some(row)
    }

    /// Makes `row` one that writers scan. The caller holds its kernel lock.
    ///
    /// What the row's last owner left is cleared first.
    pub(crate) fn attach(self, row: usize, pid: u32) {
        let owned = &self.rows[row];
        // A publisher that left a row behind did not close its handle.
        self.forget_publisher(row, DEAD);
        kill_point!(AttachForgotten);
        // Unpin: pairs with Scan. A writer may learn from this store, and from no other, that the
        // row's last owner has read what it will read.
        owned
            .pins
            .store(0, ordering(Label::Unpin, Ordering::Release));
        kill_point!(AttachUnpinned);
        owned.clear();
        kill_point!(AttachCleared);
        owned.pid.store(pid, Ordering::Relaxed);
        kill_point!(AttachNumbered);
        // Attach: pairs with Scan.
        handshake_or(
            Label::Attach,
            &self.head.attached.0[row / 64],
            1 << (row % 64),
        );
        kill_point!(AttachListed);
    }

    /// Clears the row of the caller, who holds its kernel lock.
    pub(crate) fn detach(self, row: usize) {
        self.forget_publisher(row, GONE);
        kill_point!(DetachForgotten);
        self.clear_row(row);
    }

    /// Clears the row of a participant that died. The caller has taken its kernel lock.
    pub(crate) fn bury(self, row: usize) {
        self.forget_publisher(row, DEAD);
        kill_point!(ReclaimForgotten);
        self.clear_row(row);
    }

    fn clear_row(self, row: usize) {
        let owned = &self.rows[row];
        // Unpin, both: pairs with Scan. The writer learns that the row's reads are over from
        // whichever of the two it sees.
        let release = ordering(Label::Unpin, Ordering::Release);
        owned.pins.store(0, release);
        kill_point!(RowUnpinned);
        owned.clear();
        kill_point!(RowCleared);
        self.head.attached.0[row / 64].fetch_and(!(1 << (row % 64)), release);
        kill_point!(RowDelisted);
    }

    /// Returns the rows that are attached, or whose owner died.
    #[inline]
    pub(crate) fn attached(self) -> impl Iterator<Item = usize> + use<'a> {
        // Scan: pairs with Attach.
        self.rows_in(|word| handshake_load(Label::Scan, &[Label::Claim], word))
    }

    /// The same for messages, and for those who may only look.
    pub(super) fn attached_relaxed(self) -> impl Iterator<Item = usize> + use<'a> {
        self.rows_in(|word| word.load(Ordering::Relaxed))
    }

    #[inline]
    fn rows_in<F>(self, load: F) -> impl Iterator<Item = usize> + use<'a, F>
    where
        F: Fn(&AtomicU64) -> u64,
    {
        let words = self.rows.len().div_ceil(64);
        let Self { head, rows, .. } = self;
        let words = head.attached.0.iter().take(words).enumerate();
        words
            .flat_map(move |(i, word)| Bits(load(word)).map(move |bit| i * 64 + bit))
            .take_while(move |&row| row < rows.len())
    }

    /// Returns whether anybody pins `slot`.
    ///
    /// Written out, for the compiler: each publish runs through this, with as many turns as there are
    /// participants.
    #[inline(always)]
    pub(super) fn is_pinned(self, slot: usize) -> bool {
        for (rows, word) in self.rows.chunks(64).zip(&self.head.attached.0) {
            // Scan: pairs with Attach.
            let mut attached = handshake_load(Label::Scan, &[Label::Claim], word);
            while let Some(row) = rows.get(attached.trailing_zeros() as usize) {
                // Scan: pairs with Pin and Unpin.
                let pins = handshake_load(Label::Scan, &[Label::Claim], &row.pins);
                if pins >> slot & 1 != 0 {
                    return true;
                }
                attached &= attached - 1;
            }
        }
        false
    }

    /// Notes who has yet to finish the work that fills a slot, which the caller has claimed.
    #[cfg(feature = "cuda")]
    pub(crate) fn note_maker(self, slot: usize, maker: u64) {
        // Relaxed: ordered like the frame header, and between writers by the write lock.
        self.slots[slot].maker.store(maker, Ordering::Relaxed);
    }

    /// Returns who may have yet to finish the work that fills a slot, which the caller has pinned or
    /// claimed.
    #[cfg(feature = "cuda")]
    pub(crate) fn maker(self, slot: usize) -> Option<std::num::NonZeroU64> {
        // Relaxed: as in `note_maker`.
        std::num::NonZeroU64::new(self.slots[slot].maker.load(Ordering::Relaxed))
    }

    /// Notes that work fills a slot, which the caller has claimed, or that it does not any more.
    #[cfg(feature = "cuda")]
    pub(crate) fn note_filling(self, slot: usize, fills: bool) {
        // Relaxed, as in `left_behind`: between holders of the write lock, which hands it over.
        let word = if fills { FILLING } else { 0 };
        self.slots[slot].filling.store(word, Ordering::Relaxed);
    }

    /// Returns the slots, one bit each, in which work of one who died may still go on: it was found less
    /// than `grace` ago, all in nanoseconds. The caller holds the write lock, and fills `own` itself.
    #[cfg(feature = "cuda")]
    pub(crate) fn left_behind(self, own: u64, now: u64, grace: u64) -> u64 {
        let mut left = 0;
        for (i, slot) in self.slots.iter().enumerate() {
            if own >> i & 1 != 0 {
                continue;
            }
            let found = match slot.filling.load(Ordering::Relaxed) {
                0 => continue,
                FILLING => {
                    slot.filling.store(now.max(FILLING + 1), Ordering::Relaxed);
                    now
                }
                found => found,
            };
            // Clocks may differ between those who write it, by more than any grace.
            if now.abs_diff(found) < grace {
                left |= 1 << i;
            }
        }
        left
    }

    /// Notes the number of the socket at which the owner of `row` hands memory on.
    #[cfg(feature = "cuda")]
    pub(crate) fn note_socket(self, row: usize, number: std::num::NonZeroU64) {
        // Relaxed: nothing is read on the strength of it but a name, and the kernel says whether anybody
        // listens there. Who finds an old number finds nobody, and looks again.
        self.rows[row].socket.store(number.get(), Ordering::Relaxed);
    }

    /// Returns that number, if there is one.
    #[cfg(feature = "cuda")]
    pub(crate) fn socket(self, row: usize) -> Option<std::num::NonZeroU64> {
        // Relaxed: as in `note_socket`.
        std::num::NonZeroU64::new(self.rows[row].socket.load(Ordering::Relaxed))
    }

    /// Returns the number of rows.
    pub(crate) const fn participants(self) -> usize {
        self.rows.len()
    }

    /// Returns the process that owns `row`, or did last.
    pub(crate) fn pid(self, row: usize) -> u32 {
        // Relaxed: for messages.
        self.rows[row].pid.load(Ordering::Relaxed)
    }

    /// Returns the slots that `row` pins, one bit each.
    #[inline]
    pub(crate) fn pins(self, row: usize) -> u64 {
        // Scan: pairs with Pin and Unpin.
        handshake_load(Label::Scan, &[Label::Claim], &self.rows[row].pins)
    }
}

impl Row {
    /// Clears what is not a pin.
    fn clear(&self) {
        // Relaxed: a writer that still sees the old values leaves slots alone that it could have.
        self.needs.store(0, Ordering::Relaxed);
        kill_point!(RowNeedsNothing);
        self.seen.store(0, Ordering::Relaxed);
        self.roles.store(0, Ordering::Relaxed);
        self.pid.store(0, Ordering::Relaxed);
        self.socket.store(0, Ordering::Relaxed);
    }
}

/// Returns a row as the words of the lock line have it: one more, so that zero is nobody.
fn number(row: usize) -> u32 {
    u32::try_from(row + 1).unwrap_or(DEAD)
}

/// The numbers of the bits that are set, lowest first.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        (self.0 != 0).then(|| {
            self.0 &= self.0 - 1;
            bit
        })
    }
}

#[cfg(test)]
impl Head {
    pub(super) fn new() -> Self {
        Self {
            publication: Publication {
                latest: AtomicU64::new(0),
            },
            writer: WriterWords {
                published: AtomicU64::new(0),
                notify: Signal::new(),
                first: AtomicU32::new(0),
                awaited: AtomicU32::new(0),
            },
            lock: LockWords {
                holder: AtomicU32::new(0),
                released: Signal::new(),
                freed: Signal::new(),
                flags: AtomicU32::new(0),
                publisher: AtomicU32::new(0),
                nudge: AtomicU32::new(0),
            },
            attached: Attached(std::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
}

#[cfg(test)]
impl Slot {
    pub(super) fn new() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            state: zero(),
            frame: FrameHeader {
                frame_id: zero(),
                realtime_ns: zero(),
                monotonic_ns: zero(),
            },
            maker: zero(),
            filling: zero(),
        }
    }
}

#[cfg(test)]
impl Row {
    pub(super) fn new() -> Self {
        Self {
            pins: AtomicU64::new(0),
            needs: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            pid: AtomicU32::new(0),
            roles: AtomicU32::new(0),
            socket: AtomicU64::new(0),
        }
    }
}
