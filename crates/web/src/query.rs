//! Queries as TypeScript describes them: a selection as data, or SQL.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use livestore::ast::Select;
use livestore::{
    DynSelect, Query, Row, RowCursor, Rows, Sql, SqliteError, TableDef, Value, ValueError, View,
    Watch, ast,
};
use serde::Deserialize;

use crate::rows::Packed;

/// A query, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Description {
    /// A selection of the query builder.
    Select(Box<Select>),
    /// A text with the values for its `?`; without, if they come apart.
    Sql { text: String, binds: Option<Vec<Value>> },
}

impl Description {
    fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

fn checked(select: Select, tables: &[TableDef]) -> Result<DynSelect, String> {
    DynSelect::new(select, tables).map_err(|error| error.to_string())
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
        Ok(match Description::parse(json)? {
            Description::Select(select) => Self::Select(checked(*select, tables)?),
            Description::Sql { text, binds } => {
                let binds = binds.ok_or("SQL without its values")?;
                Self::Sql(binds.into_iter().fold(Sql::new(text), Sql::bind))
            }
        })
    }
}

/// A query whose values come apart from it: it is read once for all of them.
#[derive(Debug)]
enum Template {
    Select {
        sql: String,
        binds: Vec<Bind>,
    },
    /// SQL, whose values are those that come, and whose columns' names only SQLite knows.
    Sql(String),
}

/// What a `?` of a selection stands for.
#[derive(Debug)]
enum Bind {
    /// One of the values that come.
    Nth(usize),
    /// A value of the selection's own, such as a limit.
    Own(Value),
}

impl Template {
    /// Reads a query; texts in a selection stand for values, as their numbers.
    fn parse(json: &str, tables: &[TableDef]) -> Result<Self, String> {
        let select = match Description::parse(json)? {
            Description::Select(select) => checked(*select, tables)?,
            Description::Sql { text, binds: None } => return Ok(Self::Sql(text)),
            Description::Sql { .. } => return Err("a value is in the SQL".into()),
        };
        let (sql, binds) = select.compile().map_err(|error| error.to_string())?;
        let bind = |value| match value {
            Value::Text(text) => {
                text.parse().map(Bind::Nth).map_err(|_| "a value is in the selection")
            }
            own => Ok(Bind::Own(own)),
        };
        let binds = binds.into_iter().map(bind).collect::<Result<_, _>>()?;
        Ok(Self::Select { sql, binds })
    }

    fn sql(&self) -> &str {
        match self {
            Self::Select { sql, .. } | Self::Sql(sql) => sql,
        }
    }

    /// Returns what is bound, in order.
    fn bind(&self, values: Vec<Value>) -> Result<Vec<Value>, String> {
        let Self::Select { binds, .. } = self else { return Ok(values) };
        let bind = |bind: &Bind| match bind {
            Bind::Nth(at) => values.get(*at).cloned().ok_or("a value is missing"),
            Bind::Own(value) => Ok(value.clone()),
        };
        Ok(binds.iter().map(bind).collect::<Result<_, _>>()?)
    }
}

/// A query that is read once: its rows go to JavaScript as they come.
#[derive(Debug, Clone)]
pub(crate) struct WebRead {
    template: Arc<Template>,
    binds: Vec<Value>,
}

impl Query for WebRead {
    type Output = Packed;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        Ok((self.template.sql().to_owned(), self.binds.clone()))
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<Packed, SqliteError> {
        Packed::read(rows, matches!(*self.template, Template::Sql(_)))
    }
}

/// Descriptions longer than this, in bytes, are not kept: their values are many, and seldom the same.
const LONGEST: usize = 4096;

/// How many descriptions are kept.
const MOST: usize = 500;

/// What was read of descriptions: apps ask the same over and over, and reading costs as much as the answer.
#[derive(Default)]
pub(crate) struct Parsed {
    queries: Kept<WebQuery>,
    templates: Kept<Arc<Template>>,
}

impl Parsed {
    /// Reads a description.
    pub(crate) fn parse(&self, json: &str, tables: &[TableDef]) -> Result<WebQuery, String> {
        self.queries.get(json, || WebQuery::parse(json, tables))
    }

    /// Reads a query to be read once; its values are an array of their own, and texts in a selection are
    /// their numbers.
    pub(crate) fn parse_read(
        &self,
        json: &str,
        values: &str,
        tables: &[TableDef],
    ) -> Result<WebRead, String> {
        let values: Vec<Value> = serde_json::from_str(values).map_err(|error| error.to_string())?;
        let template = self.templates.get(json, || Template::parse(json, tables).map(Arc::new))?;
        let binds = template.bind(values)?;
        Ok(WebRead { template, binds })
    }
}

/// What was made of texts.
struct Kept<T>(RefCell<HashMap<String, T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Clone> Kept<T> {
    /// Makes it, unless it was made before.
    fn get(&self, json: &str, make: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        if let Some(made) = self.0.borrow().get(json) {
            return Ok(made.clone());
        }
        let made = make()?;
        if json.len() <= LONGEST {
            let mut kept = self.0.borrow_mut();
            if kept.len() == MOST {
                kept.clear();
            }
            kept.insert(json.to_owned(), made.clone());
        }
        Ok(made)
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
