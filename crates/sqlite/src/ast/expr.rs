//! Expressions.

use serde::{Deserialize, Serialize};

use super::{Aggregate, CastType, Collation, Column, Function, Select};
use crate::{Value, ValueError};

/// An expression over the columns of a statement's tables.
///
/// As JSON it is an object with one key, the name of its kind:
/// `{"compare": {"operator": "less", "left": {"column": {"name": "due"}}, "right": {"value": 5}}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// A column's value.
    Column(Column),
    /// A value; it becomes a parameter.
    Value(Value),
    /// A Rust value that has no SQLite form, kept until the statement is made.
    #[serde(skip)]
    Invalid(ValueError),
    /// Compares two values.
    Compare {
        /// How.
        operator: Comparison,
        /// The left side.
        left: Box<Self>,
        /// The right side.
        right: Box<Self>,
    },
    /// Calculates with two values.
    Calculate {
        /// How.
        operator: Arithmetic,
        /// The left side.
        left: Box<Self>,
        /// The right side.
        right: Box<Self>,
    },
    /// Holds where all hold; everywhere, if there is none.
    And(Vec<Self>),
    /// Holds where at least one holds; nowhere, if there is none.
    Or(Vec<Self>),
    /// Holds where the other does not, also where that is null.
    Not(Box<Self>),
    /// Holds where the other is null.
    IsNull(Box<Self>),
    /// Holds where it equals one of a list; null in the list equals null.
    In {
        /// What is looked for.
        expr: Box<Self>,
        /// Where.
        list: Vec<Self>,
    },
    /// Holds where it equals one of the values that a selection of one column gives.
    InSelect {
        /// What is looked for.
        expr: Box<Self>,
        /// Where.
        select: Box<Select>,
    },
    /// Holds where it is at least one value and at most another.
    Between {
        /// What is compared.
        expr: Box<Self>,
        /// The least value.
        low: Box<Self>,
        /// The greatest value.
        high: Box<Self>,
    },
    /// The part of a JSON text at a path such as `$.address.street` or `$.tags[0]`.
    Path {
        /// The JSON text.
        json: Box<Self>,
        /// The path.
        path: String,
    },
    /// Holds where a JSON array has such an element.
    Contains {
        /// The JSON text.
        json: Box<Self>,
        /// The element.
        element: Box<Self>,
    },
    /// The value of the first condition that holds.
    Case {
        /// The conditions and their values.
        whens: Vec<When>,
        /// The value where none holds; null without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        otherwise: Option<Box<Self>>,
    },
    /// A value turned into one of another type, as SQL's CAST does it; null stays null.
    Cast {
        /// The value.
        expr: Box<Self>,
        /// The type.
        to: CastType,
    },
    /// Calls a function.
    Call {
        /// Which.
        function: Function,
        /// With what.
        arguments: Vec<Self>,
    },
    /// Calls a function of the rows of the group.
    Aggregate(Aggregate),
    /// Compares as the collation says, where it is compared or ordered.
    Collate {
        /// What is compared.
        expr: Box<Self>,
        /// How.
        collation: Collation,
    },
    /// Holds where a selection gives at least one row.
    Exists(Box<Select>),
    /// The value that a selection of one column gives in its first row; null without a row.
    Scalar(Box<Select>),
}

/// A condition, and the value that a choice has where it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// The condition.
    pub condition: Expr,
    /// The value.
    pub value: Expr,
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// Equal; the value null equals null, two columns that are null do not.
    Equal,
    /// Different; null differs from every value and not from null.
    NotEqual,
    /// Equal, or both null.
    Is,
    /// Less.
    Less,
    /// Less or equal.
    AtMost,
    /// Greater.
    Greater,
    /// Greater or equal.
    AtLeast,
    /// Matches a pattern with `%` and `_`; ASCII letters in either case.
    Like,
    /// Matches a pattern with `*`, `?` and `[…]`.
    Glob,
}

impl Comparison {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "IS NOT",
            Self::Is => "IS",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Like => "LIKE",
            Self::Glob => "GLOB",
        }
    }
}

/// How two values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// The sum.
    Add,
    /// The difference.
    Subtract,
    /// The product.
    Multiply,
    /// The quotient, of integers without the rest; null if it is divided by zero.
    Divide,
    /// The rest of a division of integers; null if it is divided by zero.
    Remainder,
    /// Two texts, one after the other.
    Concat,
}

impl Arithmetic {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
            Self::Concat => "||",
        }
    }
}

impl From<Column> for Expr {
    fn from(column: Column) -> Self {
        Self::Column(column)
    }
}

impl Expr {
    pub(crate) fn value(value: Result<Value, ValueError>) -> Self {
        value.map_or_else(Self::Invalid, Self::Value)
    }

    pub(crate) fn compare(self, operator: Comparison, right: Self) -> Self {
        Self::Compare { operator, left: self.into(), right: right.into() }
    }

    pub(crate) fn calculate(self, operator: Arithmetic, right: Self) -> Self {
        Self::Calculate { operator, left: self.into(), right: right.into() }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut all) => {
                all.push(other);
                Self::And(all)
            }
            first => Self::And(vec![first, other]),
        }
    }

    /// Makes a filter hold only where this condition holds as well.
    pub(crate) fn narrow(self, filter: &mut Option<Self>) {
        *filter = Some(match filter.take() {
            None => self,
            Some(before) => before.and(self),
        });
    }

    pub(crate) fn or(self, other: Self) -> Self {
        match self {
            Self::Or(mut any) => {
                any.push(other);
                Self::Or(any)
            }
            first => Self::Or(vec![first, other]),
        }
    }

    /// Returns the expression that is written for it: of one condition alone, that.
    pub(crate) fn as_written(&self) -> &Self {
        static NULL: Expr = Expr::Value(Value::Null);
        match self {
            Self::And(all) | Self::Or(all) => match &all[..] {
                [one] => one.as_written(),
                _ => self,
            },
            Self::Case { whens, otherwise } if whens.is_empty() => {
                otherwise.as_deref().map_or(&NULL, Self::as_written)
            }
            _ => self,
        }
    }

    /// Tells whether there is a column in it, or a sub-query.
    pub(super) fn depends_on_rows(&self) -> bool {
        let mut found = false;
        self.visit(&mut |expr| {
            found |= matches!(
                expr,
                Self::Column(_) | Self::Exists(_) | Self::Scalar(_) | Self::InSelect { .. }
            );
        });
        found
    }

    /// Visits this expression and all that it is made of, but for what sub-queries are made of.
    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&Self)) {
        visit(self);
        match self {
            Self::Column(_)
            | Self::Value(_)
            | Self::Invalid(_)
            | Self::Exists(_)
            | Self::Scalar(_) => {}
            Self::Compare { left, right, .. } | Self::Calculate { left, right, .. } => {
                left.visit(visit);
                right.visit(visit);
            }
            Self::And(all) | Self::Or(all) | Self::Call { arguments: all, .. } => {
                for one in all {
                    one.visit(visit);
                }
            }
            Self::Not(one)
            | Self::IsNull(one)
            | Self::Path { json: one, .. }
            | Self::Cast { expr: one, .. }
            | Self::Collate { expr: one, .. }
            | Self::InSelect { expr: one, .. } => one.visit(visit),
            Self::In { expr, list } => {
                expr.visit(visit);
                for one in list {
                    one.visit(visit);
                }
            }
            Self::Between { expr, low, high } => {
                for one in [expr, low, high] {
                    one.visit(visit);
                }
            }
            Self::Contains { json, element } => {
                json.visit(visit);
                element.visit(visit);
            }
            Self::Case { whens, otherwise } => {
                for When { condition, value } in whens {
                    condition.visit(visit);
                    value.visit(visit);
                }
                if let Some(otherwise) = otherwise {
                    otherwise.visit(visit);
                }
            }
            Self::Aggregate(aggregate) => {
                if let Some(argument) = &aggregate.argument {
                    argument.visit(visit);
                }
            }
        }
    }
}
