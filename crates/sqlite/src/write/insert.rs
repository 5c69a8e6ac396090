//! Inserts, and what they do about rows that are in the way.

use std::marker::PhantomData;

use super::{Assignment, Returning, Write, WriteSql, check_written};
use crate::ast::{self, Conflict, ConflictAction, Name};
use crate::expr::{Column, Expr};
use crate::query::{Outputs, Source};
use crate::row::FromRow;
use crate::{Table, Value, ValueError};

/// Inserts one row into table `T`.
#[derive(Debug)]
#[must_use = "an insert does nothing until a materializer returns or runs it"]
pub struct Insert<T> {
    values: Values,
    conflict: Option<Conflict>,
    table: PhantomData<fn() -> T>,
}

#[derive(Debug)]
enum Values {
    /// Of all columns, for the table's constant text.
    Row(Result<Vec<Value>, ValueError>),
    /// Of some.
    Columns(Vec<ast::Set>),
}

impl<T: Table> Insert<T> {
    pub(crate) fn new(row: T) -> Self {
        let values = Values::Row(row.into_values());
        Self { values, conflict: None, table: PhantomData }
    }

    pub(crate) fn of_columns(columns: impl IntoIterator<Item = Assignment<T>>) -> Self {
        let values = Values::Columns(columns.into_iter().map(|column| column.set).collect());
        Self { values, conflict: None, table: PhantomData }
    }

    /// Keeps the row that is there already, if one is in the way.
    pub fn or_ignore(self) -> Self {
        self.on_any_conflict(ConflictAction::Ignore)
    }

    /// Replaces the rows that are in the way.
    pub fn or_replace(self) -> Self {
        self.on_any_conflict(ConflictAction::Replace)
    }

    fn on_any_conflict(mut self, action: ConflictAction) -> Self {
        self.conflict = Some(Conflict { columns: Vec::new(), action });
        self
    }

    /// Says what to do about a row that has the same values in these columns: those of the primary
    /// key, or of a UNIQUE constraint.
    pub fn on_conflict(self, columns: impl ConflictColumns<T>) -> OnConflict<T> {
        OnConflict { insert: self, columns: columns.names() }
    }

    /// Gives these back of the row that was inserted, or that an upsert updated: a column, an
    /// expression, or a tuple of two to eight.
    ///
    /// They are what the row holds now, with the key that SQLite has given it. If the insert is
    /// ignored, there is no row.
    pub fn returning<V: FromRow, I>(self, outputs: impl Outputs<T, I, Row = V>) -> Returning<V> {
        Returning::new(&outputs.into_outputs(), |outputs| self.into_write(outputs))
    }

    fn into_write(self, returning: &[ast::Expr]) -> Result<Write, ValueError> {
        let Self { values, conflict, .. } = self;
        let values = match values {
            Values::Row(values) if conflict.is_none() && returning.is_empty() => {
                return Ok(Write { sql: WriteSql::Constant(&T::sql().insert), binds: values? });
            }
            Values::Row(values) => {
                let names = T::WRITTEN.iter().map(|name| Name::Borrowed(name));
                let set = |(column, value)| ast::Set { column, value: ast::Expr::Value(value) };
                names.zip(values?).map(set).collect()
            }
            Values::Columns(values) => {
                check_written::<T>(&values)?;
                values
            }
        };
        if let Some(Conflict { action: ConflictAction::Update(set), .. }) = &conflict {
            if set.is_empty() {
                return Err(ValueError::NothingToSet { table: T::NAME.into() });
            }
            check_written::<T>(set)?;
        }
        let insert = ast::Insert { table: T::NAME.into(), values, conflict };
        Write::build_returning(returning, |writer| writer.insert(&insert))
    }
}

/// An insert that still has to say what to do about a row in its way.
#[derive(Debug)]
#[must_use = "say what to do with `ignore`, `replace` or `update`"]
pub struct OnConflict<T> {
    insert: Insert<T>,
    columns: Vec<Name>,
}

impl<T: Table> OnConflict<T> {
    /// Keeps the row that is there.
    pub fn ignore(self) -> Insert<T> {
        self.with(ConflictAction::Ignore)
    }

    /// Gives the row that is there the new values in all columns that the insert names.
    pub fn replace(self) -> Insert<T> {
        self.with(ConflictAction::Replace)
    }

    /// Sets columns of the row that is there; [`excluded`] names the new values.
    pub fn update(self, columns: impl IntoIterator<Item = Assignment<T>>) -> Insert<T> {
        let set = columns.into_iter().map(|column| column.set).collect();
        self.with(ConflictAction::Update(set))
    }

    fn with(self, action: ConflictAction) -> Insert<T> {
        let Self { mut insert, columns } = self;
        insert.conflict = Some(Conflict { columns, action });
        insert
    }
}

/// The value of a column in the row that was to be inserted, for [`OnConflict::update`] only.
pub fn excluded<T: Source, V>(column: Column<T, V>) -> Expr<T, V> {
    Expr::new(ast::Expr::Column(ast::Column::of(ast::Column::EXCLUDED, column.name())))
}

/// A column of table `T`, or a tuple of two to four.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a column of `{T}`",
    label = "expected a column, or a tuple of two to four"
)]
pub trait ConflictColumns<T> {
    /// Returns the columns' names.
    fn names(self) -> Vec<Name>;
}

impl<T, V> ConflictColumns<T> for Column<T, V> {
    fn names(self) -> Vec<Name> {
        vec![self.name().into()]
    }
}

macro_rules! conflict_columns {
    ($($value:ident),*) => {
        impl<T, $($value),*> ConflictColumns<T> for ($(Column<T, $value>,)*) {
            #[allow(non_snake_case, reason = "the type parameters name the elements")]
            fn names(self) -> Vec<Name> {
                let ($($value,)*) = self;
                vec![$($value.name().into()),*]
            }
        }
    };
}
conflict_columns!(A, B);
conflict_columns!(A, B, C);
conflict_columns!(A, B, C, D);

impl<T: Table> TryFrom<Insert<T>> for Write {
    type Error = ValueError;

    fn try_from(insert: Insert<T>) -> Result<Self, ValueError> {
        insert.into_write(&[])
    }
}
