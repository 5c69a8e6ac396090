//! `status` of a store with trouble, `verify`, `recover` and `backup`.

use std::fs;
use std::path::{Path, PathBuf};

use livestore::prelude::*;
use livestore_sqlite::rusqlite::Connection;

use crate::{Server, Todo, TodoCreated, filled, livestore, schema, text, wait_until_synced};

/// Replaces what differs from run to run.
fn steady(output: &[u8], folder: &Path) -> String {
    let output = text(output).replace(folder.to_str().unwrap(), "FOLDER");
    let is_id = |word: &str| word.len() == 36 && word.matches('-').count() == 4;
    let line = |line: &str| {
        let words = line.split(' ').map(|word| {
            let bare = word.trim_matches(|letter: char| "():,;".contains(letter));
            if is_id(bare) { word.replace(bare, "ID") } else { word.into() }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    output.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Zeroes a page of a file.
fn zero(file: &Path, page: usize) {
    let mut content = fs::read(file).unwrap();
    content[(page - 1) * 4096..page * 4096].fill(0);
    fs::write(file, content).unwrap();
}

fn file(folder: &Path) -> PathBuf {
    folder.join("my-app.livestore")
}

#[test]
fn verify_tells_what_is_there_and_that_the_state_was_not_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let output = livestore(&["verify", &path]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(steady(&output.stdout, folder.path()), @r"
    Store my-app: sound
      confirmed       0 events in 0 groups
      pending         3 events in 2 groups
      client-only     0 events
      dead letters    0
      quarantined     0
      archived        0
      state           not replayed: that takes the app's materializers; in the app, call
                      Inspector::verify_state, or compare state_hash with replay_hash
    ");
    assert_eq!(text(&output.stderr), "", "no progress bar without a terminal");
    let output = livestore(&["verify", &path, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["isSound"], true);
    assert_eq!(json["stateReplayed"], false);
    assert_eq!(json["storeId"], "my-app");
    assert_eq!(json["counted"]["pendingEvents"], 3);
    assert_eq!(json["problems"], serde_json::json!([]));
}

#[test]
fn verify_works_while_the_app_has_the_store_open() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let store = Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    store.commit(TodoCreated { id: "d".into(), text: "while open".into() }).unwrap();
    let output = livestore(&["verify", folder.path().to_str().unwrap()]);
    assert!(text(&output.stdout).contains("4 events in 3 groups"), "{output:?}");
}

#[test]
fn verify_names_problems_and_what_to_do_and_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    // The root of the pending tail, as every new file has it.
    zero(&file(folder.path()), 7);
    let output = livestore(&["verify", &path]);
    assert_eq!(output.status.code(), Some(1));
    let shown = steady(&output.stdout, folder.path());
    assert!(shown.starts_with("Store my-app: "), "{shown}");
    assert!(shown.contains("  ✗ pending, "), "{shown}");
    assert!(shown.contains("    → `livestore recover` keeps the groups that are whole"), "{shown}");
    let advice = "To repair: livestore recover FOLDER/my-app.livestore --to NEW_FOLDER";
    assert!(shown.contains(advice), "{shown}");
    let output = livestore(&["verify", &path, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["isSound"], false);
    let problem = &json["problems"][0];
    assert_eq!(problem["check"], "database");
    assert!(problem["remedy"].as_str().unwrap().contains("livestore recover"));

    // Without a header there is only one thing to say.
    zero(&file(folder.path()), 1);
    let output = livestore(&["verify", &path]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("its header is damaged"), "{output:?}");
}

#[test]
fn verify_exits_with_2_if_it_could_not_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    assert_eq!(livestore(&["verify", path]).status.code(), Some(2), "no store");
    assert_eq!(livestore(&["verify", "/nonexistent"]).status.code(), Some(2));
    let theirs = Connection::open(folder.path().join("theirs.livestore")).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(theirs);
    let output = livestore(&["verify", path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("is not a LiveStore file"), "{output:?}");
    // One store with problems makes it 1, whatever the others are.
    filled(folder.path());
    assert_eq!(livestore(&["verify", path]).status.code(), Some(2));
    zero(&file(folder.path()), 7);
    assert_eq!(livestore(&["verify", path]).status.code(), Some(1));
    assert_eq!(livestore(&["verify", path, "--store", "none"]).status.code(), Some(2));
}

#[test]
fn recover_saves_a_damaged_store_and_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let new = folder.path().join("new");
    let to = new.to_str().unwrap();
    // The header and the schema: SQLite cannot open it at all, but all that matters is there.
    zero(&file(folder.path()), 1);
    let output = livestore(&["recover", &path, "--to", to]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    insta::assert_snapshot!(steady(&output.stdout, folder.path()), @r"
    Store my-app is in FOLDER/new/my-app.livestore
      client          laptop
      backend         not known
      confirmed       0 events in 0 groups, up to e0
      pending         3 events in 2 groups
      client-only     0 events
      dead letters    0
      archived        0
    Damaged:
      ✗ the header: it makes no sense
      ✗ the schema: not all of it can be read; LiveStore's tables were looked for where they usually are
    Nothing is lost.
    ");
    assert_eq!(livestore(&["verify", to]).status.code(), Some(0));
    let status = text(&livestore(&["status", to]).stdout);
    assert!(status.contains("state           not all derived"), "{status}");
    let store = Store::open(schema(), "my-app", FileAdapter::new(&new)).unwrap();
    assert_eq!(store.query(Todo::select().count()).unwrap(), 3);
    drop(store);

    // Never over a file that is there.
    let output = livestore(&["recover", &path, "--to", to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("exists already"), "{output:?}");

    // With the tail itself gone, nothing tells what the newest groups in it were.
    zero(&file(folder.path()), 7);
    let other = folder.path().join("other.livestore");
    let to = other.to_str().unwrap();
    let output = livestore(&["recover", file(folder.path()).to_str().unwrap(), "--to", to]);
    let shown = steady(&output.stdout, folder.path());
    let lost = shown.split_once("Lost:").unwrap().1.trim();
    assert_eq!(lost, "✗ pending groups: those on page 7; nothing tells how many there were");
    fs::remove_file(&other).unwrap();
    let source = file(folder.path());
    let output = livestore(&["recover", source.to_str().unwrap(), "--to", to, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["isComplete"], false);
    assert_eq!(json["lostRows"].as_array().unwrap().len(), 1);
    assert_eq!(json["kept"]["pendingGroups"], 0);
    assert_eq!(json["to"], to);
}

#[test]
fn recover_leaves_a_store_in_use_and_what_is_no_store_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let to = folder.path().join("new");
    let to = to.to_str().unwrap();
    let store = Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let output = livestore(&["recover", &path, "--to", to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("in use by an app; close the app first"), "{output:?}");
    drop(store);
    let other = folder.path().join("text.livestore");
    fs::write(&other, "nothing of a database".repeat(1_000)).unwrap();
    let output = livestore(&["recover", other.to_str().unwrap(), "--to", to]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("holds nothing of a LiveStore store"), "{output:?}");
    let output = livestore(&["recover", &path, "--to", to]);
    assert!(text(&output.stderr).contains("holds 2 stores; choose one with --store"));
    let output = livestore(&["recover", &path, "--to", to, "--store", "my-app"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn backup_copies_a_store_in_use_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let store = Store::open(schema(), "my-app", FileAdapter::new(folder.path())).unwrap();
    let restored = folder.path().join("restored");
    fs::create_dir(&restored).unwrap();
    let to = file(&restored);
    let output = livestore(&["backup", &path, to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = steady(&output.stdout, folder.path());
    assert!(shown.starts_with("Backup of my-app in FOLDER/restored/my-app.livestore ("), "{shown}");
    drop(store);
    let store = Store::open(schema(), "my-app", FileAdapter::new(&restored)).unwrap();
    assert_eq!(store.query(Todo::select().count()).unwrap(), 3);
    drop(store);
    let output = livestore(&["backup", &path, to.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("exists already; name another file"), "{output:?}");
    let other = folder.path().join("other");
    let output = livestore(&["backup", &path, other.to_str().unwrap(), "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["isSound"], true);
    assert_eq!(json["bytes"], fs::metadata(&other).unwrap().len());
    assert_eq!(json["report"]["counted"]["pendingGroups"], 2);
}

#[cfg(unix)]
#[test]
fn an_interrupted_check_exits_with_130() {
    use std::io::Read;
    use std::process::{Command, Stdio};

    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    // So many that it takes a while.
    let source = file(folder.path());
    for copy in 0..300 {
        fs::copy(&source, folder.path().join(format!("copy-{copy}.livestore"))).unwrap();
    }
    let mut check = Command::new(env!("CARGO_BIN_EXE_livestore"))
        .args(["verify", "--json", folder.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = check.stdout.take().unwrap();
    output.read_exact(&mut [0; 1_000]).unwrap();
    let pid = check.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    let code = check.wait().unwrap().code();
    assert_eq!(code, Some(130));
}

#[test]
fn status_lists_dead_letters_and_quarantined_events_and_counts_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("server"), "127.0.0.1:0");
    let open = |name: &str, schema: Schema| {
        let sync = livestore_sync_ws::WsSync::new(&server.url);
        let adapter = FileAdapter::new(folder.path().join(name)).sync(sync);
        Store::open(schema, "my-app", adapter).unwrap()
    };
    let other = Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text }).or_replace())
        .event_json("v1.Strange", livestore::EventKind::Synced, |_, _| ())
        .build()
        .unwrap();
    let store = open("other", other);
    for _ in 0..22 {
        let strange = livestore::NewEvent::new("v1.Strange", &()).unwrap();
        store.commit(strange).unwrap();
    }
    store.commit(TodoCreated { id: "taken".into(), text: "first".into() }).unwrap();
    wait_until_synced(&store);

    // Offline, then in conflict with what the other client did.
    let mine = folder.path().join("mine");
    let store = Store::open(schema(), "my-app", FileAdapter::new(&mine)).unwrap();
    store.commit(TodoCreated { id: "taken".into(), text: "second".into() }).unwrap();
    drop(store);
    let store = open("mine", schema());
    wait_until_synced(&store);
    drop(store);

    let path = mine.to_str().unwrap();
    let shown = steady(&livestore(&["status", path]).stdout, folder.path());
    assert!(shown.contains("dead letters    1\n  quarantined     22\n"), "{shown}");
    assert!(shown.contains("\nDead letters:\n  ✗ ID (v1.TodoCreated), 2"), "{shown}");
    assert!(shown.contains("UTC: event 0 of the group no longer applies: "), "{shown}");
    assert!(shown.contains("\nQuarantined:\n  ✗ e1 v1.Strange: "), "{shown}");
    assert!(shown.ends_with("… and 2 more; --json lists them all"), "{shown}");
    assert!(!shown.contains("last synced     never"), "{shown}");
    let output = livestore(&["status", path, "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["quarantinedList"].as_array().unwrap().len(), 22);
    assert_eq!(json["quarantinedList"][0]["seq"], "e1");
    assert_eq!(json["deadLetterList"].as_array().unwrap().len(), 1);
    assert_eq!(livestore(&["verify", path]).status.code(), Some(0));
}

#[test]
fn one_damaged_store_does_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    drop(Store::open(schema(), "other", FileAdapter::new(folder.path())).unwrap());
    // The root of the log's table, as every new file has it.
    let damaged = folder.path().join("my-app.livestore");
    for page in 3..12 {
        zero(&damaged, page);
    }
    let output = livestore(&["status", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("Store other"), "{output:?}");
    let error = text(&output.stderr);
    assert!(error.contains("my-app.livestore: "), "{error}");
    assert!(error.contains("livestore verify "), "{error}");
}

#[test]
fn a_file_that_holds_another_store_than_the_named_one_is_not_called_sound() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let file = file(folder.path());
    let output = livestore(&["verify", file.to_str().unwrap(), "--store", "other"]);
    assert_ne!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("holds the store my-app, not other"), "{output:?}");
}

#[cfg(unix)]
mod read_only {
    //! Folders that can be read and not written to, as on a medium for reading only.

    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Output};

    use livestore::prelude::*;

    use super::{TodoCreated, filled, schema, text};

    const STORE: &str = "a store? #1 100%41";

    /// A user without any rights, if the tests run as one who may do everything.
    const NOBODY: u32 = 65_534;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// Runs the command as somebody who cannot write to the folder [`STORE`] of this one.
    fn read_only(folder: &Path, arguments: &[&str]) -> Output {
        let (store, temporary) = (folder.join(STORE), folder.join("temporary"));
        fs::create_dir_all(&temporary).unwrap();
        let program = folder.join("livestore");
        // By another process: a program that this one had open for writing could not be run as long
        // as a child that another test has just started holds a copy of the handle.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_livestore")).arg(&program).status();
        assert!(copied.unwrap().success());
        for entry in fs::read_dir(&store).unwrap() {
            set_mode(&entry.unwrap().path(), 0o444);
        }
        set_mode(folder, 0o755);
        set_mode(&temporary, 0o777);
        set_mode(&store, 0o555);
        let mut command = Command::new(program);
        command.args(arguments).env("TMPDIR", &temporary);
        if fs::metadata(folder).unwrap().uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        set_mode(&store, 0o755);
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "something was left behind");
        output
    }

    /// Closes a store with one more event as a process does that is killed, but for some files.
    fn kill(folder: &Path, left: &[&str]) {
        let (store, copy) = (folder.join(STORE), folder.join("copy"));
        let running = Store::open(schema(), "my-app", FileAdapter::new(&store)).unwrap();
        running.commit(TodoCreated { id: "d".into(), text: "in the log".into() }).unwrap();
        fs::create_dir(&copy).unwrap();
        for suffix in [""].iter().chain(left) {
            let name = format!("my-app.livestore{suffix}");
            fs::copy(store.join(&name), copy.join(&name)).unwrap();
        }
        drop(running);
        fs::remove_dir_all(&store).unwrap();
        fs::rename(copy, &store).unwrap();
    }

    #[test]
    fn a_store_is_read_whatever_its_app_has_left_beside_it() {
        for left in [&[][..], &["-wal"], &["-wal", "-shm"]] {
            let folder = tempfile::tempdir().unwrap();
            let store = filled(&folder.path().join(STORE));
            let (events, counted) = if left.is_empty() {
                (3, "3 events in 2 groups")
            } else {
                kill(folder.path(), left);
                (4, "4 events in 3 groups")
            };
            let output = read_only(folder.path(), &["verify", &store]);
            assert!(text(&output.stdout).contains(counted), "{left:?}: {output:?}");
            assert_eq!(output.status.code(), Some(0), "{left:?}: {output:?}");
            let output = read_only(folder.path(), &["log", &store]);
            // And the headings.
            assert_eq!(text(&output.stdout).lines().count(), 1 + events, "{left:?}: {output:?}");
            let files = fs::read_dir(folder.path().join(STORE)).unwrap();
            let names = files.map(|entry| entry.unwrap().path());
            let is_lock = |name: &PathBuf| name.extension().is_some_and(|ext| ext == "lock");
            let names: Vec<_> = names.filter(|name| !is_lock(name)).collect();
            assert_eq!(names.len(), 1 + left.len(), "{names:?}");
        }
    }

    #[test]
    fn a_store_that_may_be_in_use_elsewhere_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(&folder.path().join(STORE));
        // Somebody has the file open, or the index was left behind.
        kill(folder.path(), &["-shm"]);
        let output = read_only(folder.path(), &["verify", &store]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = text(&output.stderr);
        assert!(error.contains("copy the file and its -wal file to another folder"), "{error}");
    }
}
