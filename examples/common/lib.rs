//! What the example programs share: how they end, how they start their other processes, how they keep
//! time, and how they write figures.

mod end;
mod feed;
mod other;
mod schedule;
mod statistics;
mod text;

pub use end::{Result, Stop, report};
pub use feed::{Feed, Motion, Motions, Temperatures, publish};
pub use other::{Other, Writer, removed, writer};
pub use schedule::Schedule;
pub use statistics::{Durations, Statistics};
pub use text::{bytes_text, duration_text, line, period, seconds};
