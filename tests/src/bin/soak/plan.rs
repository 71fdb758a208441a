//! Which streams there are, and who sits where.

use shmstream::{Builder, Stream};

/// A stream of the soak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// Frames of 64 bytes, contended.
    Small,
    /// Frames of 8 KiB with a history, and lossless subscriptions.
    Ordered,
    /// Frames of 1 MiB, filled in place, with a short history.
    Large,
    /// Frames of 8 KiB that another user observes.
    Observed,
    /// Frames of 64 bytes, in a stream that is unlinked and created anew under its name.
    Brief,
}

/// Words in the frames of each size.
pub(crate) const SMALL: usize = 8;
pub(crate) const MIDDLE: usize = 1024;
pub(crate) const LARGE: usize = 131_072;

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Publishes.
    Writer,
    /// Reads the latest frame, in every way that does not wait.
    Reader,
    /// Waits for the latest frame, blocked.
    Waiter,
    /// Reads in order, and misses what it is too slow for.
    Subscriber,
    /// Reads in order, and writers wait for it.
    Lossless,
    /// Waits without a thread.
    Task,
    /// Reads without permission to write, as another user if that is possible.
    Observer,
    /// Creates the stream, publishes, unlinks it.
    Maker,
    /// Reads a stream that is replaced all the time.
    Follower,
    /// Lives through all of it, and is not killed.
    Resident,
    /// Shows how late processes are on this machine. Uses no stream.
    Control,
    /// Misbehaves, if one is asked for.
    Saboteur,
}

/// A place for one process at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) which: Which,
    pub(crate) role: Role,
}

const fn seat(which: Which, role: Role) -> Seat {
    Seat { which, role }
}

/// How many seats there are.
pub(crate) const SEATS: usize = KILLED + 3;
/// The first of them are those whose processes are killed.
pub(crate) const KILLED: usize = 27;
pub(crate) const RESIDENT: usize = KILLED;
pub(crate) const CONTROL: usize = KILLED + 1;
pub(crate) const SABOTEUR: usize = KILLED + 2;

pub(crate) const PLAN: [Seat; SEATS] = [
    seat(Which::Small, Role::Writer),
    seat(Which::Small, Role::Writer),
    seat(Which::Small, Role::Writer),
    seat(Which::Small, Role::Reader),
    seat(Which::Small, Role::Waiter),
    seat(Which::Small, Role::Task),
    seat(Which::Ordered, Role::Writer),
    seat(Which::Ordered, Role::Writer),
    seat(Which::Ordered, Role::Subscriber),
    seat(Which::Ordered, Role::Lossless),
    seat(Which::Ordered, Role::Lossless),
    seat(Which::Ordered, Role::Task),
    seat(Which::Ordered, Role::Reader),
    seat(Which::Large, Role::Writer),
    seat(Which::Large, Role::Writer),
    seat(Which::Large, Role::Reader),
    seat(Which::Large, Role::Waiter),
    seat(Which::Large, Role::Subscriber),
    seat(Which::Observed, Role::Writer),
    seat(Which::Observed, Role::Writer),
    seat(Which::Observed, Role::Observer),
    seat(Which::Observed, Role::Observer),
    seat(Which::Observed, Role::Waiter),
    seat(Which::Brief, Role::Maker),
    seat(Which::Brief, Role::Maker),
    seat(Which::Brief, Role::Follower),
    seat(Which::Brief, Role::Follower),
    seat(Which::Small, Role::Resident),
    seat(Which::Small, Role::Control),
    seat(Which::Small, Role::Saboteur),
];

impl Which {
    pub(crate) const ALL: [Self; 5] = [
        Self::Small,
        Self::Ordered,
        Self::Large,
        Self::Observed,
        Self::Brief,
    ];
    /// Those that keep their file from beginning to end.
    pub(crate) const LASTING: [Self; 4] = [Self::Small, Self::Ordered, Self::Large, Self::Observed];

    /// Returns its place among all streams.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Ordered => "ordered",
            Self::Large => "large",
            Self::Observed => "observed",
            Self::Brief => "brief",
        }
    }

    /// Returns the number of words in a frame.
    pub(crate) const fn words(self) -> usize {
        match self {
            Self::Small | Self::Brief => SMALL,
            Self::Ordered | Self::Observed => MIDDLE,
            Self::Large => LARGE,
        }
    }

    const fn history(self) -> usize {
        match self {
            Self::Small | Self::Observed => 1,
            Self::Brief => 2,
            Self::Large => 4,
            Self::Ordered => 16,
        }
    }

    /// Sets what the stream is. No slot and no row is to spare, so what the dead leave is needed.
    pub(crate) fn plan<const N: usize>(
        self,
        builder: Builder<Stream<u64, N>>,
    ) -> Builder<Stream<u64, N>> {
        let at_this = PLAN[..KILLED].iter().filter(|seat| seat.which == self);
        let guards: usize = at_this.clone().map(|seat| seat.role.guards()).sum();
        let handles: usize = at_this.map(|seat| seat.role.handles()).sum();
        builder
            .history(self.history())
            // The frames that are kept, one to write into, those that guards hold.
            .slots(self.history() + 1 + guards + Role::Resident.guards())
            .participants(handles + Role::Resident.handles() + Role::Saboteur.handles())
            .mode(if self == Self::Observed { 0o644 } else { 0o600 })
    }
}

impl Role {
    pub(crate) const ALL: [Self; 12] = [
        Self::Writer,
        Self::Reader,
        Self::Waiter,
        Self::Subscriber,
        Self::Lossless,
        Self::Task,
        Self::Observer,
        Self::Maker,
        Self::Follower,
        Self::Resident,
        Self::Control,
        Self::Saboteur,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Writer => "writer",
            Self::Reader => "reader",
            Self::Waiter => "waiter",
            Self::Subscriber => "subscriber",
            Self::Lossless => "lossless",
            Self::Task => "async",
            Self::Observer => "observer",
            Self::Maker => "maker",
            Self::Follower => "follower",
            Self::Resident => "resident",
            Self::Control => "control",
            Self::Saboteur => "saboteur",
        }
    }

    /// Returns how many guards one of its processes holds at most.
    const fn guards(self) -> usize {
        match self {
            Self::Reader => 2,
            Self::Waiter
            | Self::Subscriber
            | Self::Lossless
            | Self::Task
            | Self::Follower
            | Self::Resident => 1,
            Self::Writer | Self::Maker | Self::Observer | Self::Control | Self::Saboteur => 0,
        }
    }

    /// Returns how many handles one of its processes has at most.
    const fn handles(self) -> usize {
        match self {
            Self::Waiter | Self::Maker => 1,
            Self::Writer
            | Self::Reader
            | Self::Subscriber
            | Self::Lossless
            | Self::Task
            | Self::Follower
            | Self::Saboteur => 2,
            Self::Resident => 4,
            Self::Observer | Self::Control => 0,
        }
    }

    /// Returns whether its processes publish.
    pub(crate) const fn writes(self) -> bool {
        matches!(self, Self::Writer | Self::Maker)
    }
}
