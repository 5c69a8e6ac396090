//! Random schemas, writes and queries, made to meet: few names, few values, and all that compares in
//! an unusual way among them.

use std::borrow::Cow;

use livestore::ast::{
    Aggregate, AggregateFunction, Arithmetic, Collation, Column, Comparison, Conflict,
    ConflictAction, Delete, Direction, Expr, Function, Insert, Join, JoinKind, Nulls, Order,
    Output, Select, Set, Source, Statement, Update, When,
};
use livestore::{Action, ColumnDef, ColumnType, Generated, IndexDef, Scope, TableDef, Value};
use proptest::prelude::*;
use proptest::sample::select;

/// How the tables look.
#[derive(Debug, Clone)]
pub struct Shape {
    /// The key of `t`: an integer, a text, or a text and an integer.
    key: u8,
    generated: bool,
    indexes: [bool; 3],
    /// What happens to rows of `u` that refer to a row of `t` which goes.
    on_delete: Option<Action>,
}

pub fn shape() -> impl Strategy<Value = Shape> {
    let action = select(vec![None, Some(Action::Cascade), Some(Action::SetNull)]);
    (0..3_u8, any::<bool>(), any::<[bool; 3]>(), action).prop_map(
        |(key, generated, indexes, on_delete)| Shape { key, generated, indexes, on_delete },
    )
}

const COLUMNS: [(&str, ColumnType); 5] = [
    ("n", ColumnType::Integer),
    ("r", ColumnType::Real),
    ("s", ColumnType::Text),
    ("b", ColumnType::Blob),
    ("f", ColumnType::Boolean),
];

/// The tables: `t` and `u`, which are synced and can refer to each other, and `m`, in memory.
pub fn tables(shape: &Shape) -> Vec<TableDef> {
    let plain = || {
        COLUMNS.iter().map(|(name, kind)| match name {
            &"f" => ColumnDef::new(*name, *kind).default(false),
            _ => ColumnDef::new(*name, *kind).nullable(),
        })
    };
    let key = |name: &str, kind| ColumnDef::new(name, kind).primary_key();
    let keys = match shape.key {
        0 => vec![key("id", ColumnType::Integer)],
        1 => vec![key("id", ColumnType::Text)],
        _ => vec![key("id", ColumnType::Text), key("k", ColumnType::Integer)],
    };
    let generated = shape.generated.then(|| {
        let column = ColumnDef::new("g", ColumnType::Text).nullable();
        column.generated("lower(s) || n", Generated::Virtual)
    });
    let mut t = TableDef::new("t", keys.into_iter().chain(plain()).chain(generated)).unwrap();
    if shape.indexes[0] {
        t = t.index(IndexDef::new("t_n", ["n"]));
    }
    if shape.indexes[1] {
        t = t.index(IndexDef::new("t_s", ["s", "f"]));
    }
    let key_type = if shape.key == 0 { ColumnType::Integer } else { ColumnType::Text };
    let of = ColumnDef::new("t", key_type).nullable();
    let of = match shape.on_delete {
        Some(action) if shape.key < 2 => of.references("t", "id").on_delete(action),
        _ => of,
    };
    let u = [key("id", ColumnType::Integer), of].into_iter().chain(plain());
    let m = [key("id", ColumnType::Integer)].into_iter().chain(plain());
    let m = TableDef::new("m", m).unwrap().with_scope(Scope::Memory);
    let mut u = TableDef::new("u", u).unwrap();
    if shape.indexes[2] {
        u = u.index(IndexDef::new("u_t", ["t"]));
    }
    vec![t, u, m]
}

/// What a table is called that is joined to itself.
const AGAIN: &str = "t2";

fn column_names(shape: &Shape, table: &str) -> Vec<&'static str> {
    let table = if table == AGAIN { "t" } else { table };
    let mut names: Vec<_> = COLUMNS.iter().map(|(name, _)| *name).collect();
    names.push("id");
    match table {
        "t" if shape.key == 2 => names.push("k"),
        "u" => names.push("t"),
        _ => {}
    }
    if table == "t" && shape.generated {
        names.push("g");
    }
    names
}

fn kind_of(shape: &Shape, table: &str, column: &str) -> ColumnType {
    let plain = COLUMNS.iter().find(|(name, _)| *name == column);
    let table = if table == AGAIN { "t" } else { table };
    match (table, column) {
        _ if plain.is_some() => plain.unwrap().1,
        ("t", "id") | ("u", "t") if shape.key > 0 => ColumnType::Text,
        (_, "g") => ColumnType::Text,
        _ => ColumnType::Integer,
    }
}

fn value_of(kind: ColumnType) -> BoxedStrategy<Value> {
    match kind {
        ColumnType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        ColumnType::Integer => {
            let great = vec![i64::MAX, i64::MIN, i64::MIN, (1 << 53) + 1, 1 << 53];
            prop_oneof![2 => -1..4_i64, 1 => select(great)].prop_map(Value::from).boxed()
        }
        ColumnType::Real => {
            let reals = vec![-1.5, -0.0, 0.0, 0.5, 1.0, 2.0, 9_007_199_254_740_992.0, 1e300];
            select(reals).prop_map(Value::from).boxed()
        }
        ColumnType::Blob => {
            let blobs: Vec<&[u8]> = vec![b"", b"a", b"A", &[0], &[255]];
            select(blobs).prop_map(Value::from).boxed()
        }
        _ => {
            let texts = vec!["", "a", "A", "b", "ab", "aB%", "a ", "ä", "1", "a\0b", "b_"];
            select(texts).prop_map(Value::from).boxed()
        }
    }
}

fn nullable(kind: ColumnType) -> BoxedStrategy<Value> {
    prop_oneof![4 => value_of(kind), 1 => Just(Value::Null)].boxed()
}

fn any_value() -> BoxedStrategy<Value> {
    let kinds = vec![ColumnType::Integer, ColumnType::Real, ColumnType::Text, ColumnType::Blob];
    select(kinds).prop_flat_map(nullable).boxed()
}

/// A value that a column of a kind is mostly compared with: of its kind.
fn compared_with(kind: ColumnType) -> BoxedStrategy<Value> {
    prop_oneof![8 => value_of(kind), 1 => any_value()].boxed()
}

fn named(of: &str, name: &str) -> Expr {
    Expr::Column(Column::of(of.to_owned(), name.to_owned()))
}

/// A column of a table of a query, with what it holds.
fn column(shape: &Shape, tables: &[&'static str]) -> BoxedStrategy<(Expr, ColumnType)> {
    let all: Vec<_> = tables
        .iter()
        .flat_map(|table| column_names(shape, table).into_iter().map(move |name| (*table, name)))
        .collect();
    let shape = shape.clone();
    select(all)
        .prop_map(move |(table, name)| (named(table, name), kind_of(&shape, table, name)))
        .boxed()
}

fn comparison() -> impl Strategy<Value = Comparison> {
    use Comparison::{AtLeast, AtMost, Equal, Glob, Greater, Is, Less, Like, NotEqual};
    prop_oneof![
        5 => Just(Equal),
        4 => select(vec![Is, NotEqual, Less, AtMost, Greater, AtLeast]),
        1 => select(vec![Like, Glob]),
    ]
}

fn pattern() -> impl Strategy<Value = Value> {
    select(vec!["a%", "A%", "%", "b_", "a*", "A?", "", "ä%", "ab", "[ab]*"]).prop_map(Value::from)
}

fn collation() -> impl Strategy<Value = Collation> {
    select(vec![Collation::Binary, Collation::NoCase, Collation::RTrim])
}

/// A condition of one comparison.
fn atom(shape: &Shape, tables: &[&'static str]) -> BoxedStrategy<Expr> {
    let columns = column(shape, tables);
    let compare = |operator, left: Expr, right: Expr| Expr::Compare {
        operator,
        left: left.into(),
        right: right.into(),
    };
    let compared = (columns.clone(), comparison(), any::<bool>()).prop_flat_map(
        move |((column, kind), operator, flipped)| {
            let value = match operator {
                Comparison::Like | Comparison::Glob => pattern().boxed(),
                _ => prop_oneof![9 => compared_with(kind), 1 => Just(Value::Null)].boxed(),
            };
            value.prop_map(move |value| {
                let value = Expr::Value(value);
                if flipped {
                    compare(operator, value, column.clone())
                } else {
                    compare(operator, column.clone(), value)
                }
            })
        },
    );
    let listed = columns.clone().prop_flat_map(|(column, kind)| {
        let value = prop_oneof![9 => compared_with(kind), 1 => Just(Value::Null)];
        prop::collection::vec(value.prop_map(Expr::Value), 0..4)
            .prop_map(move |list| Expr::In { expr: column.clone().into(), list })
    });
    let between = columns.clone().prop_flat_map(|(column, kind)| {
        (nullable(kind), nullable(kind)).prop_map(move |(low, high)| Expr::Between {
            expr: column.clone().into(),
            low: Expr::Value(low).into(),
            high: Expr::Value(high).into(),
        })
    });
    let of_columns = (columns.clone(), comparison(), columns.clone())
        .prop_map(move |((left, _), operator, (right, _))| compare(operator, left, right));
    let collated = (columns.clone(), collation(), value_of(ColumnType::Text)).prop_map(
        move |((column, _), collation, value)| {
            let column = Expr::Collate { expr: column.into(), collation };
            compare(Comparison::Equal, column, Expr::Value(value))
        },
    );
    let calculated = (columns.clone(), -1..4_i64).prop_map(move |((column, _), number)| {
        let sum = Expr::Calculate {
            operator: Arithmetic::Remainder,
            left: column.into(),
            right: Expr::Value(2.into()).into(),
        };
        compare(Comparison::Equal, sum, Expr::Value(number.into()))
    });
    prop_oneof![
        10 => compared,
        3 => listed,
        2 => between,
        2 => columns.clone().prop_map(|(column, _)| Expr::IsNull(column.into())),
        2 => columns.prop_map(|(column, _)| column),
        2 => of_columns,
        1 => collated,
        1 => calculated,
    ]
    .boxed()
}

/// A condition.
pub fn condition(shape: &Shape, tables: &[&'static str]) -> BoxedStrategy<Expr> {
    atom(shape, tables)
        .prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Expr::And),
                2 => prop::collection::vec(inner.clone(), 0..3).prop_map(Expr::Or),
                1 => inner.prop_map(|one| Expr::Not(one.into())),
            ]
        })
        .boxed()
}

/// A sub-query that tells whether there is a row of another table.
fn exists(shape: &Shape) -> BoxedStrategy<Expr> {
    condition(shape, &["m"])
        .prop_map(|filter| {
            let mut inner = Select::new(Source::table("m"));
            inner.columns = vec![Expr::Value(1.into()).into()];
            inner.filter = Some(filter);
            Expr::Exists(inner.into())
        })
        .boxed()
}

fn order(shape: &Shape, tables: &[&'static str]) -> impl Strategy<Value = Order> + use<> {
    let plain = column(shape, tables).prop_map(|(column, _)| column);
    let folded = column(shape, tables)
        .prop_map(|(column, _)| Expr::Call { function: Function::Lower, arguments: vec![column] });
    let collated = (column(shape, tables), collation())
        .prop_map(|((column, _), collation)| Expr::Collate { expr: column.into(), collation });
    let expr = prop_oneof![6 => plain, 1 => folded, 1 => collated];
    let nulls = select(vec![None, None, Some(Nulls::First), Some(Nulls::Last)]);
    let collation = prop_oneof![3 => Just(None), 1 => collation().prop_map(Some)];
    (expr, any::<bool>(), nulls, collation).prop_map(|(expr, descending, nulls, collation)| {
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        Order { nulls, collation, ..Order::new(expr, direction) }
    })
}

/// Some or all columns, or expressions over them.
fn outputs(shape: &Shape, tables: &[&'static str]) -> impl Strategy<Value = Vec<Output>> + use<> {
    let plain = column(shape, tables).prop_map(|(column, _)| column.into());
    // The least integer has no absolute value: a row that cannot be read.
    let functions = select(vec![Function::Upper, Function::Abs, Function::Abs]);
    let called = (column(shape, tables), functions).prop_map(|((column, _), function)| {
        let called = Expr::Call { function, arguments: vec![column] };
        Output { expr: called, name: Some("up".into()) }
    });
    // What the rows of another table have to do with it does not make those rows of this one.
    let elsewhere = exists(shape).prop_map(|expr| Output { expr, name: Some("there".into()) });
    let some = prop::collection::vec(prop_oneof![8 => plain, 4 => called, 1 => elsewhere], 1..4);
    prop_oneof![1 => Just(Vec::new()), 1 => some]
}

type Window = (Option<u32>, u32);

fn window() -> impl Strategy<Value = Window> {
    prop_oneof![
        3 => Just((None, 0)),
        2 => (0..4_u32).prop_map(|limit| (Some(limit), 0)),
        1 => (prop::option::of(0..3_u32), 0..3_u32),
    ]
}

/// A selection of one table.
fn of_one_table(shape: &Shape) -> BoxedStrategy<Select> {
    let shape = shape.clone();
    select(vec!["t", "t", "u", "m"])
        .prop_flat_map(move |table| {
            let plain = condition(&shape, &[table]);
            let with_exists = (condition(&shape, &[table]), exists(&shape))
                .prop_map(|(filter, exists)| Expr::Or(vec![filter, exists]));
            let filter = prop_oneof![
                1 => Just(None),
                5 => plain.prop_map(Some),
                1 => with_exists.prop_map(Some),
            ];
            let order = prop::collection::vec(order(&shape, &[table]), 0..3);
            let flags = [0.2, 0.1, 0.1].map(prop::bool::weighted);
            (filter, order, outputs(&shape, &[table]), window(), flags).prop_map(
                move |(filter, order, columns, (limit, offset), [distinct, names, unqualified])| {
                    let of = Select::new(Source::table(table));
                    let select = Select { filter, order, columns, limit, offset, distinct, ..of };
                    vague(select, names, unqualified)
                },
            )
        })
        .boxed()
}

/// A join of two or three tables, mostly by a key.
pub fn of_several_tables(shape: &Shape) -> BoxedStrategy<Select> {
    let shape = shape.clone();
    let tables = vec![("t", "u"), ("t", "u"), ("u", "t"), ("u", "t"), ("t", AGAIN), (AGAIN, "t")];
    let third = prop::bool::weighted(0.2);
    (select(tables), third)
        .prop_flat_map(move |((first, second), third)| {
            let mut tables = vec![first, second];
            let (left, right) = if tables.contains(&"u") {
                (named("u", "t"), named("t", "id"))
            } else {
                (named("t", "n"), named(AGAIN, "n"))
            };
            let operator = Comparison::Equal;
            let by_key = Expr::Compare { operator, left: left.into(), right: right.into() };
            let mut joins = vec![joined(&shape, &tables, Some(by_key))];
            if third {
                tables.push("m");
                joins.push(joined(&shape, &tables, None));
            }
            let filter = prop::option::of(condition(&shape, &tables));
            let order = prop::collection::vec(order(&shape, &tables), 0..2);
            let distinct = prop::bool::weighted(0.1);
            (joins, filter, order, outputs(&shape, &tables), (window(), distinct)).prop_map(
                move |(joins, filter, order, columns, ((limit, offset), distinct))| Select {
                    distinct,
                    joins,
                    filter,
                    order,
                    columns,
                    limit,
                    offset,
                    ..Select::new(source(first))
                },
            )
        })
        .boxed()
}

fn source(name: &'static str) -> Source {
    if name == AGAIN {
        Source { alias: Some(name.into()), ..Source::table("t") }
    } else {
        Source::table(name)
    }
}

/// The join of the last of these tables, mostly by a condition that it was given.
fn joined(shape: &Shape, tables: &[&'static str], by: Option<Expr>) -> BoxedStrategy<Join> {
    let any = condition(shape, tables);
    let on = match by {
        None => any,
        Some(by) => {
            let more = by.clone();
            let with_more = any.clone().prop_map(move |any| Expr::And(vec![more.clone(), any]));
            prop_oneof![2 => Just(by), 1 => with_more, 1 => any].boxed()
        }
    };
    let source = source(tables[tables.len() - 1]);
    (select(vec![JoinKind::Inner, JoinKind::Left]), on)
        .prop_map(move |(kind, on)| Join { kind, source: source.clone(), on })
        .boxed()
}

/// What groups have in common: mostly a column.
fn group_key(shape: &Shape, table: &'static str) -> BoxedStrategy<Expr> {
    let columns = || column(shape, &[table]).prop_map(|(column, _)| column);
    let calculated = columns().prop_map(|column| Expr::Calculate {
        operator: Arithmetic::Remainder,
        left: column.into(),
        right: Expr::Value(2.into()).into(),
    });
    let folded =
        columns().prop_map(|s| Expr::Call { function: Function::Lower, arguments: vec![s] });
    let collated = (columns(), collation())
        .prop_map(|(column, collation)| Expr::Collate { expr: column.into(), collation });
    let chosen = (condition(shape, &[table]), columns()).prop_map(|(condition, otherwise)| {
        let whens = vec![When { condition, value: Expr::Value(1.into()) }];
        Expr::Case { whens, otherwise: Some(otherwise.into()) }
    });
    let wrapped = columns().prop_map(|column| Expr::And(vec![column]));
    prop_oneof![
        8 => columns(),
        1 => calculated,
        1 => folded,
        1 => collated,
        1 => chosen,
        1 => wrapped,
        1 => select(vec![Expr::And(Vec::new()), Expr::Or(Vec::new()), Expr::Value(2.into())]),
    ]
    .boxed()
}

/// A function of the rows of a group.
fn aggregate(shape: &Shape, table: &'static str) -> BoxedStrategy<Expr> {
    use AggregateFunction::{Avg, Count, GroupConcat, Max, Min, Sum, Total};
    let columns = || column(shape, &[table]).prop_map(|(column, _)| column);
    let chosen = condition(shape, &[table]).prop_map(|condition| Expr::Case {
        whens: vec![When { condition, value: Expr::Value(1.into()) }],
        otherwise: Some(Expr::Value(0.into()).into()),
    });
    let doubled = columns().prop_map(|column| Expr::Calculate {
        operator: Arithmetic::Multiply,
        left: column.into(),
        right: Expr::Value(2.into()).into(),
    });
    let integers = prop_oneof![3 => Just(named(table, "n")), 1 => Just(named(table, "f"))];
    let anything = prop_oneof![4 => columns(), 1 => chosen.clone(), 1 => doubled];
    let summed = (select(vec![Sum, Total, Avg]), prop_oneof![4 => integers, 1 => chosen]);
    let of_anything = (select(vec![Avg, Count, GroupConcat, Max, Min, Sum, Total]), anything);
    let function = |function, argument: Option<Expr>, distinct| {
        let argument = argument.map(Box::new);
        Expr::Aggregate(Aggregate { function, argument, distinct, separator: None })
    };
    prop_oneof![
        1 => Just(function(Count, None, false)),
        3 => (summed, prop::bool::weighted(0.1))
            .prop_map(move |((name, of), distinct)| function(name, Some(of), distinct)),
        2 => (select(vec![Min, Max, Count]), columns(), prop::bool::weighted(0.3))
            .prop_map(move |(name, of, distinct)| function(name, Some(of), distinct)),
        1 => (of_anything, prop::bool::weighted(0.2))
            .prop_map(move |((name, of), distinct)| function(name, Some(of), distinct)),
    ]
    .boxed()
}

fn of_groups(shape: &Shape) -> BoxedStrategy<Select> {
    let shape = shape.clone();
    select(vec!["t", "t", "u", "m"]).prop_flat_map(move |table| groups_of(&shape, table)).boxed()
}

/// A selection of groups of a table.
pub fn groups_of(shape: &Shape, table: &'static str) -> BoxedStrategy<Select> {
    let keys = prop::collection::vec(group_key(shape, table), 0..3);
    let aggregates = prop::collection::vec(aggregate(shape, table), 1..4);
    let filter = prop::option::of(condition(shape, &[table]));
    let index = any::<prop::sample::Index>;
    let number = (-1..3_i64).prop_map(Value::from);
    let value = prop_oneof![3 => number, 1 => any_value(), 1 => Just("1".into())];
    let compared = prop::option::weighted(0.3, (index(), comparison(), value));
    let orders = prop::collection::vec((index(), any::<bool>()), 0..3);
    // A value of some row of the group, which nobody can foretell.
    let bare = prop::option::weighted(0.05, column(shape, &[table]));
    let flags = [0.5, 0.1, 0.1].map(prop::bool::weighted);
    (keys, aggregates, filter, compared, (orders, window(), bare, flags))
        .prop_map(move |(group_by, aggregates, filter, compared, (orders, window, bare, flags))| {
            let [sums, names, unqualified] = flags;
            let mut exprs: Vec<Expr> = group_by.iter().chain(&aggregates).cloned().collect();
            let having = compared.map(|(index, operator, value)| Expr::Compare {
                operator,
                left: exprs[index.index(exprs.len())].clone().into(),
                right: Expr::Value(value).into(),
            });
            if sums {
                let sum = |left: Expr, right: &Expr| Expr::Calculate {
                    operator: Arithmetic::Add,
                    left: left.into(),
                    right: right.clone().into(),
                };
                exprs.push(sum(exprs[0].clone(), &exprs[exprs.len() - 1]));
            }
            let order = orders.into_iter().map(|(index, descending)| {
                let direction =
                    if descending { Direction::Descending } else { Direction::Ascending };
                Order::new(exprs[index.index(exprs.len())].clone(), direction)
            });
            let order = order.collect();
            // In a group of one row, that row's.
            if let Some((column, _)) = bare {
                exprs.push(column);
            }
            let (limit, offset) = window;
            let columns = exprs.into_iter().map(Output::from).collect();
            let of = Select::new(Source::table(table));
            let select = Select { columns, filter, group_by, having, order, limit, offset, ..of };
            vague(select, names, unqualified)
        })
        .boxed()
}

/// Texts that no builder writes.
const TEXTS: [&str; 14] = [
    "SELECT count(*) FROM t",
    "SELECT EXISTS (SELECT 1 FROM u)",
    "SELECT n, count(*) OVER (PARTITION BY f) FROM t ORDER BY id, n",
    "WITH some AS (SELECT * FROM t WHERE n > 0) SELECT s FROM some ORDER BY s, id",
    "WITH RECURSIVE up(x) AS (SELECT min(n) FROM u UNION SELECT x + 1 FROM up WHERE x BETWEEN -2 AND 3) SELECT * FROM up",
    "SELECT t.f FROM t JOIN u USING (n) ORDER BY t.id, u.id",
    "SELECT s FROM u NATURAL JOIN m ORDER BY u.id",
    "SELECT u.s, t.s FROM u FULL JOIN t ON u.n = t.n ORDER BY 1, 2",
    "SELECT s FROM t UNION SELECT s FROM m ORDER BY 1",
    "SELECT (SELECT max(r) FROM m WHERE m.n = t.n) FROM t ORDER BY id",
    "SELECT f FROM t WHERE s = 'a' COLLATE NOCASE ORDER BY id",
    "SELECT sum(n) FROM u WHERE n BETWEEN -10 AND 10",
    "SELECT id FROM t WHERE n IN (SELECT n FROM u) ORDER BY id",
    "SELECT typeof(r), quote(b) FROM t ORDER BY r, id",
];

/// A query.
#[derive(Debug, Clone)]
pub enum Asked {
    Rows(Select),
    Count(Select),
    Text(&'static str),
}

pub fn query(shape: &Shape) -> BoxedStrategy<Asked> {
    prop_oneof![
        8 => of_one_table(shape).prop_map(Asked::Rows),
        4 => of_one_table(shape).prop_map(Asked::Count),
        4 => of_several_tables(shape).prop_map(Asked::Rows),
        6 => of_groups(shape).prop_map(Asked::Rows),
        3 => select(TEXTS.to_vec()).prop_map(Asked::Text),
    ]
    .boxed()
}

/// Many rows of a table, each with another key and the values of few.
pub fn many_rows(shape: &Shape, table: &'static str) -> Vec<Statement> {
    let value = |name: &str, row: i64| match (name, kind_of(shape, table, name)) {
        ("id" | "t", ColumnType::Integer) => (row + 10).into(),
        ("id" | "t", _) => format!("x{row:02}").into(),
        (_, ColumnType::Boolean | ColumnType::Integer) => (row % 2).into(),
        (_, ColumnType::Real) => ((row % 3) as f64).into(),
        (_, ColumnType::Blob) => vec![u8::try_from(row % 4).unwrap()].into(),
        _ => ["a", "A", "b", "ä"][usize::try_from(row % 4).unwrap()].into(),
    };
    let insert = |row| {
        let written = column_names(shape, table).into_iter().filter(|name| *name != "g");
        let set = |name| Set { column: Cow::Borrowed(name), value: Expr::Value(value(name, row)) };
        let values = written.map(set).collect();
        let action = ConflictAction::Replace;
        let conflict = Some(Conflict { columns: Vec::new(), action });
        Statement::Insert(Insert { table: table.into(), values, conflict })
    };
    (0..48).map(insert).collect()
}

/// Says less than it could: leaves out the tables of columns, and gives results the names of columns.
fn vague(select: Select, names: bool, unqualified: bool) -> Select {
    let mut select = select;
    if names {
        for (output, name) in select.columns.iter_mut().zip(["s", "n", "r", "id"]) {
            output.name = Some(name.into());
        }
    }
    if !unqualified {
        return select;
    }
    let mut json = serde_json::to_value(select).unwrap();
    leave_out_tables(&mut json);
    serde_json::from_value(json).unwrap()
}

fn leave_out_tables(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Object(column)) = object.get_mut("column") {
                column.remove("of");
            }
            object.values_mut().for_each(leave_out_tables);
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(leave_out_tables),
        _ => {}
    }
}

/// Writes of one event, to the synced tables or to that in memory.
pub fn writes(shape: &Shape, in_memory: bool) -> BoxedStrategy<Vec<Statement>> {
    writes_to(shape, if in_memory { vec!["m"] } else { vec!["t", "t", "u"] })
}

/// Writes of one event, to one of these tables each.
pub fn writes_to(shape: &Shape, tables: Vec<&'static str>) -> BoxedStrategy<Vec<Statement>> {
    let shape = shape.clone();
    let one = select(tables).prop_flat_map(move |table| {
        let written = column_names(&shape, table).into_iter().filter(|name| *name != "g");
        let sets: Vec<_> = written
            .map(|name| {
                let kind = kind_of(&shape, table, name);
                let is_needed = matches!(name, "id" | "k" | "f");
                let value = if is_needed { value_of(kind) } else { nullable(kind) };
                value.prop_map(move |value| Set { column: name.into(), value: Expr::Value(value) })
            })
            .collect();
        let replace = Conflict { columns: Vec::new(), action: ConflictAction::Replace };
        let ignore = Conflict { columns: Vec::new(), action: ConflictAction::Ignore };
        let conflict = prop_oneof![3 => Just(Some(replace)), 1 => Just(Some(ignore))];
        let insert = (sets.clone(), conflict).prop_map(move |(values, conflict)| {
            Statement::Insert(Insert { table: table.into(), values, conflict })
        });
        let set = select(sets).prop_flat_map(|set| set);
        let update = (set, prop::option::weighted(0.9, condition(&shape, &[table]))).prop_map(
            move |(set, filter)| {
                Statement::Update(Update { table: table.into(), set: vec![set], filter })
            },
        );
        let delete = condition(&shape, &[table]).prop_map(move |filter| {
            Statement::Delete(Delete { table: table.into(), filter: Some(filter) })
        });
        prop_oneof![5 => insert, 3 => update, 1 => delete]
    });
    prop::collection::vec(one, 1..4).boxed()
}
