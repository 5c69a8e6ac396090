//! Selections that were made at run time.

use std::sync::{Arc, OnceLock};

use super::{Count, Query, RowQuery, Watch};
use crate::ast::{self, Checker, Name, SqlWriter, StatementError};
use crate::row::{Row, RowCursor, RowRef, Rows};
use crate::watch::{ListView, View, is_of_one_row};
use crate::{ColumnType, SqliteError, TableDef, Value, ValueError};

/// A selection made at run time, such as from JSON, whose names are checked.
#[derive(Debug, Clone)]
pub struct DynSelect(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    sql: String,
    binds: Vec<Value>,
    columns: Vec<ResultColumn>,
    select: ast::Select,
}

/// What is known of a column of a result before it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultColumn {
    /// Its name, if it has one: that of a column, or the one that the selection gives it.
    pub name: Option<String>,
    /// What it holds, if it is a column of a table.
    pub column_type: Option<ColumnType>,
}

impl DynSelect {
    /// Checks the names of a selection against the definitions of the tables that there are.
    pub fn new(mut select: ast::Select, tables: &[TableDef]) -> Result<Self, StatementError> {
        let sources = Checker::new(tables).select(&select)?;
        if select.columns.is_empty() {
            let columns = sources.iter().flat_map(|(source, table)| {
                let column = |name: &str| ast::Column::of(source.clone(), name.to_owned());
                table.columns().iter().map(move |c| ast::Expr::Column(column(c.name())).into())
            });
            select.columns = columns.collect();
        }
        let checker = Checker::new(tables).with_sources(&sources);
        let column = |output: &ast::Output| {
            let of = match &output.expr {
                ast::Expr::Column(column) => checker.column(column).ok(),
                _ => None,
            };
            let name = output.name.as_deref().or(of.map(crate::ColumnDef::name));
            ResultColumn {
                name: name.map(Into::into),
                column_type: of.map(crate::ColumnDef::column_type),
            }
        };
        let columns = select.columns.iter().map(column).collect();
        let key = |(source, table): &(Name, &TableDef)| {
            let names = table.key_names().map(str::to_owned);
            names.map(|name| (source.clone(), name)).collect::<Vec<_>>()
        };
        let ties = select.ties(sources.iter().flat_map(key));
        select.order.extend(ties);
        let mut writer = SqlWriter::new("");
        writer.select(&select)?;
        let (sql, binds) = writer.finish();
        Ok(Self(Arc::new(Checked { sql, binds, columns, select })))
    }

    /// Counts the rows instead of reading them.
    pub fn count(self) -> Count<Self> {
        Count::new(self)
    }

    /// Returns the columns of the result.
    pub fn columns(&self) -> &[ResultColumn] {
        &self.0.columns
    }
}

impl Query for DynSelect {
    type Output = Rows<Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        Ok((self.0.sql.clone(), self.0.binds.clone()))
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Rows<Row>, SqliteError> {
        rows.into_rows()
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn selection(&self) -> Option<&ast::Select> {
        Some(&self.0.select)
    }
}

impl RowQuery for DynSelect {
    type Row = Row;

    fn compile_unordered(&self) -> Result<(String, Vec<Value>), ValueError> {
        let select = &self.0.select;
        if select.limit.is_some() || select.offset > 0 {
            return self.compile();
        }
        let unordered = ast::Select { order: Vec::new(), ..select.clone() };
        let mut writer = SqlWriter::new("");
        writer.select(&unordered)?;
        Ok(writer.finish())
    }

    fn collect_first(&self, mut rows: RowCursor<'_>) -> Result<Option<Row>, SqliteError> {
        let names = rows.column_names();
        Ok(rows.next()?.map(|row| row.to_row(&names)))
    }
}

impl Watch for DynSelect {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Rows<Row>>>> {
        if is_of_one_row(&self.0.select, tables) {
            return None;
        }
        // Behind them stand those that the view adds.
        let (count, names) = (self.0.columns.len(), OnceLock::new());
        let decode =
            move |row: RowRef<'_>| Ok(row.to_row(names.get_or_init(|| row.column_names(count))));
        let view = ListView::new(&self.0.select, tables, decode, |a, b| a == b)?;
        Some(Box::new(view))
    }

    fn reuse(&self, before: &Rows<Row>, now: Rows<Row>) -> Rows<Row> {
        now.reusing(before)
    }
}
