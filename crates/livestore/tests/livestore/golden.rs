//! The storage format: files that were written once are opened by today's code, and today's code
//! writes the same.

use std::path::Path;
use std::sync::Once;

use livestore::prelude::*;
use livestore::protocol::{Refusal, RejectReason, ServerMessage};
use livestore::replica::{Capabilities, RebuildProgress, ReplicaConfig};
use livestore::{
    ClientId, ConnectionState, DeadLetterReason, Durability, HistoryAnswer, LoggedEvent,
    PoisonAnswer, Replica, SessionId, StoreId,
};
use livestore_golden::{Fixtures, dump_of};
use livestore_sqlite::{Connection, rusqlite};

use crate::backend::{Backend, Net, OnTheWire, fact};
use crate::family::{
    Draft, Measured, Pin, PointerMoved, SeatPinned, draft, later_schema, note, schema, seat,
};

const FIXTURES: Fixtures = Fixtures {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"),
    what: "the storage format",
    command: "cargo test -p livestore-rs --test livestore golden",
};

/// A store with a row of every kind.
pub const STORE: &str = "store-1.livestore";
/// The same store in the middle of a rebuild by [`later_schema`].
const REBUILDING: &str = "store-1-rebuilding.livestore";

/// The state hash of both, once the rebuild is done.
pub const STATE_HASH: &str = "d5678f66d4a4ff19a59ec22feee54fdcf41adc2c28e4bb9f47db1f5415aa04ed";

/// Makes the content of [`STORE`].
fn make_store() -> Vec<u8> {
    let mut net = Net::new(schema(), 0);
    net.on_history_diverged = HistoryAnswer::RebasePending;
    net.add_client(true);
    net.settle();

    // Two groups that both histories will have; an event in the first is of the future.
    let future = ("v9.FromTheFuture", livestore::CanonicalJson::parse(r#"{"x":1}"#).unwrap());
    net.elsewhere([fact(note("theirs", "first")), future]);
    net.settle();
    let sample = |at, value, raw: &[u8], valid| Measured {
        sensor: "roof".into(),
        at,
        value,
        raw: raw.into(),
        tags: vec!["outside".into(), "näh \"2\"".into()],
        valid,
    };
    let samples =
        [sample(-1, Some(21.5), b"\0\xff", true), sample(i64::from(i32::MAX), None, b"", false)];
    net.commit(0, samples);
    net.commit(0, draft("d", "settles behind the samples"));
    net.commit(0, PointerMoved { to: 3 });
    net.settle();
    let common = net.backend.log().to_vec();

    // A dead letter of each kind.
    let refused = net.commit(0, note("refused", "on a Sunday"));
    net.backend.refused.insert(refused.group_id);
    net.settle();
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    net.commit(0, seat(1, "me"));
    net.elsewhere([fact(seat(1, "them"))]);
    net.clients[0].is_reachable = true;
    net.settle();

    // Own groups that will be pending again, and a group of others that will be archived.
    net.commit(0, seat(7, "me"));
    net.commit(0, note("mine", "of a history that ended"));
    net.settle();
    net.restart(0, OnTheWire::Lost);
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    net.commit(0, (note("theirs", "again"), draft("d", "waits"), SeatPinned { seat: 7 }));
    net.commit(0, sample(-1, Some(-0.0), b"\x01", true));

    // The other history, of which the client gets the first page only.
    net.backend = Backend::new(2);
    net.backend.page_events = 1;
    for confirmed in common {
        net.backend.append(confirmed.group);
    }
    let taken =
        [fact(seat(7, "them")), fact(note("a", "")), fact(note("b", "")), fact(note("c", ""))];
    net.elsewhere(taken.into_iter().chain([fact(note("d", "")), fact(note("e", ""))]));
    net.elsewhere([fact(note("late", "not here yet"))]);
    net.clients[0].is_reachable = true;
    while net.status(0).archived == 0 {
        if !net.step(0) {
            net.wait_for_retry(0);
        }
    }
    loop {
        net.poll(0);
        net.reach_backend(0);
        net.send_page(0);
        if let Some(ServerMessage::Page(_)) = net.reach_client(0) {
            return net.into_file(0);
        }
    }
}

/// Makes the content of [`REBUILDING`]: the log is in the state, the pending tail is not.
fn make_rebuilding(store: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    std::fs::write(&path, store).unwrap();
    let mut batches = 0;
    let mut progress = |progress| {
        batches += u32::from(matches!(progress, RebuildProgress::Derived { .. }));
        if batches == 3 {
            copy_database(&path, &copy);
        }
    };
    open_replica(&path, later_schema(), &mut progress);
    assert_eq!(batches, 4, "the log, its end, the tail, its end");
    // Closing it moves everything into one file.
    rusqlite::Connection::open(&copy).unwrap().execute_batch("PRAGMA user_version").unwrap();
    std::fs::read(copy).unwrap()
}

/// Returns the golden files; makes them anew first, if that is asked for.
pub fn fixtures() -> &'static Fixtures {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        if FIXTURES.regenerate() {
            let store = make_store();
            FIXTURES.write(REBUILDING, &make_rebuilding(&store));
            FIXTURES.write(STORE, &store);
        }
    });
    &FIXTURES
}

fn copy_database(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let with_suffix = |path: &Path| format!("{}{suffix}", path.display());
        std::fs::copy(with_suffix(from), with_suffix(to)).unwrap();
    }
}

fn open_replica(path: &Path, schema: Schema, progress: &mut dyn FnMut(RebuildProgress)) -> Replica {
    let config = ReplicaConfig {
        schema,
        store_id: StoreId::new("test").unwrap(),
        client_id: ClientId::new("unused").unwrap(),
        session_id: SessionId::new("s").unwrap(),
        durability: Durability::Normal,
        upstream: Some(Capabilities::OURS),
        on_poison: PoisonAnswer::Quarantine,
        on_history_diverged: HistoryAnswer::Stop,
        seed: [1; 32],
    };
    let connection = Connection::open_file(path).unwrap();
    Replica::open(connection, config, "store", 1, progress).unwrap()
}

/// Opens a golden file, or rather a copy of it, as an app does.
fn open_golden(name: &str, schema: Schema) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.livestore"), fixtures().read(name)).unwrap();
    let store = Store::open(schema, "test", FileAdapter::new(folder.path()));
    let store = store.expect("a file of format 1 opens; if it must not, raise the format version");
    (folder, store)
}

#[test]
fn today_s_code_writes_what_the_golden_files_hold() {
    let store = make_store();
    let rebuilding = make_rebuilding(&store);
    for (name, made) in [(STORE, store), (REBUILDING, rebuilding)] {
        fixtures().check(&format!("{name}.txt"), &dump_of(&made));
    }
}

#[test]
fn each_golden_file_holds_what_its_dump_says() {
    for name in [STORE, REBUILDING] {
        fixtures().check(&format!("{name}.txt"), &dump_of(&fixtures().read(name)));
    }
}

fn line(event: LoggedEvent) -> String {
    let LoggedEvent { seq, confirmed, name, args, client_id, session_id, .. } = event;
    let mark = if confirmed { "" } else { "?" };
    format!("{seq}{mark} {client_id}/{session_id} {name} {args}")
}

/// What is in both files, however they are opened.
fn check_content(store: &Store) {
    let events: Vec<_> = store.events().map(|event| line(event.unwrap())).collect();
    assert_eq!(events, EVENTS);
    let status = store.sync_status().unwrap();
    assert_eq!(status.connection, ConnectionState::NoBackend);
    assert_eq!(status.local_head.to_string(), "e14r2");
    assert_eq!((status.confirmed_head.0, status.pulled_head.0), (10, 10));
    assert_eq!((status.pending_groups, status.pending_events), (4, 4));
    assert_eq!(status.groups_in_doubt, 1);
    assert_eq!((status.dead_letters, status.quarantined, status.archived), (2, 1, 1));
    assert_eq!(status.last_synced_ms, Some(1_000_125));

    let letters = store.dead_letters().unwrap();
    let names = |letter: &livestore::DeadLetter| letter.group.events()[0].args.to_string();
    let args = [r#"{"id":"refused","text":"on a Sunday"}"#, r#"{"by":"me","seat":1}"#];
    assert_eq!(letters.iter().map(names).collect::<Vec<_>>(), args);
    let message = "not on a Sunday";
    let reason = RejectReason::Refused(Refusal::new(message));
    assert_eq!(letters[0].reason, DeadLetterReason::RefusedByBackend { reason });
    assert!(matches!(
        &letters[1].reason,
        DeadLetterReason::MaterializeFailed { event_index: 0, .. }
    ));

    let quarantined = store.quarantined().unwrap();
    let [skipped] = &quarantined[..] else { panic!("{quarantined:?}") };
    assert_eq!((skipped.seq.to_string(), skipped.unknown), ("e2".into(), true));
    let archived = store.archived().unwrap();
    let [(backend, group)] = &archived[..] else { panic!("{archived:?}") };
    assert_eq!(backend.as_bytes(), &[1; 16]);
    assert_eq!((group.first.0, group.group.client_id().as_str()), (5, "elsewhere"));
    assert_eq!(group.group.events()[0].args.as_str(), r#"{"by":"them","seat":1}"#);

    assert_eq!(store.state_hash().unwrap().to_string(), STATE_HASH);
    assert_eq!(store.replay_hash().unwrap().to_string(), STATE_HASH);
    // The state hash says nothing about client tables.
    let drafts = store.query(Draft::select()).unwrap();
    let drafts: Vec<_> = drafts.iter().map(|d| (&*d.id, &*d.text, d.notes_then)).collect();
    assert_eq!(drafts, [("d", "waits", 7)]);
    let pins = store.query(Pin::select()).unwrap();
    let pins: Vec<_> = pins.iter().map(|pin| (pin.seat, &*pin.by)).collect();
    assert_eq!(pins, [(7, "them")]);
}

const EVENTS: [&str; 17] = [
    r#"e1 elsewhere/s v1.NoteWritten {"id":"theirs","text":"first"}"#,
    r#"e2 elsewhere/s v9.FromTheFuture {"x":1}"#,
    r#"e3 client-0/opening-1 v1.Measured {"at":-1,"raw":[0,255],"sensor":"roof","tags":["outside","näh \"2\""],"valid":true,"value":21.5}"#,
    r#"e4 client-0/opening-1 v1.Measured {"at":2147483647,"raw":[],"sensor":"roof","tags":["outside","näh \"2\""],"valid":false,"value":null}"#,
    r#"e4.1 client-0/opening-1 v1.DraftSaved {"id":"d","text":"settles behind the samples"}"#,
    r#"e5 elsewhere/s v1.SeatTaken {"by":"them","seat":7}"#,
    r#"e6 elsewhere/s v1.NoteWritten {"id":"a","text":""}"#,
    r#"e7 elsewhere/s v1.NoteWritten {"id":"b","text":""}"#,
    r#"e8 elsewhere/s v1.NoteWritten {"id":"c","text":""}"#,
    r#"e9 elsewhere/s v1.NoteWritten {"id":"d","text":""}"#,
    r#"e10 elsewhere/s v1.NoteWritten {"id":"e","text":""}"#,
    r#"e11r2? client-0/opening-1 v1.SeatTaken {"by":"me","seat":7}"#,
    r#"e12r2? client-0/opening-1 v1.NoteWritten {"id":"mine","text":"of a history that ended"}"#,
    r#"e13r2? client-0/opening-2 v1.NoteWritten {"id":"theirs","text":"again"}"#,
    r#"e13.1r2? client-0/opening-2 v1.DraftSaved {"id":"d","text":"waits"}"#,
    r#"e13.2r2? client-0/opening-2 v1.SeatPinned {"seat":7}"#,
    r#"e14r2? client-0/opening-2 v1.Measured {"at":-1,"raw":[1],"sensor":"roof","tags":["outside","näh \"2\""],"valid":true,"value":0}"#,
];

#[test]
fn today_s_code_finds_everything_in_a_golden_store() {
    let (_folder, store) = open_golden(STORE, schema());
    check_content(&store);
    // And it goes on from there.
    store.commit((note("new", ""), draft("new", ""), PointerMoved { to: 1 })).unwrap();
    assert_eq!(store.state_hash().unwrap(), store.replay_hash().unwrap());
}

#[test]
fn today_s_code_finishes_a_rebuild_that_a_golden_store_is_in_the_middle_of() {
    let (_folder, store) = open_golden(REBUILDING, later_schema());
    check_content(&store);
}
