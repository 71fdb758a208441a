//! Where on a device the frames of a stream live, for whoever asks.

use std::fmt;

use crate::layout::Device;
pub use crate::layout::{Handover, Placement, Sharing};

/// Where on a device the frames of a stream live, as its header says, and whether they can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The UUID of the device, as `nvidia-smi -L` writes it.
    pub uuid: String,
    /// Where frames are kept.
    pub placement: Placement,
    /// How a frame is handed to readers.
    pub handover: Handover,
    /// The size of the memory on the device in bytes.
    pub memory: u64,
    /// How processes share the memory.
    pub sharing: Sharing,
    /// Whether the memory is there to be opened: the process that created it is alive, or, shared by
    /// descriptors, any that has it open.
    pub shared: bool,
    #[cfg_attr(feature = "serde", serde(skip))]
    raw: [u8; 16],
}

impl DeviceInfo {
    pub(crate) fn new(device: &Device, shared: bool) -> Self {
        Self {
            uuid: uuid_text(device.uuid),
            placement: device.placement,
            handover: device.handover,
            memory: device.size as u64,
            sharing: device.sharing,
            shared,
            raw: device.uuid,
        }
    }

    /// Returns the UUID as the driver gives it.
    #[must_use]
    pub const fn uuid_bytes(&self) -> [u8; 16] {
        self.raw
    }
}

impl fmt::Display for DeviceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            uuid,
            placement,
            handover,
            memory,
            sharing,
            shared,
            raw: _,
        } = self;
        write!(
            f,
            "{uuid}, {placement}, {memory} bytes {sharing}, {handover}"
        )?;
        match (shared, sharing) {
            (true, _) => Ok(()),
            (false, Sharing::Handle) => {
                f.write_str(", not open to others any more: its process is gone")
            }
            (false, Sharing::Descriptor) => {
                f.write_str(", gone: no process that had it open is left")
            }
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::DeviceOnly => "on a GPU",
            Self::Mirrored => "on a GPU, mirrored",
        })
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Handle => "by memory handle",
            Self::Descriptor => "by descriptors",
        })
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Callback => "handed over by callback",
            Self::Event => "handed over by event",
        })
    }
}

/// Writes a UUID as `nvidia-smi -L` does.
pub(crate) fn uuid_text(uuid: [u8; 16]) -> String {
    let hex = format!("{:032x}", u128::from_be_bytes(uuid));
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    format!("GPU-{}", parts.join("-"))
}
