//! Conditions and orders over one table's columns.

use std::fmt::Write as _;
use std::marker::PhantomData;

use crate::{Value, ValueError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Like,
}

impl Comparison {
    fn sql(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "IS NOT",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
            Self::Like => "LIKE",
        }
    }
}

#[derive(Debug, Clone)]
enum Node {
    Compare { column: &'static str, comparison: Comparison, value: Result<Value, ValueError> },
    In { column: &'static str, values: Vec<Result<Value, ValueError>> },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
}

/// A condition over the columns of table `T`.
///
/// Conditions are made by the comparisons of [`Column`](crate::Column) and combined with
/// [`and`](Self::and), [`or`](Self::or) and `!`.
#[derive(Debug)]
pub struct Expr<T> {
    node: Node,
    table: PhantomData<fn() -> T>,
}

impl<T> Clone for Expr<T> {
    fn clone(&self) -> Self {
        Self::from(self.node.clone())
    }
}

impl<T> From<Node> for Expr<T> {
    fn from(node: Node) -> Self {
        Self { node, table: PhantomData }
    }
}

impl<T> Expr<T> {
    pub(crate) fn compare(
        column: &'static str,
        comparison: Comparison,
        value: Result<Value, ValueError>,
    ) -> Self {
        Node::Compare { column, comparison, value }.into()
    }

    pub(crate) fn is_in(column: &'static str, values: Vec<Result<Value, ValueError>>) -> Self {
        Node::In { column, values }.into()
    }

    /// Holds where both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Node::And(self.node.into(), other.node.into()).into()
    }

    /// Holds where at least one holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Node::Or(self.node.into(), other.node.into()).into()
    }

    /// Writes the condition as SQL; values become parameters.
    pub(crate) fn write(&self, sql: &mut String, binds: &mut Vec<Value>) -> Result<(), ValueError> {
        self.node.write(sql, binds)
    }
}

impl<T> std::ops::Not for Expr<T> {
    type Output = Self;

    fn not(self) -> Self {
        Node::Not(self.node.into()).into()
    }
}

impl Node {
    fn write(&self, sql: &mut String, binds: &mut Vec<Value>) -> Result<(), ValueError> {
        match self {
            Self::Compare { column, comparison, value } => {
                let value = value.clone()?;
                let operator = match (comparison, &value) {
                    (Comparison::Equal, Value::Null) => "IS",
                    (comparison, _) => comparison.sql(),
                };
                let _ = write!(sql, "\"{column}\" {operator} ?");
                binds.push(value);
            }
            Self::In { column, values } => {
                let _ = write!(sql, "(\"{column}\" IN (");
                for (index, value) in values.iter().enumerate() {
                    sql.push_str(if index == 0 { "?" } else { ",?" });
                    binds.push(value.clone()?);
                }
                // SQL's IN never finds null.
                let with_null = values.contains(&Ok(Value::Null));
                let or_null =
                    if with_null { format!(" OR \"{column}\" IS NULL") } else { String::new() };
                let _ = write!(sql, "){or_null})");
            }
            Self::And(left, right) => write_pair(left, "AND", right, sql, binds)?,
            Self::Or(left, right) => write_pair(left, "OR", right, sql, binds)?,
            Self::Not(node) => {
                // SQL's NOT would leave out rows for which the condition is null.
                sql.push('(');
                node.write(sql, binds)?;
                sql.push_str(" IS NOT TRUE)");
            }
        }
        Ok(())
    }
}

fn write_pair(
    left: &Node,
    operator: &str,
    right: &Node,
    sql: &mut String,
    binds: &mut Vec<Value>,
) -> Result<(), ValueError> {
    sql.push('(');
    left.write(sql, binds)?;
    let _ = write!(sql, " {operator} ");
    right.write(sql, binds)?;
    sql.push(')');
    Ok(())
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// One key of an order over the columns of table `T`.
#[derive(Debug)]
pub struct Order<T> {
    column: &'static str,
    direction: Direction,
    table: PhantomData<fn() -> T>,
}

impl<T> Clone for Order<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Order<T> {}

impl<T> Order<T> {
    pub(crate) fn new(column: &'static str, direction: Direction) -> Self {
        Self { column, direction, table: PhantomData }
    }

    pub(crate) fn write(&self, sql: &mut String) {
        let direction = match self.direction {
            Direction::Ascending => "",
            Direction::Descending => " DESC",
        };
        let _ = write!(sql, "\"{}\"{direction}", self.column);
    }
}
