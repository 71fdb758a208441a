//! Feature `config`: manifests as TOML and JSON.

use std::fs;
use std::path::Path;

use super::error::ConfigError;
use super::manifest::Manifest;

impl Manifest {
    /// Reads a manifest from TOML.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with the line, for text that is no TOML, keys that are unknown or missing,
    /// values that do not fit, and names that occur twice.
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::config::Manifest;
    ///
    /// let error = Manifest::from_toml("[[stream]]\nname = 'imu'\npayload = '[f32; 0]'").unwrap_err();
    /// assert_eq!(error.line(), Some(3));
    /// ```
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map(|before| before.matches('\n').count() + 1);
            let message: Vec<_> = error.message().lines().map(str::trim).collect();
            ConfigError::new(line, message.join(", "))
        })
    }

    /// Writes the manifest as TOML that [`from_toml`](Self::from_toml) reads.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for names that occur twice, and numbers beyond 2⁶³.
    ///
    /// # Examples
    ///
    /// ```
    /// use shmstream::config::{Manifest, StreamConfig};
    ///
    /// let imu = StreamConfig::new("imu".parse()?, "[f32; 6]".parse()?);
    /// let manifest = Manifest { streams: vec![imu] };
    /// let text = manifest.to_toml()?;
    /// assert!(text.contains("payload = \"[f32; 6]\""));
    /// assert_eq!(Manifest::from_toml(&text)?, manifest);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let unwritable = |reason| ConfigError::new(None, reason);
        self.check_names().map_err(unwritable)?;
        toml::to_string(self).map_err(|error| unwritable(error.to_string()))
    }

    /// Reads a manifest from JSON: `{"stream": [{"name": "imu", "payload": "[f32; 6]"}]}`.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml).
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let reason = error.to_string();
            let place = format!(" at line {line} column {column}");
            let reason = reason.strip_suffix(&place).unwrap_or(&reason);
            // serde_json counts from 1, and says 0 where it does not know.
            ConfigError::new((line > 0).then_some(line), reason.to_owned())
        })
    }

    /// Reads a manifest from a file, TOML or JSON by the end of its name.
    ///
    /// # Errors
    ///
    /// As [`from_toml`](Self::from_toml); [`ConfigError`] with the cause when the file cannot be read,
    /// and for names that end neither in `.toml` nor in `.json`.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let read = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Self::from_toml,
            Some("json") => Self::from_json,
            _ => {
                let reason = "expected a name that ends in .toml or .json".to_owned();
                return Err(ConfigError::new(None, reason).in_file(path));
            }
        };
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, error))?;
        read(&text).map_err(|error| error.in_file(path))
    }
}
