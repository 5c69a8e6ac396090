//! Deriving the state anew, opening a store that has one, and what it takes of disk and memory.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use livestore::inspect::store_file;
use livestore::prelude::*;
use livestore::{Durability, StoreId};
use livestore_bench::app::{Todo, schema, schema_of_version};
use livestore_bench::plain::{Plain, PlainEvent};
use livestore_bench::report::median;
use livestore_sqlite::Connection;

use crate::Bench;
use crate::replica::{fill_file, peak_kb, peak_mb_of, replica_with};

const EVENTS: usize = 100_000;
/// Events in one transaction of a rebuild.
const BATCH: i64 = 1_000;
/// Events in one transaction that plain SQLite writes.
const PAGE: usize = 256;
/// Rows that an app shows at a time.
const SHOWN: u32 = 50;

/// Copies a store's file into memory, so that a rebuild can be measured there.
fn in_memory(path: &Path) -> Connection {
    let connection = Connection::open_memory().expect("a memory database opens");
    let system = connection.system();
    let path = path.to_str().expect("a path in UTF-8").replace('\'', "''");
    system.execute_batch(&format!("ATTACH '{path}' AS file")).expect("the file opens");
    let objects = "SELECT name, sql, type FROM file.sqlite_schema \
                   WHERE sql IS NOT NULL ORDER BY type = 'index'";
    let objects = system.query(objects, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    for (name, sql, kind) in objects.expect("the file has tables") {
        system.execute_batch(&sql).expect("a table is made");
        if kind == "table" {
            let copy = format!("INSERT INTO main.\"{name}\" SELECT * FROM file.\"{name}\"");
            system.execute_batch(&copy).expect("a table is copied");
        }
    }
    for pragma in ["application_id", "user_version"] {
        let value = system.query_one(&format!("PRAGMA file.{pragma}"), [], |row| row.get(0));
        let value: i64 = value.expect("the pragma runs").expect("it has a value");
        system.execute_batch(&format!("PRAGMA main.{pragma} = {value}")).expect("it is set");
    }
    system.execute_batch("DETACH file").expect("the file closes");
    connection
}

/// Beside plain SQLite that reads the same log, parses its payloads and writes the same rows.
pub(crate) fn rebuild_100k(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    fill_file(&path, EVENTS);
    let mut plain = Plain::memory().expect("a memory database opens");
    fill_plain(&mut plain);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..if bench.quick { 5 } else { 20 } {
        let connection = in_memory(&path);
        let start = Instant::now();
        let replica = replica_with(schema_of_version(1), connection, Durability::Memory);
        ours.push(start.elapsed());
        let rows = replica.connection().read().query(&Todo::select().count());
        assert_eq!(rows.expect("the query runs"), EVENTS as u64);

        let start = Instant::now();
        plain.rebuild(BATCH).expect("the rows are written");
        theirs.push(start.elapsed());
    }
    let (value_ms, limit_ms) = (median(ours) / 1e3, median(theirs) / 1e3);
    bench.report.add("rebuild_100k", value_ms, "ms", limit_ms);
}

fn fill_plain(plain: &mut Plain) {
    let events: Vec<_> = (0..EVENTS).map(|_| PlainEvent::new()).collect();
    for page in events.chunks(PAGE) {
        plain.apply(page).expect("the rows are written");
    }
}

fn store_id() -> StoreId {
    StoreId::new("bench").expect("a valid id")
}

/// A store whose state is as the schema derives it: nothing is left to do but to open the file.
pub(crate) fn open_100k_events(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fill_file(&store_file(folder.path(), &store_id()), EVENTS);
    let times = (0..if bench.quick { 10 } else { 50 }).map(|_| {
        let start = Instant::now();
        let store = open(folder.path());
        let time = start.elapsed();
        assert_eq!(store.sync_status().expect("it is open").confirmed_head.0, EVENTS as u64);
        time
    });
    let value_ms = median(times.collect()) / 1e3;
    bench.report.add("open_100k_events", value_ms, "ms", 20.0);
}

fn open(folder: &Path) -> Store {
    Store::open(schema(), store_id().as_str(), FileAdapter::new(folder)).expect("the store opens")
}

/// What a process has in memory at most that opens a store of 100,000 todos and reads a page of
/// them; beside one whose store is empty.
pub(crate) fn memory_of_100k_todos(bench: &mut Bench) {
    let [many, none] = [EVENTS, 0].map(|events| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        if events > 0 {
            fill_file(&store_file(folder.path(), &store_id()), events);
        }
        let mut process = Command::new(std::env::current_exe().expect("the benchmark has a path"));
        peak_mb_of(process.env(FOLDER, folder.path()))
    });
    bench.report.add("rss_100k_todos", many, "MB", none);
}

const FOLDER: &str = "LIVESTORE_BENCH_READ";

/// Tells whether this process is the one whose memory is measured.
pub(crate) fn is_measured_process() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// The process whose memory is measured.
pub(crate) fn read_a_page() {
    let folder = std::env::var_os(FOLDER).expect("the folder is given");
    let store = open(Path::new(&folder));
    let todos = store.query_db(Todo::select().order_by(Todo::id).limit(SHOWN));
    let shown = todos.get().expect("the query runs").len();
    assert!(shown == 0 || shown == SHOWN as usize, "{shown} rows");
    println!("peak_kb={}", peak_kb());
}

/// The size of a file with 100,000 confirmed events and their rows, beside plain SQLite's.
pub(crate) fn file_bytes_per_event(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (ours, theirs) = (folder.path().join("store.db"), folder.path().join("plain.db"));
    fill_file(&ours, EVENTS);
    let mut plain = Plain::file(&theirs).expect("a database opens");
    fill_plain(&mut plain);
    plain.checkpoint().expect("the log is moved");
    drop(plain);
    let per_event = |path: &Path| {
        let bytes = std::fs::metadata(path).expect("the file is there").len();
        bytes as f64 / EVENTS as f64
    };
    bench.report.add("file_bytes_per_event", per_event(&ours), "B", per_event(&theirs));
}
