use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::os::shm::FileId;

/// A name that no other test uses.
fn name() -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("shmstream-sharing-{}-{number}", std::process::id()).into_bytes()
}

/// A file that is nobody else's; in place of a stream's, or of memory.
fn file() -> OwnedFd {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    rustix::fs::memfd_create("test", flags).unwrap()
}

fn kept() -> Arc<Unshared> {
    Arc::new(Unshared::new(file()).unwrap())
}

fn listening(name: &[u8]) -> Unshared {
    let socket = pass::socket().unwrap();
    assert!(pass::listen(&socket, name).unwrap());
    socket
}

/// Asks those of these names, as whoever has `file`.
fn answer<const N: usize>(
    names: [&Vec<u8>; N],
    file: impl AsFd,
) -> std::result::Result<OwnedFd, Holders> {
    let names: VecDeque<_> = names.into_iter().cloned().collect();
    let shown = shm::open_again(file).unwrap();
    let owner = rustix::process::geteuid().as_raw();
    ask::ask(names, &shown, owner).unwrap()
}

#[test]
fn who_has_the_file_gets_the_memory_from_the_first_who_answers() {
    let [stopped, holder, nobody] = [name(), name(), name()];
    let (stream, memory) = (kept(), kept());
    let _never_answers = listening(&stopped);
    let server = Server::current().unwrap();
    let offer = server.offer(listening(&holder), &stream, &memory).unwrap();
    let given = answer([&nobody, &stopped, &holder], &*stream).unwrap();
    assert_eq!(FileId::of(given), FileId::of(&*memory));
    // Not who has another file.
    let refused = answer([&holder], file());
    assert_eq!(refused.unwrap_err(), Holders::Refused);
    // Nor when nobody offers it any more.
    drop(offer);
    assert_eq!(answer([&holder], &*stream).unwrap_err(), Holders::Elsewhere);
}

#[test]
fn the_end_of_an_offer_ends_what_is_under_way() {
    let holder = name();
    let server = Server::current().unwrap();
    let offer = server.offer(listening(&holder), &kept(), &kept()).unwrap();
    let pass::Connected::To(socket) = pass::connect(&holder).unwrap() else {
        panic!("nobody listens");
    };
    drop(offer);
    let deadline = Instant::now() + Duration::from_secs(30);
    // It has not been waited for: it is hung up on at once, and not after the server's patience.
    loop {
        match pass::receive(&socket, GIVE) {
            pass::Received::Nothing => assert!(Instant::now() < deadline),
            pass::Received::Other => break,
            other => panic!("without a question: {other:?}"),
        }
        std::thread::yield_now();
    }
}

#[test]
fn nobody_and_those_who_hang_up_are_told_apart() {
    let [nobody, rude] = [name(), name()];
    let stream = file();
    assert_eq!(answer([], &stream).unwrap_err(), Holders::Elsewhere);
    assert_eq!(answer([&nobody], &stream).unwrap_err(), Holders::Elsewhere);
    let listener = listening(&rude);
    let hangs_up = std::thread::spawn(move || {
        let deadline = Instant::now() + Duration::from_secs(30);
        while pass::accept(&listener).unwrap().is_none() {
            assert!(Instant::now() < deadline);
            std::thread::yield_now();
        }
    });
    assert_eq!(
        answer([&rude, &nobody], &stream).unwrap_err(),
        Holders::Refused
    );
    hangs_up.join().unwrap();
}

#[test]
fn names_are_those_of_the_protocol() {
    let mut instance = [0; 16];
    (instance[0], instance[15]) = (0xab, 1);
    let number = NonZeroU64::new(0xc0de).unwrap();
    let name = String::from_utf8(socket_name(instance, 1023, number)).unwrap();
    let expected = "shmstream.ab000000000000000000000000000001.1023.000000000000c0de";
    assert_eq!(name, expected);
}

#[test]
fn a_lack_of_descriptors_is_told_as_a_limit() {
    let name = StreamName::new("a").unwrap();
    let refusal = |number: Errno| Lacks::Socket.refusal("make a socket", number);
    for (number, words) in [(Errno::MFILE, "ulimit -n"), (Errno::AGAIN, "ulimit -u")] {
        let error = refusal(number).on(&name);
        assert!(matches!(error, Error::Limit { .. }), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let error = refusal(Errno::ACCESS).on(&name);
    assert!(matches!(error, Error::Os { .. }), "{error}");
}

#[test]
fn a_lack_of_sockets_is_a_lack_of_descriptors_for_a_new_stream() {
    let name = StreamName::new("a").unwrap();
    for (lacks, number, otherwise) in [
        (Lacks::Socket, Errno::ACCESS, true),
        (Lacks::Socket, Errno::MFILE, false),
        (Lacks::Socket, Errno::NOMEM, false),
        (Lacks::Other, Errno::ACCESS, false),
    ] {
        let error = lacks.refusal("make a socket", number).on_new(&name);
        let told = matches!(
            error,
            Error::Gpu {
                problem: Problem::NoDescriptors { .. },
                ..
            }
        );
        assert_eq!(told, otherwise, "{error}");
    }
}

/// A child that has a socket too, for which a copy of the descriptor stands here, does not keep it watched.
#[test]
fn what_is_closed_is_not_watched_whoever_else_has_it() {
    let holder = name();
    let server = Server::start().unwrap();
    let listener = listening(&holder);
    let _ghost = rustix::io::fcntl_dupfd_cloexec(&listener, 0).unwrap();
    let offer = server.offer(listener, &kept(), &kept()).unwrap();
    assert_eq!(server.watched(), 1);
    drop(offer);
    assert_eq!(server.watched(), 0);
}

/// A socket that is closed with words which it is to deliver first is closed late. Other streams do not wait
/// for that.
#[test]
fn what_is_slow_to_close_holds_up_no_other_stream() {
    use std::net::{TcpListener, TcpStream};
    const LINGER: Duration = Duration::from_secs(6);
    let holder = name();
    let server = Server::start().unwrap();
    let listener = listening(&holder);
    let never_reads = TcpListener::bind("127.0.0.1:0").unwrap();
    let slow = TcpStream::connect(never_reads.local_addr().unwrap()).unwrap();
    slow.set_nonblocking(true).unwrap();
    while std::io::Write::write(&mut &slow, &[0; 1 << 16]).is_ok() {}
    rustix::net::sockopt::set_socket_linger(&slow, Some(LINGER)).unwrap();
    let pass::Connected::To(socket) = pass::connect(&holder).unwrap() else {
        panic!("nobody listens");
    };
    pass::send(&socket, ASK, &slow).unwrap();
    // Now it is on its way and nowhere else, so whoever takes it closes it.
    drop(slow);
    let _offer = server.offer(listener, &kept(), &kept()).unwrap();
    // Time for the thread to do so, which takes none.
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    drop(server.offer(listening(&name()), &kept(), &kept()).unwrap());
    assert!(begun.elapsed() < LINGER / 3);
    assert!(matches!(
        pass::receive(&socket, GIVE),
        pass::Received::Nothing
    ));
}
