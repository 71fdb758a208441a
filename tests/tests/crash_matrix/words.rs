//! What a dead process has left in the words that processes share, read from the file by the layout
//! in `docs/protocol.md`, past the library.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use shmstream::{Link, Status};

/// Something that is not as it is in a stream that nobody died in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Left {
    Row,
    Pins,
    Needs,
    RowBegun,
    Awaited,
    Signature,
    Marked,
    GivenUp,
    Ahead,
    NotifyArmed,
    ReleasedArmed,
    FreedArmed,
    UnlinkMark,
}

impl Left {
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Row => "a row",
            Self::Pins => "pins",
            Self::Needs => "frames awaited",
            Self::RowBegun => "words in a row that nobody has",
            Self::Awaited => "a count in `awaited`",
            Self::Signature => "a signature of the lock",
            Self::Marked => "a mark over a whole frame",
            Self::GivenUp => "a slot without a frame",
            Self::Ahead => "a slot with a count to come",
            Self::NotifyArmed => "`notify` armed",
            Self::ReleasedArmed => "`released` armed",
            Self::FreedArmed => "`freed` armed",
            Self::UnlinkMark => "the mark of a lost name",
        }
    }

    /// Returns whether somebody seems to sleep.
    pub(crate) const fn is_armed(self) -> bool {
        matches!(
            self,
            Self::NotifyArmed | Self::ReleasedArmed | Self::FreedArmed
        )
    }
}

/// The control block of one stream.
pub(crate) struct Words {
    file: File,
    control: u64,
    slots: u64,
    rows: u64,
}

impl Words {
    pub(crate) fn of(path: &Path) -> Self {
        let mut words = Self {
            file: File::open(path).expect("the stream's file"),
            control: 0,
            slots: 0,
            rows: 0,
        };
        let (control, slots, rows) = (words.long(40), words.word(64), words.word(68));
        words.control = control;
        words.slots = slots.into();
        words.rows = rows.into();
        words
    }

    fn word(&self, offset: u64) -> u32 {
        let mut bytes = [0; 4];
        let at = self.control + offset;
        self.file.read_exact_at(&mut bytes, at).expect("a word");
        u32::from_ne_bytes(bytes)
    }

    fn long(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        let at = self.control + offset;
        self.file.read_exact_at(&mut bytes, at).expect("a word");
        u64::from_ne_bytes(bytes)
    }

    /// Returns whether somebody may sleep on `notify`.
    pub(crate) fn is_notify_armed(&self) -> bool {
        self.word(136) & 3 != 0
    }

    /// Returns what is left by those who are dead, by the status of the stream.
    pub(crate) fn left(&self, status: &Status) -> BTreeSet<Left> {
        let mut left = BTreeSet::new();
        let mut note = |is_left: bool, what: Left| {
            if is_left {
                left.insert(what);
            }
        };
        let alive = |row: u64| {
            let owned = status.participants.iter();
            owned.clone().any(|one| one.row as u64 == row && one.alive)
        };
        let mut awaited = false;
        for row in 0..self.rows {
            let offset = 512 + 128 * (self.slots + row);
            let [pins, needs, seen] = [0, 8, 16].map(|word| self.long(offset + word));
            let [pid, roles] = [24, 28].map(|word| self.word(offset + word));
            let listed = self.long(384 + 8 * (row / 64)) >> (row % 64) & 1 != 0;
            if alive(row) {
                awaited |= needs != 0;
                continue;
            }
            note(listed, Left::Row);
            note(listed && pins != 0, Left::Pins);
            note(listed && needs != 0, Left::Needs);
            let begun = pins | needs | seen | u64::from(pid | roles) != 0;
            note(!listed && begun, Left::RowBegun);
        }
        note(self.word(144) != 0 && !awaited, Left::Awaited);
        let holder = self.word(256);
        note(
            holder != 0 && !alive(u64::from(holder) - 1),
            Left::Signature,
        );
        let latest = self.long(0) >> 6;
        for slot in 0..self.slots {
            let state = self.long(512 + 128 * slot);
            note(state == 1, Left::GivenUp);
            note(state > 1 && state & 1 != 0, Left::Marked);
            note(state >> 1 > latest, Left::Ahead);
        }
        note(self.is_notify_armed(), Left::NotifyArmed);
        note(self.word(260) & 3 != 0, Left::ReleasedArmed);
        note(self.word(264) & 3 != 0, Left::FreedArmed);
        let unlinked = self.word(268) & 1 != 0;
        note(unlinked && status.link == Link::Current, Left::UnlinkMark);
        left
    }
}
