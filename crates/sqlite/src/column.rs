//! Columns: their definition at run time.

use livestore_core::CanonicalJson;
use serde::{Deserialize, Serialize};

use crate::Value;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ColumnType {
    /// UTF-8 text.
    Text,
    /// A 64-bit integer.
    Integer,
    /// A 64-bit float.
    Real,
    /// True or false, stored as 1 or 0.
    Boolean,
    /// Bytes.
    Blob,
    /// Any JSON, stored as canonical text.
    Json,
}

impl ColumnType {
    /// Returns the type's name in a STRICT table.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "TEXT",
            Self::Integer | Self::Boolean => "INTEGER",
            Self::Real => "REAL",
            Self::Blob => "BLOB",
        }
    }

    pub(crate) fn accepts(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text, Value::Text(_))
            | (Self::Integer, Value::Integer(_))
            | (Self::Boolean, Value::Integer(0 | 1))
            | (Self::Blob, Value::Blob(_)) => true,
            (Self::Real, Value::Real(value)) => value.is_finite(),
            (Self::Json, Value::Text(text)) => CanonicalJson::parse(text).is_ok(),
            _ => false,
        }
    }
}

/// The definition of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) nullable: bool,
    pub(crate) primary_key: bool,
    pub(crate) unique: bool,
    pub(crate) default: Option<Value>,
    pub(crate) check: Option<String>,
}

impl ColumnDef {
    /// Starts a column that is not null, not a key and has no default.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            column_type,
            nullable: false,
            primary_key: false,
            unique: false,
            default: None,
            check: None,
        }
    }

    /// Lets the column be null.
    #[must_use]
    pub fn nullable(mut self) -> Self {
        self.nullable = true;
        self
    }

    /// Makes the column part of the primary key, after the key columns before it.
    #[must_use]
    pub fn primary_key(mut self) -> Self {
        self.primary_key = true;
        self
    }

    /// Refuses two rows with the same value.
    #[must_use]
    pub fn unique(mut self) -> Self {
        self.unique = true;
        self
    }

    /// Sets the literal that stands in rows which do not give a value.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// Refuses rows for which an SQL expression over this table's columns is false.
    ///
    /// The expression is part of the schema, written by the app's developer: it goes into the DDL
    /// as it is. Functions that are not deterministic are refused when the table is created.
    #[must_use]
    pub fn check(mut self, expression: impl Into<String>) -> Self {
        self.check = Some(expression.into());
        self
    }

    /// Returns the column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the column holds.
    pub fn column_type(&self) -> ColumnType {
        self.column_type
    }
}
