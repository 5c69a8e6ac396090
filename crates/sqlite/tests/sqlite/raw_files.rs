//! Database files read without SQLite: whole ones give what SQLite gives, damaged ones less.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use livestore_sqlite::Value;
use livestore_sqlite::raw::{Damage, RawDatabase, TreeKind, Walk};
use livestore_sqlite::rusqlite::{Connection, params};
use proptest::prelude::*;

use super::support::cases;

/// A row of the table, or of the table without row ids.
type Rows = Vec<Vec<Value>>;

struct Files {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Files {
    /// A database with a table, a table without row ids and an index.
    fn new(page_size: u32, wal: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join("db")).unwrap();
        let mode = if wal { "wal" } else { "delete" };
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {page_size}; PRAGMA journal_mode = {mode};
                 PRAGMA wal_autocheckpoint = 0;
                 CREATE TABLE plain (id INTEGER PRIMARY KEY, text, number, bytes);
                 CREATE TABLE keyed (a, b, c, PRIMARY KEY (b, a)) WITHOUT ROWID;
                 CREATE INDEX by_number ON plain (number);"
            ))
            .unwrap();
        Self { folder, connection }
    }

    fn fill(&self, rows: std::ops::Range<i64>, size: usize) {
        self.connection.execute_batch("BEGIN").unwrap();
        for id in rows {
            let text = format!("{id}-").repeat(1 + size * (id as usize % 7) / 7);
            let bytes = vec![id as u8; (id as usize * 31) % (size + 1)];
            let sql = "INSERT OR REPLACE INTO plain VALUES (?, ?, ?, ?)";
            self.connection.execute(sql, params![id, text, id as f64 / 3.0, bytes]).unwrap();
            let sql = "INSERT OR REPLACE INTO keyed VALUES (?, ?, ?)";
            self.connection.execute(sql, params![text, id << (id % 50), bytes]).unwrap();
        }
        self.connection.execute_batch("COMMIT").unwrap();
    }

    /// A copy of the files, as a killed process would leave them.
    fn copy(&self) -> (tempfile::TempDir, PathBuf) {
        let copy = tempfile::tempdir().unwrap();
        for name in ["db", "db-wal"] {
            let from = self.folder.path().join(name);
            if from.exists() {
                fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        let path = copy.path().join("db");
        (copy, path)
    }

    fn rows(&self, sql: &str) -> Rows {
        let mut statement = self.connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &livestore_sqlite::rusqlite::Row<'_>| {
            (0..columns).map(|at| Ok(Value::from_sql(row.get_ref(at)?))).collect()
        };
        statement.query_map([], row).unwrap().map(Result::unwrap).collect()
    }
}

/// The rows that SQLite finds in a copy of the files.
fn as_sqlite_reads(path: &Path) -> Rows {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("db");
    fs::copy(path, &copy).unwrap();
    fs::copy(path.with_file_name("db-wal"), copy.with_file_name("db-wal")).unwrap();
    let connection = Connection::open(&copy).unwrap();
    Files { folder, connection }.rows(PLAIN)
}

fn root_of(database: &RawDatabase, name: &str) -> u32 {
    database.schema().iter().find(|object| object.name == name).unwrap().root
}

fn walk(
    database: &RawDatabase,
    root: u32,
    kind: TreeKind,
    columns: usize,
) -> (Rows, HashSet<Vec<u8>>, Walk) {
    let (mut rows, mut seen) = (Rows::new(), HashSet::new());
    let walk = database.walk(root, kind, &mut |entry| {
        if let Some(record) = database.record(entry.place, columns, columns) {
            let mut values = record.values;
            if let Some(rowid) = entry.rowid {
                values[0] = Value::Integer(rowid);
            }
            seen.insert(format!("{values:?}").into_bytes());
            rows.push(values);
        }
        ControlFlow::Continue(())
    });
    (rows, seen, walk)
}

fn plain(path: &Path) -> (Rows, Walk) {
    let database = RawDatabase::open(path).unwrap();
    let root = root_of(&database, "plain");
    let (rows, _, walk) = walk(&database, root, TreeKind::Table, 4);
    (rows, walk)
}

const PLAIN: &str = "SELECT * FROM plain ORDER BY id";

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_whole_file_reads_as_sqlite_reads_it(
        page_size in prop::sample::select(vec![512_u32, 1024, 4096, 65_536]),
        wal in any::<bool>(),
        count in 0..300_i64,
        size in 0..3_000_usize,
        gone in 0..300_i64,
    ) {
        let files = Files::new(page_size, wal);
        files.fill(0..count, size);
        files.connection.execute("DELETE FROM plain WHERE id < ?", [gone]).unwrap();
        files.fill(count / 2..count / 2 + 20, size / 2);
        let (_folder, path) = files.copy();
        let database = RawDatabase::open(&path).unwrap();
        prop_assert_eq!(database.page_size(), page_size as usize);
        prop_assert_eq!(database.damage(), &[]);

        let (rows, _, tree) = walk(&database, root_of(&database, "plain"), TreeKind::Table, 4);
        prop_assert!(tree.is_complete());
        prop_assert_eq!(rows, files.rows(PLAIN));
        let (rows, _, tree) = walk(&database, root_of(&database, "keyed"), TreeKind::Index, 3);
        prop_assert!(tree.is_complete());
        prop_assert_eq!(rows, files.rows("SELECT b, a, c FROM keyed ORDER BY b, a"));
        let (rows, _, tree) = walk(&database, root_of(&database, "by_number"), TreeKind::Index, 2);
        prop_assert!(tree.is_complete());
        prop_assert_eq!(rows, files.rows("SELECT number, id FROM plain ORDER BY number, id"));
        let free: u32 = files.rows("PRAGMA freelist_count").pop().map_or(0, |row| match row[0] {
            Value::Integer(count) => count as u32,
            _ => 0,
        });
        prop_assert_eq!(database.free_pages().map(|free| free.len() as u32), Some(free));
    }

    #[test]
    fn damage_never_panics_and_never_changes_what_is_elsewhere(
        wal in any::<bool>(),
        in_wal in any::<bool>(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..300),
    ) {
        let files = Files::new(512, wal);
        let by_key = |rows: Rows| -> BTreeMap<_, _> {
            rows.into_iter().map(|row| (format!("{:?}", row[0]), row)).collect()
        };
        files.fill(0..60, 900);
        let earlier = by_key(files.rows(PLAIN));
        files.fill(30..90, 200);
        let whole = by_key(files.rows(PLAIN));
        let (folder, path) = files.copy();
        let damaged = if wal && in_wal { folder.path().join("db-wal") } else { path.clone() };
        let mut content = fs::read(&damaged).unwrap();
        let at = at.index(content.len());
        let end = content.len().min(at + bytes.len());
        content[at..end].copy_from_slice(&bytes[..end - at]);
        fs::write(&damaged, content).unwrap();

        let database = RawDatabase::open(&path).unwrap();
        let roots: Vec<u32> = database.schema().iter().map(|object| object.root).collect();
        for root in roots.into_iter().chain(1..=database.page_count()) {
            for kind in [TreeKind::Table, TreeKind::Index] {
                walk(&database, root, kind, 4);
            }
        }
        database.search(TreeKind::Table, &HashSet::new(), &mut |entry| {
            _ = database.record(entry.place, 4, 4);
            ControlFlow::Continue(())
        });
        database.free_pages();
        // Damage is at most 300 bytes, so it cannot have reached many rows.
        let (rows, tree) = if database.schema().iter().any(|object| object.name == "plain") {
            plain(&path)
        } else {
            return Ok(());
        };
        // A log whose last frame does not say any more that its transaction is whole ends before that.
        let is_cut = database.damage().iter().any(|damage| matches!(damage, Damage::WalEnd { .. }));
        let is_in = |rows: &BTreeMap<String, Vec<Value>>, row: &Vec<Value>| rows.get(&format!("{:?}", row[0])) == Some(row);
        let is_known = |row: &&Vec<Value>| is_in(&whole, row) || is_cut && is_in(&earlier, row);
        let changed = rows.iter().filter(|row| !is_known(row));
        prop_assert!(changed.count() <= 6 || !tree.is_complete());
    }
}

#[test]
fn a_log_whose_last_frame_is_damaged_ends_before_that_transaction_and_says_so() {
    let files = Files::new(512, true);
    files.fill(0..60, 900);
    let earlier = files.rows(PLAIN);
    files.fill(30..90, 200);
    let (folder, path) = files.copy();
    let log = folder.path().join("db-wal");
    let mut content = fs::read(&log).unwrap();
    let header = content.len() - 512 - 24;
    content[header..header + 24].fill(0);
    fs::write(&log, content).unwrap();
    let (rows, tree) = plain(&path);
    let database = RawDatabase::open(&path).unwrap();
    assert!(matches!(database.damage(), [Damage::WalEnd { .. }]), "{:?}", database.damage());
    assert!(tree.is_complete());
    assert_eq!(rows, earlier);
}

#[test]
fn a_small_file_of_large_values_is_read_with_its_own_page_size() {
    let files = Files::new(512, false);
    files.fill(0..7, 1_908);
    files.connection.execute("DELETE FROM plain WHERE id < 6", []).unwrap();
    files.fill(3..23, 954);
    let (_folder, path) = files.copy();
    assert_eq!(RawDatabase::open(&path).unwrap().page_size(), 512);
    assert_eq!(plain(&path).0, files.rows(PLAIN));
}

#[test]
fn a_damaged_page_costs_its_own_rows_and_they_are_named() {
    let files = Files::new(4096, false);
    files.fill(1..400, 60);
    let (_folder, path) = files.copy();
    let database = RawDatabase::open(&path).unwrap();
    let root = root_of(&database, "plain");
    let mut by_page: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    database.walk(root, TreeKind::Table, &mut |entry| {
        by_page.entry(entry.place.page).or_default().push(entry.rowid.unwrap());
        ControlFlow::Continue(())
    });
    drop(database);
    assert!(by_page.len() > 3);
    let content = fs::read(&path).unwrap();
    for (page, lost) in by_page {
        let mut damaged = content.clone();
        damaged[(page as usize - 1) * 4096..page as usize * 4096].fill(0);
        fs::write(&path, damaged).unwrap();
        let (rows, tree) = plain(&path);
        let ids: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
        let expected: Vec<_> =
            (1..400).filter(|id| !lost.contains(id)).map(Value::Integer).collect();
        assert_eq!(ids, expected);
        let [gap] = tree.gaps[..] else { panic!("{:?}", tree.gaps) };
        assert_eq!(gap.page, page);
        assert_eq!(gap.after.unwrap_or(0) + 1, lost[0]);
        assert!(gap.up_to.is_none_or(|up_to| up_to == lost[lost.len() - 1]));
    }
}

#[test]
fn rows_that_no_tree_reaches_are_found_by_searching() {
    let files = Files::new(4096, false);
    files.fill(1..400, 60);
    let whole = files.rows(PLAIN);
    let (_folder, path) = files.copy();
    let root = root_of(&RawDatabase::open(&path).unwrap(), "plain");
    let mut content = fs::read(&path).unwrap();
    content[(root as usize - 1) * 4096..root as usize * 4096].fill(0xff);
    content[..100].fill(0);
    fs::write(&path, content).unwrap();
    let database = RawDatabase::open(&path).unwrap();
    assert_eq!(database.page_size(), 4096, "it is found out without the header");
    assert_eq!(database.damage(), [Damage::Header]);
    assert_eq!(database.free_pages(), None);
    let mut rows = Rows::new();
    database.search(TreeKind::Table, &HashSet::from([1]), &mut |entry| {
        if let Some(record) = database.record(entry.place, 4, 4) {
            let mut values = record.values;
            values[0] = Value::Integer(entry.rowid.unwrap());
            rows.push(values);
        }
        ControlFlow::Continue(())
    });
    rows.sort_by_key(|row| format!("{:>40}", format!("{:?}", row[0])));
    assert_eq!(rows, whole);
}

#[test]
fn what_stands_behind_a_damaged_frame_replaces_nothing_and_is_found_by_searching() {
    let files = Files::new(4096, true);
    files.fill(1..20, 30);
    files.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut ever: HashSet<String> =
        files.rows(PLAIN).iter().map(|row| format!("{row:?}")).collect();
    for id in 1..30 {
        // Large rows go on in further pages, which others use when a row is written anew.
        let large = 3 + id % 4;
        for (ids, size) in [(large..large + 1, 8_000 + 400 * id as usize), (id..id + 2, 200)] {
            files.fill(ids, size);
            ever.extend(files.rows(PLAIN).iter().map(|row| format!("{row:?}")));
        }
    }
    let (folder, path) = files.copy();
    let wal = folder.path().join("db-wal");
    let content = fs::read(&wal).unwrap();
    let frames = (content.len() - 32) / (4096 + 24);
    assert!(frames > 100, "{frames} frames");
    let mut more = 0;
    for frame in (0..frames).rev().step_by(4) {
        let mut damaged = content.clone();
        damaged[32 + frame * (4096 + 24) + 24 + 2_000] ^= 1;
        fs::write(&wal, damaged).unwrap();
        let database = RawDatabase::open(&path).unwrap();
        let is_last = frame + 1 == frames;
        let frames_damaged = database.damage().iter().any(|damage| {
            matches!(damage, Damage::WalFrame { frame: at, .. } if *at as usize == frame)
                || is_last && matches!(damage, Damage::WalEnd { .. })
        });
        assert!(frames_damaged, "frame {frame}: {:?}", database.damage());
        let (rows, tree) = plain(&path);
        let sqlite = as_sqlite_reads(&path);
        assert_eq!(rows, sqlite, "frame {frame}");
        let has_more = database.damage().iter().any(|d| matches!(d, Damage::WalUnproven { .. }));
        assert!(has_more || tree.is_complete(), "frame {frame}");
        database.search(TreeKind::Table, &tree.pages, &mut |entry| {
            // The schema's rows have five columns.
            if let Some(record) = database.record(entry.place, 4, 4) {
                let mut values = record.values;
                values[0] = Value::Integer(entry.rowid.unwrap());
                assert!(ever.contains(&format!("{values:?}")), "frame {frame}: rows are mixed");
                more += usize::from(!entry.is_proven && !sqlite.contains(&values));
            }
            ControlFlow::Continue(())
        });
    }
    assert!(more > frames, "{more} rows");
}
