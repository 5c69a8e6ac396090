//! What did not work: dead letters and quarantined events.

use livestore_core::protocol::RejectReason;
use livestore_core::{GlobalSeqNum, Group, GroupId};
use livestore_sqlite::{Connection, SqliteError, params};
use serde::{Deserialize, Serialize};

/// A group that could not be applied or was refused, kept with its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The group as it was committed.
    pub group: Group,
    /// Why it did not make it.
    pub reason: DeadLetterReason,
    /// When, in milliseconds since 1970, by the local clock.
    pub rejected_at_ms: u64,
}

/// Why a group became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// Its materializer failed on the state that other clients' events have led to.
    MaterializeFailed {
        /// Which event of the group, counted from 0.
        event_index: usize,
        /// The materializer's error.
        message: String,
    },
    /// The backend refused it.
    RefusedByBackend {
        /// The backend's answer.
        reason: RejectReason,
    },
}

impl std::fmt::Display for DeadLetterReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::MaterializeFailed { event_index, message } => {
                write!(f, "event {event_index} of the group no longer applies: {message}")
            }
            Self::RefusedByBackend { reason: RejectReason::EventIdConflict } => {
                f.write_str("the backend holds another group under its id")
            }
            Self::RefusedByBackend { reason: RejectReason::Refused { message } } => {
                write!(f, "the backend refused it: {message}")
            }
            Self::RefusedByBackend { .. } => f.write_str("the backend refused it"),
        }
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("groups and reasons always have a JSON form")
}

/// Stores a dead letter.
pub(crate) fn bury(connection: &Connection, letter: &DeadLetter) -> Result<(), SqliteError> {
    connection.system().execute(
        "INSERT OR REPLACE INTO __livestore_dead_letter VALUES (?, ?, ?, ?)",
        params![
            letter.group.id().as_bytes(),
            json(&letter.group),
            json(&letter.reason),
            letter.rejected_at_ms as i64
        ],
    )?;
    Ok(())
}

/// Reads all dead letters, oldest first.
pub(crate) fn dead_letters(connection: &Connection) -> Result<Vec<DeadLetter>, SqliteError> {
    let sql = "SELECT content, reason, rejected_at FROM __livestore_dead_letter \
               ORDER BY rejected_at, group_id";
    connection.system().query(sql, [], |row| {
        let parsed = (
            serde_json::from_str(row.get_ref(0)?.as_str()?),
            serde_json::from_str(row.get_ref(1)?.as_str()?),
        );
        let (Ok(group), Ok(reason)) = parsed else {
            let kind = livestore_sqlite::rusqlite::types::Type::Text;
            return Err(livestore_sqlite::rusqlite::Error::FromSqlConversionFailure(
                0,
                kind,
                "not a dead letter".into(),
            ));
        };
        Ok(DeadLetter { group, reason, rejected_at_ms: row.get(2)? })
    })
}

/// Reads why a group became a dead letter, if it did.
pub(crate) fn rejection(
    connection: &Connection,
    group: GroupId,
) -> Result<Option<DeadLetterReason>, SqliteError> {
    let sql = "SELECT reason FROM __livestore_dead_letter WHERE group_id = ?";
    let reason: Option<String> =
        connection.system().query_one(sql, [group.as_bytes()], |row| row.get(0))?;
    Ok(reason.and_then(|reason| serde_json::from_str(&reason).ok()))
}

/// Notes that a confirmed event was skipped.
pub(crate) fn quarantine(
    connection: &Connection,
    seq: GlobalSeqNum,
    reason: &str,
) -> Result<(), SqliteError> {
    let sql = "INSERT OR REPLACE INTO __livestore_quarantine VALUES (?, ?)";
    connection.system().execute(sql, params![seq.0 as i64, reason])?;
    Ok(())
}

/// Forgets all quarantined events, since the state is about to be derived anew.
pub(crate) fn clear_quarantine(connection: &Connection) -> Result<(), SqliteError> {
    connection.system().execute("DELETE FROM __livestore_quarantine", []).map(drop)
}

/// Counts dead letters and quarantined events.
pub(crate) fn counts(connection: &Connection) -> Result<(u64, u64), SqliteError> {
    let sql = "SELECT (SELECT count(*) FROM __livestore_dead_letter), \
               (SELECT count(*) FROM __livestore_quarantine)";
    let counts = connection.system().query_one(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.unwrap_or_default())
}
