//! The tables of a query, as types.
//!
//! A query over one table is of that table's type, `Todo`; one over several of a tuple,
//! `(Todo, User)`; a table that a left join may not find a row of is `Option<User>` there.

use std::marker::PhantomData;

use crate::ast;
use crate::row::RowRef;
use crate::{ColumnValue, DecodeError, Table};

/// A table by the name that a query calls it: every [`Table`], and the aliases that
/// [`alias!`](crate::alias) makes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "derive it with #[derive(Table)], or make an alias with alias!"
)]
pub trait Source: Send + Sync + 'static {
    /// The table.
    type Table: Table;
    /// What the query calls it.
    const ALIAS: &'static str;
}

impl<T: Table> Source for T {
    type Table = T;
    const ALIAS: &'static str = T::NAME;
}

pub(crate) fn source<S: Source>() -> ast::Source {
    let mut source = ast::Source::table(S::Table::NAME);
    if S::ALIAS != S::Table::NAME {
        source.alias = Some(S::ALIAS.into());
    }
    source
}

/// Makes a second name for a table, so that a query can name it twice:
/// `alias!(struct Parent = Todo)`.
///
/// Its columns are the table's, `Todo::id.of::<Parent>()`.
#[macro_export]
macro_rules! alias {
    ($(#[$meta:meta])* $visibility:vis struct $alias:ident = $table:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        $visibility enum $alias {}

        impl $crate::Source for $alias {
            type Table = $table;
            const ALIAS: &'static str = stringify!($alias);
        }
    };
}

/// One of several tables of a query: a [`Source`], or `Option` of one after a left join.
pub trait Slot: Send + Sync + 'static {
    /// What a row of the query has of it.
    type Row: Send + Sync + 'static;
    /// What the query calls it, and the columns of its primary key.
    const KEY: (&'static str, &'static [&'static str]);

    /// Appends the columns to be read.
    fn append_columns(columns: &mut Vec<ast::Output>);

    /// Reads its columns, which are the first of the row, and returns what comes after them.
    fn read(row: RowRef<'_>) -> Result<(Self::Row, RowRef<'_>), DecodeError>;
}

impl<S: Source> Slot for S {
    type Row = S::Table;
    const KEY: (&'static str, &'static [&'static str]) = (S::ALIAS, <S::Table as Table>::KEY);

    fn append_columns(columns: &mut Vec<ast::Output>) {
        let column = |name: &&'static str| ast::Expr::Column(ast::Column::of(S::ALIAS, *name));
        columns.extend(S::Table::COLUMNS.iter().map(column).map(ast::Output::from));
    }

    fn read(row: RowRef<'_>) -> Result<(S::Table, RowRef<'_>), DecodeError> {
        Ok((S::Table::from_row(row)?, row.skip(S::Table::COLUMNS.len())))
    }
}

impl<S: Source> Slot for Option<S> {
    type Row = Option<S::Table>;
    const KEY: (&'static str, &'static [&'static str]) = (S::ALIAS, <S::Table as Table>::KEY);

    fn append_columns(columns: &mut Vec<ast::Output>) {
        S::append_columns(columns);
    }

    fn read(row: RowRef<'_>) -> Result<(Self::Row, RowRef<'_>), DecodeError> {
        let width = S::Table::COLUMNS.len();
        // A row that is there has a key, which is never null.
        if row.is_null(width) {
            return Ok((None, row.skip(width)));
        }
        let (found, rest) = S::read(row)?;
        Ok((Some(found), rest))
    }
}

/// The tables of a query.
#[diagnostic::on_unimplemented(
    message = "`{Self}` are not the tables of a query",
    label = "expected a table, or a tuple of two to four tables"
)]
pub trait Sources: Send + Sync + 'static {
    /// A row of the query that selects all columns.
    type Row: Send + Sync + 'static;
    /// What the query calls each table, and the columns of its primary key.
    const KEYS: &'static [(&'static str, &'static [&'static str])];

    /// Returns all columns.
    fn columns() -> Vec<ast::Output>;

    /// Reads a row of all columns.
    fn read_row(row: RowRef<'_>) -> Result<Self::Row, DecodeError>;
}

impl<S: Source> Sources for S {
    type Row = S::Table;
    const KEYS: &'static [(&'static str, &'static [&'static str])] = &[<S as Slot>::KEY];

    fn columns() -> Vec<ast::Output> {
        let mut columns = Vec::new();
        S::append_columns(&mut columns);
        columns
    }

    fn read_row(row: RowRef<'_>) -> Result<S::Table, DecodeError> {
        S::Table::from_row(row)
    }
}

/// Tables to which another can be joined.
#[diagnostic::on_unimplemented(message = "no table can be joined to `{Self}`; four are the most")]
pub trait Join<X>: Sources {
    /// All of them together.
    type Sources: Sources;
}

impl<A: Source, X: Slot> Join<X> for A {
    type Sources = (A, X);
}

impl<A: Slot, B: Slot, X: Slot> Join<X> for (A, B) {
    type Sources = (A, B, X);
}

impl<A: Slot, B: Slot, C: Slot, X: Slot> Join<X> for (A, B, C) {
    type Sources = (A, B, C, X);
}

/// Says that the table `T` is among the tables `Self`.
///
/// `I` is the place where it stands there; without it, a table that stands there twice could not be
/// told from one that does not.
#[diagnostic::on_unimplemented(
    message = "the table `{T}` is not part of this statement, which is over `{Self}`",
    label = "a column of `{T}` cannot be used here",
    note = "join the table, or use a column of `{Self}`"
)]
pub trait Contains<T, I = ()> {
    /// What a column of type `V` of the table is there: `V`, or optional if a left join may not
    /// find a row of it.
    type Found<V: ColumnValue>: ColumnValue<Optional = V::Optional>;
}

impl<S> Contains<S> for S {
    type Found<V: ColumnValue> = V;
}

/// A place among the tables of a query.
#[derive(Debug)]
pub enum At<const PLACE: usize> {}

/// The place of a table that a left join may not find a row of.
#[derive(Debug)]
pub enum OptionalAt<const PLACE: usize> {}

macro_rules! tuples {
    ($($slot:ident),*) => {
        impl<$($slot: Slot),*> Sources for ($($slot,)*) {
            type Row = ($($slot::Row,)*);
            const KEYS: &'static [(&'static str, &'static [&'static str])] = &[$($slot::KEY),*];

            fn columns() -> Vec<ast::Output> {
                let mut columns = Vec::new();
                $($slot::append_columns(&mut columns);)*
                columns
            }

            #[allow(non_snake_case, reason = "the type parameters name the elements")]
            fn read_row(row: RowRef<'_>) -> Result<Self::Row, DecodeError> {
                $(let ($slot, row) = $slot::read(row)?;)*
                let _ = row;
                Ok(($($slot,)*))
            }
        }

        impl<O, $($slot: Slot),*> InScopeOf<O> for ($($slot,)*) {}
    };
}
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);

macro_rules! found {
    (At, $value:ident) => {
        $value
    };
    (OptionalAt, $value:ident) => {
        $value::Optional
    };
}

macro_rules! contains {
    ($($found:ident $place:ident<$index:literal>: $tuple:ty, [$($slot:ident),*];)*) => {$(
        // About a column of another table, the compiler would list these, the places in tuples.
        #[diagnostic::do_not_recommend]
        impl<$($slot),*> Contains<$found, $place<$index>> for $tuple {
            type Found<V: ColumnValue> = found!($place, V);
        }
    )*};
}
contains! {
    A At<0>: (A, B), [A, B];
    B At<1>: (A, B), [A, B];
    B OptionalAt<1>: (A, Option<B>), [A, B];
    A At<0>: (A, B, C), [A, B, C];
    B At<1>: (A, B, C), [A, B, C];
    B OptionalAt<1>: (A, Option<B>, C), [A, B, C];
    C At<2>: (A, B, C), [A, B, C];
    C OptionalAt<2>: (A, B, Option<C>), [A, B, C];
    A At<0>: (A, B, C, D), [A, B, C, D];
    B At<1>: (A, B, C, D), [A, B, C, D];
    B OptionalAt<1>: (A, Option<B>, C, D), [A, B, C, D];
    C At<2>: (A, B, C, D), [A, B, C, D];
    C OptionalAt<2>: (A, B, Option<C>, D), [A, B, C, D];
    D At<3>: (A, B, C, D), [A, B, C, D];
    D OptionalAt<3>: (A, B, C, Option<D>), [A, B, C, D];
}

/// The tables `S` of a sub-query that can also name the tables `O` of the query around it.
#[derive(Debug)]
pub struct Correlated<S, O>(PhantomData<fn() -> (S, O)>);

/// A place among the tables of a sub-query itself.
#[derive(Debug)]
pub struct Inside<I>(PhantomData<I>);

/// A place among the tables around a sub-query.
#[derive(Debug)]
pub struct Around<I>(PhantomData<I>);

impl<S: Sources, O: 'static> Sources for Correlated<S, O> {
    type Row = S::Row;
    const KEYS: &'static [(&'static str, &'static [&'static str])] = S::KEYS;

    fn columns() -> Vec<ast::Output> {
        S::columns()
    }

    fn read_row(row: RowRef<'_>) -> Result<S::Row, DecodeError> {
        S::read_row(row)
    }
}

// As for the places above.
#[diagnostic::do_not_recommend]
impl<T, S: Contains<T, I>, O, I> Contains<T, Inside<I>> for Correlated<S, O> {
    type Found<V: ColumnValue> = S::Found<V>;
}

// As for the places above.
#[diagnostic::do_not_recommend]
impl<T, S, O: Contains<T, I>, I> Contains<T, Around<I>> for Correlated<S, O> {
    type Found<V: ColumnValue> = O::Found<V>;
}

/// Tables of a sub-query that can stand in a query over the tables `O`.
#[diagnostic::on_unimplemented(
    message = "a sub-query over `{Self}` cannot stand in a query over `{O}`",
    note = "the tables that it was given with `within` are others"
)]
pub trait InScopeOf<O> {}

impl<S: Source, O> InScopeOf<O> for S {}
impl<S, O> InScopeOf<O> for Correlated<S, O> {}
