//! What the derive takes out of the syntax of a struct.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote};
use syn::spanned::Spanned;
use syn::{Data, DataStruct, DeriveInput, Expr, Field, Generics, Ident, Member, Type};

use crate::attr::{self, Options, Repr};

/// The rejections found so far, so that one run reports all of them.
#[derive(Default)]
pub(crate) struct Errors {
    combined: Option<syn::Error>,
}

impl Errors {
    /// Adds a rejection of these tokens.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.push_error(syn::Error::new_spanned(tokens, message));
    }

    /// Adds a rejection at one span.
    pub(crate) fn push_at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push_error(syn::Error::new(span, message));
    }

    pub(crate) fn push_error(&mut self, error: syn::Error) {
        match &mut self.combined {
            Some(combined) => combined.combine(error),
            None => self.combined = Some(error),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.combined.is_none()
    }

    pub(crate) fn to_compile_error(&self) -> TokenStream {
        self.combined
            .as_ref()
            .map(syn::Error::to_compile_error)
            .unwrap_or_default()
    }
}

/// A type with `#[derive(ShmPayload)]`.
pub(crate) struct Input<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) generics: &'a Generics,
    pub(crate) data: &'a Data,
    pub(crate) options: Options,
    pub(crate) repr: Repr,
    /// `#[allow(...)]` for the output.
    pub(crate) allowed: TokenStream,
    pub(crate) fields: Vec<FieldInput<'a>>,
}

/// A field of a struct.
pub(crate) struct FieldInput<'a> {
    pub(crate) syntax: &'a Field,
    pub(crate) member: Member,
    pub(crate) ty: FieldType<'a>,
}

/// The type of a field, with arrays taken apart to find what they are made of.
pub(crate) enum FieldType<'a> {
    Array(Box<FieldType<'a>>, &'a Expr),
    Element(&'a Type),
}

impl<'a> Input<'a> {
    pub(crate) fn new(input: &'a DeriveInput, errors: &mut Errors) -> Self {
        let fields = match &input.data {
            Data::Struct(data) => fields(data),
            Data::Enum(_) | Data::Union(_) => Vec::new(),
        };
        let field_attrs = fields.iter().flat_map(|field| &field.syntax.attrs);
        let allowed = attr::allowed(input.attrs.iter().chain(field_attrs));
        Self {
            ident: &input.ident,
            generics: &input.generics,
            data: &input.data,
            options: attr::options(&input.attrs, errors),
            repr: attr::repr(&input.attrs, errors),
            allowed,
            fields,
        }
    }

    /// Returns the path of the `shmstream` crate.
    pub(crate) fn krate(&self) -> TokenStream {
        match &self.options.krate {
            Some(path) => path.to_token_stream(),
            None => quote!(::shmstream),
        }
    }
}

fn fields(data: &DataStruct) -> Vec<FieldInput<'_>> {
    let fields = data.fields.iter().zip(data.fields.members());
    fields
        .map(|(syntax, member)| FieldInput {
            syntax,
            member,
            ty: FieldType::new(&syntax.ty),
        })
        .collect()
}

impl FieldInput<'_> {
    /// Returns the name for the schema, without `r#`.
    pub(crate) fn name(&self) -> String {
        match &self.member {
            Member::Named(ident) => unraw(ident),
            Member::Unnamed(index) => index.index.to_string(),
        }
    }

    /// Returns the tokens to blame: the name, or the type of a field without one.
    pub(crate) fn blame(&self) -> TokenStream {
        match &self.syntax.ident {
            Some(ident) => ident.to_token_stream(),
            None => self.syntax.ty.to_token_stream(),
        }
    }
}

impl<'a> FieldType<'a> {
    fn new(ty: &'a Type) -> Self {
        match ty {
            // A macro's `$ty` arrives in an invisible group.
            Type::Group(group) => Self::new(&group.elem),
            Type::Paren(paren) => Self::new(&paren.elem),
            Type::Array(array) => Self::Array(Box::new(Self::new(&array.elem)), &array.len),
            ty => Self::Element(ty),
        }
    }

    /// Returns what the array is made of, or the type itself if it is none.
    pub(crate) fn element(&self) -> &'a Type {
        match self {
            Self::Array(inner, _) => inner.element(),
            Self::Element(ty) => ty,
        }
    }
}

/// Returns the name without `r#`.
pub(crate) fn unraw(ident: &Ident) -> String {
    let name = ident.to_string();
    match name.strip_prefix("r#") {
        Some(name) => name.to_owned(),
        None => name,
    }
}

/// Returns the spans of the first and the last of the tokens.
pub(crate) fn ends(tokens: impl ToTokens) -> (Span, Span) {
    let tokens = tokens.into_token_stream();
    let first = tokens.span();
    let last = tokens.into_iter().last();
    (first, last.map_or(first, |token| token.span()))
}
