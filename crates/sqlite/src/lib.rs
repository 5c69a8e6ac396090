//! Everything LiveStore knows about SQLite.
//!
//! Three views of one [`Connection`], and no fourth:
//!
//! - [`StateRead`] runs queries and cannot write;
//! - [`StateWrite`] runs the writes of materializers on state tables of one [`Scope`], with
//!   deterministic SQL only, while every row change is captured;
//! - [`System`] runs LiveStore's own statements on its own tables.
//!
//! What each may do is enforced by SQLite's authorizer, not by convention. Captured changes undo
//! themselves ([`Preimages`]), and the state has one canonical hash. What is left of a damaged
//! file is read without SQLite ([`raw`]). This crate knows nothing of events, replicas or the
//! network.
//!
//! The feature `sim` adds the module `sim`: a simulated disk, on which tests let a machine fail,
//! die and lose its power at any moment.

// The simulated disk speaks C with SQLite, the statements of every commit are kept prepared, and one
// function asks for a number that rusqlite does not tell; nothing else needs unsafe code.
#![deny(unsafe_code)]

pub mod ast;
mod authorizer;
mod capture;
mod changes;
mod codec;
mod column;
mod column_value;
mod connection;
mod date_functions;
mod date_time;
mod denial;
mod description;
mod enforcement;
mod error;
mod expr;
mod file_lock;
mod foreign_key;
mod full_text;
mod index;
mod kept;
mod opened_tables;
mod query;
pub mod raw;
mod reads;
mod row;
mod scope;
#[cfg(feature = "sim")]
pub mod sim;
mod sql;
mod state_hash;
mod state_tables;
mod steps;
mod table;
mod transfer;
mod unchanging;
mod undo;
mod value;
pub mod watch;
mod write;

pub use ast::{Collation, Direction, Nulls, StatementError};
pub use changes::{ChangedTables, Changes, RowChange, Watched, WrittenRow};
pub use column::{ColumnDef, ColumnType, Generated};
pub use column_value::{ColumnValue, Json};
pub use connection::{Connection, Durability, StateRead, StateWrite, System};
pub use date_time::{DateTime, DateTimeError, DateTimeMillis};
pub use description::{
    ColumnDescription, ForeignKeyDescription, FtsDescription, GeneratedDescription,
    IndexDescription, Literal, TableDescription,
};
pub use error::{DecodeError, SqliteError, ValueError};
pub use expr::{
    Case, Column, Condition, Expr, Fits, IntoOrder, Matches, Number, Operand, Order, case,
    count_rows, value,
};
pub use file_lock::FileLock;
pub use foreign_key::{Action, ForeignKey};
pub use full_text::FtsDef;
pub use index::IndexDef;
/// The library behind [`DateTime`].
pub use jiff;
pub use kept::Bind;
pub use query::{
    Contains, Correlated, Count, DynSelect, First, FirstOr, FirstOrError, InScopeOf, Join, Outputs,
    Query, QueryAs, ResultColumn, RowQuery, Select, Slot, Source, Sources, Sql, Watch, query_as,
};
pub use reads::{Columns, TableRead};
pub use row::{Diff, DiffStep, FromRow, Row, RowColumns, RowCursor, RowRef, Rows};
/// The binding and row types of [`System`] statements.
pub use rusqlite::{self, params};
pub use scope::{Scope, TableAccess};
pub use state_hash::StateHash;
pub use table::{ForeignKeyProblem, Table, TableDef, TableError, TableSql, check_tables};
pub use transfer::Transfer;
pub use undo::Preimages;
pub use value::Value;
pub use write::{
    Assignment, ConflictColumns, Delete, Insert, OnConflict, RawWrite, Returning, RunWrite,
    TableWrite, Update, Write, excluded,
};
