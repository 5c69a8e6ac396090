//! The Rust types that columns hold.

use livestore_core::CanonicalJson;
use rusqlite::types::ValueRef;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ColumnType, DateTime, DateTimeMillis, DecodeError, Value, ValueError};

/// A Rust type that a column can hold.
#[diagnostic::on_unimplemented(
    message = "a column cannot hold `{Self}`",
    label = "expected a type that a column can hold",
    note = "columns hold texts, integers, floats, booleans, bytes, moments, and an `Option` of these; \
            any other `serde` type is held as `Json<T>`"
)]
pub trait ColumnValue: Sized {
    /// The column type that it needs.
    const TYPE: ColumnType;
    /// True if the column may be null.
    const NULLABLE: bool = false;
    /// The type of the same values and null: `Option<Self>`, or `Self` if it is such a type.
    type Optional: ColumnValue<Optional = Self::Optional>;
    /// The type of what a function gives that is null of null only: `W`, or optional if this is.
    type Mapped<W: ColumnValue>: ColumnValue;

    /// Turns the value into what SQLite stores; `column` is for the message.
    fn into_value(self, column: &str) -> Result<Value, ValueError>;

    /// Reads the value; `None` if it is of another kind or out of range.
    fn from_sql(value: ValueRef<'_>) -> Option<Self>;
}

/// Reads a value; `if_null` says what to do about a null that the type does not foresee.
pub(crate) fn decode<V: ColumnValue>(
    value: ValueRef<'_>,
    column: impl FnOnce() -> String,
    if_null: &'static str,
) -> Result<V, DecodeError> {
    V::from_sql(value).ok_or_else(|| DecodeError {
        column: column(),
        expected: std::any::type_name::<V>(),
        found: Value::from_sql(value).kind().into(),
        advice: (value == ValueRef::Null).then_some(if_null),
    })
}

macro_rules! integer_column {
    ($($type:ty),*) => {$(
        impl ColumnValue for $type {
            const TYPE: ColumnType = ColumnType::Integer;
            type Optional = Option<Self>;
            type Mapped<W: ColumnValue> = W;

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

impl ColumnValue for u64 {
    const TYPE: ColumnType = ColumnType::Integer;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

    fn into_value(self, column: &str) -> Result<Value, ValueError> {
        let too_large = |_| ValueError::IntegerTooLarge { column: column.into(), value: self };
        i64::try_from(self).map(Value::Integer).map_err(too_large)
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_i64().ok()?.try_into().ok()
    }
}

impl ColumnValue for bool {
    const TYPE: ColumnType = ColumnType::Boolean;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

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
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

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

impl ColumnValue for f32 {
    const TYPE: ColumnType = ColumnType::Real;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

    fn into_value(self, column: &str) -> Result<Value, ValueError> {
        f64::from(self).into_value(column)
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        let wide = f64::from_sql(value)?;
        let narrow = wide as Self;
        // What it cannot hold exactly it would change.
        (f64::from(narrow).to_bits() == wide.to_bits()).then_some(narrow)
    }
}

impl ColumnValue for DateTime {
    const TYPE: ColumnType = ColumnType::DateTime;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.to_string().into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_str().ok()?.parse().ok()
    }
}

impl ColumnValue for DateTimeMillis {
    const TYPE: ColumnType = ColumnType::DateTimeMillis;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.millis().into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        Self::from_millis(value.as_i64().ok()?).ok()
    }
}

impl ColumnValue for String {
    const TYPE: ColumnType = ColumnType::Text;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

    fn into_value(self, _column: &str) -> Result<Value, ValueError> {
        Ok(self.into())
    }

    fn from_sql(value: ValueRef<'_>) -> Option<Self> {
        value.as_str().ok().map(Into::into)
    }
}

impl ColumnValue for Vec<u8> {
    const TYPE: ColumnType = ColumnType::Blob;
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

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
    type Optional = Self;
    type Mapped<W: ColumnValue> = W::Optional;

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
    type Optional = Option<Self>;
    type Mapped<W: ColumnValue> = W;

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
