//! Table definitions as values to be written down, for tools and other languages.

use serde::{Deserialize, Serialize};

use crate::{ColumnDef, ColumnType, Scope, TableDef, Value, sql};

/// What a table is, as a serialisable value; from [`TableDef::describe`].
///
/// Its names do not change; more may come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct TableDescription {
    /// The table's name.
    pub name: String,
    /// Who derives it.
    pub scope: Scope,
    /// Its columns in order.
    pub columns: Vec<ColumnDescription>,
    /// The names of the columns that make up the key, in order.
    pub primary_key: Vec<String>,
    /// The statement that creates it, which holds all that there is to say.
    pub ddl: String,
}

/// What a column is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ColumnDescription {
    /// The column's name.
    pub name: String,
    /// What it holds.
    #[serde(rename = "type")]
    pub column_type: ColumnType,
    /// True if it may be null.
    pub nullable: bool,
    /// True if no two rows have the same value in it.
    pub unique: bool,
    /// What stands in rows that do not give a value; left out if they must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Literal>,
    /// An SQL expression that is not false in any row; left out if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
}

/// A default, in the JSON form that fits its column best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A real.
    Real(f64),
    /// Text, JSON as text, or a blob as hexadecimal digits.
    Text(String),
}

impl Literal {
    /// Returns none for null, which is what a column without a default has.
    fn of(value: &Value, column_type: ColumnType) -> Option<Self> {
        Some(match (value, column_type) {
            (Value::Null, _) => return None,
            (Value::Integer(value), ColumnType::Boolean) => Self::Boolean(*value != 0),
            (Value::Integer(value), _) => Self::Integer(*value),
            (Value::Real(value), _) => Self::Real(*value),
            (Value::Text(text), _) => Self::Text(text.as_ref().into()),
            (blob @ Value::Blob(_), _) => {
                let literal = sql::literal(blob);
                Self::Text(literal.trim_start_matches("x'").trim_end_matches('\'').into())
            }
        })
    }
}

impl TableDef {
    /// Describes the table as a value that can be written down.
    pub fn describe(&self) -> TableDescription {
        TableDescription {
            name: self.name().into(),
            scope: self.scope(),
            columns: self.columns().iter().map(ColumnDef::describe).collect(),
            primary_key: self.key().map(|index| self.columns()[index].name().into()).collect(),
            ddl: self.ddl(),
        }
    }
}

impl ColumnDef {
    /// Describes the column as a value that can be written down.
    pub fn describe(&self) -> ColumnDescription {
        // Named one by one, so that none is forgotten when a definition gets more of them.
        let Self { name, column_type, nullable, primary_key: _, unique, default, check } = self;
        ColumnDescription {
            name: name.clone(),
            column_type: *column_type,
            nullable: *nullable,
            unique: *unique,
            default: default.as_ref().and_then(|value| Literal::of(value, *column_type)),
            check: check.clone(),
        }
    }
}
