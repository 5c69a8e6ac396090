//! The functions that expressions call: all of them deterministic.

use serde::{Deserialize, Serialize};

use super::Expr;

/// A function of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The absolute value.
    Abs,
    /// The first argument that is not null.
    Coalesce,
    /// The position of a text in another, from 1; 0 if it is not there.
    Instr,
    /// The number of elements of a JSON array.
    JsonArrayLength,
    /// The type of a JSON value, as text.
    JsonType,
    /// The number of characters of a text, or of bytes of a blob.
    Length,
    /// ASCII letters in lower case.
    Lower,
    /// Null if both arguments are equal, else the first.
    Nullif,
    /// A text with all occurrences of another replaced.
    Replace,
    /// Rounds to a number of digits after the point.
    Round,
    /// A part of a text.
    Substr,
    /// A text without spaces, or the given characters, at both ends.
    Trim,
    /// ASCII letters in upper case.
    Upper,
}

impl Function {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Abs => "abs",
            Self::Coalesce => "coalesce",
            Self::Instr => "instr",
            Self::JsonArrayLength => "json_array_length",
            Self::JsonType => "json_type",
            Self::Length => "length",
            Self::Lower => "lower",
            Self::Nullif => "nullif",
            Self::Replace => "replace",
            Self::Round => "round",
            Self::Substr => "substr",
            Self::Trim => "trim",
            Self::Upper => "upper",
        }
    }

    /// Returns the least and the greatest number of arguments.
    pub(crate) fn arguments(self) -> (usize, usize) {
        match self {
            Self::Abs | Self::Length | Self::Lower | Self::Upper => (1, 1),
            Self::JsonArrayLength | Self::JsonType | Self::Round | Self::Trim => (1, 2),
            Self::Instr | Self::Nullif => (2, 2),
            Self::Substr => (2, 3),
            Self::Replace => (3, 3),
            Self::Coalesce => (2, 100),
        }
    }
}

/// What a value can be turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CastType {
    /// A text; of a number, its decimal digits.
    Text,
    /// An integer; of a text, the number that it begins with, or 0; of a real, without its fraction.
    Integer,
    /// A real; of a text, the number that it begins with, or 0.0.
    Real,
    /// Bytes; of a text, those of its UTF-8.
    Blob,
}

impl CastType {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Integer => "INTEGER",
            Self::Real => "REAL",
            Self::Blob => "BLOB",
        }
    }
}

/// A function of all values of a group of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AggregateFunction {
    /// The number of rows, or of values that are not null.
    Count,
    /// The sum; null without values.
    Sum,
    /// The sum as a real; 0.0 without values.
    Total,
    /// The mean; null without values.
    Avg,
    /// The least value; null without values.
    Min,
    /// The greatest value; null without values.
    Max,
    /// All texts in one; null without values.
    GroupConcat,
}

impl AggregateFunction {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Total => "total",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::GroupConcat => "group_concat",
        }
    }
}

/// A function of a group of rows with its argument.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The function.
    pub function: AggregateFunction,
    /// True if equal values count once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distinct: bool,
    /// What it is taken of; only `count` can do without, and then counts rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argument: Option<Box<Expr>>,
    /// What `group_concat` puts between two texts; a comma by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
}
