//! How an app's events and materializers change while its log stays what it is.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ThreadId};

use livestore::prelude::*;
use livestore::{
    CanonicalJson, ConnectionState, Durability, EventDef, EventKind, EventName, LoggedEvent,
    NewEvent, Replica, SchemaBuilder, SchemaError, StopReason, Subscription, UnknownEvents,
    Upcaster, Warning,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::app::{Todo, TodoCreated, assert_state_is_replay, block_on, todo, todos, wait_until};
use crate::backend::{Net, OnTheWire, Served, fact, foreign_group};
use crate::releases::opened_and_killed;

/// The event that took the place of `v1.TodoCreated`.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v2.TodoCreated")]
struct TodoCreated2 {
    id: String,
    title: String,
}

/// The event that took the place of that.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v3.TodoCreated")]
struct TodoCreated3 {
    id: String,
    title: String,
    done: bool,
}

fn first() -> SchemaBuilder {
    Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }))
}

fn second_to_third() -> Upcaster {
    Upcaster::json("v2.TodoCreated", "v3.TodoCreated", |args| {
        let mut args: serde_json::Value = args.decode()?;
        args["done"] = json!(true);
        Ok::<_, MaterializeError>(args)
    })
}

/// The app in its third release, which still reads what the first two wrote.
fn third() -> SchemaBuilder {
    Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated3, _| {
            Todo::insert(Todo { id: e.id, text: e.title, completed: e.done })
        })
        .upcast(Upcaster::new(|old: TodoCreated| TodoCreated2 {
            id: old.id,
            title: format!("{}!", old.text),
        }))
        .upcast(second_to_third())
}

fn open(folder: &tempfile::TempDir, schema: SchemaBuilder) -> Store {
    Store::open(schema.build().unwrap(), "app", FileAdapter::new(folder.path())).unwrap()
}

fn all(store: &Store) -> Vec<(String, String, bool)> {
    let todos = store.query(Todo::select().order_by(Todo::id)).unwrap();
    todos.iter().map(|todo| (todo.id.clone(), todo.text.clone(), todo.completed)).collect()
}

fn log(store: &Store) -> Vec<(String, String)> {
    let events = store.events().map(Result::unwrap);
    events.map(|event| (event.name.to_string(), event.args.to_string())).collect()
}

#[test]
fn old_events_are_upcast_when_they_are_read_and_stay_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, first());
    store.commit(TodoCreated { id: "a".into(), text: "one".into() }).unwrap();
    let before = log(&store);
    drop(store);
    let store = open(&folder, third());
    assert_eq!(all(&store), [("a".into(), "one!".into(), true)], "through both steps");
    assert_eq!(log(&store), before);
    store.commit(TodoCreated3 { id: "b".into(), title: "two".into(), done: false }).unwrap();
    assert_eq!(all(&store)[1], ("b".into(), "two".into(), false));
    assert_state_is_replay(&store);
}

#[test]
fn an_old_event_may_still_come_from_others_or_from_a_dead_letter() {
    let backend = Served::new();
    let adapter = MemoryAdapter::new().sync(backend.clone());
    let store = Store::open(third().build().unwrap(), "app", adapter).unwrap();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("theirs"))]));
    wait_until(&store, |status| status.confirmed_head.0 == 1);
    let receipt = store.commit(todo("mine")).unwrap();
    block_on(receipt.confirmed()).unwrap();
    assert_eq!(todos(&store), ["mine", "theirs"]);
    assert_eq!(store.quarantined().unwrap(), []);
}

#[test]
fn an_event_that_cannot_be_upcast_is_skipped_and_noted() {
    let backend = Served::new();
    let refuse = |old: TodoCreated| {
        if old.id == "bad" { Err("nobody knows what it means") } else { Ok(old) }
    };
    let schema = Schema::builder()
        .table::<Todo>()
        .event(|e: TodoCreated2, _| {
            Todo::insert(Todo { id: e.id, text: e.title, completed: false })
        })
        .upcast(Upcaster::fallible(move |old| {
            refuse(old).map(|old| TodoCreated2 { id: old.id, title: old.text })
        }));
    let adapter = MemoryAdapter::new().sync(backend.clone());
    let store = Store::open(schema.build().unwrap(), "app", adapter).unwrap();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("bad")), fact(todo("good"))]));
    wait_until(&store, |status| status.confirmed_head.0 == 2);
    assert_eq!(todos(&store), ["good"]);
    let skipped = store.quarantined().unwrap();
    assert!(skipped[0].reason.contains("upcasting") && skipped[0].reason.contains("nobody knows"));
    assert!(!skipped[0].unknown);
    let error = store.commit(todo("bad")).unwrap_err().to_string();
    assert!(error.contains("event v1.TodoCreated"), "{error}");
}

fn identity(from: &str, to: &str) -> Upcaster {
    Upcaster::json(from, to, |args| Ok::<_, MaterializeError>(args.clone()))
}

#[test]
fn upcasters_that_lead_nowhere_or_in_circles_are_refused_when_the_schema_is_built() {
    let base = || Schema::builder().event_json("v9.X", EventKind::Synced, |_, _| ());
    let name = |name| EventName::new(name).unwrap();
    let refused = |builder: SchemaBuilder| builder.build().unwrap_err();

    let circle = base()
        .upcast(identity("v0.X", "v1.X"))
        .upcast(identity("v1.X", "v2.X"))
        .upcast(identity("v2.X", "v1.X"));
    let SchemaError::UpcastCycle { from } = refused(circle) else { panic!("it is a circle") };
    assert!(from == name("v1.X") || from == name("v2.X"), "{from} is on the circle");
    let itself = base().upcast(identity("v1.X", "v1.X"));
    assert_eq!(refused(itself), SchemaError::UpcastCycle { from: name("v1.X") });

    let nowhere = base().upcast(identity("v1.X", "v2.X"));
    let (from, to) = (name("v1.X"), "v2.X".into());
    assert_eq!(refused(nowhere), SchemaError::UnknownUpcast { from, to });
    for twice in [
        base().upcast(identity("v9.X", "v9.X")),
        base().upcast(identity("v1.X", "v9.X")).upcast(identity("v1.X", "v9.X")),
    ] {
        assert!(matches!(refused(twice), SchemaError::DuplicateUpcast { .. }));
    }
}

#[derive(Event, Clone, Debug)]
enum Mixed {
    #[event(name = "v2.Here", client_only)]
    Here,
    #[event(name = "v2.Everywhere")]
    Everywhere,
}

#[test]
fn an_upcast_event_stays_of_its_kind() {
    let schema = Schema::builder()
        .event(|_: Mixed, _| ())
        .upcast(Upcaster::new(|_: TodoCreated| Mixed::Everywhere));
    let error = schema.build().unwrap_err();
    assert!(matches!(error, SchemaError::UpcastKinds { .. }), "{error}");
    assert!(matches!(Mixed::Here.name(), "v2.Here"));
}

#[test]
fn the_state_version_follows_upcasters_and_versions_of_materializers_on_disk() {
    let version = |builder: SchemaBuilder| builder.build().unwrap().state_version();
    let event = |name: &'static str, version| {
        let def = EventDef::synced(name).version(version);
        Schema::builder().event_def(def, |_, _| ())
    };
    assert_eq!(version(event("v1.A", 0)), version(Schema::builder()), "a new event is no change");
    assert_ne!(version(event("v1.A", 1)), version(event("v1.A", 0)));
    assert_ne!(version(event("v1.A", 1)), version(event("v1.A", 2)));
    assert_ne!(version(event("v1.A", 1)), version(event("v1.B", 1)));
    let memory = EventDef::client_only("A").version(1);
    let memory = Schema::builder().event_def(memory, |_, _| ());
    assert_eq!(version(memory), version(Schema::builder()), "its tables begin empty anyway");
    let upcast = |version| event("v2.A", 0).upcast(identity("v1.A", "v2.A").version(version));
    assert_ne!(version(upcast(0)), version(event("v2.A", 0)));
    assert_ne!(version(upcast(0)), version(upcast(1)));
}

#[test]
fn a_raised_version_of_one_event_derives_the_state_anew() {
    #[derive(Event, Serialize, Deserialize)]
    #[event(name = "v1.TodoCreated", version = 2)]
    struct Loud {
        id: String,
        text: String,
    }
    let folder = tempfile::tempdir().unwrap();
    open(&folder, first()).commit(todo("a")).unwrap();
    let later = Schema::builder().table::<Todo>().event(|e: Loud, _| {
        Todo::insert(Todo { id: e.id, text: e.text.to_uppercase(), completed: false })
    });
    assert_eq!(all(&open(&folder, later))[0].1, "TEXT OF A");
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Seen", client_only, persist)]
struct Seen {
    seq: u64,
}

/// A store of an app that knows no event at all, and a backend that has two of one name.
fn ignorant(answer: UnknownEvents) -> (Served, Store) {
    let backend = Served::new();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    for id in ["a", "b"] {
        backend.elsewhere(foreign_group(&mut ids, [fact(todo(id))]));
    }
    let schema = Schema::builder().table::<Todo>().unknown_events(answer).build().unwrap();
    let store = Store::open(schema, "app", MemoryAdapter::new().sync(backend.clone())).unwrap();
    (backend, store)
}

#[test]
fn unknown_events_are_kept_and_warned_of_once_for_each_name() {
    let (_backend, store) = ignorant(UnknownEvents::default());
    wait_until(&store, |status| status.quarantined == 2);
    let name = EventName::new("v1.TodoCreated").unwrap();
    let seq = store.quarantined().unwrap()[0].seq;
    assert_eq!(store.warnings(), [Warning::UnknownEvent { name, seq }]);
    assert_eq!(store.events().count(), 2);
}

#[test]
fn or_ignored() {
    let (_backend, store) = ignorant(UnknownEvents::Ignore);
    wait_until(&store, |status| status.quarantined == 2);
    assert_eq!(store.warnings(), []);
}

#[test]
fn or_given_to_the_app_one_by_one() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let callback = move |event: &LoggedEvent| {
        sink.lock().unwrap().push((event.seq.to_string(), event.args.to_string()));
        panic!("a callback's panic is its own business");
    };
    let (_backend, store) = ignorant(UnknownEvents::callback(callback));
    wait_until(&store, |status| status.quarantined == 2);
    wait_until(&store, |_| seen.lock().unwrap().len() == 2);
    let args = |id| todo(id).encode().unwrap().to_string();
    assert_eq!(*seen.lock().unwrap(), [("e1".into(), args("a")), ("e2".into(), args("b"))]);
}

/// An app that knows no events, but wants to hear of each.
fn listening(version: u64) -> Schema {
    let answer = UnknownEvents::callback(|_| ());
    let schema = Schema::builder().table::<Todo>().unknown_events(answer);
    schema.materializer_version(version).build().unwrap()
}

/// Takes what the replica hands out, and checks that it is never much at a time.
fn handed_out(replica: &mut Replica) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let page = replica.poll_unknown().unwrap();
        assert!(page.len() <= 256, "{} at a time", page.len());
        if page.is_empty() {
            return all;
        }
        all.extend(page.into_iter().map(|event| event.args.to_string()));
    }
}

#[test]
fn however_many_there_are_they_are_given_in_pages_also_after_a_rebuild_that_was_cut_short() {
    let mut net = Net::on_disk(listening(0), 1);
    let all: Vec<_> = (0..1_200).map(|number| todo(&number.to_string())).collect();
    for group in all.chunks(300) {
        net.elsewhere(group.iter().cloned().map(fact));
    }
    net.settle();
    let all: Vec<_> = all.into_iter().map(|todo| todo.encode().unwrap().to_string()).collect();
    assert_eq!(handed_out(net.replica(0)), all);
    assert_eq!(handed_out(net.replica(0)), [""; 0], "each once");
    net.restart(0, OnTheWire::Lost);
    assert_eq!(handed_out(net.replica(0)), [""; 0], "nothing was derived anew");
    net.use_schema(listening(1));
    opened_and_killed(&mut net, 3);
    net.restart(0, OnTheWire::Lost);
    assert_eq!(handed_out(net.replica(0)), all);
}

#[test]
fn a_callback_that_uses_the_store_is_called_in_order() {
    static STORE: OnceLock<Store> = OnceLock::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let callback = move |event: &LoggedEvent| {
        STORE.get().unwrap().commit(Seen { seq: event.seq.global.0 }).unwrap();
        sink.lock().unwrap().push(event.seq.global.0);
    };
    let schema =
        Schema::builder().event(|_: Seen, _| ()).unknown_events(UnknownEvents::callback(callback));
    let backend = Served::new();
    let adapter = MemoryAdapter::new().sync(backend.clone());
    let store = Store::open(schema.build().unwrap(), "app", adapter).unwrap();
    STORE.set(store.clone()).unwrap();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, (0..700).map(|n| fact(todo(&n.to_string())))));
    wait_until(&store, |_| seen.lock().unwrap().len() == 700);
    assert_eq!(*seen.lock().unwrap(), (1..=700).collect::<Vec<_>>());
    store.shutdown().unwrap();
}

/// Positions of events, each with the thread that called the app with it.
type Told = Arc<Mutex<Vec<(u64, ThreadId)>>>;

/// An app that knows no synced event and hears of each; its version derives the state anew.
fn hearing(version: u64) -> (Schema, Told) {
    let told = Told::default();
    let sink = Arc::clone(&told);
    let callback = move |event: &LoggedEvent| {
        sink.lock().unwrap().push((event.seq.global.0, thread::current().id()));
    };
    let schema = Schema::builder().event(|_: Seen, _| ()).materializer_version(version);
    (schema.unknown_events(UnknownEvents::callback(callback)).build().unwrap(), told)
}

fn positions(told: &Told) -> Vec<u64> {
    told.lock().unwrap().iter().map(|(position, _)| *position).collect()
}

/// Holds up the thread that has met the first unknown event, before it tells of it: says which it
/// is, and lets it go on when the sender is dropped.
fn hold_up(store: &Store) -> (Receiver<ThreadId>, Sender<()>, Subscription) {
    let ((met, is_met), (go, may_go)) = (channel(), channel::<()>());
    let subscription = store.live_sync_status().subscribe(move |status| {
        if status.quarantined > 0 {
            // They fail once the test has seen enough.
            let _ = met.send(thread::current().id());
            let _ = may_go.recv();
        }
    });
    (is_met, go, subscription)
}

#[test]
fn the_thread_that_met_unknown_events_tells_of_them_and_no_commit_meanwhile() {
    let (schema, told) = hearing(0);
    let backend = Served::new();
    let store = Store::open(schema, "app", MemoryAdapter::new().sync(backend.clone())).unwrap();
    let (is_met, go, _subscription) = hold_up(&store);
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, (0..300).map(|n| fact(todo(&n.to_string())))));
    let driver = is_met.recv().unwrap();
    store.commit(Seen { seq: 0 }).unwrap();
    assert_eq!(positions(&told), [0; 0], "the commit returned without");
    drop(go);
    wait_until(&store, |_| told.lock().unwrap().len() == 300);
    assert_eq!(*told.lock().unwrap(), (1..=300).map(|n| (n, driver)).collect::<Vec<_>>());
}

#[test]
fn those_of_a_state_that_was_derived_anew_are_told_before_the_store_is_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Served::new();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, ["a", "b"].map(|id| fact(todo(id)))));
    let open = |schema| {
        let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
        Store::open(schema, "app", adapter).unwrap()
    };
    let (schema, told) = hearing(0);
    let store = open(schema);
    wait_until(&store, |_| positions(&told) == [1, 2]);
    drop(store);
    let (schema, told) = hearing(1);
    let _store = open(schema);
    let here = thread::current().id();
    assert_eq!(*told.lock().unwrap(), [(1, here), (2, here)]);
}

#[test]
fn those_that_cannot_be_read_are_told_with_the_next_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (schema, told) = hearing(0);
    let backend = Served::new();
    let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
    let store = Store::open(schema, "app", adapter).unwrap();
    let (is_met, go, _subscription) = hold_up(&store);
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("a"))]));
    is_met.recv().unwrap();
    let file = folder.path().join("app.livestore");
    let file = livestore_sqlite::rusqlite::Connection::open(file).unwrap();
    let set_id = |id: &[u8]| {
        file.execute("UPDATE __livestore_eventlog SET event_id = ? WHERE seq = 1", [id]).unwrap()
    };
    let id: Vec<u8> =
        file.query_row("SELECT event_id FROM __livestore_eventlog", [], |row| row.get(0)).unwrap();
    set_id(b"no id");
    drop(go);
    // The driver syncs the disk when it is done with telling.
    let receipt = store.commit_at(Durability::Full, Seen { seq: 1 }).unwrap();
    block_on(receipt.persisted()).unwrap();
    set_id(&id);
    store.commit(Seen { seq: 2 }).unwrap();
    assert_eq!(positions(&told), [0; 0], "no commit tells");
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("b"))]));
    wait_until(&store, |_| positions(&told) == [1, 2]);
}

#[test]
fn or_they_stop_pulling_until_a_release_knows_them() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Served::new();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("a"))]));
    let open = |schema: SchemaBuilder| {
        let schema = schema.unknown_events(UnknownEvents::Fail).build().unwrap();
        let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
        Store::open(schema, "app", adapter).unwrap()
    };
    let store = open(Schema::builder().table::<Todo>());
    wait_until(&store, |status| {
        matches!(status.connection, ConnectionState::Stopped(StopReason::UnknownEvent { .. }))
    });
    let error = store.sync_status().unwrap().last_error.unwrap();
    assert!(error.contains("v1.TodoCreated") && error.contains("e1"), "{error}");
    assert_eq!((store.events().count(), store.quarantined().unwrap().len()), (0, 0));
    drop(store);
    let store = open(first());
    wait_until(&store, |status| status.confirmed_head.0 == 1);
    assert_eq!(todos(&store), ["a"]);
}

#[test]
fn fields_that_an_old_release_does_not_know_survive_it() {
    let mut net = Net::on_disk(first().build().unwrap(), 1);
    net.settle();
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    // A newer release has committed this into the file that the older one opens now.
    let args = r#"{"id":"mine","priority":{"level":5},"text":"newer"}"#;
    let event = NewEvent::from_json("v1.TodoCreated", CanonicalJson::parse(args).unwrap()).unwrap();
    net.commit(0, event);
    net.elsewhere([fact(todo("theirs"))]);
    net.use_schema(first().materializer_version(1).build().unwrap());
    net.restart(0, OnTheWire::Lost);
    net.clients[0].is_reachable = true;
    net.settle();
    assert_eq!(net.status(0).rebases, 1);
    let pushed = &net.backend.log()[1].group.events()[0];
    assert_eq!((pushed.name.as_str(), pushed.args.as_str()), ("v1.TodoCreated", args));
    let rows = net.replica(0).connection().read().query(&Todo::select().count()).unwrap();
    assert_eq!(rows, 2);
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "origins")]
struct Origin {
    #[column(primary_key)]
    id: String,
    event: String,
    group: String,
    client: String,
    session: String,
    at: String,
}

#[test]
fn a_materializer_knows_where_its_event_comes_from() {
    let schema = Schema::builder().table::<Origin>().event(|e: TodoCreated, cx| {
        Origin::insert(Origin {
            id: e.id,
            event: format!("{} {}", cx.event_name(), cx.event_id()),
            group: cx.group_id().to_string(),
            client: cx.client_id().to_string(),
            session: cx.session_id().to_string(),
            at: cx.position().to_string(),
        })
    });
    let store = Store::open(schema.build().unwrap(), "app", MemoryAdapter::new()).unwrap();
    store.commit(todo("a")).unwrap();
    store.commit((todo("b"), todo("c"))).unwrap();
    let origins = store.query(Origin::select().order_by(Origin::id)).unwrap();
    let events: Vec<_> = store.events().map(Result::unwrap).collect();
    for (origin, event) in origins.iter().zip(&events) {
        assert_eq!(origin.event, format!("{} {}", event.name, event.id));
        assert_eq!(origin.group, event.group_id.to_string());
        assert_eq!(origin.client, event.client_id.to_string());
        assert_eq!(origin.session, event.session_id.to_string());
        assert_eq!(origin.at, event.seq.to_string());
    }
    assert_eq!(origins.iter().map(|o| o.at.as_str()).collect::<Vec<_>>(), ["e1", "e2", "e3"]);
}
