//! Random conditions mean to SQLite what the builder's documentation says they mean.

use livestore_sqlite::ast::{Comparison, Expr, Select, Source};
use livestore_sqlite::{Connection, DynSelect, Query, Table, Value, ast};
use proptest::prelude::*;

use super::support::{Counter, cases, database, insert, read};

/// A condition over the columns `name` (as a number) and `count` of a counter.
#[derive(Debug, Clone)]
enum Condition {
    Compare(Comparison, Side, Side),
    In(Side, Vec<Option<i64>>),
    Between(Side, Side, Side),
    IsNull(Side),
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Id,
    Count,
    /// Is null for some rows.
    Name,
    Given(Option<i64>),
}

/// One row: its key, its count, and the number in its name.
type RowValues = (i64, i64, Option<i64>);

impl Side {
    fn expr(self) -> Expr {
        let column = |name: &'static str| Expr::Column(ast::Column::of("counters", name));
        match self {
            Self::Id => column("id"),
            Self::Count => column("count"),
            Self::Name => {
                let arguments = vec![column("name")];
                Expr::Call { function: ast::Function::Length, arguments }
            }
            Self::Given(value) => Expr::Value(value.map_or(Value::Null, Value::Integer)),
        }
    }

    fn value(self, (id, count, name): RowValues) -> Option<i64> {
        match self {
            Self::Id => Some(id),
            Self::Count => Some(count),
            Self::Name => name,
            Self::Given(value) => value,
        }
    }
}

fn and(left: Option<bool>, right: Option<bool>) -> Option<bool> {
    match (left, right) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

impl Condition {
    fn expr(&self) -> Expr {
        let all = |list: &[Self]| list.iter().map(Self::expr).collect();
        match self {
            Self::Compare(operator, left, right) => {
                let (left, right) = (left.expr().into(), right.expr().into());
                Expr::Compare { operator: *operator, left, right }
            }
            Self::In(side, list) => {
                let list = list.iter().map(|value| Side::Given(*value).expr()).collect();
                Expr::In { expr: side.expr().into(), list }
            }
            Self::Between(side, low, high) => {
                let (low, high) = (low.expr().into(), high.expr().into());
                Expr::Between { expr: side.expr().into(), low, high }
            }
            Self::IsNull(side) => Expr::IsNull(side.expr().into()),
            Self::Not(condition) => Expr::Not(condition.expr().into()),
            Self::And(list) => Expr::And(all(list)),
            Self::Or(list) => Expr::Or(all(list)),
        }
    }

    /// Whether it holds for a row; `None` is SQL's null.
    fn holds(&self, row: RowValues) -> Option<bool> {
        let ordered = |left: Option<i64>, right: Option<i64>, holds: fn(&i64, &i64) -> bool| {
            Some(holds(&left?, &right?))
        };
        match self {
            Self::Compare(operator, left, right) => {
                let is_given_null = |side: &Side| matches!(side, Side::Given(None));
                let with_null = is_given_null(left) || is_given_null(right);
                let (left, right) = (left.value(row), right.value(row));
                match operator {
                    Comparison::Equal if with_null => Some(left == right),
                    Comparison::Equal => ordered(left, right, i64::eq),
                    Comparison::NotEqual => Some(left != right),
                    Comparison::Is => Some(left == right),
                    Comparison::Less => ordered(left, right, i64::lt),
                    Comparison::AtMost => ordered(left, right, i64::le),
                    Comparison::Greater => ordered(left, right, i64::gt),
                    _ => ordered(left, right, i64::ge),
                }
            }
            Self::In(side, list) => match side.value(row) {
                None if list.contains(&None) => Some(true),
                None if list.is_empty() => Some(false),
                None => None,
                // With a null in the list, SQL does not know of a value that is not found.
                value if list.contains(&value) => Some(true),
                _ if list.contains(&None) => None,
                _ => Some(false),
            },
            Self::Between(side, low, high) => {
                let value = side.value(row);
                let at_least = ordered(value, low.value(row), i64::ge);
                and(at_least, ordered(value, high.value(row), i64::le))
            }
            Self::IsNull(side) => Some(side.value(row).is_none()),
            Self::Not(condition) => Some(condition.holds(row) != Some(true)),
            Self::And(list) => {
                list.iter().map(|condition| condition.holds(row)).fold(Some(true), and)
            }
            Self::Or(list) => {
                let not = |value: Option<bool>| value.map(|holds| !holds);
                let none = list.iter().map(|condition| not(condition.holds(row)));
                not(none.fold(Some(true), and))
            }
        }
    }
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![
        Just(Side::Id),
        Just(Side::Count),
        Just(Side::Name),
        prop::option::weighted(0.8, 0..4_i64).prop_map(Side::Given),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let operator = prop::sample::select(vec![
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::Is,
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Greater,
        Comparison::AtLeast,
    ]);
    let leaf = prop_oneof![
        (operator, side(), side()).prop_map(|(operator, a, b)| Condition::Compare(operator, a, b)),
        (side(), prop::collection::vec(prop::option::of(0..4_i64), 0..4))
            .prop_map(|(side, list)| Condition::In(side, list)),
        (side(), side(), side()).prop_map(|(a, b, c)| Condition::Between(a, b, c)),
        side().prop_map(Condition::IsNull),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|condition| Condition::Not(condition.into())),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Condition::And),
            prop::collection::vec(inner, 0..4).prop_map(Condition::Or),
        ]
    })
}

/// Counters with every combination of small counts and names, null among them.
fn every_combination() -> (Connection, Vec<RowValues>) {
    let connection = database();
    let mut rows = Vec::new();
    for name in [None, Some(0), Some(1), Some(2)] {
        for count in 0..3 {
            let id = rows.len() as i64;
            // A name is unique, and as long as the number says.
            if name.is_none() || count == 0 {
                rows.push((id, count, name));
            }
        }
    }
    let counter = |(id, count, name): &RowValues| Counter {
        id: *id,
        name: name.map(|length| "x".repeat(length as usize)),
        count: *count,
    };
    insert(&connection, rows.iter().map(counter));
    (connection, rows)
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_condition_holds_for_exactly_the_rows_that_it_says(condition in condition()) {
        let (connection, rows) = every_combination();
        let mut select = Select::new(Source::table("counters"));
        select.columns = vec![Expr::Column(ast::Column::of("counters", "id")).into()];
        select.filter = Some(condition.expr());
        let query = DynSelect::new(select, &[Counter::definition().unwrap()]).unwrap();
        let (sql, binds) = query.compile().unwrap();
        prop_assert_eq!(binds.len(), sql.matches('?').count());
        let mut found: Vec<i64> =
            read(&connection, &query).iter().map(|row| row.get("id").unwrap()).collect();
        found.sort_unstable();
        let holds = |row: &&RowValues| condition.holds(**row) == Some(true);
        let expected: Vec<i64> = rows.iter().filter(holds).map(|row| row.0).collect();
        prop_assert_eq!(found, expected, "{}", sql);
    }

    #[test]
    fn a_condition_is_the_same_after_a_way_through_json(condition in condition()) {
        let expr = condition.expr();
        let json = serde_json::to_string(&expr).unwrap();
        prop_assert_eq!(serde_json::from_str::<Expr>(&json).unwrap(), expr);
    }
}
