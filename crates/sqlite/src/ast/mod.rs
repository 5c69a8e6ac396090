//! Statements as values: what the typed builders make, and what other languages send as JSON.
//!
//! Everything here is plain data with names as text. The typed builders know that their names
//! exist and write the SQL at once. What comes from anywhere else goes through
//! [`DynSelect`](crate::DynSelect) or [`Write::checked`](crate::Write::checked), which check every
//! name against table definitions first. Values always become parameters.

mod check;
mod column;
mod expr;
mod function;
mod select;
mod sql;
mod statement;
mod statement_sql;
mod value;

pub use check::StatementError;
pub use column::{Column, Name};
pub use expr::{Arithmetic, Comparison, Expr, When};
pub use function::{Aggregate, AggregateFunction, CastType, Function};
pub use select::{Collation, Direction, Join, JoinKind, Nulls, Order, Output, Select, Source};
pub use statement::{Conflict, ConflictAction, Delete, Insert, Set, Statement, Update};

pub(crate) use check::Checker;
pub(crate) use sql::SqlWriter;
