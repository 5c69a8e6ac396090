//! The log on disk: confirmed events by position, and this client's own settled events beside them.
//!
//! `__livestore_eventlog` is the backend's log, or a beginning of it. `__livestore_client_log`
//! holds client-only events: `e5.1` is the first that was committed on the state of `e5`.

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, ContentHash, Event, EventId, EventName, GlobalSeqNum,
    Group, GroupId, LogHash, LogPosition, SeqNum, SessionId,
};
use livestore_sqlite::rusqlite::{self, Params, Row, types::Type};
use livestore_sqlite::{Bind, Connection, SqliteError, params};

use super::format::Meta;
use super::materialize::Authored;
use super::pending::Tail;
use crate::event::EventKind;

/// Where a client-only event stands in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientOnlyPlace {
    pub(crate) seq: GlobalSeqNum,
    /// 1 for the first behind `seq`.
    pub(crate) client: u32,
}

/// A stored value that is not what this crate writes.
pub(super) fn damaged(column: usize, what: &'static str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, what.into())
}

pub(super) fn group_id(row: &Row<'_>, column: usize) -> rusqlite::Result<GroupId> {
    let bytes = row.get_ref(column)?.as_blob()?;
    GroupId::from_slice(bytes).ok_or_else(|| damaged(column, "not a group id"))
}

fn event_id(row: &Row<'_>, column: usize) -> rusqlite::Result<EventId> {
    let bytes = row.get_ref(column)?.as_blob()?;
    EventId::from_slice(bytes).ok_or_else(|| damaged(column, "not an event id"))
}

/// Reads an event from the columns id, name and args.
pub(super) fn event(row: &Row<'_>, column: usize) -> rusqlite::Result<Event> {
    let name = EventName::new(row.get_ref(column + 1)?.as_str()?);
    Ok(Event {
        id: event_id(row, column)?,
        name: name.map_err(|_| damaged(column + 1, "not an event name"))?,
        args: CanonicalJson::trusted(row.get_ref(column + 2)?.as_str()?),
    })
}

pub(super) fn session_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SessionId> {
    SessionId::new(row.get_ref(column)?.as_str()?).map_err(|_| damaged(column, "not a session id"))
}

fn client_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ClientId> {
    ClientId::new(row.get_ref(column)?.as_str()?).map_err(|_| damaged(column, "not a client id"))
}

/// Reads a row of the log that begins with seq, client, group_id, event_id, name, args, client_id and
/// session_id.
///
/// Names mostly are those of the row before, with which they are shared then: checking them and
/// making room for them costs as much as the rest of a row.
fn log_row(row: &Row<'_>, before: Option<&LogRow>) -> rusqlite::Result<LogRow> {
    let (name, client, session) =
        (row.get_ref(4)?.as_str()?, row.get_ref(6)?.as_str()?, row.get_ref(7)?.as_str()?);
    let event = match before {
        Some(before) if before.event.name.as_str() == name => Event {
            id: event_id(row, 3)?,
            name: before.event.name.clone(),
            args: CanonicalJson::trusted(row.get_ref(5)?.as_str()?),
        },
        _ => event(row, 3)?,
    };
    let client_id = match before {
        Some(before) if before.client_id.as_str() == client => before.client_id.clone(),
        _ => client_id(row, 6)?,
    };
    let session_id = match before {
        Some(before) if before.session_id.as_str() == session => before.session_id.clone(),
        _ => session_id(row, 7)?,
    };
    let (at, group_id) = (row.get(0)?, group_id(row, 2)?);
    Ok(LogRow { at, client: row.get(1)?, group_id, event, client_id, session_id })
}

/// Appends a confirmed group to the log.
pub(crate) fn append(
    connection: &Connection,
    confirmed: &ConfirmedGroup,
    log_hash: LogHash,
) -> Result<(), SqliteError> {
    let group = &confirmed.group;
    let last = group.events().len() - 1;
    for (index, event) in group.events().iter().enumerate() {
        connection.system().run(
            "INSERT INTO __livestore_eventlog VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            &[
                Bind::Integer(confirmed.first.plus(index as u64).0 as i64),
                Bind::Blob(event.id.as_bytes()),
                Bind::Blob(group.id().as_bytes()),
                Bind::Text(event.name.as_str()),
                Bind::Text(event.args.as_str()),
                Bind::Text(group.client_id().as_str()),
                Bind::Text(group.session_id().as_str()),
                if index == last { Bind::Blob(log_hash.as_bytes()) } else { Bind::Null },
            ],
        )?;
    }
    Ok(())
}

/// Appends a client-only group to the client log, from a place on.
pub(crate) fn append_client_only(
    connection: &Connection,
    group: &Group,
    at: ClientOnlyPlace,
) -> Result<(), SqliteError> {
    for (index, event) in group.events().iter().enumerate() {
        connection.system().execute(
            "INSERT INTO __livestore_client_log VALUES (?, ?, ?, ?, ?, ?, ?)",
            params![
                at.seq.0 as i64,
                at.client + index as u32,
                event.id.as_bytes(),
                group.id().as_bytes(),
                event.name.as_str(),
                event.args.as_str(),
                group.session_id().as_str(),
            ],
        )?;
    }
    Ok(())
}

/// The last client-only place behind one position: room to count on from.
const MAX_CLIENT_ONLY: u32 = u32::MAX / 2;

/// Returns where the next client-only event behind a position would stand.
pub(crate) fn next_client_only(
    connection: &Connection,
    seq: GlobalSeqNum,
) -> Result<ClientOnlyPlace, SqliteError> {
    let sql = "SELECT coalesce(max(client), 0) FROM __livestore_client_log WHERE seq = ?";
    let last = connection.system().query_one(sql, [seq.0 as i64], |row| {
        let last: u32 = row.get(0)?;
        (last <= MAX_CLIENT_ONLY)
            .then_some(last)
            .ok_or_else(|| damaged(0, "a place that was never given"))
    })?;
    Ok(ClientOnlyPlace { seq, client: last.unwrap_or(0) + 1 })
}

/// Tells whether the client log holds a group.
pub(crate) fn has_client_only(
    connection: &Connection,
    group: GroupId,
) -> Result<bool, SqliteError> {
    let sql = "SELECT 1 FROM __livestore_client_log WHERE group_id = ? LIMIT 1";
    Ok(connection.system().query_one(sql, [group.as_bytes()], |_| Ok(()))?.is_some())
}

/// Finds where a group stands in the confirmed log: its first and last position.
pub(crate) fn positions(
    connection: &Connection,
    group: GroupId,
) -> Result<Option<(GlobalSeqNum, GlobalSeqNum)>, SqliteError> {
    // A log may begin later than at its first event.
    let sql = "SELECT coalesce((SELECT max(before.seq) FROM __livestore_eventlog AS before \
               WHERE before.seq < log.seq AND before.group_id <> log.group_id), \
               (SELECT min(seq) - 1 FROM __livestore_eventlog)), seq \
               FROM __livestore_eventlog AS log WHERE group_id = ? AND log_hash IS NOT NULL";
    connection.system().query_one(sql, [group.as_bytes()], |row| {
        Ok((GlobalSeqNum(row.get(0)?).next(), GlobalSeqNum(row.get(1)?)))
    })
}

/// Notes that a group of the log was submitted with another content.
pub(crate) fn note_rewritten(
    connection: &Connection,
    group: GroupId,
    submitted: ContentHash,
) -> Result<(), SqliteError> {
    let sql = "UPDATE __livestore_eventlog SET submitted = ? \
               WHERE group_id = ? AND log_hash IS NOT NULL";
    connection.system().execute(sql, params![submitted.as_bytes(), group.as_bytes()])?;
    Ok(())
}

/// Returns the content that a group of the log was submitted with, if it has another one there.
pub(crate) fn submitted(
    connection: &Connection,
    group: GroupId,
) -> Result<Option<ContentHash>, SqliteError> {
    let sql = "SELECT submitted FROM __livestore_eventlog \
               WHERE group_id = ? AND log_hash IS NOT NULL";
    let hash: Option<Option<Vec<u8>>> =
        connection.system().query_one(sql, [group.as_bytes()], |row| row.get(0))?;
    Ok(hash.flatten().and_then(|hash| ContentHash::from_slice(&hash)))
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

/// Finds the last end of a group at or before a position.
pub(crate) fn group_end(
    connection: &Connection,
    at: GlobalSeqNum,
) -> Result<LogPosition, SqliteError> {
    let sql = "SELECT seq, log_hash FROM __livestore_eventlog \
               WHERE seq <= ? AND log_hash IS NOT NULL ORDER BY seq DESC LIMIT 1";
    let end = connection.system().query_one(sql, [at.0 as i64], position)?;
    Ok(end.unwrap_or(LogPosition::ROOT))
}

/// Reads the end of a group from the columns seq and log_hash.
fn position(row: &Row<'_>) -> rusqlite::Result<LogPosition> {
    let hash = LogHash::from_slice(row.get_ref(1)?.as_blob()?);
    let hash = hash.ok_or_else(|| damaged(1, "not a log hash"))?;
    Ok(LogPosition { seq: GlobalSeqNum(row.get(0)?), hash })
}

/// One event as it stands in the log, confirmed or pending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRow {
    /// The position; 0 if it is pending.
    pub(crate) at: u64,
    /// The place behind the position, if it is client-only; 0 if it is synced.
    pub(crate) client: u32,
    pub(crate) event: Event,
    pub(crate) group_id: GroupId,
    pub(crate) client_id: ClientId,
    pub(crate) session_id: SessionId,
}

impl LogRow {
    /// Returns where the event stands: its position, and its place behind that.
    pub(crate) fn place(&self) -> (GlobalSeqNum, u32) {
        (GlobalSeqNum(self.at), self.client)
    }

    /// Returns the event's kind.
    pub(super) fn kind(&self) -> EventKind {
        EventKind::of(self.client > 0)
    }

    /// Returns the event with its author.
    pub(super) fn authored(&self) -> Authored<'_> {
        let Self { event, group_id, client_id, session_id, .. } = self;
        let (global, client) = self.place();
        let position = SeqNum { global, client, generation: 0 };
        Authored { event, position, group_id: *group_id, client_id, session_id }
    }
}

/// Finds the groups behind a position that are pending as well.
pub(crate) fn pending_groups_after(
    connection: &Connection,
    after: GlobalSeqNum,
    tail: &Tail,
) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_eventlog AS log \
               WHERE seq > ?1 AND log_hash IS NOT NULL AND EXISTS \
               (SELECT 1 FROM __livestore_pending_group AS own \
               WHERE own.group_id = log.group_id) \
               UNION ALL SELECT own.group_id FROM __livestore_pending AS own \
               CROSS JOIN __livestore_eventlog AS log ON log.group_id = own.group_id \
               WHERE own.ordinal > ?2 AND own.event_index = 0 \
               AND log.seq > ?1 AND log.log_hash IS NOT NULL";
    connection.system().query(sql, [after.0 as i64, tail.indexed], |row| group_id(row, 0))
}

/// Bytes of payloads after which a slice of the log, or of the tail, ends.
pub(super) const SLICE_BYTES: usize = 4 << 20;

/// Reads events of both logs in their common order, after one place and up to a position.
///
/// As many as may be in memory at a time: `limit`, or fewer if they are large, but at least one.
pub(crate) fn rows(
    connection: &Connection,
    (after, after_client): (GlobalSeqNum, u32),
    up_to: GlobalSeqNum,
    limit: usize,
    own: &ClientId,
) -> Result<Vec<LogRow>, SqliteError> {
    let sql = "SELECT seq, 0 AS client, group_id, event_id, name, args, client_id, session_id \
               FROM __livestore_eventlog WHERE seq > ?1 AND seq <= ?3 \
               UNION ALL \
               SELECT seq, client, group_id, event_id, name, args, ?5, session_id \
               FROM __livestore_client_log WHERE (seq, client) > (?1, ?2) AND seq <= ?3 \
               ORDER BY 1, 2 LIMIT ?4";
    let params = params![
        after.0 as i64,
        after_client,
        up_to.0.min(i64::MAX as u64) as i64,
        limit as i64,
        own.as_str()
    ];
    slice(connection, sql, params)
}

/// Reads events that were skipped since the schema did not know them, from one place on, in the
/// order of the log. As many as [`rows`] reads.
pub(crate) fn unknown_rows(
    connection: &Connection,
    (from, from_client): (GlobalSeqNum, u32),
    limit: usize,
    own: &ClientId,
) -> Result<Vec<LogRow>, SqliteError> {
    let sql = "SELECT seq, 0 AS client, group_id, event_id, log.name, args, client_id, session_id \
               FROM __livestore_quarantine AS skipped JOIN __livestore_eventlog AS log USING (seq) \
               WHERE unknown AND skipped.client = 0 AND (seq, skipped.client) >= (?1, ?2) \
               UNION ALL \
               SELECT seq, client, group_id, event_id, log.name, args, ?4, session_id \
               FROM __livestore_quarantine AS skipped \
               JOIN __livestore_client_log AS log USING (seq, client) \
               WHERE unknown AND (seq, client) >= (?1, ?2) \
               ORDER BY 1, 2 LIMIT ?3";
    slice(connection, sql, params![from.0 as i64, from_client, limit as i64, own.as_str()])
}

/// Reads rows of the log until they are as large as may be in memory at a time.
fn slice(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<Vec<LogRow>, SqliteError> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    connection.system().for_each(sql, params, |row| {
        let row = log_row(row, rows.last())?;
        bytes += row.event.args.as_str().len();
        rows.push(row);
        Ok(bytes < SLICE_BYTES)
    })?;
    Ok(rows)
}

/// Reads pending events after one ordinal and up to another, each with its own; `client` is 1 for
/// client-only ones. As many as [`rows`] reads.
pub(crate) fn pending_rows(
    connection: &Connection,
    after: i64,
    up_to: i64,
    limit: usize,
    own: &ClientId,
) -> Result<Vec<(i64, LogRow)>, SqliteError> {
    let sql = "SELECT group_id, event_id, name, args, session_id, client_only, ordinal \
               FROM __livestore_pending WHERE ordinal > ? AND ordinal <= ? \
               ORDER BY ordinal LIMIT ?";
    let (mut rows, mut bytes) = (Vec::new(), 0);
    connection.system().for_each(sql, params![after, up_to, limit as i64], |row| {
        let event = event(row, 1)?;
        bytes += event.args.as_str().len();
        let pending = LogRow {
            at: 0,
            client: row.get(5)?,
            event,
            group_id: group_id(row, 0)?,
            client_id: own.clone(),
            session_id: session_id(row, 4)?,
        };
        rows.push((row.get(6)?, pending));
        Ok(bytes < SLICE_BYTES)
    })?;
    Ok(rows)
}

/// Returns the last ordinal of the tail; less than any if it is empty.
pub(crate) fn last_ordinal(connection: &Connection) -> Result<i64, SqliteError> {
    let sql = "SELECT max(ordinal) FROM __livestore_pending";
    let last: Option<Option<i64>> = connection.system().query_one(sql, [], |row| row.get(0))?;
    Ok(last.flatten().unwrap_or(i64::MIN))
}

/// Returns the provisional position of the last pending event up to an ordinal, or else the end of
/// the log.
pub(crate) fn pending_seq(
    connection: &Connection,
    meta: &Meta,
    up_to: i64,
) -> Result<SeqNum, SqliteError> {
    let next = next_client_only(connection, meta.state_head)?;
    let mut seq = SeqNum { global: next.seq, client: next.client - 1, generation: 0 };
    let sql = "SELECT client_only FROM __livestore_pending WHERE ordinal <= ? ORDER BY ordinal";
    connection.system().for_each(sql, [up_to], |row| {
        (seq, _) = seq.next_pair(row.get(0)?, meta.generation);
        Ok(true)
    })?;
    Ok(seq)
}

/// A group of either log, and where it stands.
#[derive(Debug)]
pub(crate) struct LoggedGroup {
    /// The position of its first event; that of the synced event before it if it is client-only.
    pub(crate) first: GlobalSeqNum,
    pub(crate) client_only: bool,
    pub(crate) group: Group,
    /// The place of its last event.
    pub(crate) end: (GlobalSeqNum, u32),
}

/// Reads the group that follows a place, in the common order of both logs.
pub(crate) fn next_group(
    connection: &Connection,
    after: (GlobalSeqNum, u32),
    own: &ClientId,
) -> Result<Option<LoggedGroup>, SqliteError> {
    let everything = GlobalSeqNum(i64::MAX as u64);
    let first = rows(connection, after, everything, 1, own)?;
    let Some(first) = first.into_iter().next() else { return Ok(None) };
    let mut end = first.place();
    let LogRow { group_id, client_id, session_id, event, .. } = first;
    let (start, client_only) = (end.0, end.1 > 0);
    let mut events = vec![event];
    loop {
        let more = rows(connection, end, everything, MORE_ROWS, own)?;
        let count = more.len();
        let before = events.len();
        for row in more.into_iter().take_while(|row| row.group_id == group_id) {
            end = row.place();
            events.push(row.event);
        }
        if events.len() - before < count || count < MORE_ROWS {
            break;
        }
    }
    let group = Group::new(group_id, client_id, session_id, events);
    let group = group.map_err(|_| damaged(0, "a group beyond the limits"))?;
    Ok(Some(LoggedGroup { first: start, client_only, group, end }))
}

/// Reads confirmed groups behind a position, in order, as many as make a page.
pub(crate) fn confirmed_after(
    connection: &Connection,
    after: GlobalSeqNum,
    own: &ClientId,
) -> Result<Vec<ConfirmedGroup>, SqliteError> {
    let (mut place, mut groups) = ((after, u32::MAX), Vec::new());
    let (mut bytes, mut events) = (0, 0);
    while bytes < PAGE_BYTES && events < PAGE_EVENTS {
        let Some(next) = next_group(connection, place, own)? else { break };
        place = next.end;
        if next.client_only {
            continue;
        }
        (bytes, events) = (bytes + next.group.size_bytes(), events + next.group.events().len());
        groups.push(ConfirmedGroup { first: next.first, group: next.group });
    }
    Ok(groups)
}

/// Reads the confirmed group that ends at a position.
pub(crate) fn confirmed_until(
    connection: &Connection,
    last: GlobalSeqNum,
    own: &ClientId,
) -> Result<Option<ConfirmedGroup>, SqliteError> {
    let sql = "SELECT min(seq) FROM __livestore_eventlog WHERE seq <= ?1 AND seq > coalesce(\
               (SELECT max(seq) FROM __livestore_eventlog \
               WHERE seq < ?1 AND log_hash IS NOT NULL), 0)";
    let first: Option<Option<u64>> =
        connection.system().query_one(sql, [last.0 as i64], |row| row.get(0))?;
    let Some(first) = first.flatten() else { return Ok(None) };
    let before = GlobalSeqNum(first.saturating_sub(1));
    let found = confirmed_after_one(connection, before, own)?;
    Ok(found.filter(|group| group.last() == last))
}

fn confirmed_after_one(
    connection: &Connection,
    after: GlobalSeqNum,
    own: &ClientId,
) -> Result<Option<ConfirmedGroup>, SqliteError> {
    let next = next_group(connection, (after, u32::MAX), own)?;
    let synced = next.filter(|next| !next.client_only);
    Ok(synced.map(|next| ConfirmedGroup { first: next.first, group: next.group }))
}

/// Rows that are read at a time to find the end of a group.
const MORE_ROWS: usize = 64;

/// Finds ends of groups strictly between two positions: all, if they are few, or some of them
/// that are spread over the whole stretch.
pub(crate) fn group_ends(
    connection: &Connection,
    low: GlobalSeqNum,
    high: GlobalSeqNum,
    limit: usize,
) -> Result<Vec<LogPosition>, SqliteError> {
    let sql = "SELECT seq, log_hash FROM __livestore_eventlog \
               WHERE seq > ? AND seq < ? AND log_hash IS NOT NULL ORDER BY seq LIMIT ?";
    let params = params![low.0 as i64, high.0 as i64, limit as i64 + 1];
    let mut first = connection.system().query(sql, params, position)?;
    if first.len() <= limit {
        return Ok(first);
    }
    let stretch = high.0 - low.0;
    let mut spread: Vec<LogPosition> = Vec::with_capacity(limit);
    for part in 1..=limit as u64 {
        let at = low.0 + (u128::from(stretch - 1) * u128::from(part) / limit as u128) as u64;
        let end = group_end(connection, GlobalSeqNum(at))?;
        if end.seq > low && spread.last().is_none_or(|last| last.seq < end.seq) {
            spread.push(end);
        }
    }
    // Large groups can leave nothing at those places; then the search goes on from the beginning.
    first.truncate(limit);
    Ok(if spread.is_empty() { first } else { spread })
}

/// Counts, behind a position, the groups of one client and the events of all others.
pub(crate) fn authors_after(
    connection: &Connection,
    after: GlobalSeqNum,
    client: &ClientId,
) -> Result<(u64, u64), SqliteError> {
    let sql = "SELECT count(*) FILTER (WHERE client_id = ?2 AND log_hash IS NOT NULL), \
               count(*) FILTER (WHERE client_id <> ?2) FROM __livestore_eventlog WHERE seq > ?1";
    let params = params![after.0 as i64, client.as_str()];
    let counts =
        connection.system().query_one(sql, params, |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(counts.unwrap_or_default())
}

/// Counts the events of one client behind a position, client-only ones included.
pub(crate) fn events_after(
    connection: &Connection,
    after: GlobalSeqNum,
    client: &ClientId,
) -> Result<u64, SqliteError> {
    let sql = "SELECT (SELECT count(*) FROM __livestore_eventlog WHERE seq > ?1 AND client_id = ?2) \
               + (SELECT count(*) FROM __livestore_client_log WHERE seq > ?1)";
    let params = params![after.0 as i64, client.as_str()];
    Ok(connection.system().query_one(sql, params, |row| row.get(0))?.unwrap_or(0))
}

/// Deletes everything behind a position.
pub(crate) fn truncate(connection: &Connection, after: GlobalSeqNum) -> Result<(), SqliteError> {
    let system = connection.system();
    system.execute("DELETE FROM __livestore_eventlog WHERE seq > ?", [after.0 as i64])?;
    system.execute("DELETE FROM __livestore_client_log WHERE seq > ?", [after.0 as i64])?;
    Ok(())
}
