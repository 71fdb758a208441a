use proptest::prelude::*;

use super::*;
use crate::dtype::DType;
use crate::schema::Field;

const PAGE: usize = 4096;

fn plan(schema: Schema) -> Plan {
    Plan {
        schema,
        slots: 4,
        participants: 64,
        history: 1,
        observers: false,
        huge: false,
        page: PAGE,
        device: None,
    }
}

fn bytes(len: usize) -> Schema {
    Schema::scalar(DType::U8).array(len)
}

fn origin() -> Origin {
    Origin {
        instance: [7; 16],
        created_ns: 1,
        creator_pid: 2,
        creator_uid: 3,
    }
}

fn sample() -> (Header, Vec<u8>) {
    let fields = vec![
        Field::new("time", 0, Schema::scalar(DType::F64)),
        Field::new("gain", 8, Schema::scalar(DType::F32).array(2)),
    ];
    Header::new(
        plan(Schema::structure("Sample", 16, 8, fields).array(3)),
        origin(),
    )
    .unwrap()
}

fn decode(bytes: &[u8], file_len: usize) -> Result<Header, Defect> {
    Header::decode(bytes, file_len as u64, PAGE)
}

#[test]
fn reads_back_what_it_wrote() {
    let (header, bytes) = sample();
    assert_eq!(
        header_len(&bytes, header.layout.total as u64),
        Ok(bytes.len())
    );
    assert_eq!(decode(&bytes, header.layout.total), Ok(header));
}

#[test]
fn small_frames_take_lines_and_large_ones_pages() {
    let stride = |len| Layout::new(&plan(bytes(len)), 100).unwrap().stride;
    assert_eq!(stride(1), 128);
    assert_eq!(stride(129), 256);
    assert_eq!(stride(PAGE - 1), PAGE);
    assert_eq!(stride(PAGE + 1), 2 * PAGE);
}

#[test]
fn overhead_at_the_defaults_is_four_pages() {
    let layout = Layout::new(&plan(bytes(PAGE)), 100).unwrap();
    assert_eq!(layout.total - 4 * PAGE, 4 * PAGE);
}

#[test]
fn refuses_what_does_not_fit_the_address_space() {
    assert_eq!(Layout::new(&plan(bytes(usize::MAX)), 100), None);
    assert_eq!(
        Layout::new(&plan(bytes(isize::MAX.unsigned_abs() / 3)), 100),
        None
    );
    let refused = Header::new(plan(bytes(isize::MAX.unsigned_abs() / 3)), origin());
    assert_eq!(refused.unwrap_err(), PlanDefect::TooLarge);
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let (header, bytes) = sample();
    let total = header.layout.total;
    assert_eq!(decode(&[], 0), Err(Defect::Foreign("it is empty")));
    assert!(matches!(
        decode(b"something else", 14),
        Err(Defect::Foreign(_))
    ));
    assert!(matches!(
        decode(&bytes[..100], 100),
        Err(Defect::Corrupt("its file", _))
    ));
    assert!(matches!(
        decode(&bytes, total - 1),
        Err(Defect::Corrupt("its file", _))
    ));

    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        decode(&bytes, total).unwrap_err()
    };
    assert!(matches!(with(8, 9), Defect::Other("byte order", ..)));
    assert_eq!(
        with(12, 9),
        Defect::Other("format version", 9, VERSION.into())
    );
    assert!(matches!(
        Header::decode(&bytes, total as u64, 65536),
        Err(Defect::Other(..))
    ));
    assert!(matches!(
        with(72, 5),
        Defect::Corrupt("the header's checksum", _)
    ));
}

#[test]
fn names_the_field_that_a_signed_header_has_wrong() {
    let (header, bytes) = sample();
    let field = |edit: fn(&mut RawHeader)| {
        let mut bytes = bytes.clone();
        edit(RawHeader::mut_from_bytes(&mut bytes[..HEADER_LEN]).unwrap());
        sign(&mut bytes);
        corrupt_field(&bytes, header.layout.total)
    };
    let lengths = "the length of the schema";
    assert_eq!(field(|raw| raw.schema_len = (1 << 20) + 1), lengths);
    assert_eq!(field(|raw| raw.flags |= 8), "the flags");
    assert_eq!(field(|raw| raw.slots = 1), "the number of slots");
    assert_eq!(field(|raw| raw.slots = 65), "the number of slots");
    let participants = "the number of participants";
    assert_eq!(field(|raw| raw.participants = 0), participants);
    assert_eq!(field(|raw| raw.history = 0), "the history");
    assert_eq!(field(|raw| raw.history = raw.slots), "the history");
    let control = "the offset of the control block";
    assert_eq!(field(|raw| raw.control += 4096), control);
    assert_eq!(field(|raw| raw.data += 4096), "the offset of the data");
    assert_eq!(field(|raw| raw.stride *= 2), "the distance between slots");
    assert_eq!(field(|raw| raw.total += 4096), "the total size");
    let reserved = "the reserved part of the header";
    assert_eq!(field(|raw| raw.reserved[31] = 1), reserved);
}

#[test]
fn refuses_a_frame_without_dimensions() {
    let (header, mut bytes) = sample();
    // A scalar: no dimensions, and the code of its dtype.
    let schema = Schema::scalar(DType::U8).encode().unwrap();
    bytes.truncate(HEADER_LEN);
    let raw = RawHeader::mut_from_bytes(&mut bytes[..]).unwrap();
    raw.schema_len = u32::try_from(schema.len()).unwrap();
    bytes.extend(schema);
    sign(&mut bytes);
    assert_eq!(corrupt_field(&bytes, header.layout.total), "the schema");
}

fn corrupt_field(bytes: &[u8], file_len: usize) -> &'static str {
    match decode(bytes, file_len).unwrap_err() {
        Defect::Corrupt(field, _) => field,
        other => panic!("{other:?}"),
    }
}

/// Gives a header that was changed the checksum that it needs.
fn sign(bytes: &mut [u8]) {
    let (fixed, schema) = bytes.split_at_mut(HEADER_LEN);
    let raw = RawHeader::mut_from_bytes(fixed).unwrap();
    raw.checksum = 0;
    raw.checksum = checksum(raw, schema);
}

/// Each check is met by a header in which nothing else is wrong, as far as that can be.
#[test]
fn each_field_of_a_forged_header_is_checked_by_itself() {
    let sample = || sample().1;
    let u32_at = |at: usize, value: u32| (at, value.to_ne_bytes().to_vec());
    let u64_at = |at: usize, value: u64| (at, value.to_ne_bytes().to_vec());
    for (field, (at, value)) in [
        ("the number of slots", u32_at(64, 0)),
        ("the number of slots", u32_at(64, 1)),
        ("the number of slots", u32_at(64, 65)),
        ("the number of slots", u32_at(64, u32::MAX)),
        ("the number of participants", u32_at(68, 0)),
        ("the number of participants", u32_at(68, 1025)),
        ("the number of participants", u32_at(68, u32::MAX)),
        (
            "the length of the schema",
            u32_at(104, u32::try_from(MAX_SCHEMA).unwrap() + 1),
        ),
        ("the length of the schema", u32_at(104, u32::MAX)),
        ("the history", u32_at(108, 0)),
        ("the history", u32_at(108, 4)),
        ("the history", u32_at(108, 64)),
        ("the flags", u32_at(20, 8)),
        ("the flags", u32_at(20, 1 << 31)),
        ("the offset of the control block", u64_at(40, 0)),
        ("the offset of the control block", u64_at(40, u64::MAX)),
        ("the offset of the data", u64_at(48, PAGE as u64)),
        ("the distance between slots", u64_at(56, 0)),
        ("the total size", u64_at(32, 0)),
        ("the reserved part of the header", (112, vec![1])),
        ("the reserved part of the header", (255, vec![1])),
    ] {
        let mut bytes = sample();
        bytes[at..at + value.len()].copy_from_slice(&value);
        sign(&mut bytes);
        let refused = decode(&bytes, total());
        let found = match &refused {
            Err(Defect::Corrupt(found, _)) => *found,
            other => panic!("{field}: {other:?}"),
        };
        assert_eq!(found, field, "{value:?}: {refused:?}");
    }
    // A scalar where a frame is an array.
    let scalar = plan(Schema::scalar(DType::U64));
    let (header, bytes) = Header::new(scalar, origin()).unwrap();
    let refused = decode(&bytes, header.layout.total).unwrap_err();
    let Defect::Corrupt("the schema", value) = refused else {
        panic!("{refused:?}");
    };
    assert!(value.contains("dimensions"), "{value}");
}

fn total() -> usize {
    sample().0.layout.total
}

/// The header of a stream on a device, handed over by events if there are any.
fn on_device(placement: Placement, events: usize) -> (Header, Vec<u8>) {
    let mut plan = plan(Schema::scalar(DType::F32).array(1000));
    let (stride, size) = Device::sizes(plan.schema.size(), plan.slots).unwrap();
    plan.device = Some(Device {
        uuid: [9; 16],
        placement,
        handover: match events {
            0 => device::Handover::Callback,
            _ => device::Handover::Event,
        },
        sharing: Sharing::Handle,
        memory: std::array::from_fn(|i| u8::try_from(i).unwrap()),
        stride,
        size,
        events: vec![[3; device::HANDLE_LEN]; events],
    });
    Header::new(plan, origin()).unwrap()
}

#[test]
fn a_stream_on_a_device_has_no_room_for_payloads_unless_it_is_mirrored() {
    let (only, bytes) = on_device(Placement::DeviceOnly, 0);
    assert_eq!((only.layout.data_len, only.layout.frame), (0, 0));
    assert_eq!(decode(&bytes, only.layout.total), Ok(only));
    let (mirrored, bytes) = on_device(Placement::Mirrored, 0);
    assert_eq!(mirrored.layout.frame, 4000);
    assert_eq!(decode(&bytes, mirrored.layout.total), Ok(mirrored));
}

#[test]
fn handles_of_events_are_read_back() {
    let (header, bytes) = on_device(Placement::DeviceOnly, 4);
    let total = header.layout.total as u64;
    assert_eq!(header_len(&bytes, total), Ok(bytes.len()));
    assert_eq!(decode(&bytes, header.layout.total), Ok(header));
}

#[test]
fn each_word_about_a_device_is_checked() {
    let (header, good) = on_device(Placement::Mirrored, 0);
    let refused = |at: usize, value: u32| {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        sign(&mut bytes);
        decode(&bytes, header.layout.total).unwrap_err()
    };
    let corrupt = |at, value| match refused(at, value) {
        Defect::Corrupt(field, _) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(corrupt(128, 0), "the placement");
    assert_eq!(corrupt(128, 3), "the placement");
    assert_eq!(corrupt(132, 0), "the hand-over");
    assert_eq!(corrupt(132, 3), "the hand-over");
    // Handles of events would follow the schema.
    assert_eq!(corrupt(132, 2), "its file");
    assert_eq!(corrupt(140, 1), "the reserved part of the header");
    assert_eq!(corrupt(144, 512), "the size of the device memory");
    assert_eq!(corrupt(152, 512), "the size of the device memory");
    for kind in [0, 3, u32::MAX] {
        let defect = Defect::Other("the kind of device memory", kind.into(), 2);
        assert_eq!(refused(136, kind), defect);
    }
    // There is a handle, which memory that is shared by descriptors has not.
    assert_eq!(corrupt(136, 2), "the reserved part of the header");
}

#[test]
fn memory_that_is_shared_by_descriptors_has_no_handle() {
    let (header, _) = on_device(Placement::DeviceOnly, 0);
    let mut plan = header.plan;
    let device = plan.device.as_mut().unwrap();
    (device.sharing, device.memory) = (Sharing::Descriptor, [0; device::HANDLE_LEN]);
    let (header, good) = Header::new(plan, origin()).unwrap();
    let total = header.layout.total;
    assert_eq!(good[136], 2);
    assert!(good[160..224].iter().all(|&byte| byte == 0));
    assert_eq!(decode(&good, total), Ok(header));
    for at in [160, 223] {
        let mut bytes = good.clone();
        bytes[at] = 1;
        sign(&mut bytes);
        let refused = decode(&bytes, total).unwrap_err();
        assert!(
            matches!(
                refused,
                Defect::Corrupt("the reserved part of the header", _)
            ),
            "{refused:?}"
        );
    }
}

#[test]
fn descriptors_do_not_go_with_events() {
    let (header, mut bytes) = on_device(Placement::DeviceOnly, 4);
    bytes[136..140].copy_from_slice(&2_u32.to_ne_bytes());
    sign(&mut bytes);
    let refused = decode(&bytes, header.layout.total).unwrap_err();
    assert!(
        matches!(refused, Defect::Corrupt("the kind of device memory", _)),
        "{refused:?}"
    );
}

#[test]
fn sizes_on_a_device_that_do_not_follow_from_the_schema_are_refused() {
    let (header, _) = on_device(Placement::DeviceOnly, 0);
    let change = |change: fn(&mut Device)| {
        let mut plan = header.plan.clone();
        change(plan.device.as_mut().unwrap());
        let (header, bytes) = Header::new(plan, origin()).unwrap();
        decode(&bytes, header.layout.total)
    };
    assert!(change(|_| {}).is_ok());
    assert!(matches!(
        change(|device| device.stride *= 2),
        Err(Defect::Corrupt(..))
    ));
    assert!(matches!(
        change(|device| device.size = 1),
        Err(Defect::Corrupt(..))
    ));
}

proptest! {
    #[test]
    fn every_part_lies_behind_the_one_before(
        len in 1_usize..10_000_000,
        slots in MIN_SLOTS..=MAX_SLOTS,
        participants in 1..=MAX_PARTICIPANTS,
        huge in any::<bool>(),
        schema_len in 1_usize..10_000,
    ) {
        let schema = bytes(len);
        let plan = Plan { schema, slots, participants, history: 1, observers: false, huge, page: PAGE, device: None };
        let layout = Layout::new(&plan, schema_len).unwrap();
        prop_assert!(HEADER_LEN + schema_len <= layout.control);
        prop_assert!(layout.control + layout.control_len <= layout.data);
        prop_assert!(len <= layout.stride && layout.stride.is_multiple_of(LINE));
        prop_assert!(layout.stride * slots <= layout.data_len);
        prop_assert_eq!(layout.data + layout.data_len, layout.total);
        prop_assert_eq!((layout.control % PAGE, layout.data % PAGE), (0, 0));
        prop_assert!(!huge || layout.data.is_multiple_of(HUGE_PAGE));
    }

    /// With a checksum that fits, so that the checks behind it are reached.
    #[test]
    fn changed_headers_are_refused_or_agree_with_themselves(
        changes in proptest::collection::vec((12_usize..400, any::<u8>()), 1..4),
    ) {
        let (header, mut bytes) = sample();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        sign(&mut bytes);
        if let Ok(changed) = decode(&bytes, header.layout.total) {
            prop_assert_eq!(changed.layout.total, header.layout.total);
            let (again, _) = Header::new(changed.plan.clone(), changed.origin).unwrap();
            prop_assert_eq!(again, changed);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        magic in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if magic && bytes.len() > 16 {
            bytes[..8].copy_from_slice(&MAGIC);
            bytes[8..12].copy_from_slice(&BYTE_ORDER.to_ne_bytes());
            bytes[12..16].copy_from_slice(&VERSION.to_ne_bytes());
        }
        let _ = header_len(&bytes, bytes.len() as u64);
        prop_assert!(decode(&bytes, bytes.len()).is_err());
    }
}
