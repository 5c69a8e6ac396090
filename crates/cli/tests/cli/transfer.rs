//! `livestore export` and `livestore import`: logs that go from anywhere to anywhere.

use std::io::Write;
use std::path::PathBuf;

use livestore_sync_cf::CfSync;
use serde_json::{Value, json};

use super::*;

/// A folder, and a server in it.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn server(&self, name: &str) -> Server {
        Server::start(&self.path(name), "127.0.0.1:0")
    }

    fn file(&self, name: &str, content: &Value) -> String {
        let mut content = content.clone();
        // The events come last, as LiveStore writes them.
        let events = content.as_object_mut().and_then(|file| file.remove("events"));
        let mut text = content.to_string();
        if let Some(events) = events {
            let comma = if text == "{}" { "" } else { "," };
            text.pop();
            text = format!("{text}{comma}\"events\":{events}}}");
        }
        std::fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = livestore(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    text(&output.stdout)
}

#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let output = livestore(arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    text(&output.stderr)
}

fn cf(server: &Server) -> String {
    format!("cf+{}", server.url)
}

/// An export without what differs from one to the next.
fn events_of(bench: &Bench, name: &str) -> Value {
    let mut file = bench.json(name);
    assert_eq!(file["version"], 1);
    assert_eq!(file["eventCount"], file["events"].as_array().unwrap().len());
    file["events"].take()
}

/// The same, as LiveStore knows it.
fn without_ids(mut events: Value) -> Value {
    for event in events.as_array_mut().unwrap() {
        let event = event.as_object_mut().unwrap();
        event.remove("id");
        event.remove("group");
    }
    events
}

#[test]
fn a_store_is_exported_in_livestores_format_with_ids_and_groups() {
    let bench = Bench::new();
    let store = filled(&bench.path("app"));
    assert_eq!(
        done(&["export", &store, &bench.text("log.json")]),
        format!("3 events of my-app in {}\n", bench.text("log.json"))
    );
    let file = bench.json("log.json");
    assert_eq!((&file["storeId"], &file["eventCount"]), (&json!("my-app"), &json!(3)));
    let exported_at = file["exportedAt"].as_str().unwrap();
    assert!(exported_at.starts_with("20") && exported_at.ends_with('Z') && exported_at.len() == 24);
    let events = events_of(&bench, "log.json");
    assert_ne!(events[0]["group"], events[1]["group"]);
    assert_eq!(events[1]["group"], events[2]["group"]);
    assert_eq!(
        without_ids(events)[1],
        json!({
            "name": "v1.TodoCreated", "args": { "id": "b", "text": "Buy milk" }, "seqNum": 2,
            "parentSeqNum": 1, "clientId": "laptop", "sessionId": file["events"][1]["sessionId"],
        })
    );
    // To standard output it is the same, and nothing else is there.
    let printed: Value = serde_json::from_str(&done(&["export", &store])).unwrap();
    assert_eq!(printed["events"], file["events"]);
    assert_eq!(done(&["export", &store, "-", "--confirmed-only"]).lines().count(), 2);
    let again = refused(&["export", &store, &bench.text("log.json")]);
    assert!(again.contains("log.json exists already"), "{again}");
}

#[test]
fn a_log_goes_from_anywhere_to_anywhere_and_comes_back_the_same() {
    let bench = Bench::new();
    let store = filled(&bench.path("app"));
    done(&["export", &store, &bench.text("0.json")]);
    let log = events_of(&bench, "0.json");

    // File to server, server to file, with ids and groups.
    let first = bench.server("first");
    let report = done(&["import", &bench.text("0.json"), &first.url]);
    assert_eq!(report, "3 events of my-app: 3 were added\n");
    done(&["export", &first.url, "--store", "my-app", &bench.text("1.json")]);
    assert_eq!(events_of(&bench, "1.json"), log);

    // Through a pipe into a new store, and out of it again.
    let exported = done(&["export", &first.url, "--store", "my-app"]);
    let mut import = Command::new(env!("CARGO_BIN_EXE_livestore"))
        .args(["import", "-", &bench.text("new/folder")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    import.stdin.take().unwrap().write_all(exported.as_bytes()).unwrap();
    assert!(import.wait_with_output().unwrap().status.success());
    done(&["export", &bench.text("new/folder"), &bench.text("2.json")]);
    assert_eq!(events_of(&bench, "2.json"), log);

    // Over LiveStore's protocol, which has neither ids nor groups.
    for (number, scheme) in [(3, "cf+ws"), (4, "cf+http")] {
        let server = bench.server(&format!("server{number}"));
        let url = server.url.replace("ws://", &format!("{scheme}://"));
        let (file, store) = (format!("{number}.json"), ["--store", "my-app"]);
        done(&[&["import", &bench.text("0.json"), &url], &store[..]].concat());
        done(&[&["export", &url], &store[..], &[&bench.text(&file)]].concat());
        assert_eq!(without_ids(events_of(&bench, &file)), without_ids(log.clone()));
        // The server has made ids and a group for each event.
        done(&[&["export", &server.url], &store[..], &[&bench.text(&format!("s{file}"))]].concat());
        let kept = events_of(&bench, &format!("s{file}"));
        assert_ne!(kept[1]["group"], kept[2]["group"]);
    }

    // An app derives its state from what was imported, and goes on with the server that has the same log.
    let adapter = FileAdapter::new(bench.path("new/folder")).sync(WsSync::new(&first.url));
    let store = Store::open(schema(), "my-app", adapter).unwrap();
    wait_until_synced(&store);
    assert_eq!(store.query(Todo::select().count()).unwrap(), 3);
    store.commit(TodoCreated { id: "d".into(), text: "new".into() }).unwrap();
    wait_until_synced(&store);
    assert_eq!(store.sync_status().unwrap().confirmed_head.0, 4);
}

#[test]
fn an_import_can_be_repeated_and_goes_on_where_it_ended() {
    let bench = Bench::new();
    let server = bench.server("server");
    let events: Vec<Value> = (1..=700)
        .map(|seq| {
            json!({
                "name": "v1.TodoCreated", "args": { "id": seq.to_string(), "text": "é" },
                "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "ada's laptop", "sessionId": "static",
            })
        })
        .collect();
    let file = |name: &str, count: usize| {
        let events = &events[..count];
        bench.file(
            name,
            &json!({
                "version": 1, "storeId": "shared", "exportedAt": "2026-01-01T00:00:00.000Z",
                "eventCount": count, "events": events,
            }),
        )
    };
    let (part, whole) = (file("part.json", 300), file("whole.json", 700));
    for url in [server.url.clone(), cf(&bench.server("other"))] {
        done(&["import", &part, &url]);
        let dry = done(&["import", &whole, &url, "--dry-run"]);
        assert_eq!(
            dry,
            "700 events of shared: 400 would be added, 300 are there already (dry run: nothing was \
             changed)\n"
        );
        let report = done(&["import", &whole, &url, "--json"]);
        assert_eq!(
            serde_json::from_str::<Value>(&report).unwrap(),
            json!({
                "store": "shared", "events": 700, "alreadyThere": 300, "added": 400, "cut": 0,
                "dryRun": false,
            })
        );
        let report = done(&["import", &whole, &url]);
        assert_eq!(report, "700 events of shared: 0 were added, 700 are there already\n");
        let error = refused(&["import", &part, &url]);
        assert!(error.contains("the backend has more than the file, from 301 on"), "{error}");
    }
    let adapter = MemoryAdapter::new().sync(CfSync::new(&server.url));
    let store = Store::open(schema(), "shared", adapter).unwrap();
    wait_until_synced(&store);
    assert_eq!(store.query(Todo::select().count()).unwrap(), 700);
}

#[test]
fn what_does_not_go_together_is_refused_and_nothing_is_changed() {
    let bench = Bench::new();
    let store = filled(&bench.path("app"));
    done(&["export", &store, &bench.text("log.json")]);
    let server = bench.server("server");
    done(&["import", &bench.text("log.json"), &server.url, "--store", "shared"]);
    let mut other = bench.json("log.json");
    other["events"][2]["args"]["text"] = "another".into();
    let other = bench.file("other.json", &other);
    let error = refused(&["import", &other, &server.url, "--store", "shared"]);
    assert!(error.contains("the backend has something else than the file, at 3"), "{error}");

    // A store that is there is not touched.
    let error = refused(&["import", &bench.text("log.json"), &store]);
    assert!(error.contains("my-app.livestore exists already"), "{error}");
    let error = refused(&["import", &bench.text("log.json"), &store, "--dry-run"]);
    assert!(error.contains("my-app.livestore exists already"), "{error}");
    let dry = done(&["import", &bench.text("log.json"), &bench.text("nowhere"), "--dry-run"]);
    assert!(dry.contains("3 would be added"), "{dry}");
    assert!(!bench.path("nowhere").exists());

    for (place, message) in [
        ("ftp://example.com", "ftp://example.com is no address of a backend"),
        ("ws://127.0.0.1:1", "cannot be reached"),
        ("cf+http://127.0.0.1:1", "cannot be reached"),
    ] {
        let error = refused(&["import", &bench.text("log.json"), place]);
        assert!(error.contains(message), "{place}: {error}");
    }
    let error = refused(&["export", &server.url]);
    assert!(error.contains("name the store with --store"), "{error}");
}

#[test]
fn files_that_are_none_are_told_with_their_place() {
    let bench = Bench::new();
    let event = |seq: u64, group: Option<&str>, client: &str| {
        let mut event = json!({
            "name": "v1.X", "seqNum": seq, "parentSeqNum": seq - 1, "clientId": client,
            "sessionId": "s",
        });
        if let Some(group) = group {
            event["group"] = group.into();
        }
        event
    };
    let group = Some("01939c5e-8d2a-7cc0-98c8-2b7c1a7e0f00");
    let file = |events: Vec<Value>| json!({ "version": 1, "storeId": "s", "events": events });
    for (content, message) in [
        (json!([]), "this is no exported log"),
        (json!({}), "missing field `version`"),
        (json!({ "version": 2, "events": [] }), "version 2 of the format is not known here"),
        (json!({ "version": 1 }), "missing field `events`"),
        (json!({ "version": 1, "storeId": "a b", "events": [] }), "is not a valid store id"),
        (json!({ "version": 1, "events": [] }), "does not say before its events which store it is"),
        (
            json!({ "version": 1, "storeId": "s", "eventCount": 1, "events": [] }),
            "1 events, and has 0",
        ),
        (file(vec![json!({ "name": "v1.X" })]), "missing field"),
        (file(vec![event(2, None, "c"), event(2, None, "c")]), "event 2 stands behind event 2"),
        (
            file(vec![event(1, group, "c"), event(2, group, "d")]),
            "the group at 1 is one of several authors",
        ),
    ] {
        let path = bench.file("bad.json", &content);
        for place in [bench.text("new"), bench.server("server").url.clone()] {
            let error = refused(&["import", &path, &place]);
            assert!(error.contains(message), "{content}: {error}");
        }
        assert!(!bench.path("new/s.livestore").exists());
    }
    std::fs::write(bench.path("cut.json"), r#"{"version":1,"storeId":"s","events":[{"#).unwrap();
    let error = refused(&["import", &bench.text("cut.json"), &bench.text("new")]);
    assert!(error.contains("EOF while parsing") && error.contains("line 1"), "{error}");
    let error = refused(&["import", &bench.text("missing.json"), &bench.text("new")]);
    assert!(error.contains("missing.json: No such file"), "{error}");
    let left = std::fs::read_dir(bench.path("new")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "drafts are removed");
}

#[test]
fn a_log_with_holes_is_closed_up_and_odd_payloads_come_back() {
    let bench = Bench::new();
    let event = |seq: u64, args: Option<Value>| {
        let mut event = json!({
            "name": "v1.X", "seqNum": seq, "parentSeqNum": seq - 1, "clientId": "c", "sessionId": "s",
        });
        if let Some(args) = args {
            event["args"] = args;
        }
        event
    };
    let events = [
        event(1, None),
        event(2, Some(Value::Null)),
        event(5, Some(json!({ "z": [1e300, -0.5, "é\u{1F600}\n"], "a": { "b": null } }))),
    ];
    let file = json!({ "version": 1, "storeId": "s", "exportedAt": "", "events": events });
    let path = bench.file("log.json", &file);
    let server = bench.server("server");
    done(&["import", &path, &server.url]);
    done(&["import", &path, &server.url]);
    done(&["export", &server.url, "--store", "s", &bench.text("back.json")]);
    let mut back = without_ids(events_of(&bench, "back.json"));
    assert_eq!(back[2]["seqNum"].take(), 3);
    assert_eq!(back[2]["parentSeqNum"].take(), 2);
    back[2]["seqNum"] = 5.into();
    back[2]["parentSeqNum"] = 4.into();
    assert_eq!(back, json!(events));
}

#[test]
fn a_log_with_long_holes_is_exported_whole() {
    let bench = Bench::new();
    let server = bench.server("server");
    let host = server.url.trim_start_matches("ws://").split('/').next().unwrap();
    let push = |parent: u64, seqs: std::ops::RangeInclusive<u64>| {
        let event = |seq: u64| {
            json!({
                "name": "v1.X", "args": seq, "seqNum": seq, "parentSeqNum": parent, "clientId": "c",
                "sessionId": "s",
            })
        };
        let batch: Vec<Value> = seqs.map(event).collect();
        let body = json!({
            "_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Push", "headers": [], "traceId": "t",
            "spanId": "s", "sampled": false,
            "payload": { "storeId": "s", "batch": batch, "backendId": { "_tag": "None" } },
        });
        let body = body.to_string();
        let mut socket = std::net::TcpStream::connect(host).unwrap();
        let head = "POST /?storeId=s&transport=http HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        write!(socket, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut socket, &mut answer).unwrap();
        assert!(answer.contains("Success"), "{answer}");
    };
    push(0, 5..=100);
    push(100, 201..=260);
    push(260, 261..=340);
    for scheme in ["cf+ws", "cf+http", "ws"] {
        let url = server.url.replace("ws://", &format!("{scheme}://"));
        let file = format!("{}.json", scheme.replace('+', "-"));
        done(&["export", &url, "--store", "s", &bench.text(&file)]);
        let events = events_of(&bench, &file);
        let seqs: Vec<u64> =
            events.as_array().unwrap().iter().map(|e| e["seqNum"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (5..=100).chain(201..=340).collect::<Vec<_>>(), "{scheme}");
    }
    // And it can be imported where a part of it is.
    let report = done(&["import", &bench.text("ws.json"), &server.url, "--store", "s"]);
    assert_eq!(report, "236 events of s: 0 were added, 236 are there already\n");
}

#[test]
fn commits_that_are_too_large_for_a_backend_are_cut() {
    let bench = Bench::new();
    let adapter = FileAdapter::new(bench.path("app"));
    let store = Store::open(schema(), "big", adapter).unwrap();
    let todo = |n: u64| TodoCreated { id: n.to_string(), text: "x".repeat(10_000) };
    store.commit((0..250).map(todo).collect::<Vec<_>>()).unwrap();
    drop(store);
    done(&["export", &bench.text("app"), &bench.text("log.json")]);
    let server = bench.server("server");
    let report = done(&["import", &bench.text("log.json"), &cf(&server)]);
    assert_eq!(
        report,
        "250 events of big: 250 were added\n1 commit were cut into several, since the backend takes no more \
         at once\n"
    );
    let again = done(&["import", &bench.text("log.json"), &cf(&server)]);
    assert!(again.contains("0 were added, 250 are there already"), "{again}");
}

#[test]
fn ctrl_c_ends_an_export_and_leaves_no_file() {
    let bench = Bench::new();
    // Somebody who never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", silent.local_addr().unwrap());
    let export = Command::new(env!("CARGO_BIN_EXE_livestore"))
        .args(["export", &url, "--store", "s", &bench.text("log.json")])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _connection = silent.accept().unwrap();
    let pid = export.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = export.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(text(&output.stderr), "Interrupted; there is no file.\n");
    assert_eq!(std::fs::read_dir(bench.folder.path()).unwrap().count(), 0);
}
