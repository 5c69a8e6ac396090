//! What can be wrong with the definitions of tables.

use crate::{ColumnType, Scope};

/// A table definition that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// The name is not a plain identifier.
    #[error(
        "{name:?} cannot name a table, column or index; use letters, digits and _, starting with a \
         letter, at most 64, with neither sqlite_ nor __livestore in front, and not `excluded` for a \
         table"
    )]
    InvalidName {
        /// The name.
        name: String,
    },
    /// The table has no column, or too many.
    #[error("table {table} has {count} columns; expected 1 to {max}")]
    ColumnCount {
        /// The table.
        table: String,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// Two columns differ in nothing but case, if at all.
    #[error("table {table} has two columns named {column}")]
    DuplicateColumn {
        /// The table.
        table: String,
        /// The repeated name.
        column: String,
    },
    /// Undo, sync and live queries find rows by key.
    #[error("table {table} has no primary key; mark a column with #[column(primary_key)]")]
    NoPrimaryKey {
        /// The table.
        table: String,
    },
    /// A key column that could be null, or whose equality is not that of its bytes.
    #[error("column {table}.{column} cannot be part of the primary key: {reason}")]
    InvalidKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why not.
        reason: &'static str,
    },
    /// What a column's definition says does not go together.
    #[error("column {table}.{column} cannot be: {reason}")]
    InvalidColumn {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why not.
        reason: &'static str,
    },
    /// An expression of the table has another value every time.
    #[error(
        "table {table}: {expression} asks for the present moment or the machine's time zone, which \
         differ between clients; put the moment into the event's payload"
    )]
    AsksForPresent {
        /// The table.
        table: String,
        /// The SQL expression.
        expression: String,
    },
    /// The default does not fit the column.
    #[error("the default of {table}.{column} is not a {expected:?} literal")]
    InvalidDefault {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The column's type.
        expected: ColumnType,
    },
    /// Two indexes, or an index and a table, have the same name (SQLite does not tell case apart).
    #[error("the schema has two indexes or tables named {name}; give index {name} another name")]
    DuplicateIndex {
        /// The name.
        name: String,
    },
    /// An index cannot be what its definition says.
    #[error("index {index} of table {table} cannot be: {reason}")]
    InvalidIndex {
        /// The table.
        table: String,
        /// The index.
        index: String,
        /// Why not.
        reason: String,
    },
    /// A foreign key cannot be what its definition says.
    #[error("table {table}: the foreign key ({}) to {referenced} cannot be: {problem}", .columns.join(", "))]
    InvalidForeignKey {
        /// The table that it belongs to.
        table: String,
        /// The referring columns.
        columns: Vec<String>,
        /// The name of the table referred to.
        referenced: String,
        /// Why not.
        problem: Box<ForeignKeyProblem>,
    },
}

/// Why a foreign key cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForeignKeyProblem {
    /// The schema lacks the table referred to.
    #[error("the schema has no such table")]
    UnknownTable,
    /// One of the two tables lacks a column.
    #[error("table {table} has no column {column}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name.
        column: String,
    },
    /// It has no columns, or not as many on one side as on the other.
    #[error("{columns} columns refer to {referenced}; there have to be as many, and at least one")]
    ColumnCount {
        /// How many columns refer.
        columns: usize,
        /// How many are referred to.
        referenced: usize,
    },
    /// A column refers twice.
    #[error("column {column} is named twice")]
    RepeatedColumn {
        /// The column.
        column: String,
    },
    /// The tables are of different scopes, so one can be derived without the other.
    #[error(
        "a {scope} table cannot refer to a {referenced} table, since foreign keys stay within one \
         scope"
    )]
    OtherScope {
        /// The scope of the table that it belongs to.
        scope: Scope,
        /// The scope of the table referred to.
        referenced: Scope,
    },
    /// The columns referred to do not name one row.
    #[error(
        "({}) is neither the primary key nor unique there; refer to the key, or add a unique index \
         over exactly these columns, without a filter", .columns.join(", ")
    )]
    NotUnique {
        /// The columns referred to.
        columns: Vec<String>,
    },
    /// A column could never equal the one that it refers to.
    #[error("column {column} is {column_type:?}, but {referenced} is {referenced_type:?}")]
    OtherType {
        /// The referring column.
        column: String,
        /// Its type.
        column_type: ColumnType,
        /// The column referred to.
        referenced: String,
        /// Its type.
        referenced_type: ColumnType,
    },
    /// A column that is computed cannot be set by an action.
    #[error("column {column} is generated; refer from a column that is written")]
    Generated {
        /// The column.
        column: String,
    },
    /// An action would write a null where none may be.
    #[error("{action} would make column {column} null, which it may not be")]
    NeverNull {
        /// The action, in SQL's words.
        action: String,
        /// The column.
        column: String,
    },
}
