use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::net::socketpair;

use super::*;

const WORD: &Word = b"a word of sixtee";

fn pair() -> (OwnedFd, OwnedFd) {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
}

fn nothing() -> File {
    File::open("/dev/null").unwrap()
}

/// Sends bytes with descriptors, as no peer should.
fn send_odd(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(descriptors));
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &bytes, &mut rights, SendFlags::NOSIGNAL).unwrap();
}

#[test]
fn a_descriptor_arrives_with_its_word_and_is_closed_for_other_programs() {
    let (there, here) = pair();
    assert!(matches!(receive(&here, WORD), Received::Nothing));
    send(&there, WORD, nothing()).unwrap();
    let Received::Descriptor(descriptor) = receive(&here, WORD) else {
        panic!("nothing arrived");
    };
    let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    drop(there);
    assert!(matches!(receive(&here, WORD), Received::Other));
}

#[test]
fn other_messages_are_refused_and_their_descriptors_closed() {
    let (mut pipe, kept) = std::io::pipe().unwrap();
    let file = nothing();
    let short = &WORD[..15];
    let long = [&WORD[..], b"!"].concat();
    let wrong = *b"another of sixte";
    let one = [kept.as_fd()];
    let two = [kept.as_fd(), file.as_fd()];
    let many = [kept.as_fd(); 8];
    for (bytes, descriptors) in [
        (short, &one[..]),
        (&long, &one),
        (&wrong, &one),
        (WORD, &[]),
        (WORD, &two),
        (WORD, &many),
    ] {
        let (there, here) = pair();
        send_odd(&there, bytes, descriptors);
        let received = receive(&here, WORD);
        let label = (bytes.len(), descriptors.len());
        assert!(matches!(received, Received::Other), "{label:?}");
    }
    // Nobody has the other end of the pipe any more.
    drop(kept);
    assert_eq!(pipe.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_name_is_one_sockets_until_it_is_closed() {
    let name = format!("shmstream-test-{}", std::process::id());
    let name = name.as_bytes();
    assert!(matches!(connect(name).unwrap(), Connected::Nobody));
    let first = socket().unwrap();
    assert!(listen(&first, name).unwrap());
    assert!(!listen(&socket().unwrap(), name).unwrap());
    let Connected::To(asker) = connect(name).unwrap() else {
        panic!("nobody listens");
    };
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(Peer::of(&asker).unwrap().user, user);
    let connection = accept(&first).unwrap().expect("a connection");
    assert_eq!(Peer::of(&connection).unwrap().user, user);
    assert!(accept(&first).unwrap().is_none());
    drop(first);
    assert!(listen(&socket().unwrap(), name).unwrap());
}

#[test]
fn who_may_write_is_told_by_the_mode() {
    let peer = |user, groups: &[u32]| Peer {
        user,
        groups: groups.to_vec(),
    };
    for (peer, mode, may) in [
        (peer(1, &[]), 0o600, true),
        (peer(0, &[]), 0o600, true),
        (peer(2, &[5]), 0o600, false),
        (peer(2, &[9]), 0o600, false),
        (peer(2, &[9]), 0o660, true),
        (peer(2, &[4, 9]), 0o660, true),
        (peer(2, &[4]), 0o660, false),
        (peer(2, &[4]), 0o666, true),
        (peer(2, &[9]), 0o606, false),
        (peer(2, &[4]), 0o644, false),
    ] {
        assert_eq!(peer.may_write(1, 9, mode), may, "{peer:?}, {mode:o}");
    }
}

#[test]
fn numbers_that_stand_for_many_users_are_nobodys() {
    assert!(is_known(0, "/nowhere") && is_known(1000, "/nowhere"));
    assert!(!is_known(UNKNOWN, "/nowhere"));
    let whole = "         0          0 4294967295\n";
    let path = std::env::temp_dir().join(format!("shmstream-map-{}", std::process::id()));
    for (map, known) in [
        (whole, true),
        ("0 1000 1\n", false),
        ("0 0 65536\n", false),
        ("0 100000 4294967295\n", false),
        ("", false),
    ] {
        std::fs::write(&path, map).unwrap();
        assert_eq!(is_known(UNKNOWN, path.to_str().unwrap()), known, "{map}");
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn descriptors_for_writing_are_told_from_others() {
    let path = std::env::temp_dir().join(format!("shmstream-pass-{}", std::process::id()));
    let open = |read, write| {
        let mut options = File::options();
        options.read(read).write(write);
        is_for_writing(options.open(&path).unwrap())
    };
    std::fs::write(&path, "").unwrap();
    assert!(open(true, true));
    assert!(!open(true, false) && !open(false, true));
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let only_path = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
    assert!(!is_for_writing(only_path));
    std::fs::remove_file(&path).unwrap();
}
