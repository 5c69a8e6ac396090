//! The tables that a statement opens, for what SQLite's questions to the authorizer leave open.
//!
//! SQLite asks about every column that a statement names, and about every table of which no column
//! is used. The columns that `JOIN … USING` and `NATURAL JOIN` compare are neither: the table is
//! read, and the authorizer does not hear of it. Other questions cannot be answered from what they
//! tell. For such a statement its program is asked which tables it opens, and then the authorizer
//! about each.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Error, OptionalExtension, Result, Statement, ffi};

use crate::Connection;
use crate::authorizer::Mode;

impl Connection {
    /// Asks the authorizer, in its present mode, about the tables that a statement opens which
    /// was just prepared, if its answers so far do not settle that.
    pub(crate) fn authorize_opened_tables(
        &self,
        statement: &Statement<'_>,
        sql: &str,
    ) -> Result<()> {
        let is_settled = !self.authorizer().is_in_doubt() && !joins_by_name(sql);
        // A statement that is itself an EXPLAIN reads nothing.
        if is_settled || statement.is_explain() != 0 {
            return Ok(());
        }
        let opened = self.opened_btrees(sql)?;
        let tables = self.authorizer().with_mode(Mode::System, || self.tables_of(opened))?;
        let mut tables = tables.iter();
        if tables.all(|(database, table)| self.authorizer().may_open(table, database)) {
            return Ok(());
        }
        Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_AUTH), None))
    }

    /// Returns the database index and root page of every table and index that a statement opens.
    fn opened_btrees(&self, sql: &str) -> Result<BTreeSet<(i64, i64)>> {
        let mut program = self.raw().prepare(&format!("EXPLAIN {sql}"))?;
        // The program is the same whatever is bound.
        let mut rows = program.raw_query();
        let mut opened = BTreeSet::new();
        while let Some(row) = rows.next()? {
            let opcode: Box<str> = row.get("opcode")?;
            if matches!(&*opcode, "OpenRead" | "OpenWrite" | "ReopenIdx") {
                opened.insert((row.get("p3")?, row.get("p2")?));
            }
        }
        Ok(opened)
    }

    /// Returns the indexes that a statement opens, each as its table's name and the names of its
    /// columns, where they have one.
    pub(crate) fn opened_indexes(&self, sql: &str) -> Result<Vec<(String, Vec<Option<String>>)>> {
        let opened = self.opened_btrees(sql)?;
        self.authorizer().with_mode(Mode::System, || {
            let databases = self.databases()?;
            let mut indexes = Vec::new();
            for (index, root) in opened {
                let database = databases.get(&index).ok_or(Error::QueryReturnedNoRows)?;
                let sql = format!(
                    "SELECT tbl_name, name FROM {database}.sqlite_schema \
                     WHERE rootpage = ? AND type = 'index'"
                );
                let mut found = self.raw().prepare_cached(&sql)?;
                let found = found.query_row([root], |row| Ok((row.get(0)?, row.get(1)?)));
                let Some((table, name)): Option<(String, String)> = found.optional()? else {
                    continue;
                };
                let sql = format!("SELECT name FROM pragma_index_info(?, '{database}')");
                let mut columns = self.raw().prepare_cached(&sql)?;
                let columns = columns.query_map([name], |row| row.get(0))?;
                indexes.push((table, columns.collect::<Result<_>>()?));
            }
            Ok(indexes)
        })
    }

    /// Returns the names of the databases, by their indexes.
    fn databases(&self) -> Result<HashMap<i64, String>> {
        let mut list = self.raw().prepare_cached("PRAGMA database_list")?;
        list.query_map([], |row| Ok((row.get("seq")?, row.get("name")?)))?.collect()
    }

    /// Returns the databases and names of the tables that these root pages belong to.
    fn tables_of(&self, opened: BTreeSet<(i64, i64)>) -> Result<Vec<(String, String)>> {
        let databases = self.databases()?;
        let table = |(index, root): (i64, i64)| {
            let database = databases.get(&index).ok_or(Error::QueryReturnedNoRows)?;
            let sql = format!("SELECT tbl_name FROM {database}.sqlite_schema WHERE rootpage = ?");
            let mut table = self.raw().prepare_cached(&sql)?;
            let table: Option<String> = table.query_row([root], |row| row.get(0)).optional()?;
            // The list of tables does not list itself.
            Ok((database.clone(), table.unwrap_or_else(|| "sqlite_schema".into())))
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
