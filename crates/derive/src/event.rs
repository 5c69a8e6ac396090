//! Expands `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitStr, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let mut name: Option<LitStr> = None;
    let (mut client_only, mut persist, mut schema) = (false, None, false);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("event")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse()?);
                return Ok(());
            }
            if meta.path.is_ident("client_only") {
                client_only = true;
                return Ok(());
            }
            if meta.path.is_ident("persist") {
                persist = Some(meta.path.clone());
                return Ok(());
            }
            if meta.path.is_ident("schema") {
                schema = true;
                return Ok(());
            }
            Err(meta.error(
                "unknown option; expected `name = \"v1.SomethingHappened\"`, `client_only`, `persist` or `schema`",
            ))
        })?;
    }
    let name = name.ok_or_else(|| {
        Error::new_spanned(&input.ident, "missing #[event(name = \"v1.SomethingHappened\")]")
    })?;
    let kind = match (client_only, persist) {
        (false, Some(persist)) => {
            let message = "`persist` is for `client_only` events; all others are persisted anyway";
            return Err(Error::new_spanned(persist, message));
        }
        (false, None) => quote!(Synced),
        (true, Some(_)) => quote!(ClientOnly),
        (true, None) => quote!(Memory),
    };
    let payload_schema = schema.then(|| {
        quote! {
            fn payload_schema() -> ::core::option::Option<::livestore::JsonValue> {
                ::core::option::Option::Some(::livestore::json_schema_of::<Self>())
            }
        }
    });
    let (ident, (impl_generics, type_generics, where_clause)) =
        (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::livestore::Event for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const KIND: ::livestore::EventKind = ::livestore::EventKind::#kind;
            #payload_schema
        }
    })
}
