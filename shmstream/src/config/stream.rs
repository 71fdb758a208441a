//! One stream as it is declared, and what is different where it stands.

use std::fmt;

use serde::Serialize;

use super::mode;
use crate::error::{Error, Result};
use crate::gpu::{Handover, Placement, Problem, Sharing};
use crate::name::StreamName;
use crate::schema::Schema;
use crate::stream::{Builder, DynStream, Options, Status};

/// Declares a stream: what it carries, and the options with which it is created.
///
/// The [module](super) lists the keys that it has in a file. A stream that exists is compared by
/// [`difference`](Self::difference), and becomes a declaration by [`of`](Self::of).
///
/// ```
/// # let name = format!("doc-declared-{}", std::process::id());
/// use shmstream::config::StreamConfig;
///
/// let mut imu = StreamConfig::new(
///     name.parse()?,
///     "Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }".parse()?,
/// );
/// imu.history = 16;
/// imu.create()?;
///
/// let status = shmstream::stat(&name)?;
/// assert!(imu.difference(&status).is_empty());
/// assert_eq!(StreamConfig::of(&status), imu.resolved());
/// shmstream::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamConfig {
    /// The stream's name.
    pub name: StreamName,
    /// What a frame is.
    pub payload: Schema,
    /// Room for frames; `None` for what follows from `history`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots: Option<usize>,
    /// Frames that are kept, the latest included.
    pub history: usize,
    /// Handles attached at a time.
    pub participants: usize,
    /// The file's permissions.
    #[serde(with = "mode")]
    pub mode: u32,
    /// Whether readers without write permission are expected; `None` for what `mode` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observers: Option<bool>,
    /// Whether huge pages are asked for.
    pub huge_pages: bool,
    /// Where on a GPU frames are kept; `None` for a stream in the host's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// How frames on a GPU are handed over; `None` for by callback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handover: Option<Handover>,
    /// How processes share memory on a GPU; `None` for what the driver can do, as
    /// `CudaBuilder::sharing` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<Sharing>,
}

impl StreamConfig {
    /// Declares a stream with the defaults of [`Builder`].
    #[must_use]
    pub fn new(name: StreamName, payload: Schema) -> Self {
        let options = Options::default();
        Self {
            name,
            payload,
            slots: None,
            history: options.history,
            participants: options.participants,
            mode: options.mode,
            observers: None,
            huge_pages: false,
            placement: None,
            handover: None,
            sharing: None,
        }
    }

    /// Declares the stream that exists, with every option as it is there.
    #[must_use]
    pub fn of(stream: &Status) -> Self {
        Self {
            name: stream.name.clone(),
            payload: stream.schema.clone(),
            slots: Some(stream.slots),
            history: stream.history,
            participants: stream.max_participants,
            mode: stream.mode & 0o7777,
            observers: Some(stream.observers),
            huge_pages: stream.huge_pages,
            placement: stream.device.as_ref().map(|device| device.placement),
            handover: stream.device.as_ref().map(|device| device.handover),
            sharing: stream.device.as_ref().map(|device| device.sharing),
        }
    }

    /// Returns the same declaration with all that follows from other options written out.
    ///
    /// The payload becomes that of the stream: one item is a frame of one item, so `f32` is
    /// `[f32; 1]`.
    #[must_use]
    pub fn resolved(&self) -> Self {
        let options = self.options();
        let payload = match self.payload.shape() {
            [] => self.payload.clone().array(1),
            _ => self.payload.clone(),
        };
        Self {
            payload,
            slots: Some(options.slots()),
            observers: Some(options.observers()),
            handover: self.placement.map(|_| self.handover()),
            sharing: match (self.placement, self.handover()) {
                (Some(_), Handover::Event) => Some(Sharing::Handle),
                _ => self.sharing,
            },
            ..self.clone()
        }
    }

    /// Returns how frames on a GPU are handed over.
    pub(crate) fn handover(&self) -> Handover {
        self.handover.unwrap_or(Handover::Callback)
    }

    /// Returns the options that concern the stream itself.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options {
            slots: self.slots,
            history: self.history,
            participants: self.participants,
            mode: self.mode,
            observers: self.observers,
            ..Options::default()
        };
        options.residency.huge = self.huge_pages;
        options
    }

    /// Returns a builder with these options, for those that are not declared: temporary streams,
    /// prefaulting, locked memory, streams of other users.
    pub fn builder(&self) -> Builder<DynStream> {
        let mut builder = DynStream::builder(&self.name)
            .schema(self.payload.clone())
            .history(self.history)
            .participants(self.participants)
            .mode(self.mode);
        if let Some(slots) = self.slots {
            builder = builder.slots(slots);
        }
        if let Some(expected) = self.observers {
            builder = builder.observers(expected);
        }
        if self.huge_pages {
            builder = builder.huge_pages();
        }
        builder
    }

    /// Creates the stream, unless it is to live on a GPU: that is for the process whose GPU it is, with
    /// `CudaStream::create_declared`.
    ///
    /// # Errors
    ///
    /// As [`DynStream::create`], and [`Error::Invalid`] for an option out of its range; [`Error::Gpu`]
    /// for a stream on a GPU.
    ///
    /// [`Error::Invalid`]: crate::Error::Invalid
    /// [`Error::Gpu`]: crate::Error::Gpu
    pub fn create(&self) -> Result<DynStream> {
        if self.placement.is_some() {
            return Err(Error::gpu(&self.name, Problem::Declared));
        }
        self.builder().create()
    }

    /// Returns what is different in the stream that exists; nothing if it is as declared.
    ///
    /// What is not declared must have its default, but for `sharing`, which may then be either. Names of
    /// structs do not count.
    #[must_use]
    pub fn difference(&self, stream: &Status) -> Vec<Difference> {
        let declared = self.resolved();
        let found = Self::of(stream);
        let payloads = [&declared.payload, &found.payload];
        let same_payload = payloads[0].shape() == payloads[1].shape()
            && found
                .payload
                .item()
                .difference(declared.payload.item())
                .is_none();
        let mut differences = Vec::new();
        if !same_payload {
            differences.push(Difference::new("payload", payloads));
        }
        let mut compare = |what, [declared, found]: [String; 2]| {
            if declared != found {
                differences.push(Difference::new(what, [declared, found]));
            }
        };
        let sides = [&declared, &found];
        compare("history", sides.map(|side| side.history.to_string()));
        compare(
            "slots",
            sides.map(|side| side.slots.unwrap_or_default().to_string()),
        );
        compare(
            "participants",
            sides.map(|side| side.participants.to_string()),
        );
        compare("mode", sides.map(|side| mode::text(side.mode)));
        compare(
            "observers",
            sides.map(|side| side.observers.unwrap_or_default().to_string()),
        );
        let word = |side: &Self| {
            side.placement
                .map_or("host".into(), |place| place.to_string())
        };
        compare("placement", sides.map(word));
        let word = |side: &Self| side.handover.map_or("host".into(), |how| how.to_string());
        compare("handover", sides.map(word));
        // Otherwise it is whatever the driver could do.
        if declared.sharing.is_some() {
            let word = |side: &Self| side.sharing.map_or("host".into(), |how| how.to_string());
            compare("sharing", sides.map(word));
        }
        compare("huge_pages", sides.map(|side| side.huge_pages.to_string()));
        differences
    }
}

/// One option of a stream that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The key of the option.
    pub what: &'static str,
    /// Its value in the declaration.
    pub declared: String,
    /// Its value in the stream.
    pub found: String,
}

impl Difference {
    fn new(what: &'static str, [declared, found]: [impl ToString; 2]) -> Self {
        Self {
            what,
            declared: declared.to_string(),
            found: found.to_string(),
        }
    }
}

/// Writes `slots: 4 declared, 8 in the stream`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            declared,
            found,
        } = self;
        write!(f, "{what}: {declared} declared, {found} in the stream")
    }
}
