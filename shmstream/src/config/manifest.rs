//! Many streams: declared in one file, created at once, compared with what exists.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::stream::{Difference, StreamConfig};
use crate::error::{Error, Result};
use crate::name::StreamName;
use crate::stream::{Status, stat};

/// How often a stream is looked for anew because it appeared or vanished in between.
const ATTEMPTS: u32 = 1000;

/// The streams that there are to be.
///
/// The [module](super) shows how that is written in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ManifestForm")]
pub struct Manifest {
    /// The streams, each name once.
    #[serde(rename = "stream")]
    pub streams: Vec<StreamConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a manifest")]
struct ManifestForm {
    #[serde(default)]
    stream: Vec<StreamConfig>,
}

impl TryFrom<ManifestForm> for Manifest {
    type Error = String;

    fn try_from(form: ManifestForm) -> std::result::Result<Self, String> {
        let manifest = Self {
            streams: form.stream,
        };
        manifest.check_names()?;
        Ok(manifest)
    }
}

impl Manifest {
    /// Creates the streams that do not exist.
    ///
    /// Those that exist stay as they are, in use or not, and are reported if they are not as
    /// declared: nothing is ever removed or replaced. A stream that cannot be created or looked at
    /// does not keep the others from it. Processes may apply the same manifest at the same time: one
    /// of them creates the stream, and the others find it.
    ///
    /// A process that is killed in here leaves some of the streams created, each of them complete.
    #[must_use = "it says what differs and what failed"]
    pub fn apply(&self) -> Applied {
        let mut applied = Applied::default();
        for config in &self.streams {
            let name = config.name.clone();
            match ensure(config) {
                Ok(None) => applied.created.push(name),
                Ok(Some(status)) => match config.difference(&status) {
                    same if same.is_empty() => applied.present.push(name),
                    differences => applied.differing.push((name, differences)),
                },
                Err(error) => applied.failed.push((name, error)),
            }
        }
        applied
    }

    /// Compares the declared streams with those that exist, and changes nothing.
    ///
    /// Returns those that are not as declared; nothing if all are there. Streams that are not
    /// declared do not count.
    #[must_use]
    pub fn check(&self) -> Vec<(StreamName, Finding)> {
        let finding = |config: &StreamConfig| match stat(&config.name) {
            Ok(status) => match config.difference(&status) {
                same if same.is_empty() => None,
                differences => Some(Finding::Differing(differences)),
            },
            Err(Error::NotFound { .. }) => Some(Finding::Missing),
            Err(error) => Some(Finding::Failed(error)),
        };
        let named = |config: &StreamConfig| Some((config.name.clone(), finding(config)?));
        self.streams.iter().filter_map(named).collect()
    }

    pub(super) fn check_names(&self) -> std::result::Result<(), String> {
        let mut names = BTreeSet::new();
        match self
            .streams
            .iter()
            .find(|config| !names.insert(&config.name))
        {
            Some(twice) => Err(format!("stream `{}` is declared twice", twice.name)),
            None => Ok(()),
        }
    }
}

/// Returns what stands under the name, or creates the stream and returns `None`.
fn ensure(config: &StreamConfig) -> Result<Option<Status>> {
    let mut attempt = 0;
    loop {
        let result = match stat(&config.name) {
            Err(Error::NotFound { .. }) => config.create().map(|_| None),
            found => return found.map(Some),
        };
        match result {
            // Somebody else was faster: look what it is.
            Err(Error::AlreadyExists { .. }) if attempt < ATTEMPTS => attempt += 1,
            result => return result,
        }
    }
}

/// What [`Manifest::apply`] did, and what it found.
#[derive(Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Applied {
    /// The streams that were created.
    pub created: Vec<StreamName>,
    /// Those that existed as declared.
    pub present: Vec<StreamName>,
    /// Those that existed and are not as declared, and what is different.
    pub differing: Vec<(StreamName, Vec<Difference>)>,
    /// Those that could not be created or looked at, and why.
    #[serde(serialize_with = "with_words")]
    pub failed: Vec<(StreamName, Error)>,
}

impl Applied {
    /// Says whether every declared stream is now there, as declared.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.differing.is_empty() && self.failed.is_empty()
    }
}

/// Why a stream is not as declared.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// It does not exist.
    Missing,
    /// It exists and is different.
    Differing(Vec<Difference>),
    /// What stands under its name is no stream, damaged, of another version or not to be read.
    Failed(#[serde(serialize_with = "words")] Error),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Differing(differences) => {
                let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
                f.write_str(&differences.join("; "))
            }
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Serialises an error as its words, causes included.
fn words<S: Serializer>(error: &Error, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{error:?}"))
}

fn with_words<S: Serializer>(
    failed: &[(StreamName, Error)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(
        failed
            .iter()
            .map(|(name, error)| (name, format!("{error:?}"))),
    )
}
