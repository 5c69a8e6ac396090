//! Rows on their way from one database to another, as bytes.
//!
//! A chunk holds rows of one query, one behind the other, each as a list of values in the form that
//! undo data has. It says neither which query nor which columns: who reads and who writes agree on
//! that by having the same [`Transfer`]s.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Params, ToSql};

use crate::codec::{Reader, write_value_ref, write_varint};
use crate::table::quoted;
use crate::{Connection, SqliteError, System, TableDef};

/// How the rows of one table go from one database to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The query that reads them.
    pub select: String,
    /// The statement that writes one of them.
    pub insert: String,
}

impl Transfer {
    fn of(table: &TableDef) -> Self {
        let (name, columns) = (table.name(), quoted(table.written().map(crate::ColumnDef::name)));
        let marks = vec!["?"; table.written().count()].join(", ");
        Self {
            // In the order in which they are stored, so that inserting them appends.
            select: format!("SELECT {columns} FROM main.\"{name}\""),
            insert: format!("INSERT INTO main.\"{name}\" ({columns}) VALUES ({marks})"),
        }
    }
}

/// A value in a chunk, bound without a copy.
struct Borrowed<'a>(ValueRef<'a>);

impl ToSql for Borrowed<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

impl Connection {
    /// Returns how the state on disk goes to another database that has the same tables.
    pub fn state_transfers(&self) -> Vec<Transfer> {
        let on_disk = || self.tables.iter().filter(|table| table.scope().is_on_disk());
        let sequences = |insert: &str| {
            let select = "SELECT name, seq FROM main.sqlite_sequence".into();
            let is_needed = on_disk().any(TableDef::auto_increment);
            is_needed.then(|| Transfer { select, insert: insert.into() })
        };
        // Tables may be empty and have come far; and rows that are inserted move what they find.
        let first = sequences("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)");
        let last = sequences("UPDATE main.sqlite_sequence SET seq = ?2 WHERE name = ?1");
        first.into_iter().chain(on_disk().map(Transfer::of)).chain(last).collect()
    }

    /// Runs a closure that brings in rows which were sound where they come from: their changes are
    /// not captured, and references between them may be whole only when it is done.
    pub fn bring_in<R>(
        &self,
        run: impl FnOnce() -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        self.capture.silently(|| self.without_foreign_keys(run))
    }
}

impl System<'_> {
    /// Reads the rows of a query as chunks, each of so many bytes and at most one row more.
    pub fn read_chunks<E: From<SqliteError>>(
        self,
        sql: &str,
        params: impl Params,
        chunk_bytes: usize,
        mut emit: impl FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut chunk = Vec::new();
        let mut refused = None;
        self.for_each(sql, params, |row| {
            let count = row.as_ref().column_count();
            write_varint(&mut chunk, count as u64);
            for column in 0..count {
                write_value_ref(&mut chunk, row.get_ref(column)?);
            }
            if chunk.len() >= chunk_bytes
                && let Err(error) = emit(std::mem::take(&mut chunk))
            {
                refused = Some(error);
                return Ok(false);
            }
            Ok(true)
        })?;
        match refused {
            Some(error) => Err(error),
            None if chunk.is_empty() => Ok(()),
            None => emit(chunk),
        }
    }

    /// Runs a statement with each row of a chunk.
    ///
    /// # Errors
    ///
    /// [`SqliteError::DamagedRows`] if the bytes are no rows, or have another number of values than the
    /// statement has parameters. Rows before that were written.
    pub fn write_chunk(self, sql: &str, chunk: &[u8]) -> Result<(), SqliteError> {
        let in_sql = |error| SqliteError::new(error, sql);
        let mut statement = self.connection().raw().prepare_cached(sql).map_err(in_sql)?;
        let mut reader = Reader::new(chunk);
        while !reader.is_at_end() {
            let damaged = |reader: &Reader<'_>| SqliteError::DamagedRows { at: reader.at() };
            let count = reader.varint().ok_or_else(|| damaged(&reader))?;
            if count != statement.parameter_count() as u64 {
                return Err(damaged(&reader));
            }
            for index in 1..=count as usize {
                let value = reader.value_ref().ok_or_else(|| damaged(&reader))?;
                statement.raw_bind_parameter(index, Borrowed(value)).map_err(in_sql)?;
            }
            statement.raw_execute().map_err(in_sql)?;
        }
        Ok(())
    }
}
