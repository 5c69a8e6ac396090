//! Columns: their definition at run time.

use livestore_core::CanonicalJson;
use serde::{Deserialize, Serialize};

use crate::{Action, DateTime, DateTimeMillis, Value};

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
    /// A moment, stored as text such as `2026-01-02T03:04:05.678Z`.
    DateTime,
    /// A moment, stored as milliseconds since 1970.
    DateTimeMillis,
}

impl ColumnType {
    /// Returns the type's name in a STRICT table.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Text | Self::Json | Self::DateTime => "TEXT",
            Self::Integer | Self::Boolean | Self::DateTimeMillis => "INTEGER",
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
            // Another spelling of the same moment would not be found by it.
            (Self::DateTime, Value::Text(text)) => DateTime::is_stored_form(text),
            (Self::DateTimeMillis, Value::Integer(ms)) => DateTimeMillis::from_millis(*ms).is_ok(),
            _ => false,
        }
    }
}

/// When a generated column is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Generated {
    /// When its row is written; the value takes space like any other.
    Stored,
    /// Whenever it is read.
    Virtual,
}

/// The definition of one column.
#[expect(clippy::struct_excessive_bools, reason = "each says another thing of the column")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnDef {
    pub(crate) name: String,
    pub(crate) column_type: ColumnType,
    pub(crate) nullable: bool,
    pub(crate) primary_key: bool,
    pub(crate) auto_increment: bool,
    pub(crate) unique: bool,
    pub(crate) default: Option<Value>,
    pub(crate) check: Option<String>,
    pub(crate) generated: Option<(String, Generated)>,
    pub(crate) references: Option<(String, String)>,
    pub(crate) on_delete: Option<Action>,
    pub(crate) on_update: Option<Action>,
}

impl ColumnDef {
    /// Starts a column that is not null, not a key and has no default.
    pub fn new(name: impl Into<String>, column_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            column_type,
            nullable: false,
            primary_key: false,
            auto_increment: false,
            unique: false,
            default: None,
            check: None,
            generated: None,
            references: None,
            on_delete: None,
            on_update: None,
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

    /// Makes the column the primary key, which SQLite numbers: a row that is inserted without a
    /// key, or with null in its place, gets one that no row of the table ever had.
    ///
    /// The column is an integer and the only one of the key, and is never null once written. The
    /// numbers follow from the order of events, so every client gives out the same; until its
    /// event is confirmed, a row can get another number on a rebase.
    #[must_use]
    pub fn auto_increment(mut self) -> Self {
        (self.primary_key, self.auto_increment, self.nullable) = (true, true, false);
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

    /// Computes the column from others of its row, by an SQL expression that is held to the same
    /// rules as that of [`Self::check`]. No write gives it a value.
    #[must_use]
    pub fn generated(mut self, expression: impl Into<String>, when: Generated) -> Self {
        self.generated = Some((expression.into(), when));
        self
    }

    /// Refuses a row whose value no row of a table, which may be this one, has in a column.
    ///
    /// That column is the other table's primary key, or unique. A reference of several columns is
    /// a [`ForeignKey`](crate::ForeignKey) of the table.
    #[must_use]
    pub fn references(mut self, table: impl Into<String>, column: impl Into<String>) -> Self {
        self.references = Some((table.into(), column.into()));
        self
    }

    /// Says what happens to this row when the row it refers to is deleted.
    #[must_use]
    pub fn on_delete(mut self, action: Action) -> Self {
        self.on_delete = Some(action);
        self
    }

    /// Says what happens to this row when the row it refers to gets another value.
    #[must_use]
    pub fn on_update(mut self, action: Action) -> Self {
        self.on_update = Some(action);
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

    /// Tells whether the column may be null.
    pub fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// Tells whether the column is part of the primary key.
    pub fn is_primary_key(&self) -> bool {
        self.primary_key
    }

    /// Tells whether SQLite numbers the rows by this column.
    pub fn is_auto_increment(&self) -> bool {
        self.auto_increment
    }

    /// Tells whether the column by itself refuses two rows with the same value.
    pub fn is_unique(&self) -> bool {
        self.unique
    }

    /// Returns the literal that stands in rows which do not give a value.
    pub fn default_value(&self) -> Option<&Value> {
        self.default.as_ref()
    }

    /// Returns the SQL expression of the column's own CHECK.
    pub fn check_expression(&self) -> Option<&str> {
        self.check.as_deref()
    }

    /// Returns the SQL expression that computes the column, and when it does.
    pub fn generated_as(&self) -> Option<(&str, Generated)> {
        self.generated.as_ref().map(|(expression, when)| (&**expression, *when))
    }
}
