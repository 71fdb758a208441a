//! Values as JSON.
//!
//! An array is an array, a struct an object with its fields in order. Integers are exact, floats have
//! the shortest digits that lead back to the value. JSON has no numbers for the rest: `NaN`,
//! infinities are the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, and a complex number is the
//! array of its real and imaginary part.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::element::Element;
use super::{Parts, Value};

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.parts() {
            Parts::Rows(rows) => serializer.collect_seq(rows.iter()),
            Parts::Fields(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields.iter() {
                    map.serialize_entry(name, &value)?;
                }
                map.end()
            }
            Parts::Scalar(element) => element.serialize(serializer),
        }
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Bool(value) => serializer.serialize_bool(value),
            Self::Unsigned(value) => serializer.serialize_u64(value),
            Self::Signed(value) => serializer.serialize_i64(value),
            Self::Single(value) if value.is_finite() => serializer.serialize_f32(value),
            Self::Single(value) => serializer.serialize_str(not_a_number(value.into())),
            Self::Double(value) if value.is_finite() => serializer.serialize_f64(value),
            Self::Double(value) => serializer.serialize_str(not_a_number(value)),
            Self::ComplexSingle(parts) => serializer.collect_seq(parts.map(Self::Single)),
            Self::ComplexDouble(parts) => serializer.collect_seq(parts.map(Self::Double)),
            Self::Unknown => serializer.serialize_none(),
        }
    }
}

/// Names what JSON has no number for, as JavaScript and Python's `float` do.
fn not_a_number(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

#[cfg(test)]
mod tests {
    use shmstream::DType;

    use super::super::tests::{scalar, state, state_bytes};
    use super::*;

    fn json(schema: &shmstream::Schema, bytes: &[u8]) -> String {
        serde_json::to_string(&Value::new(schema, bytes)).unwrap()
    }

    #[test]
    fn writes_structs_in_order() {
        let schema = state().array(1);
        assert_eq!(
            json(&schema, &state_bytes(12.25)),
            r#"[{"time":12.25,"pose":{"position":[0.1,-2.0,"NaN"],"gain":1.5},"on":[false,true],"id":[1,2,65535]}]"#
        );
    }

    #[test]
    fn writes_what_json_has_no_number_for() {
        let values = [f64::INFINITY, f64::NEG_INFINITY, -f64::NAN, -0.0];
        let bytes: Vec<_> = values
            .iter()
            .flat_map(|value| value.to_ne_bytes())
            .collect();
        let schema = scalar(DType::F64).array(4);
        assert_eq!(
            json(&schema, &bytes),
            r#"["Infinity","-Infinity","NaN",-0.0]"#
        );
        let schema = scalar(DType::C64).array(2);
        assert_eq!(
            json(&schema, &bytes),
            r#"[["Infinity","-Infinity"],["NaN",-0.0]]"#
        );
    }

    #[test]
    fn keeps_integers_exact() {
        let bytes = [u64::MAX.to_ne_bytes(), (u64::MAX - 1).to_ne_bytes()].concat();
        let schema = scalar(DType::U64).array(1).array(2);
        assert_eq!(
            json(&schema, &bytes),
            "[[18446744073709551615],[18446744073709551614]]"
        );
    }
}
