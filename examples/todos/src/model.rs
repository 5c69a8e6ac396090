//! Todos: the table, what happens to them, and what people may want.

use livestore::IntoWrites;
use livestore::prelude::*;
use serde::{Deserialize, Serialize};

/// A todo.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub(crate) struct Todo {
    #[column(primary_key)]
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) done: bool,
}

/// What happens to todos.
#[derive(Event, Clone, Debug, PartialEq)]
pub(crate) enum Happened {
    #[event(name = "v1.TodoAdded")]
    Added { id: String, title: String, done: bool },
    #[event(name = "v1.TodoRenamed")]
    Renamed { id: String, title: String },
    #[event(name = "v1.TodoDone")]
    Done { id: String, done: bool },
    #[event(name = "v1.TodoDeleted")]
    Deleted { id: String },
}

/// Wants a new title for a todo.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Rename", error = Refused)]
pub(crate) struct Rename {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

/// Wants a todo to be done, or not.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "SetDone", error = Refused)]
pub(crate) struct SetDone {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) done: bool,
}

/// Wants a todo to go.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Delete", error = Refused)]
pub(crate) struct Delete {
    pub(crate) id: String,
    pub(crate) title: String,
}

/// Why a todo cannot be changed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("somebody has deleted “{title}”")]
    Gone { title: String },
    #[error("somebody has renamed “{from}” to “{now}” already")]
    Renamed { from: String, now: String },
}

/// Reads a todo that has to be there; `title` is what it was called.
fn find(cx: &CommandContext<'_>, id: &str, title: &str) -> Result<Todo, HandlerError<Refused>> {
    let found = cx.query(&Todo::select().filter(Todo::id.eq(id)).first())?;
    let gone = || Refused::Gone { title: title.into() };
    Ok((*found.ok_or_else(gone)?).clone())
}

pub(crate) fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .event(|event: Happened, _| match event {
            Happened::Added { id, title, done } => {
                Todo::insert(Todo { id, title, done }).on_conflict(Todo::id).ignore().into_writes()
            }
            Happened::Renamed { id, title } => {
                Todo::update().set(Todo::title, title).filter(Todo::id.eq(id)).into_writes()
            }
            Happened::Done { id, done } => {
                Todo::update().set(Todo::done, done).filter(Todo::id.eq(id)).into_writes()
            }
            Happened::Deleted { id } => Todo::delete().filter(Todo::id.eq(id)).into_writes(),
        })
        .command(|Rename { id, from, to }: Rename, cx: &CommandContext<'_>| {
            let now = find(cx, &id, &from)?.title;
            if now != from && now != to {
                return Err(Refused::Renamed { from, now }.into());
            }
            Ok(Happened::Renamed { id, title: to })
        })
        .command(|SetDone { id, title, done }: SetDone, cx: &CommandContext<'_>| {
            find(cx, &id, &title)?;
            Ok(Happened::Done { id, done })
        })
        .command(|Delete { id, title }: Delete, cx: &CommandContext<'_>| {
            find(cx, &id, &title)?;
            Ok(Happened::Deleted { id })
        })
        .build()
        .expect("the schema is valid")
}
