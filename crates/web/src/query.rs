//! Queries as TypeScript describes them: a selection as data, or SQL.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

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

/// A selection whose values come apart from it: it is read once for all of them.
struct Template {
    sql: String,
    binds: Vec<TemplateBind>,
}

enum TemplateBind {
    /// One of the values that come.
    Nth(usize),
    /// A value of the selection's own, such as a limit.
    Own(Value),
}

impl Template {
    /// Reads a selection whose texts stand for values, as their numbers.
    fn parse(json: &str, tables: &[TableDef]) -> Result<Self, String> {
        let WebQuery::Select(select) = WebQuery::parse(json, tables)? else {
            return Err("only a selection takes values".into());
        };
        let (sql, binds) = select.compile().map_err(|error| error.to_string())?;
        let bind = |value| match value {
            Value::Text(text) => {
                text.parse().map(TemplateBind::Nth).map_err(|_| "a value is in the selection")
            }
            own => Ok(TemplateBind::Own(own)),
        };
        Ok(Self { sql, binds: binds.into_iter().map(bind).collect::<Result<_, _>>()? })
    }

    fn with(&self, values: &[Value]) -> Result<Sql, String> {
        let mut query = Sql::new(self.sql.clone());
        for bind in &self.binds {
            let value = match bind {
                TemplateBind::Nth(at) => values.get(*at).ok_or("a value is missing")?,
                TemplateBind::Own(value) => value,
            };
            query = query.bind(value.clone());
        }
        Ok(query)
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
    templates: Kept<Rc<Template>>,
}

impl Parsed {
    /// Reads a description.
    pub(crate) fn parse(&self, json: &str, tables: &[TableDef]) -> Result<WebQuery, String> {
        self.queries.get(json, || WebQuery::parse(json, tables))
    }

    /// Reads a selection in which texts are the numbers of values, which are an array of their own.
    pub(crate) fn parse_with(
        &self,
        json: &str,
        values: &str,
        tables: &[TableDef],
    ) -> Result<Sql, String> {
        let values: Vec<Value> = serde_json::from_str(values).map_err(|error| error.to_string())?;
        let read = || Template::parse(json, tables).map(Rc::new);
        self.templates.get(json, read)?.with(&values)
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
