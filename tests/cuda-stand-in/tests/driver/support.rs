//! Short forms of driver calls, for the children.

use std::ffi::{CString, c_int, c_void};
use std::fmt::Display;
use std::ptr::null_mut;

use cudarc::driver::sys::{
    CUcontext, CUdeviceptr, CUevent, CUfunction, CUmodule, CUresult, CUstream,
};
use shmstream_tests::Child;
use shmstream_tests::driver::{CallLog, Driver, KERNELS};

/// Calls a function of the driver, and returns its code.
macro_rules! cu {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        // SAFETY: the driver's contract: pointers are to live values of the right type and length, and
        // what a queue is given to use lives until that queue was waited for.
        unsafe { cudarc::driver::sys::$function($($argument),*) }
    }};
}
pub(crate) use cu;

pub(crate) const DONE: CUresult = CUresult::CUDA_SUCCESS;
pub(crate) const NOT_READY: CUresult = CUresult::CUDA_ERROR_NOT_READY;
pub(crate) const INVALID_VALUE: CUresult = CUresult::CUDA_ERROR_INVALID_VALUE;

/// What blocks are multiples of, so that no two share one.
pub(crate) const BLOCK: usize = 2 << 20;

/// Checks that a call succeeded.
#[track_caller]
pub(crate) fn ok(code: CUresult) {
    assert_eq!(code, DONE);
}

/// Starts a child over a driver, with settings.
pub(crate) fn child_of(
    driver: &Driver,
    role: &str,
    arguments: &[&dyn Display],
    settings: &[(&str, &str)],
) -> Child {
    let mut command = Child::command(role, arguments);
    driver.apply(&mut command);
    command.envs(settings.iter().copied());
    Child::start(command)
}

/// Starts a child over the driver that the tests are run with.
pub(crate) fn child(role: &str, arguments: &[&dyn Display]) -> Child {
    child_of(&Driver::new(), role, arguments, &[])
}

/// Starts a child over the stand-in, with settings.
pub(crate) fn child_with(role: &str, settings: &[(&str, &str)]) -> Child {
    child_of(&Driver::stand_in(), role, &[], settings)
}

/// Starts a child over the stand-in, and notes its calls.
pub(crate) fn child_noted(role: &str, log: &CallLog) -> Child {
    let mut command = Child::command(role, &[]);
    Driver::stand_in().apply(&mut command);
    log.apply(&mut command);
    Child::start(command)
}

/// Initializes the driver and makes the primary context of the first device current.
pub(crate) fn start() -> CUcontext {
    ok(cu!(cuInit(0)));
    let mut device = 0;
    ok(cu!(cuDeviceGet(&mut device, 0)));
    context_of(device)
}

/// Makes the primary context of a device current.
pub(crate) fn context_of(device: c_int) -> CUcontext {
    let mut context = null_mut();
    ok(cu!(cuDevicePrimaryCtxRetain(&mut context, device)));
    ok(cu!(cuCtxSetCurrent(context)));
    context
}

pub(crate) fn allocate(len: usize) -> CUdeviceptr {
    let mut address = 0;
    ok(cu!(cuMemAlloc_v2(&mut address, len)));
    address
}

pub(crate) fn queue() -> CUstream {
    let mut queue = null_mut();
    ok(cu!(cuStreamCreate(&mut queue, 1)));
    queue
}

/// Makes an event: 2 is without timing, 4 for other processes.
pub(crate) fn event(flags: u32) -> CUevent {
    let mut event = null_mut();
    ok(cu!(cuEventCreate(&mut event, flags)));
    event
}

pub(crate) fn fill(queue: CUstream, address: CUdeviceptr, value: u8, len: usize) {
    ok(cu!(cuMemsetD8Async(address, value, len, queue)));
}

pub(crate) fn copy(queue: CUstream, to: CUdeviceptr, from: CUdeviceptr, len: usize) {
    ok(cu!(cuMemcpyDtoDAsync_v2(to, from, len, queue)));
}

pub(crate) fn synchronize(queue: CUstream) {
    ok(cu!(cuStreamSynchronize(queue)));
}

/// Copies device memory to the host, behind nothing but what was waited for.
pub(crate) fn bytes(address: CUdeviceptr, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ok(cu!(cuMemcpyDtoH_v2(
        bytes.as_mut_ptr().cast(),
        address,
        len
    )));
    bytes
}

/// Returns the byte that all of a block has.
pub(crate) fn all(address: CUdeviceptr, len: usize) -> u8 {
    let bytes = bytes(address, len);
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "mixed bytes");
    bytes[0]
}

/// Pinned words of the host.
pub(crate) fn pinned(words: usize) -> *mut u64 {
    let mut address = null_mut();
    ok(cu!(cuMemHostAlloc(&mut address, words * 8, 0)));
    address.cast()
}

/// Holds a queue back until it is opened.
pub(crate) struct Gate(*mut u64);

impl Gate {
    pub(crate) fn new(queue: CUstream) -> Self {
        let word = pinned(1);
        // SAFETY: a pinned word of our own, which no queue knows yet.
        unsafe { word.write_volatile(0) };
        let mut address = 0;
        ok(cu!(cuMemHostGetDevicePointer_v2(
            &mut address,
            word.cast(),
            0
        )));
        ok(cu!(cuStreamWaitValue64_v2(queue, address, 1, 0)));
        Self(word)
    }

    pub(crate) fn open(self) {
        // SAFETY: a pinned word, which the queue only reads.
        unsafe { self.0.write_volatile(1) };
    }
}

/// Loads the kernels for tests, and returns one.
pub(crate) fn kernel(name: &str) -> CUfunction {
    let text = CString::new(KERNELS).expect("a text");
    let mut module: CUmodule = null_mut();
    ok(cu!(cuModuleLoadData(&mut module, text.as_ptr().cast())));
    let mut function = null_mut();
    let name = CString::new(name).expect("a name");
    ok(cu!(cuModuleGetFunction(
        &mut function,
        module,
        name.as_ptr()
    )));
    function
}

/// Runs a kernel with 64-bit arguments.
pub(crate) fn launch(queue: CUstream, kernel: CUfunction, arguments: &[u64]) -> CUresult {
    let pointers = arguments.iter().map(std::ptr::from_ref);
    let mut pointers: Vec<*mut c_void> =
        pointers.map(|pointer| pointer.cast_mut().cast()).collect();
    cu!(cuLaunchKernel(
        kernel,
        8,
        1,
        1,
        64,
        1,
        1,
        0,
        queue,
        pointers.as_mut_ptr(),
        null_mut()
    ))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> [u8; 64] {
    let digits = text.as_bytes().chunks(2);
    let bytes = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("digits")
    });
    bytes.collect::<Vec<_>>().try_into().expect("64 bytes")
}
