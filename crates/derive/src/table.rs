//! Expands `#[derive(Table)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Expr, Field, Fields, Ident, LitStr, Result, Type};

/// The functions of a table that apps call by the struct's name.
///
/// A column's handle of the same name would come before them.
const TABLE_FUNCTIONS: [&str; 5] = ["select", "insert", "insert_columns", "update", "delete"];

/// What the struct's own attribute says.
struct TableOptions {
    name: LitStr,
    scope: Ident,
}

/// One column as its field describes it.
struct Column<'a> {
    field: &'a Ident,
    field_type: &'a Type,
    visibility: &'a syn::Visibility,
    name: String,
    options: TokenStream,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let TableOptions { name: table, scope } = table_options(input)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "a table is a struct with named fields"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new_spanned(&input.ident, "a table is a struct with named fields"));
    };
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a table cannot have type parameters"));
    }
    let columns = fields.named.iter().map(column).collect::<Result<Vec<_>>>()?;

    let ident = &input.ident;
    let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
    let field_idents: Vec<_> = columns.iter().map(|column| column.field).collect();
    let handles = columns.iter().map(|Column { field, field_type, visibility, name, .. }| {
        let doc = format!("The column `{name}`, for queries.");
        quote! {
            #[doc = #doc]
            #[allow(non_upper_case_globals)]
            #visibility const #field: ::livestore::Column<#ident, #field_type> =
                ::livestore::Column::new(#name);
        }
    });
    let definitions = columns.iter().map(|Column { field_type, name, options, .. }| {
        quote_spanned! {field_type.span()=> {
            let column = ::livestore::ColumnDef::new(
                #name,
                <#field_type as ::livestore::ColumnValue>::TYPE,
            );
            let column = if <#field_type as ::livestore::ColumnValue>::NULLABLE {
                column.nullable()
            } else {
                column
            };
            column #options
        }}
    });
    let reads = columns.iter().enumerate().map(|(index, Column { field, name, .. })| {
        quote! { #field: row.get(#index, #name)? }
    });
    Ok(quote! {
        impl #ident {
            #(#handles)*
        }

        #[automatically_derived]
        impl ::livestore::Table for #ident {
            const NAME: &'static str = #table;
            const COLUMNS: &'static [&'static str] = &[#(#names),*];

            fn definition() -> ::core::result::Result<::livestore::TableDef, ::livestore::TableError> {
                let table = ::livestore::TableDef::new(#table, [#(#definitions),*])?;
                ::core::result::Result::Ok(table.with_scope(::livestore::Scope::#scope))
            }

            fn sql() -> &'static ::livestore::TableSql {
                static SQL: ::std::sync::OnceLock<::livestore::TableSql> =
                    ::std::sync::OnceLock::new();
                SQL.get_or_init(|| {
                    ::livestore::TableSql::new(
                        <Self as ::livestore::Table>::NAME,
                        <Self as ::livestore::Table>::COLUMNS,
                        <Self as ::livestore::Table>::WRITTEN,
                    )
                })
            }

            fn from_row(
                row: ::livestore::RowRef<'_>,
            ) -> ::core::result::Result<Self, ::livestore::DecodeError> {
                ::core::result::Result::Ok(Self { #(#reads),* })
            }

            fn into_values(
                self,
            ) -> ::core::result::Result<::std::vec::Vec<::livestore::Value>, ::livestore::ValueError>
            {
                ::core::result::Result::Ok(::std::vec![#(
                    ::livestore::ColumnValue::into_value(self.#field_idents, #names)?
                ),*])
            }
        }
    })
}

fn table_options(input: &DeriveInput) -> Result<TableOptions> {
    let (mut name, mut scope) = (None, format_ident!("Synced"));
    for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("table")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse()?);
                return Ok(());
            }
            if meta.path.is_ident("scope") {
                scope = scope_variant(&meta.value()?.parse()?)?;
                return Ok(());
            }
            Err(meta.error("unknown option; expected `name = \"todos\"` or `scope = \"client\"`"))
        })?;
    }
    let missing = || Error::new_spanned(&input.ident, "missing #[table(name = \"todos\")]");
    Ok(TableOptions { name: name.ok_or_else(missing)?, scope })
}

fn scope_variant(scope: &LitStr) -> Result<Ident> {
    let variant = match &*scope.value() {
        "synced" => "Synced",
        "client" => "Client",
        "memory" => "Memory",
        other => {
            let message = format!(
                "there is no scope {other:?}; a table is \"synced\" (derived from synced events), \
                 \"client\" (from persisted client-only events) or \"memory\" (from memory events)"
            );
            return Err(Error::new_spanned(scope, message));
        }
    };
    Ok(Ident::new(variant, scope.span()))
}

fn column(field: &Field) -> Result<Column<'_>> {
    let Some(ident) = &field.ident else {
        return Err(Error::new_spanned(field, "a table is a struct with named fields"));
    };
    let mut name = ident.unraw().to_string();
    if TABLE_FUNCTIONS.contains(&&*name) {
        let message = format!(
            "a field named `{name}` would hide the table's function of that name; name the field \
             otherwise, and keep the column's name with #[column(name = \"{name}\")]"
        );
        return Err(Error::new_spanned(ident, message));
    }
    let mut options = TokenStream::new();
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            let option = if meta.path.is_ident("primary_key") {
                quote! { .primary_key() }
            } else if meta.path.is_ident("unique") {
                quote! { .unique() }
            } else if meta.path.is_ident("default") {
                let literal: Expr = meta.value()?.parse()?;
                default(&literal)?
            } else if meta.path.is_ident("check") {
                let sql: LitStr = meta.value()?.parse()?;
                quote! { .check(#sql) }
            } else if meta.path.is_ident("name") {
                name = meta.value()?.parse::<LitStr>()?.value();
                return Ok(());
            } else {
                return Err(meta.error(
                    "unknown option; expected primary_key, unique, default, check or name",
                ));
            };
            options.extend(option);
            Ok(())
        })?;
    }
    Ok(Column { field: ident, field_type: &field.ty, visibility: &field.vis, name, options })
}

/// Accepts literals only: anything else would run when the schema is built, so two builds of one
/// app could disagree about the state.
fn default(expression: &Expr) -> Result<TokenStream> {
    let is_literal = match expression {
        Expr::Lit(_) => true,
        Expr::Unary(unary) => matches!(*unary.expr, Expr::Lit(_)),
        _ => false,
    };
    if !is_literal {
        return Err(Error::new_spanned(
            expression,
            "a column default is a literal; a value that is computed belongs in the event's payload",
        ));
    }
    // An untyped integer literal becomes what the column stores.
    let is_integer = match expression {
        Expr::Lit(lit) => matches!(lit.lit, syn::Lit::Int(_)),
        Expr::Unary(unary) => {
            matches!(&*unary.expr, Expr::Lit(lit) if matches!(lit.lit, syn::Lit::Int(_)))
        }
        _ => false,
    };
    if is_integer {
        return Ok(quote! { .default((#expression) as i64) });
    }
    if let Expr::Lit(lit) = expression
        && let syn::Lit::ByteStr(bytes) = &lit.lit
    {
        return Ok(quote! { .default(&#bytes[..]) });
    }
    Ok(quote! { .default(#expression) })
}

#[cfg(test)]
mod tests {
    use super::derive;

    /// The compile error that a struct's attributes and fields give.
    fn error(attributes: &str, fields: &str) -> String {
        let text =
            format!("{attributes} struct T {{ #[column(primary_key)] id: String, {fields} }}");
        let input = syn::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        derive(&input).expect_err(&text).to_string()
    }

    #[test]
    fn an_unknown_scope_names_those_that_there_are() {
        assert_eq!(
            error(r#"#[table(name = "t", scope = "clinet")]"#, ""),
            "there is no scope \"clinet\"; a table is \"synced\" (derived from synced events), \
             \"client\" (from persisted client-only events) or \"memory\" (from memory events)"
        );
        for scope in [r#""Client""#, r#""""#, r#""session""#] {
            let message = error(&format!(r#"#[table(name = "t", scope = {scope})]"#), "");
            assert!(message.starts_with("there is no scope"), "{message}");
        }
        assert_eq!(error(r#"#[table(name = "t", scope = client)]"#, ""), "expected string literal");
    }

    #[test]
    fn an_unknown_option_names_those_that_there_are() {
        assert_eq!(
            error(r#"#[table(name = "t", scop = "client")]"#, ""),
            "unknown option; expected `name = \"todos\"` or `scope = \"client\"`"
        );
        assert_eq!(
            error(r#"#[table(scope = "client")]"#, ""),
            "missing #[table(name = \"todos\")]"
        );
    }

    #[test]
    fn a_field_that_would_hide_a_function_of_the_table_is_refused() {
        for name in ["select", "insert", "insert_columns", "update", "delete", "r#select"] {
            let plain = name.trim_start_matches("r#");
            assert_eq!(
                error(r#"#[table(name = "t")]"#, &format!("{name}: bool")),
                format!(
                    "a field named `{plain}` would hide the table's function of that name; name \
                     the field otherwise, and keep the column's name with #[column(name = \
                     \"{plain}\")]"
                )
            );
        }
    }
}
