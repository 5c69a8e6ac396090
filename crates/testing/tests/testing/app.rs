//! The app under test.

use livestore::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Event, Debug, Clone, Serialize, Deserialize)]
#[event(name = "v1.TodoCreated")]
pub(crate) struct TodoCreated {
    pub(crate) id: String,
    pub(crate) text: String,
}

#[derive(Event, Debug, Clone, Serialize, Deserialize)]
#[event(name = "v1.TodoCompleted")]
pub(crate) struct TodoCompleted {
    pub(crate) id: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub(crate) struct Todo {
    #[column(primary_key)]
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) completed: bool,
}

/// Who made what: a table that depends on the ids that the store makes.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "authors")]
pub(crate) struct Author {
    #[column(primary_key)]
    pub(crate) event: String,
    pub(crate) client: String,
}

pub(crate) fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .table::<Author>()
        .event(|e: TodoCreated, cx| {
            let author =
                Author { event: cx.event_id().to_string(), client: cx.client_id().to_string() };
            let todo = Todo { id: e.id, text: e.text, completed: false };
            (Todo::insert(todo), Author::insert(author))
        })
        .event(|e: TodoCompleted, _| {
            Todo::update().set(Todo::completed, true).filter(Todo::id.eq(e.id))
        })
        .build()
        .unwrap()
}

pub(crate) fn created(id: &str) -> TodoCreated {
    TodoCreated { id: id.into(), text: "Buy milk".into() }
}

pub(crate) fn completed(id: &str) -> TodoCompleted {
    TodoCompleted { id: id.into() }
}

pub(crate) fn todo(id: &str, completed: bool) -> Todo {
    Todo { id: id.into(), text: "Buy milk".into(), completed }
}
