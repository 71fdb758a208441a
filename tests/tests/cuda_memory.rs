//! Device memory that outlives the process that made it: who has it hands it on, to those who may have it,
//! and it is gone with the last.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shmstream::cuda::cudarc::driver::DriverError;
use shmstream::cuda::cudarc::driver::sys::CUresult;
use shmstream::cuda::{CudaStream, Mirrored, Placement};
use shmstream::gpu::{DeviceInfo, Holders, HostHandle, Problem, Sharing};
use shmstream::{Error, Link, Stream, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, play, skip, tell};
use support::{LEN, child, child_with, context, frame_of, log_of, value};

#[test]
fn child_entry() {
    play(&[
        ("create", create),
        ("open", open),
        ("mirrored", mirrored),
        ("open_mirrored", open_mirrored),
        ("fall_back", fall_back),
        ("many", many),
        ("come_and_go", come_and_go),
        ("leave", leave),
        ("hoard", hoard),
        ("fork", fork),
        ("ends", ends),
        ("create_with_handle", create_with_handle),
        ("by_event", by_event),
        ("failed_before", failed_before),
        ("open_two", open_two),
        ("open_twice", open_twice),
        ("create_or", create_or),
        ("short_of_files", short_of_files),
        ("without_sockets", without_sockets),
        ("open_or_create", open_or_create),
        ("reachable", reachable),
    ]);
}

fn create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    serve(CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap());
}

fn open(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::open(&name, &context()) {
        Ok(stream) => serve(stream),
        Err(Error::Gpu { problem, .. }) => tell(format!("{problem:?}")),
        Err(error) => panic!("{error}"),
    }
}

/// Does as it is told with a stream.
fn serve<P: Placement>(stream: CudaStream<i64, P>) {
    let queue = stream.context().new_stream().unwrap();
    tell("ready");
    loop {
        match hear().as_str() {
            "write" => {
                let next = value(stream.count() + 1);
                tell(match stream.write(&frame_of(next)) {
                    Ok(count) => format!("wrote {count}"),
                    Err(Error::Replaced { .. }) => String::from("Replaced"),
                    Err(error) => panic!("{error}"),
                });
            }
            "read" => {
                let frame = stream.read(&queue).unwrap().expect("a frame");
                let count = frame.info().count;
                assert!(*frame.copy_to_host().unwrap() == frame_of(value(count)));
                tell(format!("frame {count}"));
            }
            _ => return,
        }
    }
}

fn started(driver: &Driver, role: &str, name: &Name) -> Child {
    let child = child(driver, role, &[name]);
    child.expect("ready");
    child
}

fn ask(server: &mut Child, wish: &str, answer: &str) {
    server.say(wish);
    server.expect(answer);
}

fn end(mut server: Child) {
    server.say("end");
    server.finish();
}

fn device(name: &Name) -> DeviceInfo {
    stat(name).unwrap().device.expect("a device")
}

/// Opening the stream fails with this.
fn refused(driver: &Driver, name: &Name, problem: &Problem) {
    let refused = child(driver, "open", &[name]);
    refused.expect(&format!("{problem:?}"));
    refused.finish();
}

fn stop(process: &Child) {
    signal(process, Signal::STOP);
    // Until it is, it could answer.
    let path = format!("/proc/{}/stat", process.pid());
    eventually("the process stops", || {
        let text = std::fs::read_to_string(&path).unwrap();
        text.rsplit(')').next().unwrap().starts_with(" T")
    });
}

fn signal(process: &Child, signal: Signal) {
    let pid = i32::try_from(process.pid()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

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
fn ends(arguments: &[String]) {
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

fn mirrored(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    serve(CudaStream::<i64, Mirrored>::create(&name, &[LEN], &context()).unwrap());
}

fn open_mirrored(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    serve(CudaStream::<i64, Mirrored>::open(&name, &context()).unwrap());
}

#[test]
fn without_descriptors_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-fallback");
    let whole = Driver::stand_in();
    let mut cases: Vec<(&Driver, &str, String)> = [
        "cuMemGetAllocationGranularity",
        "cuMemCreate",
        "cuMemExportToShareableHandle",
        "cuMemImportFromShareableHandle",
        "cuMemAddressReserve",
        "cuMemMap",
        "cuMemSetAccess",
        "cuDeviceGetAttribute:2",
    ]
    .iter()
    .map(|call| (&whole, "STANDIN_FAIL", format!("{call}=801")))
    .collect();
    for lacking in ["102=0", "103=0"] {
        cases.push((&whole, "STANDIN_ATTRIBUTES", String::from(lacking)));
    }
    let old = Driver::without("cuMemCreate");
    cases.push((&old, "STANDIN_FAIL", String::new()));
    for (driver, key, setting) in cases {
        // What cudarc asks for itself comes before.
        let log = log_of(&name);
        let settings = [
            (key, setting.clone()),
            ("STANDIN_LOG", log.path().display().to_string()),
        ];
        let mut creator = child_with(driver, &settings, "fall_back", &[&name]);
        creator.expect("ready");
        let info = device(&name);
        assert_eq!(
            (info.sharing, info.shared),
            (Sharing::Handle, true),
            "{setting}"
        );
        assert!(info.to_string().contains("by memory handle"), "{info}");
        ask(&mut creator, "write", "wrote 1");
        let mut second = started(&whole, "open", &name);
        ask(&mut second, "read", "frame 1");
        drop(second);
        end(creator);
        // Nothing of the attempts is left.
        let calls = log.calls_until("");
        let times = |call: &str| calls.iter().filter(|each| *each == call).count();
        assert!(times("cuMemRelease") >= times("cuMemExportToShareableHandle"));
        assert!(times("cuMemAddressFree") <= times("cuMemAddressReserve"));
        shmstream::unlink(&name).unwrap();
    }
}

/// Is refused a stream that is shared by descriptors, and serves one that need not be.
fn fall_back(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Descriptor);
    let Err(Error::Gpu { problem, .. }) = builder.create(&[LEN], &context) else {
        panic!("shared by descriptors");
    };
    assert!(
        matches!(problem, Problem::NoDescriptors { .. }),
        "{problem}"
    );
    assert!(problem.to_string().contains("Sharing::Handle"), "{problem}");
    assert_eq!(
        physical(),
        (0, 0),
        "descriptors and mappings of what was tried"
    );
    serve(CudaStream::<i64>::create(&name, &[LEN], &context).unwrap());
}

/// Counts this process's descriptors and mappings of the stand-in's physical memory.
fn physical() -> (usize, usize) {
    const LABEL: &str = "stand-in physical";
    let links = std::fs::read_dir("/proc/self/fd").unwrap();
    let descriptors = links
        .filter_map(|link| std::fs::read_link(link.ok()?.path()).ok())
        .filter(|path| path.to_string_lossy().contains(LABEL));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mappings = maps.lines().filter(|line| line.contains(LABEL));
    (descriptors.count(), mappings.count())
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

fn many(arguments: &[String]) {
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

fn come_and_go(arguments: &[String]) {
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

fn leave(arguments: &[String]) {
    let (name, pause): (String, u64) = (argument(arguments, 0), argument(arguments, 1));
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    tell("ready");
    let _ = hear();
    std::thread::sleep(Duration::from_micros(pause));
    drop(stream);
}

#[test]
fn one_who_is_stopped_holds_nobody_up() {
    let name = Name::new("cuda-memory-stopped");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let second = started(&driver, "open", &name);
    // The first to be asked.
    stop(&creator);
    let mut third = started(&driver, "open", &name);
    ask(&mut third, "read", "frame 1");
    third.kill();
    // And when nobody else is left, there is an end to waiting.
    stop(&second);
    let begun = Instant::now();
    refused(&driver, &name, &Problem::Unreachable(Holders::Silent));
    assert!(begun.elapsed() < DEADLINE / 2);
    // Who asked in vain left nothing with those who did not answer, not even a row.
    let alive = stat(&name).unwrap().participants;
    assert_eq!(alive.iter().filter(|one| one.alive).count(), 2);
    signal(&second, Signal::CONT);
    let mut fourth = started(&driver, "open", &name);
    ask(&mut fourth, "read", "frame 1");
    signal(&creator, Signal::CONT);
}

/// One who asks is killed, and its question lies with one who is stopped: its locks are free all the same.
#[test]
fn a_question_keeps_no_locks() {
    let name = Name::new("cuda-memory-question");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &name);
    stop(&creator);
    let mut asker = child(&driver, "open", &[&name]);
    let attached = || {
        let participants = stat(&name).unwrap().participants;
        participants.iter().filter(|one| one.alive).count()
    };
    eventually("the asker is attached", || attached() == 2);
    // Time for its question, which takes no time.
    std::thread::sleep(Duration::from_millis(100));
    asker.kill();
    assert_eq!(attached(), 1);
    creator.kill();
    assert!(!device(&name).shared);
}

#[test]
fn one_without_descriptors_answers_when_it_has_some() {
    let name = Name::new("cuda-memory-hoard");
    let driver = Driver::new();
    let mut creator = child(&driver, "hoard", &[&name]);
    creator.expect("none left");
    let comer = child(&driver, "open", &[&name]);
    // It does not matter whether it has asked before or asks after that.
    std::thread::sleep(Duration::from_millis(300));
    creator.say("go on");
    comer.expect("ready");
    end(comer);
    end(creator);
}

/// Takes all descriptors that this process can have, until it is told to go on.
fn hoard(arguments: &[String]) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
    let numbers = numbers.map(|link| link.unwrap().file_name().into_string().unwrap());
    let highest: u64 = numbers.map(|number| number.parse().unwrap()).max().unwrap();
    let limit = Rlimit {
        current: Some(highest + 10),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoarded = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoarded.push(file);
    }
    tell("none left");
    let _ = hear();
    drop(hoarded);
    let _ = hear();
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
fn fork(arguments: &[String]) {
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

/// Starts a child below a program that takes it into another namespace, if that is allowed here.
fn apart(driver: &Driver, test: &str, program: &[&str], role: &str, name: &Name) -> Option<Child> {
    let mut probe = Command::new(program[0]);
    let may = probe.args(&program[1..]).arg("true").output();
    if !may.is_ok_and(|output| output.status.success()) {
        skip(
            test,
            &format!("`{}` is not allowed here", program.join(" ")),
        );
        return None;
    }
    let mut command = Child::command_under(program, role, &[name]);
    driver.apply(&mut command);
    Some(Child::start(command))
}

#[test]
fn another_pid_namespace_makes_no_difference() {
    let test = "another_pid_namespace_makes_no_difference";
    let name = Name::new("cuda-memory-pid");
    let driver = Driver::new();
    let program = ["unshare", "--pid", "--fork", "--kill-child"];
    let mut creator = started(&driver, "create", &name);
    ask(&mut creator, "write", "wrote 1");
    let Some(mut second) = apart(&driver, test, &program, "open", &name) else {
        return;
    };
    second.expect("ready");
    ask(&mut second, "read", "frame 1");
    creator.kill();
    let mut third = started(&driver, "open", &name);
    ask(&mut third, "read", "frame 1");
}

#[test]
fn another_network_namespace_is_told_with_the_way_out() {
    let test = "another_network_namespace_is_told_with_the_way_out";
    let name = Name::new("cuda-memory-net");
    let driver = Driver::new();
    let program = ["unshare", "--net"];
    let mut creator = started(&driver, "create", &name);
    let Some(second) = apart(&driver, test, &program, "open", &name) else {
        return;
    };
    let problem = Problem::Unreachable(Holders::Elsewhere);
    second.expect(&format!("{problem:?}"));
    second.finish();
    for words in ["network namespace", "Sharing::Handle"] {
        assert!(problem.to_string().contains(words), "{problem}");
    }
    creator.kill();
    // By memory handle it works, and the other knows when the memory is gone.
    let mut creator = started(&driver, "create_with_handle", &name);
    assert_eq!(device(&name).sharing, Sharing::Handle);
    ask(&mut creator, "write", "wrote 1");
    let second = apart(&driver, test, &program, "open", &name);
    let mut second = second.expect("as before");
    second.expect("ready");
    ask(&mut second, "read", "frame 1");
    creator.kill();
    refused(&driver, &name, &Problem::ExporterGone);
}

fn create_with_handle(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Handle);
    serve(builder.create(&[LEN], &context()).unwrap());
}

#[test]
fn by_event_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-event");
    let driver = Driver::new();
    let creator = started(&driver, "by_event", &name);
    let info = device(&name);
    assert_eq!((info.sharing, info.shared), (Sharing::Handle, true));
    end(creator);
}

fn by_event(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let builder = || CudaStream::<i64>::builder(&name).events();
    let refused = builder()
        .sharing(Sharing::Descriptor)
        .create(&[LEN], &context);
    let Err(error @ Error::Invalid { .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(error.to_string().contains("by event"), "{error}");
    serve(builder().create(&[LEN], &context).unwrap());
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
fn failed_before(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let queue = context.new_stream().unwrap();
    let source = support::fill(&queue, value(2));
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

/// Writes a header into a stream's file as somebody who means harm: with its checksum.
fn forge(name: &Name, header: &[u8]) {
    let mut header = header.to_vec();
    header[16..20].fill(0);
    let schema = u32::from_ne_bytes(header[104..108].try_into().unwrap());
    let end = 256 + usize::try_from(schema).unwrap();
    let checksum = crc32fast::hash(&header[..end]);
    header[16..20].copy_from_slice(&checksum.to_ne_bytes());
    let file = std::fs::File::options().write(true).open(name.path());
    file.unwrap().write_all_at(&header[..end], 0).unwrap();
}

fn header_of(name: &Name) -> Vec<u8> {
    let file = std::fs::File::open(name.path()).unwrap();
    let mut header = vec![0; 4096];
    file.read_exact_at(&mut header, 0).unwrap();
    header
}

#[test]
fn another_stream_with_the_same_number_is_another_stream() {
    let driver = Driver::stand_in();
    for (ours, theirs) in [
        ("create", "create_with_handle"),
        ("create_with_handle", "create_with_handle"),
        ("create_with_handle", "create"),
    ] {
        let (name, other) = (
            Name::new("cuda-memory-ours"),
            Name::new("cuda-memory-theirs"),
        );
        let mut creator = started(&driver, ours, &name);
        ask(&mut creator, "write", "wrote 1");
        let mut stranger = started(&driver, theirs, &other);
        ask(&mut stranger, "write", "wrote 1");
        ask(&mut stranger, "write", "wrote 2");
        let mut header = header_of(&other);
        header[72..88].copy_from_slice(&header_of(&name)[72..88]);
        forge(&other, &header);
        let both = child(&driver, "open_two", &[&name, &other]);
        both.expect(match theirs {
            "create" => "nothing",
            _ => "its own",
        });
        both.finish();
    }
}

fn open_two(arguments: &[String]) {
    let (name, other): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let queue = context.new_stream().unwrap();
    let first = CudaStream::<i64>::open(&name, &context).unwrap();
    match CudaStream::<i64>::open(&other, &context) {
        Ok(second) => {
            let frame = second.read(&queue).unwrap().expect("a frame");
            assert!(*frame.copy_to_host().unwrap() == frame_of(value(2)));
            tell("its own");
        }
        // Its creator listens under the number that it drew.
        Err(Error::Gpu { problem, .. }) => {
            assert_eq!(problem, Problem::Unreachable(Holders::Elsewhere));
            tell("nothing");
        }
        Err(error) => panic!("{error}"),
    }
    let frame = first.read(&queue).unwrap().expect("a frame");
    assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
}

#[test]
fn a_header_that_changes_under_an_open_stream_is_damage() {
    let (name, larger) = (
        Name::new("cuda-memory-small"),
        Name::new("cuda-memory-large"),
    );
    let driver = Driver::stand_in();
    let creator = started(&driver, "create", &name);
    let mut twice = child(&driver, "open_twice", &[&name, &larger]);
    twice.expect("ready");
    let mut header = header_of(&larger);
    header[72..88].copy_from_slice(&header_of(&name)[72..88]);
    forge(&name, &header);
    twice.say("again");
    twice.expect("Corrupt");
    twice.finish();
    end(creator);
}

fn open_twice(arguments: &[String]) {
    let (name, larger): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let _larger = CudaStream::<i64>::create(&larger, &[LEN * 1024], &context).unwrap();
    let _first = CudaStream::<i64>::open(&name, &context).unwrap();
    tell("ready");
    let _ = hear();
    match CudaStream::<i64>::open(&name, &context) {
        Err(error @ Error::Corrupt { .. }) => {
            assert!(error.to_string().contains("the header"), "{error}");
            tell("Corrupt");
        }
        other => panic!("{other:?}"),
    }
}

/// By handle is for where there are no descriptors, and not for what goes wrong besides.
#[test]
fn what_would_go_wrong_by_handle_as_well_is_told() {
    let name = Name::new("cuda-memory-wrong");
    let driver = Driver::stand_in();
    for (setting, told) in [
        ("cuMemCreate=2", "allocate memory"),
        ("cuMemMap=2", "map memory"),
        ("cuMemCreate=lost", "ContextLost"),
    ] {
        let settings = [("STANDIN_FAIL", String::from(setting))];
        let refused = child_with(&driver, &settings, "create_or", &[&name]);
        refused.expect(told);
        refused.finish();
        assert!(!name.path().exists(), "{setting}");
    }
    // And whoever opens a stream is told which call was refused.
    let _creator = started(&driver, "create", &name);
    for (call, told) in [
        (
            "cuMemImportFromShareableHandle",
            "open memory by its descriptor",
        ),
        ("cuMemAddressReserve", "reserve addresses for memory"),
        ("cuMemMap", "map memory"),
        ("cuMemSetAccess", "have the device use mapped memory"),
    ] {
        let settings = [("STANDIN_FAIL", format!("{call}=801"))];
        let refused = child_with(&driver, &settings, "open", &[&name]);
        let problem = refused.line();
        assert!(
            problem.starts_with("Driver") && problem.contains(told),
            "{problem}"
        );
        refused.finish();
    }
}

/// Tells why the stream cannot be created.
fn create_or(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::Gpu { problem, .. }) => match problem {
            Problem::Driver { operation, .. } => tell(operation),
            Problem::ContextLost { .. } => tell("ContextLost"),
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lack_of_files_is_told_as_such() {
    let name = Name::new("cuda-memory-files");
    let own = Name::new("cuda-memory-files-own");
    let driver = Driver::stand_in();
    let _creator = started(&driver, "create", &name);
    child(&driver, "short_of_files", &[&name, &own]).finish();
}

/// Opens and creates with few descriptors left, from none on.
fn short_of_files(arguments: &[String]) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let (name, own): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let context = context();
    let limit = Rlimit {
        current: Some(64),
        maximum: getrlimit(Resource::Nofile).maximum,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut hoarded = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoarded.push(file);
    }
    let mut limits = 0;
    let mut check = |refused: Error| match refused {
        Error::Limit { limit, .. } if limit.contains("ulimit -n") => limits += 1,
        // The stand-in needs some itself.
        Error::Gpu {
            problem: Problem::Driver { code: 2, .. },
            ..
        } => {}
        other => panic!("{other}"),
    };
    let (mut opened, mut created) = (false, false);
    while !(opened && created) {
        match CudaStream::<i64>::open(&name, &context) {
            Ok(_) => opened = true,
            Err(error) => check(error),
        }
        match CudaStream::<i64>::create(&own, &[LEN], &context) {
            Ok(stream) => {
                let info = stream.status().unwrap().device.unwrap();
                assert_eq!(info.sharing, Sharing::Descriptor);
                stream.unlink().unwrap();
                created = true;
            }
            Err(error) => check(error),
        }
        hoarded.pop().expect("enough descriptors");
    }
    assert!(limits > 5, "{limits}");
}

#[test]
fn without_sockets_the_memory_is_shared_by_handle() {
    let name = Name::new("cuda-memory-sockets");
    let driver = Driver::stand_in();
    let creator = started(&driver, "without_sockets", &name);
    assert_eq!(device(&name).sharing, Sharing::Handle);
    end(creator);
}

/// Creates a stream where a sandbox forbids sockets.
fn without_sockets(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    forbid_sockets();
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Descriptor);
    match builder.create(&[LEN], &context) {
        Err(Error::Gpu {
            problem: problem @ Problem::NoDescriptors { .. },
            ..
        }) => assert!(problem.to_string().contains("make a socket"), "{problem}"),
        other => panic!("{other:?}"),
    }
    serve(CudaStream::<i64>::create(&name, &[LEN], &context).unwrap());
}

/// Has the kernel refuse sockets to this thread from now on.
fn forbid_sockets() {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // Load the number of the system call; is it this one; refuse it; else allow it.
    let socket = u32::try_from(libc::SYS_socket).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::EACCES).unwrap();
    let mut steps = [
        step(0x20, 0, 0, 0),
        step(0x15, 0, 1, socket),
        step(0x06, 0, 0, refuse),
        step(0x06, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: `prctl` with this asks for numbers alone.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0);
    // SAFETY: with this it reads a program of as many steps as that says, which outlive the call.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, 2, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

/// For a moment the lock is held, and nobody listens: whoever holds it is on its way out.
#[test]
fn one_who_leaves_slowly_is_waited_for() {
    let name = Name::new("cuda-memory-slowly");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &name);
    let file = std::fs::File::options()
        .read(true)
        .write(true)
        .open(name.path());
    let file = file.unwrap();
    let lock = libc::flock64 {
        l_type: i16::try_from(libc::F_RDLCK).unwrap(),
        l_whence: i16::try_from(libc::SEEK_SET).unwrap(),
        l_start: 1025,
        l_len: 1,
        l_pid: 0,
    };
    // SAFETY: `fcntl` with this command reads one `flock64`, which outlives the call.
    let locked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    assert_eq!(locked, 0);
    creator.kill();
    let comer = child(&driver, "open", &[&name]);
    std::thread::sleep(Duration::from_secs(1));
    drop(file);
    comer.expect("ExporterGone");
    comer.finish();
}

#[test]
fn many_may_open_or_create_at_once() {
    let driver = Driver::new();
    for _ in 0..3 {
        let name = Name::new("cuda-memory-crowd");
        let crowd: Vec<_> = (0..8)
            .map(|_| child(&driver, "open_or_create", &[&name]))
            .collect();
        crowd.iter().for_each(|one| one.expect("ready"));
        let alive = stat(&name).unwrap().participants;
        assert_eq!(alive.iter().filter(|one| one.alive).count(), 8);
        crowd.into_iter().for_each(end);
    }
}

fn open_or_create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let builder = CudaStream::<i64>::builder(&name);
    serve(builder.open_or_create(&[LEN], &context()).unwrap());
}

#[test]
fn others_on_the_bus_may_reach_the_memory_where_that_is_possible() {
    let name = Name::new("cuda-memory-bus");
    let driver = Driver::stand_in();
    for (key, setting, reachable) in [
        ("STANDIN_ATTRIBUTES", "110=1", true),
        ("STANDIN_ATTRIBUTES", "110=0", false),
        // An old driver does not know the attribute, the third behind the one that cudarc asks for.
        ("STANDIN_FAIL", "cuDeviceGetAttribute:4-4=1", false),
    ] {
        let settings = [(key, setting.to_owned())];
        let creator = child_with(&driver, &settings, "reachable", &[&name]);
        creator.expect(&reachable.to_string());
        creator.finish();
    }
}

fn reachable(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let stream = CudaStream::<i64>::create(&name, &[LEN], &context()).unwrap();
    assert_eq!(physical().1, 1);
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    tell(maps.contains("stand-in physical 0 reachable"));
    stream.unlink().unwrap();
}
