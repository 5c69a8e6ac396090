//! The statements that create a table and what belongs to it.

use std::fmt::Write as _;

use super::TableDef;
use crate::{Action, ColumnDef, ForeignKey, Generated, IndexDef, Scope, sql};

/// Quotes names, with commas between.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

impl TableDef {
    /// Returns the statements that create the table and its indexes, in the database where its
    /// scope keeps them, with semicolons between.
    ///
    /// They hold all that the definition says: two tables with the same statements are one table.
    /// The table is STRICT. Unless its key is a single INTEGER, which is the rowid itself, it is
    /// WITHOUT ROWID, so that no hidden rowid has to be restored by undo. An INTEGER key is less
    /// than the greatest 64-bit integer.
    pub fn ddl(&self) -> String {
        let mut sql = match self.scope {
            Scope::Synced => format!("CREATE TABLE \"{}\" (", self.name),
            // To SQLite this is a table like those above; the comment tells them apart, also in the
            // file, whose schema keeps it.
            Scope::Client => format!("CREATE TABLE \"{}\" /* client */ (", self.name),
            Scope::Memory => format!("CREATE TABLE memory.\"{}\" (", self.name),
        };
        for column in &self.columns {
            write_column(&mut sql, column);
            sql.push_str(", ");
        }
        let key = quoted(self.key_names());
        let numbered = if self.auto_increment() { " AUTOINCREMENT" } else { "" };
        let _ = write!(sql, "PRIMARY KEY ({key}{numbered})");
        for check in &self.checks {
            let _ = write!(sql, ", CHECK ({check})");
        }
        for foreign_key in self.foreign_keys() {
            write_foreign_key(&mut sql, &foreign_key);
        }
        // A rowid that is not given is one more than the greatest; once the greatest of all is
        // taken it would be random, and differ between clients.
        if self.has_rowid_key() {
            let _ = write!(sql, ", CHECK ({key} < {})) STRICT", i64::MAX);
        } else {
            sql.push_str(") STRICT, WITHOUT ROWID");
        }
        for index in &self.indexes {
            write_index(&mut sql, self, index);
        }
        for index in &self.full_texts {
            index.write_ddl(self, &mut sql);
        }
        sql
    }
}

fn write_column(sql: &mut String, column: &ColumnDef) {
    let _ = write!(sql, "\"{}\" {}", column.name, column.column_type.sql());
    if !column.nullable {
        sql.push_str(" NOT NULL");
    }
    if column.unique {
        sql.push_str(" UNIQUE");
    }
    if let Some(default) = &column.default {
        let _ = write!(sql, " DEFAULT {}", sql::literal(default));
    }
    if let Some(check) = &column.check {
        let _ = write!(sql, " CHECK ({check})");
    }
    if let Some((expression, when)) = &column.generated {
        let when = match when {
            Generated::Stored => "STORED",
            Generated::Virtual => "VIRTUAL",
        };
        let _ = write!(sql, " GENERATED ALWAYS AS ({expression}) {when}");
    }
}

fn write_foreign_key(sql: &mut String, foreign_key: &ForeignKey) {
    let ForeignKey { columns, table, referenced, on_delete, on_update } = foreign_key;
    let columns = quoted(columns.iter().map(|name| &**name));
    let referenced = quoted(referenced.iter().map(|name| &**name));
    let _ = write!(sql, ", FOREIGN KEY ({columns}) REFERENCES \"{table}\" ({referenced})");
    for (event, action) in [("DELETE", *on_delete), ("UPDATE", *on_update)] {
        if action != Action::NoAction {
            let _ = write!(sql, " ON {event} {action}");
        }
    }
    sql.push_str(" DEFERRABLE INITIALLY DEFERRED");
}

fn write_index(sql: &mut String, table: &TableDef, index: &IndexDef) {
    let unique = if index.unique { "UNIQUE " } else { "" };
    let database = if table.scope.is_on_disk() { "" } else { "memory." };
    let columns = quoted(index.columns.iter().map(|name| &**name));
    let (name, table) = (&index.name, &table.name);
    let _ = write!(sql, ";\nCREATE {unique}INDEX {database}\"{name}\" ON \"{table}\" ({columns})");
    if let Some(filter) = &index.filter {
        let _ = write!(sql, " WHERE {filter}");
    }
}
