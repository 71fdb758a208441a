#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
// Under loom the protocol stands alone, and what it offers to the rest has no callers.
#![cfg_attr(shmstream_loom, allow(dead_code, unused_imports))]

// First: the others use its macro.
#[macro_use]
mod kill_point;

mod prefetch;
mod protocol;
mod sync;

#[cfg(all(feature = "serde", not(shmstream_loom)))]
pub mod config;

#[cfg(all(feature = "cuda", not(shmstream_loom)))]
pub mod cuda;
#[cfg(not(shmstream_loom))]
pub mod gpu;

#[cfg(not(shmstream_loom))]
mod dtype;
#[cfg(not(shmstream_loom))]
mod error;
#[cfg(not(shmstream_loom))]
mod layout;
#[cfg(not(shmstream_loom))]
mod name;
#[cfg(not(shmstream_loom))]
mod os;
#[cfg(not(shmstream_loom))]
mod payload;
#[cfg(not(shmstream_loom))]
mod pod;
#[cfg(all(feature = "async", not(shmstream_loom)))]
mod reactor;
#[cfg(not(shmstream_loom))]
mod region;
#[cfg(not(shmstream_loom))]
mod scalar;
#[cfg(not(shmstream_loom))]
mod schema;
#[cfg(not(shmstream_loom))]
mod stream;
#[cfg(not(shmstream_loom))]
mod view;
#[cfg(not(shmstream_loom))]
mod write_lock;

#[cfg(not(shmstream_loom))]
pub use {
    dtype::DType,
    error::{Error, Result},
    name::StreamName,
    payload::{GpuPayload, ShmPayload},
    pod::{Bool, Pod},
    scalar::Scalar,
    schema::{Field, Item, Schema, SchemaError, StructSchema},
    shmstream_derive::ShmPayload,
    stream::{
        Aligned, AnyStream, Builder, DynFrame, DynLoan, DynLockGuard, DynOwnedFrame, DynStream,
        Frame, FrameInfo, Frames, Gap, Group, Link, Loan, LockAll, LockGuard, Lockable, Observer,
        OwnedFrame, Participant, Producer, Purged, Roles, Set, Start, Status, Stream, Subscription,
        list, lock_all, lock_all_timeout, purge, stat, unlink,
    },
    view::{View, ViewMut},
};

#[cfg(all(feature = "config", not(shmstream_loom)))]
pub use config::ConfigError;
#[cfg(all(feature = "serde", not(shmstream_loom)))]
pub use config::{Applied, Difference, Finding, Manifest, StreamConfig};
#[cfg(all(feature = "async", not(shmstream_loom)))]
pub use stream::{AsyncFrames, AsyncSource, Readiness, WaitFrame, WaitOwned};

#[cfg(not(shmstream_loom))]
#[doc(no_inline)]
pub use half::{bf16, f16};

/// The long-form pages.
#[cfg(not(shmstream_loom))]
pub mod docs {
    #[doc = include_str!("../docs/crash_matrix.md")]
    pub mod crash_matrix {}
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[cfg(feature = "cuda")]
    #[doc = include_str!("../docs/gpu.md")]
    pub mod gpu {}
    #[doc = include_str!("../docs/limitations.md")]
    pub mod limitations {}
    #[doc = include_str!("../docs/performance.md")]
    pub mod performance {}
    #[doc = include_str!("../docs/protocol.md")]
    pub mod protocol {}
    #[doc = include_str!("../docs/reliability.md")]
    pub mod reliability {}
    #[doc = include_str!("../docs/tool.md")]
    pub mod tool {}
}

/// What the output of the derive names. Not for use by hand, and not covered by any promise.
#[cfg(not(shmstream_loom))]
#[doc(hidden)]
pub mod __private {
    #[cfg(shmstream_kill_points)]
    pub use crate::kill_point::{KillPoint, pass};
    pub use crate::payload::derived::{
        FieldAt, FieldLayout, FieldType, GpuFieldType, Layout, check_align, check_end, check_field,
        schema_of,
    };
    pub use crate::payload::{GpuPayload, ShmPayload};
    pub use crate::schema::Schema;
}
