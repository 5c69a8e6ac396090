//! What one table's definition has to keep to, whatever the others are.

use std::collections::HashSet;

use super::{MAX_COLUMNS, TableDef, TableError};
use crate::ast;
use crate::date_functions::asks_for_present;
use crate::{ColumnDef, ColumnType, FtsDef, Value};

/// Refuses names that would have to be escaped, or that are SQLite's or LiveStore's own.
pub(super) fn check_name(name: &str) -> Result<(), TableError> {
    let mut bytes = name.bytes();
    let plain = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.len() <= 64;
    let lower = name.to_ascii_lowercase();
    if plain && !lower.starts_with("sqlite_") && !lower.starts_with("__livestore") {
        return Ok(());
    }
    Err(TableError::InvalidName { name: name.chars().take(80).collect() })
}

impl TableDef {
    pub(super) fn check_columns(&self) -> Result<(), TableError> {
        check_name(&self.name)?;
        if self.name.eq_ignore_ascii_case(ast::Column::EXCLUDED) {
            return Err(TableError::InvalidName { name: self.name.clone() });
        }
        let (table, count) = (self.name.clone(), self.columns.len());
        if count == 0 || count > MAX_COLUMNS {
            return Err(TableError::ColumnCount { table, count, max: MAX_COLUMNS });
        }
        let mut names = HashSet::new();
        for column in &self.columns {
            check_name(&column.name)?;
            if !names.insert(column.name.to_ascii_lowercase()) {
                return Err(TableError::DuplicateColumn { table, column: column.name.clone() });
            }
            if let Some(reason) = why_no_key(column) {
                return Err(TableError::InvalidKey { table, column: column.name.clone(), reason });
            }
            if let Some(reason) = self.why_no_column(column) {
                let column = column.name.clone();
                return Err(TableError::InvalidColumn { table, column, reason });
            }
            if !default_fits(column) {
                let (column, expected) = (column.name.clone(), column.column_type);
                return Err(TableError::InvalidDefault { table, column, expected });
            }
        }
        if !self.columns.iter().any(|column| column.primary_key) {
            return Err(TableError::NoPrimaryKey { table });
        }
        Ok(())
    }

    fn why_no_column(&self, column: &ColumnDef) -> Option<&'static str> {
        let key_columns = self.columns.iter().filter(|column| column.primary_key).count();
        if column.auto_increment {
            match column {
                _ if column.column_type != ColumnType::Integer => {
                    return Some("only an integer column is numbered by SQLite");
                }
                _ if key_columns > 1 => {
                    return Some("a column that SQLite numbers is the whole primary key");
                }
                _ if column.default.is_some() => {
                    return Some("SQLite numbers it, so it has no default");
                }
                _ => {}
            }
        }
        if column.generated.is_some() && column.default.is_some() {
            return Some("it is generated, so it has no default");
        }
        let has_action = column.on_delete.is_some() || column.on_update.is_some();
        if has_action && column.references.is_none() {
            return Some(
                "it refers to nothing; say what with `references`, or leave out its action",
            );
        }
        None
    }

    /// Checks what the builder methods have added; the names of tables are another matter.
    pub(super) fn check_parts(&self) -> Result<(), TableError> {
        let of_columns = self.columns.iter().flat_map(|column| {
            let generated = column.generated.as_ref().map(|(expression, _)| expression);
            column.check.iter().chain(generated)
        });
        let filters = self.indexes.iter().filter_map(|index| index.filter.as_ref());
        if let Some(expression) =
            of_columns.chain(&self.checks).chain(filters).find(|sql| asks_for_present(sql))
        {
            let (table, expression) = (self.name.clone(), expression.clone());
            return Err(TableError::AsksForPresent { table, expression });
        }
        self.check_indexes()?;
        self.full_texts.iter().try_for_each(|index| self.check_full_text(index))
    }

    fn check_full_text(&self, index: &FtsDef) -> Result<(), TableError> {
        check_name(&index.name)?;
        let invalid = |reason: String| {
            let (table, index) = (self.name.clone(), index.name.clone());
            Err(TableError::InvalidIndex { table, index, reason })
        };
        if !self.has_rowid_key() {
            return invalid("full-text search needs a table whose key is a single integer".into());
        }
        if index.columns.is_empty() {
            return invalid("it has no columns".into());
        }
        let mut seen = HashSet::new();
        for name in &index.columns {
            match self.column(name).map(|column| column.column_type) {
                None => return invalid(format!("the table has no column {name:?}")),
                Some(ColumnType::Text) => {}
                Some(other) => return invalid(format!("column {name} is {other:?}, not text")),
            }
            let lower = name.to_ascii_lowercase();
            if matches!(&*lower, "rank" | "rowid") || lower == index.name.to_ascii_lowercase() {
                return invalid(format!("FTS5 has another meaning for {name}; rename the column"));
            }
            if !seen.insert(name) {
                return invalid(format!("column {name} is named twice"));
            }
        }
        if index.tokenizer.as_ref().is_some_and(|words| words.contains('\0')) {
            return invalid("its tokenizer holds a zero character".into());
        }
        Ok(())
    }

    fn check_indexes(&self) -> Result<(), TableError> {
        for index in &self.indexes {
            check_name(&index.name)?;
            let invalid = |reason| {
                let (table, index) = (self.name.clone(), index.name.clone());
                Err(TableError::InvalidIndex { table, index, reason })
            };
            if index.columns.is_empty() {
                return invalid("it has no columns".into());
            }
            let mut seen = HashSet::new();
            for name in &index.columns {
                if self.column(name).is_none() {
                    return invalid(format!("the table has no column {name:?}"));
                }
                if !seen.insert(name) {
                    return invalid(format!("column {name} is named twice"));
                }
            }
        }
        Ok(())
    }
}

fn why_no_key(column: &ColumnDef) -> Option<&'static str> {
    match column.column_type {
        _ if !column.primary_key => None,
        _ if column.nullable => Some("it is nullable"),
        _ if column.generated.is_some() => Some("it is generated"),
        ColumnType::Real => Some("reals are not compared exactly"),
        ColumnType::Json => Some("JSON is no key; keep the key in a column of its own"),
        _ => None,
    }
}

fn default_fits(column: &ColumnDef) -> bool {
    column.default.as_ref().is_none_or(|value| match value {
        Value::Null => column.nullable,
        // SQL text ends at a zero character, and so would the definition.
        Value::Text(text) if text.contains('\0') => false,
        value => column.column_type.accepts(value),
    })
}
