use super::*;

#[test]
fn gpu_scalars_have_equivalents() {
    fn listed<T: GpuPayload>() -> DType {
        T::schema().dtype().expect("a scalar")
    }
    let mut listed = [
        listed::<half::f16>(),
        listed::<half::bf16>(),
        listed::<f32>(),
        listed::<f64>(),
        listed::<i8>(),
        listed::<i16>(),
        listed::<i32>(),
        listed::<i64>(),
        listed::<u8>(),
    ];
    listed.sort_by_key(|dtype| dtype.code());
    let mut known = DType::ALL.to_vec();
    known.retain(|dtype| dtype.has_gpu_equivalent());
    known.sort_by_key(|dtype| dtype.code());
    assert_eq!(listed.as_slice(), known);
}

#[test]
fn every_byte_is_a_valid_bool() {
    for byte in 0..=255_u8 {
        let value = Bool::read_from_bytes(&[byte]).unwrap();
        assert_eq!(value.get(), byte != 0);
        assert_eq!(value, Bool::new(byte != 0));
    }
}
