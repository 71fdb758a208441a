//! Waiting without a thread: futures, streams of frames and descriptors, on two executors.

use std::future::ready;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, getrlimit, set_parent_process_death_signal,
    setrlimit, waitpid,
};
use shmstream::{DType, DynStream, Error, Readiness, Schema, Start, Stream};
use shmstream_tests::{
    Child, DEADLINE, Name, PrivateDir, argument, eventually, hear, play, skip, tell,
};
use smol::stream::StreamExt;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Runtime;

type Number = Stream<u64, 1>;

/// The name of the thread, as the kernel cuts it.
const THREAD: &str = "shmstream-event";

#[test]
fn child_entry() {
    play(&[
        ("await_on_tokio", await_on_tokio),
        ("await_on_smol", await_on_smol),
        ("write", write),
        ("write_and_die", write_and_die),
        ("many_handles", many_handles),
        ("many_streams", many_streams),
        ("leave_nothing", leave_nothing),
        ("fork", fork_and_await),
        ("run_out", run_out),
    ]);
}

fn tokio() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// Returns how many threads this process has, and how many of them watch streams.
fn threads() -> (usize, usize) {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names: Vec<_> = tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .collect();
    let watching = names.iter().filter(|name| name.trim_end() == THREAD);
    (names.len(), watching.count())
}

/// Returns how many files the kernel watches for this process.
fn watched() -> usize {
    let entries = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let infos = entries.filter_map(|entry| std::fs::read_to_string(entry.unwrap().path()).ok());
    infos.map(|info| info.matches("inotify wd:").count()).sum()
}

/// Counts in `pending` when the future is not ready for the first time.
async fn noted<F: Future>(future: F, pending: &AtomicUsize) -> F::Output {
    let mut future = pin!(future);
    let mut noted = false;
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        if polled.is_pending() && !std::mem::replace(&mut noted, true) {
            pending.fetch_add(1, Ordering::SeqCst);
        }
        polled
    })
    .await
}

/// Runs a future on this thread, in time.
fn block_on<F: Future>(future: F) -> F::Output {
    let late = async {
        smol::Timer::after(DEADLINE).await;
        panic!("in vain")
    };
    smol::block_on(smol::future::or(future, late))
}

/// The same on tokio, for a part of a task.
async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("in time")
}

/// Awaits frames until one has the count `last`, and returns the counts.
async fn counts_to(mut stream: Number, last: u64) -> Vec<u64> {
    let mut counts = Vec::new();
    while counts.last() != Some(&last) {
        let frame = stream.wait_async().await.unwrap();
        assert_eq!(frame.get(), frame.info().count);
        counts.push(frame.info().count);
    }
    counts
}

fn await_on_tokio(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let last = argument(arguments, 1);
    tokio().block_on(async {
        let clones = (0..20).map(|_| stream.try_clone().unwrap());
        let tasks: Vec<_> = clones
            .map(|own| tokio::spawn(counts_to(own, last)))
            .collect();
        tell("ready");
        for task in tasks {
            assert!(in_time(task).await.unwrap().is_sorted());
        }
    });
    tell("done");
}

fn await_on_smol(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let last = argument(arguments, 1);
    let clones = (0..20).map(|_| stream.try_clone().unwrap());
    let tasks: Vec<_> = clones
        .map(|own| smol::spawn(counts_to(own, last)))
        .collect();
    tell("ready");
    for task in tasks {
        assert!(block_on(task).is_sorted());
    }
    tell("done");
}

/// Writes frames with their counts, waiting for lossless readers.
fn write(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let frames: u64 = argument(arguments, 1);
    tell("ready");
    let _ = hear();
    for i in 1..=frames {
        assert_eq!(stream.write_timeout(&[i], DEADLINE).unwrap(), i);
    }
    tell("done");
}

/// Writes one frame, and is gone.
fn write_and_die(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    tell("ready");
    let _ = hear();
    stream.write(&[stream.count() + 1]).unwrap();
    let own = rustix::process::getpid();
    rustix::process::kill_process(own, Signal::KILL).unwrap();
}

#[test]
fn tasks_of_several_processes_and_executors_await_one_stream() {
    const FRAMES: u64 = 200;
    let name = Name::new("executors");
    let stream = Number::builder(&name).participants(128).create().unwrap();
    let readers: Vec<_> = ["await_on_tokio", "await_on_smol", "await_on_tokio"]
        .map(|role| Child::spawn(role, &[&name, &FRAMES]))
        .into();
    readers.iter().for_each(|reader| reader.expect("ready"));
    for i in 1..=FRAMES {
        stream.write(&[i]).unwrap();
        if i % 10 == 0 {
            std::thread::yield_now();
        }
    }
    for reader in readers {
        reader.expect("done");
        reader.finish();
    }
}

#[test]
fn a_cancelled_wait_loses_no_frame() {
    const FRAMES: u64 = 2000;
    let name = Name::new("cancelled");
    let stream = Number::builder(&name).slots(4).create().unwrap();
    let mut frames = stream.subscribe_lossless(Start::New).unwrap();
    let mut latest = stream.try_clone().unwrap();
    let mut writer = Child::spawn("write", &[&name, &FRAMES]);
    writer.expect("ready");
    writer.say("go");
    let cancelled = tokio().block_on(async {
        let mut cancelled = 0;
        let mut next = 1;
        while next <= FRAMES {
            tokio::select! {
                biased;
                frame = frames.wait_async() => {
                    assert_eq!(frame.unwrap().info().count, next);
                    next += 1;
                }
                () = ready(()) => cancelled += 1,
            }
            let patience = Duration::from_micros(next % 200);
            let waited = tokio::time::timeout(patience, frames.wait_owned_async());
            match waited.await {
                Ok(frame) => {
                    let frame = frame.unwrap();
                    assert_eq!((frame[0], frame.info().missed), (next, 0));
                    next += 1;
                }
                Err(_) => cancelled += 1,
            }
        }
        // What another handle has not returned it still has to return, however often it began to.
        for _ in 0..10 {
            let mut wait = pin!(latest.wait_after_async(FRAMES));
            assert!(smol::future::poll_once(wait.as_mut()).await.is_none());
        }
        assert_eq!(in_time(latest.wait_async()).await.unwrap().get(), FRAMES);
        cancelled
    });
    assert!(cancelled > 0);
    writer.expect("done");
    writer.finish();
}

#[test]
fn writers_that_are_killed_are_heard_to_the_last() {
    let name = Name::new("killed");
    let stream = Number::create(&name).unwrap();
    let mut frames = stream.subscribe(Start::New).unwrap().into_frames();
    let runtime = tokio();
    for count in 1..=5 {
        let mut writer = Child::spawn("write_and_die", &[&name]);
        writer.expect("ready");
        let pending = AtomicUsize::new(0);
        let next = noted(frames.next(), &pending);
        let frame = runtime.block_on(async {
            let mut next = pin!(next);
            assert!(smol::future::poll_once(next.as_mut()).await.is_none());
            writer.say("go");
            in_time(next).await.unwrap().unwrap()
        });
        assert_eq!((frame[0], frame.info().count), (count, count));
        assert_eq!(pending.into_inner(), 1);
        assert!(!writer.wait().success());
    }
}

#[test]
fn frames_come_in_order_and_as_the_latest() {
    let name = Name::new("frames");
    let stream = Number::builder(&name).history(16).create().unwrap();
    let latest = stream.try_clone().unwrap().into_frames();
    let ordered = stream.subscribe(Start::New).unwrap().into_frames();
    // Both move to tasks, whichever thread runs them.
    fn spawned<T: Send + 'static>(frames: T) -> T {
        frames
    }
    let (mut latest, ordered) = (spawned(latest), spawned(ordered));
    for i in 1..=10 {
        stream.write(&[i]).unwrap();
    }
    block_on(async {
        let first = latest.next().await.unwrap().unwrap();
        assert_eq!((first[0], first.info().missed), (10, 0));
        let all: Vec<_> = ordered
            .take(10)
            .map(|frame| frame.unwrap()[0])
            .collect()
            .await;
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
        assert!(smol::future::poll_once(latest.next()).await.is_none());
        for i in 11..=13 {
            stream.write(&[i]).unwrap();
        }
        let next = latest.next().await.unwrap().unwrap();
        assert_eq!((next[0], next.info().missed), (13, 2));
    });
    assert_eq!(latest.source().count(), 13);
    assert!(latest.into_source().read_new().unwrap().is_none());
}

#[test]
fn streams_known_at_run_time_are_awaited_alike() {
    let stream = DynStream::temporary(Schema::tensor(DType::U64, &[2])).unwrap();
    let mut own = stream.try_clone().unwrap();
    let mut frames = stream.subscribe(Start::New).unwrap();
    block_on(async {
        assert!(smol::future::poll_once(own.wait_async()).await.is_none());
        let writing = async { stream.write(&[1_u64, 2]).unwrap() };
        let (frame, _) = smol::future::zip(own.wait_async(), writing).await;
        assert_eq!(frame.unwrap().as_slice::<u64>().unwrap(), [1, 2]);
        let frame = frames.wait_owned_async().await.unwrap();
        assert_eq!(frame.as_slice::<u64>().unwrap(), [1, 2]);
        stream.write(&[3_u64, 4]).unwrap();
        let frame = own.wait_owned_async().await.unwrap();
        assert_eq!(frame.as_slice::<u64>().unwrap(), [3, 4]);
        let frame = frames.into_frames().next().await.unwrap().unwrap();
        assert_eq!(frame.info().count, 2);
    });
    assert!(is_readable(&stream.readiness().unwrap()));
}

#[test]
fn a_replaced_stream_is_noticed() {
    for by_rm in [false, true] {
        let name = Name::new("replaced");
        let old = Number::create(&name).unwrap();
        let mut frames = old.try_clone().unwrap().into_frames();
        let mut in_order = old.subscribe(Start::New).unwrap();
        let readiness = old.readiness().unwrap();
        let pending = AtomicUsize::new(0);
        let replace = async {
            let both_wait = || pending.load(Ordering::SeqCst) == 2;
            while !both_wait() {
                smol::future::yield_now().await;
            }
            if by_rm {
                std::fs::remove_file(name.path()).unwrap();
            } else {
                old.unlink().unwrap();
            }
            Number::create(&name).unwrap()
        };
        block_on(async {
            let waits = smol::future::zip(
                noted(frames.next(), &pending),
                noted(in_order.wait_async(), &pending),
            );
            let ((frame, next), _new) = smol::future::zip(waits, replace).await;
            assert!(matches!(frame, Some(Err(Error::Replaced { .. }))));
            assert!(matches!(next, Err(Error::Replaced { .. })));
            assert!(frames.next().await.is_none(), "it ends with the error");
        });
        eventually("the descriptor is readable", || is_readable(&readiness));
        assert!(matches!(readiness.clear(), Err(Error::Replaced { .. })));
        let later = old.readiness().unwrap();
        assert!(is_readable(&later), "also when it was replaced before");
    }
}

#[test]
fn a_frame_is_read_before_the_replacement_is_noticed() {
    let name = Name::new("last-frame");
    let old = Number::create(&name).unwrap();
    let mut own = old.try_clone().unwrap();
    let readiness = old.readiness().unwrap();
    let writer = old.lock().unwrap();
    old.unlink().unwrap();
    let _new = Number::create(&name).unwrap();
    // A writer that took the lock before.
    writer.write(&[1]).unwrap();
    block_on(async {
        assert_eq!(own.wait_async().await.unwrap().get(), 1);
        assert!(matches!(
            own.wait_async().await,
            Err(Error::Replaced { .. })
        ));
    });
    eventually("the descriptor is readable", || is_readable(&readiness));
    readiness.clear().unwrap();
    assert_eq!(old.read_new().unwrap().unwrap().get(), 1);
    assert!(is_readable(&readiness), "there is something to say");
    assert!(matches!(readiness.clear(), Err(Error::Replaced { .. })));
    assert!(!is_readable(&readiness));
}

#[test]
fn a_stream_without_a_name_goes_on() {
    let name = Name::new("nameless");
    let stream = Number::create(&name).unwrap();
    stream.unlink().unwrap();
    let mut own = stream.try_clone().unwrap();
    for i in 1..=3 {
        let written = async { stream.write(&[i]).unwrap() };
        let (frame, _) = block_on(smol::future::zip(own.wait_async(), written));
        assert_eq!(frame.unwrap().get(), i);
    }
}

fn is_readable(readiness: &Readiness) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut sources = [PollFd::new(readiness, PollFlags::IN)];
    poll(&mut sources, Some(&Timespec::default())).unwrap() == 1
}

#[test]
fn a_descriptor_is_readable_until_it_is_cleared() {
    let stream = Number::temporary().unwrap();
    let reader = stream.try_clone().unwrap();
    let readiness = reader.readiness().unwrap();
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    let data = epoll::EventData::new_u64(7);
    epoll::add(&queue, &readiness, data, epoll::EventFlags::IN).unwrap();
    let events = |seconds| {
        let mut events = Vec::with_capacity(4);
        let timeout = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let buffer = rustix::buffer::spare_capacity(&mut events);
        epoll::wait(&queue, buffer, Some(&timeout)).unwrap();
        events.len()
    };
    let deadline = i64::try_from(DEADLINE.as_secs()).unwrap();
    assert_eq!(events(0), 0);
    for round in 1..=3 {
        stream.write(&[round]).unwrap();
        assert_eq!(events(deadline), 1);
        stream.write(&[round]).unwrap();
        assert_eq!(events(0), 1, "it stays so");
        assert!(reader.read_new().unwrap().is_some());
        assert_eq!(events(0), 1, "reading does not clear it");
        readiness.clear().unwrap();
        assert_eq!(events(0), 0);
        assert!(reader.read_new().unwrap().is_none());
    }
    // From the beginning, if there is something that the handle has not returned.
    assert!(is_readable(&stream.readiness().unwrap()));
    assert!(!is_readable(&reader.readiness().unwrap()));
    let later = stream.subscribe(Start::Count(9)).unwrap();
    let next = later.readiness().unwrap();
    assert!(!is_readable(&next));
    drop(reader);
    stream.write(&[9]).unwrap();
    assert_eq!(events(deadline), 1, "it outlives its handle");
    while stream.count() < 9 {
        assert!(!is_readable(&next));
        stream.write(&[9]).unwrap();
    }
    eventually("the ninth frame is announced", || is_readable(&next));
    assert!(later.read().unwrap().is_some());
}

/// Reads all frames of a writer in order, each time that `ready` is.
fn read_when(ready: impl AsyncFnOnce(Readiness, &mut dyn FnMut(&Readiness) -> bool)) {
    const FRAMES: u64 = 1000;
    let name = Name::new("event-loop");
    let stream = Number::builder(&name).slots(4).create().unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    let mut writer = Child::spawn("write", &[&name, &FRAMES]);
    writer.expect("ready");
    writer.say("go");
    let mut next = 1;
    let mut read = |readiness: &Readiness| {
        readiness.clear().unwrap();
        while let Some(frame) = frames.read().unwrap() {
            assert_eq!((frame.get(), frame.info().count), (next, next));
            next += 1;
        }
        next <= FRAMES
    };
    tokio().block_on(in_time(ready(frames.readiness().unwrap(), &mut read)));
    writer.expect("done");
    writer.finish();
}

#[test]
fn a_descriptor_in_an_event_loop_loses_no_frame() {
    read_when(async |readiness, read| {
        // SAFETY: `register` asks that the descriptor stays open and the same until it is given
        // back: a `Readiness` keeps one as long as it lives, and is not taken out here.
        let readiness = unsafe { AsyncFd::register(readiness) }.unwrap();
        loop {
            readiness.readable().await.unwrap().clear_ready();
            if !read(readiness.get_ref()) {
                break;
            }
        }
    });
    read_when(async |readiness, read| {
        let readiness = smol::Async::new_nonblocking(readiness).unwrap();
        loop {
            readiness.readable().await.unwrap();
            if !read(readiness.get_ref()) {
                break;
            }
        }
    });
}

/// Raises the limit on open files, and says whether it suffices.
fn can_open(files: u64) -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.current.is_none_or(|limit| limit >= files)
}

/// Awaits the next frame through each handle, writes with `write` once all wait, and checks that one
/// thread was enough.
fn await_all(handles: Vec<Number>, write: impl FnOnce()) {
    let runtime = tokio();
    let waits = handles.len();
    let (before, watching) = threads();
    assert_eq!(watching, 0);
    let pending = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for mut handle in handles {
            let pending = Arc::clone(&pending);
            tasks.spawn(async move { noted(handle.wait_owned_async(), &pending).await.map(drop) });
        }
        while pending.load(Ordering::SeqCst) < waits {
            tokio::task::yield_now().await;
        }
        assert_eq!(threads(), (before + 1, 1));
        write();
        in_time(async {
            while let Some(done) = tasks.join_next().await {
                done.unwrap().unwrap();
            }
        })
        .await;
        assert_eq!(threads(), (before + 1, 1));
    });
    tell("done");
}

const MANY: usize = 1000;

fn many_handles(_: &[String]) {
    if !can_open(MANY as u64 + 100) {
        tell("limit");
        return;
    }
    let stream = Number::builder("one")
        .participants(MANY + 1)
        .create()
        .unwrap();
    let handles = (0..MANY).map(|_| stream.try_clone().unwrap()).collect();
    await_all(handles, || assert_eq!(stream.write(&[1]).unwrap(), 1));
}

fn many_streams(_: &[String]) {
    if !can_open(2 * MANY as u64 + 100) {
        tell("limit");
        return;
    }
    let builders = (0..MANY).map(|i| Number::builder(format!("many-{i}")).participants(2));
    let streams: Vec<_> = builders.map(|builder| builder.create().unwrap()).collect();
    let handles = streams
        .iter()
        .map(|stream| stream.try_clone().unwrap())
        .collect();
    await_all(handles, || {
        assert_eq!(watched(), MANY);
        for stream in &streams {
            stream.write(&[1]).unwrap();
        }
    });
}

#[test]
fn a_thousand_waits_take_one_thread() {
    let dir = PrivateDir::new();
    for role in ["many_handles", "many_streams"] {
        let mut command = Child::command(role, &[]);
        command.env("SHMSTREAM_DIR", dir.path());
        let child = Child::start(command);
        match child.line().as_str() {
            "done" => child.finish(),
            line => skip(role, &format!("too few open files: {line}")),
        }
    }
}

fn leave_nothing(arguments: &[String]) {
    let stream = Number::open(&arguments[0]).unwrap();
    let mut own = stream.try_clone().unwrap();
    let mut frames = stream.subscribe(Start::New).unwrap().into_frames();
    let readiness = stream.readiness().unwrap();
    assert_eq!(watched(), 1);
    block_on(async {
        let mut wait = pin!(own.wait_async());
        assert!(smol::future::poll_once(wait.as_mut()).await.is_none());
        assert!(smol::future::poll_once(frames.next()).await.is_none());
    });
    drop(readiness);
    drop(frames);
    // The handles are still there, and may wait again: the kernel watches for them a little longer.
    eventually("nobody waits, nobody watches", || watched() == 0);
    let written = async { stream.write(&[1]).unwrap() };
    let (frame, _) = block_on(smol::future::zip(own.wait_async(), written));
    assert_eq!(frame.unwrap().get(), 1);
    assert_eq!(watched(), 1);
    drop((own, stream));
    // The thread may be looking at it just now.
    eventually("no handle, no watch", || watched() == 0);
    assert_eq!(threads().1, 1);
    tell("done");
}

#[test]
fn nothing_is_left_in_the_kernel() {
    let name = Name::new("nothing-left");
    let _stream = Number::create(&name).unwrap();
    let child = Child::spawn("leave_nothing", &[&name]);
    child.expect("done");
    child.finish();
}

/// Waits with too few open files for it, one by one.
fn run_out(arguments: &[String]) {
    let mut stream = Number::open(&arguments[0]).unwrap();
    stream.write(&[1]).unwrap();
    let limit = getrlimit(Resource::Nofile);
    // The number that a file opened next would have.
    let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd();
    let next = u64::try_from(next).unwrap();
    for (files, remedy) in [(0, "ulimit -n"), (1, "fs.inotify.max_user_instances")] {
        let fewer = Rlimit {
            current: Some(next + files),
            ..limit
        };
        setrlimit(Resource::Nofile, fewer).unwrap();
        let mut wait = pin!(stream.wait_after_async(1));
        let waited = smol::future::block_on(smol::future::poll_once(wait.as_mut()));
        setrlimit(Resource::Nofile, limit).unwrap();
        match waited.expect("an error").map(drop).unwrap_err() {
            error @ Error::Limit { .. } => assert!(error.to_string().contains(remedy), "{error}"),
            error => panic!("{error}"),
        }
        assert_eq!(threads().1, 0);
    }
    let writer = stream.try_clone().unwrap();
    await_own(&mut stream, &writer);
    tell("done");
}

#[test]
fn a_limit_is_named_and_can_be_raised() {
    let name = Name::new("limit");
    let _stream = Number::create(&name).unwrap();
    let child = Child::spawn("run_out", &[&name]);
    child.expect("done");
    child.finish();
}

fn fork() -> Option<Pid> {
    // SAFETY: `fork` asks that the child of a process with several threads calls only what is
    // async-signal-safe. The child below allocates and starts threads as well, which the C library
    // here allows after a fork, and no other thread of this process is in the library at the fork
    // but its own, whose locks a child does not touch.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    Pid::from_raw(pid)
}

/// Awaits a frame, and writes it once that has begun.
fn await_own(stream: &mut Number, writer: &Number) {
    let count = writer.count();
    let written = async { writer.write(&[count + 1]).unwrap() };
    let wait = stream.wait_after_async(count);
    let (frame, _) = smol::future::block_on(smol::future::zip(wait, written));
    assert_eq!(frame.unwrap().get(), count + 1);
}

fn fork_and_await(arguments: &[String]) {
    let name = &arguments[0];
    let mut stream = Number::open(name).unwrap();
    let writer = Number::open(name).unwrap();
    let mut waiting = writer.try_clone().unwrap();
    await_own(&mut stream, &writer);
    let readiness = writer.readiness().unwrap();
    let mut frames = stream.subscribe(Start::New).unwrap().into_frames();
    let mut wait = pin!(waiting.wait_after_async(u64::MAX));
    smol::future::block_on(async {
        assert!(smol::future::poll_once(wait.as_mut()).await.is_none());
        assert!(smol::future::poll_once(frames.next()).await.is_none());
    });
    match fork() {
        None => {
            let failed = catch_unwind(AssertUnwindSafe(|| {
                // Whatever it hangs on, it goes with the test.
                set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
                assert_eq!(threads().1, 0);
                assert_eq!(watched(), 0, "the parent's queue is not the child's");
                let forked = |error| matches!(error, Error::Forked { .. });
                smol::future::block_on(async {
                    assert!(forked(wait.await.map(drop).unwrap_err()));
                    assert!(forked(frames.next().await.unwrap().map(drop).unwrap_err()));
                });
                assert!(forked(readiness.clear().unwrap_err()));
                assert!(forked(stream.readiness().map(drop).unwrap_err()));
                drop((readiness, frames));
                let mut own = Number::open(name).unwrap();
                let second = Number::open(name).unwrap();
                await_own(&mut own, &second);
                assert_eq!((threads().1, watched()), (1, 1));
            }));
            // SAFETY: `_exit` may be called at any time; it runs nothing of the parent's.
            unsafe { libc::_exit(failed.is_err().into()) }
        }
        Some(child) => {
            let (_, status) = waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
            assert_eq!(status.exit_status(), Some(0), "the forked child failed");
        }
    }
    // The parent's own waits were not disturbed.
    smol::future::block_on(async {
        let frame = frames.next().await.unwrap().unwrap();
        assert_eq!(frame[0], frame.info().count);
    });
    eventually("the parent's descriptor is readable", || {
        is_readable(&readiness)
    });
    tell("done");
}

#[test]
fn a_forked_child_waits_with_a_thread_of_its_own() {
    let name = Name::new("forked");
    let _stream = Number::create(&name).unwrap();
    let child = Child::spawn("fork", &[&name]);
    child.expect("done");
    child.finish();
}

#[test]
fn futures_move_between_threads() {
    fn send<T: Send>(_: &T) {}
    let mut stream = Number::temporary().unwrap();
    let mut other = stream.subscribe(Start::New).unwrap();
    let mut dynamic = DynStream::open(stream.name()).unwrap();
    send(&stream.wait_async());
    send(&stream.wait_owned_async());
    send(&other.wait_async());
    send(&dynamic.wait_async());
    let readiness = stream.readiness().unwrap();
    send(&readiness);
    send(&&readiness);
    let task = async move {
        let count = stream.wait_async().await.map(|frame| frame.info().count);
        let frame = stream.wait_async().await?;
        drop(frame);
        ready(()).await;
        count
    };
    send(&task);
}

#[test]
fn a_task_is_woken_when_it_has_moved() {
    let stream = Number::temporary().unwrap();
    let mut own = stream.try_clone().unwrap();
    let mut wait = Box::pin(async move { own.wait_async().await.map(|frame| frame.get()) });
    // Polled by one executor first, and then by another.
    let polled = block_on(async {
        std::future::poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await
    });
    assert!(polled.is_pending());
    let task = smol::spawn(wait);
    let mut value = 0;
    while !task.is_finished() {
        value += 1;
        stream.write(&[value]).unwrap();
    }
    assert!((1..=value).contains(&block_on(task).unwrap()));
}
