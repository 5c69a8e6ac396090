//! A test kit for apps that use LiveStore.
//!
//! Put it under `[dev-dependencies]`, so that nothing of it is in what you ship. All of it is made
//! of real stores; what fails, panics with what was expected and what was found.
//!
//! - [`given`] some events, *when* the app commits, *then* the state is so.
//! - [`sequence()`] makes events with ids and times that are the same in every run.
//! - [`TestBackend`] syncs real stores in one process, and takes them offline.
//!
//! ```
//! use livestore::prelude::*;
//! use livestore_testing::{TestBackend, given, sequence};
//! # use serde::{Deserialize, Serialize};
//! # #[derive(Event, Serialize, Deserialize)]
//! # #[event(name = "v1.TodoCreated")]
//! # struct TodoCreated { id: String, text: String }
//! # #[derive(Event, Serialize, Deserialize)]
//! # #[event(name = "v1.TodoCompleted")]
//! # struct TodoCompleted { id: String }
//! # #[derive(Table, Clone, Debug, PartialEq)]
//! # #[table(name = "todos")]
//! # struct Todo { #[column(primary_key)] id: String, text: String, completed: bool }
//! # fn schema() -> Schema {
//! #     Schema::builder()
//! #         .table::<Todo>()
//! #         .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
//! #         .event(|e: TodoCompleted, _| Todo::update().set(Todo::completed, true).filter(Todo::id.eq(e.id)))
//! #         .build()
//! #         .unwrap()
//! # }
//!
//! // A todo that was completed is not open any more.
//! given(schema())
//!     .events(TodoCreated { id: "1".into(), text: "Buy milk".into() })
//!     .when(|store| store.commit(TodoCompleted { id: "1".into() }))
//!     .then(Todo::select().filter(Todo::completed.eq(false)).count(), 0);
//!
//! // What was created offline is there for everybody afterwards.
//! let backend = TestBackend::new();
//! let a = backend.client(schema());
//! let b = backend.client(schema());
//! let mut todos = sequence(|n| TodoCreated { id: n.id(), text: format!("Todo {}", n.number()) });
//! a.go_offline();
//! a.commit(todos.many(2))?;
//! b.commit(todos.one())?;
//! a.go_online();
//! backend.settle();
//! assert_eq!(a.query(Todo::select().count())?, 3);
//! assert_eq!(a.state_hash()?, b.state_hash()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod backend;
mod client;
mod conversation;
mod expect;
mod scenario;
mod sequence;

pub use backend::{TestBackend, Unsettled};
pub use client::TestClient;
pub use conversation::TestSync;
pub use expect::{Difference, Expect};
pub use livestore_core::{ConfirmedGroup, Group};
pub use scenario::{Scenario, given};
pub use sequence::{Nth, Sequence, sequence};

/// The guide, whose code runs as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/testing.md")]
struct Guide;
