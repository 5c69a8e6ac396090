//! Several stores on one folder: windows of one app, in one process here.

use std::time::{Duration, Instant};

use livestore::Newer;
use livestore::inspect::Inspector;
use livestore::prelude::*;
use livestore::{
    BootStatus, Durability, LeaderLink, OpenError, StoreOptions, Tier, Topology, Warning,
};
use tempfile::TempDir;

use crate::app::{Todo, block_on, schema, todo, todos};

fn open(folder: &TempDir) -> Store {
    open_as(folder, Topology::Auto)
}

fn open_as(folder: &TempDir, topology: Topology) -> Store {
    let options = StoreOptions::new().topology(topology);
    Store::open_with(schema(), "test", FileAdapter::new(folder.path()), options).unwrap()
}

/// Runs tests with a first store that has the file itself, which the others reach over a socket, and with
/// one that follows a leader of its own through a pipe.
macro_rules! over_sockets_and_pipes {
    ($($name:ident)+) => {
        mod over_a_socket {
            $(#[test] fn $name() { super::$name(livestore::Topology::Auto) })+
        }
        mod over_a_pipe {
            $(#[test] fn $name() { super::$name(livestore::Topology::Split) })+
        }
    };
}

over_sockets_and_pipes! {
    whoever_comes_later_sees_what_is_there_and_what_is_committed_by_either
    a_window_that_is_closed_leaves_nothing_behind
    live_queries_of_every_window_follow
    when_the_leader_is_closed_somebody_else_leads_and_nothing_is_lost
    a_receipt_of_a_window_tells_how_safe_a_commit_is_in_the_leader_s_file
    windows_know_of_each_other
    a_leader_is_told_that_a_newer_version_of_the_app_waits
    a_window_knows_the_log_and_what_became_of_groups_that_it_has_never_seen
}

/// Waits until the stores show these todos.
#[track_caller]
fn wait_for<'a>(stores: impl IntoIterator<Item = &'a Store> + Clone, expected: &[&str]) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while stores.clone().into_iter().any(|store| todos(store) != expected) {
        let shown: Vec<_> = stores.clone().into_iter().map(todos).collect();
        assert!(Instant::now() < deadline, "{shown:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn whoever_comes_later_sees_what_is_there_and_what_is_committed_by_either(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    block_on(first.commit(todo("before")).unwrap().persisted()).unwrap();
    let second = open(&folder);
    assert_eq!(todos(&second), ["before"]);
    assert_eq!(second.client_id(), first.client_id());
    assert_ne!(second.session_id(), first.session_id());

    let receipt = second.commit(todo("second")).unwrap();
    assert_eq!(todos(&second), ["before", "second"], "at once");
    block_on(receipt.persisted()).unwrap();
    wait_for([&first], &["before", "second"]);

    first.commit(todo("first")).unwrap();
    wait_for([&second], &["before", "first", "second"]);
}

fn a_window_that_is_closed_leaves_nothing_behind(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    let second = open(&folder);
    let ids: Vec<_> = (100..400).map(|id| id.to_string()).collect();
    for id in &ids {
        second.commit(todo(id)).unwrap();
    }
    drop(second);
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    wait_for([&first], &ids);
}

fn live_queries_of_every_window_follow(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open_as(&folder, first), open(&folder));
    let (sender, seen) = std::sync::mpsc::channel();
    let all = second.query_db(Todo::select().count());
    let _subscription = all.subscribe(move |count| _ = sender.send(*count));
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), 0);
    first.commit(todo("a")).unwrap();
    assert_eq!(seen.recv_timeout(Duration::from_secs(5)).unwrap(), 1);
}

fn when_the_leader_is_closed_somebody_else_leads_and_nothing_is_lost(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    let (second, third) = (open(&folder), open(&folder));
    block_on(second.commit(todo("a")).unwrap().persisted()).unwrap();
    first.shutdown().unwrap();
    second.commit(todo("b")).unwrap();
    let receipt = third.commit(todo("c")).unwrap();
    block_on(receipt.persisted()).unwrap();
    wait_for([&second, &third], &["a", "b", "c"]);
    drop((second, third));
    assert_eq!(todos(&open(&folder)), ["a", "b", "c"]);
}

#[test]
fn a_store_of_its_own_thread_is_used_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let options = || StoreOptions::new().topology(Topology::Split);
    let adapter = || FileAdapter::new(folder.path());
    let split = Store::open_with(schema(), "test", adapter(), options()).unwrap();
    split.commit(todo("a")).unwrap();
    let other = open(&folder);
    wait_for([&other], &["a"]);
    drop(split);
    block_on(other.commit(todo("b")).unwrap().persisted()).unwrap();
    drop(other);
    assert_eq!(todos(&open(&folder)), ["a", "b"]);
}

#[test]
fn a_store_that_is_used_directly_lets_nobody_follow() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions::new().topology(Topology::Direct);
    let adapter = FileAdapter::new(folder.path());
    let _direct = Store::open_with(schema(), "test", adapter, options).unwrap();
    let start = Instant::now();
    let error = Store::open(schema(), "test", FileAdapter::new(folder.path())).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn a_receipt_of_a_window_tells_how_safe_a_commit_is_in_the_leader_s_file(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open_as(&folder, first), open(&folder));
    let normal = second.commit(todo("a")).unwrap();
    assert_eq!(block_on(normal.persisted()).unwrap(), Durability::Normal);
    let full = second.commit_at(Durability::Full, todo("b")).unwrap();
    assert_eq!(block_on(full.persisted()).unwrap(), Durability::Full);
    // Also for what was committed before, and when somebody else leads.
    let again = second.commit_at(Durability::Full, todo("c")).unwrap();
    drop(first);
    assert_eq!(block_on(again.persisted()).unwrap(), Durability::Full);
    wait_for([&second], &["a", "b", "c"]);
}

fn a_window_knows_the_log_and_what_became_of_groups_that_it_has_never_seen(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    let old = first.commit(todo("old")).unwrap();
    block_on(old.persisted()).unwrap();
    let old = old.group_id();
    let second = open(&folder);
    let own = second.commit(todo("own")).unwrap();
    let names = |store: &Store| {
        let events = store.events().map(|event| event.unwrap());
        events.map(|event| (event.group_id, event.seq.to_string())).collect::<Vec<_>>()
    };
    // Be it handed over by now or not.
    assert_eq!(names(&second), [(old, "e1".into()), (own.group_id(), "e2".into())]);
    assert!(second.receipt(old).unwrap().is_some());
    assert!(second.receipt(own.group_id()).unwrap().is_some());
    block_on(own.persisted()).unwrap();
    wait_for([&first], &["old", "own"]);
    assert_eq!(names(&first), names(&second));
    assert_eq!(second.replay_hash().unwrap(), second.state_hash().unwrap());
    assert!(second.archived().unwrap().is_empty());
}

fn windows_know_of_each_other(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    assert_eq!(first.sessions().unwrap().len(), 1);
    let second = open(&folder);
    let leads = |store: &Store| {
        let sessions = store.sessions().unwrap().into_iter();
        sessions.map(|session| (session.session_id, session.leads)).collect::<Vec<_>>()
    };
    let expected = [(first.session_id().clone(), true), (second.session_id().clone(), false)];
    let deadline = Instant::now() + Duration::from_secs(10);
    while leads(&first) != expected {
        assert!(Instant::now() < deadline, "{:?}", leads(&first));
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(leads(&second), expected);
    let Tier::Session { leader, commits_not_handed_over, .. } = second.sync_status().unwrap().tier
    else {
        panic!("it follows")
    };
    assert_eq!((leader, commits_not_handed_over), (LeaderLink::Following, 0));
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    while leads(&second) == expected {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_leader_knows_how_many_follow() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder);
    assert_eq!(first.sync_status().unwrap().tier, Tier::Leader { followers: 0 });
    let _second = open(&folder);
    assert_eq!(first.sync_status().unwrap().tier, Tier::Leader { followers: 1 });
}

/// The schema with one more event.
fn newer() -> Schema {
    #[derive(Event, serde::Serialize, serde::Deserialize)]
    #[event(name = "v2.Starred")]
    struct Starred {
        id: String,
    }
    crate::app::builder(crate::app::failed).event(|_: Starred, _| ()).build().unwrap()
}

fn a_leader_is_told_that_a_newer_version_of_the_app_waits(first: Topology) {
    let folder = tempfile::tempdir().unwrap();
    let first = open_as(&folder, first);
    let (sender, warnings) = std::sync::mpsc::channel();
    let live = first.live_warnings();
    let _subscription = live.subscribe(move |warnings| _ = sender.send(warnings.clone()));
    assert_eq!(warnings.recv().unwrap(), []);
    let opened = Store::open(newer(), "test", FileAdapter::new(folder.path()));
    assert!(
        matches!(opened, Err(OpenError::SchemaMismatch { newer: Newer::Us, .. })),
        "{opened:?}"
    );
    let told = warnings.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(told, [Warning::NewerVersionWaits]);
    drop(first);
    Store::open(newer(), "test", FileAdapter::new(folder.path())).unwrap();
}

#[test]
fn another_version_of_the_app_is_told_which_one_is_newer() {
    let folder = tempfile::tempdir().unwrap();
    let adapter = || FileAdapter::new(folder.path());
    for (leads, comes, expected) in
        [(schema(), newer(), Newer::Us), (newer(), schema(), Newer::Them)]
    {
        let leader = Store::open(leads, "test", adapter()).unwrap();
        match Store::open(comes, "test", adapter()) {
            Err(OpenError::SchemaMismatch { newer, message }) => {
                assert_eq!(newer, expected);
                assert!(message.contains("version of the app"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        leader.commit(todo(&livestore::new_id())).unwrap();
    }
}

#[test]
fn a_window_can_be_opened_whatever_a_pending_event_has_changed() {
    #[derive(Event, serde::Serialize, serde::Deserialize)]
    #[event(name = "v1.PageAdded")]
    struct PageAdded {
        id: i64,
        text: String,
    }
    #[derive(Event, serde::Serialize, serde::Deserialize)]
    #[event(name = "v1.PagesEmptied")]
    struct PagesEmptied {}
    #[derive(Table, Clone, Debug, PartialEq)]
    #[table(name = "pages")]
    struct Page {
        #[column(primary_key)]
        id: i64,
        text: String,
    }
    let schema = || {
        let builder = Schema::builder().table::<Page>();
        let builder =
            builder.event(|e: PageAdded, _| Page::insert(Page { id: e.id, text: e.text }));
        builder
            .event(|_: PagesEmptied, _| Page::update().set(Page::text, "").filter(Page::id.ge(0)))
            .build()
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let open = || Store::open(schema(), "pages", FileAdapter::new(folder.path())).unwrap();
    let first = open();
    let text = "x".repeat(1_000_000);
    for id in 0..40 {
        first.commit(PageAdded { id, text: text.clone() }).unwrap();
    }
    // Its undo data is longer than any frame.
    first.commit(PagesEmptied {}).unwrap();
    let second = open();
    assert_eq!(second.state_hash().unwrap(), first.state_hash().unwrap());
    block_on(second.commit(PageAdded { id: 40, text }).unwrap().persisted()).unwrap();
    drop(first);
    let third = open();
    assert_eq!(third.state_hash().unwrap(), second.state_hash().unwrap());
}

#[test]
fn whoever_looks_at_a_file_can_ask_the_session_that_has_it_open() {
    let folder = tempfile::tempdir().unwrap();
    let patience = Duration::from_secs(5);
    let inspect = || Inspector::open(folder.path(), &"test".parse().unwrap()).unwrap();
    let first = open(&folder);
    let second = open(&folder);
    let leader = inspect().leader(patience).unwrap().expect("it is open");
    assert_eq!(leader.sessions, first.sessions().unwrap());
    assert_eq!(leader.status, first.sync_status().unwrap());
    assert_eq!(first.sessions().unwrap().len(), 2, "who only asks is no session");
    drop((second, first));
    assert_eq!(inspect().leader(patience).unwrap(), None);
    // Somebody who lets nobody follow.
    let options = StoreOptions::new().topology(Topology::Direct);
    let adapter = FileAdapter::new(folder.path());
    let _direct = Store::open_with(schema(), "test", adapter, options).unwrap();
    assert_eq!(inspect().leader(patience).unwrap(), None);
}

#[test]
fn whoever_comes_while_the_state_is_derived_anew_waits_for_it_however_long_that_takes() {
    /// An app whose materializer takes its time in its second version.
    fn build(version: u64) -> Schema {
        Schema::builder()
            .table::<Todo>()
            .materializer_version(version)
            .event(move |e: crate::app::TodoCreated, _: &livestore::MaterializerContext<'_>| {
                if version > 1 {
                    std::thread::sleep(Duration::from_millis(3));
                }
                Todo::insert(Todo { id: e.id, text: e.text, completed: false })
            })
            .build()
            .unwrap()
    }
    let folder = tempfile::tempdir().unwrap();
    let open = |version, options| {
        Store::open_with(build(version), "test", FileAdapter::new(folder.path()), options)
    };
    let first = open(1, StoreOptions::new()).unwrap();
    for round in 0..20 {
        let todos = (0..100).map(|number| todo(&format!("{round}-{number}")));
        first.commit(todos.collect::<Vec<_>>()).unwrap();
    }
    drop(first);
    let began = Instant::now();
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| open(2, StoreOptions::new()).unwrap());
        std::thread::sleep(Duration::from_millis(500));
        let (options, statuses) = StoreOptions::new().boot_statuses();
        let follower = open(2, options).unwrap();
        assert_eq!(todos(&follower).len(), 2_000);
        assert!(began.elapsed() > Duration::from_secs(5), "it was slow enough to prove something");
        let told: Vec<_> = statuses.collect();
        let is_progress = |status: &&BootStatus| matches!(status, BootStatus::Rehydrating { .. });
        assert!(told.iter().filter(is_progress).count() > 1, "{told:?}");
        drop(leader.join().unwrap());
    });
}
