//! Models of the protocol, and for each label a weakened one that must fail.
//!
//! `RUSTFLAGS="--cfg shmstream_loom" cargo test -p shmstream --release --lib loom`
//!
//! Both roles run on spawned threads, since loom explores less of the thread that runs the model.
//! The payload is loom's `UnsafeCell`, so a read and a write that overlap fail by themselves.
//! `LOOM_MAX_PREEMPTIONS` sets how often a thread may be interrupted; without it, [`PREEMPTIONS`].
#![allow(unsafe_code)]
// Models only. loom's `UnsafeCell` lends raw pointers, and loom itself checks what is done with them:
// an access that overlaps a write fails the model.

use std::process::Command;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{Control, FrameWords, Head, Occupied, Pins, Row, Signal, Slot};
use crate::sync::{Label, Ordering, weaken};

/// Enough for every weakened model to fail.
const PREEMPTIONS: usize = 3;

/// A stream without shared memory.
struct Block {
    head: Head,
    slots: Vec<Slot>,
    rows: Vec<Row>,
    payloads: Vec<UnsafeCell<u64>>,
    /// The kernel's write lock.
    lock: Mutex<()>,
    /// The kernel's queue of sleepers.
    queue: Mutex<()>,
    woken: Condvar,
}

// SAFETY: all but `payloads` is `Sync` by itself; loom checks each access to those.
unsafe impl Sync for Block {}

impl Block {
    fn new(slots: usize, rows: usize) -> Self {
        Self {
            head: Head::new(),
            slots: (0..slots).map(|_| Slot::new()).collect(),
            rows: (0..rows).map(|_| Row::new()).collect(),
            payloads: (0..slots).map(|_| UnsafeCell::new(0)).collect(),
            lock: Mutex::new(()),
            queue: Mutex::new(()),
            woken: Condvar::new(),
        }
    }

    fn control(&self) -> Control<'_> {
        Control::new(&self.head, &self.slots, &self.rows)
    }

    /// What a writer does with the lock in hand. The payload of a frame is its count.
    fn write(&self) -> Result<u64, Occupied> {
        let control = self.control();
        let slot = control.claim(0)?;
        let count = control.count() + 1;
        self.payloads[slot].with_mut(|payload| {
            // SAFETY: the claim keeps everybody else out; loom fails the model where it does not.
            unsafe { *payload = count };
        });
        assert_eq!(control.publish(slot, FrameWords::default()), count);
        if control.notify().fire() {
            self.futex_wake();
        }
        Ok(count)
    }

    /// What a reader does.
    fn read(&self, pins: &Pins) -> Option<u64> {
        let control = self.control();
        let pinned = control.pin_latest(pins).expect("nothing is damaged")?;
        let payload = self.payloads[pinned.slot].with(|payload| {
            // SAFETY: the pin keeps writers out; loom fails the model where it does not.
            unsafe { *payload }
        });
        assert_eq!(payload, pinned.count, "a torn frame");
        pins.remove(control, pinned.slot);
        Some(pinned.count)
    }

    fn futex_wait(&self, signal: &Signal, value: u32) {
        let queue = self.queue.lock().unwrap();
        if signal.word().load(Ordering::Relaxed) == value {
            drop(self.woken.wait(queue).unwrap());
        }
    }

    fn futex_wake(&self) {
        let _queue = self.queue.lock().unwrap();
        self.woken.notify_all();
    }
}

/// A reader that was attached before, and a writer that comes round to the reader's slot again.
fn pin_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        assert!(reader.read(&Pins::new(0)).is_some());
    });
    let writer = thread::spawn(move || {
        // Occupied only if the reader pins the one slot that is not the latest.
        let _ = writer.write();
        let _ = writer.write();
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A reader that attaches while the writer writes.
fn attach_against_publish() {
    let block = Arc::new(Block::new(2, 1));
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        reader.control().attach(0, 1);
        assert!(reader.read(&Pins::new(0)).is_some());
        reader.control().detach(0);
    });
    let writer = thread::spawn(move || {
        let _ = writer.write();
        let _ = writer.write();
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A reader that is late: by the time it looks, its slot was given up, restored or rewritten.
fn late_reader() {
    let block = Arc::new(Block::new(3, 2));
    block.control().attach(0, 1);
    block.control().attach(1, 1);
    block.write().unwrap();
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        let pins = Pins::new(0);
        let first = reader.read(&pins);
        assert!(first <= reader.read(&pins), "counts run backwards");
    });
    let writer = thread::spawn(move || {
        for _ in 0..2 {
            writer
                .write()
                .expect("one reader leaves a slot free of three");
        }
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// A sleeper and a writer that publishes one frame.
fn no_lost_wake_up() {
    let block = Arc::new(Block::new(2, 1));
    block.control().attach(0, 1);
    let (reader, writer) = (Arc::clone(&block), block);
    let reader = thread::spawn(move || {
        let control = reader.control();
        let signal = control.notify();
        loop {
            let value = signal.arm();
            if control.recheck() > 0 {
                break;
            }
            reader.futex_wait(signal, value);
        }
        assert_eq!(reader.read(&Pins::new(0)), Some(1));
    });
    let writer = thread::spawn(move || {
        writer.write().unwrap();
    });
    reader.join().unwrap();
    writer.join().unwrap();
}

/// Two writers, one of which dies between its last two stores, and a reader.
fn hand_over_after_a_death() {
    let block = Arc::new(Block::new(3, 1));
    block.control().attach(0, 1);
    let (reader, dead, heir) = (Arc::clone(&block), Arc::clone(&block), block);
    let dead = thread::spawn(move || {
        let _lock = dead.lock.lock().unwrap();
        let control = dead.control();
        if control.sign_on(1) {
            control.recover();
        }
        // Up to the store that gives the slot its state; `latest` is never reached, nobody signs
        // off, and the kernel gives the lock back.
        let slot = control.claim(0).unwrap();
        let state = (control.count() + 1) << 1;
        control.slots[slot].state.store(state, Ordering::Release);
    });
    let heir = thread::spawn(move || {
        let _lock = heir.lock.lock().unwrap();
        let control = heir.control();
        if control.sign_on(2) {
            control.recover();
        }
        heir.write().unwrap();
        control.head().sign_off();
    });
    let reader = thread::spawn(move || {
        let count = reader.read(&Pins::new(0));
        assert!(count.is_none() || count == Some(1));
    });
    dead.join().unwrap();
    heir.join().unwrap();
    reader.join().unwrap();
}

/// Names the label to weaken in a child process.
const WEAKEN: &str = "SHMSTREAM_WEAKEN";

fn holds(model: fn()) {
    if let Ok(name) = std::env::var(WEAKEN) {
        let label = Label::ALL
            .into_iter()
            .find(|label| format!("{label:?}") == name);
        weaken(Some(label.expect("a label")));
    }
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(PREEMPTIONS));
    builder.check(model);
}

/// Runs a model's test in a process of its own, since loom aborts where it finds a deadlock.
fn fails_without(label: Label, test: &str) {
    let test = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test])
        .env(WEAKEN, format!("{label:?}"))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        output.contains("running 1 test"),
        "{test} did not run:\n{output}"
    );
    assert!(
        !child.status.success(),
        "{test} holds although {label:?} is weakened"
    );
}

#[test]
fn loom_pin_against_publish() {
    holds(pin_against_publish);
}

#[test]
fn loom_attach_against_publish() {
    holds(attach_against_publish);
}

#[test]
fn loom_late_reader() {
    holds(late_reader);
}

#[test]
fn loom_no_lost_wake_up() {
    holds(no_lost_wake_up);
}

#[test]
fn loom_hand_over_after_a_death() {
    holds(hand_over_after_a_death);
}

macro_rules! weakened {
    ($($test:ident: $label:ident in $model:ident;)*) => {
        $(
            #[test]
            fn $test() {
                fails_without(Label::$label, stringify!($model));
            }
        )*

        #[test]
        fn loom_every_label_is_weakened_once() {
            assert_eq!([$(Label::$label),*], Label::ALL);
        }
    };
}

weakened! {
    loom_weakened_claim: Claim in loom_pin_against_publish;
    loom_weakened_scan: Scan in loom_pin_against_publish;
    loom_weakened_publish: Publish in loom_no_lost_wake_up;
    loom_weakened_observe: Observe in loom_pin_against_publish;
    loom_weakened_pin: Pin in loom_pin_against_publish;
    loom_weakened_validate: Validate in loom_pin_against_publish;
    loom_weakened_unpin: Unpin in loom_pin_against_publish;
    loom_weakened_attach: Attach in loom_attach_against_publish;
    loom_weakened_arm: Arm in loom_no_lost_wake_up;
    loom_weakened_fire: Fire in loom_no_lost_wake_up;
    loom_weakened_recheck: Recheck in loom_no_lost_wake_up;
}
