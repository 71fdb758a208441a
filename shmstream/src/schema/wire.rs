//! A schema as bytes in a stream's header.
//!
//! | part | bytes |
//! |---|---|
//! | schema | rank `u8`, that many lengths `u64`, then an item |
//! | item | the dtype's code `u8`; or `0xff` and a struct |
//! | struct | name, size `u64`, alignment `u32`, number of fields `u16`, that many fields |
//! | field | name, offset `u64`, schema |
//! | name | length in bytes `u8`, UTF-8 |
//!
//! Integers are little-endian. Reading checks everything that a program could stumble over later:
//! limits, alignment, and that sizes and offsets add up without padding.

use super::build::is_name;
use super::{Field, Item, Schema, StructSchema};
use crate::dtype::DType;

/// Dimensions of one schema.
pub(super) const MAX_RANK: usize = 8;
/// Structs inside structs, the outermost included.
pub(super) const MAX_DEPTH: usize = 16;
/// Fields of one struct.
pub(super) const MAX_FIELDS: usize = 1024;
/// Alignment of an item: slots are page-aligned at most.
pub(crate) const MAX_ALIGN: usize = 4096;
/// Stands where a dtype's code would, for a struct.
const STRUCT: u8 = 0xff;

/// Why a schema cannot be written or read.
pub(crate) type Defect = &'static str;

impl Schema {
    /// Writes the schema as bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Defect> {
        let mut out = Vec::new();
        encode_schema(self, &mut out)?;
        // A schema that this function wrote is one that `decode` reads.
        Self::decode(&out)?;
        Ok(out)
    }

    /// Reads a schema from bytes, which may hold anything.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Defect> {
        let mut input = Input(bytes);
        let schema = input.schema(0)?;
        match input.0 {
            [] => Ok(schema),
            _ => Err("bytes follow the schema"),
        }
    }
}

fn encode_schema(schema: &Schema, out: &mut Vec<u8>) -> Result<(), Defect> {
    out.push(u8::try_from(schema.shape.len()).map_err(|_| "more than 8 dimensions")?);
    for &len in &schema.shape {
        out.extend((len as u64).to_le_bytes());
    }
    match &schema.item {
        Item::Scalar(dtype) => out.push(dtype.code()),
        Item::Struct(structure) => {
            out.push(STRUCT);
            encode_name(&structure.name, out)?;
            out.extend((structure.size as u64).to_le_bytes());
            let align = u32::try_from(structure.align).map_err(|_| "alignment above 4096")?;
            out.extend(align.to_le_bytes());
            let len = u16::try_from(structure.fields.len()).map_err(|_| "more than 1024 fields")?;
            out.extend(len.to_le_bytes());
            for field in &structure.fields {
                encode_name(&field.name, out)?;
                out.extend((field.offset as u64).to_le_bytes());
                encode_schema(&field.schema, out)?;
            }
        }
    }
    Ok(())
}

fn encode_name(name: &str, out: &mut Vec<u8>) -> Result<(), Defect> {
    out.push(u8::try_from(name.len()).map_err(|_| "a name longer than 255 bytes")?);
    out.extend(name.as_bytes());
    Ok(())
}

/// The bytes not read yet.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8], Defect> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or("the schema is cut short")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Defect> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or("the schema is cut short")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Defect> {
        self.array().map(|[byte]| byte)
    }

    fn size(&mut self) -> Result<usize, Defect> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| "a size is too large")
    }

    fn name(&mut self) -> Result<String, Defect> {
        let len = usize::from(self.u8()?);
        let name = str::from_utf8(self.take(len)?).map_err(|_| "a name is not UTF-8")?;
        if !is_name(name) {
            return Err("a name is no identifier");
        }
        Ok(name.to_owned())
    }

    fn schema(&mut self, depth: usize) -> Result<Schema, Defect> {
        let rank = usize::from(self.u8()?);
        if rank > MAX_RANK {
            return Err("more than 8 dimensions");
        }
        let shape = (0..rank)
            .map(|_| self.size())
            .collect::<Result<Vec<_>, _>>()?;
        let item = match self.u8()? {
            STRUCT => Item::Struct(self.structure(depth)?),
            code => Item::Scalar(DType::from_code(code).ok_or("an unknown dtype")?),
        };
        shape
            .iter()
            .try_fold(item.size(), |size, &len| size.checked_mul(len))
            .filter(|&size| size > 0 && isize::try_from(size).is_ok())
            .ok_or("a shape whose size is zero or too large")?;
        Ok(Schema { shape, item })
    }

    fn structure(&mut self, depth: usize) -> Result<StructSchema, Defect> {
        if depth == MAX_DEPTH {
            return Err("more than 16 structs inside each other");
        }
        let name = self.name()?;
        let size = self.size()?;
        let align = usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        let len = usize::from(u16::from_le_bytes(self.array()?));
        if len > MAX_FIELDS {
            return Err("more than 1024 fields");
        }
        // Grows with what is read, so a large `len` over few bytes reserves nothing.
        let mut fields = Vec::new();
        let mut end = 0_usize;
        for _ in 0..len {
            let field = self.field(depth)?;
            if field.offset != end || !end.is_multiple_of(field.schema.align()) {
                return Err("a field that does not begin where the one before it ends");
            }
            if fields.iter().any(|known: &Field| known.name == field.name) {
                return Err("two fields of one name");
            }
            let next = end.checked_add(field.schema.size());
            end = next.ok_or("a struct that is too large")?;
            if align < field.schema.align() {
                return Err("a struct that is aligned less than its fields");
            }
            fields.push(field);
        }
        if !align.is_power_of_two() || align > MAX_ALIGN {
            return Err("an alignment that is not a power of two up to 4096");
        }
        if end != size || size == 0 || !size.is_multiple_of(align) {
            return Err("a struct whose size is not that of its fields");
        }
        Ok(StructSchema {
            name,
            size,
            align,
            fields,
        })
    }

    fn field(&mut self, depth: usize) -> Result<Field, Defect> {
        let name = self.name()?;
        let offset = self.size()?;
        let schema = self.schema(depth + 1)?;
        Ok(Field {
            name,
            offset,
            schema,
        })
    }
}
