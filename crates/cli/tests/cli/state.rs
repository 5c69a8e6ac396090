//! `livestore state`: reading the state of a store.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{ColumnDef, ColumnType, EventKind, TableDef, TableWrite, Value};

use crate::{filled, livestore, schema, text};

/// Never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";

fn state(folder: &Path, arguments: &[&str]) -> Output {
    let folder = folder.to_str().unwrap();
    livestore(&[&["state", folder], arguments].concat())
}

fn out(folder: &Path, arguments: &[&str]) -> String {
    let output = state(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

/// One row of each kind of value, and one of what is hard to print.
fn values(folder: &Path) {
    let columns = [
        ColumnDef::new("id", ColumnType::Integer).primary_key(),
        ColumnDef::new("text", ColumnType::Text).nullable(),
        ColumnDef::new("real", ColumnType::Real).nullable(),
        ColumnDef::new("blob", ColumnType::Blob).nullable(),
    ];
    let table = TableDef::new("things", columns).unwrap();
    let rows = [
        [
            Value::from(1),
            Value::from("two, \"three\""),
            Value::from(2.0),
            Value::from(vec![0, 255]),
        ],
        [Value::from(20), Value::from("line\nline\u{1b}[31m"), Value::from(-0.5), Value::Null],
        [Value::from(i64::MIN), Value::from(""), Value::Null, Value::from(Vec::new())],
        [Value::from(4), Value::Null, Value::from(f64::INFINITY), Value::Null],
    ];
    let known = table.clone();
    let insert = move |row: [Value; 4]| {
        let names = ["id", "text", "real", "blob"].map(String::from);
        TableWrite::insert(&known, names.into_iter().zip(row))
    };
    let schema = Schema::builder()
        .table_def(table)
        .event_json("v1.Filled", EventKind::Synced, move |_, _| {
            rows.clone().map(&insert).into_iter().collect::<Result<Vec<_>, _>>()
        })
        .build()
        .unwrap();
    let store = Store::open(schema, "things", FileAdapter::new(folder)).unwrap();
    store.commit(livestore::NewEvent::new("v1.Filled", &()).unwrap()).unwrap();
}

#[test]
fn a_table_has_names_nulls_and_blobs_and_cannot_command_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    values(folder.path());
    let shown = out(folder.path(), &["SELECT * FROM things ORDER BY abs(id + 1), id"]);
    insta::assert_snapshot!(shown, @r#"
    id                    text                  real      blob
                       1  two, "three"               2.0  x'00ff'
                       4  NULL                  Infinity  NULL
                      20  line\nline\u{1b}[31m      -0.5  NULL
    -9223372036854775808                        NULL      x''
    "#);
}

#[test]
fn json_has_one_object_a_line_with_the_columns_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    values(folder.path());
    let sql = "SELECT text, id, real, blob, id FROM things ORDER BY id";
    insta::assert_snapshot!(out(folder.path(), &[sql, "--json"]), @r#"
    {"text":"","id":-9223372036854775808,"real":null,"blob":"","id_2":-9223372036854775808}
    {"text":"two, \"three\"","id":1,"real":2.0,"blob":"00ff","id_2":1}
    {"text":null,"id":4,"real":"Infinity","blob":null,"id_2":4}
    {"text":"line\nline\u001b[31m","id":20,"real":-0.5,"blob":null,"id_2":20}
    "#);
}

#[test]
fn csv_tells_null_from_an_empty_text() {
    let folder = tempfile::tempdir().unwrap();
    values(folder.path());
    let csv = out(folder.path(), &["SELECT * FROM things", "--csv"]);
    insta::assert_snapshot!(csv.replace('\u{1b}', "ESC"), @r#"
    id,text,real,blob
    -9223372036854775808,"",,
    1,"two, ""three""",2.0,00ff
    4,,Infinity,
    20,"line
    lineESC[31m",-0.5,
    "#);
}

#[test]
fn a_result_without_rows_has_its_names_at_least() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let sql = "SELECT id, text FROM todos WHERE id = 'none'";
    assert_eq!(out(folder.path(), &[sql]), "id  text\n");
    assert_eq!(out(folder.path(), &[sql, "--csv"]), "id,text\n");
    assert_eq!(out(folder.path(), &[sql, "--json"]), "");
}

#[test]
fn a_store_that_an_app_has_open_is_read_as_the_app_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let count = || out(folder.path(), &["SELECT count(*) FROM todos", "--csv"]);
    assert_eq!(count(), "count(*)\n0\n");
    store.commit(crate::TodoCreated { id: "a".into(), text: "one".into() }).unwrap();
    assert_eq!(count(), "count(*)\n1\n");
}

#[test]
fn the_store_is_named_if_there_are_several() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    drop(Store::open(schema(), "other", FileAdapter::new(folder.path())).unwrap());
    let sql = "SELECT count(*) AS todos FROM todos";
    let output = state(folder.path(), &[sql]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("choose one with --store"), "{output:?}");
    assert_eq!(out(folder.path(), &[sql, "--store", "my-app"]), "todos\n    3\n");
    assert_eq!(out(folder.path(), &[sql, "--store", "other"]), "todos\n    0\n");
}

#[test]
fn nothing_can_be_written_and_nothing_of_livestore_s_own_be_read() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "my-app.livestore-shm" && name != "my-app.livestore-wal")
            .collect();
        names.sort();
        names
    };
    let before = files();
    let aside = folder.path().join("aside.db").display().to_string();
    for sql in [
        "DELETE FROM todos",
        "INSERT INTO todos VALUES ('x', 'y')",
        "UPDATE todos SET text = 'x' RETURNING id",
        "DROP TABLE todos",
        "CREATE TEMP TABLE t (x)",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA writable_schema = ON",
        &format!("ATTACH '{aside}' AS aside"),
        &format!("VACUUM INTO '{aside}'"),
        "BEGIN",
        "SELECT * FROM __livestore_eventlog",
        "SELECT 1; DELETE FROM todos",
        "SELECT * FROM no_such_table",
        "no sql at all",
        "",
    ] {
        let output = state(folder.path(), &[sql]);
        assert_eq!(output.status.code(), Some(1), "{sql}: {output:?}");
        assert!(text(&output.stderr).starts_with("error: "), "{sql}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{sql}");
    }
    assert_eq!(out(folder.path(), &["SELECT count(*) FROM todos", "--csv"]), "count(*)\n3\n");
    assert_eq!(files(), before);
}

#[test]
fn json_and_csv_exclude_each_other() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let output = state(folder.path(), &["SELECT 1", "--json", "--csv"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_query_that_takes_too_long_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let start = Instant::now();
    let sql = format!("SELECT count(*) FROM ({ENDLESS})");
    let output = state(folder.path(), &[&sql, "--timeout", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("more time with --timeout"), "{output:?}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn an_error_after_some_rows_shows_the_rows_too() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let sql =
        "SELECT abs(CASE id WHEN 'c' THEN -9223372036854775807 - 1 ELSE 7 END) AS n FROM todos";
    let output = state(folder.path(), &[sql]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "n\n7\n7\n");
    assert!(text(&output.stderr).contains("integer overflow"), "{output:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_query() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let mut process = Command::new(env!("CARGO_BIN_EXE_livestore"))
        .args(["state", folder.path().to_str().unwrap(), ENDLESS, "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = BufReader::new(process.stdout.take().unwrap());
    rows.read_line(&mut String::new()).unwrap();
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut rest = Vec::new();
    rows.read_to_end(&mut rest).unwrap();
    let output = process.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(text(&output.stderr), "Interrupted; what was printed is not all.\n");
    assert!(rest.ends_with(b"}\n"), "the last line is whole");
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_result_is_not_held_in_memory_and_may_be_left_in_the_middle() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    for format in [&["--json"][..], &["--csv"], &[]] {
        let sql = ENDLESS.replace("SELECT i FROM", "SELECT i, hex(zeroblob(500)) FROM");
        let mut process = Command::new(env!("CARGO_BIN_EXE_livestore"))
            .args(["state", folder.path().to_str().unwrap(), &sql])
            .args(format)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut rows = process.stdout.take().unwrap();
        let mut read = vec![0; 1 << 20];
        (0..60).for_each(|_| rows.read_exact(&mut read).unwrap());
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak_kb: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kb < 40_000, "{peak_kb} kB after 60 MB of {format:?}");
        drop(rows);
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

#[test]
fn help_tells_what_can_be_read() {
    insta::assert_snapshot!(text(&livestore(&["state", "-h"]).stdout), @r"
    Read the state of a store with SQL, also while an app uses it

    Usage: livestore state [OPTIONS] <DIR> <SQL>

    Arguments:
      <DIR>  Folder of an app's stores, or a .livestore file
      <SQL>  One SQL query

    Options:
          --store <ID>         The store, if the folder holds several
          --json               Print one JSON object a line
          --csv                Print comma-separated values, with the columns' names in the first line
          --timeout <SECONDS>  End the query after this time; 0 for never [default: 60]
      -h, --help               Print help (see more with '--help')
    ");
}
