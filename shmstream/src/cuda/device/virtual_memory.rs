//! Memory of a device that processes share by descriptors: it lives as long as anybody has one, or has it
//! mapped, whatever became of the process that made it.
#![allow(unsafe_code)]
// This file guarantees that
// - the driver gets properties and handles that are what its documentation asks for;
// - what is mapped is unmapped once, by the length that it was mapped with;
// - a descriptor that the driver made has one owner.

use std::ffi::c_int;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::super::driver::{
    Access, Address, Location, OUT_OF_MEMORY, Properties, RawPhysical, SUCCESS, VirtualMemory,
    virtual_memory,
};
use super::Gpu;
use crate::gpu::Problem;

/// Attributes of a device: whether it has memory apart from addresses, and descriptors for that.
const ATTRIBUTES: [c_int; 2] = [102, 103];
/// And whether other devices on the bus, network cards say, can reach such memory.
const REACHABLE: c_int = 110;
/// Memory that stays where it is, on a device, which may read and write it.
const PINNED: u32 = 1;
const ON_DEVICE: u32 = 1;
const READ_WRITE: u32 = 3;
/// Of the ways to share memory: descriptors.
const BY_DESCRIPTOR: u32 = 1;
/// What the driver cannot do without, not what it would like best.
const MINIMUM: u32 = 0;

/// Memory that is mapped in a context.
#[derive(Clone, Copy, Debug)]
pub(in crate::cuda) struct Mapped {
    pub(in crate::cuda) address: Address,
    len: usize,
}

impl Mapped {
    pub(in crate::cuda) const fn len(&self) -> usize {
        self.len
    }
}

impl Gpu {
    /// Makes memory, maps it, and returns the descriptor by which others map it too. Fails where that does
    /// not work from end to end, as under WSL2, whose driver claims to do it: what the driver refuses here
    /// is a lack of descriptors, but for a lack of memory.
    pub(in crate::cuda) fn make_shared(&self, len: usize) -> Result<(Mapped, OwnedFd), Problem> {
        let calls = calls()?;
        self.bind()?;
        self.try_shared(calls, len)
            .map_err(|problem| match problem {
                Problem::Driver {
                    operation,
                    code,
                    text,
                } if code != OUT_OF_MEMORY => Problem::NoDescriptors {
                    operation,
                    code,
                    text,
                },
                problem => problem,
            })
    }

    fn try_shared(&self, calls: &VirtualMemory, len: usize) -> Result<(Mapped, OwnedFd), Problem> {
        for attribute in ATTRIBUTES {
            if self.attribute(calls, attribute)? != 1 {
                return Err(lacking("find them among the device's attributes"));
            }
        }
        // A driver that does not know the question has descriptors all the same.
        let reachable = self.attribute(calls, REACHABLE) == Ok(1);
        let properties = Properties {
            kind: PINNED,
            handle_types: BY_DESCRIPTOR,
            location: self.location(),
            for_windows: std::ptr::null(),
            compression: 0,
            reachable: u8::from(reachable),
            usage: 0,
            reserved: [0; 4],
        };
        let mut unit = 0;
        // SAFETY: the function reads the properties and writes one number, which outlive the call.
        let code = unsafe { (calls.granularity)(&raw mut unit, &raw const properties, MINIMUM) };
        self.check("ask for the unit of memory", code)?;
        // The layout has a unit of its own, of which the driver's is a part on all devices so far.
        if unit == 0 || !len.is_multiple_of(unit) {
            return Err(lacking("allocate in the driver's unit"));
        }
        let mut physical = 0;
        // SAFETY: as above; the length is a multiple of the unit.
        let code = unsafe { (calls.create)(&raw mut physical, len, &raw const properties, 0) };
        self.check("allocate memory", code)?;
        let made = self.export(calls, physical).and_then(|descriptor| {
            // Whether others will be able to.
            let imported = self.import(calls, descriptor.as_fd())?;
            release(calls, imported);
            Ok((self.map(calls, physical, len)?, descriptor))
        });
        // What is mapped stays, and so does what a descriptor stands for.
        release(calls, physical);
        made
    }

    fn attribute(&self, calls: &VirtualMemory, attribute: c_int) -> Result<c_int, Problem> {
        let mut value = 0;
        // SAFETY: the function writes one `int`, which outlives the call.
        let code =
            unsafe { (calls.attribute)(&raw mut value, attribute, self.context.cu_device()) };
        self.check("ask for the device's attributes", code)?;
        Ok(value)
    }

    /// Maps memory that another process made.
    pub(in crate::cuda) fn map_shared(
        &self,
        descriptor: BorrowedFd<'_>,
        len: usize,
    ) -> Result<Mapped, Problem> {
        let calls = calls()?;
        self.bind()?;
        let physical = self.import(calls, descriptor)?;
        let mapped = self.map(calls, physical, len);
        release(calls, physical);
        mapped
    }

    /// Undoes the mapping, once all work of the context is done; others keep theirs.
    pub(in crate::cuda) fn unmap_shared(&self, mapped: Mapped) {
        let Ok(calls) = calls() else {
            return;
        };
        // Work that still uses the memory would lose the context for the whole process. Freeing memory
        // waits for it, unmapping does not promise to. If this fails, nothing runs any more.
        if self.bind().is_ok() {
            // SAFETY: the function asks for nothing but a current context.
            let _ = unsafe { (calls.synchronize)() };
        }
        unmap(calls, mapped);
    }

    fn location(&self) -> Location {
        Location {
            kind: ON_DEVICE,
            device: self.context.cu_device(),
        }
    }

    fn export(&self, calls: &VirtualMemory, physical: RawPhysical) -> Result<OwnedFd, Problem> {
        let mut number: c_int = -1;
        // SAFETY: for a descriptor, the function writes one `int`, which outlives the call. The memory was
        // made to be shared so.
        let code = unsafe { (calls.export)((&raw mut number).cast(), physical, BY_DESCRIPTOR, 0) };
        self.check("make a descriptor of memory", code)?;
        if number < 0 {
            return Err(lacking("make a descriptor of memory"));
        }
        // SAFETY: `from_raw_fd` asks for an open descriptor that nobody else owns: the driver has just made
        // it for the caller.
        let descriptor = unsafe { OwnedFd::from_raw_fd(number) };
        // Whether the driver does that is written nowhere.
        let _ = rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC);
        Ok(descriptor)
    }

    fn import(
        &self,
        calls: &VirtualMemory,
        descriptor: BorrowedFd<'_>,
    ) -> Result<RawPhysical, Problem> {
        let number = usize::try_from(descriptor.as_raw_fd()).unwrap_or(usize::MAX);
        // The descriptor itself, in the place of a pointer.
        let number = std::ptr::without_provenance_mut(number);
        let mut physical = 0;
        // SAFETY: the function writes one handle, which outlives the call. It refuses what is no memory,
        // and leaves the descriptor open.
        let code = unsafe { (calls.import)(&raw mut physical, number, BY_DESCRIPTOR) };
        self.check("open memory by its descriptor", code)?;
        Ok(physical)
    }

    fn map(
        &self,
        calls: &VirtualMemory,
        physical: RawPhysical,
        len: usize,
    ) -> Result<Mapped, Problem> {
        let mut address = 0;
        // SAFETY: the function writes one address, which outlives the call.
        let code = unsafe { (calls.reserve)(&raw mut address, len, 0, 0, 0) };
        self.check("reserve addresses for memory", code)?;
        // SAFETY: the function asks for addresses that are reserved and free, as those above, and for
        // memory of that length: it refuses less.
        let code = unsafe { (calls.map)(address, len, 0, physical, 0) };
        if let Err(problem) = self.check("map memory", code) {
            free(calls, address, len);
            return Err(problem);
        }
        let mapped = Mapped { address, len };
        let access = Access {
            location: self.location(),
            flags: READ_WRITE,
        };
        // SAFETY: the function reads as many entries as it is told, one, which outlives the call; the
        // addresses are mapped.
        let code = unsafe { (calls.set_access)(address, len, &raw const access, 1) };
        if let Err(problem) = self.check("have the device use mapped memory", code) {
            unmap(calls, mapped);
            return Err(problem);
        }
        Ok(mapped)
    }
}

fn calls() -> Result<&'static VirtualMemory, Problem> {
    virtual_memory().ok_or_else(|| lacking("find the driver's functions for that"))
}

/// Says that something is not there, for which there is no code.
#[cold]
fn lacking(operation: &'static str) -> Problem {
    Problem::NoDescriptors {
        operation,
        code: SUCCESS,
        text: String::from("device or driver have none"),
    }
}

/// Gives a handle to memory back. Who has it mapped keeps it.
fn release(calls: &VirtualMemory, physical: RawPhysical) {
    // SAFETY: the function asks for a handle that was made: otherwise it refuses, and there is nobody to
    // tell.
    let _ = unsafe { (calls.release)(physical) };
}

/// Undoes a mapping that nothing uses.
fn unmap(calls: &VirtualMemory, Mapped { address, len }: Mapped) {
    // SAFETY: the function asks for what was mapped, in full: that is what a `Mapped` is. If it refuses,
    // there is nobody to tell.
    let _ = unsafe { (calls.unmap)(address, len) };
    free(calls, address, len);
}

/// Gives addresses back.
fn free(calls: &VirtualMemory, address: Address, len: usize) {
    // SAFETY: the function asks for what was reserved, and refuses what is mapped; there is nobody to tell.
    let _ = unsafe { (calls.free)(address, len) };
}
