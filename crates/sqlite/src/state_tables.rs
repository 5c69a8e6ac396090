//! The state tables of a connection: created, watched, emptied.

use rusqlite::params;

use crate::authorizer::{Mode, OWN_PREFIX};
use crate::changes::row_sql;
use crate::enforcement::recounts;
use crate::undo::UndoSql;
use crate::{
    ChangedTables, Changes, Connection, FtsDef, Scope, SqliteError, TableDef, check_tables,
};

impl Connection {
    /// Returns the state tables, in the order of [`TableDef::cmp_place`].
    pub fn tables(&self) -> &[TableDef] {
        &self.tables
    }

    /// Drops all state tables on disk, of whatever schema, and creates those of this one.
    ///
    /// Run it inside a transaction; [`Self::watch_state`] comes afterwards, and creates the memory
    /// tables.
    pub fn recreate_state(&self, tables: &[TableDef]) -> Result<(), SqliteError> {
        check_tables(tables)?;
        // Else a table that others refer to would be emptied row by row before it goes.
        self.without_foreign_keys(|| self.drop_state())?;
        tables.iter().filter(|table| table.scope().is_on_disk()).try_for_each(|t| self.create(t))
    }

    fn drop_state(&self) -> Result<(), SqliteError> {
        // A full-text index takes its own tables with it, which nobody else may drop.
        for is_virtual in [true, false] {
            let names = self.system().query(
                "SELECT name FROM main.sqlite_schema WHERE type = 'table' \
                 AND substr(name, 1, 7) <> 'sqlite_' AND substr(name, 1, ?) <> ? \
                 AND (sql LIKE 'CREATE VIRTUAL TABLE %') = ?",
                params![OWN_PREFIX.len() as i64, OWN_PREFIX, is_virtual],
                |row| row.get::<_, String>(0),
            )?;
            for name in names {
                let name = name.replace('"', "\"\"");
                self.raw.execute_batch(&format!("DROP TABLE main.\"{name}\""))?;
            }
        }
        Ok(())
    }

    fn create(&self, table: &TableDef) -> Result<(), SqliteError> {
        let ddl = table.ddl();
        self.authorizer.with_mode(Mode::Define, || {
            let explain = |error| self.authorizer.explain(Mode::Define, error, &ddl);
            self.raw.execute_batch(&ddl).map_err(explain)
        })
    }

    /// Creates the memory tables, starts to capture changes of all the given tables, and admits
    /// materializers to them; once for a connection.
    pub fn watch_state(&mut self, tables: Vec<TableDef>) -> Result<(), SqliteError> {
        self.open_state(tables)?;
        self.capture_changes()
    }

    /// Creates the memory tables, and admits materializers to all the given ones, without
    /// capturing what they change; once for a connection.
    ///
    /// Events that do very much, or whose foreign keys have to be looked at row by row, fail with
    /// [`SqliteError::NotCaptured`] until [`Self::capture_changes`] was called.
    pub fn open_state(&mut self, mut tables: Vec<TableDef>) -> Result<(), SqliteError> {
        check_tables(&tables)?;
        tables.sort_unstable_by(TableDef::cmp_place);
        let memory = tables.partition_point(|table| table.scope().is_on_disk());
        self.create_memory_tables(&tables[memory..])?;
        self.capture.prepare(&self.raw, &tables)?;
        self.set_tables(tables);
        Ok(())
    }

    /// Captures changes from now on, if it was not so already.
    pub fn capture_changes(&self) -> Result<(), SqliteError> {
        if !self.capture.journal().is_uncaptured() {
            return Ok(());
        }
        self.capture.install(&self.raw, &self.tables)
    }

    fn create_memory_tables(&self, tables: &[TableDef]) -> Result<(), SqliteError> {
        if tables.is_empty() {
            return Ok(());
        }
        let mut same_name = self.raw.prepare(
            "SELECT 1 FROM main.sqlite_schema WHERE type IN ('table', 'view') \
             AND name = ? COLLATE NOCASE",
        )?;
        for table in tables {
            // SQLite looks for a name in the main database first.
            let full_texts = table.full_texts().iter().map(FtsDef::name);
            for name in std::iter::once(table.name()).chain(full_texts) {
                if same_name.exists([name])? {
                    return Err(SqliteError::HidesMemoryTable { table: name.into() });
                }
            }
        }
        let database = Scope::Memory.database();
        self.raw.execute_batch(&format!("ATTACH ':memory:' AS {database}"))?;
        tables.iter().try_for_each(|table| self.create(table))
    }

    /// Empties all state tables on disk, without capturing it; run it inside a transaction.
    pub fn clear_state(&self) -> Result<Changes, SqliteError> {
        let mut cleared = ChangedTables::default();
        let clear = || {
            for (index, table) in self.tables.iter().enumerate() {
                if table.scope().is_on_disk() {
                    self.system().execute(&format!("DELETE FROM main.\"{}\"", table.name()), [])?;
                    if table.auto_increment() {
                        self.set_sequence(table.name(), None)?;
                    }
                    cleared.insert(index as u16);
                }
            }
            Ok(Changes::of_whole(cleared))
        };
        self.capture.silently(|| self.without_foreign_keys(clear))
    }

    /// Names the state tables without watching them, for a connection that only reads.
    ///
    /// Memory tables are left out: they live in the connection that watches them, so here a query
    /// of one fails, rather than find it empty.
    pub fn admit_state(&mut self, mut tables: Vec<TableDef>) {
        tables.retain(|table| table.scope().is_on_disk());
        tables.sort_unstable_by(TableDef::cmp_place);
        self.set_tables(tables);
    }

    fn set_tables(&mut self, tables: Vec<TableDef>) {
        self.authorizer.set_state_tables(&tables);
        let on_disk = tables.iter().take_while(|table| table.scope().is_on_disk());
        self.undo_sql = on_disk.map(UndoSql::new).collect();
        self.row_sql = tables.iter().map(row_sql).collect();
        self.recounts = recounts(&tables);
        self.capture.set_tables(tables.len());
        self.tables = tables;
    }
}
