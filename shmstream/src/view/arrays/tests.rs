use ndarray::{Axis, array};

use crate::dtype::DType;
use crate::error::Error;
use crate::schema::Schema;
use crate::stream::DynStream;

fn stream(schema: &str) -> DynStream {
    DynStream::temporary(schema.parse().unwrap()).unwrap()
}

#[test]
fn frames_are_filled_and_read_as_arrays() {
    let stream = DynStream::temporary(Schema::tensor(DType::F64, &[2, 3])).unwrap();
    let mut loan = stream.loan().unwrap();
    let values = array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let mut all = loan.view_mut().array_mut::<f64>().unwrap();
    all.assign(&values);
    all[[1, 0]] = 40.0;
    loan.publish().unwrap();
    let frame = stream.read().unwrap().unwrap();
    let all = frame.view().array::<f64>().unwrap();
    assert_eq!(all, array![[1.0, 2.0, 3.0], [40.0, 5.0, 6.0]].into_dyn());
    assert_eq!(all.sum_axis(Axis(1)), array![6.0, 51.0].into_dyn());
    // In place, in the stream itself.
    assert_eq!(all.as_ptr().cast(), frame.bytes().as_ptr());
    // Rows as values, and all of it as one.
    let rows = frame.view().array::<[f64; 3]>().unwrap();
    assert_eq!((rows.shape(), rows[[1]]), (&[2][..], [40.0, 5.0, 6.0]));
    let one = frame.view().array::<[[f64; 3]; 2]>().unwrap();
    assert_eq!((one.shape(), one[[]][0][2]), (&[][..], 3.0));
    let row = frame.view().at(&[1]).unwrap().array::<f64>().unwrap();
    assert_eq!(row, array![40.0, 5.0, 6.0].into_dyn());
}

#[test]
fn fields_are_arrays_with_strides() {
    let stream = stream("[[Star { position: [f32; 2], id: u32 }; 2]; 3]");
    let mut loan = stream.loan().unwrap();
    loan.bytes_mut().fill(0);
    let mut ids = loan.field_mut("id").unwrap().array_mut::<u32>().unwrap();
    for ((y, x), id) in (0..3).flat_map(|y| [(y, 0), (y, 1)]).zip(0..) {
        ids[[y, x]] = id;
    }
    let mut position = loan
        .field_mut("position")
        .unwrap()
        .array_mut::<f32>()
        .unwrap();
    position.index_axis_mut(Axis(2), 1).fill(1.5);
    loan.publish().unwrap();
    let frame = stream.read().unwrap().unwrap();
    let ids = frame.field("id").unwrap().array::<u32>().unwrap();
    assert_eq!(ids, array![[0, 1], [2, 3], [4, 5]].into_dyn());
    assert_eq!(ids.strides(), [6, 3]);
    let position = frame.field("position").unwrap();
    let all = position.array::<f32>().unwrap();
    assert_eq!(
        (all.shape(), all.strides()),
        (&[3, 2, 2][..], &[6, 3, 1][..])
    );
    assert_eq!(
        all.index_axis(Axis(2), 0).sum().to_bits(),
        0.0_f32.to_bits()
    );
    assert_eq!(
        all.index_axis(Axis(2), 1).sum().to_bits(),
        9.0_f32.to_bits()
    );
    // A part of a part.
    let column = position.at(&[2]).unwrap().array::<f32>().unwrap();
    assert_eq!(column, array![[0.0, 1.5], [0.0, 1.5]].into_dyn());
    // Twelve bytes apart are no whole number of pairs.
    let error = position.array::<[f32; 2]>().unwrap_err();
    assert!(
        matches!(&error, Error::Field { field, .. } if field == "position"),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(text.contains("lie 12 bytes apart"), "{text}");
    assert!(text.contains("to_vec"), "{text}");
    assert_eq!(position.to_vec::<[f32; 2]>().unwrap(), [[0.0, 1.5]; 6]);
}

#[test]
fn another_type_or_shape_is_no_array() {
    let stream = stream("[[u16; 3]; 2]");
    stream.clear().unwrap();
    let frame = stream.read().unwrap().unwrap();
    let view = frame.view();
    assert!(matches!(view.array::<i16>(), Err(Error::Type { .. })));
    assert!(matches!(view.array::<[u16; 2]>(), Err(Error::Shape { .. })));
    let mut loan = stream.loan().unwrap();
    let refused = loan.view_mut().array_mut::<i16>().map(drop);
    assert!(matches!(refused, Err(Error::Type { .. })));
}

#[test]
fn a_dimension_of_one_has_any_stride() {
    let stream = stream("[Odd { value: [u32; 2], rest: u32 }; 1]");
    stream.write_bytes(&[1; 12]).unwrap();
    let frame = stream.read().unwrap().unwrap();
    let values = frame.field("value").unwrap().array::<[u32; 2]>().unwrap();
    assert_eq!((values.shape(), values[[0]]), (&[1][..], [0x0101_0101; 2]));
}

#[cfg(feature = "num-complex")]
mod complex {
    use num_complex::Complex;

    use super::*;
    use crate::scalar::Scalar;

    #[test]
    fn complex_numbers_are_values_slices_and_scalars() {
        let values = [Complex::new(1.5, -2.0), Complex::new(0.0, 1.0)];
        let stream = DynStream::temporary(Schema::tensor(DType::C64, &[2])).unwrap();
        stream.write::<Complex<f64>>(&values).unwrap();
        let frame = stream.read().unwrap().unwrap();
        assert_eq!(frame.as_slice::<Complex<f64>>().unwrap(), values);
        assert_eq!(frame.to_owned().as_slice::<Complex<f64>>().unwrap(), values);
        let scalar = frame.view().scalar(&[0]).unwrap();
        assert_eq!(scalar, Scalar::C64([1.5, -2.0]));
        let all = frame.view().array::<Complex<f64>>().unwrap();
        assert_eq!(all, array![values[0], values[1]].into_dyn());
        assert!(matches!(
            frame.as_slice::<[f64; 2]>(),
            Err(Error::Type { .. })
        ));
        stream.to_typed::<Complex<f64>, 2>().unwrap();
    }

    #[test]
    fn a_stride_that_is_no_multiple_of_the_value_is_told() {
        let stream = stream("[Sample { z: Complex<f32>, id: u32 }; 4]");
        let mut loan = stream.loan().unwrap();
        let values = [1.0, 2.0, 3.0, 4.0].map(|re| Complex::new(re, -re));
        loan.field_mut("z")
            .unwrap()
            .fill_from::<Complex<f32>>(&values)
            .unwrap();
        let refused = loan
            .field_mut("z")
            .unwrap()
            .array_mut::<Complex<f32>>()
            .map(drop);
        assert!(matches!(refused, Err(Error::Field { .. })), "{refused:?}");
        loan.publish().unwrap();
        let frame = stream.read().unwrap().unwrap();
        let z = frame.field("z").unwrap();
        let text = z.array::<Complex<f32>>().unwrap_err().to_string();
        assert!(
            text.contains("`z`") && text.contains("12 bytes apart"),
            "{text}"
        );
        assert!(
            text.contains("multiple of their 8") && text.contains("to_vec"),
            "{text}"
        );
        assert_eq!(z.to_vec::<Complex<f32>>().unwrap(), values);
        // One of them is an array, wherever it lies.
        let one = z.at(&[3]).unwrap().array::<Complex<f32>>().unwrap();
        assert_eq!(one[[]], values[3]);
    }
}
