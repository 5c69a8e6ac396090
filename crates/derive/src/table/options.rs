//! What the struct's own `#[table(…)]` says.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ext::IdentExt;
use syn::meta::ParseNestedMeta;
use syn::punctuated::Punctuated;
use syn::{DeriveInput, Error, Ident, LitStr, Result, Token, bracketed};

use super::column::{Column, action};

/// The table's name, its scope, and what it has beside columns.
pub(super) struct TableOptions {
    pub(super) name: LitStr,
    pub(super) scope: Ident,
    parts: Vec<Part>,
}

/// Something that belongs to the table as a whole.
enum Part {
    Check(LitStr),
    Index(Index),
    ForeignKey(ForeignKey),
    FullText(FullText),
}

#[derive(Default)]
struct Index {
    columns: Vec<Ident>,
    unique: bool,
    name: Option<LitStr>,
    filter: Option<LitStr>,
}

#[derive(Default)]
struct ForeignKey {
    columns: Vec<Ident>,
    table: Option<LitStr>,
    referenced: Vec<Ident>,
    actions: TokenStream,
}

#[derive(Default)]
struct FullText {
    name: Option<LitStr>,
    columns: Vec<Ident>,
    tokenizer: Option<LitStr>,
}

impl TableOptions {
    pub(super) fn of(input: &DeriveInput) -> Result<Self> {
        let (mut name, mut scope, mut parts) = (None, format_ident!("Synced"), Vec::new());
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("table")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("scope") {
                    scope = scope_variant(&meta.value()?.parse()?)?;
                } else if meta.path.is_ident("check") {
                    parts.push(Part::Check(meta.value()?.parse()?));
                } else if meta.path.is_ident("index") {
                    parts.push(Part::Index(index(&meta)?));
                } else if meta.path.is_ident("foreign_key") {
                    parts.push(Part::ForeignKey(foreign_key(&meta)?));
                } else if meta.path.is_ident("full_text") {
                    parts.push(Part::FullText(full_text(&meta)?));
                } else {
                    return Err(meta.error(
                        "unknown option; expected `name = \"todos\"`, `scope = \"client\"`, \
                         `check = \"SQL\"`, `index(columns = […])`, `foreign_key(columns = […], …)` \
                         or `full_text(name = \"todos_text\", columns = […])`",
                    ));
                }
                Ok(())
            })?;
        }
        let missing = || Error::new_spanned(&input.ident, "missing #[table(name = \"todos\")]");
        Ok(Self { name: name.ok_or_else(missing)?, scope, parts })
    }

    /// Returns the calls of the methods of a `TableDef`.
    pub(super) fn calls(&self, columns: &[Column<'_>]) -> Result<TokenStream> {
        let mut calls = TokenStream::new();
        for part in &self.parts {
            calls.extend(match part {
                Part::Check(sql) => quote! { .check(#sql) },
                Part::Index(index) => self.index_call(index, columns)?,
                Part::ForeignKey(key) => foreign_key_call(key, columns)?,
                Part::FullText(index) => full_text_call(index, columns)?,
            });
        }
        Ok(calls)
    }

    fn index_call(&self, index: &Index, columns: &[Column<'_>]) -> Result<TokenStream> {
        let columns = names(&index.columns, columns)?;
        let name = match &index.name {
            Some(name) => name.value(),
            None => format!("{}_{}", self.name.value(), columns.join("_")),
        };
        let unique = index.unique.then(|| quote! { .unique() });
        let filter = index.filter.as_ref().map(|sql| quote! { .filter(#sql) });
        Ok(quote! { .index(::livestore::IndexDef::new(#name, [#(#columns),*]) #unique #filter) })
    }
}

fn full_text_call(index: &FullText, columns: &[Column<'_>]) -> Result<TokenStream> {
    let (name, columns) = (&index.name, names(&index.columns, columns)?);
    let tokenizer = index.tokenizer.as_ref().map(|words| quote! { .tokenizer(#words) });
    Ok(quote! { .full_text(::livestore::FtsDef::new(#name, [#(#columns),*]) #tokenizer) })
}

fn foreign_key_call(key: &ForeignKey, columns: &[Column<'_>]) -> Result<TokenStream> {
    let columns = names(&key.columns, columns)?;
    let (table, actions) = (&key.table, &key.actions);
    let referenced = key.referenced.iter().map(|column| column.unraw().to_string());
    Ok(quote! {
        .foreign_key(
            ::livestore::ForeignKey::new([#(#columns),*], #table, [#(#referenced),*]) #actions
        )
    })
}

/// Returns the names of the columns of these fields.
fn names(fields: &[Ident], columns: &[Column<'_>]) -> Result<Vec<String>> {
    let name = |field: &Ident| {
        let column = columns.iter().find(|column| column.field == field);
        column.map(|column| column.name.clone()).ok_or_else(|| {
            let message = format!("the struct has no field `{field}`; name fields, not columns");
            Error::new_spanned(field, message)
        })
    };
    fields.iter().map(name).collect()
}

fn index(meta: &ParseNestedMeta<'_>) -> Result<Index> {
    let mut index = Index::default();
    meta.parse_nested_meta(|meta| {
        if meta.path.is_ident("columns") {
            index.columns = idents(&meta)?;
        } else if meta.path.is_ident("unique") {
            index.unique = true;
        } else if meta.path.is_ident("name") {
            index.name = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("filter") {
            index.filter = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error(
                "unknown option of an index; expected `columns = [a, b]`, `unique`, \
                 `name = \"todos_by_day\"` or `filter = \"SQL\"`",
            ));
        }
        Ok(())
    })?;
    if index.columns.is_empty() {
        return Err(meta.error("an index is over columns; name their fields, `columns = [a, b]`"));
    }
    Ok(index)
}

fn foreign_key(meta: &ParseNestedMeta<'_>) -> Result<ForeignKey> {
    let mut key = ForeignKey::default();
    meta.parse_nested_meta(|meta| {
        if meta.path.is_ident("columns") {
            key.columns = idents(&meta)?;
        } else if meta.path.is_ident("table") {
            key.table = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("references") {
            key.referenced = idents(&meta)?;
        } else if meta.path.is_ident("on_delete") || meta.path.is_ident("on_update") {
            let (path, action) = (&meta.path, action(&meta.value()?.parse()?)?);
            key.actions.extend(quote! { .#path(#action) });
        } else {
            return Err(meta.error(
                "unknown option of a foreign key; expected `columns = [a, b]`, `table = \"teams\"`, \
                 `references = [c, d]`, `on_delete = \"cascade\"` or `on_update = \"cascade\"`",
            ));
        }
        Ok(())
    })?;
    if key.table.is_none() || key.columns.is_empty() || key.columns.len() != key.referenced.len() {
        return Err(meta.error(
            "a foreign key is `columns = [a, b], table = \"teams\", references = [c, d]`, with as many \
             columns on both sides",
        ));
    }
    Ok(key)
}

fn full_text(meta: &ParseNestedMeta<'_>) -> Result<FullText> {
    let mut index = FullText::default();
    meta.parse_nested_meta(|meta| {
        if meta.path.is_ident("name") {
            index.name = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("columns") {
            index.columns = idents(&meta)?;
        } else if meta.path.is_ident("tokenizer") {
            index.tokenizer = Some(meta.value()?.parse()?);
        } else {
            return Err(meta.error(
                "unknown option of full-text search; expected `name = \"todos_text\"`, \
                 `columns = [a, b]` or `tokenizer = \"trigram\"`",
            ));
        }
        Ok(())
    })?;
    if index.name.is_none() || index.columns.is_empty() {
        return Err(meta.error(
            "full-text search is `name = \"todos_text\", columns = [a, b]`: the table that queries \
             search, and the fields whose words it finds",
        ));
    }
    Ok(index)
}

/// Reads `= [a, b]`.
///
/// In `columns = [a, b]`, Clippy would take a field of two indexes for an attribute said twice.
fn idents(meta: &ParseNestedMeta<'_>) -> Result<Vec<Ident>> {
    let value = meta.value()?;
    let content;
    bracketed!(content in value);
    let idents = content.call(Punctuated::<Ident, Token![,]>::parse_terminated)?;
    Ok(idents.into_iter().collect())
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
