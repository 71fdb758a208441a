//! The rejections that need no more than the syntax.
//!
//! Types that only look wrong by their name, such as `String`, are left to the trait bound: a
//! program may have a payload of that name. The primitive types refused here are the ones that
//! users write, and that the bound's message would not tell how to replace.

use syn::{Data, Ident, Type, TypeReference};

use crate::ast::{Errors, FieldInput, Input, unraw};
use crate::attr::{self, Repr};

/// Fields of one struct, as the schema stores them.
const MAX_FIELDS: usize = 1024;
/// Bytes of a name, as the schema stores them.
const MAX_NAME: usize = 255;

pub(crate) fn check(input: &Input<'_>, errors: &mut Errors) {
    match input.data {
        Data::Struct(_) => check_struct(input, errors),
        Data::Enum(data) => errors.push(
            data.enum_token,
            "an enum cannot be a payload, because not every bit pattern is one of its variants: \
             store an integer and convert it with `TryFrom`",
        ),
        Data::Union(data) => errors.push(
            data.union_token,
            "a union cannot be a payload, because nothing says which of its fields is meant: \
             store a struct, or bytes such as `[u8; 16]`",
        ),
    }
}

fn check_struct(input: &Input<'_>, errors: &mut Errors) {
    check_name(input.ident, errors);
    if input.repr == Repr::Unspecified {
        let name = unraw(input.ident);
        errors.push(
            input.ident,
            format_args!("the layout of `{name}` is not fixed: add `#[repr(C)]`"),
        );
    }
    let borrows = input
        .fields
        .iter()
        .any(|field| matches!(field.ty.element(), Type::Reference(_)));
    check_generics(input, borrows, errors);
    if input.fields.is_empty() {
        let name = unraw(input.ident);
        errors.push(
            input.ident,
            format_args!("`{name}` has no fields, so it carries nothing: add a field"),
        );
    }
    if let Some(field) = input.fields.get(MAX_FIELDS) {
        errors.push(
            field.blame(),
            format_args!(
                "a payload has at most {MAX_FIELDS} fields: use arrays, or structs inside structs"
            ),
        );
    }
    for field in &input.fields {
        check_field(field, input.options.gpu, errors);
    }
}

fn check_name(ident: &Ident, errors: &mut Errors) {
    let len = unraw(ident).len();
    if len > MAX_NAME {
        errors.push(
            ident,
            format_args!("this name has {len} bytes, and a schema stores {MAX_NAME} at most"),
        );
    }
}

fn check_generics(input: &Input<'_>, borrows: bool, errors: &mut Errors) {
    let generics = input.generics;
    let types = generics.type_params().map(|param| &param.ident);
    let names = types.chain(generics.const_params().map(|param| &param.ident));
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if !names.is_empty() {
        errors.push(
            generics,
            format_args!(
                "a payload cannot be generic, because other programs must know its layout: \
                 replace {} by what it stands for, and declare a struct for each use",
                names.join(" and "),
            ),
        );
    } else if !generics.params.is_empty() && !borrows {
        // A reference among the fields is blamed in place of the lifetime, which goes when it goes.
        errors.push(
            generics,
            "a payload cannot borrow, because it outlives the process: remove the lifetime",
        );
    }
}

fn check_field(field: &FieldInput<'_>, gpu: bool, errors: &mut Errors) {
    attr::refuse_on_field(&field.syntax.attrs, errors);
    if let Some(ident) = &field.syntax.ident {
        check_name(ident, errors);
    }
    let ty = field.ty.element();
    let message = match ty {
        Type::Path(path) if path.qself.is_none() => {
            let name = path.path.get_ident();
            name.and_then(|name| primitive(&name.to_string(), gpu))
        }
        Type::Reference(reference) => Some(reference_message(reference)),
        Type::Ptr(_) => {
            Some("a pointer means nothing in another process: store the value itself, or an index")
        }
        Type::FnPtr(_) => Some(
            "a function pointer means nothing in another process: store a number that stands for \
             the function",
        ),
        Type::Tuple(tuple) if tuple.elems.is_empty() => {
            Some("`()` has no bytes, so it carries nothing: remove the field")
        }
        Type::Tuple(_) => Some(
            "the layout of a tuple is not fixed: use an array, or a struct with `#[repr(C)]` and \
             `#[derive(Clone, Copy, ShmPayload)]`",
        ),
        Type::Slice(_) => Some("a slice has no fixed length: use an array such as `[f32; 16]`"),
        Type::TraitObject(_) => Some(
            "a trait object has no fixed size, and its methods mean nothing in another process: \
             use a type that is a payload",
        ),
        Type::Never(_) => Some("`!` has no values: remove the field"),
        Type::ImplTrait(_) => Some("`impl Trait` has no layout: use a type that is a payload"),
        Type::Infer(_) => Some("a field's type is not inferred: write it"),
        _ => None,
    };
    if let Some(message) = message {
        errors.push(ty, message);
    }
}

fn reference_message(reference: &TypeReference) -> &'static str {
    match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => {
            "a reference means nothing in another process: store text as bytes, such as `[u8; 32]`"
        }
        _ => {
            "a reference means nothing in another process: store the value itself, an array for a \
             slice"
        }
    }
}

/// Says what to use in place of a primitive type that is no payload.
fn primitive(name: &str, gpu: bool) -> Option<&'static str> {
    let message = match name {
        "usize" => "the size of `usize` depends on the target: use `u64` or `u32`",
        "isize" => "the size of `isize` depends on the target: use `i64` or `i32`",
        "bool" => "not every byte is a valid `bool`: use `shmstream::Bool`",
        "char" => "not every number is a valid `char`: use `u32` and `char::from_u32`",
        "u128" => "`u128` has no dtype: use `[u64; 2]`",
        "i128" => "`i128` has no dtype: use `[u64; 2]`",
        "str" => "`str` has no fixed size: store text as bytes, such as `[u8; 32]`",
        "u16" if gpu => "`u16` has no equivalent on the GPU: use `i16`",
        "u32" if gpu => "`u32` has no equivalent on the GPU: use `i32`",
        "u64" if gpu => "`u64` has no equivalent on the GPU: use `i64`",
        _ => return None,
    };
    Some(message)
}
