//! Expands `#[derive(Command)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitStr, Result, Type};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let (mut name, mut error): (Option<LitStr>, Option<Type>) = (None, None);
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("command")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("error") {
                error = Some(meta.value()?.parse()?);
            } else {
                return Err(meta
                    .error("unknown option; expected `name = \"DoSomething\"` or `error = Type`"));
            }
            Ok(())
        })?;
    }
    let name = name.ok_or_else(|| {
        Error::new_spanned(&input.ident, "missing #[command(name = \"DoSomething\")]")
    })?;
    let error = error.map_or_else(|| quote!(::std::string::String), |error| quote!(#error));
    let (ident, (impl_generics, type_generics, where_clause)) =
        (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::livestore::Command for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            type Error = #error;
        }
    })
}
