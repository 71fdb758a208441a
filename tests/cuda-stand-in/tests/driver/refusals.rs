//! What a test can make the stand-in refuse.

use cudarc::driver::sys::CUresult;
use shmstream_tests::driver::{CallLog, Driver};
use shmstream_tests::{Role, hear, tell};

use crate::support::{
    BLOCK, allocate, bytes, child_noted, child_of, child_with, context_of, cu, fill, ok, queue,
    start, synchronize,
};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("initialize", initialize),
    ("devices", devices),
    ("rules", rules),
    ("lost", lost),
    ("symbols", symbols),
    ("busy", busy),
    ("peers", peers),
];

fn initialize(_: &[String]) {
    tell(format!("{:?}", cu!(cuInit(0))));
}

#[test]
fn a_driver_can_fail_to_start() {
    for (setting, value, code) in [
        ("STANDIN_DEVICES", "0", "CUDA_ERROR_NO_DEVICE"),
        ("CUDA_VISIBLE_DEVICES", "", "CUDA_ERROR_NO_DEVICE"),
        ("CUDA_VISIBLE_DEVICES", "1", "CUDA_ERROR_NO_DEVICE"),
        ("STANDIN_FAIL", "cuInit=34", "CUDA_ERROR_STUB_LIBRARY"),
        ("STANDIN_FAIL", "cuInit=999", "CUDA_ERROR_UNKNOWN"),
        ("STANDIN_FAIL", "cuInit:2=999", "CUDA_SUCCESS"),
    ] {
        child_with("initialize", &[(setting, value)]).expect(code);
    }
}

#[test]
fn a_malformed_setting_ends_the_process() {
    for setting in [("STANDIN_FAIL", "cuInit"), ("STANDIN_DEVICES", "two")] {
        let status = child_with("initialize", &[setting]).wait();
        assert!(!status.success(), "{setting:?}");
    }
}

fn devices(_: &[String]) {
    ok(cu!(cuInit(0)));
    let mut count = 0;
    ok(cu!(cuDeviceGetCount(&mut count)));
    let uuids: Vec<_> = (0..count)
        .map(|device| {
            let mut uuid = cudarc::driver::sys::CUuuid { bytes: [0; 16] };
            ok(cu!(cuDeviceGetUuid_v2(&mut uuid, device)));
            uuid.bytes[15].to_string()
        })
        .collect();
    tell(uuids.join(" "));
    assert_eq!(
        cu!(cuDeviceGet(&mut 0, count)),
        CUresult::CUDA_ERROR_INVALID_DEVICE
    );
}

#[test]
fn devices_are_chosen_and_ordered_by_the_environment() {
    for (visible, seen) in [
        ("0,1,2", "0 1 2"),
        ("2,0", "2 0"),
        ("1,7,0", "1"),
        ("GPU-7374616e-642d-696e-2d47-505500000002", "2"),
    ] {
        let settings = [("STANDIN_DEVICES", "3"), ("CUDA_VISIBLE_DEVICES", visible)];
        child_with("devices", &settings).expect(seen);
    }
    child_with("devices", &[("STANDIN_DEVICES", "2")]).expect("0 1");
}

fn peers(_: &[String]) {
    start();
    let mut can = -1;
    ok(cu!(cuDeviceCanAccessPeer(&mut can, 0, 1)));
    let first = context_of(0);
    let _second = context_of(1);
    tell(can);
    let enabled = cu!(cuCtxEnablePeerAccess(first, 0));
    tell(format!("{enabled:?}"));
}

#[test]
fn peer_access_is_a_setting() {
    for (peers, can, enabled) in [
        ("1", "1", "CUDA_SUCCESS"),
        ("0", "0", "CUDA_ERROR_PEER_ACCESS_UNSUPPORTED"),
    ] {
        let settings = [("STANDIN_DEVICES", "2"), ("STANDIN_PEERS", peers)];
        let child = child_with("peers", &settings);
        child.expect(can);
        child.expect(enabled);
    }
}

fn rules(_: &[String]) {
    start();
    let mut address = 0;
    let codes = [1, 2, 3].map(|_| cu!(cuMemAlloc_v2(&mut address, BLOCK)));
    let refused = CUresult::CUDA_ERROR_OUT_OF_MEMORY;
    let fine = CUresult::CUDA_SUCCESS;
    assert_eq!(codes, [fine, refused, fine]);
    let mut attribute = -1;
    let number = cudarc::driver::sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_IPC_EVENT_SUPPORTED;
    ok(cu!(cuDeviceGetAttribute(&mut attribute, number, 0)));
    assert_eq!(attribute, 0);
}

#[test]
fn calls_fail_by_rule() {
    let settings = [
        ("STANDIN_FAIL", "cuMemAlloc_v2:2-2=2"),
        ("STANDIN_ATTRIBUTES", "125=0"),
    ];
    child_with("rules", &settings).finish();
}

fn lost(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    let put = || cu!(cuMemsetD8Async(a, 1, BLOCK, queue));
    let lost = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!([put(), put()], [CUresult::CUDA_SUCCESS, lost]);
    assert_eq!(cu!(cuMemFree_v2(a)), lost);
    assert_eq!(cu!(cuStreamDestroy_v2(queue)), lost);
}

#[test]
fn a_context_is_lost_by_rule() {
    child_with("lost", &[("STANDIN_FAIL", "cuMemsetD8Async:2=lost")]).finish();
}

fn symbols(_: &[String]) {
    // SAFETY: the stand-in has no initializers that ask for anything.
    let library = unsafe { libloading::Library::new("libcuda.so.1") }.expect("the stand-in");
    type Function = unsafe extern "C" fn();
    for name in ["cuInit", "cuMemCreate", "cuIpcGetEventHandle"] {
        // SAFETY: never called.
        let found = unsafe { library.get::<Function>(name) };
        tell(found.is_ok());
    }
}

#[test]
fn a_function_can_be_missing() {
    let driver = Driver::without("cuMemCreate");
    let child = child_of(&driver, "symbols", &[], &[]);
    for found in ["true", "false", "true"] {
        child.expect(found);
    }
}

fn busy(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    fill(queue, a, 1, BLOCK);
    fill(queue, a, 2, BLOCK);
    tell("put");
    let _ = hear();
    let _ = bytes(a, 1);
    synchronize(queue);
    let _ = cu!(cuMemFree_v2(a + 1));
}

#[test]
fn the_log_has_every_call_and_every_wait() {
    let log = CallLog::new();
    let mut child = child_noted("busy", &log);
    child.expect("put");
    let (pid, put) = (child.pid(), log.end());
    let calls = log.calls(pid, 0);
    let fills = calls.iter().filter(|call| *call == "cuMemsetD8Async");
    assert_eq!(fills.count(), 2, "{calls:?}");
    assert_eq!(log.waits(pid, 0), [""; 0]);
    child.say("end");
    assert!(child.wait().success());
    let calls = ["cuMemcpyDtoH_v2", "cuStreamSynchronize", "cuMemFree_v2"];
    assert_eq!(log.calls(pid, put), calls);
    let waits = log.waits(pid, put);
    assert!(waits.contains(&"cuMemcpyDtoH_v2".to_owned()), "{waits:?}");
    assert_eq!(
        waits.last().map(String::as_str),
        Some("cuStreamSynchronize")
    );
    assert_eq!(log.refusals(pid, 0), ["cuMemFree_v2 1"]);
    assert_eq!(log.violations(pid), [""; 0]);
}
