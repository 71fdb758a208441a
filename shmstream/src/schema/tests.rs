use proptest::prelude::*;

use super::*;

fn field(name: &str, offset: usize, schema: Schema) -> Field {
    Field::new(name, offset, schema)
}

fn f32s(len: usize) -> Schema {
    Schema::scalar(DType::F32).array(len)
}

/// `{ time: f64, pose: { position: [f32; 3], gain: f32 }, flags: [u8; 8] }`
fn nested() -> Schema {
    let pose = Schema::structure(
        "Pose",
        16,
        4,
        vec![
            field("position", 0, f32s(3)),
            field("gain", 12, Schema::scalar(DType::F32)),
        ],
    );
    Schema::structure(
        "State",
        32,
        8,
        vec![
            field("time", 0, Schema::scalar(DType::F64)),
            field("pose", 8, pose),
            field("flags", 24, Schema::scalar(DType::U8).array(8)),
        ],
    )
}

fn with_fields(edit: impl FnOnce(&mut Vec<Field>)) -> Schema {
    let mut schema = nested();
    if let Item::Struct(structure) = &mut schema.item {
        edit(&mut structure.fields);
    }
    schema
}

#[test]
fn reads_back_what_it_wrote() {
    for schema in [
        Schema::scalar(DType::BF16),
        f32s(3).array(4),
        nested(),
        nested().array(2),
    ] {
        let bytes = schema.encode().unwrap();
        assert_eq!(Schema::decode(&bytes), Ok(schema));
    }
}

#[test]
fn shows_types_as_rust_writes_them() {
    assert_eq!(f32s(640).array(480).to_string(), "[[f32; 640]; 480]");
    assert_eq!(
        nested().to_string(),
        "State { time: f64, pose: Pose { position: [f32; 3], gain: f32 }, flags: [u8; 8] }"
    );
    assert_eq!(f32s(640).array(480).shape_text(), "(480, 640)");
    assert_eq!(f32s(3).shape_text(), "(3,)");
}

#[test]
fn refuses_what_no_program_could_have_declared() {
    let refused = |schema: &Schema| schema.encode().unwrap_err();
    assert!(refused(&f32s(0)).contains("zero"));
    assert!(refused(&f32s(usize::MAX)).contains("too large"));
    let deep = (0..9).fold(Schema::scalar(DType::U8), |schema, _| schema.array(1));
    assert!(refused(&deep).contains("dimensions"));
    let gap = with_fields(|fields| fields[1].offset = 12);
    assert!(refused(&gap).contains("begin where"));
    let twice = with_fields(|fields| fields[2].name = "time".into());
    assert!(refused(&twice).contains("two fields"));
    let short = with_fields(|fields| fields.truncate(2));
    assert!(refused(&short).contains("size"));
    let inside = |schema: Schema| Schema::structure("S", 4, 4, vec![field("a", 0, schema)]);
    let deep = (0..17).fold(Schema::scalar(DType::F32), |schema, _| inside(schema));
    assert!(refused(&deep).contains("inside each other"));
}

#[test]
fn each_limit_of_what_bytes_may_say_is_checked_by_itself() {
    let refused = |schema: &Schema| schema.encode().unwrap_err();
    let u8s = |len| Schema::scalar(DType::U8).array(len);
    let structure = |size, align, fields| Schema::structure("S", size, align, fields);
    let bytes = f32s(3).encode().unwrap();
    let longer = [&bytes[..], &[0]].concat();
    assert!(Schema::decode(&longer).unwrap_err().contains("follow"));
    for len in 0..bytes.len() {
        assert!(Schema::decode(&bytes[..len]).unwrap_err().contains("cut"));
    }
    // Three times this is 2, with what does not fit left out.
    let wraps = [3, 0x5555_5555_5555_5556_u64]
        .map(u64::to_le_bytes)
        .concat();
    let wraps = [&[2], &wraps[..], &[DType::U8.code()]].concat();
    assert!(Schema::decode(&wraps).unwrap_err().contains("too large"));

    let many = |len: usize| {
        let fields = (0..len).map(|i| field(&format!("f{i}"), i, Schema::scalar(DType::U8)));
        structure(len, 1, fields.collect())
    };
    assert!(many(1024).encode().is_ok());
    assert!(refused(&many(1025)).contains("1024"));
    let unaligned = vec![
        field("a", 0, Schema::scalar(DType::U8)),
        field("b", 1, f32s(1)),
        field("c", 5, u8s(3)),
    ];
    assert!(refused(&structure(8, 4, unaligned)).contains("begin where"));
    let one = |schema: Schema| vec![field("a", 0, schema)];
    assert!(refused(&structure(4, 2, one(f32s(1)))).contains("less than its fields"));
    assert!(refused(&structure(3, 3, one(u8s(3)))).contains("power of two"));
    assert!(refused(&structure(8192, 8192, one(u8s(8192)))).contains("power of two"));
    assert!(refused(&structure(6, 4, one(u8s(6)))).contains("size is not"));
    assert!(refused(&structure(0, 1, Vec::new())).contains("size is not"));
    for name in ["", "a b", "a\n", "{"] {
        let fields = vec![field(name, 0, f32s(1))];
        assert!(refused(&structure(4, 4, fields)).contains("identifier"));
    }
}

#[test]
fn names_the_first_difference() {
    let stream = nested();
    let difference = |program: Schema| stream.item.difference(&program.item);
    assert_eq!(difference(nested()), None);

    let renamed_struct = {
        let mut schema = nested();
        if let Item::Struct(structure) = &mut schema.item {
            structure.name = "Other".into();
        }
        schema
    };
    assert_eq!(difference(renamed_struct), None);

    let narrower = with_fields(|fields| {
        if let Item::Struct(pose) = &mut fields[1].schema.item {
            pose.fields[1].schema = Schema::scalar(DType::I32);
        }
    });
    assert_eq!(
        difference(narrower).unwrap(),
        "field `pose.gain`: f32 at byte 20 in the stream, i32 at byte 20 in this program"
    );

    let renamed = with_fields(|fields| fields[0].name = "stamp".into());
    assert_eq!(
        difference(renamed).unwrap(),
        "field at byte 0: `time: f64` in the stream, `stamp: f64` in this program"
    );

    let shorter = with_fields(|fields| fields.truncate(2));
    assert_eq!(
        difference(shorter).unwrap(),
        "field `flags`: [u8; 8] at byte 24 in the stream, absent in this program"
    );

    let longer = with_fields(|fields| fields.push(field("more", 32, f32s(2))));
    assert_eq!(
        difference(longer).unwrap(),
        "field `more`: absent in the stream, [f32; 2] at byte 32 in this program"
    );

    let swapped = with_fields(|fields| {
        fields.swap(0, 2);
        (fields[0].offset, fields[2].offset) = (0, 24);
    });
    assert_eq!(
        difference(swapped).unwrap(),
        "field `flags`: [u8; 8] at byte 24 in the stream, [u8; 8] at byte 0 in this program"
    );

    assert_eq!(
        Schema::scalar(DType::F32)
            .item
            .difference(&Schema::scalar(DType::F64).item)
            .unwrap(),
        "element: f32 in the stream, f64 in this program"
    );
}

proptest! {
    #[test]
    fn decodes_any_bytes_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Schema::decode(&bytes);
    }

    #[test]
    fn decodes_mutations_to_a_schema_that_encodes(at in 0_usize..200, byte in any::<u8>()) {
        let mut bytes = nested().array(2).encode().unwrap();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(schema) = Schema::decode(&bytes) {
            prop_assert_eq!(schema.encode(), Ok(bytes));
        }
    }
}
