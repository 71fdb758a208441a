//! Streams as programs use them.

mod builder;
mod catalog;
mod dynamic;
mod file;
mod frame;
mod guard;
mod handle;
mod options;
mod reading;
mod rows;
mod typed;
mod writing;

pub use builder::Builder;
pub use catalog::{Purged, list, purge, unlink};
pub use dynamic::DynStream;
pub use frame::{Frame, FrameInfo, OwnedFrame};
pub use guard::{Loan, LockGuard};
pub use handle::Link;
pub use typed::Stream;
