//! Rust types that rows of raw queries are read as.

use super::RowRef;
use crate::{ColumnValue, DecodeError};

/// A type that a row can be read as: a value, a tuple of values, or a struct with
/// `#[derive(FromRow)]`.
#[diagnostic::on_unimplemented(
    message = "a row cannot be read as `{Self}`",
    label = "expected a value that a column can hold, a tuple of two to eight, or a struct with #[derive(FromRow)]"
)]
pub trait FromRow: Sized {
    /// The columns that it needs.
    const COLUMNS: RowColumns;

    /// Reads a row whose columns are [`Self::COLUMNS`], in that order.
    fn from_row(row: RowRef<'_>) -> Result<Self, DecodeError>;
}

/// The columns that a type needs of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowColumns {
    /// This many, in the order of the result.
    Count(usize),
    /// Those of these names, in whatever order.
    Named(&'static [&'static str]),
}

impl RowColumns {
    /// Finds out where the columns stand in a result; nothing if that is in their order.
    pub(crate) fn find_in(
        self,
        columns: &[Box<str>],
        row_type: &'static str,
    ) -> Result<Vec<usize>, DecodeError> {
        let missing = |column: String| DecodeError {
            column,
            expected: row_type,
            found: format!("only the columns {}", columns.join(", ")),
            advice: None,
        };
        match self {
            Self::Count(count) if count == columns.len() => Ok(Vec::new()),
            Self::Count(count) => Err(DecodeError {
                column: format!("1 to {count}"),
                expected: row_type,
                found: format!("the columns {}", columns.join(", ")),
                advice: None,
            }),
            Self::Named(names) => {
                let place = |name: &&str| {
                    let place = columns.iter().position(|column| **column == **name);
                    place.ok_or_else(|| missing((*name).into()))
                };
                names.iter().map(place).collect()
            }
        }
    }
}

// About a struct without `FromRow`, the compiler would say that it lacks `ColumnValue`.
#[diagnostic::do_not_recommend]
impl<V: ColumnValue> FromRow for V {
    const COLUMNS: RowColumns = RowColumns::Count(1);

    fn from_row(row: RowRef<'_>) -> Result<Self, DecodeError> {
        row.at(0)
    }
}

macro_rules! tuple_rows {
    ($count:literal: $($value:ident $index:tt),*) => {
        impl<$($value: ColumnValue),*> FromRow for ($($value,)*) {
            const COLUMNS: RowColumns = RowColumns::Count($count);

            fn from_row(row: RowRef<'_>) -> Result<Self, DecodeError> {
                Ok(($(row.at::<$value>($index)?,)*))
            }
        }
    };
}
tuple_rows!(2: A 0, B 1);
tuple_rows!(3: A 0, B 1, C 2);
tuple_rows!(4: A 0, B 1, C 2, D 3);
tuple_rows!(5: A 0, B 1, C 2, D 3, E 4);
tuple_rows!(6: A 0, B 1, C 2, D 3, E 4, F 5);
tuple_rows!(7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple_rows!(8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
