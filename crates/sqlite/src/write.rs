//! The writes that materializers return.

use std::fmt::Write as _;
use std::marker::PhantomData;

use crate::expr::Expr;
use crate::{Column, ColumnValue, Operand, Table, Value, ValueError, sql};

/// One SQL write with its values, ready to run.
///
/// It can only be made by the builders of this crate, so its text never holds input.
#[derive(Debug, Clone)]
pub struct Write {
    pub(crate) sql: WriteSql,
    pub(crate) binds: Vec<Value>,
}

#[derive(Debug, Clone)]
pub(crate) enum WriteSql {
    Constant(&'static str),
    Built(Box<str>),
}

impl WriteSql {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Constant(sql) => sql,
            Self::Built(sql) => sql,
        }
    }
}

impl Write {
    fn built(sql: &str, binds: Vec<Value>) -> Self {
        Self { sql: WriteSql::Built(sql::mark_write(sql)), binds }
    }
}

/// Inserts one row into table `T`.
#[derive(Debug)]
#[must_use = "an insert does nothing until a materializer returns it"]
pub struct Insert<T> {
    values: Result<Vec<Value>, ValueError>,
    conflict: OnConflict,
    table: PhantomData<fn() -> T>,
}

#[derive(Debug, Clone, Copy)]
enum OnConflict {
    Fail,
    Ignore,
    Replace,
}

impl<T: Table> Insert<T> {
    pub(crate) fn new(row: T) -> Self {
        Self { values: row.into_values(), conflict: OnConflict::Fail, table: PhantomData }
    }

    /// Keeps the row that is there already, if one is in the way.
    pub fn or_ignore(mut self) -> Self {
        self.conflict = OnConflict::Ignore;
        self
    }

    /// Replaces the rows that are in the way.
    pub fn or_replace(mut self) -> Self {
        self.conflict = OnConflict::Replace;
        self
    }
}

impl<T: Table> TryFrom<Insert<T>> for Write {
    type Error = ValueError;

    fn try_from(insert: Insert<T>) -> Result<Self, ValueError> {
        let constant: &'static str = &T::sql().insert;
        let with = |clause: &str| {
            sql::mark_write(&sql::without_mark(constant).replacen("INSERT", clause, 1))
        };
        let sql = match insert.conflict {
            OnConflict::Fail => WriteSql::Constant(constant),
            OnConflict::Ignore => WriteSql::Built(with("INSERT OR IGNORE")),
            OnConflict::Replace => WriteSql::Built(with("INSERT OR REPLACE")),
        };
        Ok(Self { sql, binds: insert.values? })
    }
}

/// A list of columns to set, with their values.
pub type Assignments = Vec<(&'static str, Result<Value, ValueError>)>;

/// Sets columns of the rows of table `T` that a filter names.
#[derive(Debug)]
#[must_use = "an update does nothing until a materializer returns it"]
pub struct Update<T> {
    set: Assignments,
    filter: Option<Expr<T>>,
}

impl<T: Table> Update<T> {
    pub(crate) fn new() -> Self {
        Self { set: Vec::new(), filter: None }
    }

    /// Sets a column.
    pub fn set<V: ColumnValue>(mut self, column: Column<T, V>, value: impl Operand<V>) -> Self {
        self.set.push((column.name(), value.into_operand(column.name())));
        self
    }

    /// Keeps to the rows for which the condition holds; without a filter, all rows are updated.
    pub fn filter(mut self, condition: Expr<T>) -> Self {
        self.filter = Some(match self.filter {
            None => condition,
            Some(before) => before.and(condition),
        });
        self
    }
}

impl<T: Table> TryFrom<Update<T>> for Write {
    type Error = ValueError;

    fn try_from(update: Update<T>) -> Result<Self, ValueError> {
        if update.set.is_empty() {
            return Err(ValueError::NothingToSet { table: T::NAME.into() });
        }
        let mut sql = format!("UPDATE \"{}\" SET ", T::NAME);
        let mut binds = Vec::with_capacity(update.set.len() + 1);
        for (index, (column, value)) in update.set.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}\"{column}\" = ?");
            binds.push(value?);
        }
        write_filter(update.filter.as_ref(), &mut sql, &mut binds)?;
        Ok(Self::built(&sql, binds))
    }
}

/// Deletes the rows of table `T` that a filter names.
#[derive(Debug)]
#[must_use = "a delete does nothing until a materializer returns it"]
pub struct Delete<T> {
    filter: Option<Expr<T>>,
}

impl<T: Table> Delete<T> {
    pub(crate) fn new() -> Self {
        Self { filter: None }
    }

    /// Keeps to the rows for which the condition holds; without a filter, all rows are deleted.
    pub fn filter(mut self, condition: Expr<T>) -> Self {
        self.filter = Some(match self.filter {
            None => condition,
            Some(before) => before.and(condition),
        });
        self
    }
}

impl<T: Table> TryFrom<Delete<T>> for Write {
    type Error = ValueError;

    fn try_from(delete: Delete<T>) -> Result<Self, ValueError> {
        let mut sql = format!("DELETE FROM \"{}\"", T::NAME);
        let mut binds = Vec::new();
        write_filter(delete.filter.as_ref(), &mut sql, &mut binds)?;
        Ok(Self::built(&sql, binds))
    }
}

fn write_filter<T>(
    filter: Option<&Expr<T>>,
    sql: &mut String,
    binds: &mut Vec<Value>,
) -> Result<(), ValueError> {
    if let Some(filter) = filter {
        sql.push_str(" WHERE ");
        filter.write(sql, binds)?;
    }
    Ok(())
}

impl TableWrite {
    /// Inserts a row into a table that was defined at run time.
    ///
    /// Columns that are not named get their default. The names are checked against the
    /// definition, so none of the input becomes SQL.
    pub fn insert(
        table: &crate::TableDef,
        values: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, TableWriteError> {
        let (mut names, mut binds) = (Vec::new(), Vec::new());
        for (name, value) in values {
            names.push(quoted(table, &name)?);
            binds.push(value);
        }
        let marks = vec!["?"; names.len()].join(", ");
        let sql = if names.is_empty() {
            format!("INSERT INTO \"{}\" DEFAULT VALUES", table.name())
        } else {
            format!("INSERT INTO \"{}\" ({}) VALUES ({marks})", table.name(), names.join(", "))
        };
        Ok(Write::built(&sql, binds))
    }

    /// Sets columns of the rows whose columns equal the given values.
    pub fn update(
        table: &crate::TableDef,
        set: impl IntoIterator<Item = (String, Value)>,
        equal: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, TableWriteError> {
        let (mut names, mut binds) = (Vec::new(), Vec::new());
        for (name, value) in set {
            names.push(format!("{} = ?", quoted(table, &name)?));
            binds.push(value);
        }
        if names.is_empty() {
            return Err(TableWriteError::NothingToSet { table: table.name().into() });
        }
        let mut sql = format!("UPDATE \"{}\" SET {}", table.name(), names.join(", "));
        write_equal(table, equal, &mut sql, &mut binds)?;
        Ok(Write::built(&sql, binds))
    }

    /// Deletes the rows whose columns equal the given values.
    pub fn delete(
        table: &crate::TableDef,
        equal: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Write, TableWriteError> {
        let mut sql = format!("DELETE FROM \"{}\"", table.name());
        let mut binds = Vec::new();
        write_equal(table, equal, &mut sql, &mut binds)?;
        Ok(Write::built(&sql, binds))
    }
}

/// Writes for tables that have no Rust struct, because they were defined at run time.
#[derive(Debug)]
pub enum TableWrite {}

/// A run-time write that its table cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableWriteError {
    /// The table does not have the column.
    #[error("table {table} has no column {column:?}; it has {columns}")]
    UnknownColumn {
        /// The table.
        table: String,
        /// The name that was asked for.
        column: String,
        /// The names that there are.
        columns: String,
    },
    /// An update that sets nothing.
    #[error("an update of {table} sets no column; set one, or leave the update out")]
    NothingToSet {
        /// The table.
        table: String,
    },
}

fn quoted(table: &crate::TableDef, name: &str) -> Result<String, TableWriteError> {
    let columns = table.columns();
    if columns.iter().any(|column| column.name() == name) {
        return Ok(format!("\"{name}\""));
    }
    let names: Vec<_> = columns.iter().map(crate::ColumnDef::name).collect();
    Err(TableWriteError::UnknownColumn {
        table: table.name().into(),
        column: name.chars().take(80).collect(),
        columns: names.join(", "),
    })
}

fn write_equal(
    table: &crate::TableDef,
    equal: impl IntoIterator<Item = (String, Value)>,
    sql: &mut String,
    binds: &mut Vec<Value>,
) -> Result<(), TableWriteError> {
    for (index, (name, value)) in equal.into_iter().enumerate() {
        let word = if index == 0 { "WHERE" } else { "AND" };
        let _ = write!(sql, " {word} {} IS ?", quoted(table, &name)?);
        binds.push(value);
    }
    Ok(())
}
