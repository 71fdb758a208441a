//! A frame's bytes as values: whatever the payload is, found out from the schema alone.

pub(crate) mod element;
pub(crate) mod json;
pub(crate) mod npy;
pub(crate) mod select;
pub(crate) mod text;

use shmstream::{DType, Field, Item, Schema};

use element::Element;

/// Bytes, and what they are: an array of items, or with an empty shape a single one.
#[derive(Clone, Copy)]
pub(crate) struct Value<'a> {
    shape: &'a [usize],
    item: &'a Item,
    bytes: &'a [u8],
}

/// What a value consists of.
pub(crate) enum Parts<'a> {
    /// An array, to be taken apart along its outermost dimension.
    Rows(Rows<'a>),
    /// A struct's fields.
    Fields(Fields<'a>),
    /// A scalar.
    Scalar(Element),
}

impl<'a> Value<'a> {
    /// Joins a schema and the bytes of one value of it. Bytes that are missing count as zero items.
    pub(crate) fn new(schema: &'a Schema, bytes: &'a [u8]) -> Self {
        Self {
            shape: schema.shape(),
            item: schema.item(),
            bytes,
        }
    }

    /// Takes the value apart.
    pub(crate) fn parts(self) -> Parts<'a> {
        match (self.shape, self.item) {
            ([_, ..], _) => Parts::Rows(Rows(self)),
            ([], Item::Struct(structure)) => Parts::Fields(Fields {
                fields: structure.fields(),
                bytes: self.bytes,
            }),
            ([], Item::Scalar(dtype)) => Parts::Scalar(Element::read(*dtype, self.bytes)),
        }
    }

    /// Leaves out the outermost dimensions that have the length 1.
    pub(crate) fn without_outer_ones(mut self) -> Self {
        while let [1, inner @ ..] = self.shape {
            self.shape = inner;
        }
        self
    }

    /// Returns the dimensions.
    pub(crate) fn shape(self) -> &'a [usize] {
        self.shape
    }

    /// Returns what the array is made of.
    pub(crate) fn item(self) -> &'a Item {
        self.item
    }

    /// Returns the item at a flat index, which must be below the number of items.
    pub(crate) fn flat(self, index: usize) -> Self {
        let size = self.item.size();
        let bytes = self.bytes.get(index * size..).unwrap_or_default();
        Self {
            shape: &[],
            item: self.item,
            bytes: bytes.get(..size).unwrap_or_default(),
        }
    }

    /// Counts the items.
    pub(crate) fn items(self) -> usize {
        self.shape.iter().product()
    }

    /// Counts the scalars in all items.
    pub(crate) fn scalars(self) -> usize {
        self.items().saturating_mul(scalars_of(self.item))
    }
}

fn scalars_of(item: &Item) -> usize {
    match item {
        Item::Scalar(_) => 1,
        Item::Struct(structure) => structure
            .fields()
            .iter()
            .map(|field| {
                field.schema().shape().iter().product::<usize>() * scalars_of(field.schema().item())
            })
            .sum(),
    }
}

/// Says whether any scalar of an item has this type.
pub(crate) fn contains(item: &Item, wanted: DType) -> bool {
    match item {
        Item::Scalar(dtype) => *dtype == wanted,
        Item::Struct(structure) => structure
            .fields()
            .iter()
            .any(|field| contains(field.schema().item(), wanted)),
    }
}

/// The rows of an array.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a>(Value<'a>);

impl<'a> Rows<'a> {
    /// Counts the rows.
    pub(crate) fn len(self) -> usize {
        self.0.shape[0]
    }

    /// Returns a row, which must be below `len`.
    pub(crate) fn row(self, index: usize) -> Value<'a> {
        let shape = &self.0.shape[1..];
        let size = shape.iter().product::<usize>() * self.0.item.size();
        let bytes = self.0.bytes.get(index * size..).unwrap_or_default();
        Value {
            shape,
            item: self.0.item,
            bytes: bytes.get(..size).unwrap_or_default(),
        }
    }

    /// Returns all rows in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).map(move |index| self.row(index))
    }
}

/// The fields of a struct.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    fields: &'a [Field],
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Counts the fields.
    pub(crate) fn len(self) -> usize {
        self.fields.len()
    }

    /// Returns the names and values in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, Value<'a>)> {
        self.fields.iter().map(move |field| {
            let bytes = self.bytes.get(field.offset()..).unwrap_or_default();
            let bytes = bytes.get(..field.schema().size()).unwrap_or_default();
            (field.name(), Value::new(field.schema(), bytes))
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn scalar(dtype: DType) -> Schema {
        Schema::scalar(dtype)
    }

    pub(crate) fn structure(name: &str, fields: &[(&str, Schema)]) -> Schema {
        let (mut offset, mut align) = (0, 1);
        let fields = fields
            .iter()
            .map(|(name, schema)| {
                let field = Field::new(name, offset, schema.clone());
                offset += schema.size();
                align = align.max(schema.align());
                field
            })
            .collect();
        Schema::structure(name, offset, align, fields)
    }

    /// `State { time: f64, pose: Pose { position: [f32; 3], gain: f32 }, on: [Bool; 2], id: [u16; 3] }`
    pub(crate) fn state() -> Schema {
        let pose = structure(
            "Pose",
            &[
                ("position", scalar(DType::F32).array(3)),
                ("gain", scalar(DType::F32)),
            ],
        );
        structure(
            "State",
            &[
                ("time", scalar(DType::F64)),
                ("pose", pose),
                ("on", scalar(DType::Bool).array(2)),
                ("id", scalar(DType::U16).array(3)),
            ],
        )
    }

    pub(crate) fn state_bytes(time: f64) -> Vec<u8> {
        let mut bytes = time.to_ne_bytes().to_vec();
        for value in [0.1_f32, -2.0, f32::NAN, 1.5] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes.extend([0, 7]);
        for value in [1_u16, 2, 65535] {
            bytes.extend(value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn counts_and_takes_apart() {
        let schema = state().array(2);
        let bytes = [state_bytes(1.0), state_bytes(2.0)].concat();
        assert_eq!(schema.size(), bytes.len());
        let value = Value::new(&schema, &bytes);
        assert_eq!((value.items(), value.scalars()), (2, 20));
        let Parts::Fields(fields) = value.flat(1).parts() else {
            panic!("a struct")
        };
        let names: Vec<_> = fields.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["time", "pose", "on", "id"]);
        assert!(contains(schema.item(), DType::Bool));
        assert!(!contains(schema.item(), DType::BF16));
    }

    #[test]
    fn short_bytes_are_no_panic() {
        let schema = state().array(2);
        for len in 0..80 {
            let bytes = vec![1; len];
            let _ = text::line(Value::new(&schema, &bytes));
        }
    }
}
