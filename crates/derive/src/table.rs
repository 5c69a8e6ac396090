//! Expands `#[derive(Table)]`.

mod column;
mod options;

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result};

use self::column::{Column, column};
use self::options::TableOptions;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let table_options = TableOptions::of(input)?;
    let TableOptions { name: table, scope, .. } = &table_options;
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

    let table_calls = table_options.calls(&columns)?;

    let ident = &input.ident;
    let names: Vec<_> = columns.iter().map(|column| &column.name).collect();
    let written = || columns.iter().filter(|column| !column.is_generated);
    let written_names: Vec<_> = written().map(|column| &column.name).collect();
    let written_fields = written().map(|column| column.field);
    let keys = columns.iter().filter(|column| column.is_key).map(|column| &column.name);
    let only_some_are_written = (written_names.len() < names.len()).then(|| {
        quote! { const WRITTEN: &'static [&'static str] = &[#(#written_names),*]; }
    });
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
            const KEY: &'static [&'static str] = &[#(#keys),*];
            #only_some_are_written

            fn definition() -> ::core::result::Result<::livestore::TableDef, ::livestore::TableError> {
                let table = ::livestore::TableDef::new(#table, [#(#definitions),*])?;
                ::core::result::Result::Ok(table.with_scope(::livestore::Scope::#scope) #table_calls)
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
                    ::livestore::ColumnValue::into_value(self.#written_fields, #written_names)?
                ),*])
            }
        }
    })
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
            "unknown option; expected `name = \"todos\"`, `scope = \"client\"`, `check = \"SQL\"`, \
             `index(columns = […])`, `foreign_key(columns = […], …)` or `full_text(name = \"todos_text\", \
             columns = […])`"
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
    #[test]
    fn options_of_a_column_that_do_not_go_together_say_why() {
        let column =
            |options| error(r#"#[table(name = "t")]"#, &format!("#[column({options})] a: i64"));
        for (options, message) in [
            ("virtual", "`virtual` is for generated columns; say what computes it"),
            ("generated = \"1\", default = 2", "a generated column is never given a value"),
            ("primary_key, generated = \"1\"", "a generated column cannot be part of the primary"),
            ("on_delete = \"cascade\"", "the column refers to nothing; say what it refers to"),
            ("on_update = \"ignore\"", "there is no action \"ignore\"; there are \"cascade\", "),
            ("references = \"users\"", "expected a table and a column, such as \"users.id\""),
            ("default = now()", "a column default is a literal; a value that is computed belongs"),
            ("key", "unknown option; expected primary_key, auto_increment, unique, default, check"),
        ] {
            let found = column(options);
            assert!(found.starts_with(message), "{options}: {found}");
        }
    }

    #[test]
    fn indexes_and_foreign_keys_that_are_not_whole_say_what_is_missing() {
        let table = |options| error(&format!(r#"#[table(name = "t", {options})]"#), "a: i64");
        for (options, message) in [
            ("index(unique)", "an index is over columns; name their fields, `columns = [a, b]`"),
            ("index(columns = [b])", "the struct has no field `b`; name fields, not columns"),
            ("index(column = [a])", "unknown option of an index; expected `columns = [a, b]`"),
            ("foreign_key(columns = [a])", "a foreign key is `columns = [a, b], table = \"teams\""),
            ("foreign_key(columns = [a], table = \"t\", references = [a, b])", "a foreign key is "),
            (
                "foreign_key(columns = [c], table = \"t\", references = [a])",
                "the struct has no field",
            ),
            (
                "foreign_key(from = [a])",
                "unknown option of a foreign key; expected `columns = [a, b]`",
            ),
        ] {
            let found = table(options);
            assert!(found.starts_with(message), "{options}: {found}");
        }
    }
}
