//! What a frame, or a second of them, is for programs.

use serde::Serialize;
use shmstream::FrameInfo;

use crate::header::FrameHeader;
use crate::units::{self, Moment};
use crate::value::Value;

/// Frames of a while.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) missed: u64,
}

impl Tally {
    pub(super) fn add(&mut self, missed: u64) {
        self.frames += 1;
        self.missed += missed;
    }

    pub(super) fn published(self) -> u64 {
        self.frames + self.missed
    }
}

/// A frame, for programs.
#[derive(Serialize)]
pub(super) struct FrameLine<'a> {
    #[serde(flatten)]
    header: FrameHeader,
    missed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value<'a>>,
}

impl<'a> FrameLine<'a> {
    pub(super) fn new(info: FrameInfo, value: Option<Value<'a>>) -> Self {
        Self {
            header: FrameHeader::new(info),
            missed: info.missed,
            value,
        }
    }
}

/// A second, for programs.
#[derive(Serialize)]
pub(super) struct RateLine {
    pub(super) time: String,
    pub(super) seconds: f64,
    pub(super) frames: u64,
    pub(super) missed: u64,
    pub(super) frames_per_second: f64,
    pub(super) missed_per_second: f64,
    pub(super) bytes_per_second: u64,
    pub(super) age_ns: Option<u64>,
}

impl RateLine {
    pub(super) fn new(
        tally: Tally,
        seconds: f64,
        frame_size: usize,
        latest: Option<FrameInfo>,
    ) -> Self {
        let frames_per_second = as_f64(tally.published()) / seconds;
        Self {
            time: Moment::now().rfc3339(),
            seconds,
            frames: tally.published(),
            missed: tally.missed,
            frames_per_second,
            missed_per_second: as_f64(tally.missed) / seconds,
            bytes_per_second: per_second(tally.published(), frame_size, seconds),
            age_ns: latest.map(|latest| units::nanoseconds(latest.age())),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure of a few digits")]
pub(super) const fn as_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a cast of a float saturates"
)]
fn per_second(frames: u64, frame_size: usize, seconds: f64) -> u64 {
    (as_f64(frames) * as_f64(frame_size as u64) / seconds) as u64
}
