//! Memory in one process.

use std::ptr::null_mut;

use cudarc::driver::sys::{CUpointer_attribute_enum as Attribute, CUresult, CUstream};
use shmstream_tests::Role;

use crate::support::{
    BLOCK, INVALID_VALUE, all, allocate, bytes, child, child_with, cu, fill, kernel, launch, ok,
    pinned, queue, start, synchronize,
};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("touch", touch),
    ("freed", freed),
    ("freed_in_order", freed_in_order),
    ("limited", limited),
    ("registered", registered),
    ("registered_read_only", registered_read_only),
    ("attributes", attributes),
    ("released", released),
    ("own_functions", own_functions),
    ("safe_calls", safe_calls),
];

#[test]
fn the_host_cannot_touch_device_memory() {
    use std::os::unix::process::ExitStatusExt;
    let status = child("touch", &[]).wait();
    assert_eq!(status.signal(), Some(libc::SIGSEGV), "{status}");
}

fn touch(_: &[String]) {
    start();
    let address = usize::try_from(allocate(BLOCK)).expect("an address");
    let pointer = std::ptr::with_exposed_provenance::<u8>(address);
    // SAFETY: none. This must end the process.
    let byte = unsafe { pointer.read_volatile() };
    panic!("read {byte} from device memory");
}

#[test]
fn freed_memory_is_refused() {
    child("freed", &[]).finish();
}

fn freed(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    // Not freed under a queue's feet.
    ok(launch(queue, kernel("pause_ns"), &[20_000_000]));
    fill(queue, a, 1, BLOCK);
    ok(cu!(cuMemFree_v2(a)));
    synchronize(queue);
    assert_eq!(cu!(cuMemFree_v2(a)), INVALID_VALUE);
    assert_eq!(cu!(cuMemsetD8Async(a, 1, BLOCK, queue)), INVALID_VALUE);
    assert_eq!(cu!(cuMemFree_v2(0)), CUresult::CUDA_SUCCESS);
    let b = allocate(BLOCK);
    assert_eq!(cu!(cuMemFree_v2(b + 256)), INVALID_VALUE);
    assert_eq!(cu!(cuMemAlloc_v2(&mut 0, 0)), INVALID_VALUE);
}

#[test]
fn memory_of_a_queue_is_freed_in_its_order() {
    child("freed_in_order", &[]).finish();
}

fn freed_in_order(_: &[String]) {
    start();
    let (queue, b) = (queue(), allocate(BLOCK));
    let mut a = 0;
    ok(cu!(cuMemAllocAsync(&mut a, BLOCK, queue)));
    let gate = crate::support::Gate::new(queue);
    fill(queue, a, 5, BLOCK);
    crate::support::copy(queue, b, a, BLOCK);
    ok(cu!(cuMemFreeAsync(a, queue)));
    gate.open();
    synchronize(queue);
    assert_eq!(all(b, BLOCK), 5);
}

#[test]
fn memory_ends() {
    child_with("limited", &[("STANDIN_MEMORY", "4194304")]).finish();
}

fn limited(_: &[String]) {
    start();
    let a = allocate(BLOCK);
    let mut b = 0;
    let full = CUresult::CUDA_ERROR_OUT_OF_MEMORY;
    assert_eq!(cu!(cuMemAlloc_v2(&mut b, BLOCK + 1)), full);
    ok(cu!(cuMemFree_v2(a)));
    ok(cu!(cuMemAlloc_v2(&mut b, BLOCK + 1)));
    let (mut free, mut total) = (0, 0);
    ok(cu!(cuMemGetInfo_v2(&mut free, &mut total)));
    assert_eq!((free, total), (BLOCK - 1, 2 * BLOCK));
}

#[test]
fn host_memory_can_be_registered() {
    child("registered", &[]).finish();
}

fn registered(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    let mut memory = vec![0_u8; BLOCK];
    let address = memory.as_mut_ptr().cast();
    let unknown = CUresult::CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    assert_eq!(cu!(cuMemHostUnregister(address)), unknown);
    ok(cu!(cuMemHostRegister_v2(address, BLOCK, 0)));
    let again = CUresult::CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    assert_eq!(cu!(cuMemHostRegister_v2(address, BLOCK, 0)), again);
    let gate = crate::support::Gate::new(queue);
    fill(queue, a, 9, BLOCK);
    // Returns, since the memory is pinned.
    ok(cu!(cuMemcpyDtoHAsync_v2(address, a, BLOCK, queue)));
    gate.open();
    synchronize(queue);
    assert!(memory.iter().all(|byte| *byte == 9));
    ok(cu!(cuMemHostUnregister(address)));
    ok(cu!(cuMemFreeHost(pinned(1).cast())));
}

#[test]
fn read_only_memory_is_registered_as_such() {
    child("registered_read_only", &[]).finish();
}

fn registered_read_only(_: &[String]) {
    use rustix::mm::{MprotectFlags, mprotect};
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    let mut memory = vec![4_u8; 2 * BLOCK];
    let start = memory.as_mut_ptr();
    let start = start.wrapping_add(start.align_offset(4096)).cast();
    // SAFETY: pages within the vector, which nobody writes until they may be written again.
    unsafe { mprotect(start, BLOCK, MprotectFlags::READ) }.expect("read-only pages");
    assert_eq!(cu!(cuMemHostRegister_v2(start, BLOCK, 0)), INVALID_VALUE);
    ok(cu!(cuMemHostRegister_v2(start, BLOCK, 8)));
    ok(cu!(cuMemcpyHtoDAsync_v2(a, start, BLOCK, queue)));
    synchronize(queue);
    assert_eq!(all(a, BLOCK), 4);
    ok(cu!(cuMemHostUnregister(start)));
    let writable = MprotectFlags::READ | MprotectFlags::WRITE;
    // SAFETY: as above.
    unsafe { mprotect(start, BLOCK, writable) }.expect("writable pages");
}

/// Asks for an attribute of an address.
fn attribute<T: Default>(address: u64, attribute: Attribute) -> Result<T, CUresult> {
    let mut value = T::default();
    let room = std::ptr::from_mut(&mut value).cast();
    match cu!(cuPointerGetAttribute(room, attribute, address)) {
        CUresult::CUDA_SUCCESS => Ok(value),
        code => Err(code),
    }
}

#[test]
fn an_address_tells_what_it_is_of() {
    child("attributes", &[]).finish();
}

fn attributes(_: &[String]) {
    use Attribute::*;
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    let mut pool = 0;
    ok(cu!(cuMemAllocAsync(&mut pool, BLOCK, queue)));
    synchronize(queue);
    let exportable = CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE;
    assert_eq!(attribute::<u32>(a, exportable), Ok(1));
    assert_eq!(attribute::<u32>(pool, exportable), Ok(0));
    assert_eq!(attribute::<u32>(a, CU_POINTER_ATTRIBUTE_MEMORY_TYPE), Ok(2));
    assert_eq!(
        attribute::<i32>(a, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL),
        Ok(0)
    );
    let base = attribute::<u64>(a + 5, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR);
    assert_eq!(base, Ok(a));
    let word = pinned(1).expose_provenance();
    let word = u64::try_from(word).expect("an address");
    assert_eq!(
        attribute::<u32>(word, CU_POINTER_ATTRIBUTE_MEMORY_TYPE),
        Ok(1)
    );
    let pageable = attribute::<u32>(8, CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
    assert_eq!(pageable, Err(INVALID_VALUE));
    let (mut base, mut size) = (0, 0);
    ok(cu!(cuMemGetAddressRange_v2(&mut base, &mut size, a + 5)));
    assert_eq!((base, size), (a, BLOCK));
}

#[test]
fn a_released_context_takes_its_memory_along() {
    child("released", &[]).finish();
}

fn released(_: &[String]) {
    let context = start();
    let a = allocate(BLOCK);
    let mut again = null_mut();
    ok(cu!(cuDevicePrimaryCtxRetain(&mut again, 0)));
    assert_eq!(again, context);
    ok(cu!(cuDevicePrimaryCtxRelease_v2(0)));
    assert_eq!(bytes(a, 1).len(), 1, "retained once more");
    ok(cu!(cuDevicePrimaryCtxRelease_v2(0)));
    let destroyed = CUresult::CUDA_ERROR_CONTEXT_IS_DESTROYED;
    assert_eq!(cu!(cuMemFree_v2(a)), destroyed);
    start();
    assert_eq!(cu!(cuMemFree_v2(a)), INVALID_VALUE);
}

#[test]
fn the_safe_calls_of_cudarc_work() {
    child("safe_calls", &[]).finish();
}

fn safe_calls(_: &[String]) {
    use cudarc::driver::CudaContext;
    assert!(CudaContext::device_count().expect("a count") > 0);
    let context = CudaContext::new(0).expect("a context");
    let queue = context.new_stream().expect("a queue");
    let numbers: Vec<u64> = (0..1000).collect();
    let a = queue.clone_htod(&numbers).expect("a copy");
    let mut b = queue.alloc_zeros::<u64>(1000).expect("memory");
    queue.memcpy_dtod(&a, &mut b).expect("a copy");
    let second = context.new_stream().expect("a queue");
    second.join(&queue).expect("a wait");
    assert_eq!(second.clone_dtoh(&b).expect("a copy"), numbers);
    let event = queue.record_event(None).expect("an event");
    event.synchronize().expect("a wait");
    drop((a, b, event, second, queue));
    context.check_err().expect("nothing in the background");
}

/// The functions that a driver does not have.
fn own_functions(_: &[String]) {
    type Xor = unsafe extern "C" fn(CUstream, u64, usize, u64) -> CUresult;
    type Check = unsafe extern "C" fn(CUstream, u64, usize, u64, u64) -> CUresult;
    type SetDelay = unsafe extern "C" fn(CUstream, u64) -> CUresult;
    type Lose = unsafe extern "C" fn() -> CUresult;
    start();
    let (queue, a, wrong) = (queue(), allocate(BLOCK), allocate(8));
    fill(queue, a, 0, BLOCK);
    fill(queue, wrong, 0, 8);
    // SAFETY: the stand-in, which is loaded already and has no initializers that ask for anything.
    let library = unsafe { libloading::Library::new("libcuda.so") }.expect("the stand-in");
    // SAFETY: its type, as in `own.rs`.
    let set_delay = unsafe { library.get::<SetDelay>("standinSetDelay") }.expect("a function");
    // SAFETY: its type, as in `own.rs`.
    let xor = unsafe { library.get::<Xor>("standinLaunchXor") }.expect("a function");
    // SAFETY: its type, as in `own.rs`.
    let check = unsafe { library.get::<Check>("standinLaunchCheck") }.expect("a function");
    // SAFETY: its type, as in `own.rs`.
    let lose = unsafe { library.get::<Lose>("standinLoseContext") }.expect("a function");
    let since = std::time::Instant::now();
    // SAFETY: a live queue.
    ok(unsafe { set_delay(queue, 50_000) });
    // SAFETY: memory of that many words.
    ok(unsafe { xor(queue, a, BLOCK / 8, 3) });
    // SAFETY: likewise.
    ok(unsafe { check(queue, a, BLOCK / 8, 3, wrong) });
    synchronize(queue);
    assert!(since.elapsed() >= std::time::Duration::from_millis(100));
    assert_eq!(all(wrong, 8), 0);
    // SAFETY: asks for nothing.
    ok(unsafe { lose() });
    let lost = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(cu!(cuStreamSynchronize(queue)), lost);
}
