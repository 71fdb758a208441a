//! Asking for the memory: of those who are stopped, short of descriptors, far away, about to leave, or many.

use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shmstream::cuda::CudaStream;
use shmstream::gpu::{Holders, Problem, Sharing};
use shmstream::stat;
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, DEADLINE, Name, argument, eventually, hear, skip, tell};

use super::support::{LEN, child, context};
use super::{ask, device, end, refused, serve, signal, started, stop};

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
pub(super) fn hoard(arguments: &[String]) {
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

pub(super) fn create_with_handle(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let builder = CudaStream::<i64>::builder(&name).sharing(Sharing::Handle);
    serve(builder.create(&[LEN], &context()).unwrap());
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

pub(super) fn open_or_create(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let builder = CudaStream::<i64>::builder(&name);
    serve(builder.open_or_create(&[LEN], &context()).unwrap());
}
