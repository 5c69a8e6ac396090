//! The server's storage format: a database that was written once is opened by today's code, and
//! today's code writes the same.

use std::fs;
use std::path::Path;
use std::sync::Once;

use livestore_core::protocol::Page;
use livestore_core::{
    CanonicalJson, ClientId, Event, EventId, EventName, GlobalSeqNum, Group, SessionId,
};
use livestore_golden::{Fixtures, dump_of};
use livestore_server::{AppendOutcome, AppendRequest, LogStorage, NoRules, SqliteStorage};

use crate::support::{group_id, group_of, store};

const FIXTURES: Fixtures = Fixtures {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"),
    what: "the server's storage format",
    command: "cargo test -p livestore-server --test server golden",
};

/// Two stores with groups of one and of several events.
const DATABASE: &str = "server-1.db";
const DUMP: &str = "server-1.db.txt";

/// Returns the golden files; makes them anew first, if that is asked for.
fn fixtures() -> &'static Fixtures {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        if FIXTURES.regenerate() {
            FIXTURES.write(DATABASE, &make_database());
        }
    });
    &FIXTURES
}

/// A group with all that a name and a payload may hold.
fn odd_group() -> Group {
    let event = Event {
        id: EventId::from_bytes([0xee; 16]),
        name: EventName::new("näh, \"what\"?").unwrap(),
        args: CanonicalJson::parse(r#"[null,-1.5e-7,"\u0001\"é😀",{"a":[],"b":{}}]"#).unwrap(),
    };
    let (client, session) = (ClientId::new("phone-09bc").unwrap(), SessionId::new("app").unwrap());
    Group::new(group_id(9), client, session, vec![event]).unwrap()
}

fn requests() -> [AppendRequest; 3] {
    let request = |name, base, groups| AppendRequest {
        principal: None,
        store_id: store(name),
        base: GlobalSeqNum(base),
        groups,
    };
    [
        request("notes", 0, vec![group_of(1, 2, "milk"), group_of(2, 1, "bread")]),
        request("tasks", 0, vec![odd_group()]),
        request("notes", 3, vec![group_of(3, 3, "")]),
    ]
}

fn make_database() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.db");
    let vfs = if cfg!(windows) { "win32" } else { "unix" };
    let storage = SqliteStorage::open_in_vfs(path.to_str().unwrap(), vfs, [7; 32], 1_000_000);
    let mut storage = storage.unwrap();
    for outcome in storage.append(&requests(), &NoRules).unwrap() {
        assert!(matches!(outcome, AppendOutcome::Appended { .. }), "{outcome:?}");
    }
    drop(storage);
    fs::read(path).unwrap()
}

fn open_golden(dir: &Path) -> SqliteStorage {
    fs::write(dir.join("livestore-server.db"), fixtures().read(DATABASE)).unwrap();
    let storage = SqliteStorage::open(dir);
    storage.expect("a database of format 1 opens; if it must not, raise the format version")
}

#[test]
fn today_s_code_writes_what_the_golden_database_holds() {
    fixtures().check(DUMP, &dump_of(&make_database()));
}

#[test]
fn the_golden_database_holds_what_its_dump_says() {
    fixtures().check(DUMP, &dump_of(&fixtures().read(DATABASE)));
}

#[test]
fn today_s_code_finds_everything_in_the_golden_database() {
    let dir = tempfile::tempdir().unwrap();
    let mut storage = open_golden(dir.path());
    assert_eq!(storage.backend_id().to_string(), "0000000f-4240-72d5-89e1-b251e285416f");
    let mut reader = storage.reader().unwrap();
    let mut page = |name: &str| reader.page(&store(name), GlobalSeqNum::ROOT).unwrap().unwrap();
    let groups = |page: &Page| page.groups.iter().map(|g| g.group.clone()).collect::<Vec<_>>();

    let [notes, tasks, more_notes] = requests();
    let page_of_notes = page("notes");
    page_of_notes.check().unwrap();
    assert_eq!(groups(&page_of_notes), [notes.groups, more_notes.groups].concat());
    assert_eq!(page_of_notes.end.seq, GlobalSeqNum(6));
    let hash = "0fbec593032ed29e8e986b139728302c43ca09d20e23305d69a5e436530dfb35";
    assert_eq!(page_of_notes.end.hash.to_string(), hash);
    let page_of_tasks = page("tasks");
    assert_eq!(groups(&page_of_tasks), tasks.groups);
    let hash = "26ea834558a5de11b0a4c81d454644f28835670f3a2df6c7471dc30f5d0b60a4";
    assert_eq!(page_of_tasks.end.hash.to_string(), hash);

    // And it goes on from there: what it holds is known, what is new continues it.
    let [again, ..] = requests();
    let new = AppendRequest { base: GlobalSeqNum(6), groups: vec![group_of(4, 1, "new")], ..again };
    let [again, ..] = requests();
    let outcomes = storage.append(&[again, new], &NoRules).unwrap();
    assert!(matches!(&outcomes[0], AppendOutcome::AlreadyAccepted { groups } if groups.len() == 2));
    assert!(matches!(&outcomes[1], AppendOutcome::Appended { first: GlobalSeqNum(7), .. }));
}
