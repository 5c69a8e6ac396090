//! Queries as TypeScript describes them: a selection as data, or SQL.

use std::cell::RefCell;
use std::collections::HashMap;

use livestore::ast::Select;
use livestore::{
    DynSelect, Query, Row, RowCursor, Rows, Sql, SqliteError, TableDef, Value, ValueError, View,
    Watch, ast,
};
use serde::Deserialize;

/// A query, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Description {
    /// A selection of the query builder.
    Select(Box<Select>),
    /// A text with the values for its `?`.
    Sql { text: String, binds: Vec<Value> },
}

/// A query that TypeScript has described.
#[derive(Debug, Clone)]
pub(crate) enum WebQuery {
    Select(DynSelect),
    Sql(Sql),
}

impl WebQuery {
    /// Reads a description and checks it against the tables.
    fn parse(json: &str, tables: &[TableDef]) -> Result<Self, String> {
        let description = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(match description {
            Description::Select(select) => {
                Self::Select(DynSelect::new(*select, tables).map_err(|error| error.to_string())?)
            }
            Description::Sql { text, binds } => {
                Self::Sql(binds.into_iter().fold(Sql::new(text), Sql::bind))
            }
        })
    }
}

/// Descriptions longer than this, in bytes, are not kept: their values are many, and seldom the same.
const LONGEST: usize = 4096;

/// How many descriptions are kept.
const MOST: usize = 500;

/// What was read of descriptions: apps ask the same over and over, and reading costs as much as the answer.
#[derive(Default)]
pub(crate) struct Parsed(RefCell<HashMap<String, WebQuery>>);

impl Parsed {
    /// Reads a description, unless it was read before.
    pub(crate) fn parse(&self, json: &str, tables: &[TableDef]) -> Result<WebQuery, String> {
        if let Some(query) = self.0.borrow().get(json) {
            return Ok(query.clone());
        }
        let query = WebQuery::parse(json, tables)?;
        if json.len() <= LONGEST {
            let mut kept = self.0.borrow_mut();
            if kept.len() == MOST {
                kept.clear();
            }
            kept.insert(json.to_owned(), query.clone());
        }
        Ok(query)
    }
}

impl WebQuery {
    /// Tells whether only SQLite knows the names of its columns.
    pub(crate) fn is_sql(&self) -> bool {
        matches!(self, Self::Sql(_))
    }
}

impl Query for WebQuery {
    type Output = Rows<Row>;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        match self {
            Self::Select(select) => select.compile(),
            Self::Sql(sql) => sql.compile(),
        }
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Rows<Row>, SqliteError> {
        match self {
            Self::Select(select) => select.collect(rows),
            Self::Sql(sql) => sql.collect(rows),
        }
    }

    fn is_plain(&self) -> bool {
        true
    }

    fn selection(&self) -> Option<&ast::Select> {
        match self {
            Self::Select(select) => select.selection(),
            Self::Sql(_) => None,
        }
    }
}

impl Watch for WebQuery {
    fn view(&self, tables: &[TableDef]) -> Option<Box<dyn View<Rows<Row>>>> {
        match self {
            Self::Select(select) => select.view(tables),
            Self::Sql(_) => None,
        }
    }

    fn reuse(&self, before: &Rows<Row>, now: Rows<Row>) -> Rows<Row> {
        now.reusing(before)
    }
}
