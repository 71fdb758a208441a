//! Who asks for device memory and cannot show the stream's file for writing gets nothing, and holds nobody
//! up; who listens under a name that belongs to another is shown nothing.

#[path = "cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, chown};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use rustix::process::{Pid, Signal, kill_process};
use shmstream::cuda::CudaStream;
use shmstream::gpu::{Holders, HostHandle, Problem};
use shmstream::{Error, Stream, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{
    Child, DEADLINE, Name, argument, eventually, hear, path_of, play, skip, tell,
};
use support::{LEN, child, context, frame_of, value};

/// Users and a group that own nothing.
const READER: u32 = 40_001;
const OTHER: u32 = 40_002;
const GROUP: u32 = 40_003;

/// What `docs/protocol.md` says of questions and answers.
const ASK: &[u8] = b"shmstream ask  1";
const GIVE: &[u8] = b"shmstream give 1";

#[test]
fn child_entry() {
    play(&[
        ("create", create),
        ("open", open),
        ("open_as", open_as),
        ("stranger", stranger),
        ("squat", squat),
        ("create_anew", create_anew),
    ]);
}

fn create(arguments: &[String]) {
    let (name, mode): (String, String) = (argument(arguments, 0), argument(arguments, 1));
    let mode = u32::from_str_radix(&mode, 8).unwrap();
    let builder = CudaStream::<i64>::builder(&name).mode(mode);
    let stream = builder.create(&[LEN], &context()).unwrap();
    stream.write(&frame_of(value(1))).unwrap();
    tell("ready");
    let _ = hear();
}

fn open(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let context = context();
    let builder = CudaStream::<i64>::builder(&name).allow_other_owner();
    match builder.open(&context) {
        Ok(stream) => {
            let queue = context.new_stream().unwrap();
            let frame = stream.read(&queue).unwrap().expect("a frame");
            assert!(*frame.copy_to_host().unwrap() == frame_of(value(1)));
            drop(frame);
            tell("ready");
            let _ = hear();
        }
        Err(Error::Gpu { problem, .. }) => tell(format!("{problem:?}")),
        Err(error) => panic!("{error}"),
    }
}

/// The same as another user, who is in a group.
fn open_as(arguments: &[String]) {
    // The driver's file may be where that user finds nothing.
    let _loaded = context();
    become_user(argument(arguments, 1), OTHER, Some(GROUP));
    open(arguments);
}

fn started(driver: &Driver, role: &str, arguments: &[&dyn Display]) -> Child {
    let child = child(driver, role, arguments);
    child.expect("ready");
    child
}

/// Makes this process, which has just begun and belongs to root, one of another user and group.
fn become_user(user: u32, group: u32, other_group: Option<u32>) {
    let groups = other_group.as_slice();
    // SAFETY: `setgroups` reads as many groups as it is told, which outlive the call.
    let set = unsafe { libc::setgroups(groups.len(), groups.as_ptr()) };
    // SAFETY: `setgid` and `setuid` may be called at any time; they change all threads of this process.
    let group = unsafe { libc::setgid(group) };
    // SAFETY: as above.
    let user = unsafe { libc::setuid(user) };
    let error = io::Error::last_os_error();
    assert_eq!((set, group, user), (0, 0, 0), "{error}");
}

/// Returns whether there can be several users, and says so if not.
fn can_change_user(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(test, "only root can become another user");
    }
    root
}

/// Returns the name of the socket with this number.
fn address_of(name: &impl Display, row: usize, number: u64) -> SocketAddrUnix {
    let instance = stat(name.to_string()).unwrap().instance;
    let text = format!("shmstream.{instance:032x}.{row}.{number:016x}");
    SocketAddrUnix::new_abstract_name(text.as_bytes()).unwrap()
}

/// Returns the name of the socket of a row.
fn address(name: &impl Display, row: usize) -> SocketAddrUnix {
    address_of(name, row, number(name, row))
}

/// Returns where in the file the number of a row's socket is, as `docs/protocol.md` has it.
fn place(file: &File, row: usize) -> u64 {
    let mut header = [0; 256];
    file.read_exact_at(&mut header, 0).unwrap();
    let control = u64::from_ne_bytes(header[40..48].try_into().unwrap());
    let slots = u32::from_ne_bytes(header[64..68].try_into().unwrap());
    control + 512 + 128 * (u64::from(slots) + row as u64) + 32
}

fn number(name: &impl Display, row: usize) -> u64 {
    let file = File::open(path_of(&name.to_string())).unwrap();
    let mut number = [0; 8];
    file.read_exact_at(&mut number, place(&file, row)).unwrap();
    u64::from_ne_bytes(number)
}

fn set_number(name: &impl Display, row: usize, number: u64) {
    let file = for_writing(&path_of(&name.to_string()));
    file.write_all_at(&number.to_ne_bytes(), place(&file, row))
        .unwrap();
}

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

/// Connects to the creator of a stream.
fn connect(to: &SocketAddrUnix) -> OwnedFd {
    let socket = socket();
    set_socket_timeout(&socket, Timeout::Recv, Some(DEADLINE)).unwrap();
    rustix::net::connect(&socket, to).unwrap();
    socket
}

fn send(socket: &OwnedFd, word: &[u8], shown: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(shown));
    match rustix::net::sendmsg(
        socket,
        &[IoSlice::new(word)],
        &mut rights,
        SendFlags::NOSIGNAL,
    ) {
        // It may have been hung up on by now.
        Ok(_) | Err(Errno::PIPE) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Waits for an answer, and returns what came with it; `None` when it is the end.
fn receive(socket: &OwnedFd) -> Option<Vec<OwnedFd>> {
    let mut word = [0; 64];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut word)];
    match rustix::net::recvmsg(socket, &mut parts, &mut rights, RecvFlags::CMSG_CLOEXEC) {
        // The second: it hung up on what it had not read.
        Ok(received) if received.bytes == 0 => return None,
        Err(Errno::CONNRESET) => return None,
        result => result.unwrap(),
    };
    let messages = rights.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    Some(messages.flatten().collect())
}

/// Returns whether this word with these descriptors gets the memory.
fn is_given(from: &SocketAddrUnix, word: &[u8], shown: &[BorrowedFd<'_>]) -> bool {
    let socket = connect(from);
    send(&socket, word, shown);
    match receive(&socket) {
        Some(given) => {
            assert_eq!(given.len(), 1);
            true
        }
        None => false,
    }
}

fn for_writing(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn only_the_streams_own_file_open_for_writing_gets_the_memory() {
    let name = Name::new("cuda-strangers");
    let driver = Driver::new();
    let creator = started(&driver, "create", &[&name, &600]);
    let asked = address(&name, 0);
    let other = Stream::<u64, 1>::temporary().unwrap();
    let file = for_writing(&name.path());
    let file = file.as_fd();
    let read_only = File::open(name.path()).unwrap();
    let write_only = File::options().write(true).open(name.path()).unwrap();
    let others = for_writing(&other.path());
    let nothing = for_writing(Path::new("/dev/null"));
    let long = [ASK, b"!"].concat();
    for (label, word, shown) in [
        ("nothing", ASK, &[][..]),
        ("for reading", ASK, &[read_only.as_fd()]),
        ("for writing alone", ASK, &[write_only.as_fd()]),
        ("another stream", ASK, &[others.as_fd()]),
        ("a device", ASK, &[nothing.as_fd()]),
        ("two", ASK, &[file, file]),
        ("many", ASK, &[file; 8]),
        ("another word", b"shmstream ask  2", &[file]),
        ("half a word", &ASK[..8], &[file]),
        ("more than a word", &long, &[file]),
    ] {
        assert!(!is_given(&asked, word, shown), "{label}");
    }
    assert!(is_given(&asked, ASK, &[file]));
    // Whoever hangs up before the answer harms nobody.
    for _ in 0..10 {
        let socket = connect(&asked);
        send(&socket, ASK, &[file]);
    }
    assert!(is_given(&asked, ASK, &[file]));
    drop(creator);
}

/// This process hands memory on, as slowly as it likes: whoever waits for it holds the lock on it already, so
/// that nobody takes the name over in the moment in which the last who had it is gone.
#[test]
fn memory_on_its_way_is_somebodys() {
    let name = Name::new("cuda-strangers-way");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &[&name, &600]);
    let file = for_writing(&name.path());
    let given = {
        let socket = connect(&address(&name, 0));
        send(&socket, ASK, &[file.as_fd()]);
        receive(&socket).expect("an answer").remove(0)
    };
    // A row, and the socket that belongs to it.
    let _attached = HostHandle::open(&name).unwrap();
    let rows = stat(&name).unwrap().participants;
    let row = rows.iter().find(|one| one.pid == std::process::id());
    let row = row.unwrap().row;
    let listener = socket();
    rustix::net::bind(&listener, &address_of(&name, row, 7)).unwrap();
    rustix::net::listen(&listener, 16).unwrap();
    set_number(&name, row, 7);
    // The creator answers nobody any more, so this process is asked.
    let pid = Pid::from_raw(i32::try_from(creator.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    set_socket_timeout(&listener, Timeout::Recv, Some(DEADLINE)).unwrap();
    let mut comer = child(&driver, "open", &[&name]);
    let question = rustix::net::accept(&listener).unwrap();
    assert_eq!(receive(&question).expect("a question").len(), 1);
    creator.kill();

    assert!(stat(&name).unwrap().device.unwrap().shared);
    let taken = child(&driver, "create_anew", &[&name]);
    taken.expect("AlreadyExists");
    taken.finish();
    send(&question, GIVE, &[given.as_fd()]);
    comer.expect("ready");
    // It hands the memory on as any other.
    drop(listener);
    let second = started(&driver, "open", &[&name]);
    comer.kill();
    drop(second);
    eventually("it is gone with the last", || {
        !stat(&name).unwrap().device.unwrap().shared
    });
}

fn create_anew(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    match CudaStream::<i64>::create(&name, &[LEN], &context()) {
        Err(Error::AlreadyExists { .. }) => tell("AlreadyExists"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn those_who_say_nothing_hold_nobody_up() {
    let name = Name::new("cuda-strangers-silent");
    let driver = Driver::new();
    let _creator = started(&driver, "create", &[&name, &600]);
    let asked = address(&name, 0);
    let silent: Vec<_> = (0..150).map(|_| connect(&asked)).collect();
    let second = started(&driver, "open", &[&name]);
    drop(second);
    // And are hung up on, the first of them and the last.
    for socket in [&silent[0], &silent[149]] {
        assert!(receive(socket).is_none());
    }
}

/// Shows a file as another user, and tells whether it got the memory.
fn stranger(arguments: &[String]) {
    let (name, group): (String, u32) = (argument(arguments, 0), argument(arguments, 1));
    // Opened as root, who may.
    let file = for_writing(&path_of(&name));
    let asked = address(&name, 0);
    become_user(READER, OTHER, (group != 0).then_some(group));
    tell(is_given(&asked, ASK, &[file.as_fd()]));
}

#[test]
fn users_get_the_memory_as_the_files_mode_says() {
    if !can_change_user("users_get_the_memory_as_the_files_mode_says") {
        return;
    }
    let driver = Driver::new();
    for (mode, group, given) in [
        ("600", 0, false),
        ("600", GROUP, false),
        ("640", GROUP, false),
        ("660", 0, false),
        ("660", GROUP, true),
        ("666", 0, true),
    ] {
        let name = Name::new("cuda-strangers-mode");
        let _creator = started(&driver, "create", &[&name, &mode]);
        chown(name.path(), None, Some(GROUP)).unwrap();
        let stranger = child(&driver, "stranger", &[&name, &group]);
        assert_eq!(stranger.line(), given.to_string(), "{mode}, group {group}");
        stranger.finish();
    }
}

#[test]
fn a_group_shares_the_memory_and_asks_only_whom_it_trusts() {
    if !can_change_user("a_group_shares_the_memory_and_asks_only_whom_it_trusts") {
        return;
    }
    let name = Name::new("cuda-strangers-group");
    let driver = Driver::stand_in();
    let mut creator = started(&driver, "create", &[&name, &660]);
    chown(name.path(), None, Some(GROUP)).unwrap();
    let _second = started(&driver, "open_as", &[&name, &READER]);
    creator.kill();
    // Through another process of the same user, and of no other.
    let _third = started(&driver, "open_as", &[&name, &READER]);
    for role in ["open", "open_as"] {
        let refused = child(&driver, role, &[&name, &OTHER]);
        let problem = Problem::Unreachable(Holders::OtherUsers);
        refused.expect(&format!("{problem:?}"));
        assert!(problem.to_string().contains("owner"), "{problem}");
        refused.finish();
    }
}

/// Listens as another user under the names of rows that nobody has, and tells how much it was shown in the
/// end.
fn squat(arguments: &[String]) {
    let name: String = argument(arguments, 0);
    let names = [1, 2].map(|row| address_of(&name, row, 7));
    become_user(OTHER, OTHER, None);
    let sockets = names.map(|name| {
        let socket = socket();
        rustix::net::bind(&socket, &name).unwrap();
        rustix::net::listen(&socket, 1024).unwrap();
        socket
    });
    tell("ready");
    let _ = hear();
    let mut shown = 0;
    let mut asked = 0;
    for socket in &sockets {
        rustix::io::ioctl_fionbio(socket, true).unwrap();
        while let Ok(connection) = rustix::net::accept(socket) {
            asked += 1;
            shown += receive(&connection).map_or(0, |shown| shown.len());
        }
    }
    tell(format!("asked {}, shown {shown}", asked > 0));
}

#[test]
fn who_has_another_users_number_is_shown_nothing() {
    if !can_change_user("who_has_another_users_number_is_shown_nothing") {
        return;
    }
    let name = Name::new("cuda-strangers-squat");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &[&name, &600]);
    let mut squatter = started(&driver, "squat", &[&name]);
    // Nobody else knows their numbers, so they hand the memory on.
    let _second = started(&driver, "open", &[&name]);
    let _third = started(&driver, "open", &[&name]);
    creator.kill();
    drop(started(&driver, "open", &[&name]));
    // One who may write to the file can put any number there.
    for row in [1, 2] {
        set_number(&name, row, 7);
    }
    let refused = child(&driver, "open", &[&name]);
    let problem = Problem::Unreachable(Holders::OtherUsers);
    refused.expect(&format!("{problem:?}"));
    refused.finish();
    squatter.say("tell");
    squatter.expect("asked true, shown 0");
    squatter.finish();
}

#[test]
fn a_row_has_a_number_while_its_owner_hands_the_memory_on() {
    let name = Name::new("cuda-strangers-number");
    let driver = Driver::new();
    let mut creator = started(&driver, "create", &[&name, &600]);
    let of = |row| number(&name, row);
    let mut second = started(&driver, "open", &[&name]);
    assert!(of(0) != 0 && of(1) != 0 && of(0) != of(1));
    // What a killed one leaves leads to nobody.
    second.kill();
    let mut third = started(&driver, "open", &[&name]);
    assert!(of(1) != 0 && of(2) != 0);
    creator.kill();
    let _fourth = started(&driver, "open", &[&name]);
    third.say("end");
    third.finish();
    assert_eq!(of(2), 0);
}
