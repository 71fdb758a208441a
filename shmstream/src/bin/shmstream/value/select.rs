//! One field of a frame, by its path.

use shmstream::{Field, Schema};

/// Copies a field out of every item: the shape of the result is the outer shape followed by the
/// field's own.
///
/// `path` is dotted, as in `pose.position`; the fields of a tuple struct are `0`, `1` and so on.
///
/// # Errors
///
/// Says which part of the path does not fit, and what there is instead.
pub(crate) fn select(
    schema: &Schema,
    bytes: &[u8],
    path: &str,
) -> Result<(Schema, Vec<u8>), String> {
    let mut found = (schema.clone(), bytes.to_vec());
    let mut parent = String::new();
    for name in path.split('.') {
        found = field(&found.0, &found.1, name).map_err(|reason| {
            let place = if parent.is_empty() {
                "a frame".to_owned()
            } else {
                format!("`{parent}`")
            };
            format!("{place} {reason}")
        })?;
        if !parent.is_empty() {
            parent.push('.');
        }
        parent.push_str(name);
    }
    Ok(found)
}

fn field(schema: &Schema, bytes: &[u8], name: &str) -> Result<(Schema, Vec<u8>), String> {
    let fields = schema.fields();
    if fields.is_empty() {
        return Err(format!("is {schema} and has no fields"));
    }
    let Some(field) = fields.iter().find(|field| field.name() == name) else {
        let names: Vec<_> = fields.iter().map(Field::name).collect();
        let names = names.join(", ");
        return Err(format!("has no field `{name}`; its fields are: {names}"));
    };
    let range = field.offset()..field.offset() + field.schema().size();
    let bytes = bytes
        .chunks_exact(schema.item().size())
        .flat_map(|item| &item[range.clone()])
        .copied()
        .collect();
    let outer = schema.shape().iter().rev();
    let schema = outer.fold(field.schema().clone(), |inner, &len| inner.array(len));
    Ok((schema, bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{state, state_bytes};
    use super::super::{Value, text};
    use super::*;

    #[test]
    fn copies_a_nested_field_out_of_every_item() {
        let schema = state().array(2);
        let bytes = [state_bytes(1.0), state_bytes(2.0)].concat();
        let (time, bytes_of_time) = select(&schema, &bytes, "time").unwrap();
        assert_eq!(time.to_string(), "[f64; 2]");
        assert_eq!(text::line(Value::new(&time, &bytes_of_time)), "[1.0, 2.0]");
        let (gain, bytes_of_gain) = select(&schema, &bytes, "pose.gain").unwrap();
        assert_eq!(gain.to_string(), "[f32; 2]");
        assert_eq!(text::line(Value::new(&gain, &bytes_of_gain)), "[1.5, 1.5]");
        let (position, bytes) = select(&schema, &bytes, "pose.position").unwrap();
        assert_eq!(position.to_string(), "[[f32; 3]; 2]");
        assert_eq!(position.size(), bytes.len());
    }

    #[test]
    fn says_what_there_is() {
        let (schema, bytes) = (state(), state_bytes(0.0));
        let refused = |path| select(&schema, &bytes, path).unwrap_err();
        assert_eq!(
            refused("tim"),
            "a frame has no field `tim`; its fields are: time, pose, on, id"
        );
        assert_eq!(
            refused("pose.x"),
            "`pose` has no field `x`; its fields are: position, gain"
        );
        assert_eq!(
            refused("pose.gain.x"),
            "`pose.gain` is f32 and has no fields"
        );
        assert_eq!(
            refused(""),
            "a frame has no field ``; its fields are: time, pose, on, id"
        );
    }
}
