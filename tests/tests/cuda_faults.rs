//! What goes wrong on a GPU and around it: each has an error that says the cause and the way out, and
//! holds nobody else up.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::process::{Pid, WaitOptions, waitpid};
use shmstream::cuda::{self, CudaStream};
use shmstream::gpu::{Availability, HostHandle, Problem, Sharing, availability};
use shmstream::{Error, Link, Start, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, PrivateDir, argument, hear, play, tell};
use support::{LEN, child, child_with, context, fill, frame_of, value};

#[test]
fn child_entry() {
    play(&[
        ("serve", serve),
        ("serve_events", serve_events),
        ("lose_writing", lose_writing),
        ("lose_reading", lose_reading),
        ("lose_following", lose_following),
        ("forks", forks),
        ("open", open),
        ("create_on", create_on),
        ("find", find),
        ("no_driver", no_driver),
        ("create", create),
    ]);
}

/// Asks for memory that goes with its creator.
const BY_HANDLE: &str = "by handle";

/// Serves a stream that it opens, or creates if there is none it can open: each line is a wish.
fn serve(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let mut builder = CudaStream::<i64>::builder(&name);
    if arguments.get(1).is_some_and(|how| how == BY_HANDLE) {
        builder = builder.sharing(Sharing::Handle);
    }
    let stream = builder.open_or_create(&[LEN], &context).unwrap();
    tell("ready");
    loop {
        match hear().as_str() {
            "write" => {
                let next = value(stream.count() + 1);
                tell(match stream.write(&frame_of(next)) {
                    Ok(count) => format!("wrote {count}"),
                    Err(error) => name_of(&error),
                });
            }
            "read" => {
                let frame = stream.read(&queue).unwrap().expect("a frame");
                let count = frame.info().count;
                assert!(*frame.copy_to_host().unwrap() == frame_of(value(count)));
                tell(format!("frame {count}"));
            }
            "lock" => tell(match stream.try_lock().unwrap() {
                Some(_) => "free",
                None => "taken",
            }),
            "wait" => tell(match stream.wait_timeout(&queue, DEADLINE) {
                Ok(Some(frame)) => format!("frame {}", frame.info().count),
                Ok(None) => String::from("nothing"),
                Err(error) => name_of(&error),
            }),
            _ => return,
        }
    }
}

/// Publishes one frame by an event that never comes, and waits to be killed.
fn serve_events(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let builder = CudaStream::<i64>::builder(&name).events();
    let stream = builder.create(&[LEN], &context).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    let source = fill(&queue, value(2));
    queue.synchronize().unwrap();
    tell("ready");
    let _ = hear();
    drop((stream, source));
}

fn name_of(error: &Error) -> String {
    match error {
        Error::Gpu { problem, .. } => problem.to_string(),
        Error::Replaced { .. } => String::from("Replaced"),
        Error::Forked { .. } => String::from("Forked"),
        error => error.to_string(),
    }
}

fn served(driver: &Driver, name: &Name) -> Child {
    let server = child(driver, "serve", &[name]);
    server.expect("ready");
    server
}

fn served_by_handle(driver: &Driver, name: &Name) -> Child {
    let server = child(driver, "serve", &[name, &BY_HANDLE]);
    server.expect("ready");
    server
}

fn ask(server: &mut Child, wish: &str, answer: &str) {
    server.say(wish);
    server.expect(answer);
}

#[test]
fn a_lost_context_gives_back_lock_and_slots() {
    let name = Name::new("cuda-lost-writer");
    let driver = Driver::stand_in();
    let mut server = served(&driver, &name);
    ask(&mut server, "write", "wrote 1");
    // The third copy of a frame loses the context, with the lock held.
    let fault = "cuMemcpyDtoDAsync_v2:3=lost";
    let settings = [("STANDIN_FAIL", fault.to_owned())];
    let mut loser = child_with(&driver, &settings, "lose_writing", &[&name]);
    loser.expect("lost");
    let on_host = HostHandle::open(&name).unwrap();
    assert!(on_host.try_lock().unwrap().is_some());
    let before = stat(&name).unwrap().count;
    for i in 1..=8 {
        ask(&mut server, "write", &format!("wrote {}", before + i));
    }
    ask(&mut server, "read", &format!("frame {}", before + 8));
    loser.say("drop");
    loser.expect("dropped");
    ask(&mut server, "write", &format!("wrote {}", before + 9));
    loser.say("end");
    loser.finish();
}

fn lose_writing(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let source = fill(&queue, value(7));
    let lock = stream.lock().unwrap();
    let error = loop {
        let publish = stream.publish(&queue, |slot, queue| queue.memcpy_dtod(&source, slot));
        if let Err(error) = publish.and_then(|_| stream.flush()) {
            break error;
        }
    };
    assert!(error.to_string().contains("drop its streams"), "{error}");
    for error in [
        stream.write(&frame_of(0)).map(drop),
        stream.flush(),
        stream.read(&queue).map(drop),
        stream.try_lock().map(drop),
    ] {
        let error = error.expect_err("a lost context");
        let Error::Gpu { problem, .. } = &error else {
            panic!("{error}");
        };
        assert!(matches!(problem, Problem::ContextLost { .. }), "{error}");
    }
    tell("lost");
    assert_eq!(hear(), "drop");
    drop(lock);
    drop(stream);
    tell("dropped");
    let _ = hear();
    // What cudarc frees in a lost context has nobody to tell.
    std::process::exit(0);
}

#[test]
fn a_reader_that_loses_its_context_gives_its_slots_back() {
    let name = Name::new("cuda-lost-reader");
    let driver = Driver::stand_in();
    let mut server = served(&driver, &name);
    let mut losers = Vec::new();
    for i in 1..=3 {
        ask(&mut server, "write", &format!("wrote {i}"));
        let settings = [("STANDIN_FAIL", "cuMemcpyDtoDAsync_v2=lost".to_owned())];
        let loser = child_with(&driver, &settings, "lose_reading", &[&name]);
        loser.expect("holds");
        losers.push(loser);
    }
    ask(&mut server, "write", "wrote 4");
    server.say("write");
    assert!(server.line().contains("slots"), "all others are held");
    // Each comes back when the loss is seen, and the handle is still there.
    for (i, loser) in losers.iter_mut().enumerate() {
        loser.say("go on");
        loser.expect("lost");
        ask(&mut server, "write", &format!("wrote {}", 5 + i));
    }
}

fn lose_reading(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frame = stream.read(&queue).unwrap().expect("a frame");
    let mut copy = support::empty(&queue);
    tell("holds");
    let _ = hear();
    assert!(frame.copy_into(&mut copy).is_err());
    tell("lost");
    let _ = hear();
    drop(frame);
    drop(stream);
    std::process::exit(0);
}

#[test]
fn who_misses_nothing_lets_go_when_it_loses_its_context() {
    let name = Name::new("cuda-lost-follower");
    let driver = Driver::stand_in();
    let mut server = served(&driver, &name);
    let settings = [("STANDIN_FAIL", "cuMemcpyDtoDAsync_v2=lost".to_owned())];
    let mut loser = child_with(&driver, &settings, "lose_following", &[&name]);
    loser.expect("follows");
    for i in 1..=4 {
        ask(&mut server, "write", &format!("wrote {i}"));
    }
    server.say("write");
    assert!(server.line().contains("lossless"), "all slots are awaited");
    loser.say("go on");
    loser.expect("lost");
    for i in 5..=9 {
        ask(&mut server, "write", &format!("wrote {i}"));
    }
    loser.say("end");
    loser.finish();
}

fn lose_following(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frames = stream.subscribe_lossless(Start::New).unwrap();
    let mut copy = support::empty(&queue);
    tell("follows");
    let _ = hear();
    let frame = frames.read(&queue).unwrap().expect("a frame");
    assert!(frame.copy_into(&mut copy).is_err());
    drop(frame);
    tell("lost");
    let _ = hear();
    drop(frames);
    std::process::exit(0);
}

#[test]
fn others_go_on_after_the_creators_death_until_there_is_an_heir() {
    let name = Name::new("cuda-dead-creator");
    let driver = Driver::new();
    let mut creator = served_by_handle(&driver, &name);
    ask(&mut creator, "write", "wrote 1");
    let mut writer = served(&driver, &name);
    let mut reader = served(&driver, &name);
    ask(&mut reader, "read", "frame 1");
    creator.kill();
    // The memory is open in both, and with the driver that keeps it.
    for i in 2..10 {
        ask(&mut writer, "write", &format!("wrote {i}"));
        ask(&mut reader, "read", &format!("frame {i}"));
    }
    let device = stat(&name).unwrap().device.expect("a device");
    assert!(!device.shared);
    assert!(
        device.to_string().contains("its process is gone"),
        "{device}"
    );
    let refused = child(&driver, "open", &[&name]);
    let line = refused.line();
    assert!(line.contains("takes the name over"), "{line}");
    refused.finish();

    let on_host = HostHandle::open(&name).unwrap();
    let mut heir = served(&driver, &name);
    ask(&mut heir, "write", "wrote 1");
    ask(&mut heir, "read", "frame 1");
    ask(&mut writer, "write", "Replaced");
    ask(&mut reader, "wait", "Replaced");
    assert_eq!(on_host.link().unwrap(), Link::Replaced);
}

#[test]
fn a_writer_that_dies_by_events_holds_no_host_up() {
    let name = Name::new("cuda-dead-events");
    let driver = Driver::new();
    let mut creator = child(&driver, "serve_events", &[&name]);
    creator.expect("ready");
    creator.kill();
    let on_host = HostHandle::open(&name).unwrap();
    assert_eq!(on_host.latest().unwrap().expect("a frame").count, 1);
    drop(on_host.lock_timeout(DEADLINE).unwrap().expect("the lock"));
    let refused = child(&driver, "open", &[&name]);
    assert!(refused.line().contains("is gone"));
    refused.finish();
}

fn open(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::open(&name, &context()) {
        Err(Error::Gpu { problem, .. }) => tell(problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forked_child_is_told_so() {
    let name = Name::new("cuda-forked");
    child(&Driver::new(), "forks", &[&name]).finish();
}

fn forks(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    let frame = stream.read(&queue).unwrap().expect("a frame");
    let lock = stream.lock().unwrap();
    let other = stream.try_clone().unwrap();
    // SAFETY: `fork` asks that the child of a process with several threads calls only what is
    // async-signal-safe. The child below allocates as well, which the C library here allows after a
    // fork, and no other thread of this process holds a lock that it takes.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    let Some(pid) = Pid::from_raw(pid) else {
        let work = || {
            let forked = |what: &str, result: shmstream::Result<()>| {
                assert!(
                    matches!(result, Err(Error::Forked { .. })),
                    "{what}: {result:?}"
                );
            };
            forked("write", stream.write(&frame_of(0)).map(drop));
            forked("publish", stream.publish(&queue, |_, _| Ok(())).map(drop));
            forked("read", stream.read(&queue).map(drop));
            forked("read_new", stream.read_new(&queue).map(drop));
            forked("wait", stream.wait(&queue).map(drop));
            forked("lock", stream.try_lock().map(drop));
            forked("flush", stream.flush());
            forked("link", stream.link().map(drop));
            forked("status", stream.status().map(drop));
            forked("clone", stream.try_clone().map(drop));
            assert_eq!(*availability(), Availability::Forked);
            let Err(Error::Gpu { problem, .. }) = CudaStream::<i64>::open(&name, &context) else {
                panic!("a stream was opened in a forked child");
            };
            assert_eq!(problem, Problem::NoGpu(Availability::Forked));
            assert!(problem.to_string().contains("exec"), "{problem}");
            drop(frame);
            drop(lock);
            drop(other);
        };
        let failed = catch_unwind(AssertUnwindSafe(work)).is_err();
        // SAFETY: `_exit` may be called at any time; it runs nothing of the parent's.
        unsafe { libc::_exit(failed.into()) }
    };
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
    assert_eq!(status.exit_status(), Some(0), "the forked child failed");
    // The parent has all that it had.
    drop((frame, lock, other));
    assert_eq!(stream.write(&frame_of(value(2))).unwrap(), 2);
    let frame = stream.read(&queue).unwrap().expect("a frame");
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(2)));
}

#[test]
fn equal_pids_of_two_containers_are_told() {
    let name = Name::new("cuda-equal-pids");
    let driver = Driver::stand_in();
    let settings = [("STANDIN_PID", String::from("1"))];
    let server = child_with(&driver, &settings, "serve", &[&name, &BY_HANDLE]);
    server.expect("ready");
    let refused = child_with(&driver, &settings, "open", &[&name]);
    let line = refused.line();
    assert!(line.contains("share a PID namespace"), "{line}");
    refused.finish();
    // With another it works.
    let settings = [("STANDIN_PID", String::from("2"))];
    let other = child_with(&driver, &settings, "serve", &[&name]);
    other.expect("ready");
    drop((server, other));
    // And where memory is shared by descriptors, no number of a process matters.
    let settings = [("STANDIN_PID", String::from("1"))];
    let mut server = child_with(&driver, &settings, "serve", &[&name]);
    server.expect("ready");
    ask(&mut server, "write", "wrote 1");
    let mut other = child_with(&driver, &settings, "serve", &[&name]);
    other.expect("ready");
    ask(&mut other, "read", "frame 1");
}

#[test]
fn a_driver_without_handles_is_explained() {
    let name = Name::new("cuda-no-handles");
    let driver = Driver::stand_in();
    let mig = "NVIDIA A100-SXM4-40GB MIG 1g.5gb";
    // As there, descriptors do not work either, whatever the attributes say.
    for (device, fault, words) in [
        ("NVIDIA A100", "cuIpcGetMemHandle=801", "--pid"),
        ("NVIDIA A100", "cuIpcGetMemHandle=800", "PID namespace"),
        ("NVIDIA A100", "cuIpcGetMemHandle=1", "stream-ordered"),
        (mig, "cuIpcGetMemHandle=801", "this is a MIG instance"),
    ] {
        let settings = [
            ("STANDIN_NAME", device.to_owned()),
            (
                "STANDIN_FAIL",
                format!("{fault},cuMemImportFromShareableHandle=801"),
            ),
        ];
        let refused = child_with(&driver, &settings, "create", &[&name]);
        let line = refused.line();
        assert!(line.contains(words), "{fault}: {line}");
        refused.finish();
    }
    // And where the other side has them.
    let server = served_by_handle(&driver, &name);
    for (fault, words) in [
        ("cuIpcOpenMemHandle_v2=801", "without IPC"),
        ("cuIpcOpenMemHandle_v2=217", "no peer access"),
        ("cuIpcOpenMemHandle_v2=2", "out of memory"),
    ] {
        let settings = [("STANDIN_FAIL", fault.to_owned())];
        let refused = child_with(&driver, &settings, "open", &[&name]);
        let line = refused.line();
        assert!(line.contains(words), "{fault}: {line}");
        refused.finish();
    }
    drop(server);
}

fn create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::Gpu { problem, .. }) => tell(problem),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_device_is_found_by_its_uuid() {
    let name = Name::new("cuda-uuid");
    let driver = Driver::stand_in();
    let setting = |key: &'static str, value: &str| (key, value.to_owned());
    for peers in ["1", "0"] {
        let name = format!("{name}-{peers}");
        let devices = [
            setting("STANDIN_DEVICES", "3"),
            setting("STANDIN_PEERS", peers),
        ];
        let creator = child_with(&driver, &devices, "create_on", &[&name, &2]);
        creator.expect("created");
        for (visible, expected) in [
            ("0,2,1", "device 1"),
            ("2", "device 0"),
            ("0,1,2", "device 2"),
        ] {
            let mut settings = devices.to_vec();
            settings.push(setting("CUDA_VISIBLE_DEVICES", visible));
            let found = child_with(&driver, &settings, "find", &[&name]);
            found.expect(expected);
            found.finish();
        }
        let mut settings = devices.to_vec();
        settings.push(setting("CUDA_VISIBLE_DEVICES", "0,1"));
        let refused = child_with(&driver, &settings, "find", &[&name]);
        let line = refused.line();
        assert!(line.contains("CUDA_VISIBLE_DEVICES"), "{line}");
        refused.finish();
        drop(creator);
        shmstream::unlink(&name).unwrap();
    }
}

fn create_on(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = cuda::context(argument(arguments, 1)).unwrap();
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    tell("created");
    let _ = hear();
}

/// Opens the stream on its device, and is refused on each other.
fn find(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = match cuda::context_of(&name) {
        Ok(context) => context,
        Err(error) => return tell(error),
    };
    let queue = context.new_stream().unwrap();
    let stream = CudaStream::<i64>::open(&name, &context).unwrap();
    let frame = stream.read(&queue).unwrap().expect("a frame");
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
    for other in (0..3).filter(|&each| each != context.ordinal()) {
        let Ok(other) = cuda::context(other) else {
            continue;
        };
        let refused = CudaStream::<i64>::open(&name, &other);
        let Err(Error::Gpu { problem, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert!(matches!(problem, Problem::WrongDevice { .. }), "{problem}");
    }
    tell(format!("device {}", context.ordinal()));
}

#[test]
fn without_a_driver_there_is_an_error_and_no_panic() {
    let directory = PrivateDir::new();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::write(directory.path().join(name), "no library").unwrap();
    }
    let mut command = Child::command("no_driver", &[]);
    command.env("LD_LIBRARY_PATH", directory.path());
    let child = Child::start(command);
    assert!(child.line().contains("install NVIDIA's driver"));
    child.finish();
}

fn no_driver(_: &[String]) {
    match cuda::context(0) {
        Err(problem) => tell(problem),
        Ok(_) => panic!("a context without a driver"),
    }
}
