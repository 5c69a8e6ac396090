//! Tables that a statement reads although SQLite asks nobody about them.
//!
//! SQLite asks the authorizer about every column that a statement names, and about every table of
//! which no column is used. The columns that `JOIN … USING` and `NATURAL JOIN` compare are
//! neither: the table is read, and the authorizer does not hear of it. So the program of such a
//! statement is asked which tables it opens, and then the authorizer about each.

use std::collections::BTreeSet;

use rusqlite::{Error, OptionalExtension, Result, Statement, ffi};

use crate::Connection;
use crate::authorizer::Mode;

impl Connection {
    /// Asks the authorizer, in its present mode, about the tables that a statement opens, if it
    /// joins by the names of columns.
    pub(crate) fn authorize_joins(&self, statement: &Statement<'_>, sql: &str) -> Result<()> {
        // A statement that is itself an EXPLAIN reads nothing.
        if !joins_by_name(sql) || statement.is_explain() != 0 {
            return Ok(());
        }
        let opened = self.opened_btrees(sql)?;
        let tables = self.authorizer().with_mode(Mode::System, || self.tables_of(opened))?;
        let may_read =
            |(database, table): &(String, String)| self.authorizer().may_read(table, database);
        if tables.iter().all(may_read) {
            return Ok(());
        }
        Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_AUTH), None))
    }

    /// Returns the database index and root page of every table and index that a statement opens.
    fn opened_btrees(&self, sql: &str) -> Result<BTreeSet<(i64, i64)>> {
        let mut program = self.raw().prepare(&format!("EXPLAIN {sql}"))?;
        let mut rows = program.query([])?;
        let mut opened = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let opcode: Box<str> = row.get("opcode")?;
            if matches!(&*opcode, "OpenRead" | "OpenWrite" | "ReopenIdx") {
                opened.insert((row.get("p3")?, row.get("p2")?));
            }
        }
        Ok(opened)
    }

    /// Returns the databases and names of the tables that these root pages belong to.
    fn tables_of(&self, opened: BTreeSet<(i64, i64)>) -> Result<Vec<(String, String)>> {
        let mut database =
            self.raw().prepare_cached("SELECT name FROM pragma_database_list WHERE seq = ?")?;
        let table = |(index, root): (i64, i64)| {
            let database: String = database.query_row([index], |row| row.get(0))?;
            let sql = format!("SELECT tbl_name FROM {database}.sqlite_schema WHERE rootpage = ?");
            let mut table = self.raw().prepare_cached(&sql)?;
            let table: Option<String> = table.query_row([root], |row| row.get(0)).optional()?;
            // The list of tables does not list itself.
            Ok((database, table.unwrap_or_else(|| "sqlite_schema".into())))
        };
        opened.into_iter().map(table).collect()
    }
}

/// Tells whether a statement may hold such a join; both words are keywords and cannot be spelled
/// in another way.
fn joins_by_name(sql: &str) -> bool {
    let holds = |word: &[u8]| {
        sql.as_bytes().windows(word.len()).any(|found| found.eq_ignore_ascii_case(word))
    };
    holds(b"USING") || holds(b"NATURAL")
}
