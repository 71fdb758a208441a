use proptest::prelude::*;

use super::place::Place;
use super::*;
use crate::error::Error;
use crate::schema::Field;

fn name() -> StreamName {
    StreamName::new("view").unwrap()
}

fn schema(text: &str) -> Schema {
    text.parse().unwrap()
}

/// Bytes that begin as the items of every schema may.
#[repr(C, align(4096))]
struct Room([u8; 8192]);

impl Room {
    /// Every byte differs from its neighbours.
    fn numbered() -> Box<Self> {
        let mut room = Box::new(Self([0; 8192]));
        for (i, byte) in room.0.iter_mut().enumerate() {
            *byte = u8::try_from(i % 251).unwrap();
        }
        room
    }
}

/// Three stars of 16 bytes each: `position` at 0, `id` at 8, `kind` at 12.
const STARS: &str = "[Star { position: [f32; 2], id: u32, kind: [u16; 2] }; 3]";

/// Calls `test` with a writable view of three stars, of which the i-th has the id `i`.
fn with_stars(test: impl FnOnce(ViewMut<'_>)) {
    let (name, schema) = (name(), schema(STARS));
    let mut room = Box::new(Room([0; 8192]));
    let bytes = &mut room.0[..schema.size()];
    ViewMut::new(&name, &schema, bytes)
        .field("id")
        .unwrap()
        .fill_from(&[0_u32, 1, 2])
        .unwrap();
    test(ViewMut::new(&name, &schema, bytes));
}

#[test]
fn fields_of_an_array_of_structs_have_its_stride() {
    with_stars(|stars| {
        let stars = stars.as_view();
        assert_eq!((stars.shape(), stars.strides()), (vec![3], vec![16]));
        assert!(stars.is_contiguous() && stars.dtype().is_none());
        let kind = stars.field("kind").unwrap();
        assert_eq!((kind.shape(), kind.strides()), (vec![3, 2], vec![16, 2]));
        assert_eq!((kind.len(), kind.is_empty()), (6, false));
        assert_eq!(kind.dtype(), Some(DType::U16));
        assert!(!kind.is_contiguous());
        assert!(kind.at(&[1]).unwrap().is_contiguous());
        assert!(!stars.field("id").unwrap().is_contiguous());
        let id = stars.at(&[2]).unwrap().field("id").unwrap();
        assert!(id.is_contiguous() && id.shape().is_empty() && id.strides().is_empty());
        assert_eq!(id.get::<u32>(&[]).unwrap(), 2);
        assert_eq!(id.as_slice::<u32>().unwrap(), [2]);
        assert_eq!(id.to_vec::<u32>().unwrap(), [2]);
        assert_eq!(id.scalar(&[]).unwrap(), Scalar::U32(2));
    });
}

#[test]
fn values_are_set_and_read_back_in_order() {
    with_stars(|mut stars| {
        let mut kind = stars.reborrow().field("kind").unwrap();
        kind.fill_from(&[1_u16, 2, 3, 4, 5, 6]).unwrap();
        kind.set(&[1, 1], 40_u16).unwrap();
        kind.set(&[2], [50_u16, 60]).unwrap();
        let read = kind.as_view();
        assert_eq!(read.to_vec::<u16>().unwrap(), [1, 2, 3, 40, 50, 60]);
        assert_eq!(
            read.to_vec::<[u16; 2]>().unwrap(),
            [[1, 2], [3, 40], [50, 60]]
        );
        let mut iter = read.iter::<u16>().unwrap();
        assert_eq!((iter.len(), iter.nth(3), iter.len()), (6, Some(40), 2));
        drop(iter);
        let scalars: Vec<_> = read.scalars().unwrap().collect();
        assert_eq!(scalars[4], Scalar::U16(50));
        kind.fill_from(&[[7_u16, 8]; 3]).unwrap();
        kind.at(&[1]).unwrap().as_mut_slice::<u16>().unwrap()[0] = 9;
        let stars = stars.as_view();
        let kinds = stars.field("kind").unwrap().to_vec::<[u16; 2]>().unwrap();
        assert_eq!(kinds, [[7, 8], [9, 8], [7, 8]]);
        // The fields beside it are as they were.
        assert_eq!(
            stars.field("id").unwrap().to_vec::<u32>().unwrap(),
            [0, 1, 2]
        );
        let position = stars.field("position").unwrap();
        assert_eq!(position.to_vec::<f32>().unwrap(), [0.0; 6]);
    });
}

#[test]
fn indices_past_the_end_are_refused() {
    with_stars(|mut stars| {
        let kind = stars.as_view().field("kind").unwrap().clone();
        for index in [
            &[3][..],
            &[0, 2],
            &[3, 0],
            &[usize::MAX],
            &[usize::MAX, usize::MAX],
            &[0; 3],
        ] {
            let errors = [
                kind.get::<u16>(index).map(drop).unwrap_err(),
                kind.at(index).map(drop).unwrap_err(),
                kind.scalar(index).map(drop).unwrap_err(),
            ];
            for error in errors {
                assert!(
                    matches!(&error, Error::Index { index: i, shape, .. }
                        if i == index && shape == &[3, 2]),
                    "{error:?}"
                );
            }
        }
        // Too few are an array.
        assert!(matches!(kind.get::<u16>(&[0]), Err(Error::Shape { .. })));
        let error = kind.scalar(&[0]).unwrap_err();
        assert!(matches!(error, Error::Field { .. }));
        assert!(
            error.to_string().contains("`kind` has 2 dimensions"),
            "{error}"
        );
        let mut kind = stars.reborrow().field("kind").unwrap();
        assert!(matches!(kind.set(&[3, 0], 0_u16), Err(Error::Index { .. })));
        assert!(matches!(kind.set(&[0], 0_u16), Err(Error::Shape { .. })));
        assert!(matches!(kind.reborrow().at(&[3]), Err(Error::Index { .. })));
        let error = kind.fill_from(&[0_u16; 5]).unwrap_err();
        assert!(error.to_string().contains("must be 6, not 5"), "{error}");
    });
}

#[test]
fn scattered_values_are_no_slice_and_no_array_value() {
    with_stars(|mut stars| {
        let view = stars.as_view();
        let id = view.field("id").unwrap();
        let errors = [
            id.as_slice::<u32>().map(drop).unwrap_err(),
            id.get::<[u32; 3]>(&[]).map(drop).unwrap_err(),
            id.iter::<[u32; 3]>().map(drop).unwrap_err(),
            id.to_vec::<[u32; 3]>().map(drop).unwrap_err(),
            stars
                .reborrow()
                .field("id")
                .unwrap()
                .as_mut_slice::<u32>()
                .map(drop)
                .unwrap_err(),
            stars
                .reborrow()
                .field("id")
                .unwrap()
                .set(&[], [0_u32; 3])
                .unwrap_err(),
            stars
                .reborrow()
                .field("id")
                .unwrap()
                .fill_from(&[[0_u32; 3]])
                .unwrap_err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, Error::Field { field, .. } if field == "id"),
                "{error:?}"
            );
            let text = error.to_string();
            assert!(
                text.contains("[16] bytes apart") && text.contains("to_vec::<u32>"),
                "{text}"
            );
        }
    });
}

#[test]
fn a_dimension_of_one_scatters_nothing() {
    let (name, schema) = (name(), schema("[Pair { first: u32, second: u32 }; 1]"));
    let bytes = Room::numbered();
    let second = View::new(&name, &schema, &bytes.0[..8])
        .field("second")
        .unwrap();
    assert_eq!((second.shape(), second.strides()), (vec![1], vec![8]));
    let value = u32::from_ne_bytes([4, 5, 6, 7]);
    assert_eq!(second.as_slice::<u32>().unwrap(), [value]);
    assert_eq!(second.as_slice::<[u32; 1]>().unwrap(), [[value]]);
    assert_eq!(second.get::<[u32; 1]>(&[]).unwrap(), [value]);
}

#[test]
fn a_schema_that_points_out_of_its_frame_is_corrupt_and_no_panic() {
    let name = name();
    let scalar = || Schema::scalar(DType::U32);
    let far = Field::new("far", 4096, scalar());
    let near = Field::new("near", 0, scalar());
    let schema = Schema::structure("Wrong", 8, 4, vec![near, far]).array(2);
    let mut room = Room::numbered();
    let bytes = &mut room.0[..16];
    let view = View::new(&name, &schema, bytes).field("far").unwrap();
    let corrupt = [
        view.get::<u32>(&[1]).map(drop),
        view.scalar(&[1]).map(drop),
        view.at(&[0]).unwrap().as_slice::<u32>().map(drop),
        view.at(&[0]).unwrap().to_vec::<u32>().map(drop),
        ViewMut::new(&name, &schema, bytes)
            .field("far")
            .unwrap()
            .set(&[0], 1_u32),
    ];
    for result in corrupt {
        assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
    }
}

#[test]
fn frames_are_compared_as_views_are() {
    let (name, image) = (name(), schema("[[u16; 6]; 4]"));
    check_frame::<u16>(&name, &image).unwrap();
    check_frame::<[u16; 6]>(&name, &image).unwrap();
    check_frame::<[[u16; 6]; 4]>(&name, &image).unwrap();
    let type_ = check_frame::<i16>(&name, &image).unwrap_err();
    assert!(matches!(type_, Error::Type { .. }), "{type_:?}");
    let shapes = [
        check_frame::<[u16; 4]>(&name, &image),
        check_frame::<[[u16; 4]; 6]>(&name, &image),
        check_frame::<[[[u16; 6]; 4]; 1]>(&name, &image),
    ];
    for shape in shapes {
        assert!(matches!(shape, Err(Error::Shape { .. })), "{shape:?}");
    }
}

/// A random schema that is valid: fields from largest to smallest alignment have no padding between
/// them, and one of bytes fills the end.
fn any_schema(dtypes: &[DType]) -> impl Strategy<Value = Schema> + use<> {
    let dtype = prop::sample::select(dtypes.to_vec());
    let shape = || prop::collection::vec(1_usize..4, 0..3);
    let tensor = (dtype, shape()).prop_map(|(dtype, shape)| Schema::tensor(dtype, &shape));
    tensor.prop_recursive(3, 24, 4, move |inner| {
        (prop::collection::vec(inner, 1..4), shape()).prop_map(|(mut parts, shape)| {
            parts.sort_by_key(|part| std::cmp::Reverse(part.align()));
            let align = parts[0].align();
            let size: usize = parts.iter().map(Schema::size).sum();
            let missing = size.next_multiple_of(align) - size;
            if missing > 0 {
                parts.push(Schema::tensor(DType::U8, &[missing]));
            }
            let fields = parts.into_iter().enumerate();
            let fields = fields.map(|(i, part)| (format!("f{i}"), part));
            let one = Schema::structure_of("Any", fields).unwrap();
            shape
                .iter()
                .rev()
                .fold(one, |schema, &len| schema.array(len))
        })
    })
}

/// Where every scalar lies: its path, its full index, its type and its offset. Goes through the
/// schema value by value, and knows nothing of strides.
fn scalars_of(schema: &Schema) -> Vec<(String, Vec<usize>, DType, usize)> {
    fn walk(
        schema: &Schema,
        (path, index): (&str, &[usize]),
        at: &mut usize,
        out: &mut Vec<(String, Vec<usize>, DType, usize)>,
    ) {
        let one = |at: &mut usize, index: &[usize], out: &mut Vec<_>| match schema.item() {
            Item::Scalar(dtype) => {
                out.push((path.to_owned(), index.to_vec(), *dtype, *at));
                *at += dtype.size();
            }
            Item::Struct(structure) => {
                for field in structure.fields() {
                    let path = match path {
                        "" => field.name().to_owned(),
                        path => format!("{path}.{}", field.name()),
                    };
                    walk(field.schema(), (&path, index), at, out);
                }
            }
        };
        each(schema.shape(), &mut index.to_vec(), &mut |index| {
            one(at, index, out)
        });
    }
    fn each(shape: &[usize], index: &mut Vec<usize>, visit: &mut dyn FnMut(&[usize])) {
        let Some((&len, inner)) = shape.split_first() else {
            return visit(index);
        };
        for i in 0..len {
            index.push(i);
            each(inner, index, visit);
            index.pop();
        }
    }
    let (mut at, mut out) = (0, Vec::new());
    walk(schema, ("", &[]), &mut at, &mut out);
    assert_eq!(at, schema.size());
    out
}

proptest! {
    #[test]
    fn views_find_every_scalar(schema in any_schema(&DType::ALL)) {
        prop_assume!(schema.size() <= 8192);
        let (name, room) = (name(), Room::numbered());
        let bytes = &room.0[..schema.size()];
        let whole = View::new(&name, &schema, bytes);
        let scalars = scalars_of(&schema);
        let mut by_path = std::collections::BTreeMap::<_, Vec<_>>::new();
        for (path, index, dtype, offset) in &scalars {
            let view = match path.as_str() {
                "" => whole.clone(),
                path => whole.field(path).unwrap(),
            };
            let there = &bytes[*offset..*offset + dtype.size()];
            let expected = format!("{:?}", Scalar::read(*dtype, there).unwrap());
            prop_assert_eq!(view.dtype(), Some(*dtype));
            prop_assert_eq!(format!("{:?}", view.scalar(index).unwrap()), &expected[..]);
            // Index by index comes to the same place.
            let step = index.iter().try_fold(view, |view, &i| view.at(&[i])).unwrap();
            prop_assert_eq!(format!("{:?}", step.scalar(&[]).unwrap()), &expected[..]);
            by_path.entry(path).or_default().push((index, *offset, expected));
        }
        for (path, mut scalars) in by_path {
            scalars.sort();
            let place = Place::whole(&name, &schema);
            let place = if path.is_empty() { place } else { place.field(path).unwrap() };
            let offsets: Vec<_> = scalars.iter().map(|(_, offset, _)| *offset).collect();
            prop_assert_eq!(place.len(), scalars.len());
            prop_assert_eq!(place.offsets(place.rank()).collect::<Vec<_>>(), &offsets[..]);
            let Item::Scalar(dtype) = place.item() else { unreachable!() };
            let dense = offsets.windows(2).all(|pair| pair[0] + dtype.size() == pair[1]);
            prop_assert_eq!(place.is_contiguous(), dense);
            let view = if path.is_empty() { whole.clone() } else { whole.field(path).unwrap() };
            let read: Vec<_> = view.scalars().unwrap().map(|one| format!("{one:?}")).collect();
            let expected: Vec<_> = scalars.into_iter().map(|(_, _, one)| one).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_nothing_else_changes(
        schema in any_schema(&[DType::U32, DType::U32, DType::U8, DType::F64]),
        pick in any::<prop::sample::Index>(),
    ) {
        prop_assume!(schema.size() <= 8192);
        let scalars: Vec<_> = scalars_of(&schema)
            .into_iter()
            .filter(|(_, _, dtype, _)| *dtype == DType::U32)
            .collect();
        prop_assume!(!scalars.is_empty());
        let (path, index, _, offset) = pick.get(&scalars);
        let (name, mut room) = (name(), Room::numbered());
        let before = room.0;
        let bytes = &mut room.0[..schema.size()];
        fn field<'a>(whole: ViewMut<'a>, path: &str) -> ViewMut<'a> {
            if path.is_empty() { whole } else { whole.field(path).unwrap() }
        }
        let mut view = field(ViewMut::new(&name, &schema, bytes), path);
        view.set(index, 0xffee_ddcc_u32).unwrap();
        let mut expected = before;
        expected[*offset..offset + 4].copy_from_slice(&0xffee_ddcc_u32.to_ne_bytes());
        prop_assert!(room.0 == expected);
        // All of the field, and nothing beside it.
        let len = scalars.iter().filter(|one| &one.0 == path).count();
        let values: Vec<_> = (0..).take(len).collect();
        let bytes = &mut room.0[..schema.size()];
        let mut view = field(ViewMut::new(&name, &schema, bytes), path);
        view.fill_from::<u32>(&values).unwrap();
        prop_assert_eq!(view.as_view().to_vec::<u32>().unwrap(), values);
        for (_, _, _, offset) in scalars.iter().filter(|one| &one.0 == path) {
            expected[*offset..offset + 4].copy_from_slice(&room.0[*offset..offset + 4]);
        }
        prop_assert!(room.0 == expected);
    }

    #[test]
    fn no_path_and_no_index_panics(
        schema in any_schema(&DType::ALL),
        path in "(f[0-4]|\\.|é| |Any|f0\\.f1|f1\\.f0\\.f0){0,4}",
        index in prop::collection::vec(prop_oneof![0_usize..4, Just(usize::MAX)], 0..5),
    ) {
        prop_assume!(schema.size() <= 8192);
        let (name, mut room) = (name(), Room::numbered());
        let bytes = &mut room.0[..schema.size()];
        let whole = View::new(&name, &schema, bytes);
        for view in [Ok(whole.clone()), whole.field(&path)].into_iter().flatten() {
            let lens = view.shape();
            let inside = index.len() <= lens.len() && index.iter().zip(&lens).all(|(i, len)| i < len);
            prop_assert_eq!(view.at(&index).is_ok(), inside);
            prop_assert!(inside || view.get::<u8>(&index).is_err());
            prop_assert!(inside || view.scalar(&index).is_err());
            let is_scalar = inside && index.len() == lens.len() && view.dtype().is_some();
            prop_assert_eq!(view.scalar(&index).is_ok(), is_scalar);
            for read in [view.to_vec::<u8>().map(|all| all.len()), view.iter::<u8>().map(|all| all.len())] {
                prop_assert_eq!(read.ok(), (view.dtype() == Some(DType::U8)).then(|| view.len()));
            }
            drop((view.as_slice::<f32>(), view.to_vec::<[u16; 3]>(), view.get::<[[i8; 2]; 2]>(&index)));
            #[cfg(feature = "ndarray")]
            drop((view.array::<f32>(), view.array::<[u16; 3]>()));
        }
        if let Ok(mut view) = ViewMut::new(&name, &schema, bytes).field(&path) {
            drop((view.set(&index, 0_u8), view.fill_from(&[0_f64; 3])));
            drop(view.as_mut_slice::<f32>());
        }
    }
}
