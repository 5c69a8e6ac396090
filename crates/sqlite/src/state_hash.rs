//! One hash for all of the state that clients share.

use std::fmt;

use crate::codec::write_value;
use crate::table::quoted;
use crate::{ColumnDef, Connection, Scope, SqliteError, Value};

/// BLAKE3 over all synced tables, rows in key order, values in canonical form.
///
/// Two states of the same schema have equal hashes exactly if they hold the same rows there,
/// whatever the order in which these were written and however SQLite laid them out. Client and
/// memory tables differ between clients, so they are left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateHash([u8; 32]);

impl StateHash {
    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateHash({self})")
    }
}

impl Connection {
    /// Hashes the synced tables of the state.
    pub fn state_hash(&self) -> Result<StateHash, SqliteError> {
        self.hash_tables(|scope| scope == Scope::Synced)
    }

    /// Hashes all tables of the state that are on disk; to be compared on one client alone.
    pub fn stored_state_hash(&self) -> Result<StateHash, SqliteError> {
        self.hash_tables(|scope| scope != Scope::Memory)
    }

    fn hash_tables(&self, has: impl Fn(Scope) -> bool) -> Result<StateHash, SqliteError> {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = Vec::new();
        for table in self.tables().iter().filter(|table| has(table.scope())) {
            let columns = quoted(table.written().map(ColumnDef::name));
            let key = quoted(table.key_names());
            let sql = format!("SELECT {columns} FROM main.\"{}\" ORDER BY {key}", table.name());
            bytes.clear();
            write_value(&mut bytes, &table.name().into());
            hasher.update(&bytes);
            let mut statement = self.raw().prepare(&sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                // A byte in front of each row keeps "no more rows" apart from any row.
                bytes.clear();
                bytes.push(1);
                for index in 0..table.written().count() {
                    write_value(&mut bytes, &Value::from_sql(row.get_ref(index)?));
                }
                hasher.update(&bytes);
            }
            hasher.update(&[0]);
        }
        Ok(StateHash(*hasher.finalize().as_bytes()))
    }
}
