use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::dtype::DType;

fn parse(text: &str) -> Result<Schema, SchemaError> {
    text.parse()
}

/// Reads `text`, which must be as `Display` writes it and something that a stream can carry.
#[track_caller]
fn same(text: &str) -> Schema {
    let schema = parse(text).unwrap();
    assert_eq!(schema.to_string(), text);
    schema.encode().unwrap();
    schema
}

#[track_caller]
fn refused(text: &str, position: usize, says: &str) {
    let error = parse(text).unwrap_err();
    assert!(error.to_string().contains(says), "{text:?}: {error}");
    assert_eq!(error.position(), Some(position), "{text:?}: {error}");
}

#[test]
fn reads_what_display_writes() {
    assert_eq!(same("f32"), Schema::scalar(DType::F32));
    assert_eq!(same("Complex<f64>"), Schema::scalar(DType::C64));
    assert_eq!(
        same("[[u16; 640]; 480]"),
        Schema::tensor(DType::U16, &[480, 640])
    );
    let imu = same("Imu { time: f64, pose: Pose { at: [f32; 3], gain: f32 }, flags: [u8; 8] }");
    assert_eq!((imu.size(), imu.align()), (32, 8));
    assert_eq!(imu.fields()[2].offset(), 24);
    same("[[Imu { accel: [f32; 3] }; 2]; 3]");
    same("Pair { 0: u32, 1: [Point { x: f32 }; 2] }");
    let block =
        same("Block align(64) { lanes: [f32; 16], last: [Inner align(32) { a: [u64; 4] }; 2] }");
    assert_eq!(block.align(), 64);
}

#[test]
fn names_may_look_like_something_else() {
    for name in [
        "f32", "align", "Bool", "Complex", "type", "_", "größe", "名", "uint8", "0",
    ] {
        same(&format!("{name} {{ {name}: u8 }}"));
        same(&format!("{name} align(16) {{ {name}: [u8; 16] }}"));
    }
}

#[test]
fn space_and_the_last_comma_do_not_matter() {
    let tight = parse("[S{a:[u8;4],b:Complex<f32>};2]").unwrap();
    let wide = "\n[ S align ( 4 )\t{ a : [ u8 ; 4 ] , b : Complex < f32 > , } ; 2 ]\u{a0} ";
    assert_eq!(parse(wide), Ok(tight));
}

#[test]
fn says_where_and_what_is_wrong() {
    refused(
        "",
        0,
        "expected an element type, the name of a struct, or `[`, found the end",
    );
    refused("f32 ]", 4, "expected the end of the text, found `]`");
    refused("[f32; 3]]", 8, "expected the end of the text, found `]`");
    refused("[f32 3]", 5, "expected `;` and a length, found `3`");
    refused("[f32, 3]", 4, "expected `;` and a length, found `,`");
    refused("[f32; -3]", 6, "expected a length, found `-`");
    refused("[f32; n]", 6, "expected a length, found `n`");
    refused(
        "[f32; 99999999999999999999]",
        6,
        "expected a length, found `99999999999999999999`",
    );
    refused("[f32; 3", 7, "expected `]`, found the end");
    refused(
        "[char; 3]",
        1,
        "Complex<f64>, or a struct with its fields in braces, found `char`",
    );
    refused("Complex< u8 >", 0, "found `Complex< u8 >`");
    refused(
        "[Imu; 3]",
        1,
        "a struct with its fields in braces, found `Imu`",
    );
    refused(
        "S { a: u8, b u8 }",
        13,
        "expected `:` and the type of the field, found `u8`",
    );
    refused("S { a: u8 b: u8 }", 10, "expected `,` or `}`, found `b`");
    refused(
        "S { a: [u8; 2] b: u8 }",
        15,
        "expected `,` or `}`, found `b`",
    );
    refused("S { a: u8", 9, "expected `,` or `}`, found the end");
    refused(
        "S { a: u8, ",
        11,
        "the name of a field, or `}`, found the end",
    );
    refused("S { a: u8,, ", 10, "the name of a field, or `}`, found `,`");
    refused("S { a: u8, a: u8 }", 11, "`S` has two fields named `a`");
    refused("S { }", 4, "carries nothing");
    refused(
        "S aligned(4) { a: f32 }",
        0,
        "a struct with its fields in braces, found `S`",
    );
    refused(
        "S align(3) { a: f32 }",
        2,
        "a power of two up to 4096, not 3",
    );
    refused(
        "S align(8192) { a: [u8; 8192] }",
        2,
        "a power of two up to 4096, not 8192",
    );
    refused("S align(2) { a: f32 }", 2, "its fields need 4");
    refused(
        &format!("S {{ {}: u8 }}", "a".repeat(256)),
        4,
        "longer than 255 bytes",
    );
    refused("S { a\u{7}: u8 }", 5, "found `\\u{7}`");
}

#[test]
fn padding_is_refused_with_the_bytes_missing() {
    refused(
        "S { a: u8, b: f32 }",
        11,
        "3 bytes of padding before `b`: add `_pad: [u8; 3]` before it",
    );
    refused("S { a: u8, b: u16 }", 11, "1 byte of padding before `b`");
    refused(
        "S { a: u8, in: T { x: u8, y: u64 } }",
        26,
        "7 bytes of padding before `y`",
    );
    refused(
        "S { a: u32, _pad: u8 }",
        21,
        "3 bytes of padding after `_pad`, at the end of `S`: add `_pad1: [u8; 3]`",
    );
    refused(
        "S align(16) { a: u32 }",
        2,
        "12 bytes of padding after `a`, at the end of `S`: add `_pad: [u8; 12]` after it, or lower the alignment of `S`",
    );
}

#[test]
fn limits_are_those_of_a_stream() {
    let at_limit = |text: &str| same(text);
    let structs = |n| format!("{}u8{}", "S { a: ".repeat(n), " }".repeat(n));
    at_limit(&structs(16));
    refused(&structs(17), 16 * 7, "more than 16 structs");
    refused(&structs(100_000), 16 * 7, "more than 16 structs");
    let arrays = |n| format!("{}u8{}", "[".repeat(n), "; 1]".repeat(n));
    at_limit(&arrays(8));
    refused(&arrays(9), 0, "more than 8 dimensions");
    refused(&"[".repeat(100_000), 0, "more than 8 dimensions");
    let fields = |n| {
        let fields: Vec<_> = (0..n).map(|i| format!("f{i}: u8")).collect();
        format!("S {{ {} }}", fields.join(", "))
    };
    at_limit(&fields(1024));
    refused(&fields(1025), fields(1024).len(), "more than 1024 fields");
    let name = "n".repeat(255);
    at_limit(&format!("{name} {{ {name}: u8 }}"));
    at_limit("S align(4096) { a: [u8; 4096] }");

    let largest = isize::MAX as usize;
    at_limit(&format!("[u8; {largest}]"));
    refused(
        &format!("[u8; {}]", largest + 1),
        0,
        "larger than any address space",
    );
    refused(
        &format!("[[u8; {largest}]; 3]"),
        0,
        "larger than any address space",
    );
    refused(
        &format!("S {{ a: [u8; {largest}], b: u8 }}"),
        0,
        "larger than any address space",
    );
    let thrice = format!("S {{ a: [u8; {largest}], b: [u8; {largest}], c: [u8; {largest}] }}");
    refused(
        &thrice,
        thrice.find("c:").unwrap(),
        "larger than any address space",
    );
    refused("[[f32; 0]; 4]", 0, "without elements");
    refused("S { a: u8, b: [f32; 0] }", 14, "without elements");
}

#[test]
fn puts_structs_together_as_repr_c_does() {
    let imu = Schema::structure_of(
        "Imu",
        [
            ("time", Schema::scalar(DType::F64)),
            ("accel", Schema::tensor(DType::F32, &[3])),
            ("gain", Schema::scalar(DType::F32)),
        ],
    );
    assert_eq!(imu, parse("Imu { time: f64, accel: [f32; 3], gain: f32 }"));
    let none: [(&str, Schema); 0] = [];
    let error = |made: Result<Schema, SchemaError>| {
        let error = made.unwrap_err();
        assert_eq!(error.position(), None);
        error.to_string()
    };
    let one = |schema| Schema::structure_of("S", [("a", schema)]);
    assert!(error(Schema::structure_of("S", none)).contains("carries nothing"));
    assert!(error(Schema::structure_of("a b", [("a", f32s(1))])).contains("unlike `a b`"));
    assert!(error(Schema::structure_of("S", [("", f32s(1))])).contains("a field's name"));
    assert!(error(one(f32s(0))).contains("field `a`: an array without elements"));
    assert!(error(one(f32s(usize::MAX))).contains("field `a`: an array larger"));
    let deep = (0..16).fold(f32s(1), |inner, _| one(inner).unwrap());
    assert!(error(one(deep)).contains("more than 16 structs"));
    assert!(error(f32s(1).with_align(64)).contains("`[f32; 1]` is none"));
    assert!(error(one(f32s(1)).unwrap().array(2).with_align(64)).contains("is none"));
    assert!(error(one(f32s(3)).unwrap().with_align(8)).contains("4 bytes of padding after `a`"));
    assert!(error(one(f32s(3)).unwrap().with_align(0)).contains("power of two"));
    assert_eq!(one(f32s(2)).unwrap().with_align(4), one(f32s(2)));
}

fn f32s(len: usize) -> Schema {
    Schema::tensor(DType::F32, &[len])
}

#[test]
fn dtypes_go_by_both_names() {
    for dtype in DType::ALL {
        assert_eq!(dtype.name().parse(), Ok(dtype));
    }
    for (name, dtype) in [
        ("uint8", DType::U8),
        ("bool", DType::Bool),
        ("float16", DType::F16),
        ("complex64", DType::C32),
        ("complex128", DType::C64),
    ] {
        assert_eq!(name.parse(), Ok(dtype));
    }
    assert_eq!(parse("[float32; 3]"), parse("[f32; 3]"));
    let error = "F32".parse::<DType>().unwrap_err().to_string();
    assert!(
        error.contains("bf16, f32, f64") && error.contains("found `F32`"),
        "{error}"
    );
}

#[cfg(feature = "serde")]
#[test]
fn serde_goes_by_the_text() {
    let schema = parse("[S { a: u8 }; 2]").unwrap();
    let json = serde_json::to_string(&(&schema, DType::C32)).unwrap();
    assert_eq!(json, r#"["[S { a: u8 }; 2]","Complex<f32>"]"#);
    assert_eq!(
        serde_json::from_str::<(Schema, DType)>(&json).unwrap(),
        (schema, DType::C32)
    );
    let error = serde_json::from_str::<Schema>(r#""[f32; 0]""#).unwrap_err();
    assert!(error.to_string().contains("at byte 0"), "{error}");
}

/// A name as Rust allows it, or one that could be taken for something else.
fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,9}",
        "[\\p{L}_][\\p{L}\\p{Mn}\\p{Nd}]{0,5}",
        select(vec!["f32", "align", "Complex", "Bool", "uint8", "type"]).prop_map(str::to_owned),
    ]
}

/// Any schema that a derive could produce.
fn schemas() -> impl Strategy<Value = Schema> {
    let scalar = select(DType::ALL.to_vec()).prop_map(Schema::scalar);
    let items = scalar.prop_recursive(4, 24, 4, |inner| {
        let field = (names(), inner, vec(1_usize..4, 0..3));
        (names(), vec(field, 1..5), any::<bool>(), 0_u32..4)
            .prop_map(|(name, fields, tuple, align)| padded(&name, fields, tuple, align))
    });
    (items, vec(1_usize..5, 0..9))
        .prop_map(|(item, shape)| shape.into_iter().fold(item, Schema::array))
}

/// Puts a struct together, with a field wherever it would be padded.
fn padded(name: &str, parts: Vec<(String, Schema, Vec<usize>)>, tuple: bool, raise: u32) -> Schema {
    let parts = parts
        .into_iter()
        .map(|(name, schema, shape)| (name, shape.into_iter().fold(schema, Schema::array)));
    let mut fields = Vec::new();
    let mut end = 0_usize;
    let mut push = |name: &str, schema: Schema, align: usize| {
        let gap = end.next_multiple_of(align) - end;
        let padding = (gap > 0).then(|| ("_pad", Schema::tensor(DType::U8, &[gap])));
        for (name, schema) in padding.into_iter().chain(Some((name, schema))) {
            let index = fields.len();
            end += schema.size();
            let name = if tuple {
                index.to_string()
            } else {
                format!("{name}_{index}")
            };
            fields.push((name, schema));
        }
    };
    let mut align = 1;
    for (name, schema) in parts {
        align = align.max(schema.align());
        let before = schema.align();
        push(&name, schema, before);
    }
    // Raised at each level of nesting, so up to the limit of a stream.
    align = (align << raise).min(4096);
    // One byte more, so that padding before it at the alignment leaves the end there.
    push("last", Schema::tensor(DType::U8, &[align]), align);
    let schema = Schema::structure_of(name, fields).unwrap();
    if raise > 0 {
        schema.with_align(align).unwrap()
    } else {
        schema
    }
}

/// Pieces of schemas in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "[",
        "]",
        ";",
        "{",
        "}",
        ":",
        ",",
        "<",
        ">",
        "(",
        ")",
        "f32",
        "u8",
        "Complex",
        "align",
        "S",
        "a",
        "b",
        "0",
        "1",
        "4",
        "64",
        "18446744073709551616",
        " ",
        "\n",
        "\u{301}",
        "é",
        "[u8; 4]",
        "S { a: u8",
        "align(8)",
        "; 9223372036854775807]",
    ];
    vec(select(pieces), 0..60).prop_map(|pieces| pieces.concat())
}

fn check_any(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(schema) => {
            prop_assert!(schema.encode().is_ok(), "{text:?}");
            prop_assert_eq!(parse(&schema.to_string()), Ok(schema));
        }
        Err(error) => {
            let position = error.position().unwrap();
            prop_assert!(text.is_char_boundary(position), "{text:?}: {error}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_schema_survives_its_text(schema in schemas()) {
        prop_assert!(schema.encode().is_ok());
        prop_assert_eq!(parse(&schema.to_string()), Ok(schema));
    }

    #[test]
    fn any_text_is_safe(text in any::<String>()) {
        check_any(&text)?;
    }

    #[test]
    fn any_pieces_are_safe(text in soup()) {
        check_any(&text)?;
    }

    #[test]
    fn any_change_is_safe(schema in schemas(), at in any::<prop::sample::Index>(), by in soup()) {
        let mut text: Vec<_> = schema.to_string().chars().collect();
        let at = at.index(text.len());
        text.splice(at..=at, by.chars().take(3));
        check_any(&text.into_iter().collect::<String>())?;
    }
}
