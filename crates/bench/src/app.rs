//! The app under test: one event that inserts one row.

use livestore::prelude::*;
use serde::{Deserialize, Serialize};

/// Creates a todo.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.TodoCreated")]
pub struct TodoCreated {
    /// The key, time-ordered.
    pub id: String,
    /// What to do.
    pub text: String,
}

/// A todo.
#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "todos")]
pub struct Todo {
    /// The key, time-ordered.
    #[column(primary_key)]
    pub id: String,
    /// What to do.
    pub text: String,
    /// Whether it is done.
    #[column(default = false)]
    pub completed: bool,
}

/// Adds a todo with the text of another one, if that is there.
#[derive(Command, Debug, Serialize, Deserialize)]
#[command(name = "CopyTodo")]
pub struct CopyTodo {
    /// The other one.
    pub id: String,
}

/// The text of every todo.
pub const TEXT: &str = "Buy milk, bread and a bunch of radishes";

/// Returns the schema.
///
/// # Panics
///
/// If the schema were not valid.
pub fn schema() -> Schema {
    schema_of_version(0)
}

/// Returns the schema with a version of the materializers; another one derives the state anew.
///
/// # Panics
///
/// If the schema were not valid.
pub fn schema_of_version(version: u64) -> Schema {
    Schema::builder()
        .materializer_version(version)
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .command(|CopyTodo { id }: CopyTodo, cx: &CommandContext<'_>| {
            let found = cx.query(&Todo::select().filter(Todo::id.eq(&*id)).first())?;
            let text = found.ok_or_else(|| format!("{id} is not there"))?.text.clone();
            Ok(TodoCreated { id: cx.id(), text })
        })
        .build()
        .expect("the schema is valid")
}

/// Makes the next event.
pub fn todo() -> TodoCreated {
    TodoCreated { id: new_id(), text: TEXT.into() }
}

/// Puts an item somewhere.
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.ItemMoved")]
pub struct ItemMoved {
    /// The key.
    pub id: i64,
    /// Where it is.
    pub place: i64,
}

impl ItemMoved {
    /// Puts an item where it belongs first.
    pub fn first(id: i64) -> Self {
        Self { id, place: id }
    }
}

/// An item that has a place.
#[derive(Table, Debug, Clone, PartialEq)]
#[table(name = "items", index(columns = [place]))]
pub struct Item {
    /// The key.
    #[column(primary_key)]
    pub id: i64,
    /// Where it is.
    pub place: i64,
    /// What it is.
    pub text: String,
}

/// Returns a schema of items.
///
/// # Panics
///
/// If the schema were not valid.
pub fn item_schema() -> Schema {
    Schema::builder()
        .table::<Item>()
        .event(|ItemMoved { id, place }: ItemMoved, _| {
            Item::insert(Item { id, place, text: TEXT.into() }).or_replace()
        })
        .build()
        .expect("the schema is valid")
}
