//! What travels: scalars, arrays, structs, large frames; and what is refused as something else.

use std::thread;

use half::{bf16, f16};
use shmstream::{Bool, DType, Error, Pod, ShmPayload, Stream};
use shmstream_tests::{Child, Name, play, tell};

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct Vector {
    x: f64,
    y: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct State {
    time: u64,
    at: Vector,
    path: [Vector; 3],
    half: [f16; 2],
    brain: bf16,
    on: [Bool; 2],
}

/// As `State`, but a field of the nested struct is an integer.
#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct IntVector {
    x: f64,
    y: i64,
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct IntState {
    time: u64,
    at: IntVector,
    path: [Vector; 3],
    half: [f16; 2],
    brain: bf16,
    on: [Bool; 2],
}

#[test]
fn child_entry() {
    play(&[("state", publish_state)]);
}

fn state(time: u64) -> State {
    let at = Vector { x: 0.5, y: -0.0 };
    State {
        time,
        at,
        path: [
            at,
            Vector {
                x: f64::MAX,
                y: f64::INFINITY,
            },
            at,
        ],
        half: [f16::from_f32(1.5), f16::NEG_INFINITY],
        brain: bf16::from_f32(-3.0),
        on: [Bool::TRUE, Bool::FALSE],
    }
}

fn publish_state(arguments: &[String]) {
    let stream = Stream::<State, 2>::create(&arguments[0]).unwrap();
    stream.write(&[state(1), state(2)]).unwrap();
    tell("written");
}

#[test]
fn a_nested_struct_crosses_processes() {
    let name = Name::new("state");
    Child::spawn("state", &[&name]).finish();
    let stream = Stream::<State, 2>::open(&name).unwrap();
    assert_eq!(*stream.read().unwrap().unwrap(), [state(1), state(2)]);
    assert_eq!(stream.schema().shape(), [2]);
    assert_eq!(stream.schema(), &<[State; 2]>::schema());
}

fn round_trip<T: Pod + PartialEq + std::fmt::Debug, const N: usize>(frame: [T; N]) {
    let stream = Stream::<T, N>::temporary().unwrap();
    let reader = Stream::<T, N>::open(stream.name()).unwrap();
    stream.write(&frame).unwrap();
    assert_eq!(*reader.read().unwrap().unwrap(), frame);
    let mut copy = [T::zeroed(); N];
    reader.read_into(&mut copy).unwrap().unwrap();
    assert_eq!(copy, frame);
    assert_eq!(*reader.read_owned().unwrap().unwrap().into_payload(), frame);
    stream.clear().unwrap();
    assert_eq!(*reader.read().unwrap().unwrap(), [T::zeroed(); N]);
}

#[test]
fn every_element_type_travels() {
    round_trip([0_u8, 1, u8::MAX]);
    round_trip([u16::MAX]);
    round_trip([u32::MAX, 1]);
    round_trip([u64::MAX; 17]);
    round_trip([i8::MIN, -1]);
    round_trip([i16::MIN]);
    round_trip([i32::MIN]);
    round_trip([i64::MIN]);
    round_trip([f32::MIN_POSITIVE, -0.0]);
    round_trip([f64::MAX, f64::NEG_INFINITY]);
    round_trip([f16::MAX, f16::from_f32(0.1)]);
    round_trip([bf16::MIN, bf16::from_f32(0.1)]);
    round_trip([Bool::TRUE, Bool::FALSE]);
    round_trip([[[1_u8, 2], [3, 4]], [[5, 6], [7, 8]]]);
    round_trip([state(1)]);
    round_trip([[state(1), state(2)], [state(3), state(4)]]);
}

#[test]
fn bits_of_not_a_number_and_odd_booleans_travel_as_they_are() {
    let stream = Stream::<u32, 2>::temporary().unwrap();
    // The same bytes as floats: payload bits of a NaN are kept.
    let nan = f32::from_bits(0x7fc1_2345);
    let floats = Stream::<f32, 2>::temporary().unwrap();
    floats.write(&[nan, -nan]).unwrap();
    let frame = floats.read().unwrap().unwrap();
    stream.write(&frame.map(f32::to_bits)).unwrap();
    assert_eq!(*stream.read().unwrap().unwrap(), [0x7fc1_2345, 0xffc1_2345]);
}

/// Returns both sides and the difference of a type error.
fn type_error<T: Pod, const N: usize>(name: &Name) -> [String; 3] {
    let error = Stream::<T, N>::open(name).unwrap_err();
    let text = error.to_string();
    let Error::Type {
        stream,
        program,
        difference,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    for part in [&stream, &program, &difference] {
        assert!(text.contains(part.as_str()), "`{text}` lacks `{part}`");
    }
    [stream, program, difference]
}

#[test]
fn another_type_is_refused_with_both_sides() {
    let name = Name::new("type");
    let _stream = Stream::<f32, 8>::create(&name).unwrap();
    let [stream, program, difference] = type_error::<i32, 8>(&name);
    assert_eq!(
        (stream.as_str(), program.as_str()),
        ("[f32; 8]", "[i32; 8]")
    );
    assert!(
        difference.contains("f32 in the stream, i32 in this program"),
        "{difference}"
    );
    type_error::<f64, 4>(&name);
    type_error::<State, 8>(&name);
    assert!(
        Stream::<f32, 8>::open(&name).is_ok(),
        "a refusal changes nothing"
    );
    // Neither is a participant left behind by those who were refused.
    let small = Name::new("type-row");
    let _creator = Stream::<f32, 1>::builder(&small)
        .participants(2)
        .create()
        .unwrap();
    for _ in 0..5 {
        type_error::<f64, 1>(&small);
    }
    Stream::<f32, 1>::open(&small).unwrap();
}

#[test]
fn another_field_is_refused_by_its_path() {
    let name = Name::new("field");
    let _stream = Stream::<State, 1>::create(&name).unwrap();
    let [_, _, difference] = type_error::<IntState, 1>(&name);
    assert!(difference.contains("`at.y`"), "{difference}");
    assert!(
        difference.contains("f64 at byte 16 in the stream"),
        "{difference}"
    );
    assert!(
        difference.contains("i64 at byte 16 in this program"),
        "{difference}"
    );
}

#[test]
fn a_missing_field_is_refused_by_its_name() {
    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    struct Longer {
        x: f64,
        y: f64,
        z: f64,
    }
    let name = Name::new("missing");
    let _stream = Stream::<Vector, 1>::create(&name).unwrap();
    let [_, _, difference] = type_error::<Longer, 1>(&name);
    assert!(
        difference.contains("`z`: absent in the stream"),
        "{difference}"
    );
}

#[test]
fn another_shape_is_refused_with_both_sides() {
    let name = Name::new("shape");
    let _stream = Stream::<[u16; 640], 480>::create(&name).unwrap();
    let error = Stream::<[u16; 480], 640>::open(&name).unwrap_err();
    assert!(error.to_string().contains("(480, 640)") && error.to_string().contains("(640, 480)"));
    let Error::Shape {
        stream, program, ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!((stream, program), (vec![480, 640], vec![640, 480]));
    // As many elements, but in another number of dimensions.
    assert!(matches!(
        Stream::<u16, { 480 * 640 }>::open(&name),
        Err(Error::Shape { .. })
    ));
    assert!(matches!(
        Stream::<[[u16; 1]; 640], 480>::open(&name),
        Err(Error::Shape { .. })
    ));
}

#[test]
fn open_or_create_refuses_another_type_too() {
    let name = Name::new("type-either");
    let _stream = Stream::<f32, 1>::create(&name).unwrap();
    assert!(matches!(
        Stream::<f64, 1>::open_or_create(&name),
        Err(Error::Type { .. })
    ));
}

#[test]
fn a_stream_says_what_it_carries() {
    let stream = Stream::<[bf16; 640], 480>::temporary().unwrap();
    assert_eq!(stream.schema().dtype(), Some(DType::BF16));
    assert_eq!(stream.schema().shape(), [480, 640]);
    assert_eq!(stream.schema().size(), 2 * 480 * 640);
}

const LARGE: usize = 64 << 20;
const ROW: usize = 1 << 10;

#[test]
fn a_large_frame_never_lies_on_the_stack() {
    type Large = Stream<[u8; ROW], { LARGE / ROW }>;
    let stream = Large::builder(Name::new("large").as_str())
        .slots(2)
        .temporary()
        .create()
        .unwrap();
    let work = move || {
        let mut loan = stream.loan().unwrap();
        for (i, row) in loan.iter_mut().enumerate() {
            row.fill(i.to_le_bytes()[0]);
        }
        loan.publish().unwrap();
        let frame = stream.read_owned().unwrap().unwrap();
        assert!(
            frame
                .iter()
                .enumerate()
                .all(|(i, row)| row == &[i.to_le_bytes()[0]; ROW])
        );
        let mut payload = frame.into_payload();
        payload[5] = [0xaa; ROW];
        stream.write(&payload).unwrap();
        payload[5] = [0; ROW];
        stream.read_into(&mut payload).unwrap().unwrap();
        assert_eq!(payload[5], [0xaa; ROW]);
        assert_eq!(stream.read().unwrap().unwrap().to_owned()[5], [0xaa; ROW]);
        stream.clear().unwrap();
        assert_eq!(stream.read().unwrap().unwrap()[5], [0; ROW]);
    };
    // A thousandth of the frame.
    let small = thread::Builder::new().stack_size(64 << 10);
    small.spawn(work).unwrap().join().unwrap();
}
