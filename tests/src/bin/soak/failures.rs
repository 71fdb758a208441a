//! What must not happen, by kind.

use serde::Serialize;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $what:literal,)*) => {
        /// A kind of failure.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub(crate) enum Failure {
            $($(#[$doc])* $kind,)*
        }

        impl Failure {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            /// Says what is counted.
            pub(crate) const fn what(self) -> &'static str {
                match self { $(Self::$kind => $what),* }
            }
        }
    };
}

kinds! {
    /// The checksum of a frame is wrong.
    Torn "torn frames",
    /// A frame is whole and not the one that its header says.
    Content "frames with another's content",
    /// A count did not rise, or a publish time ran backwards.
    Order "counts out of order",
    /// Read and missed are not the span of the counts.
    Missed "missed-count errors",
    /// The counts of a stream are not the frames that its writers wrote.
    Lost "frames lost or made up",
    /// A call that should have ended did not for more than a second.
    Hang "hangs over one second",
    /// A call failed that should not.
    Error "calls that failed",
    /// A process ended by itself.
    Crash "processes that crashed",
    /// A slot could not be used after all had ended.
    Slot "leaked slots",
    /// A row of the participant table could not.
    Row "leaked rows",
    /// The write lock was not free.
    Lock "locks left taken",
    /// A file was there that should not be.
    File "leaked files",
    /// A process that lived through all of it has more open files than before.
    Descriptor "leaked descriptors",
    /// It has more mappings of files.
    Mapping "leaked mappings",
    /// It has more threads.
    Thread "leaked threads",
    /// It has more memory of its own, in KiB above what is allowed.
    Memory "leaked memory (KiB)",
}

/// How many kinds there are.
pub(crate) const KINDS: usize = Failure::ALL.len();
