//! The output after a rejection.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{Data, Type};

use crate::ast::Input;

/// Implements the traits without content, so that uses of the type are not errors too.
///
/// The program does not compile, so nothing can call these.
pub(crate) fn expand(input: &Input<'_>) -> TokenStream {
    let elements = || input.fields.iter().map(|field| field.ty.element());
    // The traits ask for `Copy`. For a type without a size that would be a second message.
    if input.options.krate_unknown || elements().any(is_unsized) {
        return TokenStream::new();
    }
    let ident = input.ident;
    let krate = input.krate();
    let (impl_generics, ty_generics, where_clause) = input.generics.split_for_impl();
    let bounds = bounds(input);
    let gpu = input.options.gpu.then(|| {
        quote! {
            unsafe impl #impl_generics __shmstream::GpuPayload for #ident #ty_generics #bounds {}
        }
    });
    // A struct with a pointer is neither of these, which would be two more messages.
    let threads = elements().any(|ty| matches!(ty, Type::Ptr(_))).then(|| {
        quote! {
            unsafe impl #impl_generics ::core::marker::Send for #ident #ty_generics #where_clause {}
            unsafe impl #impl_generics ::core::marker::Sync for #ident #ty_generics #where_clause {}
        }
    });
    quote! {
        const _: () = {
            use #krate::__private as __shmstream;

            unsafe impl #impl_generics __shmstream::ShmPayload for #ident #ty_generics #bounds {
                fn schema() -> __shmstream::Schema {
                    loop {}
                }
            }
            #gpu
            #threads
        };
    }
}

/// Returns the `where` clause, with what the traits ask for added where they cannot be satisfied.
///
/// A struct without `Copy` gets rustc's message for it beside the others, because that is one more
/// mistake. A generic type cannot promise to be `Copy`, and an enum need not.
fn bounds(input: &Input<'_>) -> TokenStream {
    let (_, ty_generics, where_clause) = input.generics.split_for_impl();
    if matches!(input.data, Data::Struct(_)) && input.generics.params.is_empty() {
        return where_clause.to_token_stream();
    }
    let ident = input.ident;
    let given = where_clause.iter().flat_map(|clause| &clause.predicates);
    // `for<'__any>` keeps rustc from refusing a bound at once that no choice of parameters meets.
    quote! {
        where
            #(#given,)*
            for<'__any> #ident #ty_generics: ::core::marker::Copy
                + ::core::marker::Send
                + ::core::marker::Sync
                + 'static
    }
}

fn is_unsized(ty: &Type) -> bool {
    match ty {
        Type::Slice(_) | Type::TraitObject(_) => true,
        Type::Path(path) => path.path.is_ident("str"),
        _ => false,
    }
}
