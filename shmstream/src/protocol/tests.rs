mod claims;

use super::*;
use crate::sync::Ordering;

/// A stream that keeps the latest frame alone.
const LATEST: Turns = Turns {
    kept: 0,
    all: false,
};

/// A control block by value.
struct Block {
    head: Head,
    slots: Vec<Slot>,
    rows: Vec<Row>,
}

impl Block {
    fn new(slots: usize, rows: usize) -> Self {
        Self {
            head: Head::new(),
            slots: (0..slots).map(|_| Slot::new()).collect(),
            rows: (0..rows).map(|_| Row::new()).collect(),
        }
    }

    fn control(&self) -> Control<'_> {
        self.control_with(LATEST)
    }

    fn control_with(&self, turns: Turns) -> Control<'_> {
        Control::new(&self.head, &self.slots, &self.rows, turns)
    }
}

fn publish(control: Control<'_>) -> (usize, u64) {
    let slot = control.claim(0).unwrap();
    (slot, control.publish(slot, FrameWords::default()))
}

#[test]
fn alternates_between_two_slots_while_nobody_pins() {
    let block = Block::new(8, 1);
    let slots: Vec<_> = (0..6).map(|_| publish(block.control()).0).collect();
    assert_eq!(slots, [0, 1, 0, 1, 0, 1]);
}

#[test]
fn pins_the_latest_and_writers_pass_it_by() {
    let block = Block::new(4, 3);
    let control = block.control();
    control.attach(2, 77);
    let pins = Pins::new(2);
    assert_eq!(control.pin_latest(&pins), Ok(None));

    let (held, count) = publish(control);
    let pinned = control.pin_latest(&pins).unwrap().unwrap();
    assert_eq!((pinned.slot, pinned.count), (held, count));
    for _ in 0..20 {
        assert_ne!(publish(control).0, held);
    }

    assert!(pins.remove(control, held));
    assert_eq!(control.pins(2), 0);
    let others = 0b1111 & !(1 << held);
    assert_eq!(control.claim(others), Ok(held));
}

#[test]
fn counts_guards_and_frees_with_the_last() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    let pins = Pins::new(0);
    publish(control);
    let first = control.pin_latest(&pins).unwrap().unwrap();
    let second = control.pin_latest(&pins).unwrap().unwrap();
    assert_eq!(first, second);
    assert!(!pins.remove(control, first.slot));
    assert_eq!(control.pins(0), 1 << first.slot);
    assert!(pins.remove(control, first.slot));
    assert_eq!(control.pins(0), 0);
}

#[test]
fn one_participant_pins_several_slots_and_loses_all_with_its_row() {
    let block = Block::new(4, 1);
    let control = block.control();
    control.attach(0, 1);
    let pins = Pins::new(0);
    let (first, _) = publish(control);
    control.pin_latest(&pins).unwrap().unwrap();
    let (second, _) = publish(control);
    control.pin_latest(&pins).unwrap().unwrap();
    assert_eq!(control.pins(0), 1 << first | 1 << second);

    control.detach(0);
    assert_eq!(control.pins(0), 0);
    // Whoever takes the row of a dead participant finds none of its pins.
    block.rows[0].pins.store(u64::MAX, Ordering::Relaxed);
    control.attach(0, 2);
    assert_eq!((control.pins(0), control.pid(0)), (0, 2));
}

#[test]
fn a_frame_comes_with_its_header() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    let frame = FrameWords {
        frame_id: 1,
        realtime_ns: 2,
        monotonic_ns: 3,
    };
    control.publish(control.claim(0).unwrap(), frame);
    let pinned = control.pin_latest(&Pins::new(0)).unwrap().unwrap();
    assert_eq!(pinned.frame, frame);
}

#[test]
fn says_which_slots_pins_hold() {
    let block = Block::new(3, 2);
    let control = block.control();
    for row in 0..2 {
        control.attach(row, 1);
    }
    let (old, new) = (Pins::new(0), Pins::new(1));
    publish(control);
    let first = control.pin_latest(&old).unwrap().unwrap();
    publish(control);
    control.pin_latest(&new).unwrap().unwrap();
    publish(control);
    let Err(Occupied { held }) = control.claim(0) else {
        panic!("all slots are the latest or pinned");
    };
    assert_eq!(held.count_ones(), 2);
    assert_eq!(held, control.pins(0) | control.pins(1));

    // A pinned slot that was tried is as it was: another reader can still be on its way to it.
    let state = &block.slots[first.slot].state;
    assert_eq!(state.load(Ordering::Relaxed), first.count << 1);

    // The owner of row 0 died: whoever finds out clears the row.
    control.detach(0);
    assert_eq!(control.claim(0), Ok(first.slot));
}

#[test]
fn leaves_loaned_slots_alone() {
    let block = Block::new(3, 1);
    let control = block.control();
    publish(control);
    let loaned = control.claim(0).unwrap();
    let other = control.claim(1 << loaned).unwrap();
    assert_ne!(loaned, other);
    assert_eq!(
        control.claim(1 << loaned | 1 << other),
        Err(Occupied { held: 0 })
    );
}

#[test]
fn claims_ahead_only_what_nobody_has_a_use_for() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    publish(control);
    let (latest, _) = publish(control);
    let ahead = control.claim_ahead(0).expect("the slot before");
    assert_ne!(ahead, latest);
    assert_eq!(control.claim_ahead(1 << ahead), None, "on loan, or latest");
    let pins = Pins::new(0);
    let pinned = control.pin_latest(&pins).unwrap().unwrap();
    publish(control);
    assert_eq!(control.claim_ahead(0), None, "pinned");
    let state = &block.slots[pinned.slot].state;
    assert_eq!(
        state.load(Ordering::Relaxed),
        pinned.count << 1,
        "as it was"
    );
    pins.remove(control, pinned.slot);
    control.begin_to_await(&pins, pinned.count);
    assert_eq!(control.claim_ahead(0), None, "awaited");
}

#[test]
fn claims_ahead_nothing_that_the_history_keeps() {
    let block = Block::new(3, 1);
    let control = block.control_with(keeping(2));
    publish(control);
    publish(control);
    let ahead = control.claim_ahead(0);
    assert_eq!(ahead, Some(2), "the slot that is neither frame's");
    control.publish(2, FrameWords::default());
    assert_eq!(control.claim_ahead(0), Some(0), "frame 1 may go");
}

#[test]
fn an_abandoned_slot_is_reused_and_never_read() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    let (slot, count) = publish(control);
    let abandoned = control.claim(0).unwrap();
    assert_ne!(slot, abandoned);
    let pins = Pins::new(0);
    let pinned = control.pin_latest(&pins).unwrap().unwrap();
    assert_eq!((pinned.slot, pinned.count), (slot, count));
    pins.remove(control, slot);
    assert_eq!(control.claim(0), Ok(abandoned));
}

#[test]
fn whoever_takes_the_lock_goes_by_what_is_the_latest() {
    let block = Block::new(3, 1);
    let control = block.control();
    let before = publish(control);
    let published = &block.head.writer.published;
    let noted = published.load(Ordering::Relaxed);
    let (latest, count) = publish(control);
    // The last holder died right behind Publish.
    published.store(noted, Ordering::Relaxed);
    control.sign_on(0);
    let others = 1 << before.0;
    assert_ne!(control.claim(others), Ok(latest));
    assert_eq!(publish(control).1, count + 1);
}

#[test]
fn recovers_from_a_writer_that_died_before_the_last_store() {
    let block = Block::new(3, 1);
    let control = block.control();
    let (_, count) = publish(control);
    let slot = control.claim(0).unwrap();
    let state = &block.slots[slot].state;
    state.store((count + 1) << 1, Ordering::Relaxed);

    assert!(!control.sign_on(4));
    assert!(control.sign_on(5), "the holder before did not sign off");
    assert_eq!(control.holder(), None, "row 5 is not in the table");
    control.recover();
    assert_eq!(state.load(Ordering::Relaxed) & 1, 1);
    control.attach(0, 1);
    let pinned = control.pin_latest(&Pins::new(0)).unwrap().unwrap();
    assert_eq!(pinned.count, count, "the latest frame stays");
    assert_eq!(publish(control).1, count + 1);
    control.head().sign_off();
    assert!(!control.sign_on(5));
}

#[test]
fn refuses_words_that_no_writer_left() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    let pins = Pins::new(0);
    let latest = &block.head.publication.latest;

    latest.store(control::pack(9, 5), Ordering::Relaxed);
    assert!(matches!(
        control.pin_latest(&pins),
        Err(Torn { state: None, .. })
    ));
    latest.store(control::pack(9, 1), Ordering::Relaxed);
    assert!(matches!(
        control.pin_latest(&pins),
        Err(Torn { state: Some(0), .. })
    ));
    assert_eq!(control.pins(0), 0);

    block.head.writer.first.store(u32::MAX, Ordering::Relaxed);
    control.sign_on(0);
    assert_eq!(control.claim(0), Ok(0));
}

#[test]
fn a_signal_is_fired_once_for_all_who_armed_it() {
    let signal = Signal::new();
    assert_eq!(signal.fire(), None);
    let value = signal.arm();
    assert_eq!(signal.arm(), value);
    let asleep = Waiting {
        asleep: true,
        watching: false,
    };
    assert_eq!(signal.fire(), Some(asleep));
    assert_eq!(signal.fire(), None);
    assert_ne!(signal.arm(), value);
    signal.watch();
    assert_eq!(signal.fire(), Some(Waiting::ALL));
    assert_eq!(signal.fire(), None);
}

#[test]
fn an_announcement_tells_sleepers_who_left_no_word() {
    let signal = Signal::new();
    let glanced = signal.glance();
    let told = signal.announce();
    assert!(told.asleep && !told.watching);
    assert_ne!(signal.glance(), glanced);
    signal.watch();
    assert_eq!(signal.announce(), Waiting::ALL);
    assert!(!signal.announce().watching, "the bit was cleared");
}

/// A stream that keeps `history` frames.
fn keeping(history: u64) -> Turns {
    Turns {
        kept: history - 1,
        all: history > 1,
    }
}

/// Pins the next frame, gives it back at once, and returns its count.
fn next(control: Control<'_>, pins: &Pins, next: u64) -> Option<u64> {
    match control.pin_next(pins, next, 0).unwrap() {
        Next::Frame(pinned) => {
            pins.remove(control, pinned.slot);
            Some(pinned.count)
        }
        Next::NotYet => None,
        Next::Unsettled => panic!("a slot is marked"),
    }
}

#[test]
fn a_history_keeps_the_last_frames_and_no_writer_comes_near_them() {
    for (slots, history) in [(5, 4), (8, 4), (64, 63), (4, 2)] {
        let block = Block::new(slots, 2);
        let control = block.control_with(keeping(history));
        control.attach(0, 1);
        let pins = Pins::new(0);
        for count in 1..200 {
            assert_eq!(publish(control).1, count);
            let oldest = (count + 1).saturating_sub(history).max(1);
            for wanted in oldest..=count {
                assert_eq!(next(control, &pins, wanted), Some(wanted));
            }
            assert_eq!(next(control, &pins, count + 1), None);
        }
        // A frame that is gone: the oldest that is left comes in its place.
        let oldest = next(control, &pins, 1).unwrap();
        assert!(oldest <= 199 + 1 - history);
        assert_eq!(next(control, &pins, oldest), Some(oldest));
    }
}

#[test]
fn frames_published_out_of_the_order_of_their_loans_are_kept_as_well() {
    let block = Block::new(6, 1);
    let control = block.control_with(keeping(4));
    control.attach(0, 1);
    let pins = Pins::new(0);
    for count in (1..100).step_by(2) {
        let first = control.claim(0).unwrap();
        let second = control.claim(1 << first).unwrap();
        control.publish(second, FrameWords::default());
        control.publish(first, FrameWords::default());
        let oldest = (count + 2_u64).saturating_sub(4).max(1);
        for wanted in oldest..=count + 1 {
            assert_eq!(next(control, &pins, wanted), Some(wanted));
        }
    }
}

#[test]
fn guards_eat_into_the_history_before_a_write_fails() {
    let block = Block::new(5, 1);
    let control = block.control_with(keeping(4));
    control.attach(0, 1);
    let pins = Pins::new(0);
    for _ in 0..4 {
        publish(control);
    }
    for _ in 0..3 {
        control.pin_latest(&pins).unwrap().unwrap();
        publish(control);
    }
    assert_eq!(control.pins(0).count_ones(), 3);
    // Three are pinned: the latest and one more are left, of which one is written.
    for _ in 0..10 {
        publish(control);
    }
    control.pin_latest(&pins).unwrap().unwrap();
    publish(control);
    let Err(Occupied { held }) = control.claim(0) else {
        panic!("all slots are the latest or pinned");
    };
    assert_eq!(held, control.pins(0));
}

#[test]
fn an_awaited_frame_is_not_overwritten_and_its_slot_is_not_even_marked() {
    for history in [1, 3] {
        let block = Block::new(4, 2);
        let control = block.control_with(keeping(history));
        control.attach(1, 1);
        let pins = Pins::new(1);
        publish(control);
        control.begin_to_await(&pins, 2);
        for _ in 2..=4 {
            publish(control);
        }
        // Frame 1 is not awaited. The others fill the three other slots.
        let (_, count) = publish(control);
        assert_eq!(count, 5);
        let before: Vec<_> = states(&block);
        let Err(Occupied { held }) = control.claim(0) else {
            panic!("three are awaited, one is the latest");
        };
        assert_eq!(held.count_ones(), 3);
        assert!(control.holds(1, held).awaited && !control.holds(1, held).pinned);
        assert_eq!(states(&block), before);
        for wanted in 2..=5 {
            assert_eq!(next(control, &pins, wanted), Some(wanted));
            control.await_from(&pins, wanted + 1);
            publish(control);
        }
        // The subscriber dies: its row is cleared, and the writer is free again.
        for _ in 0..2 {
            let _ = control
                .claim(0)
                .map(|slot| control.publish(slot, FrameWords::default()));
        }
        control.bury(1);
        for _ in 0..20 {
            publish(control);
        }
        assert_eq!(block.head.writer.awaited.load(Ordering::Relaxed), 0);
    }
}

fn states(block: &Block) -> Vec<u64> {
    let states = block.slots.iter().map(|slot| &slot.state);
    states.map(|state| state.load(Ordering::Relaxed)).collect()
}

#[test]
fn a_frame_whose_slot_was_only_marked_is_back_after_the_writers_death() {
    let block = Block::new(4, 1);
    let control = block.control_with(keeping(2));
    control.attach(0, 1);
    let pins = Pins::new(0);
    for _ in 0..4 {
        publish(control);
    }
    control.begin_to_await(&pins, 2);
    let marked = states(&block).iter().position(|&state| state == 4).unwrap();
    block.slots[marked].state.store(5, Ordering::Relaxed);
    assert_eq!(control.pin_next(&pins, 2, 0), Ok(Next::Unsettled));
    control.recover();
    assert_eq!(next(control, &pins, 2), Some(2));

    // Once it was touched it is gone.
    block.slots[marked].state.store(1, Ordering::Relaxed);
    control.recover();
    assert_eq!(next(control, &pins, 2), Some(3));
}

#[test]
fn the_publisher_is_known_until_its_row_is_given_back() {
    let block = Block::new(2, 3);
    let control = block.control();
    assert_eq!(control.publisher(), Publisher::Nobody);
    for row in 0..2 {
        control.attach(row, 1);
        control.sign_on(row);
        control.note_publisher(row);
        control.head().sign_off();
    }
    assert_eq!(control.publisher(), Publisher::Row(1));
    control.detach(0);
    assert_eq!(control.publisher(), Publisher::Row(1));
    control.detach(1);
    assert_eq!(control.publisher(), Publisher::Gone);
    control.attach(1, 1);
    control.note_publisher(1);
    control.bury(1);
    assert_eq!(control.publisher(), Publisher::Dead);
    control.attach(1, 1);
    control.note_publisher(1);
    control.attach(1, 2);
    assert_eq!(control.publisher(), Publisher::Dead, "another has the row");
}

#[test]
fn an_observer_sees_what_changes_under_its_hands() {
    let block = Block::new(2, 1);
    let control = block.control();
    let sight = Sight::new(control);
    assert_eq!(sight.look(), Ok(None));
    publish(control);
    let first = sight.look().unwrap().unwrap();
    assert_eq!((first.slot, first.count), (0, 1));
    assert!(sight.is_still(first));
    publish(control);
    assert!(sight.is_still(first), "the other slot was written");
    let claimed = control.claim(0).unwrap();
    assert!(!sight.is_still(first), "its slot is being rewritten");
    control.publish(claimed, FrameWords::default());
    assert!(!sight.is_still(first));
    assert_eq!(sight.look().unwrap().unwrap().count, 3);
    block.slots[claimed].state.store(9, Ordering::Relaxed);
    assert!(sight.look().is_err());
}

#[test]
fn attached_rows_are_those_with_a_bit_and_a_place() {
    let block = Block::new(2, 70);
    let control = block.control();
    for row in [0, 63, 64, 69] {
        control.attach(row, 1);
    }
    assert_eq!(control.attached().collect::<Vec<_>>(), [0, 63, 64, 69]);
    control.detach(63);
    assert_eq!(control.attached().collect::<Vec<_>>(), [0, 64, 69]);
    // Bits past the table, which only a stray write sets, are passed over.
    Control::new(&block.head, &block.slots, &block.rows[..65], LATEST)
        .attached()
        .for_each(|row| {
            assert!(row < 65);
        });
}

#[test]
fn a_first_slot_that_is_not_there_leads_nowhere() {
    let block = Block::new(3, 1);
    let control = block.control();
    control.attach(0, 1);
    let pins = Pins::new(0);
    for _ in 0..2 {
        publish(control);
        control.pin_latest(&pins).unwrap().unwrap();
    }
    publish(control);
    for first in [3, 64, 1000, u32::MAX] {
        let hint = &block.head.writer.first;
        hint.store(first, Ordering::Relaxed);
        let Err(Occupied { held }) = control.claim(0) else {
            panic!("two are pinned, one is the latest");
        };
        assert_eq!(held, control.pins(0));
    }
}

#[test]
fn when_kept_frames_must_go_the_oldest_goes() {
    let block = Block::new(5, 1);
    let control = block.control_with(keeping(4));
    control.attach(0, 1);
    let pins = Pins::new(0);
    for _ in 0..2 {
        publish(control);
        control.pin_latest(&pins).unwrap().unwrap();
    }
    for _ in 3..=5 {
        publish(control);
    }
    // Frames 1 and 2 are pinned, 3 to 5 are the history: of these, 3 has to go.
    publish(control);
    assert_eq!(next(control, &pins, 3), Some(4));
    for count in 4..=6 {
        assert_eq!(next(control, &pins, count), Some(count));
    }
}

#[test]
fn who_is_gone_is_named_no_more() {
    let block = Block::new(2, 2);
    let control = block.control();
    for leave in [Control::detach, Control::bury] {
        control.attach(1, 77);
        control.begin_to_await(&Pins::new(1), 5);
        control.note_seen(1, 4);
        assert_eq!(control.pid(1), 77);
        leave(control, 1);
        assert_eq!(control.pid(1), 0);
        assert_eq!(control.attached().count(), 0);
        // And whoever has the row next begins with nothing.
        control.attach(1, 78);
        let row = Sight::new(control).rows().next().unwrap();
        assert_eq!((row.pid, row.roles), (78, 0));
        assert_eq!((row.needs, row.seen, row.pins), (0, 0, 0));
        leave(control, 1);
    }
}
