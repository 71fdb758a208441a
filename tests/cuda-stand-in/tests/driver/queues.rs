//! Queues, events, host functions, kernels.

use std::ffi::c_void;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use cudarc::driver::sys::{CUresult, CUstream};
use shmstream_tests::driver::{CallLog, Driver};
use shmstream_tests::{DEADLINE, Role};

use crate::support::{
    BLOCK, Gate, NOT_READY, all, allocate, child, child_noted, child_of, child_with, copy, cu,
    event, fill, kernel, launch, ok, pinned, queue, start, synchronize,
};

pub(crate) const ROLES: &[(&str, Role)] = &[
    ("order", order),
    ("missing_wait", missing_wait),
    ("wait_event", wait_event),
    ("captured", captured),
    ("staged", staged),
    ("host_function", host_function),
    ("violation", violation),
    ("delayed", delayed),
    ("kernels", kernels),
    ("fault", fault),
    ("write_value", write_value),
];

#[test]
fn a_queue_works_in_order_and_later() {
    child("order", &[]).finish();
}

fn order(_: &[String]) {
    start();
    let (queue, a, b) = (queue(), allocate(BLOCK), allocate(BLOCK));
    fill(queue, b, 1, BLOCK);
    synchronize(queue);
    let gate = Gate::new(queue);
    fill(queue, a, 2, BLOCK);
    copy(queue, b, a, BLOCK);
    fill(queue, a, 3, BLOCK);
    assert_eq!(cu!(cuStreamQuery(queue)), NOT_READY);
    gate.open();
    synchronize(queue);
    ok(cu!(cuStreamQuery(queue)));
    assert_eq!((all(a, BLOCK), all(b, BLOCK)), (3, 2));
}

#[test]
fn a_missing_wait_gives_old_data() {
    child("missing_wait", &[]).finish();
}

fn missing_wait(_: &[String]) {
    start();
    let (writer, reader) = (queue(), queue());
    let (a, b) = (allocate(BLOCK), allocate(BLOCK));
    fill(writer, a, 1, BLOCK);
    synchronize(writer);
    let gate = Gate::new(writer);
    fill(writer, a, 2, BLOCK);
    copy(reader, b, a, BLOCK);
    synchronize(reader);
    assert_eq!(all(b, BLOCK), 1);
    gate.open();
    synchronize(writer);
}

#[test]
fn a_queue_waits_for_an_event_of_another() {
    child("wait_event", &[]).finish();
}

fn wait_event(_: &[String]) {
    start();
    let (writer, reader) = (queue(), queue());
    let (a, b) = (allocate(BLOCK), allocate(BLOCK));
    let event = event(2);
    // An event that was never recorded holds nobody back.
    ok(cu!(cuStreamWaitEvent(reader, event, 0)));
    synchronize(reader);
    let gate = Gate::new(writer);
    fill(writer, a, 2, BLOCK);
    ok(cu!(cuEventRecord(event, writer)));
    ok(cu!(cuStreamWaitEvent(reader, event, 0)));
    copy(reader, b, a, BLOCK);
    assert_eq!(cu!(cuEventQuery(event)), NOT_READY);
    assert_eq!(cu!(cuStreamQuery(reader)), NOT_READY);
    gate.open();
    synchronize(reader);
    ok(cu!(cuEventQuery(event)));
    ok(cu!(cuEventSynchronize(event)));
    assert_eq!(all(b, BLOCK), 2);
    ok(cu!(cuEventDestroy_v2(event)));
}

#[test]
fn a_wait_is_for_the_record_of_its_moment() {
    child("captured", &[]).finish();
}

fn captured(_: &[String]) {
    start();
    let (writer, reader) = (queue(), queue());
    let event = event(2);
    ok(cu!(cuEventRecord(event, writer)));
    synchronize(writer);
    ok(cu!(cuStreamWaitEvent(reader, event, 0)));
    let gate = Gate::new(writer);
    // Recorded again behind a gate: none of that wait's business.
    ok(cu!(cuEventRecord(event, writer)));
    synchronize(reader);
    gate.open();
    synchronize(writer);
}

#[test]
fn pinned_memory_is_read_when_its_turn_comes() {
    child("staged", &[]).finish();
}

fn staged(_: &[String]) {
    start();
    let (queue, from_pinned, from_pageable) = (queue(), allocate(8), allocate(8));
    let word = pinned(1);
    let mut pageable = 1_u64;
    // SAFETY: a pinned word of our own.
    unsafe { word.write_volatile(1) };
    let gate = Gate::new(queue);
    ok(cu!(cuMemcpyHtoDAsync_v2(
        from_pinned,
        word.cast(),
        8,
        queue
    )));
    let source = std::ptr::from_mut(&mut pageable);
    // A driver may wait here for the queue if it does not stage; the stand-in does not.
    let staged = Driver::new().is_real();
    if !staged {
        ok(cu!(cuMemcpyHtoDAsync_v2(
            from_pageable,
            source.cast(),
            8,
            queue
        )));
    }
    // SAFETY: likewise; the queue's copy is behind the gate.
    unsafe { word.write_volatile(0x0202_0202_0202_0202) };
    pageable = 7;
    assert_eq!(pageable, 7);
    gate.open();
    synchronize(queue);
    assert_eq!(all(from_pinned, 8), 2);
    if !staged {
        assert_eq!(crate::support::bytes(from_pageable, 8)[0], 1);
    }
}

/// What a host function gets: where to say that it ran, and when it may end.
struct Visit {
    began: Sender<()>,
    end: Receiver<()>,
}

unsafe extern "C" fn visit(argument: *mut c_void) {
    // SAFETY: given by `host_function`, which waits for the end of this.
    let visit = unsafe { &*argument.cast::<Visit>() };
    visit.began.send(()).expect("a listener");
    visit.end.recv_timeout(DEADLINE).expect("the word to end");
}

#[test]
fn a_host_function_runs_between_what_is_before_and_behind_it() {
    child("host_function", &[]).finish();
}

fn host_function(_: &[String]) {
    start();
    let (queue, other, a) = (queue(), queue(), allocate(BLOCK));
    fill(queue, a, 1, BLOCK);
    synchronize(queue);
    let (began, has_begun) = channel();
    let (finish, end) = channel();
    let mut argument = Visit { began, end };
    let argument = std::ptr::from_mut(&mut argument).cast();
    let gate = Gate::new(queue);
    fill(queue, a, 2, BLOCK);
    ok(cu!(cuLaunchHostFunc(queue, Some(visit), argument)));
    fill(queue, a, 3, BLOCK);
    assert!(has_begun.try_recv().is_err(), "ran too early");
    gate.open();
    has_begun.recv_timeout(DEADLINE).expect("a visit");
    let b = allocate(BLOCK);
    copy(other, b, a, BLOCK);
    synchronize(other);
    assert_eq!(all(b, BLOCK), 2, "all before it, nothing behind it");
    finish.send(()).expect("a visitor");
    synchronize(queue);
    assert_eq!(all(a, BLOCK), 3);
}

unsafe extern "C" fn misbehave(argument: *mut c_void) {
    let code = cu!(cuCtxSynchronize());
    // SAFETY: given by `violation`, which waits for the end of this.
    unsafe { argument.cast::<CUresult>().write(code) };
}

#[test]
fn a_host_function_must_not_call_the_driver() {
    let log = CallLog::new();
    let mut child = child_noted("violation", &log);
    assert!(child.wait().success());
    assert_eq!(log.violations(child.pid()), ["cuCtxSynchronize"]);
}

fn violation(_: &[String]) {
    start();
    let queue = queue();
    let mut code = CUresult::CUDA_SUCCESS;
    let argument = std::ptr::from_mut(&mut code).cast();
    ok(cu!(cuLaunchHostFunc(queue, Some(misbehave), argument)));
    synchronize(queue);
    assert_eq!(code, CUresult::CUDA_ERROR_NOT_PERMITTED);
}

#[test]
fn a_delay_is_for_each_thing_done_to_memory() {
    child_with("delayed", &[("STANDIN_DELAY_US", "20000")]).finish();
}

fn delayed(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(8));
    let since = Instant::now();
    for value in 0..5 {
        fill(queue, a, value, 8);
    }
    synchronize(queue);
    assert!(since.elapsed() >= Duration::from_millis(100));
}

#[test]
fn kernels_work_in_place() {
    child("kernels", &[]).finish();
}

fn kernels(_: &[String]) {
    start();
    let (queue, a, wrong) = (queue(), allocate(BLOCK), allocate(8));
    let words = u64::try_from(BLOCK / 8).expect("a number");
    fill(queue, a, 0, BLOCK);
    fill(queue, wrong, 0, 8);
    let (xor, check) = (kernel("xor_words"), kernel("check_words"));
    ok(launch(queue, xor, &[a, words - 1, 0xFF]));
    ok(launch(queue, check, &[a, words, 0xFF, wrong]));
    ok(launch(queue, kernel("pause_ns"), &[1000]));
    synchronize(queue);
    let count = crate::support::bytes(wrong, 8);
    assert_eq!(count, 1_u64.to_ne_bytes(), "the last word was left out");
}

unsafe extern "C" fn never(argument: *mut c_void) {
    // SAFETY: given by `fault`, which keeps it.
    unsafe { argument.cast::<bool>().write(true) };
}

#[test]
fn a_fault_in_a_queue_costs_the_context() {
    child("fault", &[]).finish();
}

fn fault(_: &[String]) {
    start();
    let (queue, a) = (queue(), allocate(BLOCK));
    let mut ran = false;
    // Far beyond anything.
    ok(launch(queue, kernel("xor_words"), &[a + (1 << 40), 64, 1]));
    let argument = std::ptr::from_mut(&mut ran).cast();
    let _ = cu!(cuLaunchHostFunc(queue, Some(never), argument));
    let lost = CUresult::CUDA_ERROR_ILLEGAL_ADDRESS;
    assert_eq!(cu!(cuStreamSynchronize(queue)), lost);
    assert_eq!(cu!(cuMemsetD8Async(a, 0, BLOCK, queue)), lost);
    assert_eq!(cu!(cuCtxSynchronize()), lost);
    assert!(!ran, "a host function behind the fault ran");
}

#[test]
fn a_queue_waits_for_a_word_that_another_writes() {
    child("write_value", &[]).finish();
}

fn write_value(_: &[String]) {
    start();
    let (writer, reader): (CUstream, CUstream) = (queue(), queue());
    let (word, a, b) = (allocate(8), allocate(BLOCK), allocate(BLOCK));
    fill(writer, word, 0, 8);
    synchronize(writer);
    ok(cu!(cuStreamWaitValue64_v2(reader, word, 5, 0)));
    copy(reader, b, a, BLOCK);
    assert_eq!(cu!(cuStreamQuery(reader)), NOT_READY);
    fill(writer, a, 4, BLOCK);
    ok(cu!(cuStreamWriteValue64_v2(writer, word, 6, 0)));
    synchronize(reader);
    assert_eq!(all(b, BLOCK), 4);
}

#[test]
fn a_delay_can_be_of_one_queue() {
    child_of(&Driver::stand_in(), "own_functions", &[], &[]).finish();
}
