//! Handles between processes.

use std::ffi::c_char;

use cudarc::driver::sys::{
    CUdeviceptr, CUevent, CUipcEventHandle, CUipcMemHandle, CUresult, CUstream,
};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, Role, hear, tell};

use crate::support::{
    BLOCK, Gate, INVALID_VALUE, NOT_READY, all, allocate, child, child_of, copy, cu, event, fill,
    hex, ok, queue, start, synchronize, unhex,
};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("export", export),
    ("import", import),
    ("import_twice", import_twice),
    ("refused_import", refused_import),
    ("record", record),
    ("follow", follow),
    ("abandoned", abandoned),
    ("event_flags", event_flags),
    ("forked", forked),
];

fn export_memory(address: CUdeviceptr) -> Result<String, CUresult> {
    let mut handle = CUipcMemHandle { reserved: [0; 64] };
    match cu!(cuIpcGetMemHandle(&mut handle, address)) {
        CUresult::CUDA_SUCCESS => Ok(hex(&handle.reserved.map(c_char::cast_unsigned))),
        code => Err(code),
    }
}

fn import_memory(handle: &str, flags: u32) -> Result<CUdeviceptr, CUresult> {
    let reserved = unhex(handle).map(u8::cast_signed);
    let mut address = 0;
    match cu!(cuIpcOpenMemHandle_v2(
        &mut address,
        CUipcMemHandle { reserved },
        flags
    )) {
        CUresult::CUDA_SUCCESS => Ok(address),
        code => Err(code),
    }
}

fn export_event(event: CUevent) -> Result<String, CUresult> {
    let mut handle = CUipcEventHandle { reserved: [0; 64] };
    match cu!(cuIpcGetEventHandle(&mut handle, event)) {
        CUresult::CUDA_SUCCESS => Ok(hex(&handle.reserved.map(c_char::cast_unsigned))),
        code => Err(code),
    }
}

fn import_event(handle: &str) -> Result<CUevent, CUresult> {
    let reserved = unhex(handle).map(u8::cast_signed);
    let mut event = std::ptr::null_mut();
    match cu!(cuIpcOpenEventHandle(
        &mut event,
        CUipcEventHandle { reserved }
    )) {
        CUresult::CUDA_SUCCESS => Ok(event),
        code => Err(code),
    }
}

/// Exports a block full of 7; says the block's only byte whenever it is asked.
fn export(_: &[String]) {
    start();
    let (queue, block) = (queue(), allocate(BLOCK));
    fill(queue, block, 7, BLOCK);
    synchronize(queue);
    let handle = export_memory(block).expect("a handle");
    assert_eq!(
        import_memory(&handle, 1),
        Err(CUresult::CUDA_ERROR_INVALID_CONTEXT),
        "in the process that made it"
    );
    assert_eq!(
        export_memory(block + 256),
        Err(INVALID_VALUE),
        "inside a block"
    );
    let mut pool = 0;
    ok(cu!(cuMemAllocAsync(&mut pool, BLOCK, queue)));
    synchronize(queue);
    assert_eq!(export_memory(pool), Err(INVALID_VALUE), "stream-ordered");
    tell(handle);
    while hear() == "look" {
        tell(all(block, BLOCK));
    }
}

/// Opens a handle and says what is there; then does what it is told.
fn import(arguments: &[String]) {
    start();
    let (queue, handle) = (queue(), &arguments[0]);
    assert_eq!(
        import_memory(handle, 0),
        Err(INVALID_VALUE),
        "without flags"
    );
    let block = import_memory(handle, 1).expect("memory");
    assert_eq!(export_memory(block), Err(INVALID_VALUE), "an import");
    assert_eq!(cu!(cuMemFree_v2(block)), INVALID_VALUE, "an import");
    loop {
        match hear().as_str() {
            "look" => tell(all(block, BLOCK)),
            "fill" => {
                fill(queue, block, 9, BLOCK);
                synchronize(queue);
                tell("filled");
            }
            _ => break,
        }
    }
    ok(cu!(cuIpcCloseMemHandle(block)));
    assert_eq!(cu!(cuIpcCloseMemHandle(block)), INVALID_VALUE);
}

#[test]
fn processes_share_memory_by_handle() {
    let mut exporter = child("export", &[]);
    let mut importer = child("import", &[&exporter.line()]);
    importer.say("look");
    importer.expect("7");
    importer.say("fill");
    importer.expect("filled");
    exporter.say("look");
    exporter.expect("9");
    importer.say("end");
    importer.finish();
    exporter.say("end");
    exporter.finish();
}

#[test]
fn memory_that_is_open_outlives_its_exporter() {
    let mut exporter = child("export", &[]);
    let handle = exporter.line();
    let mut importer = child("import", &[&handle]);
    importer.say("look");
    importer.expect("7");
    exporter.kill();
    importer.say("look");
    importer.expect("7");
    // Nobody else gets in.
    child("refused_import", &[&handle]).expect("INVALID_VALUE");
    importer.say("end");
    importer.finish();
}

fn refused_import(arguments: &[String]) {
    start();
    let code = import_memory(&arguments[0], 1).expect_err("nothing to open");
    let code = format!("{code:?}");
    tell(code.trim_start_matches("CUDA_ERROR_"));
}

#[test]
fn a_second_open_counts() {
    let mut exporter = child("export", &[]);
    child("import_twice", &[&exporter.line()]).finish();
    exporter.say("end");
    exporter.finish();
}

fn import_twice(arguments: &[String]) {
    start();
    let block = import_memory(&arguments[0], 1).expect("memory");
    assert_eq!(import_memory(&arguments[0], 1), Ok(block));
    ok(cu!(cuIpcCloseMemHandle(block)));
    assert_eq!(all(block, BLOCK), 7, "open still");
    ok(cu!(cuIpcCloseMemHandle(block)));
    assert_eq!(cu!(cuIpcCloseMemHandle(block)), INVALID_VALUE);
}

#[test]
fn equal_pids_in_two_containers_are_one_process() {
    let start = |role: &str, arguments: &[&dyn std::fmt::Display]| {
        child_of(
            &Driver::stand_in(),
            role,
            arguments,
            &[("STANDIN_PID", "1")],
        )
    };
    let mut exporter = start("export", &[]);
    start("refused_import", &[&exporter.line()]).expect("INVALID_CONTEXT");
    exporter.say("end");
    exporter.finish();
}

#[test]
fn devices_without_peer_access_share_nothing() {
    let start = |role: &str, arguments: &[&dyn std::fmt::Display], visible: &str| {
        let settings = [
            ("STANDIN_DEVICES", "2"),
            ("STANDIN_PEERS", "0"),
            ("CUDA_VISIBLE_DEVICES", visible),
        ];
        child_of(&Driver::stand_in(), role, arguments, &settings)
    };
    let mut exporter = start("export", &[], "1");
    let handle = exporter.line();
    start("refused_import", &[&handle], "0").expect("PEER_ACCESS_UNSUPPORTED");
    // The same device under another number.
    let mut importer = start("import", &[&handle], "1,0");
    importer.say("look");
    importer.expect("7");
    importer.say("end");
    importer.finish();
    exporter.say("end");
    exporter.finish();
}

/// Records an event behind a gate, tells both handles, and opens the gate when it is told to.
fn record(_: &[String]) {
    start();
    let (queue, block) = (queue(), allocate(BLOCK));
    fill(queue, block, 1, BLOCK);
    synchronize(queue);
    let event = event(2 | 4);
    assert_eq!(
        import_event(&export_event(event).expect("a handle")),
        Err(CUresult::CUDA_ERROR_INVALID_CONTEXT),
        "in the process that made it"
    );
    let gate = Gate::new(queue);
    fill(queue, block, 2, BLOCK);
    ok(cu!(cuEventRecord(event, queue)));
    tell(export_memory(block).expect("a handle"));
    tell(export_event(event).expect("a handle"));
    let _ = hear();
    gate.open();
    synchronize(queue);
    let _ = hear();
}

fn begin_to_follow(arguments: &[String]) -> (CUstream, CUevent, CUdeviceptr, CUdeviceptr) {
    start();
    let (queue, own) = (queue(), allocate(BLOCK));
    let block = import_memory(&arguments[0], 1).expect("memory");
    let event = import_event(&arguments[1]).expect("an event");
    assert_eq!(cu!(cuEventQuery(event)), NOT_READY);
    ok(cu!(cuStreamWaitEvent(queue, event, 0)));
    copy(queue, own, block, BLOCK);
    assert_eq!(cu!(cuStreamQuery(queue)), NOT_READY);
    (queue, event, own, block)
}

/// Follows another process by its event.
fn follow(arguments: &[String]) {
    let (queue, event, own, block) = begin_to_follow(arguments);
    tell("follows");
    synchronize(queue);
    assert_eq!(all(own, BLOCK), 2);
    ok(cu!(cuEventSynchronize(event)));
    ok(cu!(cuEventDestroy_v2(event)));
    ok(cu!(cuIpcCloseMemHandle(block)));
}

fn followed(role: &str) -> (Child, Child) {
    let recorder = child("record", &[]);
    let (memory, event) = (recorder.line(), recorder.line());
    let follower = child(role, &[&memory, &event]);
    follower.expect("follows");
    (recorder, follower)
}

#[test]
fn a_queue_waits_for_the_event_of_another_process() {
    let (mut recorder, follower) = followed("follow");
    recorder.say("open");
    follower.finish();
    recorder.say("end");
    recorder.finish();
}

/// Follows a process that dies.
fn abandoned(arguments: &[String]) {
    let (queue, event, ..) = begin_to_follow(arguments);
    tell("follows");
    let _ = hear();
    assert_eq!(cu!(cuEventQuery(event)), NOT_READY);
    assert_eq!(cu!(cuStreamQuery(queue)), NOT_READY);
    tell("waits");
    let _ = hear();
    // Nothing in order: the driver would wait for the queue.
    std::process::exit(0);
}

#[test]
fn the_record_of_a_killed_process_never_comes() {
    let (mut recorder, mut follower) = followed("abandoned");
    recorder.kill();
    follower.say("look");
    follower.expect("waits");
    follower.say("end");
    follower.finish();
}

#[test]
fn events_for_other_processes_have_conditions() {
    child("event_flags", &[]).finish();
}

/// What events cannot be exported.
fn event_flags(_: &[String]) {
    start();
    let mut result = std::ptr::null_mut();
    assert_eq!(
        cu!(cuEventCreate(&mut result, 4)),
        INVALID_VALUE,
        "with timing"
    );
    let private = event(2);
    let code = export_event(private).expect_err("not for other processes");
    assert_eq!(code, CUresult::CUDA_ERROR_INVALID_HANDLE);
}

#[test]
fn a_forked_child_has_no_driver() {
    child("forked", &[]).finish();
}

fn forked(_: &[String]) {
    use rustix::process::{Pid, WaitOptions, waitpid};
    start();
    // SAFETY: the child calls the driver alone, which must refuse before it takes a lock, and ends.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let refused = CUresult::CUDA_ERROR_NOT_INITIALIZED;
        let mut address = 0;
        let all = [
            cu!(cuInit(0)),
            cu!(cuCtxSynchronize()),
            cu!(cuMemAlloc_v2(&mut address, BLOCK)),
        ];
        let failed = all.iter().any(|code| *code != refused);
        // SAFETY: ends the child without anything of its parent's.
        unsafe { libc::_exit(failed.into()) };
    }
    let (_, status) = waitpid(Pid::from_raw(pid), WaitOptions::empty())
        .expect("wait for the child")
        .expect("its status");
    assert_eq!(status.exit_status(), Some(0));
    ok(cu!(cuCtxSynchronize()));
}
