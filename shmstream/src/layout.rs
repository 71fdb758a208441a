//! Where everything lies in a stream's file: checked arithmetic and the header's bytes.
//!
//! Nothing in a header is taken at its word. [`Header::decode`] checks every field, computes the
//! layout from the few that decide it, and demands that the rest, and the size of the file, agree.

use device::RawDevice;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(crate) use device::Device;
pub use device::{Handover, Placement, Sharing};

use crate::protocol::{Head, MAX_PARTICIPANTS, MAX_SLOTS, Row, Slot, Turns};
use crate::schema::{MAX_ALIGN, Schema};

/// What a stream's file begins with.
pub(crate) const MAGIC: [u8; 8] = *b"SHMSTRM\n";
/// Raised with every change to the layout or the protocol.
pub(crate) const VERSION: u32 = 2;
/// Reads as another number on a machine of the other byte order.
const BYTE_ORDER: u32 = 0x0102_0304;
/// The longest schema, in bytes.
const MAX_SCHEMA: usize = 1 << 20;
/// Slots begin on a line of their own.
const LINE: usize = 128;
/// The data area begins on a huge page.
const FLAG_HUGE: u32 = 1;
/// Every publish wakes, since some readers cannot say that they sleep.
const FLAG_OBSERVERS: u32 = 2;
/// Frames live in the memory of a device, which the header describes.
const FLAG_DEVICE: u32 = 4;
const HUGE_PAGE: usize = crate::os::map::HUGE_PAGE;

pub(crate) const MIN_SLOTS: usize = 2;

/// The decisions that a layout follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The schema of one frame; its outermost dimension is the number of elements.
    pub(crate) schema: Schema,
    pub(crate) slots: usize,
    pub(crate) participants: usize,
    /// How many frames are kept for readers in order, the latest included; from 1.
    pub(crate) history: usize,
    /// Some readers cannot write to the file: every publish wakes.
    pub(crate) observers: bool,
    pub(crate) huge: bool,
    /// The size of a page on this machine.
    pub(crate) page: usize,
    /// Where on a device the frames live; `None` for a stream in the host's memory.
    pub(crate) device: Option<Device>,
}

impl Plan {
    /// Returns whether the file has no room for payloads.
    pub(crate) fn is_device_only(&self) -> bool {
        let placement = self.device.as_ref().map(|device| device.placement);
        placement == Some(Placement::DeviceOnly)
    }

    /// Returns whether frames are published before the work that fills them is done.
    pub(crate) fn is_by_event(&self) -> bool {
        let handover = self.device.as_ref().map(|device| device.handover);
        handover == Some(Handover::Event)
    }

    /// Returns which slots a writer takes first.
    pub(crate) fn turns(&self) -> Turns {
        Turns {
            kept: self.history as u64 - 1,
            // An observer cannot pin, so it gets as much time for its copy as there are slots. And by
            // event, frames that are complete stay for the case that the writer of newer ones dies.
            all: self.history > 1 || self.observers || self.is_by_event(),
        }
    }
}

/// Offsets and sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// INVARIANT: a multiple of the page size, and `control + control_len <= data`.
    pub(crate) control: usize,
    /// INVARIANT: room for the head, `slots` slots and `participants` rows, in that order.
    pub(crate) control_len: usize,
    /// INVARIANT: a multiple of the page size.
    pub(crate) data: usize,
    /// INVARIANT: at least `slots` times `stride`.
    pub(crate) data_len: usize,
    /// INVARIANT: at least `frame`, and a multiple of the frame's alignment and of 128; zero if frames
    /// live on a device alone.
    pub(crate) stride: usize,
    /// The size of a frame in this file; zero if frames live on a device alone.
    pub(crate) frame: usize,
    /// INVARIANT: from 2 to 64.
    pub(crate) slots: usize,
    /// INVARIANT: from 1 to 1024.
    pub(crate) participants: usize,
    /// `data + data_len`, and no more than `isize::MAX`.
    pub(crate) total: usize,
}

impl Layout {
    /// Computes the layout, or returns `None` when a size does not fit the address space.
    ///
    /// The caller has checked that the plan is within the bounds of its fields.
    pub(crate) fn new(plan: &Plan, schema_len: usize) -> Option<Self> {
        let up = |size: usize, unit: usize| size.checked_next_multiple_of(unit);
        let Plan {
            slots,
            participants,
            page,
            ..
        } = *plan;
        let frame = match plan.is_device_only() {
            true => 0,
            false => plan.schema.size(),
        };
        let events_len = plan.device.as_ref().map_or(0, Device::events_len);
        let start = size_of::<RawHeader>() + events_len;
        let control = up(start.checked_add(schema_len)?, page)?;
        let control_len =
            size_of::<Head>() + slots * size_of::<Slot>() + participants * size_of::<Row>();
        let data_unit = if plan.huge { page.max(HUGE_PAGE) } else { page };
        let data = up(control.checked_add(control_len)?, data_unit)?;
        // Large frames begin on a page, so that a reader of one touches no page of another.
        let unit = if frame < page {
            LINE.max(plan.schema.align())
        } else {
            page
        };
        let stride = up(frame, unit)?;
        let data_len = up(stride.checked_mul(slots)?, page)?;
        let total = data.checked_add(data_len)?;
        isize::try_from(total).ok()?;
        Some(Self {
            control,
            control_len,
            data,
            data_len,
            stride,
            frame,
            slots,
            participants,
            total,
        })
    }
}

/// A header as it lies in the file; the encoded schema follows it.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    byte_order: u32,
    version: u32,
    /// Over the header with this field zero, and the schema.
    checksum: u32,
    flags: u32,
    page: u64,
    total: u64,
    control: u64,
    data: u64,
    stride: u64,
    slots: u32,
    participants: u32,
    instance: [u8; 16],
    created_ns: u64,
    creator_pid: u32,
    creator_uid: u32,
    schema_len: u32,
    history: u32,
    /// Zero without the flag for it.
    device: RawDevice,
    /// Zero until a later version gives them a meaning.
    reserved: [u8; 32],
}

/// The size of the fixed part of a header.
pub(crate) const HEADER_LEN: usize = size_of::<RawHeader>();

/// The part of the header that the protocol does not depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Random; tells a stream from others of the same name.
    pub(crate) instance: [u8; 16],
    /// Realtime clock, in nanoseconds since 1970.
    pub(crate) created_ns: u64,
    pub(crate) creator_pid: u32,
    pub(crate) creator_uid: u32,
}

/// Everything that a header says, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) plan: Plan,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
}

/// Why bytes are not the header of a stream that this program can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// No stream at all.
    Foreign(&'static str),
    /// A stream of another kind: what differs, its value there and here.
    Other(&'static str, u64, u64),
    /// A damaged stream: the field and what it holds.
    Corrupt(&'static str, String),
}

fn corrupt(field: &'static str, value: impl ToString) -> Defect {
    Defect::Corrupt(field, value.to_string())
}

/// Returns the number of bytes that `decode` wants, given the first [`HEADER_LEN`] of a file of
/// `file_len` bytes.
pub(crate) fn header_len(start: &[u8], file_len: u64) -> Result<usize, Defect> {
    let raw = check_kind(start, file_len)?;
    let schema_len = usize::try_from(raw.schema_len).unwrap_or(usize::MAX);
    if schema_len > MAX_SCHEMA {
        return Err(corrupt("the length of the schema", schema_len));
    }
    let events_len = match raw.flags & FLAG_DEVICE {
        0 => 0,
        _ => raw.device.events_len(raw.slots)?,
    };
    Ok(HEADER_LEN + schema_len + events_len)
}

/// Checks that the file is a stream of this version and machine.
fn check_kind(start: &[u8], file_len: u64) -> Result<RawHeader, Defect> {
    if file_len == 0 {
        return Err(Defect::Foreign("it is empty"));
    }
    if !start.starts_with(&MAGIC) {
        return Err(Defect::Foreign("it does not begin as a stream does"));
    }
    let cut = || {
        corrupt(
            "its file",
            format!("{file_len} bytes, too few for a header"),
        )
    };
    let (raw, _) = RawHeader::read_from_prefix(start).map_err(|_| cut())?;
    if raw.byte_order != BYTE_ORDER {
        let (there, here) = (raw.byte_order.into(), BYTE_ORDER.into());
        return Err(Defect::Other("byte order", there, here));
    }
    if raw.version != VERSION {
        return Err(Defect::Other(
            "format version",
            raw.version.into(),
            VERSION.into(),
        ));
    }
    Ok(raw)
}

impl Header {
    /// Writes the header as bytes.
    ///
    /// # Errors
    ///
    /// Why the schema cannot be written.
    pub(crate) fn new(plan: Plan, origin: Origin) -> Result<(Self, Vec<u8>), PlanDefect> {
        let schema = plan.schema.encode().map_err(PlanDefect::Schema)?;
        if schema.len() > MAX_SCHEMA {
            return Err(PlanDefect::Schema("more than 1 MiB of names and fields"));
        }
        let layout = Layout::new(&plan, schema.len()).ok_or(PlanDefect::TooLarge)?;
        let header = Self {
            plan,
            layout,
            origin,
        };
        let mut raw = header.raw(schema.len());
        let mut rest = schema;
        if let Some(device) = &header.plan.device {
            rest.extend(device.events.as_flattened());
        }
        raw.checksum = checksum(&raw, &rest);
        let mut bytes = raw.as_bytes().to_vec();
        bytes.extend(rest);
        Ok((header, bytes))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 1024, 64 and 1 MiB"
    )]
    fn raw(&self, schema_len: usize) -> RawHeader {
        let Self {
            plan,
            layout,
            origin,
        } = self;
        RawHeader {
            magic: MAGIC,
            byte_order: BYTE_ORDER,
            version: VERSION,
            checksum: 0,
            flags: if plan.huge { FLAG_HUGE } else { 0 }
                | if plan.observers { FLAG_OBSERVERS } else { 0 }
                | if plan.device.is_some() {
                    FLAG_DEVICE
                } else {
                    0
                },
            page: plan.page as u64,
            total: layout.total as u64,
            control: layout.control as u64,
            data: layout.data as u64,
            stride: layout.stride as u64,
            slots: plan.slots as u32,
            participants: plan.participants as u32,
            instance: origin.instance,
            created_ns: origin.created_ns,
            creator_pid: origin.creator_pid,
            creator_uid: origin.creator_uid,
            schema_len: schema_len as u32,
            history: plan.history as u32,
            device: plan.device.as_ref().map(Device::raw).unwrap_or_default(),
            reserved: [0; 32],
        }
    }

    /// Reads a header from the first bytes of a file of `file_len` bytes, on a machine with pages of
    /// `page` bytes.
    pub(crate) fn decode(bytes: &[u8], file_len: u64, page: usize) -> Result<Self, Defect> {
        let raw = check_kind(bytes, file_len)?;
        if raw.page != page as u64 {
            return Err(Defect::Other("page size", raw.page, page as u64));
        }
        let rest = bytes
            .get(HEADER_LEN..header_len(bytes, file_len)?)
            .ok_or_else(|| {
                corrupt(
                    "its file",
                    format!("{file_len} bytes, too few for the schema"),
                )
            })?;
        let unsigned = RawHeader { checksum: 0, ..raw };
        let expected = checksum(&unsigned, rest);
        if raw.checksum != expected {
            let value = format!(
                "{:#010x} where its contents give {expected:#010x}",
                raw.checksum
            );
            return Err(corrupt("the header's checksum", value));
        }
        let events = match raw.flags & FLAG_DEVICE {
            0 => 0,
            _ => raw.device.events_len(raw.slots)?,
        };
        let (schema, events) = rest.split_at(rest.len() - events);
        let plan = Plan {
            schema: Schema::decode(schema).map_err(|defect| corrupt("the schema", defect))?,
            slots: bounded("the number of slots", raw.slots, MIN_SLOTS, MAX_SLOTS)?,
            participants: bounded(
                "the number of participants",
                raw.participants,
                1,
                MAX_PARTICIPANTS,
            )?,
            history: bounded("the history", raw.history, 1, MAX_SLOTS - 1)?,
            observers: raw.flags & FLAG_OBSERVERS != 0,
            huge: raw.flags & FLAG_HUGE != 0,
            page,
            device: match raw.flags & FLAG_DEVICE {
                0 => None,
                _ => Some(Device::decode(&raw.device, events)?),
            },
        };
        if raw.flags & !(FLAG_HUGE | FLAG_OBSERVERS | FLAG_DEVICE) != 0 {
            return Err(corrupt("the flags", format!("{:#x}", raw.flags)));
        }
        if plan.history >= plan.slots {
            return Err(corrupt("the history", plan.history));
        }
        if plan.schema.shape().is_empty() {
            return Err(corrupt("the schema", "a frame without dimensions"));
        }
        if let Some(device) = &plan.device {
            device.check(&plan.schema, plan.slots)?;
        }
        let layout = Layout::new(&plan, schema.len())
            .ok_or_else(|| corrupt("the shape", plan.schema.shape_text()))?;
        let origin = Origin {
            instance: raw.instance,
            created_ns: raw.created_ns,
            creator_pid: raw.creator_pid,
            creator_uid: raw.creator_uid,
        };
        let header = Self {
            plan,
            layout,
            origin,
        };
        header.check_rest(&raw, schema.len(), file_len)?;
        Ok(header)
    }

    /// Checks the fields that follow from others, and the size of the file.
    fn check_rest(&self, raw: &RawHeader, schema_len: usize, file_len: u64) -> Result<(), Defect> {
        let mut expected = self.raw(schema_len);
        expected.checksum = raw.checksum;
        for (field, there, here) in [
            (
                "the offset of the control block",
                raw.control,
                expected.control,
            ),
            ("the offset of the data", raw.data, expected.data),
            ("the distance between slots", raw.stride, expected.stride),
            ("the total size", raw.total, expected.total),
        ] {
            if there != here {
                return Err(corrupt(
                    field,
                    format!("{there} where the schema gives {here}"),
                ));
            }
        }
        if expected.as_bytes() != raw.as_bytes() {
            return Err(corrupt(
                "the reserved part of the header",
                "bytes that are not zero",
            ));
        }
        if file_len != raw.total {
            let value = format!("{file_len} bytes where its header says {}", raw.total);
            return Err(corrupt("its file", value));
        }
        Ok(())
    }
}

/// Why a plan cannot become a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlanDefect {
    Schema(&'static str),
    TooLarge,
}

fn bounded(field: &'static str, value: u32, min: usize, max: usize) -> Result<usize, Defect> {
    usize::try_from(value)
        .ok()
        .filter(|value| (min..=max).contains(value))
        .ok_or_else(|| corrupt(field, value))
}

fn checksum(raw: &RawHeader, schema: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(raw.as_bytes());
    hasher.update(schema);
    hasher.finalize()
}

const _: () = {
    // What the code above takes for granted.
    assert!(HEADER_LEN == 256);
    assert!(size_of::<Head>() == 4 * LINE);
    assert!(size_of::<Slot>() == LINE && size_of::<Row>() == LINE);
    assert!(MAX_ALIGN <= 4096);
};

mod device;
#[cfg(test)]
mod tests;
