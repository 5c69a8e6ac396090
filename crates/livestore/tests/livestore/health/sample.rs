//! A store with something of everything in it, and what exactly that is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use livestore::prelude::*;
use livestore::{BackendId, GroupId};
use livestore_core::{ConfirmedGroup, Group, IdGenerator};
use livestore_sqlite::rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::app::{Counter, Seat, SeatTaken, Todo, TodoCompleted, TodoCreated, todo};
use crate::backend::{Backend, Net, Served, fact, foreign_group, wal};

/// An event of any size, without effect.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Pictured")]
pub struct Pictured {
    pub data: String,
}

/// An event that never leaves the client.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Noted", client_only, persist)]
pub struct Noted {
    pub id: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "notes", scope = "client")]
pub struct Note {
    #[column(primary_key)]
    pub id: String,
}

pub fn schema() -> Schema {
    Schema::builder()
        .table::<Todo>()
        .table::<Seat>()
        .table::<Counter>()
        .table::<Note>()
        .event(|e: TodoCreated, _| {
            Todo::insert(Todo { id: e.id, text: e.text, completed: false }).or_replace()
        })
        .event(|e: TodoCompleted, _| {
            Todo::update().set(Todo::completed, true).filter(Todo::id.eq(e.id))
        })
        .event(|e: SeatTaken, _| Seat::insert(Seat { seat: e.seat, by: e.by }))
        .event(|_: Pictured, _| Counter::delete())
        .event(|e: Noted, _| Note::insert(Note { id: e.id }).or_replace())
        .build()
        .expect("the schema is valid")
}

pub fn noted(id: &str) -> Noted {
    Noted { id: id.into() }
}

pub fn pictured(bytes: usize) -> Pictured {
    Pictured { data: "0123456789".repeat(bytes / 10) }
}

/// The files of a store, as a killed process would leave them.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    pub database: Vec<u8>,
    pub wal: Vec<u8>,
}

impl Files {
    pub fn read(path: &Path) -> Self {
        let wal = fs::read(wal(path)).unwrap_or_default();
        Self { database: fs::read(path).unwrap(), wal }
    }

    /// Writes the files into a folder, as those of the store `test`.
    pub fn write(&self, folder: &Path) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = folder.join("test.livestore");
        fs::write(&path, &self.database).unwrap();
        let wal = wal(&path);
        if self.wal.is_empty() {
            let _ = fs::remove_file(wal);
        } else {
            fs::write(wal, &self.wal).unwrap();
        }
        path
    }
}

/// An event as plain SQL reads it, with whether it is its group's first, and a flag.
type Row = (i64, Vec<u8>, Vec<u8>, String, String, String, String, bool, bool);

/// Everything that a store holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub confirmed: Vec<ConfirmedGroup>,
    pub pending: Vec<(Group, bool)>,
    pub client_only: Vec<Group>,
    pub dead_letters: Vec<Group>,
    pub archived: Vec<Group>,
}

impl Content {
    /// Reads a whole file with plain SQL.
    pub fn read(path: &Path) -> Self {
        let connection = Connection::open(path).unwrap();
        let own: String = connection
            .query_row("SELECT client_id FROM __livestore_meta", [], |r| r.get(0))
            .unwrap();
        let rows = |sql: &str| -> Vec<Row> {
            let mut statement = connection.prepare(sql).unwrap();
            statement.query_map([], |row| Row::try_from(row)).unwrap().map(Result::unwrap).collect()
        };
        let groups = |rows: Vec<Row>| -> Vec<(i64, Group, bool)> {
            let mut groups: Vec<(i64, Group, bool)> = Vec::new();
            for (at, group, id, name, args, client, session, is_first, flag) in rows {
                let event = livestore_core::Event {
                    id: livestore::EventId::from_slice(&id).unwrap(),
                    name: livestore::EventName::new(name).unwrap(),
                    args: livestore::CanonicalJson::parse(&args).unwrap(),
                };
                let group = GroupId::from_slice(&group).unwrap();
                let mut events = Vec::new();
                let mut first = at;
                if !is_first {
                    let (before, open, _) = groups.pop().unwrap();
                    assert_eq!(open.id(), group);
                    events = open.events().to_vec();
                    first = before;
                }
                events.push(event);
                let client = livestore::ClientId::new(client).unwrap();
                let session = livestore::SessionId::new(session).unwrap();
                groups.push((first, Group::new(group, client, session, events).unwrap(), flag));
            }
            groups
        };
        let is_first = "coalesce(lag(group_id) OVER (ORDER BY";
        let confirmed = groups(rows(&format!(
            "SELECT seq, group_id, event_id, name, args, client_id, session_id, \
             {is_first} seq), x'') <> group_id, 0 FROM __livestore_eventlog ORDER BY seq"
        )));
        let pending = groups(rows(&format!(
            "SELECT ordinal, group_id, event_id, name, args, '{own}', session_id, \
             event_index = 0, client_only FROM __livestore_pending ORDER BY ordinal"
        )));
        let client_only = groups(rows(&format!(
            "SELECT seq, group_id, event_id, name, args, '{own}', session_id, \
             {is_first} seq, client), x'') <> group_id, 1 \
             FROM __livestore_client_log ORDER BY seq, client"
        )));
        let json = |sql: &str| -> Vec<Group> {
            let mut statement = connection.prepare(sql).unwrap();
            let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.map(|json| serde_json::from_str(&json.unwrap()).unwrap()).collect()
        };
        Self {
            confirmed: confirmed
                .into_iter()
                .map(|(first, group, _)| ConfirmedGroup {
                    first: livestore::GlobalSeqNum(first as u64),
                    group,
                })
                .collect(),
            pending: pending.into_iter().map(|(_, group, flag)| (group, flag)).collect(),
            client_only: client_only.into_iter().map(|(_, group, _)| group).collect(),
            dead_letters: json("SELECT content FROM __livestore_dead_letter ORDER BY group_id"),
            archived: json("SELECT content FROM __livestore_archive ORDER BY id"),
        }
    }

    pub fn events(&self) -> u64 {
        self.confirmed.iter().map(|confirmed| confirmed.group.event_count()).sum()
    }
}

/// A store's files, what is in them, and the backend's log.
pub struct Sample {
    pub files: Files,
    pub content: Content,
    pub log: Vec<ConfirmedGroup>,
    pub backend_id: BackendId,
}

impl Sample {
    /// A client with own and others' events, dead letters, quarantined events, an archive,
    /// client-only events and a pending tail; with free pages, payloads on overflow pages, and a
    /// `-wal` file unless it is `checkpointed`.
    pub fn new(checkpointed: bool) -> Arc<Self> {
        Self::with(60, checkpointed)
    }

    /// The same, smaller or larger; made once for all tests.
    pub fn with(rounds: usize, checkpointed: bool) -> Arc<Self> {
        static SAMPLES: Mutex<BTreeMap<(usize, bool), Arc<Sample>>> = Mutex::new(BTreeMap::new());
        let mut samples = SAMPLES.lock().unwrap();
        let make = || Arc::new(Self::make(rounds, checkpointed));
        Arc::clone(samples.entry((rounds, checkpointed)).or_insert_with(make))
    }

    fn make(rounds: usize, checkpointed: bool) -> Self {
        let mut net = Net::on_disk(schema(), 1);
        net.commit(0, noted("first"));
        net.commit(0, [noted("second"), noted("third")]);
        net.settle();
        // A long tail that is confirmed later leaves free pages behind.
        net.clients[0].is_reachable = false;
        net.cut(0, crate::backend::OnTheWire::Lost);
        for number in 0..rounds * 2 {
            net.commit(0, (todo(&format!("early-{number}")), pictured(number * 5)));
        }
        net.clients[0].is_reachable = true;
        net.settle();
        for round in 0..rounds {
            net.elsewhere([fact(todo(&format!("theirs-{round}")))]);
            match round % 4 {
                0 => drop(net.elsewhere([fact(pictured(round * 200)), fact(todo("shared"))])),
                1 => drop(net.commit(0, (todo(&format!("mine-{round}")), pictured(30)))),
                2 => drop(net.commit(0, (todo("shared"), noted(&format!("note-{round}"))))),
                _ => drop(net.elsewhere([("v1.Unknown", fact(todo("x")).1)])),
            }
            if round % 3 == 0 {
                net.settle();
            }
        }
        net.commit(0, [noted("a"), noted("b"), noted("c")]);
        net.settle();
        net.clients[0].is_reachable = false;
        net.cut(0, crate::backend::OnTheWire::Lost);
        for seat in 0..4 {
            net.commit(0, SeatTaken { seat, by: format!("me-{seat}") });
            net.elsewhere([fact(SeatTaken { seat, by: format!("them-{seat}") })]);
        }
        net.clients[0].is_reachable = true;
        net.settle();
        let mut ids = IdGenerator::new([7; 32]);
        for number in 0..3 {
            let group = foreign_group(&mut ids, [fact(todo(&format!("old-{number}")))]);
            let json = serde_json::to_string(&group).unwrap();
            let sql = "INSERT INTO __livestore_archive (backend_id, seq, content) \
                       VALUES (x'00112233445566778899aabbccddeeff', ?, ?)";
            let row = livestore_sqlite::params![number + 1, json];
            net.replica(0).connection().system().execute(sql, row).unwrap();
        }
        net.checkpoint(0, false);
        net.clients[0].is_reachable = false;
        net.cut(0, crate::backend::OnTheWire::Lost);
        for number in 0..rounds {
            match number % 5 {
                0 => drop(net.commit(0, [todo("p1"), todo("p2"), todo("p3")])),
                1 => drop(net.commit(0, (todo(&format!("p-{number}")), noted("pending note")))),
                2 => drop(net.commit(0, pictured(number * 150))),
                _ => drop(net.commit(0, todo(&format!("p-{number}")))),
            }
        }
        if checkpointed {
            net.checkpoint(0, false);
        }
        let path = net.clients[0].file().to_owned();
        let mut files = Files::read(&path);
        if checkpointed {
            files.wal.clear();
        }
        let folder = tempfile::tempdir().unwrap();
        let content = Content::read(&files.write(folder.path()));
        let (log, backend_id) = (net.backend.log().to_vec(), net.backend.id);
        assert_eq!(content.confirmed, log);
        Self { files, content, log, backend_id }
    }

    /// A backend that has the log.
    pub fn served(&self) -> Served {
        let served = Served::new();
        let mut backend = Backend::new(1);
        self.log.iter().for_each(|confirmed| backend.append(confirmed.group.clone()));
        assert_eq!(backend.id, self.backend_id);
        *served.lock() = backend;
        served
    }
}
