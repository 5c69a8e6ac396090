//! Foreign keys held after every event, and left alone by what only brings rows back.
//!
//! SQLite counts references that lead nowhere, and the count is asked for when an event's writes
//! are done. It is wrong in one case: while `INSERT OR REPLACE` replaces a row that its own new row
//! refers to, and rows that referred to the old one get nulls, SQLite forgets to look where the new
//! one leads. So rows of tables where that can happen are looked at one by one.

use std::collections::HashSet;

use rusqlite::config::DbConfig;
use rusqlite::{ffi, params, params_from_iter};

use crate::table::quoted;
use crate::{Action, Connection, ForeignKey, SqliteError, TableDef};

/// Returns, for each table whose references SQLite can miscount, the query for a row of a key that
/// refers to nothing.
pub(crate) fn recounts(tables: &[TableDef]) -> Vec<Option<String>> {
    let can_miscount = |table: &TableDef| {
        let sets_null = |key: &ForeignKey| key.on_delete == Action::SetNull;
        let mut keys = table.foreign_keys().into_iter().filter(sets_null);
        keys.any(|key| leads_to(tables, &key.table, table.name()))
    };
    tables.iter().map(|table| can_miscount(table).then(|| recount(table))).collect()
}

/// Tells whether rows of a table refer to rows of another, over however many between.
fn leads_to(tables: &[TableDef], from: &str, to: &str) -> bool {
    let (mut seen, mut open) = (HashSet::new(), vec![from.to_owned()]);
    while let Some(name) = open.pop() {
        if name == to {
            return true;
        }
        let table = tables.iter().find(|table| table.name() == name);
        if let Some(table) = table.filter(|_| seen.insert(name)) {
            open.extend(table.foreign_keys().into_iter().map(|key| key.table));
        }
    }
    false
}

fn recount(table: &TableDef) -> String {
    let database = table.scope().database();
    let and = |parts: Vec<String>| parts.join(" AND ");
    let key = and(table.key_names().map(|key| format!("own.\"{key}\" = ?")).collect());
    let keys = table.foreign_keys();
    let leads_nowhere = keys.iter().map(|ForeignKey { columns, table, referenced, .. }| {
        let pairs = columns.iter().zip(referenced);
        let refers = columns.iter().map(|own| format!("own.\"{own}\" IS NOT NULL"));
        let equal = pairs.map(|(own, other)| format!("other.\"{other}\" = own.\"{own}\""));
        format!(
            "{} AND NOT EXISTS (SELECT 1 FROM {database}.\"{table}\" AS other WHERE {})",
            and(refers.collect()),
            and(equal.collect())
        )
    });
    let leads_nowhere: Vec<_> = leads_nowhere.collect();
    format!(
        "SELECT {} FROM {database}.\"{}\" AS own WHERE {key} AND ({})",
        quoted(table.key_names()),
        table.name(),
        leads_nowhere.join(" OR ")
    )
}

impl Connection {
    /// Fails if a row refers to one that is not there; to be asked when an event's writes are done.
    ///
    /// Foreign keys are deferred, so SQLite counts what is open and would complain no earlier than
    /// at the end of the transaction, when it is too late to tell which event it was.
    pub fn check_foreign_keys(&self) -> Result<(), SqliteError> {
        if self.open_references()? == 0 && !self.is_miscounted()? {
            return Ok(());
        }
        Err(SqliteError::ForeignKey { table: self.lost_reference()? })
    }

    /// Looks at the rows written since the last time, in tables where SQLite can miscount.
    fn is_miscounted(&self) -> Result<bool, SqliteError> {
        if self.recounts.iter().all(Option::is_none) {
            return Ok(false);
        }
        if self.capture.journal().is_uncaptured() {
            return Err(SqliteError::NotCaptured);
        }
        let (written, memory) = self.capture.journal().since_recount();
        let recount = |table: u16| self.recounts.get(usize::from(table))?.as_deref();
        for (table, key) in written {
            if let Some(sql) = recount(table)
                && self.system().query_one(sql, params_from_iter(&key), |_| Ok(()))?.is_some()
            {
                return Ok(true);
            }
        }
        // Of these nobody knows which rows were written.
        let changed = memory.iter().any(|table| recount(table as u16).is_some());
        Ok(changed && self.lost_reference()?.is_some())
    }

    /// Returns 0 if every reference leads somewhere, else another number.
    #[expect(unsafe_code, reason = "rusqlite has no function for the status of a connection")]
    fn open_references(&self) -> Result<i32, SqliteError> {
        let (mut open, mut highest) = (0, 0);
        // SAFETY: the handle is that of a connection which is open as long as `self` lives, and
        // SQLite writes no more than the two integers that it is given.
        let code = unsafe {
            let handle = self.raw.handle();
            let of_keys = ffi::SQLITE_DBSTATUS_DEFERRED_FKS;
            ffi::sqlite3_db_status(handle, of_keys, &raw mut open, &raw mut highest, 0)
        };
        if code != ffi::SQLITE_OK {
            return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None).into());
        }
        Ok(open)
    }

    /// Finds one of the rows that refer to nothing, and names its table and the one it refers to.
    fn lost_reference(&self) -> Result<Option<String>, SqliteError> {
        let referring = self.tables.iter().filter(|table| table.has_foreign_keys());
        for table in referring {
            let found = self.system().query_one(
                "SELECT \"table\", parent FROM pragma_foreign_key_check(?, ?) LIMIT 1",
                params![table.name(), table.scope().database()],
                |row| Ok(format!("{} to {}", row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?)),
            )?;
            if let Some(found) = found {
                return Ok(Some(format!("the foreign key of {found}")));
            }
        }
        Ok(None)
    }

    /// Runs a closure in which deletions do not cascade and references may lead nowhere.
    ///
    /// The PRAGMA would do nothing inside a transaction.
    pub(crate) fn without_foreign_keys<R>(
        &self,
        run: impl FnOnce() -> Result<R, SqliteError>,
    ) -> Result<R, SqliteError> {
        let is_needed =
            self.tables.is_empty() || self.tables.iter().any(TableDef::has_foreign_keys);
        if !is_needed {
            // To switch would make SQLite prepare every statement anew.
            return run();
        }
        self.enforce_foreign_keys(false)?;
        let enforced_again = EnforcedAgain(self);
        let result = run();
        drop(enforced_again);
        result
    }

    fn enforce_foreign_keys(&self, on: bool) -> Result<(), SqliteError> {
        self.raw.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, on)?;
        Ok(())
    }
}

/// Switches enforcement on again, also when the closure panics.
struct EnforcedAgain<'a>(&'a Connection);

impl Drop for EnforcedAgain<'_> {
    fn drop(&mut self) {
        // SQLite refuses this to nobody whose connection is open.
        let _ = self.0.enforce_foreign_keys(true);
    }
}
