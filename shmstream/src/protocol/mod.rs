//! How writers and readers of one stream keep out of each other's way.
//!
//! This module knows atomics and nothing else: no mapping, no payload, no system call. It runs as
//! it is over shared memory and under loom. `docs/protocol.md` has the byte layout, the argument in
//! full and the table of what a process that dies leaves behind.
//!
//! # Roles
//!
//! - The *writer* holds the write lock, so there is one at a time. It claims a slot, fills it, and
//!   publishes it.
//! - A *reader* owns a row of the participant table. It pins the latest slot, reads it, unpins it.
//! - A *subscriber* pins frames in the order of their counts, and may have writers keep those that it
//!   has not read.
//! - An *observer* maps everything read-only, pins nothing, and checks afterwards whether what it
//!   copied was overwritten meanwhile.
//! - A *sleeper* waits for a [`Signal`] that another participant fires.
//!
//! # States of a slot
//!
//! | `state` | means | leaves by |
//! |---|---|---|
//! | 0 | never written | claim |
//! | `2·count` | holds the frame of that count | claim |
//! | `2·count + 1` | a writer looks whether it may have the slot; the frame is still whole | restore; 1; recover |
//! | 1 | being rewritten, or given up in the middle | publish, claim |
//!
//! # Orderings
//!
//! | label | operation | pairs with | without it |
//! |---|---|---|---|
//! | Claim | `state ← odd`, `SeqCst` | Validate | reader and writer miss each other: a pinned slot is rewritten |
//! | Scan | load `attached`, `pins`, `awaited`, `SeqCst` | Pin, Attach, Await; Unpin | as Claim; the frame is overwritten while its last reader still reads |
//! | Pin | `pins ← mask`, `SeqCst` | Scan | as Claim |
//! | Validate | load `state`, `SeqCst` | Claim | as Claim |
//! | Attach | set bit in `attached`, `SeqCst` | Scan | the writer does not look at the row: as Claim |
//! | Unpin | `pins ← mask`, release | Scan | as Scan |
//! | Publish | `latest ← (count, slot)`, `SeqCst` | Observe; Recheck | the frame is read before it is there; a sleeper is missed |
//! | Observe | load `latest`, acquire | Publish | the frame is read before it is there |
//! | Arm | set the armed bit, `SeqCst` | Fire | a sleeper is missed |
//! | Fire | load the signal, `SeqCst` | Arm | a sleeper is missed |
//! | Recheck | load `latest`, `SeqCst` | Publish | a sleeper sleeps over a frame |
//! | Await | count up `awaited`, store `needs`, `SeqCst` | Scan; Fire | an awaited frame is overwritten; a writer that waits for a slot is missed |
//! | Disturb | fence, release, before the slot is written | Check | an observer takes a torn frame for whole |
//! | Check | fence, acquire, after the copy | Disturb | as Disturb |
//! | Announce | count up `notify`, release | Glance | an observer sleeps over a frame |
//! | Glance | load `notify`, fence, acquire | Announce | as Announce |
//!
//! Claim, Scan, Pin and Validate are a store-buffering pair: each side stores, then loads what the
//! other stored. All four are `SeqCst`, so at least one side sees the other. If the writer sees the
//! pin it takes another slot; if the reader sees the odd state it lets go without having read.

mod control;
mod follow;
mod observe;
#[cfg(not(shmstream_loom))]
pub(crate) mod payload;
mod read;
mod signal;
mod write;

pub(crate) use control::{
    Control, FrameWords, Head, MAX_PARTICIPANTS, MAX_SLOTS, Publisher, Role, Row, Slot, Turns,
    UNLINKED,
};
pub(crate) use follow::Next;
pub(crate) use observe::{RowWords, Sight};
pub(crate) use read::{Pinned, Pins, Torn};
pub(crate) use signal::{Signal, Waiting};
pub(crate) use write::{Holding, Occupied};

#[cfg(all(test, shmstream_loom))]
mod loom_tests;
#[cfg(all(test, not(shmstream_loom)))]
mod tests;
