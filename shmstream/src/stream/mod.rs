//! Streams as programs use them.

mod builder;
mod catalog;
mod frame;
mod guard;
mod handle;
mod typed;

pub use builder::Builder;
pub use catalog::{Purged, list, purge, unlink};
pub use frame::{Frame, FrameInfo, OwnedFrame};
pub use guard::{Loan, LockGuard};
pub use handle::Link;
pub use typed::Stream;
