//! Streams as programs use them.

mod any;
mod builder;
mod catalog;
mod cursor;
mod dynamic;
mod file;
mod frame;
mod guard;
mod handle;
mod observer;
mod options;
mod reading;
mod rows;
mod status;
mod subscription;
mod typed;
mod writing;

pub use any::AnyStream;
pub use builder::Builder;
pub use catalog::{Purged, list, purge, unlink};
pub use cursor::{Gap, Start};
pub use dynamic::{DynFrame, DynLoan, DynLockGuard, DynOwnedFrame, DynStream};
pub use frame::{Frame, FrameInfo, OwnedFrame};
pub use guard::{Loan, LockGuard};
pub use handle::Link;
pub use observer::Observer;
pub use status::{Participant, Producer, Roles, Status, stat};
pub use subscription::{Frames, Subscription};
pub use typed::Stream;
