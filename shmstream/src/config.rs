//! Streams declared in a file.
//!
//! A [`Manifest`] says which streams there are to be on a machine: what each carries, and the options
//! with which it is created. One process, or a service at boot, applies it; the others open streams
//! that exist.
//!
//! ```toml
//! [[stream]]
//! name = "camera/left"
//! payload = "[[u16; 640]; 480]"
//! history = 8
//!
//! [[stream]]
//! name = "imu"
//! payload = "Imu { time: f64, accel: [f32; 3], gyro: [f32; 3] }"
//! mode = "0640"
//!
//! [[stream]]
//! name = "depth"
//! dtype = "f32"
//! shape = [480, 640]
//! huge_pages = true
//! ```
//!
//! JSON holds the same: `{"stream": [{"name": "imu", "payload": "Imu { .. }"}]}`.
//!
//! | Key | Value | Default |
//! |---|---|---|
//! | `name` | the stream's name; see below for bytes that are no text | |
//! | `payload` | what a frame is, as [`Schema`](crate::Schema) writes it | |
//! | `dtype`, `shape` | in place of `payload`, an array of scalars: the name of a [`DType`](crate::DType), and the dimensions, outermost first | `shape`: a single scalar |
//! | `history` | frames that are kept ([`Builder::history`](crate::Builder::history)) | 1 |
//! | `slots` | room for frames ([`Builder::slots`](crate::Builder::slots)) | `history` + 3 |
//! | `participants` | handles attached at a time ([`Builder::participants`](crate::Builder::participants)) | 64 |
//! | `mode` | the file's permissions, in octal and in quotes ([`Builder::mode`](crate::Builder::mode)) | `"0600"` |
//! | `observers` | whether readers without write permission are expected ([`Builder::observers`](crate::Builder::observers)) | what `mode` says |
//! | `huge_pages` | whether to ask for huge pages ([`Builder::huge_pages`](crate::Builder::huge_pages)) | `false` |
//! | `placement` | for a stream on a GPU, where frames are kept: `"device-only"` or `"mirrored"` | on the host |
//! | `handover` | for a stream on a GPU, how frames are handed over: `"callback"` or `"event"` | `"callback"` |
//! | `sharing` | for a stream on a GPU, how its memory is shared: `"descriptor"` or `"handle"` | what the driver can do; `"handle"` by event |
//!
//! A stream on a GPU is compared like others and not created from here: that takes the process whose GPU
//! it is (`CudaStream::create_declared`, with the feature `cuda`).
//!
//! Any other key is an error, and so is a name that occurs twice.
//!
//! In a name, `%` and two hexadecimal digits are a byte, since a name need not be text: `a%FF` has
//! two bytes, and `camera%2Fleft` is `camera/left`. Write `%25` for a `%` before two such digits.
//!
//! # Examples
//!
//! With the feature `config`, which reads files:
//!
//! ```
//! # #[cfg(feature = "config")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let name = format!("doc-config-{}", std::process::id());
//! use shmstream::DynStream;
//! use shmstream::config::Manifest;
//!
//! let text = format!(
//!     r#"
//!     [[stream]]
//!     name = "{name}"
//!     payload = "[[u16; 640]; 480]"
//!     history = 8
//!     "#
//! );
//! let manifest = Manifest::from_toml(&text)?;
//!
//! let applied = manifest.apply();
//! assert!(applied.is_complete());
//! assert_eq!(applied.created[0].to_string(), name);
//! assert!(manifest.check().is_empty(), "every stream is as declared");
//!
//! let stream = DynStream::open(&name)?;
//! assert_eq!(stream.schema().to_string(), "[[u16; 640]; 480]");
//! shmstream::unlink(&name)?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "config"))]
//! # fn main() {}
//! ```

#[cfg(feature = "config")]
mod error;
#[cfg(feature = "config")]
mod files;
mod form;
mod manifest;
mod mode;
mod stream;

#[cfg(feature = "config")]
pub use error::ConfigError;
pub use manifest::{Applied, Finding, Manifest};
pub use stream::{Difference, StreamConfig};

#[cfg(test)]
mod tests;
