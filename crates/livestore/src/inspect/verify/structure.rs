//! The file as a database, and the definitions of our tables.

use std::collections::BTreeMap;

use livestore_core::{ClientId, StoreId};
use livestore_sqlite::Connection;

use super::{Check, Checker, MAX_LISTED, VerifyError};
use crate::replica::format::{self, Meta};

/// Objects of a database by name, with their definitions.
type Objects = BTreeMap<String, String>;

impl Checker<'_> {
    /// Lets SQLite check its own structures, the state tables' included: pages, order, indexes,
    /// types, NOT NULL and CHECK constraints, foreign keys.
    pub(super) fn check_database(&mut self) -> Result<(), VerifyError> {
        let sql = format!("PRAGMA integrity_check({MAX_LISTED})");
        let mut messages: Vec<String> = Vec::new();
        let checked = self.connection.system().for_each(&sql, [], |row| {
            messages.push(row.get(0)?);
            Ok(true)
        });
        for message in messages.into_iter().filter(|message| message != "ok") {
            // SQLite puts several findings of one tree into one message.
            for line in message.lines().filter(|line| !line.starts_with("***")) {
                self.add(Check::Database, "the file", line);
            }
        }
        if let Err(error) = checked {
            self.failed(Check::Database, "the file", error)?;
        }
        let sql = "PRAGMA foreign_key_check";
        self.find(Check::Database, "the state", sql, [], |row| {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            Ok((
                format!("table {table}"),
                format!("a row refers to a row of {parent} that is not there"),
            ))
        })
    }

    /// Compares our tables and indexes with those that this version creates.
    pub(super) fn check_tables(&mut self) -> Result<(), VerifyError> {
        let found = match own_objects(self.connection) {
            Ok(found) => found,
            Err(error) => return self.failed(Check::Tables, "the schema", error),
        };
        let expected = expected_objects()?;
        for (name, sql) in &expected {
            match found.get(name) {
                None => self.add(Check::Tables, name, "it is missing"),
                Some(other) if other != sql => {
                    self.add(Check::Tables, name, "its definition is not that of this format");
                }
                Some(_) => {}
            }
        }
        for name in found.keys().filter(|name| !expected.contains_key(*name)) {
            self.add(Check::Tables, name, "this format has no such table or index");
        }
        Ok(())
    }
}

/// Reads what a database has under names of LiveStore's own.
fn own_objects(connection: &Connection) -> Result<Objects, livestore_sqlite::SqliteError> {
    let sql = "SELECT name, coalesce(sql, '') FROM sqlite_schema \
               WHERE substr(name, 1, 11) = '__livestore' \
               OR tbl_name <> name AND substr(tbl_name, 1, 11) = '__livestore'";
    let objects = connection.system().query(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(objects.into_iter().collect())
}

/// Returns what a new file of this format has.
pub(in crate::inspect) fn expected_objects() -> Result<Objects, livestore_sqlite::SqliteError> {
    let template = Connection::open_memory()?;
    let (store_id, client_id) = (StoreId::from_random(&[]), ClientId::from_random(&[]));
    format::create(&template, &Meta::new(store_id, client_id, &[]))?;
    own_objects(&template)
}
