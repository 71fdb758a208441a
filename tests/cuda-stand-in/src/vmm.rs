//! Virtual memory management: physical memory apart from addresses, shared by descriptors.
//!
//! Physical memory is a file without a name. It lives as long as any process has a descriptor of it, a
//! handle or a mapping, whatever became of the process that made it.

use std::ffi::{c_int, c_uint, c_void};
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{fstat, readlink};

use crate::blocks::{give_back, reserve};
use crate::call::{Code, Out, context_call, device_call};
use crate::device::{Physical, attribute, ordinal, physical};
use crate::mapping::file;
use crate::status::{Outcome, Status};
use crate::table::Table;

/// What physical memory comes in multiples of, and addresses for it.
pub(crate) const GRANULARITY: usize = 2 << 20;
/// Names the files, so that another descriptor is not taken for one. The device follows, and whether others
/// on the bus may reach it.
const LABEL: &str = "stand-in physical ";

/// `CU_MEM_ALLOCATION_TYPE_PINNED`.
const PINNED: c_uint = 1;
/// `CU_MEM_LOCATION_TYPE_DEVICE`.
pub(crate) const DEVICE: c_uint = 1;
/// `CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR`.
const DESCRIPTOR: c_uint = 1;
/// `CU_DEVICE_ATTRIBUTE_GPU_DIRECT_RDMA_WITH_CUDA_VMM_SUPPORTED`.
const REACHABLE: c_int = 110;

/// `CUmemLocation`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Location {
    pub(crate) kind: c_uint,
    pub(crate) id: c_int,
}

/// `CUmemAllocationProp`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Properties {
    kind: c_uint,
    handle_types: c_uint,
    location: Location,
    windows: *const c_void,
    compression: u8,
    /// Whether other devices on the bus may reach it.
    reachable: u8,
    usage: u16,
    reserved: [u8; 4],
}

/// Physical memory.
pub(crate) struct Backing {
    pub(crate) file: OwnedFd,
    pub(crate) size: usize,
    pub(crate) device: Physical,
    handle_types: c_uint,
    /// Whether it was made here, and counts as memory of this process.
    made_here: bool,
}

impl Drop for Backing {
    fn drop(&mut self) {
        if self.made_here {
            give_back(self.size);
        }
    }
}

static BACKINGS: Table<Backing> = Table::new(4);

/// Returns the physical memory of a handle.
pub(crate) fn find(handle: usize) -> Outcome<Arc<Backing>> {
    BACKINGS.find(handle).map_err(|_| Status::INVALID_VALUE)
}

/// Returns one more handle of physical memory.
pub(crate) fn register(backing: Arc<Backing>) -> usize {
    BACKINGS.insert(backing)
}

/// Reads the caller's properties.
///
/// # Safety
///
/// `properties` is null or points to properties.
unsafe fn read(properties: *const Properties) -> Outcome<(Properties, Physical)> {
    if properties.is_null() {
        return Err(Status::INVALID_VALUE);
    }
    // SAFETY: the function's contract, and not null.
    let properties = unsafe { properties.read() };
    if properties.kind != PINNED || properties.location.kind != DEVICE {
        return Err(Status::INVALID_VALUE);
    }
    let device = physical(properties.location.id)?;
    Ok((properties, device))
}

/// Reads which memory a descriptor is of.
fn import(descriptor: BorrowedFd<'_>) -> Outcome<Backing> {
    let refused = |_| Status::INVALID_VALUE;
    let number = std::os::fd::AsRawFd::as_raw_fd(&descriptor);
    let target = readlink(format!("/proc/self/fd/{number}"), Vec::new());
    let target = target.map_err(|_| Status::INVALID_VALUE)?;
    let target = target.into_string().map_err(|_| Status::INVALID_VALUE)?;
    let label = target.strip_prefix("/memfd:").unwrap_or_default();
    let device = label.strip_prefix(LABEL).ok_or(Status::INVALID_VALUE)?;
    let device = device.split(' ').next().unwrap_or_default();
    let size = fstat(descriptor)
        .map_err(|_| Status::INVALID_VALUE)?
        .st_size;
    Ok(Backing {
        file: descriptor
            .try_clone_to_owned()
            .map_err(|_| Status::OUT_OF_MEMORY)?,
        size: usize::try_from(size).map_err(refused)?,
        device: device.parse().map_err(|_| Status::INVALID_VALUE)?,
        handle_types: DESCRIPTOR,
        made_here: false,
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetAllocationGranularity(
    result: Out<usize>,
    properties: *const Properties,
    option: c_uint,
) -> Code {
    device_call("cuMemGetAllocationGranularity", || {
        // SAFETY: the driver's contract.
        unsafe { read(properties) }?;
        // Minimum or recommended, which are the same.
        if option > 1 {
            return Err(Status::INVALID_VALUE);
        }
        result.put(GRANULARITY)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemCreate(
    result: Out<usize>,
    size: usize,
    properties: *const Properties,
    flags: u64,
) -> Code {
    context_call("cuMemCreate", |_| {
        // SAFETY: the driver's contract.
        let (properties, device) = unsafe { read(properties) }?;
        if size == 0 || !size.is_multiple_of(GRANULARITY) || flags != 0 {
            return Err(Status::INVALID_VALUE);
        }
        // Nothing but descriptors; what a driver without a fabric says is a guess.
        if properties.handle_types & !DESCRIPTOR != 0 {
            return Err(Status::NOT_SUPPORTED);
        }
        // Which code a driver has for it is a guess, too.
        if properties.reachable != 0 && attribute(REACHABLE) != 1 {
            return Err(Status::NOT_SUPPORTED);
        }
        let note = match properties.reachable {
            0 => "",
            _ => " reachable",
        };
        let file = file(&format!("{LABEL}{device}{note}"), size)?;
        reserve(size)?;
        let backing = Backing {
            file,
            size,
            device,
            handle_types: properties.handle_types,
            made_here: true,
        };
        result.put(register(Arc::new(backing)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemRelease(handle: usize) -> Code {
    context_call("cuMemRelease", |_| {
        // What is mapped stays.
        let released = BACKINGS.remove(handle);
        released.map(drop).map_err(|_| Status::INVALID_VALUE)
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemExportToShareableHandle(
    result: Out<c_int>,
    handle: usize,
    kind: c_uint,
    flags: u64,
) -> Code {
    context_call("cuMemExportToShareableHandle", |_| {
        let backing = find(handle)?;
        if flags != 0 || kind != DESCRIPTOR || backing.handle_types & kind == 0 {
            return Err(Status::INVALID_VALUE);
        }
        let descriptor = backing.file.try_clone();
        let descriptor = descriptor.map_err(|_| Status::OUT_OF_MEMORY)?;
        result.put(descriptor.into_raw_fd())
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemImportFromShareableHandle(
    result: Out<usize>,
    descriptor: *const c_void,
    kind: c_uint,
) -> Code {
    context_call("cuMemImportFromShareableHandle", |_| {
        // The descriptor itself, in the place of a pointer.
        let number = c_int::try_from(descriptor.addr());
        let number = number.map_err(|_| Status::INVALID_VALUE)?;
        if kind != DESCRIPTOR || number < 0 {
            return Err(Status::INVALID_VALUE);
        }
        // SAFETY: the driver's contract: open while the call lasts. The caller closes it later.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        result.put(register(Arc::new(import(descriptor.as_fd())?)))
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn cuMemGetAllocationPropertiesFromHandle(
    result: Out<Properties>,
    handle: usize,
) -> Code {
    device_call("cuMemGetAllocationPropertiesFromHandle", || {
        let backing = find(handle)?;
        result.put(Properties {
            kind: PINNED,
            handle_types: backing.handle_types,
            location: Location {
                kind: DEVICE,
                id: ordinal(backing.device).ok_or(Status::INVALID_DEVICE)?,
            },
            windows: std::ptr::null(),
            compression: 0,
            reachable: 0,
            usage: 0,
            reserved: [0; 4],
        })
    })
}
