//! Who has the memory, one after the other, and what is left of it.

use std::io::{Read, Write};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use shmstream::cuda::cudarc::driver::DriverError;
use shmstream::cuda::cudarc::driver::sys::CUresult;
use shmstream::cuda::{CudaStream, Mirrored};
use shmstream::gpu::{HostHandle, Problem, Sharing};
use shmstream::{Error, Link, Stream, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{DEADLINE, Name, argument, hear, tell};

use super::support::{LEN, child, child_with, context, frame_of, log_of, value};
use super::{ask, device, end, physical, refused, serve, started};

#[test]
fn others_go_on_and_come_when_the_creator_is_killed() {
    let name = Name::new("cuda-memory-killed");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let info = device(&name);
    assert_eq!((info.sharing, info.shared), (Sharing::Descriptor, true));
    assert!(info.to_string().contains("by descriptors"), "{info}");
    let mut second = started(&driver, "open", &name);
    ask(&mut creator, "write", "wrote 2");
    creator.kill();

    assert!(device(&name).shared);
    ask(&mut second, "read", "frame 2");
    let mut third = started(&driver, "open", &name);
    ask(&mut third, "read", "frame 2");
    ask(&mut third, "write", "wrote 3");
    ask(&mut second, "read", "frame 3");
    // Through one who has it at third hand.
    second.kill();
    let mut fourth = started(&driver, "open", &name);
    ask(&mut fourth, "read", "frame 3");
    ask(&mut fourth, "write", "wrote 4");
    ask(&mut third, "read", "frame 4");
}

#[test]
fn others_go_on_and_come_when_the_creator_ends() {
    let name = Name::new("cuda-memory-ends");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let mut second = started(&driver, "open", &name);
    end(creator);
    ask(&mut second, "read", "frame 1");
    let mut third = started(&driver, "open", &name);
    ask(&mut third, "read", "frame 1");
    ask(&mut third, "write", "wrote 2");
    end(third);
    ask(&mut second, "read", "frame 2");
    assert!(device(&name).shared);
}

#[test]
fn the_last_takes_the_memory_along_and_the_name_is_free() {
    let driver = Driver::new();
    for killed in [true, false] {
        let name = Name::new("cuda-memory-last");
        let mut creator = started(&driver, "create", &name);
        ask(&mut creator, "write", "wrote 1");
        let mut second = started(&driver, "open", &name);
        creator.kill();
        // As long as anybody has it, the name is taken.
        let taken = child(&driver, "ends", &[&name]);
        taken.expect("AlreadyExists");
        taken.finish();
        let on_host = HostHandle::open(&name).unwrap();
        match killed {
            true => second.kill(),
            false => end(second),
        }
        let info = on_host.device().unwrap();
        assert_eq!((info.sharing, info.shared), (Sharing::Descriptor, false));
        assert!(info.to_string().contains("no process"), "{info}");
        assert_eq!(on_host.latest().unwrap().expect("a frame").count, 1);
        refused(&driver, &name, &Problem::ExporterGone);
        let mut heir = started(&driver, "create", &name);
        ask(&mut heir, "write", "wrote 1");
        assert_eq!(on_host.link().unwrap(), Link::Replaced);
    }
}

/// Tells why the stream cannot be created.
pub(super) fn ends(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::AlreadyExists { .. }) => tell("AlreadyExists"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_mirror_outlives_the_creator_too() {
    let name = Name::new("cuda-memory-mirror");
    let driver = Driver::new();
    let mut creator = started(&driver, "mirrored", &name);
    ask(&mut creator, "write", "wrote 1");
    assert_eq!(device(&name).sharing, Sharing::Descriptor);
    let mut second = started(&driver, "open_mirrored", &name);
    let on_host = Stream::<i64, LEN>::open(&name).unwrap();
    creator.kill();
    ask(&mut second, "write", "wrote 2");
    let frame = on_host.wait_timeout(DEADLINE).unwrap().expect("a frame");
    assert!(frame[..] == frame_of(value(2)));
    drop(frame);
    let mut third = started(&driver, "open_mirrored", &name);
    ask(&mut third, "read", "frame 2");
    drop((second, third));
    // The mirror needs no device.
    let late = Stream::<i64, LEN>::open(&name).unwrap();
    assert!(late.read().unwrap().expect("a frame")[..] == frame_of(value(2)));
}

pub(super) fn mirrored(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    serve(CudaStream::<i64, Mirrored>::create(&name, &[LEN], &context()).unwrap());
}

pub(super) fn open_mirrored(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    serve(CudaStream::<i64, Mirrored>::open(&name, &context()).unwrap());
}

#[test]
fn handles_of_one_process_share_a_mapping_and_each_hands_it_on() {
    let name = Name::new("cuda-memory-many");
    let driver = Driver::stand_in();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let mut many = child(&driver, "many", &[&name]);
    many.expect("ready");
    creator.kill();
    for left in (0..3).rev() {
        let mut second = started(&driver, "open", &name);
        ask(&mut second, "read", "frame 1");
        drop(second);
        many.say("drop");
        many.expect(&format!("{left} left"));
    }
    // The last handle took all of it along, and the process is alive.
    many.expect("(0, 0)");
    assert!(!device(&name).shared);
    refused(&driver, &name, &Problem::ExporterGone);
    end(many);
}

pub(super) fn many(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let first = CudaStream::<i64>::open(&name, &context).unwrap();
    let second = CudaStream::<i64>::open(&name, &context).unwrap();
    let third = first.try_clone().unwrap();
    // The one of the mapping, and the one that is handed on.
    assert_eq!(physical(), (2, 1));
    let mut streams = vec![third, second, first];
    tell("ready");
    while let Some(stream) = streams.pop() {
        assert_eq!(hear(), "drop");
        let frame = stream.read(&queue).unwrap().expect("a frame");
        assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
        drop(frame);
        assert!(stream.status().unwrap().device.unwrap().shared);
        drop(stream);
        tell(format!("{} left", streams.len()));
    }
    tell(format!("{:?}", physical()));
    let _ = hear();
}

#[test]
fn who_comes_and_goes_leaves_nothing_behind() {
    let name = Name::new("cuda-memory-again");
    let driver = Driver::stand_in();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    child(&driver, "come_and_go", &[&name]).finish();
    ask(&mut creator, "write", "wrote 2");
}

/// Returns the set of signals that a thread of this process blocks, by what the system says of it.
fn blocked(thread: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
}

/// One thread hands memory on, whatever the handles, and no signal interrupts it.
fn check_thread() {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let threads: Vec<String> = tasks
        .map(|task| task.unwrap().file_name().into_string().unwrap())
        .filter(|task| {
            let name = std::fs::read_to_string(format!("/proc/self/task/{task}/comm"));
            name.unwrap_or_default().trim() == "shmstream-memor"
        })
        .collect();
    let [thread] = &threads[..] else {
        panic!("{threads:?}");
    };
    // But for those that cannot be blocked, and those that the C library keeps to itself.
    let usual = 1 << (libc::SIGINT - 1) | 1 << (libc::SIGALRM - 1) | 1 << (libc::SIGUSR1 - 1);
    let set = blocked(&format!("self/task/{thread}"));
    assert_eq!(set & usual, usual, "{set:x}");
}

pub(super) fn come_and_go(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let mut before = None;
    let mask = blocked("thread-self");
    for _ in 0..20 {
        let stream = CudaStream::<i64>::open(&name, &context).unwrap();
        check_thread();
        assert_eq!(blocked("thread-self"), mask);
        let frame = stream.read(&queue).unwrap().expect("a frame");
        assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
        drop(frame);
        drop(stream);
        // The first time starts what stays.
        assert_eq!(*before.get_or_insert(descriptors()), descriptors());
        assert_eq!(physical(), (0, 0));
    }
}

/// Whoever opens gets the memory, or is told that it is gone: nothing else, and soon. Which of them follows
/// from pauses that are chosen so that both happen.
#[test]
fn the_last_may_leave_while_another_comes() {
    let driver = Driver::new();
    for i in 0..12 {
        let name = Name::new("cuda-memory-race");
        let mut last = child(&driver, "leave", &[&name, &(i * 400)]);
        last.expect("ready");
        let comer = child(&driver, "open", &[&name]);
        last.say("go");
        match comer.line().as_str() {
            "ready" => {
                last.finish();
                let mut comer = comer;
                ask(&mut comer, "read", "frame 1");
                ask(&mut comer, "write", "wrote 2");
                assert!(device(&name).shared);
            }
            "ExporterGone" => {
                last.finish();
                assert!(!device(&name).shared);
            }
            other => panic!("{other}"),
        }
    }
}

pub(super) fn leave(arguments: &[String]) {
    let (name, pause): (String, u64) = (argument(arguments, 0), argument(arguments, 1));
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    tell("ready");
    let _ = hear();
    std::thread::sleep(Duration::from_micros(pause));
    drop(stream);
}

#[test]
fn a_forked_child_keeps_nothing() {
    let name = Name::new("cuda-memory-fork");
    let driver = Driver::new();
    let mut holder = child(&driver, "fork", &[&name]);
    let orphan: i32 = holder.line().parse().unwrap();
    assert!(device(&name).shared);
    holder.kill();
    let is_there = || rustix::process::test_kill_process(Pid::from_raw(orphan).unwrap()).is_ok();
    assert!(is_there());
    assert!(!device(&name).shared);
    let instance = format!("{:032x}", stat(&name).unwrap().instance);
    let sockets = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(!sockets.contains(&instance), "{sockets}");
    refused(&driver, &name, &Problem::ExporterGone);
    let mut heir = started(&driver, "create", &name);
    ask(&mut heir, "write", "wrote 1");
    assert!(is_there());
    kill_process(Pid::from_raw(orphan).unwrap(), Signal::KILL).unwrap();
}

/// Creates a stream and forks; the child drops its copy of the handle, and stays.
pub(super) fn fork(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    let (mut from_child, to_parent) = std::io::pipe().unwrap();
    // SAFETY: `fork` asks that the child of a process with several threads calls only what is
    // async-signal-safe. The child below drops a handle, which does nothing there, writes and sleeps.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        drop(stream);
        (&to_parent).write_all(&[1]).unwrap();
        // As long as a test may take, in case that it does not end it.
        // SAFETY: `sleep` may be called at any time.
        unsafe { libc::sleep(120) };
        // SAFETY: `_exit` may be called at any time; it runs nothing of the parent's.
        unsafe { libc::_exit(0) }
    }
    // What a child has of its parent goes while `fork` returns there.
    from_child.read_exact(&mut [0]).unwrap();
    tell(pid);
    let _ = hear();
    drop(stream);
}

#[test]
fn a_stream_ends_in_good_order_whatever_failed_in_its_context_before() {
    let name = Name::new("cuda-memory-before");
    let driver = Driver::stand_in();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let log = log_of(&name);
    let settings = [
        ("STANDIN_DELAY_US", String::from("200000")),
        ("STANDIN_LOG", log.path().display().to_string()),
    ];
    let other = child_with(&driver, &settings, "failed_before", &[&name]);
    other.expect("(0, 0)");
    // Its last frame arrived: it was waited for.
    ask(&mut creator, "read", "frame 2");
    other.finish();
    let calls = log.calls_until("");
    let place = |call: &str| calls.iter().rposition(|each| each == call).expect(call);
    assert!(place("cuCtxSynchronize") < place("cuMemUnmap"));
}

/// Drops a stream with a frame on its way after something else failed in the context, as drops note it.
pub(super) fn failed_before(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let source = super::support::fill(&queue, value(2));
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let publish = stream.publish(&queue, |slot, queue| queue.memcpy_dtod(&source, slot));
    assert_eq!(publish.unwrap(), 2);
    let failed = DriverError(CUresult::CUDA_ERROR_INVALID_VALUE);
    context.record_err(Err::<(), _>(failed));
    drop(stream);
    tell(format!("{:?}", physical()));
    // Whose it is gets to know it.
    assert_eq!(context.check_err().unwrap_err(), failed);
}
