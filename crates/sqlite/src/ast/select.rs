//! Selections.

use serde::{Deserialize, Serialize};

use super::{Column, Expr, Name};

/// A selection of rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// True if equal rows come once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distinct: bool,
    /// What each row has; if empty, all columns of all tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<Output>,
    /// The first table.
    pub from: Source,
    /// The tables that are joined to it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joins: Vec<Join>,
    /// Which rows are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expr>,
    /// What the rows of one group have in common.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group_by: Vec<Expr>,
    /// Which groups are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub having: Option<Expr>,
    /// The order of the rows, the most important key first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<Order>,
    /// Most rows that are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Rows that are left out first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub offset: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_zero(rows: &u32) -> bool {
    *rows == 0
}

impl Select {
    /// Selects all rows of a table.
    pub fn new(from: Source) -> Self {
        Self {
            distinct: false,
            columns: Vec::new(),
            from,
            joins: Vec::new(),
            filter: None,
            group_by: Vec::new(),
            having: None,
            order: Vec::new(),
            limit: None,
            offset: 0,
        }
    }

    /// Returns the keys of an order that comes after the given one and leaves no two rows equal, so
    /// that equal states give equal results, whatever indexes SQLite uses.
    ///
    /// `keys` are the columns of the tables' primary keys, each with what the selection calls its table.
    /// It goes in the direction of the last given key, as an index does.
    pub(crate) fn ties<O: Into<Name>, N: Into<Name>>(
        &self,
        keys: impl IntoIterator<Item = (O, N)>,
    ) -> Vec<Order> {
        let keys: Vec<Expr> =
            keys.into_iter().map(|(of, name)| Expr::Column(Column::of(of, name))).collect();
        let keys = if self.has_all_keys(&keys) {
            keys
        } else if self.distinct {
            self.columns.iter().map(|output| output.expr.clone()).collect()
        } else {
            self.group_by.clone()
        };
        let direction = self.order.last().map_or(Direction::Ascending, |order| order.direction);
        let is_given = |key: &Expr| {
            self.order.iter().any(|order| {
                order.collation.is_none_or(|collation| collation == Collation::Binary)
                    && order.expr == *key
            })
        };
        let order = |key| Order::new(self.qualified(key), direction);
        // What is the same in all rows would be taken for the number of a column.
        let keys = keys.into_iter().filter(Expr::depends_on_rows);
        keys.filter(|key| !is_given(key)).map(order).collect()
    }

    /// Tells whether no two rows of the result have equal keys, each being a row of its own or showing
    /// them.
    fn has_all_keys(&self, keys: &[Expr]) -> bool {
        let has = |exprs: &[Expr]| !keys.is_empty() && keys.iter().all(|key| exprs.contains(key));
        if self.distinct {
            let columns: Vec<_> = self.columns.iter().map(|output| output.expr.clone()).collect();
            return self.is_of_rows_but_for_distinct() && has(&columns);
        }
        self.is_of_rows() || has(&self.group_by)
    }

    /// Names the only table of a column that does not: without it, it could be a name of the result.
    fn qualified(&self, expr: Expr) -> Expr {
        match expr {
            Expr::Column(Column { of: None, name }) if self.joins.is_empty() => {
                Column::of(self.from.name().clone(), name).into()
            }
            expr => expr,
        }
    }

    /// Selects rows, or groups, instead of different rows, given the columns of the tables' keys; none if
    /// that is not all that it does.
    pub(crate) fn without_distinct(&self, keys: &[Expr]) -> Option<Self> {
        let rows = Self { distinct: false, ..self.clone() };
        if !self.distinct || self.has_all_keys(keys) {
            return Some(rows);
        }
        let group_by = self.columns.iter().map(|output| output.expr.clone()).collect();
        rows.is_of_rows().then_some(Self { group_by, ..rows })
    }

    /// Tells whether the result is one row, made of all that there are.
    pub(crate) fn is_of_all_rows(&self) -> bool {
        self.group_by.is_empty() && self.having.is_none() && !self.is_of_rows_but_for_distinct()
    }

    /// Tells whether each row of the result is made of one row of each table.
    pub(crate) fn is_of_rows(&self) -> bool {
        !self.distinct && self.is_of_rows_but_for_distinct()
    }

    fn is_of_rows_but_for_distinct(&self) -> bool {
        let mut has_aggregate = false;
        for output in &self.columns {
            output.expr.visit(&mut |expr| has_aggregate |= matches!(expr, Expr::Aggregate(_)));
        }
        self.group_by.is_empty() && self.having.is_none() && !has_aggregate
    }
}

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its value.
    pub expr: Expr,
    /// Its name in the result; a column has its own without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
}

impl From<Expr> for Output {
    fn from(expr: Expr) -> Self {
        Self { expr, name: None }
    }
}

/// A table of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The table's name.
    pub table: Name,
    /// What the statement calls it; needed if it stands there twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Name>,
}

impl Source {
    /// Names a table.
    pub fn table(name: impl Into<Name>) -> Self {
        Self { table: name.into(), alias: None }
    }

    /// Returns what the statement calls the table.
    pub fn name(&self) -> &Name {
        self.alias.as_ref().unwrap_or(&self.table)
    }
}

/// A table that is joined to those before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// What happens to rows without a partner.
    pub kind: JoinKind,
    /// The table.
    pub source: Source,
    /// Which rows are partners.
    pub on: Expr,
}

/// What a join does with rows that have no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinKind {
    /// Leaves them out.
    Inner,
    /// Keeps those of the tables before; the joined table's columns are null then.
    Left,
}

/// One key of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// By what.
    pub expr: Expr,
    /// Which end comes first.
    #[serde(default)]
    pub direction: Direction,
    /// Where null comes; as the least value, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<Nulls>,
    /// How texts are compared; byte by byte, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collation: Option<Collation>,
}

impl Order {
    /// Orders by an expression.
    pub fn new(expr: Expr, direction: Direction) -> Self {
        Self { expr, direction, nulls: None, collation: None }
    }
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Greatest first.
    Descending,
}

/// Where null comes in an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Nulls {
    /// Before all values.
    First,
    /// After all values.
    Last,
}

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Collation {
    /// Byte by byte.
    Binary,
    /// ASCII letters in either case are equal.
    NoCase,
    /// Spaces at the end do not count.
    RTrim,
}

impl Collation {
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::Binary => "BINARY",
            Self::NoCase => "NOCASE",
            Self::RTrim => "RTRIM",
        }
    }
}
