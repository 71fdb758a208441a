//! Schemas as text: what the derive makes, read back, and made again at run time.

use half::{bf16, f16};
use shmstream::{Bool, DType, DynStream, Error, Schema, SchemaError, ShmPayload, Stream};
use shmstream_tests::Name;

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Vector {
    x: f64,
    y: f64,
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct State {
    time: u64,
    at: Vector,
    path: [[Vector; 3]; 2],
    half: [f16; 2],
    brain: bf16,
    on: [Bool; 2],
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Pair(u32, [[i16; 3]; 2]);

#[derive(Clone, Copy, ShmPayload)]
#[repr(transparent)]
struct Wrapper(Pair);

#[derive(Clone, Copy, ShmPayload)]
#[repr(C, align(64))]
struct Block {
    lanes: [f32; 16],
    inner: [Lane; 2],
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C, align(32))]
struct Lane {
    sums: [u64; 4],
}

#[derive(Clone, Copy, ShmPayload)]
#[repr(C)]
struct Odd {
    f32: f32,
    u8: [u8; 4],
}

/// Names that look like something else, where they hide nothing.
mod names {
    use shmstream::ShmPayload;

    #[derive(Clone, Copy, ShmPayload)]
    #[repr(C)]
    pub(super) struct f32 {
        r#type: u8,
        align: i8,
        größe: u8,
        __: u8,
    }
}

#[track_caller]
fn survives<T: ShmPayload>(text: &str) {
    let schema = T::schema();
    assert_eq!(schema.to_string(), text);
    assert_eq!(text.parse(), Ok(schema));
}

#[test]
fn what_the_derive_makes_survives_its_text() {
    survives::<f32>("f32");
    survives::<[[Bool; 4]; 3]>("[[Bool; 4]; 3]");
    let vector = "Vector { x: f64, y: f64 }";
    survives::<Vector>(vector);
    let state = format!(
        "State {{ time: u64, at: {vector}, path: [[{vector}; 3]; 2], half: [f16; 2], brain: bf16, \
         on: [Bool; 2] }}"
    );
    survives::<State>(&state);
    survives::<[State; 5]>(&format!("[{state}; 5]"));
    survives::<Wrapper>("Wrapper { 0: Pair { 0: u32, 1: [[i16; 3]; 2] } }");
    let lane = "Lane align(32) { sums: [u64; 4] }";
    survives::<Block>(&format!(
        "Block align(64) {{ lanes: [f32; 16], inner: [{lane}; 2] }}"
    ));
    survives::<names::f32>("f32 { type: u8, align: i8, größe: u8, __: u8 }");
    survives::<[Odd; 2]>("[Odd { f32: f32, u8: [u8; 4] }; 2]");
}

#[test]
fn parts_make_what_the_derive_makes() -> Result<(), SchemaError> {
    let vector = || {
        let x = Schema::scalar(DType::F64);
        Schema::structure_of("Vector", [("x", x.clone()), ("y", x)])
    };
    let state = Schema::structure_of(
        "State",
        [
            ("time", Schema::scalar(DType::U64)),
            ("at", vector()?),
            ("path", vector()?.array(3).array(2)),
            ("half", Schema::tensor(DType::F16, &[2])),
            ("brain", Schema::scalar(DType::BF16)),
            ("on", Schema::tensor(DType::Bool, &[2])),
        ],
    )?;
    assert_eq!(state, State::schema());
    let lane = Schema::structure_of("Lane", [("sums", Schema::tensor(DType::U64, &[4]))])?;
    let lanes = [
        ("lanes", Schema::tensor(DType::F32, &[16])),
        ("inner", lane.with_align(32)?.array(2)),
    ];
    assert_eq!(
        Schema::structure_of("Block", lanes)?.with_align(64)?,
        Block::schema()
    );
    Ok(())
}

#[test]
fn a_stream_made_from_text_is_the_program_s() -> shmstream::Result<()> {
    let name = Name::new("text");
    let schema = Block::schema().to_string().parse().unwrap();
    let stream = DynStream::create(&name, schema)?;
    assert_eq!(*stream.schema(), Block::schema().array(1));
    let typed = Stream::<Block, 1>::open(&name)?;
    let lanes = [0.5; 16];
    let inner = [Lane { sums: [7; 4] }; 2];
    typed.write(&[Block { lanes, inner }])?;
    assert_eq!(typed.read()?.unwrap()[0].inner[1].sums, [7; 4]);

    // The alignment is part of the payload.
    let name = Name::new("text-align");
    let block = Schema::tensor(DType::F32, &[16]);
    let block = Schema::structure_of("Block", [("lanes", block)]).unwrap();
    DynStream::create(&name, block.clone())?;
    let aligned = DynStream::builder(&name).schema(block.with_align(64).unwrap());
    let error = aligned.open().unwrap_err();
    assert!(matches!(error, Error::Type { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("alignment: 4 in the stream, 64 in this program"),
        "{text}"
    );
    Ok(())
}

#[test]
fn padding_is_refused_by_text_and_by_parts_alike() {
    let text = "Event { kind: u8, time: f64 }"
        .parse::<Schema>()
        .unwrap_err();
    assert_eq!(text.position(), Some(18));
    let (kind, time) = (Schema::scalar(DType::U8), Schema::scalar(DType::F64));
    let parts = Schema::structure_of("Event", [("kind", kind), ("time", time)]).unwrap_err();
    assert_eq!(parts.position(), None);
    for error in [text, parts] {
        let says = "7 bytes of padding before `time`: add `_pad: [u8; 7]` before it";
        assert!(error.to_string().contains(says), "{error}");
    }
}
