use super::*;
use crate::layout::{Origin, Plan};
use crate::os::shm::Directory;
use crate::schema::Schema;
use crate::{DType, ShmPayload};

/// 300 bytes: a distance between slots of 384.
const FRAME: usize = 300;

#[derive(Clone, Copy, ShmPayload)]
#[shm(crate = crate)]
#[repr(C, align(256))]
struct Wide {
    bytes: [u8; 256],
}

/// A stream's file without a name, mapped.
fn mapped() -> (Region, Outlook) {
    let plan = Plan {
        schema: Schema::scalar(DType::U8).array(FRAME),
        slots: 3,
        participants: 2,
        history: 1,
        observers: false,
        huge: false,
        page: rustix::param::page_size(),
        device: None,
    };
    let origin = Origin {
        instance: [1; 16],
        created_ns: 0,
        creator_pid: 0,
        creator_uid: 0,
    };
    let (header, _) = Header::new(plan, origin).unwrap();
    let name = StreamName::new("test-region").unwrap();
    let total = header.layout.total as u64;
    let file = Directory::current().create(&name, total, 0o600).unwrap();
    let file = Unshared::new(file).unwrap();
    let region = Region::map(&name, &file, &header, Residency::default()).unwrap();
    let outlook = Outlook::map(&name, &file, &header).unwrap();
    outlook
        .map_data(&name, &file, Residency::default())
        .unwrap();
    (region, outlook)
}

fn panics<R>(work: impl FnOnce() -> R) -> bool {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(work()))).is_err()
}

#[test]
fn no_slot_is_reached_that_is_not_there() {
    let (region, _) = mapped();
    let slot = |slot| region.slot::<[u8; FRAME]>(&region.data, slot).as_ptr() as usize;
    assert_eq!(slot(2), slot(0) + 2 * 384);
    for beyond in [3, 4, 64, usize::MAX] {
        assert!(panics(|| slot(beyond)), "{beyond}");
    }
}

#[test]
fn no_payload_is_reached_that_a_slot_cannot_hold() {
    let (region, _) = mapped();
    let data = &region.data;
    assert!(!panics(|| region.slot::<[u8; 384]>(data, 2)));
    assert!(panics(|| region.slot::<[u8; 385]>(data, 0)));
    assert!(panics(|| region.slot::<[u64; 4096]>(data, 0)));
    // Aligned to what the distance between slots is no multiple of.
    assert!(panics(|| region.slot::<Wide>(data, 0)));
}

#[test]
fn an_observer_copies_from_slots_that_are_there_and_no_more_than_they_have() {
    let (_, outlook) = mapped();
    let copied = |slot, len| outlook.copy(slot, &mut vec![1; len]);
    assert!(copied(0, FRAME) && copied(2, 384) && copied(1, 0));
    for (slot, len) in [(3, 1), (usize::MAX, 1), (0, 385), (2, 1 << 20)] {
        assert!(!copied(slot, len), "{len} bytes of slot {slot}");
    }
}
