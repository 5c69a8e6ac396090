//! Todos: the table, what happens to them, and what people may want.

use livestore::IntoWrites;
use livestore::prelude::*;
use serde::{Deserialize, Serialize};

/// A todo.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
pub struct Todo {
    /// Its key.
    #[column(primary_key)]
    pub id: String,
    /// What there is to do.
    pub title: String,
    /// Whether it is done.
    pub done: bool,
    /// What somebody has to say about it.
    #[column(default = "")]
    pub note: String,
}

/// What happens to todos.
#[derive(Event, Clone, Debug, PartialEq)]
pub enum Happened {
    /// There is a new one, or one that was deleted is back.
    #[event(name = "v1.TodoAdded")]
    Added {
        /// Its id.
        id: String,
        /// What there is to do.
        title: String,
        /// Whether it is done.
        done: bool,
    },
    /// It is called something else.
    #[event(name = "v1.TodoRenamed")]
    Renamed {
        /// Its id.
        id: String,
        /// What it is called now.
        title: String,
    },
    /// It is done, or not any more.
    #[event(name = "v1.TodoDone")]
    Done {
        /// Its id.
        id: String,
        /// Whether it is done now.
        done: bool,
    },
    /// Somebody has something to say about it.
    #[event(name = "v1.TodoNoted")]
    Noted {
        /// Its id.
        id: String,
        /// What there is to say.
        note: String,
    },
    /// It is gone.
    #[event(name = "v1.TodoDeleted")]
    Deleted {
        /// Its id.
        id: String,
    },
}

/// Wants a new title for a todo.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Rename", error = Refused)]
pub struct Rename {
    /// Which.
    pub id: String,
    /// What it was called.
    pub from: String,
    /// What it is to be called.
    pub to: String,
}

/// Wants a todo to be done, or not.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "SetDone", error = Refused)]
pub struct SetDone {
    /// Which.
    pub id: String,
    /// What it was called.
    pub title: String,
    /// Whether it is to be done.
    pub done: bool,
}

/// Wants something to be said about a todo.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Annotate", error = Refused)]
pub struct Annotate {
    /// Which.
    pub id: String,
    /// What it was called.
    pub title: String,
    /// What there is to say.
    pub note: String,
}

/// Wants a todo to go.
#[derive(Command, Serialize, Deserialize, Clone, Debug)]
#[command(name = "Delete", error = Refused)]
pub struct Delete {
    /// Which.
    pub id: String,
    /// What it was called.
    pub title: String,
}

/// Why a todo cannot be changed.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Somebody has deleted it.
    #[error("somebody has deleted “{title}”")]
    Gone {
        /// What it was called.
        title: String,
    },
    /// Somebody has renamed it.
    #[error("somebody has renamed “{from}” to “{now}” already")]
    Renamed {
        /// What it was called.
        from: String,
        /// What it is called now.
        now: String,
    },
}

/// Reads a todo that has to be there; `title` is what it was called.
fn find(cx: &CommandContext<'_>, id: &str, title: &str) -> Result<Todo, HandlerError<Refused>> {
    let found = cx.query(&Todo::select().filter(Todo::id.eq(id)).first())?;
    let gone = || Refused::Gone { title: title.into() };
    Ok((*found.ok_or_else(gone)?).clone())
}

/// Returns the schema of the app, and of whoever works on the same list.
///
/// # Panics
///
/// If the schema were not valid.
pub fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .event(|event: Happened, _| match event {
            Happened::Added { id, title, done } => {
                let todo = Todo { id, title, done, note: String::new() };
                Todo::insert(todo).on_conflict(Todo::id).ignore().into_writes()
            }
            Happened::Renamed { id, title } => {
                Todo::update().set(Todo::title, title).filter(Todo::id.eq(id)).into_writes()
            }
            Happened::Done { id, done } => {
                Todo::update().set(Todo::done, done).filter(Todo::id.eq(id)).into_writes()
            }
            Happened::Noted { id, note } => {
                Todo::update().set(Todo::note, note).filter(Todo::id.eq(id)).into_writes()
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
        .command(|Annotate { id, title, note }: Annotate, cx: &CommandContext<'_>| {
            find(cx, &id, &title)?;
            Ok(Happened::Noted { id, note })
        })
        .command(|Delete { id, title }: Delete, cx: &CommandContext<'_>| {
            find(cx, &id, &title)?;
            Ok(Happened::Deleted { id })
        })
        .build()
        .expect("the schema is valid")
}
