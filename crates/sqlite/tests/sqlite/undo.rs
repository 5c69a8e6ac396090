//! Undo restores every row exactly, whatever happened to it, in synced and client tables alike.

use livestore_sqlite::{
    Connection, Json, Preimages, Scope, SqliteError, Table, TableDef, Write, params,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{
    Counter, Edge, Todo, cases, counter, database_of, definitions, dump, insert, todo, write,
    write_as,
};

/// A synced, a client and a synced table, in this order of their indexes.
fn tables() -> Vec<TableDef> {
    let rescope = |table: TableDef| match table.name() {
        Edge::NAME => table.with_scope(Scope::Client),
        _ => table,
    };
    definitions().into_iter().map(rescope).collect()
}

fn write_edges<W>(connection: &Connection, write: W) -> Result<(), SqliteError>
where
    W: TryInto<Write>,
    SqliteError: From<W::Error>,
{
    write_as(connection, Scope::Client, write)
}

/// One write; some are refused by a constraint, which is fine.
#[derive(Debug, Clone)]
enum Op {
    InsertCounter(Counter, Conflict),
    InsertEdge(Edge, Conflict),
    InsertTodo(String, bool, Conflict),
    MoveCounter(i64, i64),
    MoveEdge(String, i64),
    NameCounters(Option<String>, i64),
    FillEdges(Option<i64>, Option<f64>, Option<Vec<u8>>),
    DeleteCounter(i64),
    DeleteEdgesFrom(String),
    FinishTodos(Option<String>),
    /// Statements of which the builders have no like.
    Raw(&'static str, i64),
}

#[derive(Debug, Clone, Copy)]
enum Conflict {
    Fail,
    Ignore,
    Replace,
}

const RAW: [&str; 9] = [
    "UPDATE counters SET id = -id WHERE id <> ?",
    "UPDATE counters SET id = id + 10 * ?",
    "UPDATE OR REPLACE counters SET id = ? WHERE id < 3",
    "UPDATE OR REPLACE counters SET name = 'x' WHERE id > ?",
    "UPDATE OR IGNORE counters SET name = 'x', id = id + ?",
    "UPDATE edges SET target = 5 - target, source = source || ?",
    "UPDATE OR REPLACE edges SET target = ?, attributes = '[1]'",
    "DELETE FROM todos WHERE ? >= 0",
    "INSERT INTO counters (id, count) VALUES (?, 1) ON CONFLICT DO UPDATE SET count = count + 1",
];

fn small() -> impl Strategy<Value = i64> {
    -1..5_i64
}

fn word() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["", "a", "b", "x", "it's", "é\0"]).prop_map(String::from)
}

fn any_op() -> impl Strategy<Value = Op> {
    let conflict =
        || prop_oneof![Just(Conflict::Fail), Just(Conflict::Ignore), Just(Conflict::Replace)];
    let some = prop::option::of::<BoxedStrategy<String>>;
    let counters = (small(), some(word().boxed()), small()).prop_map(|(id, name, count)| Counter {
        id,
        name,
        count,
    });
    let reals = || prop::option::of(prop_oneof![any::<f64>(), Just(-0.0), Just(2.0)]);
    let reals = move || reals().prop_map(|real| real.filter(|real| !real.is_nan()));
    let blobs = || prop::option::of(vec(any::<u8>(), 0..3));
    let slots = || prop::option::of(small());
    let edges =
        (word(), small(), some(word().boxed()), slots(), reals(), blobs(), vec(small(), 0..3))
            .prop_map(|(source, target, label, slot, length, body, attributes)| Edge {
                source,
                target,
                label,
                slot,
                length,
                body,
                attributes: Json(attributes),
            });
    prop_oneof![
        3 => (counters, conflict()).prop_map(|(row, conflict)| Op::InsertCounter(row, conflict)),
        3 => (edges, conflict()).prop_map(|(row, conflict)| Op::InsertEdge(row, conflict)),
        2 => (word(), any::<bool>(), conflict()).prop_map(|(id, done, c)| Op::InsertTodo(id, done, c)),
        2 => (small(), small()).prop_map(|(from, to)| Op::MoveCounter(from, to)),
        2 => (word(), small()).prop_map(|(source, target)| Op::MoveEdge(source, target)),
        1 => (some(word().boxed()), small()).prop_map(|(name, from)| Op::NameCounters(name, from)),
        1 => (slots(), reals(), blobs()).prop_map(|(slot, length, b)| Op::FillEdges(slot, length, b)),
        1 => small().prop_map(Op::DeleteCounter),
        1 => word().prop_map(Op::DeleteEdgesFrom),
        1 => some(word().boxed()).prop_map(Op::FinishTodos),
        4 => (proptest::sample::select(RAW.to_vec()), small()).prop_map(|(sql, n)| Op::Raw(sql, n)),
    ]
}

fn insert_row<T: Table>(
    connection: &Connection,
    row: T,
    conflict: Conflict,
) -> Result<(), SqliteError> {
    let row = T::insert(row);
    let event = if T::NAME == Edge::NAME { Scope::Client } else { Scope::Synced };
    match conflict {
        Conflict::Fail => write_as(connection, event, row),
        Conflict::Ignore => write_as(connection, event, row.or_ignore()),
        Conflict::Replace => write_as(connection, event, row.or_replace()),
    }
}

fn run(connection: &Connection, op: Op) {
    let done = match op {
        Op::InsertCounter(row, conflict) => insert_row(connection, row, conflict),
        Op::InsertEdge(row, conflict) => insert_row(connection, row, conflict),
        Op::InsertTodo(id, done, conflict) => {
            insert_row(connection, Todo { done, ..todo(&id) }, conflict)
        }
        Op::MoveCounter(from, to) => {
            write(connection, Counter::update().set(Counter::id, to).filter(Counter::id.eq(from)))
        }
        Op::MoveEdge(source, target) => {
            let update = Edge::update().set(Edge::source, &source).set(Edge::target, target);
            write_edges(connection, update.filter(Edge::target.ge(target)))
        }
        Op::NameCounters(name, from) => {
            let update = Counter::update().set(Counter::name, name);
            write(connection, update.filter(Counter::id.ge(from)))
        }
        Op::FillEdges(slot, length, body) => {
            let update = Edge::update().set(Edge::length, length).set(Edge::body, body);
            write_edges(connection, update.set(Edge::slot, slot))
        }
        Op::DeleteCounter(id) => write(connection, Counter::delete().filter(Counter::id.eq(id))),
        Op::DeleteEdgesFrom(source) => {
            write_edges(connection, Edge::delete().filter(Edge::source.eq(source)))
        }
        Op::FinishTodos(note) => {
            write(connection, Todo::update().set(Todo::done, true).set(Todo::note, note))
        }
        Op::Raw(sql, n) => connection.system().execute(sql, params![n]).map(drop),
    };
    if let Err(error) = done {
        assert!(error.to_string().contains("constraint failed"), "{error}");
    }
}

fn run_all(connection: &Connection, ops: Vec<Op>) {
    for op in ops {
        run(connection, op);
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn undo_of_the_last_steps_restores_every_row(
        steps in vec(vec(any_op(), 0..8), 1..6), undone: prop::sample::Index, stored: bool,
    ) {
        let connection = database_of(tables());
        let undone = undone.index(steps.len() + 1);
        let kept = steps.len() - undone;
        let mut undo = Vec::new();
        let mut before = (dump(&connection), connection.state_hash().unwrap());
        for (index, step) in steps.into_iter().enumerate() {
            run_all(&connection, step);
            let changes = connection.take_changes();
            if index < kept {
                before = (dump(&connection), connection.state_hash().unwrap());
            } else if stored {
                undo.push(connection.decode_undo(&changes.encode()).unwrap());
            } else {
                undo.push(changes);
            }
        }
        let joined = Preimages::join(undo);
        let tables = connection.transaction(|| connection.undo(&joined)).unwrap();
        prop_assert_eq!(tables.tables(), &joined.tables());
        prop_assert_eq!(dump(&connection), before.0);
        prop_assert_eq!(connection.state_hash().unwrap(), before.1);
        prop_assert!(connection.take_changes().is_empty());
    }

    #[test]
    fn joining_steps_is_undoing_them_one_by_one(steps in vec(vec(any_op(), 0..6), 0..5)) {
        let connection = database_of(tables());
        let mut undo = Vec::new();
        for step in steps {
            run_all(&connection, step);
            undo.push(connection.take_changes());
        }
        for step in undo.into_iter().rev() {
            connection.undo(&step).unwrap();
        }
        prop_assert!(dump(&connection).iter().all(Vec::is_empty));
    }

    #[test]
    fn undo_data_round_trips_through_bytes(ops in vec(any_op(), 0..20)) {
        let connection = database_of(tables());
        run_all(&connection, ops);
        let changes = connection.take_changes();
        prop_assert_eq!(connection.decode_undo(&changes.encode()).unwrap(), changes);
    }

    #[test]
    fn changed_tables_are_no_fewer_than_those_whose_rows_differ(
        before in vec(any_op(), 0..10), ops in vec(any_op(), 0..4),
    ) {
        let connection = database_of(tables());
        run_all(&connection, before);
        connection.take_changes();
        let before = dump(&connection);
        run_all(&connection, ops);
        let after = dump(&connection);
        let changed: Vec<_> = connection.take_changes().tables().iter().collect();
        for table in 0..3 {
            prop_assert!(before[table] == after[table] || changed.contains(&table));
        }
    }
}

#[test]
fn a_row_displaced_through_a_unique_column_comes_back() {
    let connection = database_of(definitions());
    insert(&connection, [counter(1, "a", 1), counter(2, "b", 2)]);
    let before = dump(&connection);
    connection.take_changes();
    write(&connection, Counter::insert(counter(3, "a", 3)).or_replace()).unwrap();
    connection.undo(&connection.take_changes()).unwrap();
    assert_eq!(dump(&connection), before);
}

#[test]
fn rows_that_swapped_their_keys_swap_back() {
    let connection = database_of(definitions());
    insert(&connection, [counter(1, "a", 1), counter(2, "b", 2)]);
    let before = dump(&connection);
    connection.take_changes();
    let mut undo = Vec::new();
    for (from, to) in [(1, 9), (2, 1), (9, 2)] {
        let update = Counter::update().set(Counter::id, to).filter(Counter::id.eq(from));
        write(&connection, update).unwrap();
        undo.push(connection.take_changes());
    }
    connection.undo(&Preimages::join(undo)).unwrap();
    assert_eq!(dump(&connection), before);
}

#[test]
fn a_row_that_came_and_went_is_not_there_after_undo() {
    let connection = database_of(definitions());
    insert(&connection, [todo("a")]);
    write(&connection, Todo::delete()).unwrap();
    insert(&connection, [Todo { done: true, ..todo("a") }]);
    connection.undo(&connection.take_changes()).unwrap();
    assert!(dump(&connection).iter().all(Vec::is_empty));
}

#[test]
fn undo_of_nothing_does_nothing() {
    let connection = database_of(definitions());
    insert(&connection, [todo("a")]);
    let before = dump(&connection);
    assert!(Preimages::join([]).is_empty());
    assert!(connection.undo(&Preimages::default()).unwrap().is_empty());
    assert_eq!(
        connection.decode_undo(&Preimages::default().encode()).unwrap(),
        Preimages::default()
    );
    assert_eq!(dump(&connection), before);
}

#[test]
fn undo_that_fails_in_a_transaction_changes_nothing() {
    let connection = database_of(definitions());
    insert(&connection, [counter(1, "a", 1)]);
    connection.take_changes();
    write(&connection, Counter::delete()).unwrap();
    let undo = connection.take_changes();
    // Somebody else has taken the name meanwhile, which undo in the right order never meets.
    insert(&connection, [counter(2, "a", 2)]);
    let before = dump(&connection);
    assert!(connection.transaction(|| connection.undo(&undo)).is_err());
    assert_eq!(dump(&connection), before);
}
