//! The list, and what happens to it.

#![allow(missing_docs, reason = "the fields say what they are")]

use livestore::prelude::*;
use livestore::{IntoWrites, SchemaError};

/// What is to be done.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub struct Todo {
    #[column(primary_key)]
    pub id: String,
    pub text: String,
    #[column(default = false)]
    pub completed: bool,
}

/// What happens.
#[derive(Event)]
pub enum TodoEvent {
    #[event(name = "v1.TodoCreated")]
    Created { id: String, text: String },
    #[event(name = "v1.TodoChecked")]
    Checked { id: String, completed: bool },
    #[event(name = "v1.TodosCleared")]
    Cleared {},
}

/// What it does to the list.
pub fn schema() -> Result<Schema, SchemaError> {
    let builder = Schema::builder().table::<Todo>().event(|event: TodoEvent, _| match event {
        TodoEvent::Created { id, text } => {
            Todo::insert(Todo { id, text, completed: false }).into_writes()
        }
        TodoEvent::Checked { id, completed } => {
            Todo::update().set(Todo::completed, completed).filter(Todo::id.eq(id)).into_writes()
        }
        TodoEvent::Cleared {} => Todo::delete().filter(Todo::completed.eq(true)).into_writes(),
    });
    builder.build()
}
