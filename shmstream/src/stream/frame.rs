//! Frames as a reader gets them.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, SystemTime};

use crate::os::clock;
use crate::pod::{Pod, bytes_of_mut, zeroed_box};
use crate::protocol::FrameWords;
use crate::region::Pin;

/// What comes with every frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FrameInfo {
    /// The number of the frame in its stream, from 1; it never repeats or runs backwards.
    pub count: u64,
    /// The number that the writer gave the frame; 0 unless it gave one.
    pub frame_id: u64,
    /// How many frames were published between the one that this handle returned before and this
    /// one. Zero for the first frame that a handle returns, and for one that it returns again.
    pub missed: u64,
    /// When the frame was published, on the realtime clock: nanoseconds since 1970 (UTC).
    pub realtime_ns: u64,
    /// When the frame was published, on the monotonic clock that the processes of a machine share
    /// (`CLOCK_MONOTONIC`), in nanoseconds.
    pub monotonic_ns: u64,
}

impl FrameInfo {
    #[inline]
    pub(crate) fn new(count: u64, frame: FrameWords, seen: u64) -> Self {
        // Nothing was missed before the first frame that a handle sees.
        let missed = if seen == 0 {
            0
        } else {
            count.saturating_sub(seen + 1)
        };
        Self {
            count,
            frame_id: frame.frame_id,
            missed,
            realtime_ns: frame.realtime_ns,
            monotonic_ns: frame.monotonic_ns,
        }
    }

    /// Returns how long ago the frame was published, by the monotonic clock.
    ///
    /// Right to the resolution of the clock, also while somebody sets the time of day. In another
    /// time namespace than the writer's the two clocks differ by that namespace's offset.
    #[must_use]
    pub fn age(&self) -> Duration {
        clock::since(self.monotonic_ns)
    }

    /// Returns when the frame was published, by the realtime clock.
    #[must_use]
    pub fn published_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(self.realtime_ns)
    }
}

/// A frame in the stream itself, which no writer changes while this guard lives.
///
/// Derefs to `&[T; N]`. The slot that holds the frame is pinned: writers use other slots, as long as
/// there are any, so hold a guard no longer than the frame is needed, and have as many slots as
/// frames are held at once, plus two ([`Builder::slots`](crate::Builder::slots)). If the process
/// dies, the pin goes with it.
///
/// Borrows the handle, and stays in its thread: `Frame` is neither `Send` nor `Sync`. The payload
/// behind it may be lent to other threads (`&frame[..]`).
///
/// ```compile_fail,E0277
/// fn send<T: Send>() {}
/// send::<shmstream::Frame<'static, f32, 1>>();
/// ```
#[must_use = "the slot is pinned only while the guard lives"]
pub struct Frame<'a, T: Pod, const N: usize> {
    pin: Pin<'a>,
    info: FrameInfo,
    payload: PhantomData<&'a [T; N]>,
}

impl<'a, T: Pod, const N: usize> Frame<'a, T, N> {
    #[inline(always)]
    pub(super) fn new((pin, info): (Pin<'a>, FrameInfo)) -> Self {
        let payload = PhantomData;
        Self { pin, info, payload }
    }

    /// Returns the frame header and the number of frames missed.
    #[inline]
    #[must_use]
    pub const fn info(&self) -> FrameInfo {
        self.info
    }

    /// Copies the payload into a buffer of the caller's.
    #[inline]
    pub fn copy_into(&self, payload: &mut [T; N]) {
        self.pin.copy_into(payload);
    }

    /// Copies the frame into memory of its own. Nothing of it travels over the stack.
    #[must_use]
    pub fn to_owned(&self) -> OwnedFrame<T, N> {
        OwnedFrame {
            payload: self.pin.to_boxed(),
            info: self.info,
        }
    }
}

impl<T: Pod> Frame<'_, T, 1> {
    /// Returns a copy of the one element.
    #[inline]
    #[must_use]
    pub fn get(&self) -> T {
        self[0]
    }
}

impl<T: Pod, const N: usize> Deref for Frame<'_, T, N> {
    type Target = [T; N];

    #[inline]
    fn deref(&self) -> &[T; N] {
        self.pin.payload()
    }
}

impl<T: Pod + fmt::Debug, const N: usize> fmt::Debug for Frame<'_, T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "Frame", self.info, &self[..])
    }
}

/// A frame in memory of its own.
///
/// Derefs to `&[T; N]`, and is `Send` and `Sync`.
#[derive(Clone)]
pub struct OwnedFrame<T: Pod, const N: usize> {
    payload: Box<[T; N]>,
    info: FrameInfo,
}

impl<T: Pod, const N: usize> OwnedFrame<T, N> {
    /// Returns the frame header and the number of frames missed.
    #[must_use]
    pub const fn info(&self) -> FrameInfo {
        self.info
    }

    /// A frame of zeros, to be filled.
    pub(super) fn blank() -> Self {
        Self {
            payload: zeroed_box(),
            info: FrameInfo::default(),
        }
    }

    pub(super) fn parts(&mut self) -> (&mut [u8], &mut FrameInfo) {
        (bytes_of_mut(&mut *self.payload), &mut self.info)
    }

    /// Returns the payload alone.
    #[must_use]
    pub fn into_payload(self) -> Box<[T; N]> {
        self.payload
    }
}

impl<T: Pod, const N: usize> Deref for OwnedFrame<T, N> {
    type Target = [T; N];

    fn deref(&self) -> &[T; N] {
        &self.payload
    }
}

impl<T: Pod, const N: usize> DerefMut for OwnedFrame<T, N> {
    fn deref_mut(&mut self) -> &mut [T; N] {
        &mut self.payload
    }
}

impl<T: Pod + fmt::Debug, const N: usize> fmt::Debug for OwnedFrame<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, "OwnedFrame", self.info, &self[..])
    }
}

fn debug<T: fmt::Debug>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    info: FrameInfo,
    payload: &[T],
) -> fmt::Result {
    f.debug_struct(name)
        .field("info", &info)
        .field("payload", &payload)
        .finish()
}
