//! An event-driven data layer with a built-in sync engine.
//!
//! Apps **commit events**: named, typed, immutable facts. **Materializers** turn each event into
//! writes on a local SQLite database, the **state**, which is read synchronously and through
//! **live queries**. Events, not state, are **synced** through a backend that keeps one order for
//! all; whatever was committed offline is rebased on top of it, as git does.
//!
//! This crate is an independent implementation of [LiveStore](https://livestore.dev)'s design.

#![forbid(unsafe_code)]
#![cfg_attr(
    target_family = "wasm",
    allow(
        dead_code,
        unused_imports,
        reason = "sessions of other windows and files come with OPFS"
    )
)]

mod adapter;
pub mod big_integer;
mod boot;
mod clock;
mod command;
mod description;
mod document;
mod driver;
mod error;
mod event;
mod eventlog;
mod group;
#[cfg(not(target_family = "wasm"))]
pub mod inspect;
mod live;
mod materializer;
mod on_rebase;
mod options;
mod reader;
mod receipt;
pub mod replica;
mod runtime;
mod schema;
#[doc(hidden)]
pub mod session;
mod store;
pub mod sync_provider;
mod unknown;
mod upcaster;
mod warning;

#[cfg(not(target_family = "wasm"))]
pub use adapter::FileAdapter;
#[cfg(target_family = "wasm")]
pub use adapter::WebAdapter;
pub use adapter::{Adapter, MemoryAdapter};
pub use boot::{BootStatus, BootStatuses, InitialSync};
pub use command::{
    Command, CommandContext, CommandError, CommandFailure, ExecuteError, HandlerError,
    StoredCommand,
};
#[cfg(feature = "schemars")]
#[doc(hidden)]
pub use description::json_schema_of;
pub use description::{EventDescription, SchemaDescription};
pub use document::{ClientDocument, Document, DocumentDef, DocumentQuery};
pub use error::{CommitError, OpenError, QueryError, ReceiptError, Unavailable};
pub use event::{Event, EventDef, EventKind};
pub use eventlog::{Events, LoggedEvent};
pub use group::{GroupBuilder, IntoGroup, NewEvent};
pub use live::{
    Explanation, IntoLive, Live, LiveContext, LiveDef, LiveQuery, LiveRead, LiveStream, Precision,
    QueryRefresh, Refresh, RefreshCause, RefreshOutcome, SignalDef, Subscription, TableExplanation,
    computed, query_db, query_with, signal,
};
pub use livestore_core::{
    BackendId, CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, JsonError,
    SeqNum, SessionId, StoreId, protocol,
};
pub use livestore_derive::{ClientDocument, Command, Event, FromRow, Table};
pub use livestore_reactive::Signal;
pub use livestore_sqlite::watch::{News, Refreshed, View};
pub use livestore_sqlite::{
    Action, Assignment, Case, Collation, Column, ColumnDef, ColumnDescription, ColumnType,
    ColumnValue, Condition, ConflictColumns, Contains, Correlated, Count, DateTime, DateTimeError,
    DateTimeMillis, DecodeError, Delete, Diff, DiffStep, Durability, DynSelect, Expr, First,
    FirstOr, FirstOrError, Fits, ForeignKey, ForeignKeyDescription, ForeignKeyProblem, FromRow,
    FtsDef, FtsDescription, Generated, GeneratedDescription, InScopeOf, IndexDef, IndexDescription,
    Insert, IntoOrder, Join, Json, Literal, Matches, Number, OnConflict, Operand, Order, Outputs,
    Query, QueryAs, RawWrite, ResultColumn, Returning, Row, RowColumns, RowCursor, RowQuery,
    RowRef, Rows, RunWrite, Scope, Select, Slot, Source, Sources, Sql, SqliteError, StateHash,
    StatementError, Table, TableAccess, TableDef, TableDescription, TableError, TableSql,
    TableWrite, Update, Value, ValueError, Watch, Write, alias, ast, case, count_rows, excluded,
    jiff, query_as, value,
};
pub use materializer::{IntoWrites, MaterializeError, MaterializerContext};
pub use on_rebase::{OnRebase, RebaseContext};
pub use options::{StoreOptions, Topology};
pub use reader::QueryFailed;
pub use receipt::{CommitReceipt, Positions};
pub use replica::{
    ConnectionState, DeadLetter, DeadLetterReason, Divergence, Fate, HistoryAnswer, LeaderLink,
    PoisonAnswer, Quarantined, Replica, ReplicaError, StopReason, SyncStatus, Tier,
};
#[cfg(target_family = "wasm")]
pub use runtime::{stop_tasks, tasks_are_stopped, yield_now};
pub use schema::{Schema, SchemaBuilder, SchemaError, StateVersion};
pub use session::{Newer, SessionInfo};
pub use store::Store;
pub use sync_provider::{SyncError, SyncProvider};
pub use unknown::UnknownEvents;
pub use upcaster::Upcaster;
pub use warning::Warning;

/// What derived code names, for those who have no `schemars` themselves.
#[cfg(feature = "schemars")]
#[doc(hidden)]
pub use schemars;
/// What derived code names, for those who have no `serde` themselves.
#[doc(hidden)]
pub use serde;

/// Makes a new random, time-ordered id, for primary keys.
///
/// Ids belong into the payload of the event that creates a thing, so that every client
/// materializes the same one.
///
/// # Panics
///
/// If the system has no randomness to give, which no supported system ever does.
pub fn new_id() -> String {
    use std::sync::{Mutex, PoisonError};
    static IDS: Mutex<Option<livestore_core::IdGenerator>> = Mutex::new(None);
    let mut ids = IDS.lock().unwrap_or_else(PoisonError::into_inner);
    let ids = ids.get_or_insert_with(|| {
        // Without randomness from the system no id can be made; nothing else can go on either.
        let seed = clock::seed().expect("the system's random numbers are available");
        livestore_core::IdGenerator::new(seed)
    });
    ids.event_id(clock::now_ms()).to_string()
}

/// Everything that most apps need: `use livestore::prelude::*`.
pub mod prelude {
    #[cfg(not(target_family = "wasm"))]
    pub use crate::FileAdapter;
    #[cfg(target_family = "wasm")]
    pub use crate::WebAdapter;
    pub use crate::{
        Command, CommandContext, CommitReceipt, DeadLetterReason, Event, ExecuteError, Fate,
        FromRow, HandlerError, Json, Live, LiveDef, LiveQuery, MaterializeError, MemoryAdapter,
        OnRebase, Query, RebaseContext, Rows, Schema, Signal, SignalDef, Sql, Store, Subscription,
        Table, computed, count_rows, excluded, new_id, query_as, query_db, query_with, signal,
    };
}

/// The guide, whose code runs as tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/conflicts.md")]
    struct Conflicts;
    #[doc = include_str!("../../../docs/guide/events.md")]
    struct Events;
    #[doc = include_str!("../../../docs/guide/evolution.md")]
    struct Evolution;
    #[doc = include_str!("../../../docs/guide/materializers.md")]
    struct Materializers;
    #[doc = include_str!("../../../docs/guide/queries.md")]
    struct Queries;
    #[doc = include_str!("../../../docs/guide/reactivity.md")]
    struct Reactivity;
    #[doc = include_str!("../../../docs/guide/sessions.md")]
    struct Sessions;
    #[doc = include_str!("../../../docs/guide/tables.md")]
    struct Tables;
}
