//! What did not work: dead letters, quarantined events, and what another history left behind.

use livestore_core::protocol::{Refusal, RejectReason};
use livestore_core::{
    BackendId, ConfirmedGroup, Event, EventName, GlobalSeqNum, Group, GroupId, SeqNum,
};
use livestore_sqlite::{Connection, SqliteError, params};
use serde::{Deserialize, Serialize};

use super::log::{damaged, group_id};
use crate::event::EventKind;
use crate::{CommandFailure, StoredCommand};

/// A group that could not be applied or was refused, kept with its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The group as it was last.
    pub group: Group,
    /// Why it did not make it.
    pub reason: DeadLetterReason,
    /// When, in milliseconds since 1970, by the local clock.
    pub rejected_at_ms: u64,
    /// The command that made the group, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<StoredCommand>,
}

/// Why a group became a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
#[non_exhaustive]
pub enum DeadLetterReason {
    /// Its materializer failed on the state that other clients' events have led to.
    MaterializeFailed {
        /// Which event of the group, counted from 0.
        event_index: usize,
        /// The materializer's error.
        message: String,
    },
    /// The command that made it was run again, on the state that other clients' events have led to.
    CommandFailed {
        /// Why that made no events; [`CommandFailure::refusal`] gives the handler's error.
        failure: CommandFailure,
    },
    /// The app says of such an event that it is not to be kept on a rebase.
    DroppedOnRebase {
        /// Which event of the group, counted from 0.
        event_index: usize,
        /// The app's reason.
        reason: String,
    },
    /// The app's function that decides on a rebase failed.
    OnRebaseFailed {
        /// Which event of the group, counted from 0.
        event_index: usize,
        /// What happened.
        failure: CommandFailure,
    },
    /// It was to take the place of a dead letter that somebody else has tried again, or forgotten.
    LetterGone,
    /// It was pending when the app discarded what the backend's other history does not have.
    HistoryDiscarded,
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
            Self::CommandFailed { failure } => {
                write!(f, "the command is no longer possible: {failure}")
            }
            Self::DroppedOnRebase { event_index, reason } => {
                write!(f, "event {event_index} of the group was dropped on a rebase: {reason}")
            }
            Self::OnRebaseFailed { event_index, failure } => {
                write!(f, "what to do with event {event_index} on a rebase is not known: {failure}")
            }
            Self::LetterGone => {
                f.write_str("somebody else has tried the same dead letter again, or forgotten it")
            }
            Self::HistoryDiscarded => {
                f.write_str("it was pending when another history of the backend was followed")
            }
            Self::RefusedByBackend { reason: RejectReason::EventIdConflict } => {
                f.write_str("the backend holds another group under its id")
            }
            Self::RefusedByBackend { reason: RejectReason::Refused(Refusal { message, .. }) } => {
                write!(f, "the backend refused it: {message}")
            }
            Self::RefusedByBackend { .. } => f.write_str("the backend refused it"),
        }
    }
}

/// A confirmed event that could not be materialized and was skipped.
///
/// It is tried again whenever the state is derived anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// Where it stands in the log.
    pub seq: SeqNum,
    /// Its name.
    pub name: EventName,
    /// True if it was skipped since the schema had no event of this name.
    pub unknown: bool,
    /// Why it was skipped.
    pub reason: String,
}

/// Writes a group or a reason; fails only if a stored payload is no JSON any more.
fn json<T: Serialize>(value: &T) -> Result<String, SqliteError> {
    Ok(serde_json::to_string(value).map_err(|_| damaged(0, "not a payload"))?)
}

/// Stores a dead letter.
pub(crate) fn bury(connection: &Connection, letter: &DeadLetter) -> Result<(), SqliteError> {
    connection.system().execute(
        "INSERT OR REPLACE INTO __livestore_dead_letter VALUES (?, ?, ?, ?, ?)",
        params![
            letter.group.id().as_bytes(),
            json(&letter.group)?,
            json(&letter.reason)?,
            letter.rejected_at_ms as i64,
            letter.command.as_ref().map(json).transpose()?,
        ],
    )?;
    Ok(())
}

/// Reads dead letters, oldest first: all, or that of one group.
fn read_letters(
    connection: &Connection,
    group: Option<GroupId>,
) -> Result<Vec<DeadLetter>, SqliteError> {
    let sql = "SELECT content, reason, rejected_at, command FROM __livestore_dead_letter \
               WHERE ?1 IS NULL OR group_id = ?1 ORDER BY rejected_at, group_id";
    connection.system().query(sql, params![group.as_ref().map(GroupId::as_bytes)], |row| {
        let group = serde_json::from_str(row.get_ref(0)?.as_str()?);
        let reason = serde_json::from_str(row.get_ref(1)?.as_str()?);
        let command = row.get_ref(3)?.as_str_or_null()?.map(serde_json::from_str);
        Ok(DeadLetter {
            group: group.map_err(|_| damaged(0, "not a group"))?,
            reason: reason.map_err(|_| damaged(1, "not a reason"))?,
            rejected_at_ms: row.get(2)?,
            command: command.transpose().map_err(|_| damaged(3, "not a command"))?,
        })
    })
}

/// Reads all dead letters, oldest first.
pub(crate) fn dead_letters(connection: &Connection) -> Result<Vec<DeadLetter>, SqliteError> {
    read_letters(connection, None)
}

/// Reads the dead letter of a group, if it is one.
pub(crate) fn dead_letter(
    connection: &Connection,
    group: GroupId,
) -> Result<Option<DeadLetter>, SqliteError> {
    Ok(read_letters(connection, Some(group))?.pop())
}

/// Finds dead letters whose groups the log holds between two positions.
pub(crate) fn letters_in_log(
    connection: &Connection,
    after: GlobalSeqNum,
    up_to: GlobalSeqNum,
) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT letter.group_id FROM __livestore_dead_letter AS letter \
               JOIN __livestore_eventlog AS log ON log.group_id = letter.group_id \
               WHERE log.log_hash IS NOT NULL AND log.seq > ? AND log.seq <= ?";
    connection.system().query(sql, [after.0 as i64, up_to.0 as i64], |row| group_id(row, 0))
}

/// How many forgotten dead letters are remembered by the ids of their groups.
const MAX_FORGOTTEN: u32 = 10_000;

/// Forgets a dead letter, since its user has dealt with it; tells whether it was there.
///
/// The session that committed the group may not have heard of its fate yet, and would hand it over once
/// more. So the id stays, among the newest ones.
pub(crate) fn forget(connection: &Connection, group: GroupId) -> Result<bool, SqliteError> {
    if !exhume(connection, group)? {
        return Ok(false);
    }
    let system = connection.system();
    system.execute("INSERT OR IGNORE INTO __livestore_forgotten VALUES (?)", [group.as_bytes()])?;
    let sql = "DELETE FROM __livestore_forgotten WHERE group_id IN (SELECT group_id \
               FROM __livestore_forgotten ORDER BY group_id DESC LIMIT -1 OFFSET ?)";
    system.execute(sql, [MAX_FORGOTTEN])?;
    Ok(true)
}

/// Tells whether a group was a dead letter that was forgotten.
pub(crate) fn is_forgotten(connection: &Connection, group: GroupId) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM __livestore_forgotten WHERE group_id = ?";
    Ok(connection.system().query_one(sql, [group.as_bytes()], |_| Ok(()))?.is_some())
}

/// Takes a group out of the dead letters; tells whether it was there.
pub(crate) fn exhume(connection: &Connection, group: GroupId) -> Result<bool, SqliteError> {
    let sql = "DELETE FROM __livestore_dead_letter WHERE group_id = ?";
    Ok(connection.system().execute(sql, [group.as_bytes()])? > 0)
}

/// Notes that a confirmed event was skipped.
pub(crate) fn quarantine(
    connection: &Connection,
    (seq, client): (GlobalSeqNum, u32),
    event: &Event,
    skipped: &Skipped,
) -> Result<(), SqliteError> {
    let sql = "INSERT OR REPLACE INTO __livestore_quarantine VALUES (?, ?, ?, ?, ?)";
    let Skipped { unknown, reason } = skipped;
    let params = params![seq.0 as i64, client, event.name.as_str(), unknown, reason];
    connection.system().execute(sql, params)?;
    Ok(())
}

/// Why an event was skipped.
#[derive(Debug)]
pub(crate) struct Skipped {
    pub(crate) unknown: bool,
    pub(crate) reason: String,
}

/// Reads the quarantined events in the order of the log.
pub(crate) fn quarantined(connection: &Connection) -> Result<Vec<Quarantined>, SqliteError> {
    let sql = "SELECT seq, client, name, unknown, reason FROM __livestore_quarantine \
               ORDER BY seq, client";
    connection.system().query(sql, [], |row| {
        let name = EventName::new(row.get_ref(2)?.as_str()?);
        let seq = SeqNum { global: GlobalSeqNum(row.get(0)?), client: row.get(1)?, generation: 0 };
        Ok(Quarantined {
            seq,
            name: name.map_err(|_| damaged(2, "not an event name"))?,
            unknown: row.get(3)?,
            reason: row.get(4)?,
        })
    })
}

/// Reads the names and kinds of quarantined events that nobody knew.
pub(crate) fn unknown_names(
    connection: &Connection,
) -> Result<Vec<(EventName, EventKind)>, SqliteError> {
    let sql = "SELECT DISTINCT name, client > 0 FROM __livestore_quarantine WHERE unknown";
    connection.system().query(sql, [], |row| {
        let name = EventName::new(row.get_ref(0)?.as_str()?);
        Ok((name.map_err(|_| damaged(0, "not an event name"))?, EventKind::of(row.get(1)?)))
    })
}

/// Forgets all quarantined events, since the state is about to be derived anew.
pub(crate) fn clear_quarantine(connection: &Connection) -> Result<(), SqliteError> {
    connection.system().execute("DELETE FROM __livestore_quarantine", []).map(drop)
}

/// Keeps a group of a history that the store has left.
pub(crate) fn archive(
    connection: &Connection,
    backend_id: BackendId,
    confirmed: &ConfirmedGroup,
) -> Result<(), SqliteError> {
    let sql = "INSERT INTO __livestore_archive (backend_id, seq, content) VALUES (?, ?, ?)";
    let params = params![backend_id.as_bytes(), confirmed.first.0 as i64, json(&confirmed.group)?];
    connection.system().execute(sql, params)?;
    Ok(())
}

/// Tells whether a group is among the archived ones.
///
/// Nobody asks about many: these are read through.
pub(crate) fn is_archived(connection: &Connection, group: GroupId) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM __livestore_archive WHERE content ->> 'id' = ? LIMIT 1";
    Ok(connection.system().query_one(sql, [group.to_string()], |_| Ok(()))?.is_some())
}

/// Reads the archived groups, oldest first, with the backend that they came from.
pub(crate) fn archived(
    connection: &Connection,
) -> Result<Vec<(BackendId, ConfirmedGroup)>, SqliteError> {
    let sql = "SELECT backend_id, seq, content FROM __livestore_archive ORDER BY id";
    connection.system().query(sql, [], |row| {
        let backend = BackendId::from_slice(row.get_ref(0)?.as_blob()?);
        let group = serde_json::from_str(row.get_ref(2)?.as_str()?);
        let first = GlobalSeqNum(row.get(1)?);
        let group = group.map_err(|_| damaged(2, "not a group"))?;
        let backend = backend.ok_or_else(|| damaged(0, "not a backend id"))?;
        Ok((backend, ConfirmedGroup { first, group }))
    })
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Groups in the dead letters.
    pub(crate) dead_letters: u64,
    /// Events that were skipped.
    pub(crate) quarantined: u64,
    /// Groups of histories that were left.
    pub(crate) archived: u64,
}

/// Counts everything here.
pub(crate) fn counts(connection: &Connection) -> Result<Counts, SqliteError> {
    let sql = "SELECT (SELECT count(*) FROM __livestore_dead_letter), \
               (SELECT count(*) FROM __livestore_quarantine), \
               (SELECT count(*) FROM __livestore_archive)";
    let counts = connection.system().query_one(sql, [], |row| {
        Ok(Counts { dead_letters: row.get(0)?, quarantined: row.get(1)?, archived: row.get(2)? })
    })?;
    Ok(counts.unwrap_or_default())
}
