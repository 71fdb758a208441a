//! Device memory that outlives the process that made it: who has it hands it on, to those who may have it,
//! and it is gone with the last.

#[path = "../cuda/support.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod support;

mod asking;
mod choice;
mod forged;
mod lives;

use rustix::process::{Pid, Signal, kill_process};
use shmstream::cuda::{CudaStream, Placement};
use shmstream::gpu::{DeviceInfo, Problem};
use shmstream::{Error, stat};
use shmstream_tests::driver::Driver;
use shmstream_tests::{Child, Name, argument, eventually, hear, play, tell};

use support::{LEN, child, context, frame_of, value};

#[test]
fn child_entry() {
    play(&[
        ("create", create),
        ("open", open),
        ("mirrored", lives::mirrored),
        ("open_mirrored", lives::open_mirrored),
        ("fall_back", choice::fall_back),
        ("many", lives::many),
        ("come_and_go", lives::come_and_go),
        ("leave", lives::leave),
        ("hoard", asking::hoard),
        ("fork", lives::fork),
        ("ends", lives::ends),
        ("create_with_handle", asking::create_with_handle),
        ("by_event", choice::by_event),
        ("failed_before", lives::failed_before),
        ("open_two", forged::open_two),
        ("open_twice", forged::open_twice),
        ("create_or", choice::create_or),
        ("short_of_files", choice::short_of_files),
        ("without_sockets", choice::without_sockets),
        ("open_or_create", asking::open_or_create),
        ("reachable", choice::reachable),
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
