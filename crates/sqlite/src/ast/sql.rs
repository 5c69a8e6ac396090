//! Writes selections and expressions as SQL.
//!
//! Names stand in double quotes, as they are: whoever writes has checked them. Columns are written with
//! their table, if they name it. Values become parameters, in the order in which they are written.

use super::{
    Aggregate, Column, Comparison, Direction, Expr, Join, JoinKind, Nulls, Order, Output, Select,
    Source, When,
};
use crate::{Value, ValueError};

/// Most expressions inside each other; SQLite's own limit is 1,000.
const MAX_DEPTH: u16 = 200;

/// SQL text in the making, with the values for its `?`.
#[derive(Debug, Default)]
pub(crate) struct SqlWriter {
    sql: String,
    binds: Vec<Value>,
    depth: u16,
    /// True in what [`Self::in_upsert`] writes.
    is_in_upsert: bool,
    /// The name of what [`Self::for_each_row`] writes.
    each_row: Option<&'static str>,
    instead: Option<Instead>,
}

/// What is written instead of certain expressions.
#[derive(Debug, Default)]
struct Instead {
    texts: Vec<(Expr, String)>,
    /// True if there was a column that is none of them, nor within one.
    is_incomplete: bool,
}

impl SqlWriter {
    /// What a write gives back.
    pub(super) const RETURNING: &'static str = "`returning`";

    pub(crate) fn new(start: &str) -> Self {
        let mut sql = String::with_capacity(start.len() + 96);
        sql.push_str(start);
        Self { sql, ..Self::default() }
    }

    /// Begins a text in which other things stand instead of certain expressions.
    pub(crate) fn with_instead(start: &str, texts: Vec<(Expr, String)>) -> Self {
        Self { instead: Some(Instead { texts, is_incomplete: false }), ..Self::new(start) }
    }

    /// Tells whether something stands instead of every column.
    pub(crate) fn is_complete(&self) -> bool {
        self.instead.as_ref().is_none_or(|instead| !instead.is_incomplete)
    }

    pub(crate) fn finish(self) -> (String, Vec<Value>) {
        (self.sql, self.binds)
    }

    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    pub(super) fn name(&mut self, name: &str) {
        self.sql.push('"');
        self.sql.push_str(name);
        self.sql.push('"');
    }

    fn bind(&mut self, value: Value) {
        self.sql.push('?');
        self.binds.push(value);
    }

    /// Writes the update of an upsert, which can name the row that was to be inserted.
    pub(super) fn in_upsert(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        self.is_in_upsert = true;
        let written = write(self);
        self.is_in_upsert = false;
        written
    }

    /// Writes what is there for each row, which has no function of many rows.
    pub(super) fn for_each_row(
        &mut self,
        place: &'static str,
        write: impl FnOnce(&mut Self) -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        let around = self.each_row.replace(place);
        let written = write(self);
        self.each_row = around;
        written
    }

    pub(super) fn list<'a, T: 'a>(
        &mut self,
        items: impl IntoIterator<Item = &'a T>,
        separator: &str,
        mut item: impl FnMut(&mut Self, &'a T) -> Result<(), ValueError>,
    ) -> Result<(), ValueError> {
        for (index, each) in items.into_iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            item(self, each)?;
        }
        Ok(())
    }

    pub(crate) fn select(&mut self, select: &Select) -> Result<(), ValueError> {
        self.select_ordered(select, &[])
    }

    /// Writes a selection, with more keys of its order.
    pub(crate) fn select_ordered(
        &mut self,
        select: &Select,
        ties: &[Order],
    ) -> Result<(), ValueError> {
        self.push(if select.distinct { "SELECT DISTINCT " } else { "SELECT " });
        if select.columns.is_empty() {
            self.push("*");
        }
        self.list(&select.columns, ", ", Self::output)?;
        self.push(" FROM ");
        self.source(&select.from);
        self.after_from(select, ties)
    }

    /// Writes what comes after the first table, with more keys of its order.
    pub(crate) fn after_from(&mut self, select: &Select, ties: &[Order]) -> Result<(), ValueError> {
        for Join { kind, source, on } in &select.joins {
            self.push(match kind {
                JoinKind::Inner => " JOIN ",
                JoinKind::Left => " LEFT JOIN ",
            });
            self.source(source);
            self.push(" ON ");
            self.for_each_row("a join", |writer| writer.expr(on))?;
        }
        self.filter(select.filter.as_ref())?;
        if !select.group_by.is_empty() {
            self.push(" GROUP BY ");
            self.for_each_row("GROUP BY", |writer| {
                writer.list(&select.group_by, ", ", Self::operand)
            })?;
        }
        if let Some(having) = &select.having {
            self.push(" HAVING ");
            self.expr(having)?;
        }
        if !select.order.is_empty() || !ties.is_empty() {
            self.push(" ORDER BY ");
            self.list(select.order.iter().chain(ties), ", ", Self::order)?;
        }
        if select.limit.is_some() || select.offset > 0 {
            // SQLite has no OFFSET without LIMIT; -1 is its word for "no limit".
            self.push(" LIMIT ");
            self.bind(select.limit.map_or(-1, i64::from).into());
        }
        if select.offset > 0 {
            self.push(" OFFSET ");
            self.bind(i64::from(select.offset).into());
        }
        Ok(())
    }

    /// Writes a selection inside of an expression, with rows of its own.
    fn sub_query(&mut self, select: &Select) -> Result<(), ValueError> {
        if self.each_row == Some(Self::RETURNING) {
            return Err(ValueError::SubQueryInReturning);
        }
        let around = self.each_row.take();
        let written = self.select(select);
        self.each_row = around;
        written
    }

    fn output(&mut self, output: &Output) -> Result<(), ValueError> {
        self.expr(&output.expr)?;
        if let Some(name) = &output.name {
            self.push(" AS ");
            self.name(name);
        }
        Ok(())
    }

    fn source(&mut self, source: &Source) {
        self.name(&source.table);
        if let Some(alias) = &source.alias {
            self.push(" AS ");
            self.name(alias);
        }
    }

    fn order(&mut self, order: &Order) -> Result<(), ValueError> {
        self.operand(&order.expr)?;
        if let Some(collation) = order.collation {
            self.push(" COLLATE ");
            self.push(collation.sql());
        }
        if order.direction == Direction::Descending {
            self.push(" DESC");
        }
        self.push(match order.nulls {
            None => "",
            Some(Nulls::First) => " NULLS FIRST",
            Some(Nulls::Last) => " NULLS LAST",
        });
        Ok(())
    }

    pub(super) fn filter(&mut self, filter: Option<&Expr>) -> Result<(), ValueError> {
        filter.map_or(Ok(()), |filter| {
            self.push(" WHERE ");
            self.for_each_row("a filter", |writer| writer.expr(filter))
        })
    }

    /// Writes an expression that stands beside an operator: in brackets, unless it is one word.
    pub(super) fn operand(&mut self, expr: &Expr) -> Result<(), ValueError> {
        let is_closed = matches!(
            expr,
            Expr::Column(_)
                | Expr::Value(_)
                | Expr::Invalid(_)
                | Expr::Path { .. }
                | Expr::Call { .. }
                | Expr::Cast { .. }
                | Expr::Aggregate(_)
                | Expr::Scalar(_)
        );
        if is_closed {
            return self.expr(expr);
        }
        self.push("(");
        self.expr(expr)?;
        self.push(")");
        Ok(())
    }

    fn pair(&mut self, left: &Expr, operator: &str, right: &Expr) -> Result<(), ValueError> {
        self.operand(left)?;
        self.push(" ");
        self.push(operator);
        self.push(" ");
        self.operand(right)
    }

    pub(crate) fn expr(&mut self, expr: &Expr) -> Result<(), ValueError> {
        if self.depth == MAX_DEPTH {
            return Err(ValueError::TooDeep { max: MAX_DEPTH.into() });
        }
        self.depth += 1;
        self.expr_inside(expr)?;
        self.depth -= 1;
        Ok(())
    }

    fn expr_inside(&mut self, expr: &Expr) -> Result<(), ValueError> {
        if let Some(instead) = &mut self.instead {
            if let Some((_, text)) = instead.texts.iter().find(|(one, _)| one == expr) {
                self.sql.push_str(text);
                return Ok(());
            }
            instead.is_incomplete |= matches!(expr, Expr::Column(_));
        }
        match expr {
            Expr::Column(Column { of, name }) => {
                if of.as_deref() == Some(Column::EXCLUDED) && !self.is_in_upsert {
                    return Err(ValueError::ExcludedOutsideUpsert { column: name.to_string() });
                }
                if let Some(table) = of {
                    self.name(table);
                    self.push(".");
                }
                self.name(name);
            }
            Expr::Value(value) => self.bind(value.clone()),
            Expr::Invalid(error) => return Err(error.clone()),
            Expr::Compare { operator, left, right } => {
                let is_null = |side: &Expr| matches!(side, Expr::Value(Value::Null));
                let operator = match operator {
                    Comparison::Equal if is_null(left) || is_null(right) => "IS",
                    operator => operator.sql(),
                };
                self.pair(left, operator, right)?;
            }
            Expr::Calculate { operator, left, right } => self.pair(left, operator.sql(), right)?,
            // As a number alone it would be that of a column, where something is ordered or grouped.
            Expr::And(all) if all.is_empty() => self.push("1 = 1"),
            Expr::And(all) => self.list(all, " AND ", Self::operand)?,
            Expr::Or(any) if any.is_empty() => self.push("1 = 0"),
            Expr::Or(any) => self.list(any, " OR ", Self::operand)?,
            Expr::Not(condition) => match &**condition {
                Expr::IsNull(expr) => {
                    self.operand(expr)?;
                    self.push(" IS NOT NULL");
                }
                // SQL's NOT would leave out rows for which the condition is null.
                condition => {
                    self.operand(condition)?;
                    self.push(" IS NOT TRUE");
                }
            },
            Expr::IsNull(expr) => {
                self.operand(expr)?;
                self.push(" IS NULL");
            }
            Expr::In { expr, list } => {
                self.operand(expr)?;
                self.push(" IN (");
                self.list(list, ",", Self::operand)?;
                self.push(")");
                // SQL's IN never finds null.
                if list.contains(&Expr::Value(Value::Null)) {
                    self.push(" OR ");
                    self.operand(expr)?;
                    self.push(" IS NULL");
                }
            }
            Expr::InSelect { expr, select } => {
                self.operand(expr)?;
                self.push(" IN (");
                self.sub_query(select)?;
                self.push(")");
            }
            Expr::Between { expr, low, high } => {
                self.pair(expr, "BETWEEN", low)?;
                self.push(" AND ");
                self.operand(high)?;
            }
            Expr::Path { json, path } => {
                self.push("json_extract(");
                self.expr(json)?;
                self.push(", ");
                self.bind(path.as_str().into());
                self.push(")");
            }
            Expr::Contains { json, element } => {
                self.push("EXISTS (SELECT 1 FROM json_each(");
                self.expr(json)?;
                self.push(") WHERE json_each.value IS ");
                self.operand(element)?;
                self.push(")");
            }
            Expr::Case { whens, otherwise } => self.case(whens, otherwise.as_deref())?,
            Expr::Cast { expr, to } => {
                self.push("CAST(");
                self.expr(expr)?;
                self.push(" AS ");
                self.push(to.sql());
                self.push(")");
            }
            Expr::Call { function, arguments } => {
                self.push(function.sql());
                self.push("(");
                self.list(arguments, ", ", Self::expr)?;
                self.push(")");
            }
            Expr::Aggregate(aggregate) => self.aggregate(aggregate)?,
            Expr::Collate { expr, collation } => {
                self.operand(expr)?;
                self.push(" COLLATE ");
                self.push(collation.sql());
            }
            Expr::Exists(select) => {
                self.push("EXISTS (");
                self.sub_query(select)?;
                self.push(")");
            }
            Expr::Scalar(select) => {
                self.push("(");
                self.sub_query(select)?;
                self.push(")");
            }
        }
        Ok(())
    }

    fn case(&mut self, whens: &[When], otherwise: Option<&Expr>) -> Result<(), ValueError> {
        // SQL has no CASE without a condition.
        if whens.is_empty() {
            return self.expr(otherwise.unwrap_or(&Expr::Value(Value::Null)));
        }
        self.push("CASE");
        for When { condition, value } in whens {
            self.push(" WHEN ");
            self.expr(condition)?;
            self.push(" THEN ");
            self.expr(value)?;
        }
        if let Some(value) = otherwise {
            self.push(" ELSE ");
            self.expr(value)?;
        }
        self.push(" END");
        Ok(())
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<(), ValueError> {
        let function = aggregate.function.sql();
        if let Some(place) = self.each_row {
            return Err(ValueError::Aggregate { function, place });
        }
        self.push(function);
        self.push(if aggregate.distinct { "(DISTINCT " } else { "(" });
        match &aggregate.argument {
            Some(argument) => {
                self.for_each_row("a function of many rows", |writer| writer.expr(argument))?;
            }
            None => self.push("*"),
        }
        if let Some(separator) = &aggregate.separator {
            self.push(", ");
            self.bind(separator.as_str().into());
        }
        self.push(")");
        Ok(())
    }
}
