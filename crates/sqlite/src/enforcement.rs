//! Foreign keys held after every event, and left alone by what only brings rows back.

use rusqlite::config::DbConfig;
use rusqlite::{ffi, params};

use crate::{Connection, SqliteError, TableDef};

impl Connection {
    /// Fails if a row refers to one that is not there; to be asked when an event's writes are done.
    ///
    /// Foreign keys are deferred, so SQLite counts what is open and would complain no earlier than
    /// at the end of the transaction, when it is too late to tell which event it was.
    pub fn check_foreign_keys(&self) -> Result<(), SqliteError> {
        if self.open_references()? == 0 {
            return Ok(());
        }
        Err(SqliteError::ForeignKey { table: self.lost_reference()? })
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
