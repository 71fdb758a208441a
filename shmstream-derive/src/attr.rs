//! The attributes that the derive reads: `#[shm(...)]` and `#[repr(...)]`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Meta, Path, Token};

use crate::ast::Errors;

const ALLOWED: &str = "`#[shm(...)]` takes `gpu` and `crate = path`";

/// What `#[shm(...)]` says.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) gpu: bool,
    pub(crate) krate: Option<Path>,
    /// The value of `crate` is unusable, so nothing can refer to the library.
    pub(crate) krate_unknown: bool,
}

/// What `#[repr(...)]` says about the layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repr {
    /// `C` or `transparent`.
    Fixed,
    /// Not given.
    Unspecified,
    /// Something else, which has been reported, or which rustc reports by itself.
    Refused,
}

pub(crate) fn options(attrs: &[Attribute], errors: &mut Errors) -> Options {
    let mut options = Options::default();
    let mut seen = Vec::new();
    for attr in attrs.iter().filter(|attr| is_shm(attr)) {
        let Meta::List(list) = &attr.meta else {
            errors.push(
                &attr.meta,
                format_args!("options go into a list: {ALLOWED}"),
            );
            continue;
        };
        match list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
            Ok(args) => args.iter().for_each(|arg| {
                option(arg, &mut options, &mut seen, errors);
            }),
            Err(error) => {
                options.krate_unknown |= list.tokens.to_string().contains("crate");
                errors.push_at(error.span(), format_args!("{error}; {ALLOWED}"));
            }
        }
    }
    options
}

fn option(arg: &Meta, options: &mut Options, seen: &mut Vec<String>, errors: &mut Errors) {
    let key = arg.path();
    let name = key.to_token_stream().to_string();
    if seen.contains(&name) {
        errors.push(arg, format_args!("`{name}` is given twice: remove one"));
        return;
    }
    if key.is_ident("gpu") {
        options.gpu = true;
        if !matches!(arg, Meta::Path(_)) {
            errors.push(arg, "`gpu` takes no value: write `#[shm(gpu)]`");
        }
    } else if key.is_ident("crate") {
        match path_value(arg) {
            Some(path) => options.krate = Some(path),
            None => {
                options.krate_unknown = true;
                errors.push(
                    arg,
                    "`crate` takes a path without quotes: write \
                     `#[shm(crate = path::to::shmstream)]`",
                );
            }
        }
    } else {
        errors.push(key, format_args!("unknown option `{name}`: {ALLOWED}"));
    }
    seen.push(name);
}

/// Returns the path in `key = path`.
fn path_value(arg: &Meta) -> Option<Path> {
    let Meta::NameValue(arg) = arg else {
        return None;
    };
    let Expr::Path(value) = &arg.value else {
        return None;
    };
    let plain = value.qself.is_none() && value.path.segments.iter().all(|s| s.arguments.is_none());
    plain.then(|| value.path.clone())
}

/// Refuses `#[shm(...)]` where it does not belong.
pub(crate) fn refuse_on_field(attrs: &[Attribute], errors: &mut Errors) {
    for attr in attrs.iter().filter(|attr| is_shm(attr)) {
        errors.push(
            attr,
            "`#[shm(...)]` belongs on the struct, and holds for all of its fields",
        );
    }
}

fn is_shm(attr: &Attribute) -> bool {
    attr.path().is_ident("shm")
}

pub(crate) fn repr(attrs: &[Attribute], errors: &mut Errors) -> Repr {
    let mut repr = Repr::Unspecified;
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("repr")) {
        let args = attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        repr = match args {
            Ok(args) => args
                .iter()
                .fold(repr, |repr, arg| repr.and(one_repr(arg, errors))),
            Err(_) => Repr::Refused,
        };
    }
    repr
}

impl Repr {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Refused, _) | (_, Self::Refused) => Self::Refused,
            (Self::Fixed, _) | (_, Self::Fixed) => Self::Fixed,
            (Self::Unspecified, Self::Unspecified) => Self::Unspecified,
        }
    }
}

fn one_repr(arg: &Meta, errors: &mut Errors) -> Repr {
    let name = arg.path().to_token_stream().to_string();
    match name.as_str() {
        "C" | "transparent" => Repr::Fixed,
        "align" => Repr::Unspecified,
        "packed" => {
            errors.push(
                arg,
                "a packed struct cannot be a payload, because its fields are not aligned and \
                 cannot be borrowed: remove `packed` and fill gaps with fields such as \
                 `_pad: [u8; 4]`",
            );
            Repr::Refused
        }
        "Rust" | "simd" => {
            errors.push(
                arg,
                format_args!("`repr({name})` does not fix the layout of a payload: use `repr(C)`"),
            );
            Repr::Refused
        }
        // Integers are for enums, and there is nothing else: rustc refuses both in this place.
        _ => Repr::Refused,
    }
}

/// Repeats the lints that the struct allows, for the output names the same types and fields.
///
/// Nothing is allowed unasked: an `allow` is an error where the lint is forbidden.
pub(crate) fn allowed<'a>(attrs: impl Iterator<Item = &'a Attribute>) -> TokenStream {
    let mut allowed = TokenStream::new();
    for attr in attrs {
        match &attr.meta {
            Meta::List(list) if list.path.is_ident("allow") || list.path.is_ident("expect") => {
                let lints = &list.tokens;
                allowed.extend(quote!(#[allow(#lints)]));
            }
            meta if meta.path().is_ident("deprecated") => {
                allowed.extend(quote!(#[allow(deprecated)]));
            }
            _ => {}
        }
    }
    allowed
}
