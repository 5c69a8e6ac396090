//! `#[derive(Event)]`, `#[derive(Command)]`, `#[derive(Table)]`, `#[derive(FromRow)]` and
//! `#[derive(ClientDocument)]`.
//!
//! The macros only translate a struct into what could be written by hand with the run-time API;
//! they hold no rules of their own. Use them through the `livestore` crate, which the generated
//! code names.

#![forbid(unsafe_code)]

mod command;
mod document;
mod event;
mod row;
mod table;
mod wire_name;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct an event's payload, or an enum a family of events.
///
/// A struct must also implement serde's `Serialize` and `Deserialize`. An enum need not: each
/// variant is an event of its own, whose payload is the one value that it holds, or its named
/// fields. The options stand at the struct, or at each variant.
///
/// - `#[event(name = "v1.TodoCreated")]` is required: the name in the log.
/// - `#[event(name = "FilterChanged", client_only)]` never leaves the store. With `persist` besides,
///   it is kept in this client's log and applied to client tables; with `memory`, it is applied to
///   memory tables and forgotten. With neither, the schema decides: `memory`, unless it says
///   `persist_client_only`.
/// - `#[event(version = 1)]` is the version of the materializer; raise it when that changes.
/// - `#[event(deprecated = "why")]` warns once when the event is applied. At a field, it warns when
///   the field has a value in the payload, under the name that serde gives it there.
/// - `#[event(name = "v1.TodoCreated", schema)]` tells what the payload looks like in
///   `Schema::describe`: the payload's type also derives `schemars::JsonSchema`, and `livestore` has
///   its feature `schemars`.
#[proc_macro_derive(Event, attributes(event, serde))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    event::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a type a command.
///
/// It must also implement serde's `Serialize` and `Deserialize`.
///
/// - `#[command(name = "Withdraw")]` is required: the name that it is stored under.
/// - `#[command(name = "Withdraw", error = BankError)]` is what its handler may refuse it with: a type
///   that implements `Display`, `Serialize` and `Deserialize`. It is `String` unless it says so.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a type the value of a client document.
///
/// It must also implement `Default`, `Clone` and serde's `Serialize` and `Deserialize`.
///
/// - `#[document(name = "uiState")]` is required: the document's name.
/// - `#[document(name = "uiState", by_session)]` gives each session a document of its own.
#[proc_macro_derive(ClientDocument, attributes(document))]
pub fn derive_client_document(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    document::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a row of a state table.
///
/// - `#[table(name = "todos")]` is required: the table's name.
/// - `#[table(name = "drafts", scope = "client")]` names who derives the table: `"synced"`, which
///   is what it is unless it says otherwise, `"client"` or `"memory"`.
/// - `#[table(name = "…", check = "SQL")]` refuses rows for which the expression is false.
/// - `#[table(name = "…", index(columns = [a, b]))]` adds an index over the columns of these fields;
///   with `unique`, `filter = "SQL"` and `name = "…"`, as wanted.
/// - `#[table(name = "…", foreign_key(columns = [a, b], table = "teams", references = [org, num]))]`
///   refers to rows of another table by several columns; with `on_delete` and `on_update`, as below.
/// - `#[table(name = "…", full_text(name = "todos_text", columns = [title, body]))]` adds an index for
///   full-text search, which raw SQL searches by its name; with `tokenizer = "…"`, as wanted.
/// - `#[column(primary_key)]` marks the key; several such columns make a composite key.
/// - `#[column(auto_increment)]` is a key that SQLite numbers. A field of type `Option<i64>` is given
///   the next number where it is `None`.
/// - `#[column(default = LITERAL)]` sets the column's default in the table.
/// - `#[column(unique)]` refuses two rows with the same value.
/// - `#[column(check = "SQL")]` refuses rows for which the expression is false.
/// - `#[column(references = "users.id", on_delete = "cascade", on_update = "restrict")]` refers to
///   rows of another table. The actions are `"cascade"`, `"restrict"`, `"set null"`,
///   `"set default"` and `"no action"`, which is what happens if none is named.
/// - `#[column(generated = "SQL")]` computes the column from others when a row is written; with
///   `virtual` besides, whenever it is read. An insert leaves the field out.
/// - `#[column(name = "other")]` names the column other than the field.
///
/// A field of type `Option<T>` is a nullable column. For each field, the struct gets a constant
/// of the same name, to be used in queries: `Todo::completed.eq(false)`. So a field cannot be
/// named `select`, `insert`, `insert_columns`, `update` or `delete`, like what every table can do;
/// its column can.
#[proc_macro_derive(Table, attributes(table, column))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    table::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct a row of a raw query, whose columns are found by the names of the fields.
///
/// `#[row(name = "other")]` names the column other than the field. A field of type `Option<T>` may
/// be null. The query may have more columns than the struct has fields.
#[proc_macro_derive(FromRow, attributes(row))]
pub fn derive_from_row(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    row::derive(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
