use super::*;

/// Each type with a value of it, as bytes, and what it is as text and as a number.
fn samples() -> [(DType, Vec<u8>, &'static str, Option<f64>); 15] {
    let single = [1.5_f32, -2.0].map(f32::to_ne_bytes).concat();
    let double = [-1.5_f64, 2.0].map(f64::to_ne_bytes).concat();
    let (half, brain) = (f16::from_f32(0.5), bf16::from_f32(-3.0));
    let i64_min = i64::MIN.to_ne_bytes().to_vec();
    [
        (DType::Bool, vec![2], "true", Some(1.0)),
        (DType::U8, vec![255], "255", Some(255.0)),
        (
            DType::U16,
            700_u16.to_ne_bytes().to_vec(),
            "700",
            Some(700.0),
        ),
        (DType::U32, 7_u32.to_ne_bytes().to_vec(), "7", Some(7.0)),
        (DType::U64, 8_u64.to_ne_bytes().to_vec(), "8", Some(8.0)),
        (DType::I8, vec![255], "-1", Some(-1.0)),
        (
            DType::I16,
            (-2_i16).to_ne_bytes().to_vec(),
            "-2",
            Some(-2.0),
        ),
        (
            DType::I32,
            (-3_i32).to_ne_bytes().to_vec(),
            "-3",
            Some(-3.0),
        ),
        (
            DType::I64,
            i64_min,
            "-9223372036854775808",
            Some(-(2_f64.powi(63))),
        ),
        (DType::F16, half.to_ne_bytes().to_vec(), "0.5", Some(0.5)),
        (DType::BF16, brain.to_ne_bytes().to_vec(), "-3", Some(-3.0)),
        (
            DType::F32,
            0.25_f32.to_ne_bytes().to_vec(),
            "0.25",
            Some(0.25),
        ),
        (
            DType::F64,
            1e9_f64.to_ne_bytes().to_vec(),
            "1000000000",
            Some(1e9),
        ),
        (DType::C32, single, "1.5-2i", None),
        (DType::C64, double, "-1.5+2i", None),
    ]
}

#[test]
fn every_type_is_read_named_and_written() {
    let samples = samples();
    assert_eq!(samples.each_ref().map(|sample| sample.0), DType::ALL);
    for (dtype, bytes, text, number) in samples {
        let scalar = Scalar::read(dtype, &bytes).unwrap();
        assert_eq!(scalar.dtype(), dtype);
        assert_eq!(
            (scalar.to_string().as_str(), scalar.to_f64()),
            (text, number)
        );
        assert_eq!(Scalar::read(dtype, &bytes[1..]), None, "{dtype}");
        assert_eq!(
            Scalar::read(dtype, &[&bytes[..], &[0]].concat()),
            None,
            "{dtype}"
        );
    }
}

#[cfg(feature = "serde")]
#[test]
fn every_type_is_serialised_as_a_number_or_a_pair() {
    let json: Vec<_> = samples()
        .into_iter()
        .map(|(dtype, bytes, ..)| serde_json::to_string(&Scalar::read(dtype, &bytes)).unwrap())
        .collect();
    assert_eq!(
        json,
        [
            "true",
            "255",
            "700",
            "7",
            "8",
            "-1",
            "-2",
            "-3",
            "-9223372036854775808",
            "0.5",
            "-3.0",
            "0.25",
            "1000000000.0",
            "[1.5,-2.0]",
            "[-1.5,2.0]"
        ]
    );
}
