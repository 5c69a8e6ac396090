//! How precisely changes are told to concern a live value.

use std::fmt;
use std::sync::{PoisonError, Weak};

use livestore_sqlite::Columns;
use livestore_sqlite::watch::Interest;

use super::instance::{Info, Kind};
use crate::store::Inner;

/// What is known of a live value: what concerns it, and what is done then.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// Its label, or else its text.
    pub name: String,
    /// The text of its query; none for what is computed.
    pub sql: Option<String>,
    /// True if its result is changed row by row, without running the query.
    pub is_incremental: bool,
    /// What concerns it, table by table.
    pub tables: Vec<TableExplanation>,
}

/// What of a table concerns a live query.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableExplanation {
    /// The table.
    pub table: String,
    /// How precisely that is known.
    pub precision: Precision,
    /// The columns that it reads; none if it may be any.
    pub columns: Option<Vec<String>>,
    /// What rows that concern it fulfil, as far as it is understood.
    pub condition: Option<String>,
}

/// How precisely it is known what concerns a live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Precision {
    /// Every change of the table does.
    Table,
    /// Rows that come or go do, and changes of columns that it reads.
    Column,
    /// Only rows do that fulfil a condition.
    Predicate,
}

impl Info {
    pub(super) fn explain(&self, store: &Weak<Inner>) -> Explanation {
        let mut explanation = Explanation {
            name: self.name().to_string(),
            sql: None,
            is_incremental: false,
            tables: Vec::new(),
        };
        match &self.kind {
            Kind::Store | Kind::Closure => {}
            Kind::Choice(chosen) => {
                let chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
                if let Some(chosen) = chosen {
                    let name = explanation.name;
                    return Explanation { name, ..chosen.explain(store) };
                }
            }
            Kind::Query(query) => {
                explanation.sql = Some(query.text.to_string());
                if let (Some(plan), Some(store)) = (query.plan.get(), store.upgrade()) {
                    let explain = |interest: &std::sync::Arc<Interest>| explained(interest, &store);
                    explanation.tables = plan.interests.iter().map(explain).collect();
                    explanation.is_incremental = plan.has_view;
                }
            }
        }
        explanation
    }
}

fn explained(interest: &Interest, store: &Inner) -> TableExplanation {
    let table = &store.schema().tables()[interest.table];
    let written: Vec<&str> = table.written_names().collect();
    let columns = match &interest.columns {
        Columns::All => None,
        Columns::These(columns) => {
            Some(columns.iter().map(|column| written[usize::from(*column)].to_owned()).collect())
        }
    };
    let condition = interest.guard.describe(&written);
    let precision = match (&condition, &columns) {
        (Some(_), _) => Precision::Predicate,
        (None, Some(_)) => Precision::Column,
        (None, None) => Precision::Table,
    };
    TableExplanation { table: table.name().to_owned(), precision, columns, condition }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sql.as_deref().unwrap_or(&self.name))?;
        f.write_str(match (self.is_incremental, &self.sql) {
            (true, _) => "\n  maintained row by row",
            (false, Some(_)) => "\n  run again",
            (false, None) => "\n  computed again when what it reads has changed",
        })?;
        for TableExplanation { table, precision, columns, condition } in &self.tables {
            f.write_str("\n  if ")?;
            match (precision, condition) {
                (Precision::Predicate, Some(condition)) => {
                    write!(f, "a row of {table} is concerned where {condition}")?;
                }
                _ => write!(f, "a row of {table} is concerned")?,
            }
            match columns.as_deref() {
                None => {}
                Some([]) => f.write_str(": when it comes or goes")?,
                Some(columns) => {
                    write!(f, ": when it comes or goes, or {} changes", columns.join(", "))?;
                }
            }
        }
        Ok(())
    }
}
