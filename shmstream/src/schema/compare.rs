//! The first difference between a stream's schema and a program's, in words.

use super::{Field, Item, Schema};

impl Item {
    /// Describes the first difference between the item in the stream and the item `program` that
    /// this program declares, or returns `None` when they are the same payload.
    ///
    /// Names of structs do not count: a payload is what its fields are.
    pub(crate) fn difference(&self, program: &Self) -> Option<String> {
        match (self, program) {
            (Self::Struct(stream), Self::Struct(program)) => {
                fields("", 0, &stream.fields, &program.fields).or_else(|| {
                    (stream.align != program.align).then(|| {
                        format!(
                            "alignment: {} in the stream, {} in this program",
                            stream.align, program.align
                        )
                    })
                })
            }
            (stream, program) => (stream != program)
                .then(|| format!("element: {stream} in the stream, {program} in this program")),
        }
    }
}

/// Compares two lists of fields in order. `base` is the offset of the struct in the payload, `path`
/// the names that lead to it, each with a dot behind it.
fn fields(path: &str, base: usize, stream: &[Field], program: &[Field]) -> Option<String> {
    (0..stream.len().max(program.len())).find_map(|i| {
        let (ours, theirs) = (program.get(i), stream.get(i));
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if theirs.name == ours.name => {
                same_name(path, base, theirs, ours)
            }
            (Some(theirs), Some(ours))
                if find(program, theirs).is_none() && find(stream, ours).is_none() =>
            {
                Some(format!(
                    "field at byte {}: `{path}{}: {}` in the stream, `{path}{}: {}` in this program",
                    base + theirs.offset,
                    theirs.name,
                    theirs.schema,
                    ours.name,
                    ours.schema,
                ))
            }
            (Some(theirs), _) if find(program, theirs).is_none() => {
                Some(sides(path, base, &theirs.name, Some(theirs), None))
            }
            (_, Some(ours)) => Some(sides(path, base, &ours.name, find(stream, ours), Some(ours))),
            (Some(theirs), None) => {
                Some(sides(path, base, &theirs.name, Some(theirs), find(program, theirs)))
            }
            (None, None) => None,
        }
    })
}

/// Compares two fields of one name.
fn same_name(path: &str, base: usize, theirs: &Field, ours: &Field) -> Option<String> {
    let alike = theirs.offset == ours.offset && theirs.schema.shape == ours.schema.shape;
    match (&theirs.schema.item, &ours.schema.item) {
        (Item::Struct(a), Item::Struct(b)) if alike => {
            let path = format!("{path}{}.", ours.name);
            fields(&path, base + ours.offset, &a.fields, &b.fields)
        }
        (a, b) => {
            (!alike || a != b).then(|| sides(path, base, &ours.name, Some(theirs), Some(ours)))
        }
    }
}

fn find<'a>(fields: &'a [Field], like: &Field) -> Option<&'a Field> {
    fields.iter().find(|field| field.name == like.name)
}

fn sides(
    path: &str,
    base: usize,
    name: &str,
    stream: Option<&Field>,
    program: Option<&Field>,
) -> String {
    let side = |field: Option<&Field>| {
        field.map_or_else(
            || "absent".to_owned(),
            |field| format!("{} at byte {}", field.schema, base + field.offset),
        )
    };
    let (stream, program) = (side(stream), side(program));
    format!("field `{path}{name}`: {stream} in the stream, {program} in this program")
}

impl Schema {
    /// Writes the shape as a tuple, `(480, 640)`.
    pub(crate) fn shape_text(&self) -> String {
        shape_text(&self.shape)
    }
}

/// Writes a shape as a tuple: `(480, 640)`, `(3,)`.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    match shape {
        [single] => format!("({single},)"),
        shape => {
            let lens: Vec<_> = shape.iter().map(ToString::to_string).collect();
            format!("({})", lens.join(", "))
        }
    }
}
