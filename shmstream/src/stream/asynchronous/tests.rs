use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream as _;

use super::{AsyncSource, Watch};
use crate::protocol::{Head, Slot};
use crate::stream::file::write_at;
use crate::{Error, Start, Stream};

type Number = Stream<u64, 1>;

/// A task that counts how often it is woken.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn woken(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>, task: &Arc<Task>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(task));
    future.poll(&mut Context::from_waker(&waker))
}

const DEADLINE: Duration = Duration::from_secs(60);

fn block_on<F: Future>(future: F) -> F::Output {
    let late = async {
        smol::Timer::after(DEADLINE).await;
        panic!("in vain")
    };
    smol::block_on(smol::future::or(future, late))
}

fn eventually(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Does what a writer has done that is killed between publishing a frame and telling of it.
fn write_and_die(stream: &Number, value: u64) {
    let waiting = stream.handle.control().notify().fire();
    assert!(waiting.is_some_and(|waiting| waiting.watching));
    stream.write(&[value]).unwrap();
}

#[test]
fn a_frame_that_its_writer_told_nobody_of_is_found() {
    let stream = Number::temporary().unwrap();
    let mut own = stream.try_clone().unwrap();
    let task = Arc::new(Task::default());
    let mut wait = pin!(own.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    let readiness = stream.readiness().unwrap();
    write_and_die(&stream, 7);
    assert_eq!(block_on(wait).unwrap().get(), 7);
    // The descriptor as well.
    eventually("the descriptor is readable", || {
        let mut count = [0; 8];
        rustix::io::read(&readiness, &mut count).is_ok()
    });
}

#[test]
fn a_frame_comes_once_its_slot_is_not_marked_any_more() {
    let stream = Number::temporary().unwrap();
    let mut frames = stream.subscribe_lossless(Start::New).unwrap();
    stream.write(&[1]).unwrap();
    let slot = {
        let control = stream.handle.control();
        control
            .pin_latest(&stream.handle.pins)
            .unwrap()
            .unwrap()
            .slot
    };
    stream.write(&[2]).unwrap();
    // A writer marks the slot of the first frame, and looks who awaits it.
    let handle = AsyncSource::handle(&frames).0;
    let state = handle.header().layout.control + size_of::<Head>() + slot * size_of::<Slot>();
    let file = Arc::clone(&handle.file);
    let set = |value: u64| write_at(&*file, &value.to_ne_bytes(), state).unwrap();
    set(3);
    let task = Arc::new(Task::default());
    let mut wait = pin!(frames.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    // Then it restores it, and tells nobody.
    set(2);
    eventually("the task looks again by itself", || task.woken() == 1);
    assert_eq!(block_on(wait).unwrap().get(), 1);
    assert_eq!(block_on(frames.wait_async()).unwrap().get(), 2);
}

#[test]
fn the_last_waker_is_woken_and_a_dropped_future_leaves_none() {
    let stream = Number::temporary().unwrap();
    let mut own = stream.try_clone().unwrap();
    let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
    {
        let mut wait = pin!(own.wait_async());
        assert!(poll_once(wait.as_mut(), &first).is_pending());
        assert!(poll_once(wait.as_mut(), &second).is_pending());
        assert_eq!(Arc::strong_count(&first), 1);
        stream.write(&[1]).unwrap();
        eventually("the task is woken", || second.woken() == 1);
        assert_eq!(first.woken(), 0);
        assert!(poll_once(wait.as_mut(), &second).is_ready());
    }
    {
        let mut wait = pin!(own.wait_async());
        assert!(poll_once(wait.as_mut(), &first).is_pending());
        assert_eq!(Arc::strong_count(&first), 2);
    }
    eventually("no waker is left", || Arc::strong_count(&first) == 1);
    assert!(own.handle.watch().unwrap().is_idle());
}

#[test]
fn the_kernel_watches_while_somebody_waits() {
    let stream = Number::temporary().unwrap();
    let mut own = stream.try_clone().unwrap();
    let mut other = stream.try_clone().unwrap();
    let task = Arc::new(Task::default());
    let mut wait = pin!(own.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    {
        let mut cancelled = pin!(other.wait_async());
        assert!(poll_once(cancelled.as_mut(), &task).is_pending());
    }
    let watch = Arc::clone(other.handle.watch().unwrap());
    assert!(Arc::ptr_eq(&watch, stream.handle.watch().unwrap()));
    assert!(watch.is_watched());
    stream.write(&[1]).unwrap();
    assert_eq!(block_on(wait).unwrap().get(), 1);
    eventually("nobody waits, nobody watches", || !watch.is_watched());
    // And again.
    let mut wait = pin!(own.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    assert!(watch.is_watched());
    stream.write(&[2]).unwrap();
    assert_eq!(block_on(wait).unwrap().get(), 2);
}

#[test]
fn who_has_a_frame_waits_no_more() {
    let stream = Number::temporary().unwrap();
    let mut frames = stream.try_clone().unwrap().into_frames();
    let task = Arc::new(Task::default());
    let waker = Waker::from(Arc::clone(&task));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut frames).poll_next(&mut context).is_pending());
    write_and_die(&stream, 1);
    assert!(Pin::new(&mut frames).poll_next(&mut context).is_ready());
    assert!(stream.handle.watch().unwrap().is_idle());
}

/// Waits until `prepared` holds for the watch of a wait that has begun, ended too if `ended`, gives
/// the name to another stream, and expects that to be noticed.
fn notice_replacement(ended: bool, prepared: fn(&Watch) -> bool) {
    let old = Number::temporary().unwrap();
    let mut own = old.try_clone().unwrap();
    let watch = Arc::clone(own.handle.watch().unwrap());
    let task = Arc::new(Task::default());
    let mut wait = Box::pin(own.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    if ended {
        drop(wait);
        wait = Box::pin(own.wait_async());
    }
    eventually("the watch is prepared", || prepared(&watch));
    old.unlink().unwrap();
    let _new = Unlinked(Number::create(old.name()).unwrap());
    assert!(matches!(block_on(wait), Err(Error::Replaced { .. })));
}

/// A stream that loses its name on drop, also by a panic.
struct Unlinked(Number);

impl Drop for Unlinked {
    fn drop(&mut self) {
        let _ = self.0.unlink();
    }
}

#[test]
fn a_name_that_is_lost_during_the_wait_is_looked_for() {
    notice_replacement(false, |watch| !watch.is_doubtful());
}

#[test]
fn a_name_that_was_lost_between_waits_is_looked_for() {
    notice_replacement(true, |watch| !watch.is_watched());
}

#[test]
fn an_event_without_news_wakes_nobody() {
    let stream = Number::temporary().unwrap();
    let mut own = stream.try_clone().unwrap();
    let task = Arc::new(Task::default());
    let mut wait = pin!(own.wait_async());
    assert!(poll_once(wait.as_mut(), &task).is_pending());
    // As a writer that finds the bit of a wait that has ended meanwhile.
    let signal = stream.handle.control().notify();
    assert!(signal.fire().is_some_and(|waiting| waiting.watching));
    let nudge = stream.handle.header().layout.control + Head::NUDGE_OFFSET;
    crate::os::event::nudge(&*stream.handle.file, nudge as u64);
    // The thread sets the bit anew, without having woken anybody.
    let is_set = || signal.fire().is_some_and(|waiting| waiting.watching);
    eventually("the thread watches on", is_set);
    assert_eq!(task.woken(), 0);
    stream.write(&[1]).unwrap();
    assert_eq!(block_on(wait).unwrap().get(), 1);
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn a_future_is_not_polled_twice() {
    let mut stream = Number::temporary().unwrap();
    stream.write(&[1]).unwrap();
    let mut wait = pin!(stream.wait_async());
    let task = Arc::new(Task::default());
    assert!(poll_once(wait.as_mut(), &task).is_ready());
    let _ = poll_once(wait.as_mut(), &task);
}
