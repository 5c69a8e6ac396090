//! What a selection's conditions say of the rows of each of its tables.
//!
//! Only what is certain counts: a comparison of a column with a value that no affinity would change,
//! under the collation that columns have. Whatever else there is says nothing, so a guard admits at
//! least the rows that SQLite would.

use std::ops::Bound;

use super::compare::normalized;
use super::guard::{Condition, Guard};
use crate::ast::{Column, Comparison, Expr, JoinKind, Select, Source};
use crate::{TableDef, Value};

/// Longest pattern that is looked into, in bytes.
const MAX_PATTERN: usize = 1_000;
/// Most pairs of equal columns that are taken note of.
const MAX_LINKS: usize = 32;

/// A table of a selection.
struct Place<'a> {
    source: &'a Source,
    table: &'a TableDef,
    /// The condition of the left join that may not find a row of it.
    left_on: Option<&'a Expr>,
}

/// A column of one of the tables.
#[derive(Clone, Copy, PartialEq)]
struct At<'a> {
    place: usize,
    /// By index among the columns that are written.
    column: u16,
    sql_type: &'a str,
}

/// Returns for each table of a selection, by name, what its rows have to fulfil.
///
/// Of tables that only sub-queries name, it says nothing. A table that stands there twice comes once.
pub(crate) fn guards(select: &Select, tables: &[TableDef]) -> Vec<(String, Guard)> {
    let table = |source: &Source| tables.iter().find(|table| table.name() == source.table);
    let joined = select
        .joins
        .iter()
        .map(|join| (&join.source, (join.kind == JoinKind::Left).then_some(&join.on)));
    let sources = std::iter::once((&select.from, None)).chain(joined);
    let places: Option<Vec<Place<'_>>> = sources
        .map(|(source, left_on)| Some(Place { source, table: table(source)?, left_on }))
        .collect();
    let Some(places) = places else { return Vec::new() };
    let analysis = Analysis::new(select, places);
    let mut guards: Vec<(String, Guard)> = Vec::new();
    for place in 0..analysis.places.len() {
        let (name, guard) = (analysis.places[place].table.name(), analysis.guard(place));
        match guards.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = known.clone().or(guard),
            None => guards.push((name.to_owned(), guard)),
        }
    }
    guards.retain(|(name, _)| !is_in_sub_query(select, name));
    guards
}

struct Analysis<'a> {
    places: Vec<Place<'a>>,
    /// What has to hold of every row of the result.
    everywhere: Vec<&'a Expr>,
    /// Columns, each with one of another table that has its value: what is said of the first holds of
    /// the second in every row of that table which has a part in the result.
    links: Vec<(At<'a>, At<'a>)>,
}

/// Which columns conditions are about.
#[derive(Clone, Copy)]
struct About {
    place: usize,
    /// True if columns of the table itself count, besides those that equal them.
    own: bool,
}

impl<'a> Analysis<'a> {
    fn new(select: &'a Select, places: Vec<Place<'a>>) -> Self {
        let mut everywhere = Vec::new();
        let inner = select.joins.iter().filter(|join| join.kind == JoinKind::Inner);
        let conditions = select.filter.iter().chain(inner.map(|join| &join.on));
        conditions.for_each(|condition| conjuncts(condition, &mut everywhere));
        let mut analysis = Self { places, everywhere, links: Vec::new() };
        let mut links = Vec::new();
        for (left, right) in analysis.everywhere.iter().filter_map(|one| analysis.link(one)) {
            links.extend([(left, right), (right, left)]);
        }
        for (index, place) in analysis.places.iter().enumerate() {
            let mut conditions = Vec::new();
            place.left_on.into_iter().for_each(|on| conjuncts(on, &mut conditions));
            // Where no row is found, the joined table's column is null, and the other may not be.
            for (left, right) in conditions.into_iter().filter_map(|one| analysis.link(one)) {
                if left.place == index {
                    links.push((right, left));
                } else if right.place == index {
                    links.push((left, right));
                }
            }
        }
        links.truncate(MAX_LINKS);
        analysis.links = links;
        analysis
    }

    fn guard(&self, place: usize) -> Guard {
        let left_on = self.places[place].left_on;
        // A row that a left join does not find is as good as one without partners; so what holds of
        // the result says nothing of its own columns, which may be null there.
        let about = About { place, own: left_on.is_none() };
        let mut guard = Guard::constant(true);
        for condition in &self.everywhere {
            guard = guard.and(self.condition(condition, about));
        }
        if let Some(on) = left_on {
            guard = guard.and(self.condition(on, About { place, own: true }));
        }
        guard
    }

    /// Reads a condition as an equality of two columns of different tables.
    fn link(&self, condition: &Expr) -> Option<(At<'a>, At<'a>)> {
        let Expr::Compare { operator: Comparison::Equal, left, right } = condition else {
            return None;
        };
        let (Expr::Column(left), Expr::Column(right)) = (&**left, &**right) else { return None };
        let (left, right) = (self.resolve(left)?, self.resolve(right)?);
        let is_plain = left.place != right.place && left.sql_type == right.sql_type;
        is_plain.then_some((left, right))
    }

    fn resolve(&self, column: &Column) -> Option<At<'a>> {
        let of = |(place, at): (usize, &Place<'a>)| {
            let is_named = column.of.as_ref().is_none_or(|of| of == at.source.name());
            let mut written = at.table.written().enumerate();
            let (index, found) = written.find(|(_, own)| is_named && own.name() == column.name)?;
            let sql_type = found.column_type().sql();
            Some(At { place, column: index as u16, sql_type })
        };
        let mut found = self.places.iter().enumerate().filter_map(of);
        let first = found.next()?;
        // A name that is generated in one table and written in another would be taken wrongly.
        let tables = self.places.iter().filter(|place| place.table.column(&column.name).is_some());
        (found.next().is_none() && (column.of.is_some() || tables.count() == 1)).then_some(first)
    }

    /// Returns the column of the table that a condition is about, and its type.
    fn own_column(&self, expr: &Expr, about: About) -> Option<At<'a>> {
        let Expr::Column(column) = expr else { return None };
        let at = self.resolve(column)?;
        if at.place == about.place {
            return about.own.then_some(at);
        }
        let mut links = self.links.iter();
        let link = links.find(|(from, to)| *from == at && to.place == about.place);
        link.map(|(_, to)| *to)
    }

    fn condition(&self, expr: &Expr, about: About) -> Guard {
        match expr {
            Expr::And(all) => all
                .iter()
                .map(|one| self.condition(one, about))
                .fold(Guard::constant(true), Guard::and),
            Expr::Or(any) => any
                .iter()
                .map(|one| self.condition(one, about))
                .fold(Guard::constant(false), Guard::or),
            Expr::Not(one) => self.condition(one, about).not(),
            Expr::Value(Value::Integer(number)) => Guard::constant(*number != 0),
            Expr::Column(_) => match self.own_column(expr, about) {
                Some(at) if is_numeric(at.sql_type) => Guard::test(at.column, Condition::IsTrue),
                _ => Guard::all(),
            },
            Expr::IsNull(of) => match self.own_column(of, about) {
                Some(at) => Guard::test(at.column, Condition::IsNull),
                None => Guard::all(),
            },
            Expr::In { expr, list } => self.one_of(expr, list, about),
            Expr::Between { expr, low, high } => {
                let low = self.comparison(Comparison::AtLeast, expr, low, about);
                low.and(self.comparison(Comparison::AtMost, expr, high, about))
            }
            Expr::Compare { operator, left, right } => match (&**left, &**right) {
                (_, Expr::Value(_)) => self.comparison(*operator, left, right, about),
                (Expr::Value(_), _) => match flipped(*operator) {
                    Some(operator) => self.comparison(operator, right, left, about),
                    None => Guard::all(),
                },
                _ => Guard::all(),
            },
            _ => Guard::all(),
        }
    }

    fn one_of(&self, expr: &Expr, list: &[Expr], about: About) -> Guard {
        let Some(at) = self.own_column(expr, about) else { return Guard::all() };
        let mut values = Vec::with_capacity(list.len());
        let mut guard = Guard::constant(false);
        for value in list {
            match value {
                Expr::Value(Value::Null) => {
                    guard = Guard::test(at.column, Condition::IsNull);
                }
                Expr::Value(value) if is_plain(at.sql_type, value) => {
                    values.push(normalized(value));
                }
                _ => return Guard::all(),
            }
        }
        if values.is_empty() {
            return guard;
        }
        Guard::test(at.column, Condition::one_of(values)).or(guard)
    }

    fn comparison(&self, operator: Comparison, left: &Expr, right: &Expr, about: About) -> Guard {
        let (Some(at), Expr::Value(value)) = (self.own_column(left, about), right) else {
            return Guard::all();
        };
        let test = |condition| Guard::test(at.column, condition);
        if *value == Value::Null {
            return match operator {
                Comparison::Equal | Comparison::Is => test(Condition::IsNull),
                Comparison::NotEqual => test(Condition::IsNull).not(),
                // Whatever is compared with null is neither true nor false.
                _ => Guard::constant(false),
            };
        }
        if !is_plain(at.sql_type, value) {
            return Guard::all();
        }
        let value = value.clone();
        match operator {
            Comparison::Equal | Comparison::Is => test(Condition::one_of(vec![normalized(&value)])),
            Comparison::NotEqual => test(Condition::one_of(vec![normalized(&value)])).not(),
            Comparison::Less => test(within(Bound::Unbounded, Bound::Excluded(value))),
            Comparison::AtMost => test(within(Bound::Unbounded, Bound::Included(value))),
            Comparison::Greater => test(within(Bound::Excluded(value), Bound::Unbounded)),
            Comparison::AtLeast => test(within(Bound::Included(value), Bound::Unbounded)),
            Comparison::Like => match like_prefix(&value) {
                Some((prefix, is_exact)) => {
                    Guard { is_exact, ..test(Condition::BeginsWith(prefix)) }
                }
                None => Guard::all(),
            },
            Comparison::Glob => match glob_range(&value) {
                Some(range) => Guard { is_exact: false, ..test(range) },
                None => Guard::all(),
            },
        }
    }
}

fn within(low: Bound<Value>, high: Bound<Value>) -> Condition {
    Condition::Within(Box::new((low, high)))
}

/// Splits what all has to hold.
fn conjuncts<'a>(condition: &'a Expr, into: &mut Vec<&'a Expr>) {
    match condition {
        Expr::And(all) => all.iter().for_each(|one| conjuncts(one, into)),
        one => into.push(one),
    }
}

fn is_numeric(sql_type: &str) -> bool {
    matches!(sql_type, "INTEGER" | "REAL")
}

/// Tells whether a value is compared with a column of a type as it is.
fn is_plain(sql_type: &str, value: &Value) -> bool {
    match value {
        Value::Integer(_) => is_numeric(sql_type),
        Value::Real(number) => is_numeric(sql_type) && !number.is_nan(),
        Value::Text(_) => sql_type == "TEXT",
        Value::Blob(_) => sql_type == "BLOB",
        Value::Null => false,
    }
}

fn flipped(operator: Comparison) -> Option<Comparison> {
    Some(match operator {
        Comparison::Less => Comparison::Greater,
        Comparison::AtMost => Comparison::AtLeast,
        Comparison::Greater => Comparison::Less,
        Comparison::AtLeast => Comparison::AtMost,
        Comparison::Equal | Comparison::NotEqual | Comparison::Is => operator,
        Comparison::Like | Comparison::Glob => return None,
    })
}

fn pattern(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) if text.len() <= MAX_PATTERN && !text.contains('\0') => Some(text),
        _ => None,
    }
}

/// Returns what a text that matches a LIKE pattern begins with, in lower case; and whether that is
/// all that it has to.
fn like_prefix(value: &Value) -> Option<(Box<str>, bool)> {
    let pattern = pattern(value)?;
    let end = pattern.find(['%', '_']).unwrap_or(pattern.len());
    Some((pattern[..end].to_ascii_lowercase().into(), &pattern[end..] == "%"))
}

/// Returns between what a text lies that matches a GLOB pattern.
fn glob_range(value: &Value) -> Option<Condition> {
    let pattern = pattern(value)?;
    let end = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let prefix = &pattern[..end];
    // The least text that is greater than all that begin so: the last character made one greater.
    let last = prefix.char_indices().next_back();
    let after = last.and_then(|(at, last)| {
        let next = char::from_u32(u32::from(last) + 1)?;
        Some(format!("{}{next}", &prefix[..at]))
    });
    let high = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.into()));
    Some(within(Bound::Included(prefix.into()), high))
}

/// Tells whether a table stands in a sub-query of a selection.
fn is_in_sub_query(select: &Select, table: &str) -> bool {
    let mut found = false;
    visit_sub_queries(select, &mut |inner| {
        let joined = inner.joins.iter().map(|join| &join.source);
        found |= std::iter::once(&inner.from).chain(joined).any(|source| source.table == table);
    });
    found
}

/// Tells whether a selection has sub-queries.
pub(crate) fn has_sub_queries(select: &Select) -> bool {
    let mut found = false;
    visit_sub_queries(select, &mut |_| found = true);
    found
}

fn visit_sub_queries(select: &Select, visit: &mut dyn FnMut(&Select)) {
    let joins = select.joins.iter().map(|join| &join.on);
    let columns = select.columns.iter().map(|output| &output.expr);
    let order = select.order.iter().map(|order| &order.expr);
    let conditions = select.filter.iter().chain(&select.having);
    let all = columns.chain(joins).chain(conditions).chain(&select.group_by).chain(order);
    for expr in all {
        expr.visit(&mut |expr| {
            if let Expr::Exists(inner)
            | Expr::Scalar(inner)
            | Expr::InSelect { select: inner, .. } = expr
            {
                visit(inner);
                visit_sub_queries(inner, visit);
            }
        });
    }
}
