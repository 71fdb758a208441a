//! Where on a device the frames of a stream live, as its header says it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{Defect, corrupt};
use crate::protocol::MAX_SLOTS;
use crate::schema::Schema;

/// Small blocks share a larger one, all of which would be open to other processes.
const BLOCK: usize = 2 << 20;
/// Slots begin at what the driver aligns allocations to, at least.
const SLOT_UNIT: usize = 512;
/// The size of what another process opens memory or an event by.
pub(crate) const HANDLE_LEN: usize = 64;

/// Where frames are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
#[repr(u32)]
pub enum Placement {
    /// In the memory of the device alone.
    DeviceOnly = 1,
    /// On the device, and copied to the host besides.
    Mirrored = 2,
}

/// How a frame is handed to readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
#[repr(u32)]
pub enum Handover {
    /// A host function behind the writer's work publishes it.
    Callback = 1,
    /// It is published at once, and readers' queues wait for an event of the driver.
    Event = 2,
}

/// How processes share the memory of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "kebab-case"))]
#[non_exhaustive]
#[repr(u32)]
pub enum Sharing {
    /// By the driver's handle to it: the memory is its creator's, and goes with that.
    Handle = 1,
    /// By descriptors, which those who have the memory give to those who ask: it lives as long as anybody
    /// has it.
    Descriptor = 2,
}

/// What a header says about the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) uuid: [u8; 16],
    pub(crate) placement: Placement,
    pub(crate) handover: Handover,
    pub(crate) sharing: Sharing,
    /// The driver's handle to the memory, if it is shared by that, else zero.
    pub(crate) memory: [u8; HANDLE_LEN],
    /// The distance of slots on the device.
    pub(crate) stride: usize,
    /// The size of the allocation.
    pub(crate) size: usize,
    /// One for each slot if frames are handed over by events, else none.
    pub(crate) events: Vec<[u8; HANDLE_LEN]>,
}

/// The same as it lies in the file; the handles of events follow the schema.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub(super) struct RawDevice {
    uuid: [u8; 16],
    placement: u32,
    handover: u32,
    backend: u32,
    reserved: u32,
    stride: u64,
    size: u64,
    /// As eights, since arrays of 64 have no default.
    memory: [[u8; 32]; 2],
}

impl RawDevice {
    /// Returns how many bytes the handles of events take.
    pub(super) fn events_len(&self, slots: u32) -> Result<usize, Defect> {
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        if slots > MAX_SLOTS {
            return Err(corrupt("the number of slots", slots));
        }
        match self.handover == Handover::Event as u32 {
            true => Ok(slots * HANDLE_LEN),
            false => Ok(0),
        }
    }
}

impl Device {
    /// Returns the distance of slots on a device and the size of the allocation, or `None` when that
    /// does not fit an address space.
    pub(crate) fn sizes(frame: usize, slots: usize) -> Option<(usize, usize)> {
        let stride = frame.checked_next_multiple_of(SLOT_UNIT)?;
        let size = stride.checked_mul(slots)?;
        let size = size.checked_next_multiple_of(BLOCK)?;
        isize::try_from(size).ok()?;
        Some((stride, size))
    }

    /// Returns how many bytes the handles of events take.
    pub(super) fn events_len(&self) -> usize {
        self.events.len() * HANDLE_LEN
    }

    pub(super) fn raw(&self) -> RawDevice {
        let mut memory = [[0; 32]; 2];
        memory.as_flattened_mut().copy_from_slice(&self.memory);
        RawDevice {
            uuid: self.uuid,
            placement: self.placement as u32,
            handover: self.handover as u32,
            backend: self.sharing as u32,
            reserved: 0,
            stride: self.stride as u64,
            size: self.size as u64,
            memory,
        }
    }

    pub(super) fn decode(raw: &RawDevice, events: &[u8]) -> Result<Self, Defect> {
        const KIND: &str = "the kind of device memory";
        let sharing = match raw.backend {
            1 => Sharing::Handle,
            2 => Sharing::Descriptor,
            other => {
                let newest = Sharing::Descriptor as u32;
                return Err(Defect::Other(KIND, other.into(), newest.into()));
            }
        };
        let handover = match raw.handover {
            1 => Handover::Callback,
            2 => Handover::Event,
            other => return Err(corrupt("the hand-over", other)),
        };
        if (sharing, handover) == (Sharing::Descriptor, Handover::Event) {
            return Err(corrupt(KIND, "descriptors where events are handles"));
        }
        let mut memory = [0; HANDLE_LEN];
        if sharing == Sharing::Handle {
            // Otherwise the bytes must be zero, as those that are reserved.
            memory.copy_from_slice(raw.memory.as_flattened());
        }
        let (events, _) = events.as_chunks();
        Ok(Self {
            uuid: raw.uuid,
            placement: match raw.placement {
                1 => Placement::DeviceOnly,
                2 => Placement::Mirrored,
                other => return Err(corrupt("the placement", other)),
            },
            handover,
            sharing,
            memory,
            stride: usize::try_from(raw.stride).unwrap_or(usize::MAX),
            size: usize::try_from(raw.size).unwrap_or(usize::MAX),
            events: events.to_vec(),
        })
    }

    /// Checks what follows from other fields.
    pub(super) fn check(&self, schema: &Schema, slots: usize) -> Result<(), Defect> {
        let there = (self.stride, self.size);
        match Self::sizes(schema.size(), slots) {
            Some(here) if here == there => Ok(()),
            _ => Err(corrupt("the size of the device memory", self.size)),
        }
    }
}
