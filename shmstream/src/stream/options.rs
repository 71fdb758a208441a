//! The options of a stream, as values: what a builder collects, checked.

use super::handle::{Creation, Handle};
use crate::error::{Error, Result};
use crate::layout::{MIN_SLOTS, Plan};
use crate::name::StreamName;
use crate::os::map::Residency;
use crate::protocol::{MAX_PARTICIPANTS, MAX_SLOTS};
use crate::schema::Schema;

/// Two slots that readers hold, and one to write into, beside the frames that are kept.
const SPARE_SLOTS: usize = 3;
const DEFAULT_PARTICIPANTS: usize = 64;
const DEFAULT_MODE: u32 = 0o600;

/// How often `open_or_create` starts again because the stream appeared or vanished in between.
const ATTEMPTS: u32 = 1000;

/// What a stream is asked to be, and how a handle wants it mapped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// `None` for the default, which follows from the history.
    pub(crate) slots: Option<usize>,
    pub(crate) history: usize,
    pub(crate) participants: usize,
    pub(crate) mode: u32,
    /// `None` for what the mode says.
    pub(crate) observers: Option<bool>,
    pub(crate) residency: Residency,
    pub(crate) any_owner: bool,
    pub(crate) temporary: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            slots: None,
            history: 1,
            participants: DEFAULT_PARTICIPANTS,
            mode: DEFAULT_MODE,
            observers: None,
            residency: Residency::default(),
            any_owner: false,
            temporary: false,
        }
    }
}

impl Options {
    /// Opens the stream, if it carries what is expected.
    pub(crate) fn open(&self, name: &StreamName, expected: Option<&Schema>) -> Result<Handle> {
        Handle::open(name, self.any_owner, self.residency, expected)
    }

    /// Creates a stream of frames with this schema.
    pub(crate) fn create(&self, name: &StreamName, schema: Schema) -> Result<Handle> {
        let plan = self.plan(name, schema)?;
        self.create_planned(name, plan, |_| Ok(()))
    }

    /// Creates a stream as planned with these options. `prepare` is called before it has its name.
    pub(crate) fn create_planned(
        &self,
        name: &StreamName,
        plan: Plan,
        prepare: impl FnOnce(&mut Handle) -> Result<()>,
    ) -> Result<Handle> {
        let creation = Creation {
            plan,
            mode: self.mode,
            residency: self.residency,
            unlink_on_drop: self.temporary,
        };
        Handle::create(name, creation, prepare)
    }

    /// Opens the stream, or creates it if there is none.
    pub(crate) fn open_or_create(&self, name: &StreamName, schema: &Schema) -> Result<Handle> {
        let mut attempt = 0;
        loop {
            let result = match self.open(name, Some(schema)) {
                Err(Error::NotFound { .. }) => self.create(name, schema.clone()),
                opened => opened,
            };
            match result {
                Err(Error::AlreadyExists { .. }) if attempt < ATTEMPTS => attempt += 1,
                result => return result,
            }
        }
    }

    /// Returns the number of slots that was asked for, or that follows from the history.
    pub(crate) fn slots(&self) -> usize {
        let default = self.history.saturating_add(SPARE_SLOTS).min(MAX_SLOTS);
        self.slots.unwrap_or(default)
    }

    /// Says whether readers are expected that cannot write to the file.
    pub(crate) fn observers(&self) -> bool {
        // A class of users that may read and not write.
        let reads_only = |shift: u32| self.mode >> shift & 0o6 == 0o4;
        self.observers
            .unwrap_or_else(|| reads_only(3) || reads_only(0))
    }

    /// Checks the options, and joins them with a schema.
    pub(crate) fn plan(&self, name: &StreamName, schema: Schema) -> Result<Plan> {
        self.check(name)?;
        Ok(Plan {
            schema,
            slots: self.slots(),
            participants: self.participants,
            history: self.history,
            observers: self.observers(),
            huge: self.residency.huge,
            page: rustix::param::page_size(),
            device: None,
        })
    }

    /// Checks that every option is in its range.
    pub(crate) fn check(&self, name: &StreamName) -> Result<()> {
        let within = |what, value, min, max| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            let reason = format!("must be from {min} to {max}, not {value}");
            Err(Error::invalid(name, what, reason))
        };
        within("the history", self.history, 1, MAX_SLOTS - 1)?;
        within("the number of slots", self.slots(), MIN_SLOTS, MAX_SLOTS)?;
        if self.slots() <= self.history {
            let reason = format!(
                "must be more than the {} frames of the history, not {}: one to write into",
                self.history,
                self.slots()
            );
            return Err(Error::invalid(name, "the number of slots", reason));
        }
        within(
            "the number of participants",
            self.participants,
            1,
            MAX_PARTICIPANTS,
        )?;
        if self.mode & 0o600 != 0o600 || self.mode & !0o666 != 0 {
            let reason = format!(
                "must let the owner read and write and nobody execute (0o600 to 0o666), not 0o{:o}",
                self.mode
            );
            return Err(Error::invalid(name, "the mode", reason));
        }
        Ok(())
    }
}
