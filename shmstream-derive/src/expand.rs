//! The output for a struct whose syntax is right.
//!
//! ```text
//! const _: () = {
//!     use ::shmstream::__private as __shmstream;
//!
//!     impl __shmstream::Layout for Imu {
//!         const NAME: &'static str = "Imu";
//!         const FIELDS: &'static [__shmstream::FieldLayout] = &[
//!             <Self as __shmstream::FieldAt<0>>::LAYOUT,
//!         ];
//!     }
//!     impl __shmstream::FieldAt<0> for Imu {
//!         const LAYOUT: __shmstream::FieldLayout =
//!             __shmstream::FieldLayout::new::<Self, <f64 as __shmstream::FieldType>::Checked>(
//!                 "time", offset_of!(Self, time), |__value: Self| __value.time,
//!             );
//!     }
//!     const _: fn(Imu) = |Imu { time: _ }| ();
//!     const _: () = __shmstream::check_field::<Imu>(0);
//!     const _: () = __shmstream::check_end::<Imu>();
//!     const _: () = __shmstream::check_align::<Imu>();
//!     unsafe impl __shmstream::ShmPayload for Imu { ... }
//! };
//! ```
//!
//! One mistake gives one message, because
//! - the library is named by one `use`, so that a wrong path is reported once;
//! - each field's type is named once, and an error in it leaves `FIELDS` without a value, for which
//!   rustc silently skips the checks that read it.
//!
//! Tokens with a user's span are types, names and calls of safe functions. `unsafe` has the span of
//! the macro, which is why callers may forbid `unsafe_code`.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Type;

use crate::ast::{FieldInput, FieldType, Input, ends, unraw};

pub(crate) fn expand(input: &Input<'_>) -> TokenStream {
    let ident = input.ident;
    let krate = input.krate();
    let name = unraw(ident);
    let gpu = input.options.gpu;
    let indices = 0..input.fields.len();
    let layouts = input.fields.iter().map(|field| field_layout(field, gpu));
    let fields = indices.clone().zip(layouts).map(|(index, layout)| {
        quote! {
            #[automatically_derived]
            #[doc(hidden)]
            impl __shmstream::FieldAt<#index> for #ident {
                const LAYOUT: __shmstream::FieldLayout = #layout;
            }
        }
    });
    let members = input.fields.iter().map(|field| &field.member);
    let checks = checks(input);
    let allowed = &input.allowed;
    let gpu_impl = gpu.then(|| gpu_impl(input));
    // The safety conditions of `ShmPayload`, in their order:
    // 1. every bit pattern is valid: it is for each field, because `FieldLayout::new` asks that the
    //    type is a payload and the closure given to it proves that it is the field's type. There
    //    are no other fields, and no `Deref` behind one of the names: the pattern in the first
    //    `const _` names the fields of the struct itself, and all of them.
    // 2. no padding: `check_field` leaves no byte before a field, `check_end` none after the last.
    // 3. nothing but the value itself: as for 1.
    // 4. a fixed layout: `attr::repr` saw `C` or `transparent`, or what rustc refuses, and
    //    `check_field` finds the fields in the order of declaration. Not empty: there is a field,
    //    and `check_field` refuses one without bytes.
    // 5. the schema describes it: `schema_of` reads the same `FIELDS` as the checks.
    // A failed check is a compile error, so no program has the implementation without them.
    quote! {
        #allowed
        const _: () = {
            use #krate::__private as __shmstream;

            #[automatically_derived]
            #[doc(hidden)]
            impl __shmstream::Layout for #ident {
                const NAME: &'static ::core::primitive::str = #name;
                const FIELDS: &'static [__shmstream::FieldLayout] = &[
                    #(<Self as __shmstream::FieldAt<#indices>>::LAYOUT),*
                ];
            }
            #(#fields)*

            const _: fn(#ident) = |#ident { #(#members: _),* }| ();
            #checks

            #[automatically_derived]
            unsafe impl __shmstream::ShmPayload for #ident {
                fn schema() -> __shmstream::Schema {
                    __shmstream::schema_of::<Self>()
                }
            }
            #gpu_impl
        };
    }
}

/// Promises that every scalar has an equivalent on the GPU: each field's type has been named by way
/// of `GpuFieldType`, which is implemented for payloads of the GPU only.
fn gpu_impl(input: &Input<'_>) -> TokenStream {
    let ident = input.ident;
    quote! {
        #[automatically_derived]
        unsafe impl __shmstream::GpuPayload for #ident {}
    }
}

fn field_layout(field: &FieldInput<'_>, gpu: bool) -> TokenStream {
    let member = &field.member;
    let name = field.name();
    let ty = checked_type(&field.ty, gpu);
    // rustc computes the layout here, and may find the struct too large for an address space.
    let (blamed, _) = ends(field.blame());
    let offset = quote_spanned!(blamed=> ::core::mem::offset_of!(Self, #member));
    quote! {
        __shmstream::FieldLayout::new::<Self, #ty>(
            #name,
            #offset,
            |__value: Self| __value.#member,
        )
    }
}

/// Returns the type by way of the trait that it must implement, at the type's own span.
fn checked_type(ty: &FieldType<'_>, gpu: bool) -> TokenStream {
    match ty {
        FieldType::Array(inner, len) => {
            let inner = checked_type(inner, gpu);
            quote!([#inner; #len])
        }
        FieldType::Element(ty) => {
            let checked = qualified(ty, ty.to_token_stream(), &quote!(FieldType));
            if gpu {
                qualified(ty, checked, &quote!(GpuFieldType))
            } else {
                checked
            }
        }
    }
}

/// Returns `<ty as __shmstream::Trait>::Checked`, which spans `blamed` from end to end.
fn qualified(blamed: &Type, ty: TokenStream, bound: &TokenStream) -> TokenStream {
    let (first, last) = ends(blamed);
    let open = quote_spanned!(first=> <);
    let close = quote_spanned!(last=> as __shmstream::);
    let bound = respan(bound, last);
    let end = quote_spanned!(last=> >::Checked);
    quote!(#open #ty #close #bound #end)
}

fn respan(tokens: &TokenStream, span: Span) -> TokenStream {
    let token = tokens.clone().into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    token.collect()
}

/// Returns the checks of sizes, each at the field or the name to blame.
fn checks(input: &Input<'_>) -> TokenStream {
    let ident = input.ident;
    let fields = input
        .fields
        .iter()
        .enumerate()
        .map(|(index, field)| check(field.blame(), &quote!(check_field::<#ident>(#index))));
    let last = input.fields.last().map(FieldInput::blame);
    let end = last.map(|blamed| check(blamed, &quote!(check_end::<#ident>())));
    let align = check(ident.to_token_stream(), &quote!(check_align::<#ident>()));
    quote!(#(#fields)* #end #align)
}

fn check(blamed: TokenStream, call: &TokenStream) -> TokenStream {
    let (first, last) = ends(blamed);
    let library = quote_spanned!(first=> __shmstream);
    let call = respan(call, last);
    quote!(const _: () = #library::#call;)
}
