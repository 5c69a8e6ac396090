//! Expands `#[derive(FromRow)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Field, Fields, LitStr, Result};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let not_a_struct = || Error::new_spanned(&input.ident, "a row is a struct with named fields");
    let Data::Struct(data) = &input.data else { return Err(not_a_struct()) };
    let Fields::Named(fields) = &data.fields else { return Err(not_a_struct()) };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a row cannot have type parameters"));
    }
    let ident = &input.ident;
    let names = fields.named.iter().map(column_name).collect::<Result<Vec<_>>>()?;
    let reads = fields.named.iter().zip(&names).enumerate().map(|(index, (field, name))| {
        let field = &field.ident;
        quote! { #field: row.get(#index, #name)? }
    });
    Ok(quote! {
        #[automatically_derived]
        impl ::livestore::FromRow for #ident {
            const COLUMNS: ::livestore::RowColumns =
                ::livestore::RowColumns::Named(&[#(#names),*]);

            fn from_row(
                row: ::livestore::RowRef<'_>,
            ) -> ::core::result::Result<Self, ::livestore::DecodeError> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

fn column_name(field: &Field) -> Result<String> {
    let mut name = field.ident.as_ref().map(|ident| ident.unraw().to_string()).unwrap_or_default();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("row")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
                return Ok(());
            }
            Err(meta.error("unknown option; expected `name = \"column\"`"))
        })?;
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::derive;

    fn error(text: &str) -> String {
        derive(&syn::parse_str(text).unwrap()).expect_err(text).to_string()
    }

    #[test]
    fn a_row_is_a_struct_with_named_fields() {
        for text in ["struct Row(i64);", "enum Row { A }", "struct Row;"] {
            assert_eq!(error(text), "a row is a struct with named fields");
        }
        assert_eq!(error("struct Row<T> { a: T }"), "a row cannot have type parameters");
    }

    #[test]
    fn an_unknown_option_names_the_one_that_there_is() {
        let message = error("struct Row { #[row(nam = \"b\")] a: i64 }");
        assert_eq!(message, "unknown option; expected `name = \"column\"`");
    }
}
