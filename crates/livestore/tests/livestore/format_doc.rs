//! `docs/storage-format.md` says what is in a file.
//!
//! The golden store is read by what the document says, with nothing of the crate but its file.

use livestore_golden::dump;
use livestore_sqlite::rusqlite::types::ValueRef;
use livestore_sqlite::rusqlite::{Connection, Row};

use crate::golden::{STATE_HASH, STORE, fixtures};

const DOCUMENT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/storage-format.md"));

fn golden() -> (tempfile::TempDir, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    std::fs::write(&path, fixtures().read(STORE)).unwrap();
    let connection = Connection::open(path).unwrap();
    (folder, connection)
}

/// The rows of the table under a heading: their cells.
fn table_under(heading: &str) -> Vec<Vec<&'static str>> {
    let section = DOCUMENT.split_once(&format!("\n{heading}\n"));
    let (_, section) = section.unwrap_or_else(|| panic!("no heading {heading}"));
    let section = section.split("\n#").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The bytes of an example that begins with a line.
fn example(first_line: &str) -> Vec<u8> {
    let from = DOCUMENT.find(first_line).unwrap_or_else(|| panic!("no example {first_line}"));
    let block = DOCUMENT[from..].split("```").next().unwrap();
    let is_byte = |word: &&str| word.len() == 2 && u8::from_str_radix(word, 16).is_ok();
    let bytes = block.lines().flat_map(|line| {
        line.split_whitespace()
            .take_while(is_byte)
            .map(|word| u8::from_str_radix(word, 16).unwrap())
    });
    bytes.collect()
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_string()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    let mut long = |tag, bytes: &[u8]| {
        out.push(tag);
        varint(out, bytes.len() as u64);
        out.extend(bytes);
    };
    match value {
        ValueRef::Null => out.push(0),
        ValueRef::Text(text) => long(3, text),
        ValueRef::Blob(bytes) => long(4, bytes),
        ValueRef::Integer(integer) => {
            out.push(1);
            varint(out, ((integer << 1) ^ (integer >> 63)) as u64);
        }
        ValueRef::Real(real) => {
            out.push(2);
            out.extend(real.to_le_bytes());
        }
    }
}

#[test]
fn every_table_and_column_is_in_the_document() {
    let (_folder, connection) = golden();
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_\\_%' ESCAPE '\\'";
    let mut tables = connection.prepare(sql).unwrap();
    let tables = tables.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let mut seen = 0;
    for table in tables.map(Result::unwrap) {
        seen += 1;
        let mut columns = connection.prepare(&format!("PRAGMA table_info({table})")).unwrap();
        let columns = columns.query_map([], |row| {
            let (name, kind): (String, String) = (row.get(1)?, row.get(2)?);
            let nullable = !row.get::<_, bool>(3)? && row.get::<_, i64>(5)? == 0;
            Ok((format!("`{name}`"), if nullable { format!("{kind} or NULL") } else { kind }))
        });
        let columns: Vec<_> = columns.unwrap().map(Result::unwrap).collect();
        let documented = table_under(&format!("### `{table}`"));
        let documented: Vec<_> =
            documented.iter().map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
        assert_eq!(documented, columns, "{table}");
    }
    assert_eq!(seen, 9);
    for name in ["__livestore_eventlog_group", "__livestore_client_log_group"] {
        assert!(DOCUMENT.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn the_example_of_undo_data_is_what_the_golden_store_holds() {
    let (_folder, connection) = golden();
    let sql = "SELECT undo FROM __livestore_pending WHERE name = 'v1.DraftSaved'";
    let undo: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(example("02                     two entries"), undo);
}

#[test]
fn the_example_of_a_table_in_the_state_hash_is_what_the_golden_store_holds() {
    let (_folder, connection) = golden();
    assert_eq!(example("03 05 73 65 61 74 73  "), hashed_table(&connection, "seats", "seat"));
}

fn hashed_table(connection: &Connection, table: &str, key: &str) -> Vec<u8> {
    let mut out = Vec::new();
    value(&mut out, ValueRef::Text(table.as_bytes()));
    let sql = format!("SELECT * FROM {table} ORDER BY {key}");
    let mut rows = connection.prepare(&sql).unwrap();
    let columns = rows.column_count();
    let mut rows = rows.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        out.push(1);
        (0..columns).for_each(|column| value(&mut out, row.get_ref(column).unwrap()));
    }
    out.push(0);
    out
}

#[test]
fn the_hashes_are_made_as_the_document_says() {
    let (_folder, connection) = golden();
    let tables = [("notes", "id"), ("samples", "sensor, at"), ("seats", "seat")];
    let state = tables.map(|(table, key)| hashed_table(&connection, table, key)).concat();
    assert_eq!(hash(&state), STATE_HASH);
    assert!(DOCUMENT.contains(&format!("`{STATE_HASH}`")));

    let content = example("10 00 00 00 00 00 00 00  00 00 00 0f 42 40 73 91 87 78 64 cf 1d");
    let content = blake3::hash(&content);
    let log = blake3::hash(&[&[0; 32], &content.as_bytes()[..]].concat());
    let sql = "SELECT log_hash FROM __livestore_eventlog WHERE seq = 2";
    let stored: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(log.as_bytes()[..], stored);
    for hash in [content, log] {
        assert!(DOCUMENT.contains(&format!("`{hash}`")), "{hash}");
    }

    let mut version = Vec::new();
    let mut field = |bytes: &[u8]| {
        version.extend((bytes.len() as u64).to_le_bytes());
        version.extend(bytes);
    };
    field(b"0");
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' \
               AND name NOT LIKE '\\_\\_%' ESCAPE '\\' ORDER BY name";
    let text = |row: &Row<'_>| row.get::<_, String>(0);
    let mut tables = connection.prepare(sql).unwrap();
    for table in tables.query_map([], text).unwrap().map(Result::unwrap) {
        field(if table.contains("/* client */") { b"client" } else { b"synced" });
        field(table.as_bytes());
    }
    let sql = "SELECT state_version FROM __livestore_meta";
    let stored: Vec<u8> = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(blake3::hash(&version).as_bytes()[..], stored);
}

#[test]
fn the_header_is_what_the_document_says() {
    let (_folder, connection) = golden();
    let dump = dump(&connection).unwrap();
    assert!(dump.contains(&format!("application_id = {}\n", 0x4C76_5374)));
    assert!(DOCUMENT.contains("| `application_id` | `0x4C765374` (`LvSt`) |"));
    for line in ["user_version = 1\n", "encoding = 'UTF-8'\n", "journal_mode = 'wal'\n"] {
        assert!(dump.contains(line), "{line}");
    }
}
