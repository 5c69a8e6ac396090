//! Columns: their definition, their Rust types, and their typed handles in queries.

use std::marker::PhantomData;

use livestore_core::CanonicalJson;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::expr::{Comparison, Direction, Expr, Order};
use crate::{DecodeError, Value, ValueError};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// A Rust type that a column can hold.
pub trait ColumnValue: Sized {
    /// The column type that it needs.
    const TYPE: ColumnType;
    /// True if the column may be null.
    const NULLABLE: bool = false;

    /// Turns the value into what SQLite stores; `column` is for the message.
    fn into_value(self, column: &str) -> Result<Value, ValueError>;

    /// Reads the value; `None` if it is of another kind or out of range.
    fn from_sql(value: ValueRef<'_>) -> Option<Self>;
}

pub(crate) fn decode<V: ColumnValue>(
    value: ValueRef<'_>,
    column: impl FnOnce() -> String,
) -> Result<V, DecodeError> {
    V::from_sql(value).ok_or_else(|| DecodeError {
        column: column(),
        expected: std::any::type_name::<V>(),
        found: Value::from_sql(value).kind().into(),
    })
}

macro_rules! integer_column {
    ($($type:ty),*) => {$(
        impl ColumnValue for $type {
            const TYPE: ColumnType = ColumnType::Integer;

            fn into_value(self, _column: &str) -> Result<Value, ValueError> {
                Ok(Value::Integer(self.into()))
            }

            fn from_sql(value: ValueRef<'_>) -> Option<Self> {
                value.as_i64().ok()?.try_into().ok()
            }
        }
    )*};
}
integer_column!(i8, i16, i32, i64, u8, u16, u32);

impl ColumnValue for bool {
    const TYPE: ColumnType = ColumnType::Boolean;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Integer(0) => Some(false),
            ValueRef::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl ColumnValue for f64 {
    const TYPE: ColumnType = ColumnType::Real;

    fn into_value(self, column: &str) -> Result<Value, ValueError> {
        if self.is_nan() {
            return Err(ValueError::NotANumber { column: column.into() });
        }
        Ok(Value::Real(self))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Real(value) => Some(value),
            _ => None,
        }
    }
}

impl ColumnValue for String {
    const TYPE: ColumnType = ColumnType::Text;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_str().ok().map(Into::into)
    }
}

impl ColumnValue for Vec<u8> {
    const TYPE: ColumnType = ColumnType::Blob;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_blob().ok().map(Into::into)
    }
}

impl<V: ColumnValue> ColumnValue for Option<V> {
    const TYPE: ColumnType = V::TYPE;
    const NULLABLE: bool = true;

    fn into_value(self, column: &str) -> Result<Value, ValueError> {
        self.map_or(Ok(Value::Null), |value| value.into_value(column))
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Null => Some(None),
            value => V::from_sql(value).map(Some),
        }
    }
}

/// Holds any `serde` type in a JSON column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Json<T>(pub T);

impl<T: Serialize + DeserializeOwned> ColumnValue for Json<T> {
    const TYPE: ColumnType = ColumnType::Json;

    fn into_value(self, column: &str) -> Result<Value, ValueError> {
        CanonicalJson::encode(&self.0)
            .map(|json| json.as_str().into())
            .map_err(|source| ValueError::Json { column: column.into(), source })
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        let text = value.as_str().ok()?;
        CanonicalJson::trusted(text).decode().ok().map(Json)
    }
}

/// Something that can stand beside a column of type `V` in a comparison or assignment.
pub trait Operand<V> {
    /// Turns it into what SQLite stores; `column` is for the message.
    fn into_operand(self, column: &str) -> Result<Value, ValueError>;
}

impl<V: ColumnValue> Operand<V> for V {
    fn into_operand(self, column: &str) -> Result<Value, ValueError> {
        self.into_value(column)
    }
}

impl<V: ColumnValue> Operand<Option<V>> for V {
    fn into_operand(self, column: &str) -> Result<Value, ValueError> {
        self.into_value(column)
    }
}

impl Operand<String> for &str {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

impl Operand<Option<String>> for &str {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

impl Operand<String> for &String {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.as_str().into())
    }
}

impl Operand<Vec<u8>> for &[u8] {
    fn into_operand(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }
}

/// A typed handle of a table's column, made by `#[derive(Table)]`.
#[derive(Debug)]
pub struct Column<T, V> {
    name: &'static str,
    types: PhantomData<fn() -> (T, V)>,
}

impl<T, V> Clone for Column<T, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, V> Copy for Column<T, V> {}

impl<T, V> Column<T, V> {
    /// Names a column; for the derive macro.
    pub const fn new(name: &'static str) -> Self {
        Self { name, types: PhantomData }
    }

    /// Returns the column's name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    fn compare(self, comparison: Comparison, operand: impl Operand<V>) -> Expr<T> {
        Expr::compare(self.name, comparison, operand.into_operand(self.name))
    }

    /// Holds where the column equals the operand; `None` equals null.
    pub fn eq(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Equal, operand)
    }

    /// Holds where the column differs from the operand; null differs from every value.
    pub fn ne(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::NotEqual, operand)
    }

    /// Holds where the column is less than the operand.
    pub fn lt(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Less, operand)
    }

    /// Holds where the column is at most the operand.
    pub fn le(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::AtMost, operand)
    }

    /// Holds where the column is greater than the operand.
    pub fn gt(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::Greater, operand)
    }

    /// Holds where the column is at least the operand.
    pub fn ge(self, operand: impl Operand<V>) -> Expr<T> {
        self.compare(Comparison::AtLeast, operand)
    }

    /// Holds where the column equals one of the operands; never, if there is none.
    pub fn is_in<O: Operand<V>>(self, operands: impl IntoIterator<Item = O>) -> Expr<T> {
        let values = operands.into_iter().map(|operand| operand.into_operand(self.name));
        Expr::is_in(self.name, values.collect())
    }

    /// Holds where the column is null.
    pub fn is_null(self) -> Expr<T> {
        Expr::compare(self.name, Comparison::Equal, Ok(Value::Null))
    }

    /// Holds where the text matches SQL's LIKE pattern (`%` any text, `_` any character).
    pub fn like(self, pattern: impl Into<String>) -> Expr<T> {
        Expr::compare(self.name, Comparison::Like, Ok(pattern.into().into()))
    }

    /// Orders by this column, smallest first.
    pub fn asc(self) -> Order<T> {
        Order::new(self.name, Direction::Ascending)
    }

    /// Orders by this column, greatest first.
    pub fn desc(self) -> Order<T> {
        Order::new(self.name, Direction::Descending)
    }
}

impl<T, V> From<Column<T, V>> for Order<T> {
    fn from(column: Column<T, V>) -> Self {
        column.asc()
    }
}
