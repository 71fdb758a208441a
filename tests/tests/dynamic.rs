//! Payloads known at run time: the same streams as typed ones, with every check made at run time.

use std::thread;
use std::time::Duration;

use half::{bf16, f16};
use shmstream::{
    Bool, DType, DynOwnedFrame, DynStream, Error, Item, Link, Pod, Scalar, Schema, ShmPayload,
    Start, Stream,
};
use shmstream_tests::{Child, DEADLINE, Name, argument, hear, play, tell};

const SHORT: Duration = Duration::from_millis(20);

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct Pose {
    position: [f64; 3],
    orientation: [f64; 4],
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct Star {
    position: [f32; 2],
    flux: f32,
    id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C)]
struct State {
    time: u64,
    pose: Pose,
    stars: [[Star; 2]; 3],
    on: [Bool; 8],
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C, align(64))]
struct Lanes {
    lanes: [f32; 16],
}

#[derive(Clone, Copy, Debug, PartialEq, ShmPayload)]
#[repr(C, align(4096))]
struct Page {
    words: [u64; 512],
}

#[test]
fn child_entry() {
    play(&[
        ("publish_typed", publish_typed),
        ("read_typed", read_typed),
        ("publish_dynamic", publish_dynamic),
        ("hold_lock", hold_lock),
    ]);
}

fn star(id: u32) -> Star {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let flux = id as f32 / 2.0;
    Star {
        position: [flux, -flux],
        flux,
        id,
    }
}

fn state(time: u64) -> State {
    State {
        time,
        pose: Pose {
            position: [1.0, 2.0, 3.0],
            orientation: [0.5, 0.25, 0.125, 0.0625],
        },
        stars: [[star(0), star(1)], [star(2), star(3)], [star(4), star(5)]],
        on: [true, false, true, true, false, false, false, true].map(Bool::new),
    }
}

/// Returns the words of an error, which must be of the variant that the pattern says.
macro_rules! refused {
    ($result:expr, $variant:pat) => {{
        let error = $result.expect_err("a refusal");
        assert!(matches!(error, $variant), "{error:?}");
        error.to_string()
    }};
}

fn publish_typed(arguments: &[String]) {
    let stream = Stream::<State, 2>::create(&arguments[0]).unwrap();
    stream.write_with_id(7, &[state(1), state(2)]).unwrap();
    tell("written");
    let _ = hear();
    stream.write_with_id(8, &[state(3), state(4)]).unwrap();
}

#[test]
fn a_reader_at_run_time_understands_a_typed_writer() {
    let name = Name::new("dyn-typed-writer");
    let mut child = Child::spawn("publish_typed", &[&name]);
    child.expect("written");
    let stream = DynStream::open(&name).unwrap();
    assert_eq!(stream.schema(), &State::schema().array(2));
    assert_eq!((stream.shape(), stream.dtype()), (&[2][..], None));
    assert_eq!(stream.frame_size(), 2 * size_of::<State>());
    let frame = stream.read().unwrap().unwrap();
    assert_eq!((frame.info().count, frame.info().frame_id), (1, 7));
    assert_eq!(frame.as_slice::<State>().unwrap(), [state(1), state(2)]);
    let position = frame.field("pose.position").unwrap();
    assert_eq!(position.shape(), [2, 3]);
    assert_eq!(position.strides(), [size_of::<State>(), 8]);
    assert_eq!(position.get::<[f64; 3]>(&[1]).unwrap(), [1.0, 2.0, 3.0]);
    let ids = frame.field("stars.id").unwrap();
    assert_eq!(ids.shape(), [2, 3, 2]);
    assert_eq!(ids.get::<u32>(&[1, 2, 1]).unwrap(), 5);
    assert_eq!(
        ids.at(&[0]).unwrap().to_vec::<u32>().unwrap(),
        [0, 1, 2, 3, 4, 5]
    );
    let stars = frame.field("stars").unwrap();
    assert_eq!(stars.get::<[Star; 2]>(&[1, 1]).unwrap(), [star(2), star(3)]);
    assert_eq!(stars.field("flux").unwrap().shape(), [2, 3, 2]);
    // The frame is held while the writer goes on.
    let before = frame.bytes().to_vec();
    child.say("on");
    child.finish();
    assert_eq!(frame.bytes(), before);
    assert_eq!(frame.view().get::<State>(&[0]).unwrap().time, 1);
    let newer = stream.read_new().unwrap().unwrap();
    assert_eq!((newer.info().count, newer.info().frame_id), (2, 8));
    assert_eq!(
        newer.field("time").unwrap().to_vec::<u64>().unwrap(),
        [3, 4]
    );
}

fn read_typed(arguments: &[String]) {
    let stream = Stream::<[Star; 2], 3>::open(&arguments[0]).unwrap();
    tell("open");
    for count in 1..=argument(arguments, 1) {
        let frame = stream.wait_after_timeout(count - 1, DEADLINE).unwrap();
        let frame = frame.expect("a frame in time");
        assert_eq!(*frame, state(0).stars);
        tell(frame.info().count);
    }
}

#[test]
fn a_typed_reader_understands_a_writer_at_run_time() {
    let name = Name::new("dyn-typed-reader");
    let vector = Schema::tensor(DType::F32, &[2]);
    let fields = [
        ("position", vector),
        ("flux", Schema::scalar(DType::F32)),
        ("id", Schema::scalar(DType::U32)),
    ];
    let star = Schema::structure_of("AnotherName", fields).unwrap();
    let stream = DynStream::create(&name, star.array(2).array(3)).unwrap();
    let child = Child::spawn("read_typed", &[&name, &4]);
    child.expect("open");
    let stars = state(0).stars;
    // By type, by bytes, by field, and by field of one element.
    assert_eq!(stream.write(&stars).unwrap(), 1);
    child.expect("1");
    assert_eq!(stream.write_bytes(stars.as_bytes()).unwrap(), 2);
    child.expect("2");
    let all = stars.as_flattened();
    let mut loan = stream.loan().unwrap();
    loan.bytes_mut().fill(0xff);
    let fluxes: Vec<_> = all.iter().map(|star| star.flux).collect();
    loan.field_mut("flux").unwrap().fill_from(&fluxes).unwrap();
    let ids: Vec<_> = all.iter().map(|star| star.id).collect();
    loan.field_mut("id").unwrap().fill_from(&ids).unwrap();
    let positions: Vec<_> = all.iter().map(|star| star.position).collect();
    let mut position = loan.field_mut("position").unwrap();
    position.fill_from(&positions).unwrap();
    assert_eq!(loan.publish().unwrap(), 3);
    child.expect("3");
    let mut loan = stream.loan().unwrap();
    loan.bytes_mut().fill(0xff);
    let mut view = loan.view_mut();
    for (y, row) in stars.iter().enumerate() {
        for (x, star) in row.iter().enumerate() {
            let mut one = view.reborrow().at(&[y, x]).unwrap();
            let mut position = one.reborrow().field("position").unwrap();
            position.set(&[0], star.position[0]).unwrap();
            position.set(&[1], star.position[1]).unwrap();
            one.reborrow()
                .field("flux")
                .unwrap()
                .set(&[], star.flux)
                .unwrap();
            one.field("id").unwrap().set(&[], star.id).unwrap();
        }
    }
    assert_eq!(loan.publish().unwrap(), 4);
    child.expect("4");
    child.finish();
}

fn publish_dynamic(arguments: &[String]) {
    let stream = DynStream::open(&arguments[0]).unwrap();
    for i in 1..=argument::<u64>(arguments, 1) {
        stream.write(&[i; 8]).unwrap();
    }
}

#[test]
fn a_subscription_at_run_time_reads_in_order() {
    let name = Name::new("dyn-subscription");
    let schema = Schema::tensor(DType::U64, &[8]);
    let builder = DynStream::builder(&name).schema(schema).history(8);
    let stream = builder.create().unwrap();
    let frames = stream.subscribe(Start::New).unwrap();
    Child::spawn("publish_dynamic", &[&name, &40]).finish();
    let frame = frames.read().unwrap().unwrap();
    let (first, missed) = (frame.info().count, frame.info().missed);
    assert_eq!(first, missed + 1);
    // At least as many as are promised, and not more than there are slots.
    assert!((30..=33).contains(&first), "{first}");
    drop(frame);
    for count in first + 1..=40 {
        let frame: DynOwnedFrame = frames.frames().next().unwrap().unwrap();
        assert_eq!((frame.info().count, frame.info().missed), (count, 0));
        assert_eq!(frame.as_slice::<u64>().unwrap(), [count; 8]);
    }
    assert!(frames.read().unwrap().is_none());
    assert_eq!(frames.missed(), missed);
    assert_eq!(frames.stream().dtype(), Some(DType::U64));

    let lossless = stream.subscribe_lossless(Start::New).unwrap();
    for i in 0..9_u64 {
        stream.write(&[i; 8]).unwrap();
    }
    let writes = (0..20).map(|_| stream.write(&[0_u64; 8]));
    let full = writes
        .filter_map(Result::err)
        .next()
        .expect("a full stream");
    assert!(matches!(full, Error::NoFreeSlot { .. }), "{full:?}");
    for i in 0..9 {
        let frame = lossless.wait_timeout(DEADLINE).unwrap().unwrap();
        assert_eq!(frame.view().get::<u64>(&[7]).unwrap(), i);
    }
}

#[test]
fn an_observer_at_run_time_gets_owned_frames() {
    let name = Name::new("dyn-observer");
    let stream = Stream::<State, 1>::create(&name).unwrap();
    let observer = DynStream::observe(&name).unwrap();
    assert!(observer.read().unwrap().is_none());
    stream.write(&[state(5)]).unwrap();
    let frame = observer.wait_timeout(DEADLINE).unwrap().unwrap();
    assert_eq!(frame.as_slice::<State>().unwrap(), [state(5)]);
    assert_eq!(
        frame.field("stars.id").unwrap().scalars().unwrap().count(),
        6
    );
    let mut bytes = vec![0; size_of::<State>()];
    assert_eq!(observer.read_into(&mut bytes).unwrap().unwrap().count, 1);
    assert_eq!(bytes, state(5).as_bytes());
    // With what it expects.
    let expecting = |schema| DynStream::builder(&name).schema(schema).observe();
    expecting(State::schema()).unwrap();
    refused!(expecting(Star::schema()), Error::Type { .. });
    refused!(expecting(State::schema().array(2)), Error::Shape { .. });
}

/// Writes the values typed, and reads them at run time: as a slice, one by one, and as scalars.
fn check_scalars<T: Pod + PartialEq + std::fmt::Debug, const N: usize>(
    dtype: DType,
    values: [T; N],
    scalars: [Scalar; N],
) {
    let stream = DynStream::temporary(Schema::tensor(dtype, &[N])).unwrap();
    assert_eq!(stream.dtype(), Some(dtype));
    stream.write(&values).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let view = frame.view();
    assert_eq!(frame.as_slice::<T>().unwrap(), values);
    assert_eq!(view.to_vec::<T>().unwrap(), values);
    assert_eq!(view.scalars().unwrap().collect::<Vec<_>>(), scalars);
    for (i, (value, scalar)) in values.iter().zip(&scalars).enumerate() {
        assert_eq!(&view.get::<T>(&[i]).unwrap(), value);
        assert_eq!(&view.scalar(&[i]).unwrap(), scalar);
        assert_eq!(scalar.dtype(), dtype);
    }
    let typed = stream.to_typed::<T, N>().unwrap();
    assert_eq!(*typed.read().unwrap().unwrap(), values);
}

#[test]
fn every_dtype_is_a_slice_and_scalars() {
    use Scalar as S;
    check_scalars(DType::U8, [0_u8, 255], [S::U8(0), S::U8(255)]);
    check_scalars(DType::U16, [1, u16::MAX], [S::U16(1), S::U16(u16::MAX)]);
    check_scalars(DType::U32, [1, u32::MAX], [S::U32(1), S::U32(u32::MAX)]);
    check_scalars(DType::U64, [1, u64::MAX], [S::U64(1), S::U64(u64::MAX)]);
    check_scalars(DType::I8, [1, i8::MIN], [S::I8(1), S::I8(i8::MIN)]);
    check_scalars(DType::I16, [1, i16::MIN], [S::I16(1), S::I16(i16::MIN)]);
    check_scalars(DType::I32, [1, i32::MIN], [S::I32(1), S::I32(i32::MIN)]);
    check_scalars(DType::I64, [1, i64::MIN], [S::I64(1), S::I64(i64::MIN)]);
    check_scalars(DType::F32, [0.5, f32::MAX], [S::F32(0.5), S::F32(f32::MAX)]);
    check_scalars(DType::F64, [0.5, f64::MIN], [S::F64(0.5), S::F64(f64::MIN)]);
    let half = [f16::from_f32(0.5), f16::MAX];
    check_scalars(DType::F16, half, half.map(S::F16));
    let brain = [bf16::from_f32(0.5), bf16::MIN];
    check_scalars(DType::BF16, brain, brain.map(S::BF16));
    let bools = [true, false].map(Bool::new);
    check_scalars(DType::Bool, bools, [S::Bool(true), S::Bool(false)]);
}

#[test]
fn complex_numbers_are_scalars_without_their_crate() {
    let stream = DynStream::temporary(Schema::tensor(DType::C32, &[2])).unwrap();
    stream
        .write_bytes([1.5_f32, -2.0, 0.0, 1.0].as_bytes())
        .unwrap();
    let frame = stream.read().unwrap().unwrap();
    let scalars: Vec<_> = frame.view().scalars().unwrap().collect();
    assert_eq!(scalars, [[1.5, -2.0], [0.0, 1.0]].map(Scalar::C32));
    assert_eq!(scalars[0].to_string(), "1.5-2i");
    // Two floats are another type.
    refused!(frame.as_slice::<[f32; 2]>(), Error::Type { .. });

    let stream = DynStream::temporary(Schema::scalar(DType::C64)).unwrap();
    stream.write_bytes([-0.5_f64, 0.25].as_bytes()).unwrap();
    let scalar = stream.read().unwrap().unwrap().view().scalar(&[0]).unwrap();
    assert_eq!((scalar, scalar.to_f64()), (Scalar::C64([-0.5, 0.25]), None));
}

#[test]
fn every_byte_is_a_bool() {
    let stream = DynStream::temporary(Schema::tensor(DType::Bool, &[4])).unwrap();
    stream.write_bytes(&[0, 1, 255, 2]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let values = [false, true, true, true];
    assert_eq!(frame.as_slice::<Bool>().unwrap(), values);
    let scalars: Vec<_> = frame.view().scalars().unwrap().collect();
    assert_eq!(scalars, values.map(Scalar::Bool));
    assert_eq!(scalars[2].to_string(), "true");
}

#[test]
fn another_type_is_refused_with_both_sides() {
    let stream = DynStream::temporary(Schema::tensor(DType::F32, &[2, 3])).unwrap();
    stream.write(&[[1.0_f32; 3]; 2]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let message = refused!(frame.as_slice::<f64>(), Error::Type { .. });
    let parts = [
        "f32 in the stream, f64 in this program",
        &stream.name().to_string(),
    ];
    assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    // The same size is not the same type.
    refused!(frame.as_slice::<u32>(), Error::Type { .. });
    refused!(frame.as_slice::<Bool>(), Error::Type { .. });
    refused!(frame.to_owned().as_slice::<u32>(), Error::Type { .. });
    refused!(frame.view().get::<i32>(&[0, 0]), Error::Type { .. });
    refused!(frame.view().iter::<i32>().map(drop), Error::Type { .. });
    let message = refused!(frame.as_slice::<[f32; 2]>(), Error::Shape { .. });
    assert!(
        message.contains("(2, 3)") && message.contains("(2,)"),
        "{message}"
    );
    refused!(frame.as_slice::<[[f32; 3]; 3]>(), Error::Shape { .. });
    refused!(frame.as_slice::<[[[f32; 3]; 2]; 1]>(), Error::Shape { .. });
    // After a refusal, what fits fits as before.
    assert_eq!(frame.as_slice::<[f32; 3]>().unwrap(), [[1.0; 3]; 2]);
    assert_eq!(frame.as_slice::<[[f32; 3]; 2]>().unwrap(), [[[1.0; 3]; 2]]);
    assert_eq!(frame.as_slice::<f32>().unwrap(), [1.0; 6]);

    let stars = Stream::<Star, 2>::temporary().unwrap().into_dyn();
    stars.write(&[star(1), star(2)]).unwrap();
    let frame = stars.read().unwrap().unwrap();
    let message = refused!(frame.as_slice::<Pose>(), Error::Type { .. });
    assert!(message.contains("position"), "{message}");
    let flux = frame.field("flux").unwrap();
    let message = refused!(flux.get::<f64>(&[0]), Error::Type { .. });
    assert!(message.contains("in the field `flux`: "), "{message}");
    let message = refused!(flux.as_slice::<f32>(), Error::Field { .. });
    assert!(
        message.contains("`flux`") && message.contains("to_vec::<f32>"),
        "{message}"
    );
}

#[test]
fn a_refused_write_publishes_nothing() {
    let schema = Schema::tensor(DType::F32, &[2, 3]);
    let name = Name::new("dyn-history");
    let builder = DynStream::builder(&name).schema(schema);
    let stream = builder.history(2).slots(3).create().unwrap();
    stream.write(&[1.0_f32; 6]).unwrap();
    stream.write(&[2.0_f32; 6]).unwrap();
    refused!(stream.write(&[1.0_f64; 6]), Error::Type { .. });
    refused!(stream.write(&[[1.0_f32; 2]; 3]), Error::Shape { .. });
    let message = refused!(stream.write(&[1.0_f32; 5]), Error::Invalid { .. });
    assert!(message.contains("must be 6, not 5"), "{message}");
    let message = refused!(stream.write(&[[1.0_f32; 3]; 3]), Error::Invalid { .. });
    assert!(message.contains("must be 2, not 3"), "{message}");
    refused!(stream.write::<f32>(&[]), Error::Invalid { .. });
    refused!(stream.write_with_id(9, &[0_u8; 24]), Error::Type { .. });
    refused!(stream.write_timeout(&[0_u8; 24], SHORT), Error::Type { .. });
    let message = refused!(stream.write_bytes(&[0; 23]), Error::Invalid { .. });
    assert!(
        message.contains("24") && message.contains("23"),
        "{message}"
    );
    refused!(
        stream.write_bytes_with_id(9, &[0; 25]),
        Error::Invalid { .. }
    );
    let mut loan = stream.loan().unwrap();
    refused!(loan.as_mut_slice::<f64>().map(drop), Error::Type { .. });
    refused!(
        loan.view_mut().fill_from(&[0_f32; 7]),
        Error::Invalid { .. }
    );
    refused!(loan.view_mut().set(&[0], 0_f32), Error::Shape { .. });
    refused!(loan.view_mut().set(&[2, 0], 0_f32), Error::Index { .. });
    refused!(loan.field_mut("x").map(drop), Error::Field { .. });
    drop(loan);
    assert_eq!(stream.count(), 2);
    assert_eq!(
        stream.read().unwrap().unwrap().as_slice::<f32>().unwrap(),
        [2.0; 6]
    );
    // What was refused did not cost a frame of the history either.
    let frames = stream.subscribe(Start::Oldest).unwrap();
    assert_eq!(frames.read().unwrap().unwrap().info().count, 1);
}

#[test]
fn a_refused_read_changes_nothing() {
    let stream = DynStream::temporary(Schema::tensor(DType::F32, &[2, 3])).unwrap();
    let mut values = [7.0_f32; 6];
    assert!(stream.read_into(&mut values).unwrap().is_none());
    // Mistakes show before the first frame.
    refused!(stream.read_into(&mut [0.0_f64; 6]), Error::Type { .. });
    refused!(stream.read_into(&mut [0.0_f64; 3]), Error::Type { .. });
    refused!(stream.read_into(&mut [0.0_f32; 7]), Error::Invalid { .. });
    refused!(
        stream.read_into(&mut [[0.0_f32; 2]; 3]),
        Error::Shape { .. }
    );
    refused!(stream.read_bytes_into(&mut [0; 23]), Error::Invalid { .. });
    assert_eq!(values, [7.0; 6]);
    stream
        .write_with_id(3, &[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0])
        .unwrap();
    let info = stream.read_into(&mut values).unwrap().unwrap();
    assert_eq!((info.count, info.frame_id), (1, 3));
    let mut rows = [[0.0_f32; 3]; 2];
    stream.read_into(&mut rows).unwrap().unwrap();
    assert_eq!(rows.as_flattened(), values);
    let mut bytes = [0; 24];
    stream.read_bytes_into(&mut bytes).unwrap().unwrap();
    assert_eq!(bytes, values.as_bytes());
}

#[test]
fn an_unknown_field_is_told_which_there_are() {
    let stream = Stream::<State, 1>::temporary().unwrap().into_dyn();
    stream.clear().unwrap();
    let frame = stream.read().unwrap().unwrap();
    let refused = |path: &str| refused!(frame.field(path), Error::Field { .. });
    let message = refused("speed");
    assert!(message.contains("`speed`"), "{message}");
    assert!(message.contains("time, pose, stars, on"), "{message}");
    let message = refused("pose.speed");
    assert!(message.contains("`pose.speed`"), "{message}");
    assert!(message.contains("position, orientation"), "{message}");
    let message = refused("stars.flux.x");
    assert!(
        message.contains("f32") && message.contains("no fields"),
        "{message}"
    );
    for path in ["", ".", "pose.", ".pose", "pose..position", "Pose", " pose"] {
        refused(path);
    }
    let scalars = Stream::<f32, 3>::temporary().unwrap().into_dyn();
    scalars.clear().unwrap();
    let frame = scalars.read().unwrap().unwrap();
    let message = refused!(frame.field("x"), Error::Field { .. });
    assert!(message.contains("f32 of shape (3,)"), "{message}");
    // A struct is no scalar.
    let frame = stream.read().unwrap().unwrap();
    let message = refused!(frame.view().scalar(&[0]), Error::Field { .. });
    assert!(message.contains("time, pose, stars, on"), "{message}");
    refused!(frame.view().scalars().map(drop), Error::Field { .. });
}

#[test]
fn loans_are_filled_as_values_as_bytes_and_as_views() {
    let stream = DynStream::temporary(Schema::tensor(DType::I16, &[2, 2])).unwrap();
    let mut loan = stream.loan().unwrap();
    loan.as_mut_slice::<i16>()
        .unwrap()
        .copy_from_slice(&[1, 2, 3, 4]);
    assert_eq!(loan.as_slice::<[i16; 2]>().unwrap(), [[1, 2], [3, 4]]);
    assert_eq!(loan.publish().unwrap(), 1);
    let read = || {
        stream
            .read()
            .unwrap()
            .unwrap()
            .view()
            .to_vec::<i16>()
            .unwrap()
    };
    assert_eq!(read(), [1, 2, 3, 4]);

    let mut loan = stream.loan_timeout(SHORT).unwrap();
    loan.bytes_mut()
        .copy_from_slice([5_i16, 6, 7, 8].as_bytes());
    assert_eq!(loan.bytes().len(), 8);
    assert_eq!(loan.publish_with_id(11).unwrap(), 2);
    assert_eq!(stream.read().unwrap().unwrap().info().frame_id, 11);
    assert_eq!(read(), [5, 6, 7, 8]);

    let mut loan = stream.loan().unwrap();
    loan.view_mut().fill_from(&[[0_i16, 1], [2, 3]]).unwrap();
    loan.view_mut().set(&[1, 0], -1_i16).unwrap();
    loan.view_mut()
        .at(&[1])
        .unwrap()
        .as_mut_slice::<i16>()
        .unwrap()[1] = -2;
    assert_eq!(loan.view().scalar(&[1, 0]).unwrap(), Scalar::I16(-1));
    assert_eq!(loan.schema(), stream.schema());
    loan.publish().unwrap();
    assert_eq!(read(), [0, 1, -1, -2]);

    let mut loan = stream.loan().unwrap();
    loan.bytes_mut().fill(0x55);
    drop(loan);
    assert_eq!(stream.count(), 3);
    assert_eq!(read(), [0, 1, -1, -2]);
    assert_eq!(stream.clear().unwrap(), 4);
    assert_eq!(read(), [0; 4]);
}

#[test]
fn a_guard_holds_its_frame_and_its_slot() {
    let name = Name::new("dyn-guard");
    let builder = DynStream::builder(&name).schema(Schema::scalar(DType::U64));
    let stream = builder.slots(3).create().unwrap();
    let reader = stream.try_clone().unwrap();
    stream.write(&[1_u64]).unwrap();
    let first = reader.read().unwrap().unwrap();
    for i in 2..20_u64 {
        stream.write(&[i]).unwrap();
        assert_eq!(first.as_slice::<u64>().unwrap(), [1]);
    }
    let second = reader.read_new().unwrap().unwrap();
    assert_eq!((second.info().count, second.info().missed), (19, 17));
    assert!(reader.read_new().unwrap().is_none());
    stream.write(&[20_u64]).unwrap();
    refused!(stream.write(&[21_u64]), Error::NoFreeSlot { .. });
    refused!(
        stream.write_timeout(&[21_u64], SHORT),
        Error::NoFreeSlot { .. }
    );
    refused!(stream.loan_timeout(SHORT), Error::NoFreeSlot { .. });
    drop(first);
    stream.write_timeout(&[21_u64], DEADLINE).unwrap();
    assert_eq!(second.as_slice::<u64>().unwrap(), [19]);
}

#[test]
fn waits_return_newer_frames() {
    let stream = DynStream::temporary(Schema::scalar(DType::U32)).unwrap();
    assert!(stream.wait_timeout(SHORT).unwrap().is_none());
    let writer = stream.try_clone().unwrap();
    let thread = thread::spawn(move || {
        for i in 1..=3_u32 {
            writer.write(&[i]).unwrap();
        }
        writer
    });
    let frame = stream.wait_after(2).unwrap();
    assert_eq!(frame.as_slice::<u32>().unwrap(), [3]);
    assert!(stream.wait_timeout(SHORT).unwrap().is_none());
    assert!(stream.wait_after_timeout(3, SHORT).unwrap().is_none());
    assert_eq!(stream.wait_after(0).unwrap().info().count, 3);
    let writer = thread.join().unwrap();
    writer.write(&[4_u32]).unwrap();
    assert_eq!(stream.wait().unwrap().info().count, 4);
}

fn hold_lock(arguments: &[String]) {
    let stream = DynStream::open(&arguments[0]).unwrap();
    let guard = stream.lock().unwrap();
    tell(guard.write(&[1_u8]).unwrap());
    let _ = hear();
}

#[test]
fn the_write_lock_is_the_same_for_both_kinds_of_stream() {
    let name = Name::new("dyn-lock");
    let typed = Stream::<u8, 1>::create(&name).unwrap();
    let stream = DynStream::open(&name).unwrap();
    let mut child = Child::spawn("hold_lock", &[&name]);
    child.expect("1");
    assert_eq!(stream.lock_holder(), Some(child.pid()));
    assert!(stream.try_lock().unwrap().is_none());
    assert!(stream.lock_timeout(SHORT).unwrap().is_none());
    let message = refused!(stream.write_timeout(&[2_u8], SHORT), Error::Busy { .. });
    assert!(message.contains(&child.pid().to_string()), "{message}");
    // A mistake is told without waiting for the lock.
    refused!(stream.write(&[2_u16]), Error::Type { .. });
    child.say("end");
    child.finish();
    let guard = stream.try_lock().unwrap().unwrap();
    // This thread has it, whichever handle it writes through.
    typed.write(&[3]).unwrap();
    assert_eq!(guard.count(), 2);
    drop(guard);
    assert!(stream.lock_timeout(SHORT).unwrap().is_some());
}

#[test]
fn a_stream_changes_between_known_and_unknown() {
    let name = Name::new("dyn-change");
    let stream = DynStream::create(&name, State::schema()).unwrap();
    // Without dimensions it is a frame of one.
    assert_eq!(stream.shape(), [1]);
    let typed = stream.to_typed::<State, 1>().unwrap();
    typed.write(&[state(1)]).unwrap();
    assert_eq!(
        stream.read().unwrap().unwrap().as_slice::<State>().unwrap(),
        [state(1)]
    );
    let message = refused!(stream.to_typed::<Star, 1>(), Error::Type { .. });
    assert!(
        message.contains("Star") && message.contains("State"),
        "{message}"
    );
    let message = refused!(stream.to_typed::<State, 2>(), Error::Shape { .. });
    assert!(
        message.contains("(1,)") && message.contains("(2,)"),
        "{message}"
    );
    refused!(stream.to_typed::<[State; 1], 1>(), Error::Shape { .. });

    let typed = stream.into_typed::<State, 1>().unwrap();
    assert_eq!(typed.read().unwrap().unwrap()[0].time, 1);
    // The same handle: it has seen that frame.
    let stream = typed.into_dyn();
    assert!(stream.read_new().unwrap().is_none());
    let stream = DynStream::from(stream.into_typed::<State, 1>().unwrap());
    refused!(stream.into_typed::<u8, 1>(), Error::Type { .. });
    // It was dropped, and the stream is there.
    let stream = DynStream::open(&name).unwrap();
    assert_eq!(
        (stream.count(), stream.name().to_string()),
        (1, name.to_string())
    );
    assert_eq!(stream.path(), name.path());
    assert_eq!((stream.slots(), stream.history()), (4, 1));
    assert_eq!(stream.max_participants(), 64);
    assert_eq!(
        stream.instance(),
        DynStream::open(&name).unwrap().instance()
    );
    assert_eq!(stream.link().unwrap(), Link::Current);
    stream.unlink().unwrap();
    assert_eq!(stream.link().unwrap(), Link::Unlinked);
    refused!(DynStream::open(&name), Error::NotFound { .. });
}

#[test]
fn a_schema_is_expected_where_one_is_given() {
    let name = Name::new("dyn-expected");
    let image = || Schema::tensor(DType::U16, &[4, 6]);
    refused!(DynStream::builder(&name).create(), Error::Invalid { .. });
    refused!(
        DynStream::builder(&name).open_or_create(),
        Error::Invalid { .. }
    );
    let stream = DynStream::open_or_create(&name, image()).unwrap();
    DynStream::open_or_create(&name, image()).unwrap();
    refused!(
        DynStream::create(&name, image()),
        Error::AlreadyExists { .. }
    );
    let floats = Schema::tensor(DType::F32, &[4, 6]);
    let message = refused!(DynStream::open_or_create(&name, floats), Error::Type { .. });
    assert!(
        message.contains("u16") && message.contains("f32"),
        "{message}"
    );
    let turned = Schema::tensor(DType::U16, &[6, 4]);
    let message = refused!(
        DynStream::open_or_create(&name, turned),
        Error::Shape { .. }
    );
    assert!(
        message.contains("(4, 6)") && message.contains("(6, 4)"),
        "{message}"
    );
    let open = |schema| DynStream::builder(&name).schema(schema).open();
    assert_eq!(open(image()).unwrap().instance(), stream.instance());
    refused!(open(Schema::tensor(DType::U16, &[24])), Error::Shape { .. });
    refused!(open(Star::schema()), Error::Type { .. });
}

#[test]
fn temporary_streams_go_with_their_handle() {
    let stream = DynStream::temporary(Star::schema()).unwrap();
    let other = DynStream::open(stream.name()).unwrap();
    let name = stream.name().clone();
    drop(stream);
    refused!(DynStream::open(&name), Error::NotFound { .. });
    other.write(&[star(1)]).unwrap();
}

#[test]
fn what_no_stream_can_carry_is_refused() {
    let name = Name::new("dyn-refused");
    let create = |schema: Schema| DynStream::create(&name, schema).map(drop);
    let empty = [&[0][..], &[3, 0], &[0, 3], &[usize::MAX, 0]];
    for shape in empty {
        let message = refused!(
            create(Schema::tensor(DType::F32, shape)),
            Error::Invalid { .. }
        );
        assert!(message.contains("carries nothing"), "{message}");
    }
    let huge = usize::MAX;
    let shapes = [
        &[huge][..],
        &[huge, 2],
        &[huge / 4],
        &[1 << 62, 1 << 62],
        &[huge; 8],
    ];
    for shape in shapes {
        create(Schema::tensor(DType::F32, shape)).expect_err("too large");
    }
    create(Schema::tensor(DType::U8, &[1; 9])).expect_err("too many dimensions");
    create(Schema::tensor(DType::U8, &[isize::MAX.unsigned_abs()])).expect_err("too large");
    assert!(!name.path().exists());
    create(Schema::tensor(DType::U8, &[1; 8])).unwrap();
}

/// Reads a frame of structs with a large alignment in each of the ways there are.
fn check_alignment<T: Pod + PartialEq + std::fmt::Debug>(value: T) {
    let stream = DynStream::temporary(T::schema().array(3)).unwrap();
    stream.write(&[value; 3]).unwrap();
    let subscription = stream.subscribe(Start::Latest).unwrap();
    let observer = DynStream::observe(stream.name()).unwrap();
    let frame = stream.read().unwrap().unwrap();
    assert_eq!(frame.as_slice::<T>().unwrap(), [value; 3]);
    assert_eq!(frame.view().as_slice::<[T; 3]>().unwrap(), [[value; 3]]);
    let mut loan = stream.loan().unwrap();
    loan.as_mut_slice::<T>().unwrap().fill(value);
    drop(loan);
    let owned = [
        frame.to_owned(),
        frame.to_owned().clone(),
        stream.read_owned().unwrap().unwrap(),
        observer.read().unwrap().unwrap(),
        subscription.frames().next().unwrap().unwrap(),
    ];
    for mut frame in owned {
        assert_eq!(frame.as_slice::<T>().unwrap(), [value; 3]);
        assert_eq!(frame.view().as_slice::<T>().unwrap(), [value; 3]);
        frame.view_mut().as_mut_slice::<T>().unwrap()[1] = T::zeroed();
        assert_eq!(frame.as_slice::<T>().unwrap(), [value, T::zeroed(), value]);
        frame.bytes_mut().fill(0);
        assert_eq!(frame.as_slice::<T>().unwrap(), [T::zeroed(); 3]);
    }
}

#[test]
fn payloads_are_aligned_everywhere() {
    check_alignment(1_u8);
    check_alignment(state(1));
    check_alignment(Lanes { lanes: [1.0; 16] });
    check_alignment(Page { words: [1; 512] });
}

#[test]
fn owned_frames_outlive_their_stream_and_travel() {
    let frame = {
        let stream = Stream::<Star, 2>::temporary().unwrap().into_dyn();
        stream.write(&[star(1), star(2)]).unwrap();
        stream.read_owned().unwrap().unwrap()
    };
    let copy = frame.clone();
    let sum = thread::spawn(move || {
        copy.field("flux")
            .unwrap()
            .iter::<f32>()
            .unwrap()
            .sum::<f32>()
    });
    assert_eq!(sum.join().unwrap().to_bits(), 1.5_f32.to_bits());
    assert_eq!(frame.info().count, 1);
    assert!(matches!(frame.view().item(), Item::Struct(star) if star.name() == "Star"));
    refused!(frame.field("color"), Error::Field { .. });
}

#[test]
fn guards_lend_to_threads() {
    let stream = DynStream::temporary(Schema::tensor(DType::U32, &[4])).unwrap();
    stream.write(&[1_u32, 2, 3, 4]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let (view, values) = (frame.view(), frame.as_slice::<u32>().unwrap());
    let sums = thread::scope(|scope| {
        let by_view = scope.spawn(|| view.iter::<u32>().unwrap().sum::<u32>());
        let by_slice = scope.spawn(|| values.iter().sum::<u32>());
        [by_view, by_slice].map(|thread| thread.join().unwrap())
    });
    assert_eq!(sums, [10, 10]);
}

#[test]
fn debug_names_what_it_is() {
    let stream = DynStream::temporary(Schema::tensor(DType::U32, &[4])).unwrap();
    stream.clear().unwrap();
    let frame = stream.read().unwrap().unwrap();
    for text in [
        format!("{stream:?}"),
        format!("{frame:?}"),
        format!("{:?}", frame.to_owned()),
        format!("{:?}", stream.loan().unwrap()),
        format!("{:?}", stream.lock().unwrap()),
    ] {
        assert!(
            text.starts_with("Dyn") && text.contains("[u32; 4]"),
            "{text}"
        );
    }
}
