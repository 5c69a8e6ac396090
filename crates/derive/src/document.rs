//! Expands `#[derive(ClientDocument)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, LitStr, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let mut name: Option<LitStr> = None;
    let mut by_session = false;
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("document")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse()?);
                return Ok(());
            }
            if meta.path.is_ident("by_session") {
                by_session = true;
                return Ok(());
            }
            Err(meta.error("unknown option; expected `name = \"uiState\"` or `by_session`"))
        })?;
    }
    let name = name.ok_or_else(|| {
        Error::new_spanned(&input.ident, "missing #[document(name = \"uiState\")]")
    })?;
    let (ident, (impl_generics, type_generics, where_clause)) =
        (&input.ident, input.generics.split_for_impl());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::livestore::ClientDocument for #ident #type_generics #where_clause {
            const NAME: &'static str = #name;
            const BY_SESSION: bool = #by_session;
        }
    })
}
