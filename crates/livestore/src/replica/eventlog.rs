//! The eventlog on disk: confirmed events by position, pending ones by ordinal.

use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, GlobalSeqNum, Group,
    GroupId, LogHash, SessionId,
};
use livestore_sqlite::rusqlite::{self, Row, types::Type};
use livestore_sqlite::{Connection, SqliteError, params};

/// A pending group and where it stands in the tail.
#[derive(Debug, Clone)]
pub(crate) struct PendingGroup {
    /// The ordinal of its first event; the others follow without a gap.
    pub(crate) first: i64,
    /// The group.
    pub(crate) group: Group,
    /// How to undo it; `None` if its effects are not in the state.
    pub(crate) undo: Option<Vec<u8>>,
}

impl PendingGroup {
    pub(crate) fn last(&self) -> i64 {
        self.first + self.group.event_count() as i64 - 1
    }
}

/// A limit that is none.
pub(crate) const ALL: usize = i64::MAX as usize;

/// The extent of the pending tail.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tail {
    pub(crate) groups: u64,
    pub(crate) events: u64,
    /// The ordinal of the last pending event; also the highest that was ever given in this
    /// opening of the store, so that an ordinal is not given twice.
    pub(crate) last: i64,
}

/// A stored value that is not what this crate writes.
fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, what.into())
}

fn group_id(row: &Row<'_>, column: usize) -> rusqlite::Result<GroupId> {
    let bytes = row.get_ref(column)?.as_blob()?;
    GroupId::from_slice(bytes).ok_or_else(|| damaged(column, "not a group id"))
}

/// Reads an event from the columns id, name and args.
fn event(row: &Row<'_>, column: usize) -> rusqlite::Result<Event> {
    let id = EventId::from_slice(row.get_ref(column)?.as_blob()?);
    let name = EventName::new(row.get_ref(column + 1)?.as_str()?);
    Ok(Event {
        id: id.ok_or_else(|| damaged(column, "not an event id"))?,
        name: name.map_err(|_| damaged(column + 1, "not an event name"))?,
        args: CanonicalJson::trusted(row.get_ref(column + 2)?.as_str()?),
    })
}

fn session_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    SessionId::new(row.get_ref(column)?.as_str()?).map_err(|_| damaged(column, "not a session id"))
}

fn client_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ClientId> {
    ClientId::new(row.get_ref(column)?.as_str()?).map_err(|_| damaged(column, "not a client id"))
}

/// Appends a group to the pending tail.
pub(crate) fn append_pending(
    connection: &Connection,
    pending: &PendingGroup,
) -> Result<(), SqliteError> {
    let group = &pending.group;
    for (index, event) in group.events().iter().enumerate() {
        connection.system().execute(
            "INSERT INTO __livestore_pending VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                pending.first + index as i64,
                group.id().as_bytes(),
                index as i64,
                event.id.as_bytes(),
                event.name.as_str(),
                event.args.as_str(),
                group.session_id().as_str(),
                if index == 0 { pending.undo.as_deref() } else { None },
            ],
        )?;
    }
    Ok(())
}

/// Measures the pending tail.
pub(crate) fn tail(connection: &Connection) -> Result<Tail, SqliteError> {
    let sql = "SELECT count(*) FILTER (WHERE event_index = 0), count(*), \
               coalesce(max(ordinal), 0) FROM __livestore_pending";
    let tail = connection.system().query_one(sql, [], |row| {
        Ok(Tail { groups: row.get(0)?, events: row.get(1)?, last: row.get(2)? })
    })?;
    Ok(tail.unwrap_or_default())
}

/// Reads the ids of the first pending groups, in order.
pub(crate) fn pending_ids(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_pending WHERE event_index = 0 \
               ORDER BY ordinal LIMIT ?";
    connection.system().query(sql, [limit as i64], |row| group_id(row, 0))
}

/// Reads the ids of the pending groups whose effects are not in the state.
pub(crate) fn unapplied_groups(connection: &Connection) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_pending WHERE event_index = 0 AND undo IS NULL";
    connection.system().query(sql, [], |row| group_id(row, 0))
}

/// Tells whether the event with this ordinal is pending and belongs to this group.
pub(crate) fn is_pending(
    connection: &Connection,
    ordinal: i64,
    group: GroupId,
) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM __livestore_pending WHERE ordinal = ? AND group_id = ?";
    let found =
        connection.system().query_one(sql, params![ordinal, group.as_bytes()], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Reads pending groups from an ordinal on, until the closure has had enough.
pub(crate) fn pending_groups(
    connection: &Connection,
    from: i64,
    client_id: &ClientId,
    mut enough: impl FnMut(&[PendingGroup]) -> bool,
) -> Result<Vec<PendingGroup>, SqliteError> {
    let sql = "SELECT ordinal, group_id, event_index, event_id, name, args, session_id, undo \
               FROM __livestore_pending WHERE ordinal >= ? ORDER BY ordinal";
    let mut groups: Vec<PendingGroup> = Vec::new();
    let mut parts: Option<Parts> = None;
    connection.system().for_each(sql, [from], |row| {
        if row.get::<_, i64>(2)? == 0 {
            groups.extend(parts.take().map(|parts| parts.finish(client_id)).transpose()?);
            if enough(&groups) {
                return Ok(false);
            }
            parts = Some(Parts {
                first: row.get(0)?,
                id: group_id(row, 1)?,
                session_id: session_id(row, 6)?,
                undo: row.get(7)?,
                events: Vec::new(),
            });
        }
        match &mut parts {
            Some(parts) => parts.events.push(event(row, 3)?),
            None => return Err(damaged(2, "a group without its first event")),
        }
        Ok(true)
    })?;
    groups.extend(parts.map(|parts| parts.finish(client_id)).transpose()?);
    Ok(groups)
}

/// A pending group whose rows are still coming in.
struct Parts {
    first: i64,
    id: GroupId,
    session_id: SessionId,
    undo: Option<Vec<u8>>,
    events: Vec<Event>,
}

impl Parts {
    fn finish(self, client_id: &ClientId) -> rusqlite::Result<PendingGroup> {
        let group = Group::new(self.id, client_id.clone(), self.session_id, self.events);
        let group = group.map_err(|_| damaged(1, "a group beyond the limits"))?;
        Ok(PendingGroup { first: self.first, group, undo: self.undo })
    }
}

/// Replaces a pending group's undo data; `None` says that its effects are not in the state.
pub(crate) fn set_undo(
    connection: &Connection,
    first: i64,
    undo: Option<&[u8]>,
) -> Result<(), SqliteError> {
    let sql = "UPDATE __livestore_pending SET undo = ? WHERE ordinal = ?";
    connection.system().execute(sql, params![undo, first])?;
    Ok(())
}

/// Removes the pending events from one ordinal to another.
pub(crate) fn remove_pending(
    connection: &Connection,
    first: i64,
    last: i64,
) -> Result<(), SqliteError> {
    let sql = "DELETE FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?";
    connection.system().execute(sql, [first, last])?;
    Ok(())
}

/// Moves a pending group to the confirmed log as it is.
pub(crate) fn confirm_pending(
    connection: &Connection,
    (first, last): (i64, i64),
    at: GlobalSeqNum,
    client_id: &ClientId,
    log_hash: LogHash,
) -> Result<(), SqliteError> {
    connection.system().execute(
        "INSERT INTO __livestore_eventlog \
         SELECT ? + event_index, event_id, group_id, name, args, ?, session_id, \
         CASE ordinal WHEN ? THEN ? END \
         FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?",
        params![at.0 as i64, client_id.as_str(), last, log_hash.as_bytes(), first, last],
    )?;
    remove_pending(connection, first, last)
}

/// Appends a confirmed group to the log.
pub(crate) fn append_confirmed(
    connection: &Connection,
    confirmed: &ConfirmedGroup,
    log_hash: LogHash,
) -> Result<(), SqliteError> {
    let group = &confirmed.group;
    let last = group.events().len() - 1;
    for (index, event) in group.events().iter().enumerate() {
        connection.system().execute(
            "INSERT INTO __livestore_eventlog VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                confirmed.first.plus(index as u64).0 as i64,
                event.id.as_bytes(),
                group.id().as_bytes(),
                event.name.as_str(),
                event.args.as_str(),
                group.client_id().as_str(),
                group.session_id().as_str(),
                (index == last).then_some(log_hash.as_bytes()),
            ],
        )?;
    }
    Ok(())
}

/// Finds where a group stands in the confirmed log: its first and last position.
pub(crate) fn confirmed_positions(
    connection: &Connection,
    group: GroupId,
) -> Result<Option<(GlobalSeqNum, GlobalSeqNum)>, SqliteError> {
    let sql = "SELECT min(seq), max(seq) FROM __livestore_eventlog WHERE group_id = ?";
    let positions = connection.system().query_one(sql, [group.as_bytes()], |row| {
        let positions: (Option<u64>, Option<u64>) = (row.get(0)?, row.get(1)?);
        Ok(positions)
    })?;
    Ok(match positions {
        Some((Some(first), Some(last))) => Some((GlobalSeqNum(first), GlobalSeqNum(last))),
        _ => None,
    })
}

/// Reads the log's hash at a position; `None` if no confirmed group ends there.
pub(crate) fn log_hash(
    connection: &Connection,
    at: GlobalSeqNum,
) -> Result<Option<LogHash>, SqliteError> {
    let sql = "SELECT log_hash FROM __livestore_eventlog WHERE seq = ?";
    let hash: Option<Option<Vec<u8>>> =
        connection.system().query_one(sql, [at.0 as i64], |row| row.get(0))?;
    Ok(hash.flatten().and_then(|hash| LogHash::from_slice(&hash)))
}

/// One event as it stands in the log, confirmed or pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    /// The position if it is confirmed, the ordinal if it is pending.
    pub(crate) at: u64,
    pub(crate) event: Event,
    pub(crate) group_id: GroupId,
    pub(crate) client_id: ClientId,
    pub(crate) session_id: SessionId,
}

/// Reads confirmed events after a position.
pub(crate) fn confirmed_rows(
    connection: &Connection,
    after: GlobalSeqNum,
    limit: usize,
) -> Result<Vec<LogRow>, SqliteError> {
    let sql = "SELECT seq, group_id, event_id, name, args, client_id, session_id \
               FROM __livestore_eventlog WHERE seq > ? ORDER BY seq LIMIT ?";
    connection.system().query(sql, [after.0 as i64, limit as i64], |row| {
        Ok(LogRow {
            at: row.get(0)?,
            event: event(row, 2)?,
            group_id: group_id(row, 1)?,
            client_id: client_id(row, 5)?,
            session_id: session_id(row, 6)?,
        })
    })
}

/// Reads pending events after an ordinal.
pub(crate) fn pending_rows(
    connection: &Connection,
    after: i64,
    limit: usize,
    client_id: &ClientId,
) -> Result<Vec<LogRow>, SqliteError> {
    let sql = "SELECT ordinal, group_id, event_id, name, args, session_id \
               FROM __livestore_pending WHERE ordinal > ? ORDER BY ordinal LIMIT ?";
    connection.system().query(sql, [after, limit as i64], |row| {
        Ok(LogRow {
            at: row.get(0)?,
            event: event(row, 2)?,
            group_id: group_id(row, 1)?,
            client_id: client_id.clone(),
            session_id: session_id(row, 5)?,
        })
    })
}
