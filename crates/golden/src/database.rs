//! A database as text: what its header says, its schema, and every row.

use std::fmt::Write as _;
use std::fs;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Writes a database as text, given the content of its file.
///
/// # Panics
///
/// If it is not the content of a database.
#[track_caller]
pub fn dump_of(database: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("database");
    fs::write(&path, database).expect("the folder can be written to");
    let connection = Connection::open(path);
    connection.and_then(|connection| dump(&connection)).expect("it is a database")
}

/// Writes a database as text, the same for the same content however it lies in the file.
///
/// Rows stand in the order of their table's key, one a line, values as SQL literals.
pub fn dump(connection: &Connection) -> rusqlite::Result<String> {
    let mut out = String::new();
    for pragma in ["application_id", "user_version", "encoding", "journal_mode"] {
        let value = connection.pragma_query_value(None, pragma, |row| Ok(literal(row.get_ref(0)?)));
        line(&mut out, &format!("PRAGMA {pragma} = {}", value?));
    }
    let mut schema = connection.prepare(
        "SELECT type, name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name",
    )?;
    let mut rows = schema.query([])?;
    let mut tables = Vec::new();
    line(&mut out, "");
    while let Some(row) = rows.next()? {
        if row.get_ref(0)?.as_str()? == "table" {
            tables.push(row.get::<_, String>(1)?);
        }
        line(&mut out, row.get_ref(2)?.as_str()?);
    }
    for table in tables {
        dump_rows(connection, &table, &mut out)?;
    }
    Ok(out)
}

fn dump_rows(connection: &Connection, table: &str, out: &mut String) -> rusqlite::Result<()> {
    let mut all = connection.prepare(&format!("SELECT * FROM main.\"{table}\""))?;
    let columns: Vec<String> = all.column_names().map(Into::into).collect();
    line(out, &format!("\n{table} ({})", columns.join(", ")));
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns.len()).map(|column| Ok(literal(row.get_ref(column)?)));
        let values: Vec<String> = values.collect::<rusqlite::Result<_>>()?;
        line(out, &format!("  {}", values.join(", ")));
    }
    Ok(())
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn literal(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".into(),
        ValueRef::Integer(integer) => integer.to_string(),
        ValueRef::Real(real) => format!("{real:?}"),
        ValueRef::Text(text) => format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''")),
        ValueRef::Blob(bytes) => {
            let mut hex = String::from("x'");
            for byte in bytes {
                let _ = write!(hex, "{byte:02x}");
            }
            hex + "'"
        }
    }
}
