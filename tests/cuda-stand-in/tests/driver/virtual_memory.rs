//! Memory that lives in descriptors.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use cudarc::driver::sys::{CUdeviceptr, CUmemAllocationHandleType_enum as HandleType, CUresult};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use shmstream_tests::{Role, argument, hear, tell};

use crate::support::{BLOCK, INVALID_VALUE, all, child, cu, fill, ok, queue, start, synchronize};

pub(crate) const ROLES: &[(&str, Role)] =
    &[("create", create), ("attach", attach), ("mapping", mapping)];

/// `CUmemAllocationProp`, whose form in cudarc depends on a version.
#[repr(C)]
struct Properties {
    kind: u32,
    handle_types: u32,
    location: [i32; 2],
    windows: *mut c_void,
    flags: [u8; 8],
}

/// `CUmemAccessDesc`, likewise.
#[repr(C)]
struct Access {
    location: [i32; 2],
    flags: u32,
}

const DESCRIPTOR: HandleType = HandleType::CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

fn make(len: usize, handle_types: u32) -> Result<u64, CUresult> {
    let properties = Properties {
        kind: 1,
        handle_types,
        location: [1, 0],
        windows: std::ptr::null_mut(),
        flags: [0; 8],
    };
    let mut handle = 0;
    let properties = std::ptr::from_ref(&properties).cast();
    match cu!(cuMemCreate(&mut handle, len, properties, 0)) {
        CUresult::CUDA_SUCCESS => Ok(handle),
        code => Err(code),
    }
}

fn export(handle: u64) -> Result<OwnedFd, CUresult> {
    let mut descriptor: c_int = -1;
    let result = std::ptr::from_mut(&mut descriptor).cast();
    match cu!(cuMemExportToShareableHandle(result, handle, DESCRIPTOR, 0)) {
        // SAFETY: the driver made it for the caller.
        CUresult::CUDA_SUCCESS => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        code => Err(code),
    }
}

fn import(descriptor: &OwnedFd) -> Result<u64, CUresult> {
    let number = usize::try_from(descriptor.as_raw_fd()).expect("a descriptor");
    let number = std::ptr::without_provenance_mut(number);
    let mut handle = 0;
    match cu!(cuMemImportFromShareableHandle(
        &mut handle,
        number,
        DESCRIPTOR
    )) {
        CUresult::CUDA_SUCCESS => Ok(handle),
        code => Err(code),
    }
}

fn reserve(len: usize) -> CUdeviceptr {
    let mut address = 0;
    ok(cu!(cuMemAddressReserve(&mut address, len, 0, 0, 0)));
    address
}

fn allow(address: CUdeviceptr, len: usize) -> CUresult {
    let access = Access {
        location: [1, 0],
        flags: 3,
    };
    let access = std::ptr::from_ref(&access).cast();
    cu!(cuMemSetAccess(address, len, access, 1))
}

/// Maps memory and lets the device touch it.
fn map(handle: u64) -> CUdeviceptr {
    let address = reserve(BLOCK);
    ok(cu!(cuMemMap(address, BLOCK, 0, handle, 0)));
    ok(allow(address, BLOCK));
    address
}

/// Lets other processes take descriptors, where only a parent may.
fn allow_tracers() {
    let any = std::ffi::c_ulong::MAX;
    // SAFETY: takes numbers alone. Where there is no such limit it fails, and nothing is needed.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, any, 0, 0, 0) };
}

/// Makes memory full of 3 and tells its descriptor.
fn create(_: &[String]) {
    start();
    let handle = make(BLOCK, 1).expect("memory");
    let address = map(handle);
    let queue = queue();
    fill(queue, address, 3, BLOCK);
    synchronize(queue);
    let descriptor = export(handle).expect("a descriptor");
    allow_tracers();
    tell(descriptor.as_raw_fd());
    let _ = hear();
}

/// Attaches to memory of another process, and tells what is there and a descriptor of its own.
fn attach(arguments: &[String]) {
    start();
    let (pid, number): (i32, i32) = (argument(arguments, 0), argument(arguments, 1));
    let process = Pid::from_raw(pid).expect("a process");
    let process = pidfd_open(process, PidfdFlags::empty()).expect("a process");
    let descriptor = pidfd_getfd(process, number, PidfdGetfdFlags::empty());
    let descriptor = descriptor.expect("a descriptor");
    let handle = import(&descriptor).expect("memory");
    drop(descriptor);
    let address = map(handle);
    // The mapping is enough to keep it.
    ok(cu!(cuMemRelease(handle)));
    let mut handle = 0;
    let pointer = usize::try_from(address).expect("an address");
    let pointer = std::ptr::with_exposed_provenance_mut(pointer);
    ok(cu!(cuMemRetainAllocationHandle(&mut handle, pointer)));
    let descriptor = export(handle).expect("a descriptor");
    allow_tracers();
    tell(all(address, BLOCK));
    tell(descriptor.as_raw_fd());
    while hear() == "look" {
        tell(all(address, BLOCK));
    }
}

#[test]
fn memory_outlives_its_creator_and_can_be_joined() {
    let mut creator = child("create", &[]);
    let descriptor = creator.line();
    let mut second = child("attach", &[&creator.pid(), &descriptor]);
    second.expect("3");
    let descriptor = second.line();
    creator.kill();
    second.say("look");
    second.expect("3");
    let third = child("attach", &[&second.pid(), &descriptor]);
    third.expect("3");
    let _ = third.line();
    for mut process in [second, third] {
        process.say("end");
        process.finish();
    }
}

#[test]
fn mapping_has_conditions() {
    child("mapping", &[]).finish();
}

fn mapping(_: &[String]) {
    start();
    assert_eq!(
        make(4096, 1),
        Err(INVALID_VALUE),
        "less than the granularity"
    );
    let private = make(BLOCK, 0).expect("memory");
    assert_eq!(export(private).err(), Some(INVALID_VALUE), "not asked for");
    let handle = make(BLOCK, 1).expect("memory");
    let address = reserve(2 * BLOCK);
    assert!(address.is_multiple_of(2 << 20));
    assert_eq!(allow(address, BLOCK), INVALID_VALUE, "nothing is mapped");
    ok(cu!(cuMemMap(address, BLOCK, 0, handle, 0)));
    let again = cu!(cuMemMap(address, BLOCK, 0, private, 0));
    assert_eq!(again, INVALID_VALUE, "taken");
    let queue = queue();
    let early = cu!(cuMemsetD8Async(address, 1, BLOCK, queue));
    assert_eq!(early, INVALID_VALUE, "no access");
    ok(allow(address, BLOCK));
    fill(queue, address, 1, BLOCK);
    synchronize(queue);
    assert_eq!(all(address, BLOCK), 1);
    // A second mapping of the same memory.
    ok(cu!(cuMemMap(address + (2 << 20), BLOCK, 0, handle, 0)));
    ok(allow(address, 2 * BLOCK));
    assert_eq!(all(address + (2 << 20), BLOCK), 1);
    assert_eq!(cu!(cuMemAddressFree(address, 2 * BLOCK)), INVALID_VALUE);
    ok(cu!(cuMemUnmap(address, 2 * BLOCK)));
    assert_eq!(cu!(cuMemUnmap(address, 2 * BLOCK)), INVALID_VALUE);
    ok(cu!(cuMemAddressFree(address, 2 * BLOCK)));
    ok(cu!(cuMemRelease(handle)));
    assert_eq!(cu!(cuMemRelease(handle)), INVALID_VALUE);
    let file = std::fs::File::open("/dev/null").expect("a file");
    assert!(
        import(&file.into()).is_err(),
        "a descriptor of something else"
    );
}
