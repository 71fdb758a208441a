//! A frame's header as JSON.

use serde::Serialize;
use shmstream::FrameInfo;

use crate::units::{self, Moment};

/// What is known of a frame beside its values.
#[derive(Serialize)]
pub(crate) struct FrameHeader {
    count: u64,
    frame_id: u64,
    time: String,
    realtime_ns: u64,
    monotonic_ns: u64,
    age_ns: u64,
}

impl FrameHeader {
    pub(crate) fn new(info: FrameInfo) -> Self {
        Self {
            count: info.count,
            frame_id: info.frame_id,
            time: Moment::new(info.realtime_ns).rfc3339(),
            realtime_ns: info.realtime_ns,
            monotonic_ns: info.monotonic_ns,
            age_ns: units::nanoseconds(info.age()),
        }
    }
}
