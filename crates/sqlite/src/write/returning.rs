//! Writes that give rows back.

use std::cmp::Ordering;

use super::{Delete, Insert, Update, Write};
use crate::query::{First, FirstOrError};
use crate::row::{FromRow, RowRef};
use crate::{DecodeError, SqliteError, StateWrite, Table, Value, ValueError, ast};

/// A write that gives back what it did to each row, read as `R`; made by [`Insert::returning`],
/// [`Update::returning`] and [`Delete::returning`].
///
/// An insert or an update gives values of the new row, a delete of the old one. A row that stays as
/// it is, since an insert ignores it, gives nothing. SQLite promises no order, so the rows are put
/// into that of their values, which is the same on every client.
#[derive(Debug, Clone)]
#[must_use = "a write does nothing until a materializer's context runs it"]
pub struct Returning<R> {
    write: Result<Write, ValueError>,
    columns: usize,
    decode: fn(RowRef<'_>) -> Result<R, DecodeError>,
}

impl<R: FromRow> Returning<R> {
    pub(super) fn new(
        outputs: &[ast::Expr],
        write: impl FnOnce(&[ast::Expr]) -> Result<Write, ValueError>,
    ) -> Self {
        Self { write: write(outputs), columns: outputs.len(), decode: R::from_row }
    }
}

impl<R> Returning<R> {
    /// Gives the first row, or `None`.
    pub fn first(self) -> First<Self> {
        First::new(self)
    }

    /// Gives the first row; that there is none is an error, [`SqliteError::NoRow`].
    pub fn first_or_error(self) -> FirstOrError<Self> {
        FirstOrError::new(self)
    }
}

/// A row as it is stored, to order it by, and as it is read.
type Read<R> = (Box<[Value]>, R);

/// A write that can run at once.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a write",
    label = "expected an insert, an update or a delete, with or without `returning`"
)]
pub trait RunWrite {
    /// What it gives back.
    type Output;

    /// Runs it; its row changes are captured.
    fn run(self, state: StateWrite<'_>) -> Result<Self::Output, SqliteError>;
}

impl RunWrite for Write {
    type Output = ();

    fn run(self, state: StateWrite<'_>) -> Result<(), SqliteError> {
        state.execute(&self)
    }
}

macro_rules! run_builder {
    ($($builder:ident),*) => {$(
        impl<T: Table> RunWrite for $builder<T> {
            type Output = ();

            fn run(self, state: StateWrite<'_>) -> Result<(), SqliteError> {
                state.execute(&self.try_into()?)
            }
        }
    )*};
}
run_builder!(Insert, Update, Delete);

impl<R> RunWrite for Returning<R> {
    type Output = Vec<R>;

    fn run(self, state: StateWrite<'_>) -> Result<Vec<R>, SqliteError> {
        let Self { write, columns, decode } = self;
        let read = |row: RowRef<'_>| -> Result<Read<R>, DecodeError> {
            Ok(((0..columns).map(|column| row.value(column)).collect(), decode(row)?))
        };
        let mut rows = state.execute_returning(&write?, read)?;
        let by_values = |(a, _): &Read<R>, (b, _): &Read<R>| {
            let mut pairs = a.iter().zip(b);
            let differing = pairs.find_map(|(a, b)| Some(a.total_cmp(b)).filter(|o| o.is_ne()));
            differing.unwrap_or(Ordering::Equal)
        };
        rows.sort_by(by_values);
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

impl<R> RunWrite for First<Returning<R>> {
    type Output = Option<R>;

    fn run(self, state: StateWrite<'_>) -> Result<Option<R>, SqliteError> {
        Ok(self.0.run(state)?.into_iter().next())
    }
}

impl<R> RunWrite for FirstOrError<Returning<R>> {
    type Output = R;

    fn run(self, state: StateWrite<'_>) -> Result<R, SqliteError> {
        let sql = self.0.write.as_ref().map(Write::as_written).unwrap_or_default();
        let row = self.0.run(state)?.into_iter().next();
        row.ok_or(SqliteError::NoRow { sql })
    }
}
