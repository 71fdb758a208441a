//! What keeps a slot from being claimed, what a claim leaves, and what a row begins with.

use super::*;

#[test]
fn a_damaged_hint_leads_to_no_slot_that_is_not_there() {
    let block = Block::new(3, 1);
    let control = block.control();
    publish(control);
    let first = &block.head.writer.first;
    for damaged in [3, 64, u32::MAX] {
        first.store(damaged, Ordering::Relaxed);
        assert_eq!(control.claim(0b111), Err(Occupied { held: 0 }));
    }
}

#[test]
fn a_frame_is_gone_with_the_claim_of_its_slot() {
    let block = Block::new(2, 1);
    let control = block.control();
    publish(control);
    publish(control);
    let claimed = control.claim(0).unwrap();
    assert_eq!(states(&block)[claimed], 1);
    // The writer dies halfway through its payload.
    control.recover();
    assert_eq!(states(&block)[claimed], 1, "what is there is no frame");
}

#[test]
fn who_awaits_nothing_holds_nothing_while_another_awaits() {
    let block = Block::new(4, 2);
    let control = block.control();
    control.attach(0, 1);
    control.attach(1, 1);
    let (before, _) = publish(control);
    let (_, latest) = publish(control);
    control.begin_to_await(&Pins::new(1), latest);
    assert_eq!(control.claim(0), Ok(before));
}

#[test]
fn nothing_is_claimed_ahead_while_somebody_awaits_frames() {
    let block = Block::new(3, 1);
    let control = block.control();
    control.attach(0, 1);
    publish(control);
    let (_, latest) = publish(control);
    control.begin_to_await(&Pins::new(0), latest + 1);
    assert_eq!(control.claim_ahead(0), None);
}

#[test]
fn nothing_is_claimed_ahead_whose_frame_is_kept() {
    let block = Block::new(4, 1);
    let control = block.control_with(keeping(3));
    publish(control);
    let (kept, _) = publish(control);
    publish(control);
    let first = &block.head.writer.first;
    first.store(u32::try_from(kept).unwrap(), Ordering::Relaxed);
    assert_eq!(control.claim_ahead(0), None);
}

#[test]
fn a_pin_is_a_reason_to_look_whether_its_owner_lives() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    let (slot, _) = publish(control);
    let pins = Pins::new(0);
    control.pin_latest(&pins).unwrap().unwrap();
    assert!(control.holds(0, 1 << slot).pinned);
    assert!(!control.holds(0, !(1 << slot)).any());
}

/// Returns what the words of a row are, without its process.
fn words(control: Control<'_>, row: usize) -> Option<[u64; 4]> {
    let mut rows = Sight::new(control).rows();
    let words = rows.find(|words| words.row == row)?;
    Some([words.pins, words.needs, words.seen, words.roles.into()])
}

#[test]
fn a_row_begins_empty_whoever_had_it_before() {
    let block = Block::new(3, 1);
    let control = block.control();
    let use_it = || {
        control.attach(0, 1);
        let pins = Pins::new(0);
        publish(control);
        control.pin_latest(&pins).unwrap().unwrap();
        control.begin_to_await(&pins, 1);
        control.note_seen(0, 1);
        #[cfg(feature = "cuda")]
        control.note_socket(0, std::num::NonZeroU64::MIN);
        assert!(!words(control, 0).unwrap().contains(&0));
    };
    // Its owner died, and the next one takes it.
    use_it();
    control.attach(0, 2);
    assert_eq!(words(control, 0), Some([0; 4]));
    assert_eq!(control.pid(0), 2);
    #[cfg(feature = "cuda")]
    assert_eq!(control.socket(0), None);
    // It was given back, or cleared behind a dead owner.
    for give_back in [Control::detach, Control::bury] {
        use_it();
        give_back(control, 0);
        assert_eq!(words(control, 0), None);
        assert_eq!((control.pins(0), control.pid(0)), (0, 0));
    }
}

#[test]
fn the_search_for_a_frame_goes_round_from_any_slot() {
    let block = Block::new(3, 1);
    let control = block.control_with(keeping(2));
    control.attach(0, 1);
    let pins = Pins::new(0);
    publish(control);
    publish(control);
    for hint in [0, 1, 2, 3, usize::MAX - 3] {
        let found = control.pin_next(&pins, 1, hint).unwrap();
        let Next::Frame(pinned) = found else {
            panic!("{found:?} from slot {hint}");
        };
        pins.remove(control, pinned.slot);
        assert_eq!(pinned.count, 1);
    }
}

#[test]
fn a_frame_that_is_nowhere_is_damage() {
    let block = Block::new(2, 1);
    let control = block.control();
    control.attach(0, 1);
    block
        .head
        .publication
        .latest
        .store(control::pack(9, 1), Ordering::Relaxed);
    let found = control.pin_next(&Pins::new(0), 9, 0);
    assert!(matches!(found, Err(Torn { .. })), "{found:?}");
    let latest = control::pack(9, 5);
    block
        .head
        .publication
        .latest
        .store(latest, Ordering::Relaxed);
    assert_eq!(Sight::new(control).look(), Err(latest));
}

#[test]
fn who_awaits_nothing_passes_by_a_frame_whose_slot_is_marked() {
    let block = Block::new(4, 1);
    let control = block.control_with(keeping(3));
    control.attach(0, 1);
    let pins = Pins::new(0);
    let (oldest, _) = publish(control);
    publish(control);
    publish(control);
    // A writer died with the mark set; only who awaits the frame waits until it is back.
    let state = &block.slots[oldest].state;
    state.store(state.load(Ordering::Relaxed) | 1, Ordering::Relaxed);
    assert_eq!(next(control, &pins, 1), Some(2));
    control.begin_to_await(&pins, 1);
    assert_eq!(control.pin_next(&pins, 1, 0), Ok(Next::Unsettled));
}

#[test]
fn in_order_there_is_nothing_before_the_first_frame_either() {
    let block = Block::new(3, 1);
    let control = block.control();
    control.attach(0, 1);
    for next in [0, 1] {
        let found = control.pin_next(&Pins::new(0), next, 0);
        assert_eq!(found, Ok(Next::NotYet));
    }
}

#[test]
fn a_guard_that_goes_leaves_the_other_slots_pinned() {
    let block = Block::new(3, 1);
    let control = block.control();
    control.attach(0, 1);
    let pins = Pins::new(0);
    let [first, second] = [(); 2].map(|()| {
        publish(control);
        control.pin_latest(&pins).unwrap().unwrap().slot
    });
    assert!(pins.remove(control, first));
    assert_eq!(control.pins(0), 1 << second);
}

#[cfg(feature = "cuda")]
#[test]
fn what_somebody_died_over_is_left_alone_for_a_while_from_when_it_is_found() {
    let block = Block::new(4, 1);
    let control = block.control();
    assert_eq!(control.left_behind(0, 100, 10), 0);
    for slot in [0, 2, 3] {
        control.note_filling(slot, true);
    }
    control.note_filling(3, false);
    // What is one's own is not left, nor found.
    assert_eq!(control.left_behind(1 << 2, 100, 10), 1);
    assert_eq!(control.left_behind(0, 109, 10), 1 | 1 << 2);
    assert_eq!(control.left_behind(0, 110, 10), 1 << 2);
    assert_eq!(control.left_behind(0, 119, 10), 0);
    // By a clock that began elsewhere.
    assert_eq!(control.left_behind(0, 3, 10), 0);
    control.note_filling(0, true);
    assert_eq!(control.left_behind(0, 0, 10), 1);
    assert_eq!(control.left_behind(0, 20, 10), 0);
    control.note_filling(0, false);
    assert_eq!(control.left_behind(0, 3, 10), 0);
}
