//! The functions of the CUDA driver that cudarc does not offer, or whose absence makes it panic.
#![allow(unsafe_code)]
// This file guarantees that
// - each function pointer has the type that the driver's documentation gives, and stays valid: the
//   library is never closed;
// - what the driver answers arrives as a number, so that a code of a later driver is just a number.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

use crate::gpu::Availability;

/// What the driver answers; zero is success.
pub(super) type Code = c_int;
/// An address in the memory of a device.
pub(super) type Address = u64;
/// A queue of work: the driver's `CUstream`.
pub(super) type RawQueue = *mut c_void;
/// The driver's `CUevent`.
pub(super) type RawEvent = *mut c_void;
/// A function that the driver calls once the work before it is done.
pub(super) type HostFunction = unsafe extern "C" fn(*mut c_void);

/// What another process opens memory or an event by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Handle(pub(super) [u8; 64]);

/// Under these names the library is looked for, in this order, as cudarc does.
const NAMES: [&str; 2] = ["libcuda.so", "libcuda.so.1"];

macro_rules! functions {
    (
        $(#[$about:meta])* $table:ident;
        $($field:ident = $name:literal, fn($($argument:ty),*);)*
    ) => {
        $(#[$about])*
        pub(super) struct $table {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> Code,)*
        }

        impl $table {
            /// Looks all functions up, or returns the name of the first that is missing.
            fn find(library: &'static Library) -> Result<Self, &'static str> {
                Ok(Self {
                    $($field: {
                        // SAFETY: `get` asks that the type is the symbol's: it is as the driver's
                        // documentation has it, with structs and enums by their size.
                        let found = unsafe { library.get($name) };
                        *found.map_err(|_| text($name))?
                    },)*
                })
            }
        }
    };
}

functions! {
    /// The driver's functions.
    Functions;
    init = b"cuInit\0", fn(c_uint);
    driver_version = b"cuDriverGetVersion\0", fn(*mut c_int);
    device_count = b"cuDeviceGetCount\0", fn(*mut c_int);
    device = b"cuDeviceGet\0", fn(*mut c_int, c_int);
    device_uuid = b"cuDeviceGetUuid_v2\0", fn(*mut [u8; 16], c_int);
    error_string = b"cuGetErrorString\0", fn(Code, *mut *const c_char);
    allocate = b"cuMemAlloc_v2\0", fn(*mut Address, usize);
    free = b"cuMemFree_v2\0", fn(Address);
    memory_handle = b"cuIpcGetMemHandle\0", fn(*mut Handle, Address);
    open_memory = b"cuIpcOpenMemHandle_v2\0", fn(*mut Address, Handle, c_uint);
    close_memory = b"cuIpcCloseMemHandle\0", fn(Address);
    create_event = b"cuEventCreate\0", fn(*mut RawEvent, c_uint);
    destroy_event = b"cuEventDestroy_v2\0", fn(RawEvent);
    record_event = b"cuEventRecord\0", fn(RawEvent, RawQueue);
    query_event = b"cuEventQuery\0", fn(RawEvent);
    event_handle = b"cuIpcGetEventHandle\0", fn(*mut Handle, RawEvent);
    open_event = b"cuIpcOpenEventHandle\0", fn(*mut RawEvent, Handle);
    wait_event = b"cuStreamWaitEvent\0", fn(RawQueue, RawEvent, c_uint);
    launch_host = b"cuLaunchHostFunc\0", fn(RawQueue, HostFunction, *mut c_void);
    synchronize = b"cuStreamSynchronize\0", fn(RawQueue);
    query_queue = b"cuStreamQuery\0", fn(RawQueue);
    copy_in = b"cuMemcpyHtoDAsync_v2\0", fn(Address, *const c_void, usize, RawQueue);
    copy_out = b"cuMemcpyDtoHAsync_v2\0", fn(*mut c_void, Address, usize, RawQueue);
    register_host = b"cuMemHostRegister_v2\0", fn(*mut c_void, usize, c_uint);
    unregister_host = b"cuMemHostUnregister\0", fn(*mut c_void);
}

/// What memory is to be: the driver's `CUmemAllocationProp`, with the parts that have parts of their own as
/// numbers of that size.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Properties {
    pub(super) kind: c_uint,
    pub(super) handle_types: c_uint,
    pub(super) location: Location,
    pub(super) for_windows: *const c_void,
    pub(super) compression: u8,
    /// Whether other devices on the bus may reach it.
    pub(super) reachable: u8,
    pub(super) usage: u16,
    pub(super) reserved: [u8; 4],
}

/// Where memory is: `CUmemLocation`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Location {
    pub(super) kind: c_uint,
    pub(super) device: c_int,
}

/// Who may use memory: `CUmemAccessDesc`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Access {
    pub(super) location: Location,
    pub(super) flags: c_uint,
}

const _: () = {
    // As the driver's header has them, for machines with addresses of 64 bits.
    assert!(size_of::<Properties>() == 32 && size_of::<Location>() == 8);
    assert!(size_of::<Access>() == 12);
};

/// Memory apart from addresses: `CUmemGenericAllocationHandle`.
pub(super) type RawPhysical = u64;

functions! {
    /// Functions for memory apart from addresses, which a driver can do without.
    VirtualMemory;
    attribute = b"cuDeviceGetAttribute\0", fn(*mut c_int, c_int, c_int);
    granularity = b"cuMemGetAllocationGranularity\0", fn(*mut usize, *const Properties, c_uint);
    create = b"cuMemCreate\0", fn(*mut RawPhysical, usize, *const Properties, u64);
    release = b"cuMemRelease\0", fn(RawPhysical);
    export = b"cuMemExportToShareableHandle\0", fn(*mut c_void, RawPhysical, c_uint, u64);
    import = b"cuMemImportFromShareableHandle\0", fn(*mut RawPhysical, *mut c_void, c_uint);
    reserve = b"cuMemAddressReserve\0", fn(*mut Address, usize, usize, Address, u64);
    free = b"cuMemAddressFree\0", fn(Address, usize);
    map = b"cuMemMap\0", fn(Address, usize, usize, RawPhysical, u64);
    unmap = b"cuMemUnmap\0", fn(Address, usize);
    set_access = b"cuMemSetAccess\0", fn(Address, usize, *const Access, usize);
    synchronize = b"cuCtxSynchronize\0", fn();
}

/// Returns a function's name without the zero at its end.
fn text(name: &'static [u8]) -> &'static str {
    let name = CStr::from_bytes_with_nul(name).ok();
    name.and_then(|name| name.to_str().ok()).unwrap_or_default()
}

/// What was found.
struct Found {
    availability: Availability,
    functions: Option<Functions>,
    virtual_memory: Option<VirtualMemory>,
    /// The process that found it.
    owner: u32,
}

static FOUND: OnceLock<Found> = OnceLock::new();

/// Returns whether there is a GPU.
pub(crate) fn availability() -> &'static Availability {
    let found = found();
    // By process and not by fork: one that found nothing and was forked is none the worse.
    match &found.availability {
        Availability::Ready { .. } if found.owner != std::process::id() => &Availability::Forked,
        availability => availability,
    }
}

/// Returns the driver's functions, or why there is no GPU.
pub(super) fn functions() -> Result<&'static Functions, &'static Availability> {
    match (availability(), &found().functions) {
        (Availability::Ready { .. }, Some(functions)) => Ok(functions),
        (availability, _) => Err(availability),
    }
}

/// Returns the functions for memory apart from addresses, where the driver has them.
pub(super) fn virtual_memory() -> Option<&'static VirtualMemory> {
    found().virtual_memory.as_ref()
}

fn found() -> &'static Found {
    FOUND.get_or_init(|| {
        let nothing = |availability| Found {
            availability,
            functions: None,
            virtual_memory: None,
            owner: std::process::id(),
        };
        let Some(library) = library() else {
            return nothing(Availability::NoLibrary);
        };
        // Never closed: cudarc may have it open too, and its threads run in it.
        let library = Box::leak(Box::new(library));
        match Functions::find(library) {
            Err(function) => nothing(Availability::MissingSymbol(function)),
            Ok(functions) => Found {
                availability: start(&functions),
                functions: Some(functions),
                virtual_memory: VirtualMemory::find(library).ok(),
                owner: std::process::id(),
            },
        }
    })
}

fn library() -> Option<Library> {
    NAMES.iter().find_map(|name| {
        // SAFETY: `new` asks that the library's initialisation is sound: it is the one that the
        // driver's vendor has programs load by this name.
        unsafe { Library::new(*name) }.ok()
    })
}

fn start(functions: &Functions) -> Availability {
    let refused = |code| match code {
        NO_DEVICE => Availability::NoDevice,
        code => Availability::Driver {
            code,
            text: functions.describe(code),
        },
    };
    // SAFETY: `cuInit` asks for nothing; its flags must be zero.
    let code = unsafe { (functions.init)(0) };
    if code != SUCCESS {
        return refused(code);
    }
    let (mut driver_version, mut devices) = (0, 0);
    // SAFETY: `cuDriverGetVersion` writes one `int`, which outlives the call.
    let code = unsafe { (functions.driver_version)(&raw mut driver_version) };
    if code != SUCCESS {
        return refused(code);
    }
    // SAFETY: as above.
    let code = unsafe { (functions.device_count)(&raw mut devices) };
    match (code, u32::try_from(devices)) {
        (SUCCESS, Ok(devices @ 1..)) => Availability::Ready {
            driver_version,
            devices,
        },
        (SUCCESS, _) => Availability::NoDevice,
        (code, _) => refused(code),
    }
}

/// The driver's codes that mean something to this crate.
pub(super) const SUCCESS: Code = 0;
pub(super) const INVALID_VALUE: Code = 1;
pub(super) const OUT_OF_MEMORY: Code = 2;
pub(super) const NO_DEVICE: Code = 100;
pub(super) const NOT_READY: Code = 600;
pub(super) const INVALID_CONTEXT: Code = 201;
/// Of a context in which nothing works any more.
pub(super) const LOST: [Code; 12] = [
    214, // memory that cannot be corrected
    220, // a link to another device
    700, // an address
    702, // a kernel that took too long
    709, // the context was destroyed
    710, // an assertion in a kernel
    714, // a stack
    715, // an instruction
    716, // an alignment
    717, // an address space
    718, // a program counter
    719, // a launch
];

impl Functions {
    /// Returns what the driver says of a code.
    pub(super) fn describe(&self, code: Code) -> String {
        let mut words = std::ptr::null();
        // SAFETY: `cuGetErrorString` writes one pointer, which outlives the call.
        let known = unsafe { (self.error_string)(code, &raw mut words) };
        if known != SUCCESS || words.is_null() {
            return String::from("unknown error");
        }
        // SAFETY: `from_ptr` asks for a string that ends with a zero and does not change: the
        // driver's documentation promises that of what it stored, which is not null (checked).
        let words = unsafe { CStr::from_ptr(words) };
        words.to_string_lossy().into_owned()
    }
}
