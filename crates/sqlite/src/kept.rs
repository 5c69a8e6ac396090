//! Statements that stay prepared for as long as their connection is open.
//!
//! A commit runs few statements of LiveStore's own, and always the same. To find them in a cache by
//! their text, and to let SQLite copy what they are given, took a tenth of its time in memory;
//! rusqlite's statements borrow the connection, so they cannot be kept beside it.
#![expect(unsafe_code, reason = "rusqlite's statements cannot be kept beside their connection")]

use std::cell::RefCell;
use std::ffi::{CStr, c_int};
use std::ptr;

use rusqlite::ffi;

use crate::Connection;

/// A value for a statement that stays prepared, see [`System::run`](crate::System::run).
#[derive(Debug, Clone, Copy)]
pub enum Bind<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// A blob.
    Blob(&'a [u8]),
}

/// The statements of the connection that they are kept in; to be dropped before it is.
#[derive(Debug, Default)]
pub(crate) struct Kept(RefCell<Vec<Statement>>);

#[derive(Debug)]
struct Statement {
    sql: &'static str,
    raw: *mut ffi::sqlite3_stmt,
}

// SAFETY: to SQLite a statement is a part of its connection, which may move to another thread; and
// it does so together with this.
unsafe impl Send for Kept {}

/// Runs a statement that returns no rows, and keeps it.
///
/// It takes the whole connection, so that statements and the database that they belong to cannot be
/// mixed up.
pub(crate) fn run(
    connection: &Connection,
    sql: &'static str,
    values: &[Bind<'_>],
) -> rusqlite::Result<()> {
    let Connection { kept, raw, .. } = connection;
    kept.run(raw, sql, values)
}

impl Kept {
    fn run(
        &self,
        connection: &rusqlite::Connection,
        sql: &'static str,
        values: &[Bind<'_>],
    ) -> rusqlite::Result<()> {
        let raw = self.prepared(connection, sql)?;
        debug_assert!(is_ready(connection, raw), "{sql} is under way, or of another connection");
        // SAFETY: the statement is prepared.
        let wanted = unsafe { ffi::sqlite3_bind_parameter_count(raw) };
        assert_eq!(values.len(), wanted as usize, "a value for each mark of {sql}");
        let mut bound = (1..).zip(values).map(|(nth, value)| bind(raw, nth, *value));
        let failed = bound.find(|code| *code != ffi::SQLITE_OK);
        let code = failed.unwrap_or_else(|| {
            // SAFETY: the statement is prepared, and what is bound outlives this call.
            unsafe {
                let code = ffi::sqlite3_step(raw);
                debug_assert_ne!(code, ffi::SQLITE_ROW, "the statement returns rows");
                // It tells once more how the step has ended.
                ffi::sqlite3_reset(raw)
            }
        });
        let result = check(connection, code);
        if !values.is_empty() {
            // SAFETY: as above. From here on SQLite does not look at the values any more.
            unsafe { ffi::sqlite3_clear_bindings(raw) };
        }
        result
    }

    fn prepared(
        &self,
        connection: &rusqlite::Connection,
        sql: &'static str,
    ) -> rusqlite::Result<*mut ffi::sqlite3_stmt> {
        let mut statements = self.0.borrow_mut();
        // They are so few that nothing finds them faster. Texts that are equal but not the same one
        // only make one more.
        if let Some(known) = statements.iter().find(|known| ptr::eq(known.sql, sql)) {
            return Ok(known.raw);
        }
        let (length, flags) = (sql.len() as c_int, ffi::SQLITE_PREPARE_PERSISTENT);
        let (mut raw, text) = (ptr::null_mut(), sql.as_ptr().cast());
        // SAFETY: the connection is open, and the text has that many bytes.
        let code = unsafe {
            let handle = connection.handle();
            ffi::sqlite3_prepare_v3(handle, text, length, flags, &raw mut raw, ptr::null_mut())
        };
        check(connection, code)?;
        statements.push(Statement { sql, raw });
        Ok(raw)
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: the statement is prepared, its connection is still open, and nobody else has it.
        unsafe { ffi::sqlite3_finalize(self.raw) };
    }
}

/// Tells whether a statement belongs to a connection and waits at its beginning.
fn is_ready(connection: &rusqlite::Connection, raw: *mut ffi::sqlite3_stmt) -> bool {
    // SAFETY: the statement is prepared, and the connection is open.
    unsafe {
        ptr::eq(ffi::sqlite3_db_handle(raw), connection.handle())
            && ffi::sqlite3_stmt_busy(raw) == 0
    }
}

/// Binds a value, which SQLite does not copy.
fn bind(raw: *mut ffi::sqlite3_stmt, nth: c_int, value: Bind<'_>) -> c_int {
    // SAFETY: the statement is prepared, pointers and lengths belong together, and whoever binds a
    // value clears it before it ends.
    unsafe {
        match value {
            Bind::Null => ffi::sqlite3_bind_null(raw, nth),
            Bind::Integer(integer) => ffi::sqlite3_bind_int64(raw, nth, integer),
            Bind::Text(text) => {
                let (start, length, utf8) = (text.as_ptr().cast(), text.len(), ffi::SQLITE_UTF8);
                let (length, forget) = (length as u64, ffi::SQLITE_STATIC());
                ffi::sqlite3_bind_text64(raw, nth, start, length, forget, utf8 as u8)
            }
            Bind::Blob(blob) => {
                let (start, length) = (blob.as_ptr().cast(), blob.len() as u64);
                ffi::sqlite3_bind_blob64(raw, nth, start, length, ffi::SQLITE_STATIC())
            }
        }
    }
}

/// Makes an error of a code, with the connection's message.
fn check(connection: &rusqlite::Connection, code: c_int) -> rusqlite::Result<()> {
    if code == ffi::SQLITE_OK {
        return Ok(());
    }
    // SAFETY: the connection is open, and the message is copied before SQLite is called again.
    let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(connection.handle())) };
    let message = message.to_string_lossy().into_owned();
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), Some(message)))
}
