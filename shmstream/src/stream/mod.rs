//! Streams as programs use them.

mod aligned;
mod any;
#[cfg(feature = "async")]
mod asynchronous;
mod builder;
mod catalog;
pub(crate) mod cursor;
mod dynamic;
pub(crate) mod file;
mod frame;
mod guard;
pub(crate) mod handle;
mod lock_all;
mod observer;
mod options;
mod reading;
mod rows;
mod status;
mod subscription;
mod typed;
mod writing;

pub use aligned::{Aligned, Group, Set};
pub use any::AnyStream;
#[cfg(feature = "async")]
pub use asynchronous::{AsyncFrames, AsyncSource, Readiness, WaitFrame, WaitOwned};
pub use builder::Builder;
pub use catalog::{Purged, list, purge, unlink};
pub use cursor::{Gap, Start};
pub use dynamic::{DynFrame, DynLoan, DynLockGuard, DynOwnedFrame, DynStream};
pub use frame::{Frame, FrameInfo, OwnedFrame};
pub use guard::{Loan, LockGuard};
pub use handle::Link;
pub use lock_all::{LockAll, Lockable, lock_all, lock_all_timeout};
pub use observer::Observer;
pub(crate) use options::Options;
pub use status::{Participant, Producer, Roles, Status, stat};
pub use subscription::{Frames, Subscription};
pub use typed::Stream;
