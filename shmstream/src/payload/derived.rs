//! What the derive says of a struct, and the checks that its output runs at compile time.
//!
//! The derive sees names, not types, so byte counts exist only when constants are evaluated. Each
//! check is a `const fn` that panics with a message; `#[track_caller]` puts that message on the
//! field, whose span the derive gives to the call.
#![deny(unsafe_code)]

use super::ShmPayload;
use super::text::{Text, equal};
use crate::schema::{Field, Schema};

/// A type that may be a field; says so in its own words when it may not.
///
/// `Checked` is the type itself. The derive names it in place of the type, so that a type which is
/// no payload is reported here and nowhere else.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a shared-memory payload",
    label = "not a `ShmPayload`",
    note = "payloads are u8 to u64, i8 to i64, f32, f64, half::f16, half::bf16, shmstream::Bool, \
            Complex<f32> and Complex<f64> (feature `num-complex`), arrays of payloads, and structs",
    note = "in place of bool use shmstream::Bool, of usize u64, of an enum its number, of a string \
            or a list an array of fixed length",
    note = "for a struct of your own add `#[derive(Clone, Copy, ShmPayload)]` and `#[repr(C)]`"
)]
pub trait FieldType {
    /// The type itself.
    type Checked;
}

#[diagnostic::do_not_recommend]
impl<T: ShmPayload> FieldType for T {
    type Checked = T;
}

/// A type that may be a field of a struct with `#[shm(gpu)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no equivalent on the GPU",
    label = "not a `GpuPayload`",
    note = "types with a GPU equivalent are half::f16, half::bf16, f32, f64, i8, i16, i32, i64 and \
            u8, arrays of them, and structs derived with `#[shm(gpu)]`",
    note = "use a signed integer of the same size in place of u16, u32 and u64, u8 in place of \
            Bool, and `[f32; 2]` or `[f64; 2]` in place of a complex number"
)]
pub trait GpuFieldType {
    /// The type itself.
    type Checked;
}

#[diagnostic::do_not_recommend]
impl<T: super::GpuPayload> GpuFieldType for T {
    type Checked = T;
}

/// A struct as the derive saw it.
pub trait Layout: Sized {
    /// The name of the struct.
    const NAME: &'static str;
    /// Its fields in the order of declaration.
    const FIELDS: &'static [FieldLayout];
}

/// The field at this place, each in an item of its own: rustc reports the same unsatisfied bound
/// only once an item, and two fields of the same wrong type are two mistakes.
pub trait FieldAt<const INDEX: usize> {
    /// The field.
    const LAYOUT: FieldLayout;
}

/// One field of a struct.
pub struct FieldLayout {
    name: &'static str,
    offset: usize,
    size: usize,
    align: usize,
    schema: fn() -> Schema,
}

impl FieldLayout {
    /// Returns the layout of a field of type `T`.
    ///
    /// `_take` moves the field out of the struct. It is never called: that it has this type proves
    /// that the field has exactly the type `T`, whatever other macros did to the struct.
    #[must_use]
    pub const fn new<S, T: ShmPayload>(
        name: &'static str,
        offset: usize,
        _take: fn(S) -> T,
    ) -> Self {
        Self {
            name,
            offset,
            size: size_of::<T>(),
            align: align_of::<T>(),
            schema: T::schema,
        }
    }

    const fn end(&self) -> usize {
        self.offset + self.size
    }

    /// Adds "`gain`", or "field 1" for a tuple struct.
    const fn describe(&self, text: Text) -> Text {
        if self.is_unnamed() {
            text.text("field ").text(self.name)
        } else {
            text.text("`").text(self.name).text("`")
        }
    }

    const fn is_unnamed(&self) -> bool {
        self.name.as_bytes()[0].is_ascii_digit()
    }
}

/// Returns the schema of a struct.
#[must_use]
pub fn schema_of<S: Layout>() -> Schema {
    let field = |field: &FieldLayout| Field::new(field.name, field.offset, (field.schema)());
    let fields = S::FIELDS.iter().map(field).collect();
    Schema::structure(S::NAME, size_of::<S>(), align_of::<S>(), fields)
}

/// Refuses a field that has no size, or that does not begin where the one before it ends.
#[track_caller]
pub const fn check_field<S: Layout>(index: usize) {
    let field = &S::FIELDS[index];
    let text = Text::new("");
    if field.size == 0 {
        let text = field
            .describe(text)
            .text(" has no bytes, so it carries nothing: remove it");
        panic!("{}", text.as_str());
    }
    let end = end_before(S::FIELDS, index);
    if field.offset < end {
        let text = field
            .describe(text)
            .text(" does not come after the field declared before it: keep `repr(C)`");
        panic!("{}", text.as_str());
    }
    let gap = field.offset - end;
    if gap > 0 {
        let text = text.byte_count(gap).text(" of padding before ");
        let text = field.describe(text).text(": add ");
        let text = padding_field(text, S::FIELDS, index, gap)
            .text(" before it, or declare the fields from largest to smallest alignment");
        panic!("{}", text.as_str());
    }
}

/// Refuses bytes after the last field.
#[track_caller]
pub const fn check_end<S: Layout>() {
    let index = S::FIELDS.len() - 1;
    let last = &S::FIELDS[index];
    // One mistake, one message: what is wrong then is the alignment, see `check_align`.
    if last.end() >= size_of::<S>() || align_of::<S>() > MAX_ALIGN {
        return;
    }
    let gap = size_of::<S>() - last.end();
    let text = Text::new("").byte_count(gap).text(" of padding after ");
    let text = last
        .describe(text)
        .text(", at the end of `")
        .text(S::NAME)
        .text("`: add ");
    let text = padding_field(text, S::FIELDS, index + 1, gap).text(" after it");
    let text = if align_of::<S>() > largest_align(S::FIELDS) {
        text.text(", or lower the alignment of `")
            .text(S::NAME)
            .text("`")
    } else {
        text
    };
    panic!("{}", text.as_str());
}

/// Slots are page-aligned at most.
const MAX_ALIGN: usize = 4096;

/// Refuses an alignment that a slot cannot have.
#[track_caller]
pub const fn check_align<S: Layout>() {
    // A field with such an alignment has been refused where its own struct is declared.
    if align_of::<S>() > MAX_ALIGN && largest_align(S::FIELDS) <= MAX_ALIGN {
        let text = Text::new("`")
            .text(S::NAME)
            .text("` is aligned to ")
            .byte_count(align_of::<S>())
            .text(", but streams align to 4096 bytes at most: lower the alignment");
        panic!("{}", text.as_str());
    }
}

/// Returns where the fields before this one end.
const fn end_before(fields: &[FieldLayout], index: usize) -> usize {
    if index == 0 {
        0
    } else {
        fields[index - 1].end()
    }
}

const fn largest_align(fields: &[FieldLayout]) -> usize {
    let mut largest = 1;
    let mut i = 0;
    while i < fields.len() {
        if fields[i].align > largest {
            largest = fields[i].align;
        }
        i += 1;
    }
    largest
}

/// Adds the declaration of a field that fills the gap before `index`.
const fn padding_field(text: Text, fields: &[FieldLayout], index: usize, gap: usize) -> Text {
    if fields[0].is_unnamed() {
        return text.text("a field `[u8; ").number(gap).text("]`");
    }
    // Every gap of the struct gets another name, so that all messages can be followed at once.
    let mut gaps_before = 0;
    let mut i = 0;
    while i < index {
        if fields[i].offset > end_before(fields, i) {
            gaps_before += 1;
        }
        i += 1;
    }
    let mut suffix = 0;
    loop {
        let name = padding_name(suffix);
        if !is_taken(fields, name.as_str()) {
            if gaps_before == 0 {
                return text
                    .text("`")
                    .text(name.as_str())
                    .text(": [u8; ")
                    .number(gap)
                    .text("]`");
            }
            gaps_before -= 1;
        }
        suffix += 1;
    }
}

/// Returns `_pad`, `_pad1`, `_pad2` and so on.
const fn padding_name(suffix: usize) -> Text {
    let name = Text::new("_pad");
    if suffix == 0 {
        name
    } else {
        name.number(suffix)
    }
}

const fn is_taken(fields: &[FieldLayout], name: &str) -> bool {
    let mut i = 0;
    while i < fields.len() {
        if equal(fields[i].name, name) {
            return true;
        }
        i += 1;
    }
    false
}
