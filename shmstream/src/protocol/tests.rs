use super::*;

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
        Control::new(&self.head, &self.slots, &self.rows)
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
    block.rows[0]
        .pins
        .store(u64::MAX, crate::sync::Ordering::Relaxed);
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
    let Err(Occupied { pinned }) = control.claim(0) else {
        panic!("all slots are the latest or pinned");
    };
    assert_eq!(pinned.count_ones(), 2);
    assert_eq!(pinned, control.pins(0) | control.pins(1));

    // A pinned slot that was tried is as it was: another reader can still be on its way to it.
    let state = &block.slots[first.slot].state;
    assert_eq!(state.load(crate::sync::Ordering::Relaxed), first.count << 1);

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
        Err(Occupied { pinned: 0 })
    );
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
fn recovers_from_a_writer_that_died_before_the_last_store() {
    let block = Block::new(3, 1);
    let control = block.control();
    let (_, count) = publish(control);
    let slot = control.claim(0).unwrap();
    let state = &block.slots[slot].state;
    state.store((count + 1) << 1, crate::sync::Ordering::Relaxed);

    assert!(!control.sign_on(4));
    assert!(control.sign_on(5), "the holder before did not sign off");
    assert_eq!(control.holder(), None, "row 5 is not in the table");
    control.recover();
    assert_eq!(state.load(crate::sync::Ordering::Relaxed) & 1, 1);
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

    latest.store(control::pack(9, 5), crate::sync::Ordering::Relaxed);
    assert!(matches!(
        control.pin_latest(&pins),
        Err(Torn { state: None, .. })
    ));
    latest.store(control::pack(9, 1), crate::sync::Ordering::Relaxed);
    assert!(matches!(
        control.pin_latest(&pins),
        Err(Torn { state: Some(0), .. })
    ));
    assert_eq!(control.pins(0), 0);

    block
        .head
        .publication
        .previous
        .store(u32::MAX, crate::sync::Ordering::Relaxed);
    assert_eq!(control.claim(0), Ok(0));
}

#[test]
fn a_signal_is_fired_once_for_all_who_armed_it() {
    let signal = Signal::new();
    assert!(!signal.fire());
    let value = signal.arm();
    assert_eq!(signal.arm(), value);
    assert!(signal.fire());
    assert!(!signal.fire());
    assert_ne!(signal.arm(), value);
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
    Control::new(&block.head, &block.slots, &block.rows[..65])
        .attached()
        .for_each(|row| {
            assert!(row < 65);
        });
}
