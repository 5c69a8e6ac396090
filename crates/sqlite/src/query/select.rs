//! Typed selections.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use super::source::source;
use super::{
    Correlated, Count, First, FirstOr, FirstOrError, InScopeOf, Join, Outputs, Query, RowQuery,
    Source, Sources, Watch,
};
use crate::ast::{self, JoinKind, SqlWriter};
use crate::expr::{Condition, Expr, IntoOrder};
use crate::row::{FromRow, RowCursor, RowRef, Rows};
use crate::watch::{ListView, View, is_of_one_row};
use crate::{ColumnValue, DecodeError, SqliteError, Table, TableDef, Value, ValueError};

type Decode<R> = fn(RowRef<'_>) -> Result<R, DecodeError>;

/// A selection over the tables `S` whose rows are read as `R`.
///
/// It begins with [`Table::select`] and selects whole rows, until [`columns`](Self::columns) says
/// what else.
#[derive(Debug)]
pub struct Select<S: Sources, R = <S as Sources>::Row> {
    /// Shared by clones.
    ast: Arc<ast::Select>,
    /// The text up to the first table, if it is the table's constant one.
    start: Option<&'static str>,
    decode: Decode<R>,
    tables: PhantomData<fn() -> S>,
}

impl<S: Sources, R> Clone for Select<S, R> {
    fn clone(&self) -> Self {
        let Self { ast, start, decode, .. } = self;
        Self { ast: Arc::clone(ast), start: *start, decode: *decode, tables: PhantomData }
    }
}

impl<T: Table> Select<T> {
    pub(crate) fn of_table() -> Self {
        let ast = Arc::new(ast::Select::new(source::<T>()));
        Self { ast, start: Some(&T::sql().select), decode: T::from_row, tables: PhantomData }
    }
}

impl<S: Sources> Select<S> {
    /// Joins the rows of another table for which the condition holds.
    pub fn join<X: Source>(
        self,
        on: Expr<<S as Join<X>>::Sources>,
    ) -> Select<<S as Join<X>>::Sources>
    where
        S: Join<X>,
    {
        self.with_join(ast::Join { kind: JoinKind::Inner, source: source::<X>(), on: on.ast })
    }

    /// Joins the rows of another table for which the condition holds; rows without any such are
    /// kept, with `None` in its place.
    pub fn left_join<X: Source>(
        self,
        on: Expr<<S as Join<Option<X>>>::Sources>,
    ) -> Select<<S as Join<Option<X>>>::Sources>
    where
        S: Join<Option<X>>,
    {
        self.with_join(ast::Join { kind: JoinKind::Left, source: source::<X>(), on: on.ast })
    }

    fn with_join<Q: Sources>(mut self, join: ast::Join) -> Select<Q> {
        let ast = Arc::make_mut(&mut self.ast);
        ast.joins.push(join);
        ast.columns = Q::columns();
        Select { ast: self.ast, start: None, decode: Q::read_row, tables: PhantomData }
    }
}

impl<S: Sources, R> Select<S, R> {
    /// Reads these columns and expressions instead of whole rows: one, or a tuple of two to eight.
    // With `Outputs::Row` in place of `V`, the compiler would report each column of another table once
    // more.
    pub fn columns<V: FromRow, I>(mut self, columns: impl Outputs<S, I, Row = V>) -> Select<S, V> {
        Arc::make_mut(&mut self.ast).columns =
            columns.into_outputs().into_iter().map(Into::into).collect();
        Select { ast: self.ast, start: None, decode: V::from_row, tables: PhantomData }
    }

    /// Keeps the rows for which the condition holds; several filters all have to hold.
    #[must_use]
    pub fn filter<I>(mut self, condition: impl Condition<S, I>) -> Self {
        condition.into_condition().into_ast().narrow(&mut Arc::make_mut(&mut self.ast).filter);
        self
    }

    /// Makes one row of all that have the same values in these: one, or a tuple of two to eight.
    #[must_use]
    pub fn group_by<I>(mut self, keys: impl Outputs<S, I>) -> Self {
        Arc::make_mut(&mut self.ast).group_by.extend(keys.into_outputs());
        self
    }

    /// Keeps the groups for which the condition holds; several all have to hold.
    #[must_use]
    pub fn having<I>(mut self, condition: impl Condition<S, I>) -> Self {
        condition.into_condition().into_ast().narrow(&mut Arc::make_mut(&mut self.ast).having);
        self
    }

    /// Takes equal rows once.
    #[must_use]
    pub fn distinct(mut self) -> Self {
        Arc::make_mut(&mut self.ast).distinct = true;
        self.spell_out();
        self
    }

    /// Orders by a key, after the orders given before.
    #[must_use]
    pub fn order_by<I>(mut self, order: impl IntoOrder<S, I>) -> Self {
        Arc::make_mut(&mut self.ast).order.push(order.into_order().into_ast());
        self
    }

    /// Takes at most this many rows.
    #[must_use]
    pub fn limit(mut self, rows: u32) -> Self {
        Arc::make_mut(&mut self.ast).limit = Some(rows);
        self
    }

    /// Leaves out this many rows first.
    #[must_use]
    pub fn offset(mut self, rows: u32) -> Self {
        Arc::make_mut(&mut self.ast).offset = rows;
        self
    }

    /// Names the columns that the constant text names.
    fn spell_out(&mut self) {
        if self.start.take().is_some() {
            Arc::make_mut(&mut self.ast).columns = S::columns();
        }
    }

    /// Lets the sub-query name the tables of the query that it will stand in.
    pub fn within<O: 'static>(self) -> Select<Correlated<S, O>, R> {
        let Self { ast, start, decode, .. } = self;
        Select { ast, start, decode, tables: PhantomData }
    }

    /// Holds where this selection gives at least one row.
    pub fn exists<O>(self) -> Expr<O>
    where
        S: InScopeOf<O>,
    {
        Expr::new(ast::Expr::Exists(self.into_ast().into()))
    }

    /// The one column of this selection's first row, as a value; null if there is no row.
    pub fn scalar<O>(self) -> Expr<O, R::Optional>
    where
        S: InScopeOf<O>,
        R: ColumnValue,
    {
        Expr::new(ast::Expr::Scalar(self.into_ast().into()))
    }

    /// Returns the selection as plain data, which other languages understand.
    pub fn into_ast(mut self) -> ast::Select {
        self.spell_out();
        Arc::unwrap_or_clone(self.ast)
    }
}

impl<S: Sources, R: Send + Sync + 'static> Select<S, R> {
    /// Counts the rows instead of reading them.
    pub fn count(self) -> Count<Self> {
        Count::new(self)
    }

    /// Reads the first row, or `None`.
    pub fn first(self) -> First<Self> {
        First::new(self.at_most_one())
    }

    /// Reads the first row; if there is none, that is an error.
    pub fn first_or_error(self) -> FirstOrError<Self> {
        FirstOrError::new(self.at_most_one())
    }

    /// Reads the first row; if there is none, takes this one.
    pub fn first_or(self, fallback: R) -> FirstOr<Self> {
        FirstOr::new(self.at_most_one(), fallback)
    }

    fn at_most_one(self) -> Self {
        let limit = self.ast.limit.map_or(1, |rows| rows.min(1));
        self.limit(limit)
    }
}

impl<S: Sources, R: Send + Sync + 'static> Query for Select<S, R> {
    type Output = Rows<R>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        let key = |(of, names): &(&'static str, &'static [&'static str])| {
            let of = *of;
            names.iter().map(move |name| (of, *name))
        };
        let ties = self.ast.ties(S::KEYS.iter().flat_map(key));
        let mut writer = SqlWriter::new(self.start.unwrap_or_default());
        match self.start {
            Some(_) => writer.after_from(&self.ast, &ties)?,
            None => writer.select_ordered(&self.ast, &ties)?,
        }
        Ok(writer.finish())
    }

    fn collect(&self, mut rows: RowCursor<'_>) -> Result<Rows<R>, SqliteError> {
        let mut out = Vec::new();
        while let Some(row) = rows.next()? {
            out.push((self.decode)(row)?);
        }
        Ok(out.into_iter().collect())
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn selection(&self) -> Option<&ast::Select> {
        Some(&self.ast)
    }

    fn collector(&self) -> Self {
        static NOTHING: OnceLock<Arc<ast::Select>> = OnceLock::new();
        let nothing = || Arc::new(ast::Select::new(ast::Source::table("")));
        Self { ast: Arc::clone(NOTHING.get_or_init(nothing)), ..self.clone() }
    }
}

impl<S: Sources, R: PartialEq + Send + Sync + 'static> Select<S, R> {
    /// Makes a view of the rows, unless all of them are found by their key at once.
    fn list_view(&self, tables: &[TableDef]) -> Option<ListView<R>> {
        let select = self.clone().into_ast();
        if is_of_one_row(&select, tables) {
            return None;
        }
        ListView::new(&select, tables, self.decode, |a, b| a == b)
    }
}

impl<S: Sources, R: PartialEq + Send + Sync + 'static> Watch for Select<S, R> {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Rows<R>>>> {
        Some(Box::new(self.list_view(tables)?))
    }

    fn reuse(&self, before: &Rows<R>, now: Rows<R>) -> Rows<R> {
        now.reusing(before)
    }
}

impl<S: Sources, R: Send + Sync + 'static> RowQuery for Select<S, R> {
    type Row = R;

    fn compile_unordered(&self) -> Result<(String, Vec<Value>), ValueError> {
        // The order says which rows come, if not all do.
        if self.ast.limit.is_some() || self.ast.offset > 0 {
            return self.compile();
        }
        let mut unordered = ast::Select::clone(&self.ast);
        unordered.order.clear();
        let mut writer = SqlWriter::new(self.start.unwrap_or_default());
        match self.start {
            Some(_) => writer.after_from(&unordered, &[])?,
            None => writer.select(&unordered)?,
        }
        Ok(writer.finish())
    }

    fn collect_first(&self, mut rows: RowCursor<'_>) -> Result<Option<R>, SqliteError> {
        Ok(rows.next()?.map(self.decode).transpose()?)
    }
}
