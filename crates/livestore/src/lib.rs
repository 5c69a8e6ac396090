//! An event-driven data layer with a built-in sync engine.
//!
//! Apps **commit events**: named, typed, immutable facts. **Materializers** turn each event into
//! writes on a local SQLite database, the **state**, which is read synchronously and through
//! **live queries**. Events, not state, are **synced** through a backend that keeps one order for
//! all; whatever was committed offline is rebased on top of it, as git does.
//!
//! This crate is an independent implementation of [LiveStore](https://livestore.dev)'s design.

#![forbid(unsafe_code)]

mod adapter;
mod clock;
mod driver;
mod error;
mod event;
mod eventlog;
pub mod inspect;
mod live;
mod materializer;
mod options;
mod receipt;
pub mod replica;
mod schema;
mod store;
pub mod sync_provider;

pub use adapter::{Adapter, FileAdapter, MemoryAdapter};
pub use error::{CommitError, OpenError, QueryError, ReceiptError, Unavailable};
pub use event::{Event, EventKind, GroupBuilder, IntoGroup, NewEvent};
pub use eventlog::{Events, LoggedEvent};
pub use live::{LiveQuery, Subscription};
pub use livestore_core::{
    BackendId, CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, JsonError,
    SeqNum, SessionId, StoreId, protocol,
};
pub use livestore_derive::{Event, Table};
pub use livestore_reactive::{Computed, Context, Signal};
pub use livestore_sqlite::{
    Action, Column, ColumnDef, ColumnType, ColumnValue, Count, DateTime, DateTimeError,
    DateTimeMillis, DecodeError, Delete, Durability, Expr, First, ForeignKey, ForeignKeyProblem,
    FtsDef, Generated, IndexDef, Insert, Json, Query, Row, RowCursor, RowRef, Rows, Scope, Select,
    Sql, SqliteError, StateHash, Table, TableAccess, TableDef, TableError, TableSql, TableWrite,
    TableWriteError, Update, Value, ValueError, Write, jiff,
};
pub use materializer::{IntoWrites, MaterializeError, MaterializerContext};
pub use options::StoreOptions;
pub use receipt::{CommitReceipt, Positions};
pub use replica::{
    ConnectionState, DeadLetter, DeadLetterReason, Divergence, Fate, HistoryAnswer, PoisonAnswer,
    Quarantined, Replica, ReplicaError, StopReason, SyncStatus,
};
pub use schema::{Schema, SchemaBuilder, SchemaError, StateVersion};
pub use store::Store;
pub use sync_provider::{SyncError, SyncProvider};

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
    pub use crate::{
        CommitReceipt, Event, FileAdapter, Json, LiveQuery, MaterializeError, MemoryAdapter, Query,
        Rows, Schema, Sql, Store, Subscription, Table, new_id,
    };
}
