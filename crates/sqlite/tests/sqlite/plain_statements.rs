//! Statements as plain data: from JSON, checked against definitions.

use livestore_sqlite::ast::{self, Expr, Select, Statement};
use livestore_sqlite::{
    ColumnType, Connection, DynSelect, Scope, StatementError, Table, TableDef, Value, Write,
};

use super::support::{Counter, Todo, counter, database, definitions, insert, read, todo};

fn select(json: &str) -> Result<DynSelect, StatementError> {
    let select: Select = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    DynSelect::new(select, &definitions())
}

fn rows(connection: &Connection, json: &str) -> Vec<Vec<Value>> {
    let query = select(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    read(connection, &query).iter().map(|row| row.values().to_vec()).collect()
}

fn statement(json: &str) -> Result<Write, StatementError> {
    let statement: Statement = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    Write::checked(&statement, &definitions())
}

fn write(connection: &Connection, json: &str) {
    let write = statement(json).unwrap_or_else(|error| panic!("{json}: {error}"));
    connection.write(Scope::Synced).execute(&write).unwrap_or_else(|error| panic!("{error}"));
}

fn filled() -> Connection {
    let connection = database();
    insert(&connection, [counter(1, "a", 10), counter(2, "b", 20), counter(3, "c", 30)]);
    insert(&connection, [Todo { due: Some(2), ..todo("a") }, todo("b")]);
    connection
}

#[test]
fn a_selection_from_json_has_the_power_of_the_builder() {
    let connection = filled();
    let json = r#"{
        "columns": [
            {"expr": {"column": {"of": "t", "name": "id"}}},
            {"expr": {"aggregate": {"function": "sum", "argument": {"column": {"name": "count"}}}},
             "name": "sum"}
        ],
        "from": {"table": "todos", "alias": "t"},
        "joins": [{"kind": "left", "source": {"table": "counters"}, "on": {"compare": {
            "operator": "at_least",
            "left": {"column": {"of": "counters", "name": "id"}},
            "right": {"column": {"name": "due"}}}}}],
        "filter": {"or": [
            {"in": {"expr": {"column": {"of": "t", "name": "id"}}, "list": [{"value": "a"}]}},
            {"not": {"exists": {"from": {"table": "edges"}}}}]},
        "group_by": [{"column": {"of": "t", "name": "id"}}],
        "having": {"compare": {"operator": "less", "left":
            {"aggregate": {"function": "count"}}, "right": {"value": 5}}},
        "order": [{"expr": {"column": {"of": "t", "name": "id"}}, "direction": "descending",
                   "nulls": "last", "collation": "no_case"}],
        "limit": 2
    }"#;
    let expected = vec![vec!["b".into(), Value::Null], vec!["a".into(), Value::Integer(50)]];
    assert_eq!(rows(&connection, json), expected);
    let query = select(json).unwrap();
    let columns: Vec<_> =
        query.columns().iter().map(|c| (c.name.as_deref(), c.column_type)).collect();
    assert_eq!(columns, [(Some("id"), Some(ColumnType::Text)), (Some("sum"), None)]);
}

#[test]
fn a_selection_without_columns_reads_all_of_all_tables() {
    let connection = filled();
    let query = select(r#"{"from": {"table": "counters"}, "offset": 2}"#).unwrap();
    let names: Vec<_> = query.columns().iter().filter_map(|c| c.name.as_deref()).collect();
    assert_eq!(names, ["id", "name", "count"]);
    let row = read(&connection, &query)[0].clone();
    assert_eq!(row.values(), [3.into(), "c".into(), 30.into()]);
}

#[test]
fn a_case_and_a_cast_come_from_json_as_well() {
    let connection = filled();
    let count = r#"{"column": {"name": "count"}}"#;
    let case = |condition: &str, otherwise: &str| {
        let text = format!(r#"{{"cast": {{"expr": {count}, "to": "text"}}}}"#);
        format!(
            r#"{{"from": {{"table": "counters"}}, "limit": 2, "columns": [{{"expr": {{"case": {{
                "whens": [{{"condition": {condition}, "value": {text}}}]{otherwise}}}}}}}]}}"#
        )
    };
    let less = format!(
        r#"{{"compare": {{"operator": "less", "left": {count}, "right": {{"value": 20}}}}}}"#
    );
    assert_eq!(rows(&connection, &case(&less, "")), [["10".into()], [Value::Null]]);
    let with = case(&less, r#", "otherwise": {"value": "many"}"#);
    assert_eq!(rows(&connection, &with), [["10".into()], ["many".into()]]);
    for wrong in [
        case(r#"{"column": {"name": "absent"}}"#, ""),
        case(&less, r#", "otherwise": {"column": {"name": "absent"}}"#),
    ] {
        assert!(matches!(select(&wrong), Err(StatementError::UnknownColumn { .. })), "{wrong}");
    }
}

#[test]
fn writes_from_json_insert_update_and_delete() {
    let connection = filled();
    write(
        &connection,
        r#"{"insert": {"table": "counters", "values": [
        {"column": "id", "value": {"value": 2}},
        {"column": "count", "value": {"value": 5}}],
        "conflict": {"columns": ["id"], "action": {"update": [{"column": "count", "value":
            {"calculate": {"operator": "add", "left": {"column": {"name": "count"}},
             "right": {"column": {"of": "excluded", "name": "count"}}}}}]}}}}"#,
    );
    write(
        &connection,
        r#"{"update": {"table": "counters", "set": [
        {"column": "name", "value": {"value": null}}],
        "filter": {"is_null": {"scalar": {"columns": [{"expr": {"column": {"name": "due"}}}],
            "from": {"table": "todos"},
            "filter": {"compare": {"operator": "equal",
                "left": {"column": {"of": "todos", "name": "due"}},
                "right": {"column": {"of": "counters", "name": "id"}}}}}}}}}"#,
    );
    write(
        &connection,
        r#"{"delete": {"table": "counters", "filter":
        {"between": {"expr": {"column": {"name": "id"}}, "low": {"value": 3}, "high": {"value": 9}}}}}"#,
    );
    let found = read(&connection, &Counter::select().order_by(Counter::id)).to_vec();
    assert_eq!(found, [Counter { id: 1, name: None, count: 10 }, counter(2, "b", 25)]);
}

#[test]
fn names_that_do_not_exist_are_refused_and_named() {
    let refused = |json: &str| select(json).unwrap_err().to_string();
    assert_eq!(
        refused(r#"{"from": {"table": "counter"}}"#),
        "there is no table \"counter\"; there are todos, counters, edges"
    );
    let filter = |filter: &str| {
        refused(&format!(r#"{{"from": {{"table": "counters"}}, "filter": {filter}}}"#))
    };
    assert_eq!(
        filter(r#"{"is_null": {"column": {"of": "counters", "name": "ID"}}}"#),
        "table counters has no column \"ID\"; it has id, name, count"
    );
    assert_eq!(
        filter(r#"{"is_null": {"column": {"name": "\" OR 1=1 --"}}}"#),
        "table counters has no column \"\\\" OR 1=1 --\"; it has id, name, count"
    );
    assert_eq!(
        filter(r#"{"is_null": {"column": {"of": "todos", "name": "id"}}}"#),
        "the statement has no table or alias \"todos\"; it has counters"
    );
    assert_eq!(
        filter(r#"{"aggregate": {"function": "count"}}"#),
        "count stands for many rows and cannot be used in a filter; use `having`, or a sub-query"
    );
    assert_eq!(
        filter(r#"{"call": {"function": "abs", "arguments": []}}"#),
        "abs cannot be called like this: it takes 1 to 1 arguments, not 0"
    );
    assert_eq!(
        filter(r#"{"scalar": {"from": {"table": "counters"}}}"#),
        "a sub-query that stands for a value gives 3 columns; select one"
    );
    let joined = |source: &str, on: &str| {
        refused(&format!(
            r#"{{"from": {{"table": "counters"}}, "joins":
                [{{"kind": "inner", "source": {source}, "on": {on}}}]}}"#
        ))
    };
    assert_eq!(
        joined(r#"{"table": "counters"}"#, r#"{"value": 1}"#),
        "the statement has two tables named counters; give one of them an alias"
    );
    assert_eq!(
        joined(r#"{"table": "todos"}"#, r#"{"is_null": {"column": {"name": "id"}}}"#),
        "the column id could be that of counters, todos; say of which table it is"
    );
    let alias = joined(r#"{"table": "todos", "alias": "t\" JOIN x"}"#, r#"{"value": 1}"#);
    assert!(alias.starts_with("\"t\\\" JOIN x\" cannot name a part of a statement"), "{alias}");
}

#[test]
fn writes_with_names_that_do_not_exist_are_refused() {
    let refused = |json: &str| statement(json).unwrap_err();
    assert_eq!(
        refused(r#"{"update": {"table": "counters", "set": []}}"#),
        StatementError::NothingToSet { table: "counters".into() }
    );
    let unknown = refused(r#"{"delete": {"table": "__livestore_log"}}"#);
    assert!(matches!(unknown, StatementError::UnknownTable { .. }));
    let excluded = r#"{"column": {"of": "excluded", "name": "id"}}"#;
    let outside = refused(&format!(r#"{{"delete": {{"table": "todos", "filter": {excluded}}}}}"#));
    assert!(matches!(outside, StatementError::UnknownSource { .. }));
    let in_values = refused(&format!(
        r#"{{"insert": {{"table": "todos", "values": [{{"column": "id", "value": {excluded}}}]}}}}"#
    ));
    assert!(matches!(in_values, StatementError::UnknownSource { .. }));
}

#[test]
fn words_that_nobody_knows_are_refused_when_they_are_read() {
    for json in [
        r#"{"from": {"table": "todos"}, "filtr": {"value": 1}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"random": []}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"call": {"function": "random", "arguments": []}}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"invalid": {"not_a_number": {"column": "a"}}}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"value": {"blob": "0"}}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"value": {"integer": "9223372036854775808"}}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"value": 9223372036854775808}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"value": {"real": "nan"}}}"#,
        r#"{"from": {"table": "todos"}, "filter": {"value": {"real": "1e400"}}}"#,
        r#"{"from": {"table": "todos"}, "limit": -1}"#,
    ] {
        assert!(serde_json::from_str::<Select>(json).is_err(), "{json}");
    }
}

#[test]
fn values_and_typed_queries_round_trip_through_json() {
    let values = [
        Value::Null,
        Value::Integer(i64::MIN),
        Value::Integer(1 << 53),
        Value::Integer(-7),
        Value::Real(1.0),
        Value::Real(f64::NEG_INFINITY),
        Value::Real(5e-324),
        Value::Text("{\"blob\": 1}".into()),
        Value::from(vec![0, 255, 16]),
    ];
    for value in values {
        let json = serde_json::to_string(&value).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value, "{json}");
    }
    assert_eq!(serde_json::from_str::<Value>("true").unwrap(), Value::Integer(1));
    // As JavaScript writes whole numbers that are no exact integers.
    for (text, real) in [("9007199254740993", 9_007_199_254_740_992.0), ("-1.5e+300", -1.5e300)] {
        let json = format!("{{\"real\": \"{text}\"}}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), Value::Real(real));
    }
    let typed = Todo::select()
        .join::<Counter>(Counter::name.eq(Todo::id).and(Counter::count.between(1, 25)))
        .filter(!Todo::due.is_in([Some(7), None]))
        .order_by(Counter::count.desc().nulls_last());
    let json = serde_json::to_string(&typed.clone().into_ast()).unwrap();
    let connection = filled();
    let same: Select = serde_json::from_str(&json).unwrap();
    assert_eq!(same, typed.clone().into_ast());
    let plain = read(&connection, &DynSelect::new(same, &definitions()).unwrap());
    assert_eq!(plain.len(), read(&connection, &typed).len());
    assert_eq!(plain[0].values()[0], "a".into());
}

#[test]
fn the_text_of_an_insert_is_that_of_the_constant_one() {
    let table: TableDef = Counter::definition().unwrap();
    let set =
        |column: &'static str| ast::Set { column: column.into(), value: Expr::Value(1.into()) };
    let values = ["id", "name", "count"].map(set).into();
    let insert = ast::Insert { table: "counters".into(), values, conflict: None };
    let write = Write::checked(&Statement::Insert(insert), &[table]).unwrap();
    let constant = Write::try_from(Counter::insert(counter(1, "a", 1))).unwrap();
    let text = |write: &Write| format!("{write:?}").split("binds").next().map(str::to_owned);
    let built = text(&write).unwrap().replace("Built", "Constant");
    assert_eq!(built, text(&constant).unwrap());
}
