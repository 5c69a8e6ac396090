//! The three kinds of events, and the scopes of the tables that they lead to.

use livestore::prelude::*;
use livestore::protocol::ServerMessage;
use livestore::replica::GroupState;
use livestore::{
    CommitError, Durability, Fate, GlobalSeqNum, LoggedEvent, MaterializeError, ReceiptError,
    SeqNum, SyncProvider,
};
use serde::{Deserialize, Serialize};

use crate::app::{Todo, TodoCreated, block_on, todo};
use crate::backend::{Net, OnTheWire, Served, fact};

/// A draft of this client alone: a client-only event that is kept.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "DraftSaved", client_only, persist)]
struct DraftSaved {
    id: String,
    text: String,
}

/// What is selected in this window: a memory event.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Selected", client_only)]
struct Selected {
    id: String,
}

/// An event whose materializer writes where it must not.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Trespassed")]
struct Trespassed {}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "drafts", scope = "client")]
struct Draft {
    #[column(primary_key)]
    id: String,
    text: String,
    /// How many todos there were when it was saved.
    todos: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "selection", scope = "memory")]
struct Selection {
    #[column(primary_key)]
    id: String,
    draft: String,
}

fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .table::<Draft>()
        .table::<Selection>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .event(|e: DraftSaved, cx| {
            let todos = cx.query(&Todo::select().count())? as i64;
            Ok::<_, MaterializeError>(
                Draft::insert(Draft { id: e.id, text: e.text, todos }).or_replace(),
            )
        })
        .event(|e: Selected, cx| {
            let draft = cx.query(&Draft::select().filter(Draft::id.eq(&e.id)).first())?;
            let draft = draft.map_or(String::new(), |draft| draft.text.clone());
            Ok::<_, MaterializeError>(Selection::insert(Selection { id: e.id, draft }).or_replace())
        })
        .event(|_: Trespassed, _| {
            Draft::insert(Draft { id: "x".into(), text: String::new(), todos: 0 })
        })
        .build()
        .expect("the schema is valid")
}

fn draft(id: &str, text: &str) -> DraftSaved {
    DraftSaved { id: id.into(), text: text.into() }
}

fn open(folder: &tempfile::TempDir) -> Store {
    Store::open(schema(), "kinds", FileAdapter::new(folder.path())).unwrap()
}

fn drafts(store: &Store) -> Vec<(String, i64)> {
    let drafts = store.query(Draft::select().order_by(Draft::id)).unwrap();
    drafts.iter().map(|draft| (draft.text.clone(), draft.todos)).collect()
}

fn log(store: &Store) -> Vec<(String, bool)> {
    let events: Vec<LoggedEvent> = store.events().collect::<Result<_, _>>().unwrap();
    events.iter().map(|event| (event.seq.to_string(), event.confirmed)).collect()
}

#[test]
fn a_commit_may_mix_kinds_and_each_sees_what_comes_before_it() {
    let store = Store::open(schema(), "kinds", MemoryAdapter::new()).unwrap();
    let id = || "a".to_owned();
    // Whatever the order in the commit: synced events first, then client-only, then memory ones.
    store.commit((Selected { id: id() }, draft("a", "hello"), todo("a"))).unwrap();
    assert_eq!(drafts(&store), [("hello".into(), 1)]);
    let selection = store.query(Selection::select()).unwrap();
    assert_eq!(selection[0], Selection { id: id(), draft: "hello".into() });
    assert_eq!(store.sync_status().unwrap().pending_events, 1, "only synced events are pending");
    assert_eq!(log(&store), [("e1".into(), false), ("e1.1".into(), false)]);
}

#[test]
fn memory_events_leave_no_trace_and_persisted_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let receipt = store.commit(Selected { id: "a".into() }).unwrap();
    assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Memory);
    assert_eq!(block_on(receipt.fate()).unwrap_err(), ReceiptError::NotSynced);
    let receipt = store.commit(draft("a", "hello")).unwrap();
    assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Normal);
    assert_eq!(block_on(receipt.confirmed()).unwrap_err(), ReceiptError::NotSynced);
    assert_eq!(log(&store), [("e0.1".into(), true)], "nothing stands before it");
    let group = receipt.group_id();
    drop(store);

    let store = open(&folder);
    assert_eq!(drafts(&store), [("hello".into(), 0)]);
    assert!(store.query(Selection::select()).unwrap().is_empty());
    assert!(store.receipt(group).unwrap().is_some());
    assert_eq!(log(&store).len(), 1);
}

#[test]
fn a_failing_event_of_any_kind_takes_the_whole_commit_with_it() {
    let store = Store::open(schema(), "kinds", MemoryAdapter::new()).unwrap();
    store.commit((todo("a"), draft("a", "one"), Selected { id: "a".into() })).unwrap();
    let before = (drafts(&store), log(&store), store.query(Selection::select()).unwrap());
    let error = store.commit((Selected { id: "b".into() }, draft("b", "two"), todo("a")));
    assert!(matches!(error, Err(CommitError::Materialize { .. })), "{error:?}");
    assert_eq!((drafts(&store), log(&store), store.query(Selection::select()).unwrap()), before);
}

#[test]
fn a_synced_event_cannot_write_a_table_of_one_client() {
    let store = Store::open(schema(), "kinds", MemoryAdapter::new()).unwrap();
    let error = store.commit(Trespassed {}).unwrap_err().to_string();
    assert!(error.contains("drafts") && error.contains("client"), "{error}");
}

#[test]
fn live_queries_follow_tables_of_every_scope() {
    let store = Store::open(schema(), "kinds", MemoryAdapter::new()).unwrap();
    let selected = store.query_db(Selection::select().count());
    let saved = store.query_db(Draft::select().count());
    assert_eq!((selected.get().unwrap(), saved.get().unwrap()), (0, 0));
    store.commit((Selected { id: "a".into() }, draft("a", "x"))).unwrap();
    assert_eq!((selected.get().unwrap(), saved.get().unwrap()), (1, 1));
}

#[test]
fn client_only_events_never_reach_the_backend_and_are_no_hindrance() {
    let backend = Served::new();
    let adapter = MemoryAdapter::new().sync(backend.clone());
    assert!(!backend.describe().is_empty());
    let store = Store::open(schema(), "kinds", adapter).unwrap();
    store.commit((todo("a"), draft("a", "one"))).unwrap();
    store.commit(draft("b", "two")).unwrap();
    let receipt = store.commit((draft("c", "three"), todo("b"))).unwrap();
    block_on(receipt.confirmed()).unwrap();
    let names = |backend: &Served| {
        let backend = backend.lock();
        let groups = backend.log().iter();
        let events = groups.flat_map(|confirmed| confirmed.group.events().to_vec());
        events.map(|event| event.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names(&backend), ["v1.TodoCreated"; 2]);
    let settled: Vec<_> =
        ["e1", "e1.1", "e1.2", "e2", "e2.1"].map(|seq| (seq.to_owned(), true)).into();
    assert_eq!(log(&store), settled);
    assert_eq!(
        drafts(&store),
        [("one".into(), 1), ("two".into(), 1), ("three".into(), 2)],
        "each has seen what was there when it was committed"
    );
}

/// What the drafts are after a replay of the whole log by another version of the schema.
fn assert_drafts_are_a_replay(net: &mut Net) {
    let read = |net: &mut Net| {
        let drafts = Draft::select().order_by(Draft::id);
        let drafts = net.replica(0).connection().read().query(&drafts).unwrap();
        drafts.iter().cloned().collect::<Vec<_>>()
    };
    let before = read(net);
    net.use_schema(Schema::builder().table::<Todo>().build().unwrap());
    net.restart(0, OnTheWire::Lost);
    net.use_schema(schema());
    net.restart(0, OnTheWire::Lost);
    assert_eq!(read(net), before);
}

#[test]
fn a_rebase_does_client_only_events_again_behind_what_came_between() {
    let mut net = Net::on_disk(schema(), 1);
    net.settle();
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    net.commit(0, draft("settled", "before"));
    net.commit(0, (todo("mine"), draft("a", "first")));
    net.commit(0, draft("b", "second"));
    net.elsewhere([fact(todo("theirs"))]);
    net.clients[0].is_reachable = true;
    net.settle();
    let drafts = net.replica(0).connection().read().query(&Draft::select().order_by(Draft::id));
    let seen: Vec<_> = drafts.unwrap().iter().map(|d| (d.id.clone(), d.todos)).collect();
    assert_eq!(seen, [("a".into(), 2), ("b".into(), 2), ("settled".into(), 0)]);
    assert_eq!(net.status(0).rebases, 1);
    net.assert_state_is_replay(0);
    assert_drafts_are_a_replay(&mut net);
}

#[test]
fn client_only_events_that_stood_behind_a_rejected_group_are_settled_without_it() {
    let mut net = Net::on_disk(schema(), 1);
    net.settle();
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    net.commit(0, (todo("same"), draft("a", "kept")));
    net.elsewhere([fact(todo("same"))]);
    net.clients[0].is_reachable = true;
    net.settle();
    let status = net.status(0);
    assert_eq!((status.dead_letters, status.pending_groups), (1, 0));
    let local_head = SeqNum { client: 0, ..status.local_head };
    assert_eq!(local_head.to_string(), "e1");
    assert_drafts_are_a_replay(&mut net);
}

#[test]
fn an_answer_to_a_push_does_not_pass_pages_of_it_that_wait_to_be_merged() {
    let mut net = Net::new(schema(), 1);
    net.settle();
    net.commit(0, todo("a"));
    for id in ["d", "e", "f", "g"] {
        net.commit(0, draft(id, "between groups of one page"));
    }
    let [b, c] = ["b", "c"].map(|id| net.commit(0, todo(id)));
    net.poll(0);
    assert!(net.take(0), "the push reaches the backend");
    net.backend.page_events = 2;
    assert!(net.send_page(0) && net.answer(0));
    net.replica(0).more_messages_wait(true);
    assert!(matches!(net.reach_client(0), Some(ServerMessage::Page(_))));
    assert!(matches!(net.reach_client(0), Some(ServerMessage::PushAccepted(_))));
    let fate = |at: u64| {
        let at = GlobalSeqNum(at);
        GroupState::Ended(Fate::Confirmed { first: at, last: at })
    };
    assert_eq!(net.replica(0).group_state(b.group_id).unwrap(), fate(2));
    assert_eq!(net.replica(0).group_state(c.group_id).unwrap(), fate(3));
    assert_eq!(net.status(0).pending_groups, 0);
    net.assert_state_is_replay(0);
    net.converge();
}

/// Where in the log an event was applied.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "places", scope = "client")]
struct AppliedAt {
    #[column(primary_key)]
    id: String,
    place: String,
}

#[test]
fn the_place_of_a_client_only_event_counts_those_behind_a_group_that_was_rewritten() {
    let schema = Schema::builder()
        .table::<Todo>()
        .table::<AppliedAt>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
        .event(|e: DraftSaved, cx| {
            let place = SeqNum { generation: 0, ..cx.position() }.to_string();
            AppliedAt::insert(AppliedAt { id: e.id, place })
        })
        .on_rebase(|e: TodoCreated, _| Ok(OnRebase::Rewrite(todo(&format!("{} again", e.id)))))
        .build()
        .unwrap();
    let mut net = Net::new(schema, 1);
    net.settle();
    net.cut(0, OnTheWire::Lost);
    net.commit(0, todo("mine"));
    net.commit(0, draft("a", ""));
    net.elsewhere([fact(todo("theirs"))]);
    while net.status(0).rebases == 0 {
        net.poll(0);
        net.reach_backend(0);
        net.send_page(0);
        net.reach_client(0);
        if !net.is_connected(0) {
            net.wait_for_retry(0);
        }
    }
    assert_eq!(net.status(0).pending_groups, 1);
    net.commit(0, draft("b", ""));
    let places = AppliedAt::select().order_by(AppliedAt::id);
    let places = net.replica(0).connection().read().query(&places).unwrap();
    let places: Vec<_> = places.iter().map(|row| row.place.as_str()).collect();
    assert_eq!(places, ["e2.1", "e2.2"]);
    net.assert_state_is_replay(0);
    net.settle();
    net.converge();
}
