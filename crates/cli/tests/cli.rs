//! The `livestore` command as a user meets it: real processes, their output and exit codes.

#![allow(missing_docs)]

#[path = "cli/health.rs"]
mod health;
#[path = "cli/history.rs"]
mod history;
#[path = "cli/kills.rs"]
mod kills;
#[path = "cli/state.rs"]
mod state;
#[path = "cli/transfer.rs"]
mod transfer;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{ConnectionState, StoreOptions, Topology};
use livestore_sync_ws::WsSync;
use serde::{Deserialize, Serialize};

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.TodoCreated")]
struct TodoCreated {
    id: String,
    text: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
struct Todo {
    #[column(primary_key)]
    id: String,
    text: String,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text }))
        .build()
        .unwrap()
}

fn livestore(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livestore")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder with a store of three events, two of them in one group.
fn filled(folder: &Path) -> String {
    let client = livestore::ClientId::new("laptop").unwrap();
    let adapter = FileAdapter::new(folder).client_id(client);
    let store = Store::open(schema(), "my-app", adapter).unwrap();
    let todo = |id: &str| TodoCreated { id: id.into(), text: "Buy milk".into() };
    store.commit(todo("a")).unwrap();
    store.commit([todo("b"), todo("c")]).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn help_tells_what_there_is() {
    let output = livestore(&["--help"]);
    assert!(output.status.success());
    insta::assert_snapshot!(text(&output.stdout), @r"
    Run a LiveStore sync server, and look after stores

    Usage: livestore <COMMAND>

    Commands:
      serve        Run the sync server
      log          Print the events of a store, oldest first: confirmed ones, then pending ones
      status       Print where stores stand: heads, pending events, dead letters, quarantine
      state        Read the state of a store with SQL, also while an app uses it
      verify       Check stores for damage, also while an app uses them
      recover      Save what a damaged store still holds into a new file
      backup       Copy a store into a new file, also while an app uses it
      history      Compare a store's log with that of a server, and say what to do if they differ
      export       Write all events of a store or a backend to a file
      import       Bring the events of an exported file into a backend, or into a new store
      conformance  Check whether a backend does what stores rely on
      help         Print this message or the help of the given subcommand(s)

    Options:
      -h, --help     Print help
      -V, --version  Print version
    ");
}

#[test]
fn a_wrong_command_line_exits_with_2_and_a_failure_with_1() {
    assert_eq!(livestore(&["nonsense"]).status.code(), Some(2));
    assert_eq!(livestore(&["log", "x", "--since", "e1.1"]).status.code(), Some(2));
    let output = livestore(&["status", "/nonexistent/folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: /nonexistent/folder: "), "{output:?}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn status_shows_heads_and_pending_events() {
    let folder = tempfile::tempdir().unwrap();
    let folder = filled(folder.path());
    let output = text(&livestore(&["status", &folder]).stdout);
    let output = output.lines().filter(|line| !line.contains("file size")).collect::<Vec<_>>();
    insta::assert_snapshot!(output.join("\n"), @r"
    Store my-app
      client          laptop
      open            not open, or for one process alone
      backend         none so far
      last synced     never
      confirmed head  e0
      pulled head     e0
      local head      e3
      pending         3 events in 2 groups
      in doubt        0 groups
      state           derived
      rebases         0
      dead letters    0
      quarantined     0
      archived        0
    ");
    let output = livestore(&["status", &folder, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["pendingEvents"], 3);
    assert_eq!(json["localHead"], "e3");
    assert_eq!(json["deadLetterList"], serde_json::json!([]));
    assert_eq!(json["quarantinedList"], serde_json::json!([]));
    assert_eq!(json["isRebuilding"], false);
    assert_eq!(json["groupsInDoubt"], 0);
    assert_eq!(json["app"], serde_json::json!({ "kind": "none" }));
}

#[test]
fn status_tells_who_has_a_store_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let open = || Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let (first, second) = (open(), open());
    let output = text(&livestore(&["status", &path]).stdout);
    let own = std::process::id();
    let expected = format!("process {own} leads, process {own} follows; without a backend");
    assert!(output.contains(&expected), "no {expected:?} in\n{output}");
    let output = livestore(&["status", &path, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["app"]["kind"], "open");
    assert_eq!(json["app"]["sessions"][1]["leads"], false);
    // The other commands read beside them.
    assert!(livestore(&["verify", &path]).status.success());
    assert_eq!(text(&livestore(&["log", &path]).stdout).lines().count(), 4);
    drop((first, second));
}

#[test]
fn status_tells_what_the_last_changes_meant_for_live_queries() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let output = text(&livestore(&["status", &path, "--queries"]).stdout);
    assert!(!output.contains("Live queries"), "nobody has it open:\n{output}");
    // Also of one that has opened it first, the queries are those of the session, and not of its leader.
    let store = Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let output = text(&livestore(&["status", &path, "--queries"]).stdout);
    assert!(output.ends_with("Live queries: no change has concerned any so far\n"), "{output}");
    let all = store.live(query_db(Todo::select().order_by(Todo::text)).label("all"));
    let point = store.query_db(Todo::select().filter(Todo::id.eq("x")).first());
    let _followed = (all.subscribe(|_| ()), point.subscribe(|_| ()));
    store.commit(TodoCreated { id: "d".into(), text: "Bake".into() }).unwrap();
    let output = text(&livestore(&["status", &path, "--queries"]).stdout);
    let (_, shown) = output.split_once("Live queries, by the last changes:\n").unwrap();
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].ends_with("1 row of todos: 1 considered, 1 concerned"), "{shown}");
    assert!(lines[1].ends_with("maintained  changed    all"), "{shown}");
    assert_eq!(lines.len(), 2, "{shown}");
    let json = livestore(&["status", &path, "--queries", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let query = &json["app"]["refreshes"][0]["queries"][0];
    assert_eq!((&query["query"], &query["outcome"]), (&"all".into(), &"maintained".into()));
    assert!(query["tookNs"].as_u64().unwrap() > 0);
}

#[test]
fn log_prints_a_table_or_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let folder = filled(folder.path());
    insta::assert_snapshot!(text(&livestore(&["log", &folder]).stdout), @r#"
    SEQ          STATE     EVENT                    CLIENT           PAYLOAD
    e1           pending   v1.TodoCreated           laptop           {"id":"a","text":"Buy milk"}
    e2           pending   v1.TodoCreated           laptop           {"id":"b","text":"Buy milk"}
    e3           pending   v1.TodoCreated           laptop           {"id":"c","text":"Buy milk"}
    "#);
    let output = text(&livestore(&["log", &folder, "--json", "--limit", "2"]).stdout);
    let lines: Vec<serde_json::Value> =
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["args"]["id"], "b");
    assert_eq!(lines[1]["seq"], "e2");
    assert_eq!(lines[1]["confirmed"], false);
    let output = text(&livestore(&["log", &folder, "--json", "--name", "v1.Other"]).stdout);
    assert_eq!(output, "");
}

#[test]
fn a_folder_with_several_stores_asks_which() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    drop(Store::open(schema(), "other", FileAdapter::new(folder.path())).unwrap());
    let output = livestore(&["log", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("holds 2 stores; choose one with --store"));
    let output = livestore(&["log", &path, "--store", "my-app"]);
    assert_eq!(text(&output.stdout).lines().count(), 4);
    let output = livestore(&["status", &path]);
    assert_eq!(text(&output.stdout).matches("Store ").count(), 2);
}

#[test]
fn what_is_no_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert!(text(&livestore(&["status", path]).stderr).contains("holds no .livestore file"));
    std::fs::write(folder.path().join("x.livestore"), "no database at all".repeat(99)).unwrap();
    let output = livestore(&["status", path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no SQLite database"), "{output:?}");
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(data: &Path, listen: &str) -> Self {
        Self::start_with(data, listen, &[])
    }

    fn start_with(data: &Path, listen: &str, more: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_livestore"))
            .args(["serve", "--json", "--listen", listen, "--data", data.to_str().unwrap()])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = process.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let started: serde_json::Value = serde_json::from_str(&line).unwrap();
        let url = started["url"].as_str().unwrap().to_owned();
        Self { process, url }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn wait_until_synced(store: &Store) {
    let start = Instant::now();
    while !store.sync_status().unwrap().is_synced() {
        let status = store.sync_status().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "not synced: {status:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn serve_syncs_stores_and_keeps_the_log_over_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("server");
    let server = Server::start(&data, "127.0.0.1:0");
    let open = |name: &str, url: &str| {
        let adapter = FileAdapter::new(folder.path().join(name)).sync(WsSync::new(url));
        Store::open(schema(), "shared", adapter).unwrap()
    };
    let a = open("a", &server.url);
    a.commit(TodoCreated { id: "1".into(), text: "one".into() }).unwrap();
    wait_until_synced(&a);
    drop(a);
    let listen = server.url.trim_start_matches("ws://").trim_end_matches("/sync").to_owned();
    drop(server);

    let server = Server::start(&data, &listen);
    let b = open("b", &server.url);
    wait_until_synced(&b);
    assert_eq!(b.query(Todo::select().count()).unwrap(), 1);
    let path = folder.path().join("b");
    let output = text(&livestore(&["log", path.to_str().unwrap()]).stdout);
    assert!(output.contains("e1           confirmed v1.TodoCreated"), "{output}");
}

#[test]
fn serve_lets_in_who_is_in_the_list_of_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "# one of them\na-token-of-someone someone shared\n").unwrap();
    let tokens = tokens.to_str().unwrap();
    let data = folder.path().join("server");
    let server = Server::start_with(&data, "127.0.0.1:0", &["--tokens", tokens]);
    let open = |name: &str, token: &'static str| {
        let sync =
            WsSync::new(&server.url).with_tokens(move |_| std::future::ready(Ok(token.to_owned())));
        Store::open(schema(), name, MemoryAdapter::new().sync(sync)).unwrap()
    };
    let known = open("shared", "a-token-of-someone");
    known.commit(TodoCreated { id: "1".into(), text: "one".into() }).unwrap();
    wait_until_synced(&known);
    for (store, token, why) in [
        ("shared", "a-token-of-nobody", "the token is unknown"),
        ("other", "a-token-of-someone", "someone may not use other"),
    ] {
        let store = open(store, token);
        let start = Instant::now();
        let error = loop {
            let status = store.sync_status().unwrap();
            if let ConnectionState::Stopped(reason) = status.connection {
                break reason.to_string();
            }
            assert!(start.elapsed() < Duration::from_secs(20), "not stopped: {status:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(error, format!("the backend does not let us in: {why}"));
    }
}

#[test]
fn a_list_of_tokens_with_a_mistake_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("server");
    let serve = |tokens: &str| {
        let data = data.to_str().unwrap();
        let listen = ["--listen", "127.0.0.1:0"];
        let args = [&["serve", "--data", data, "--tokens", tokens], &listen[..]].concat();
        let output = livestore(&args);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        text(&output.stderr)
    };
    let missing = folder.path().join("missing");
    let error = serve(missing.to_str().unwrap());
    assert!(error.starts_with("error: cannot read"), "{error}");
    let bad = folder.path().join("bad");
    std::fs::write(&bad, "\nshort someone\n").unwrap();
    let error = serve(bad.to_str().unwrap());
    assert!(
        error.contains("bad: line 2 of the list of tokens: the token is easy to guess"),
        "{error}"
    );
    assert!(!error.contains("short"), "{error}");
}

#[test]
fn a_second_server_on_one_folder_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let _server = Server::start(folder.path(), "127.0.0.1:0");
    let data = folder.path().to_str().unwrap();
    let output = livestore(&["serve", "--data", data, "--listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: "), "{output:?}");
}

#[cfg(unix)]
#[test]
fn serve_stops_in_good_order_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), "127.0.0.1:0");
    let pid = server.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let start = Instant::now();
    let status = loop {
        if let Some(status) = server.process.try_wait().unwrap() {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(15), "the server did not stop");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
}
