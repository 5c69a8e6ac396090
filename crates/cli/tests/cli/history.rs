//! `livestore history`: a server that has lost its log, and what the app is to do about that.

use super::*;

fn history(store: &Path, server: &Server, more: &[&str]) -> Output {
    let args = [&["history", store.to_str().unwrap(), "--server", &server.url], more].concat();
    livestore(&args)
}

/// A store that has synced three todos with a server and has one pending, and a server that knows
/// nothing of them, in a folder.
fn lost() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server"), "127.0.0.1:0");
    let store = open(&folder, &server);
    for id in ["1", "2", "3"] {
        store.commit(TodoCreated { id: id.into(), text: id.into() }).unwrap();
    }
    wait_until_synced(&store);
    let same = history(&folder.path().join("app"), &server, &[]);
    assert!(same.status.success(), "{same:?}");
    assert!(text(&same.stdout).contains("Both have the same history."), "{same:?}");
    drop(server);
    store.commit(TodoCreated { id: "4".into(), text: "pending".into() }).unwrap();
    drop(store);
    let server = Server::start(&folder.path().join("other"), "127.0.0.1:0");
    (folder, server)
}

fn open(folder: &tempfile::TempDir, server: &Server) -> Store {
    let adapter = FileAdapter::new(folder.path().join("app")).sync(WsSync::new(&server.url));
    Store::open(schema(), "shared", adapter).unwrap()
}

#[test]
fn histories_are_compared_and_an_answer_is_carried_out_when_the_app_starts() {
    let (folder, server) = lost();
    let app = folder.path().join("app");
    let different = history(&app, &server, &[]);
    assert_eq!(different.status.code(), Some(3), "{different:?}");
    let shown = text(&different.stdout);
    for line in [
        "  log             up to e3",
        "  in common       up to e0",
        "The server has another history. What the app can do:",
        "push 3 of its confirmed groups again; 0 events of others leave the state",
        "  --answer republish        push the whole log, as the server has nothing",
        "1 pending groups become dead letters",
    ] {
        assert!(shown.contains(line), "no {line:?} in\n{shown}");
    }
    let answered = history(&app, &server, &["--answer", "republish", "--json"]);
    assert!(answered.status.success(), "{answered:?}");
    let json: serde_json::Value = serde_json::from_str(&text(&answered.stdout)).unwrap();
    assert_eq!(json["answer"], "republish");
    assert_eq!(json["divergence"]["pendingGroups"], 1);

    let store = open(&folder, &server);
    wait_until_synced(&store);
    assert_eq!(store.query(Todo::select().count()).unwrap(), 4);
    let other =
        Store::open(schema(), "shared", MemoryAdapter::new().sync(WsSync::new(&server.url)));
    let other = other.unwrap();
    wait_until_synced(&other);
    assert_eq!(other.state_hash().unwrap(), store.state_hash().unwrap());
    drop(store);
    let nothing = history(&app, &server, &["--answer", "discard"]);
    assert!(nothing.status.success(), "{nothing:?}");
    assert!(text(&nothing.stdout).contains("There is nothing to answer."), "{nothing:?}");
}

#[test]
fn an_answer_holds_for_the_server_as_it_was_seen() {
    let (folder, server) = lost();
    let app = folder.path().join("app");
    assert!(history(&app, &server, &["--answer", "discard"]).status.success());
    // By the next start there is yet another server.
    drop(server);
    let server = Server::start(&folder.path().join("third"), "127.0.0.1:0");
    let store = open(&folder, &server);
    let start = Instant::now();
    while !matches!(store.sync_status().unwrap().connection, ConnectionState::Stopped(_)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", store.sync_status());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.query(Todo::select().count()).unwrap(), 4);
    assert_eq!(store.dead_letters().unwrap(), []);
    assert_eq!(history(&app, &server, &[]).status.code(), Some(3), "comparing changes nothing");
    // While the app runs, it is asked to do it.
    let answered = history(&app, &server, &["--answer", "discard"]);
    assert!(answered.status.success(), "{answered:?}");
    let shown = text(&answered.stdout);
    assert!(shown.contains("the app that has the store open does this"), "{shown}");
    wait_until_synced(&store);
    assert_eq!(store.query(Todo::select().count()).unwrap(), 0);
    assert_eq!(store.dead_letters().unwrap().len(), 1);
}

#[test]
fn an_app_that_uses_its_file_alone_answers_for_itself() {
    let (folder, server) = lost();
    let app = folder.path().join("app");
    let options = StoreOptions::new().topology(Topology::Direct);
    let adapter = FileAdapter::new(&app);
    let _direct = Store::open_with(schema(), "shared", adapter, options).unwrap();
    let refused = history(&app, &server, &["--answer", "discard"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("is open in an app"), "{refused:?}");
}

#[test]
fn a_server_that_is_not_there_or_wants_a_token_is_named() {
    let (folder, server) = lost();
    let app = folder.path().join("app");
    let url = server.url.clone();
    drop(server);
    let args = ["history", app.to_str().unwrap(), "--server", &url];
    let error = livestore(&args);
    assert_eq!(error.status.code(), Some(1));
    assert!(text(&error.stderr).contains("cannot be reached"), "{error:?}");

    let tokens = folder.path().join("tokens");
    std::fs::write(&tokens, "a-token-of-someone someone\n").unwrap();
    let data = folder.path().join("guarded");
    let guarded = Server::start_with(&data, "127.0.0.1:0", &["--tokens", tokens.to_str().unwrap()]);
    let error = history(&app, &guarded, &[]);
    assert_eq!(error.status.code(), Some(1));
    assert!(text(&error.stderr).contains("this server asks for a token"), "{error:?}");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token-of-someone\n").unwrap();
    let compared = history(&app, &guarded, &["--token", token.to_str().unwrap()]);
    assert_eq!(compared.status.code(), Some(3), "{compared:?}");
}
