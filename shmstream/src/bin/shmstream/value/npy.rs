//! Values as NumPy's `.npy` files.
//!
//! A struct becomes a structured dtype, with nested structs and arrays inside it. `Bool` becomes
//! `|b1` with every byte that is not zero written as 1. NumPy has no bfloat16: it becomes `<u2`, the
//! bits as they are; `(a.astype("u4") << 16).view("f4")` has the values.

use std::io::{self, Write};

use shmstream::{DType, Item, Schema};

use super::{Parts, Value, contains};

const MAGIC: &[u8] = b"\x93NUMPY";
/// `numpy.load` refuses headers longer than this, unless told otherwise.
const LOADED: usize = 10_000;
/// The array's bytes begin at a multiple of this.
const ALIGN: usize = 64;
const ORDER: char = if cfg!(target_endian = "little") {
    '<'
} else {
    '>'
};

/// Writes a value of this schema as a whole file.
pub(crate) fn write(out: &mut impl Write, schema: &Schema, bytes: &[u8]) -> io::Result<()> {
    out.write_all(&header(schema)?)?;
    if contains(schema.item(), DType::Bool) {
        write_normal(out, Value::new(schema, bytes))
    } else {
        out.write_all(bytes)
    }
}

/// Says what a reader of the file has to know.
pub(crate) fn notes(schema: &Schema) -> Vec<String> {
    let bits = contains(schema.item(), DType::BF16).then(|| {
        "NumPy has no bfloat16: its bits are written as u2; (a.astype('u4') << 16).view('f4') has \
         the values"
            .to_owned()
    });
    let len = header(schema).map_or(0, |header| header.len());
    let long = (len > LOADED).then(|| {
        format!("NumPy loads so many fields if asked to: numpy.load(.., max_header_size={len})")
    });
    bits.into_iter().chain(long).collect()
}

/// Writes the bytes of a value, those of `Bool` as 0 or 1.
fn write_normal(out: &mut impl Write, value: Value<'_>) -> io::Result<()> {
    if !contains(value.item(), DType::Bool) {
        return out.write_all(value.bytes);
    }
    if let Item::Scalar(_) = value.item() {
        let normal: Vec<_> = value
            .bytes
            .iter()
            .map(|&byte| u8::from(byte != 0))
            .collect();
        return out.write_all(&normal);
    }
    match value.parts() {
        Parts::Rows(rows) => rows.iter().try_for_each(|row| write_normal(out, row)),
        Parts::Fields(fields) => fields
            .iter()
            .try_for_each(|(_, value)| write_normal(out, value)),
        Parts::Scalar(_) => Ok(()),
    }
}

/// Magic, version, length, and a Python literal that fills up to the next multiple of 64.
fn header(schema: &Schema) -> io::Result<Vec<u8>> {
    let dict = format!(
        "{{'descr': {}, 'fortran_order': False, 'shape': {}, }}",
        descr(schema.item()),
        tuple(schema.shape())
    );
    // Version 3 is the one whose header is UTF-8; version 1 has a shorter length.
    let short =
        dict.is_ascii() && dict.len() + MAGIC.len() + 2 + 2 + ALIGN <= usize::from(u16::MAX);
    let version = match (dict.is_ascii(), short) {
        (true, true) => 1,
        (true, false) => 2,
        (false, _) => 3,
    };
    let before = MAGIC.len() + 2 + if short { 2 } else { 4 };
    let total = (before + dict.len() + 1).next_multiple_of(ALIGN);
    let len = total - before;

    let mut header = MAGIC.to_vec();
    header.extend([version, 0]);
    let too_long = |_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the header is too long for .npy",
        )
    };
    if short {
        header.extend(u16::try_from(len).map_err(too_long)?.to_le_bytes());
    } else {
        header.extend(u32::try_from(len).map_err(too_long)?.to_le_bytes());
    }
    header.extend(dict.as_bytes());
    header.resize(total - 1, b' ');
    header.push(b'\n');
    Ok(header)
}

fn descr(item: &Item) -> String {
    match item {
        Item::Scalar(dtype) => format!("'{}'", code(*dtype)),
        Item::Struct(structure) => {
            let fields = structure.fields().iter().map(|field| {
                let (name, schema) = (literal(field.name()), field.schema());
                match schema.shape() {
                    [] => format!("({name}, {})", descr(schema.item())),
                    shape => format!("({name}, {}, {})", descr(schema.item()), tuple(shape)),
                }
            });
            format!("[{}]", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// NumPy's code of a type: byte order, kind, size.
fn code(dtype: DType) -> String {
    let kind = match dtype {
        DType::Bool => return "|b1".to_owned(),
        DType::U8 => return "|u1".to_owned(),
        DType::I8 => return "|i1".to_owned(),
        DType::U16 | DType::U32 | DType::U64 | DType::BF16 => 'u',
        DType::I16 | DType::I32 | DType::I64 => 'i',
        DType::F16 | DType::F32 | DType::F64 => 'f',
        DType::C32 | DType::C64 => 'c',
        // Bytes without a meaning, for types of a later version of the library.
        _ => return format!("|V{}", dtype.size()),
    };
    format!("{ORDER}{kind}{}", dtype.size())
}

fn tuple(shape: &[usize]) -> String {
    match shape {
        [len] => format!("({len},)"),
        shape => {
            let lens: Vec<_> = shape.iter().map(ToString::to_string).collect();
            format!("({})", lens.join(", "))
        }
    }
}

/// Writes a name as a Python string.
fn literal(name: &str) -> String {
    let mut out = String::from("'");
    for c in name.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{scalar, state, state_bytes, structure};
    use super::*;

    fn dict(schema: &Schema) -> String {
        let header = header(schema).unwrap();
        assert!(header.len().is_multiple_of(ALIGN));
        assert_eq!(header.last(), Some(&b'\n'));
        let skip = if header[6] == 1 { 10 } else { 12 };
        String::from_utf8(header[skip..].to_vec())
            .unwrap()
            .trim_end()
            .to_owned()
    }

    #[test]
    fn describes_scalars() {
        let codes: Vec<_> = DType::ALL.into_iter().map(code).collect();
        assert_eq!(
            codes.join(" "),
            "|b1 |u1 <u2 <u4 <u8 |i1 <i2 <i4 <i8 <f2 <u2 <f4 <f8 <c8 <c16"
                .replace('<', &ORDER.to_string())
        );
        assert_eq!(
            dict(&scalar(DType::I8).array(640).array(480)),
            "{'descr': '|i1', 'fortran_order': False, 'shape': (480, 640), }"
        );
        assert!(dict(&scalar(DType::I8)).contains("'shape': ()"));
    }

    #[test]
    fn describes_structs_inside_structs() {
        let descr = descr(state().array(2).item()).replace(ORDER, "<");
        assert_eq!(
            descr,
            "[('time', '<f8'), ('pose', [('position', '<f4', (3,)), ('gain', '<f4')]), \
             ('on', '|b1', (2,)), ('id', '<u2', (3,))]"
        );
    }

    #[test]
    fn chooses_the_version_by_the_header() {
        let version = |schema: &Schema| header(schema).unwrap()[6];
        assert_eq!(version(&state()), 1);
        let many: Vec<_> = (0..1024)
            .map(|i| (format!("{}_{i}", "long".repeat(20)), scalar(DType::U8)))
            .collect();
        let many: Vec<_> = many
            .iter()
            .map(|(name, schema)| (name.as_str(), schema.clone()))
            .collect();
        assert_eq!(version(&structure("S", &many)), 2);
        assert!(notes(&structure("S", &many))[0].contains("max_header_size"));
        assert!(notes(&state()).is_empty());
        assert_eq!(version(&structure("S", &[("größe", scalar(DType::U8))])), 3);
    }

    #[test]
    fn quotes_names() {
        assert_eq!(literal("a'b\\c\n"), r"'a\'b\\c\u000a'");
    }

    #[test]
    fn writes_bools_as_zero_or_one() {
        let schema = state().array(2);
        let bytes = [state_bytes(1.0), state_bytes(2.0)].concat();
        let mut file = Vec::new();
        write(&mut file, &schema, &bytes).unwrap();
        let payload = &file[header(&schema).unwrap().len()..];
        assert_eq!(payload.len(), bytes.len());
        assert_eq!((bytes[25], payload[25]), (7, 1));
        let differing = bytes.iter().zip(payload).filter(|(a, b)| a != b).count();
        assert_eq!(differing, 2);
    }
}
