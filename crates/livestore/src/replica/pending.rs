//! The pending tail on disk: what was committed here and is not settled yet, by ordinal.
//!
//! Ordinals grow and never become global numbers, so that a rebase rewrites no row. A group's
//! undo data stands in its first row, and so does where it comes from.
//!
//! What is left of a command's group may become longer when the command runs again, so it is given
//! as many ordinals as a group can have events.
//!
//! `__livestore_pending_group` finds groups by id. It lags behind, since it would cost each commit
//! one more page: the newest groups are found by looking at each, and get into it together.

use livestore_core::merge::PendingGroup as MergeKey;
use livestore_core::{
    CanonicalJson, ClientId, ContentHash, Event, GlobalSeqNum, Group, GroupId, LogHash, SeqNum,
    SessionId, limits,
};
use livestore_sqlite::rusqlite::{self, Row};
use livestore_sqlite::{Bind, Connection, SqliteError, params};
use serde::{Deserialize, Serialize};

use super::log::{ClientOnlyPlace, damaged, event, group_id, session_id};
use super::materialize::behind;
use crate::StoredCommand;
use crate::event::EventKind;

/// Where a group comes from, if it is not just what was committed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The command that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) command: Option<StoredCommand>,
    /// Its content as it was first, if it has another one now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) submitted: Option<ContentHash>,
}

impl Origin {
    /// Says that a command has made the group.
    pub(crate) fn command(command: StoredCommand) -> Self {
        Self { command: Some(command), submitted: None }
    }

    /// Returns about how many bytes it has.
    pub(crate) fn size_bytes(&self) -> usize {
        self.command.as_ref().map_or(0, |command| command.args.as_str().len())
    }

    /// Tells whether the group is just what was committed, as most are.
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// Returns what is stored; nothing for a plain one.
    fn to_text(&self) -> Result<Option<String>, SqliteError> {
        if self.is_plain() {
            return Ok(None);
        }
        // It fails only if the command's form is no JSON any more.
        let text = serde_json::to_string(self).map_err(|_| damaged(9, "not a command"))?;
        Ok(Some(text))
    }
}

/// A pending group and where it stands in the tail.
#[derive(Debug, Clone)]
pub(crate) struct PendingGroup {
    /// The ordinal of its first event; the others follow without a gap.
    pub(crate) first: i64,
    /// The group.
    pub(crate) group: Group,
    /// True if it never leaves this client.
    pub(crate) client_only: bool,
    /// How to undo it; `None` if its effects are not in the state.
    pub(crate) undo: Option<Vec<u8>>,
    /// Where it comes from.
    pub(crate) origin: Origin,
}

impl PendingGroup {
    pub(crate) fn last(&self) -> i64 {
        self.first + self.group.event_count() as i64 - 1
    }

    /// Returns the last ordinal that it may ever have.
    pub(super) fn last_ever(&self) -> i64 {
        match self.origin.command {
            Some(_) => last_of_command(self.first),
            None => self.last(),
        }
    }

    pub(crate) fn ordinals(&self) -> (i64, i64) {
        (self.first, self.last())
    }

    /// Returns the place of its last event, if it stands behind a place.
    pub(super) fn end(&self, after: SeqNum) -> SeqNum {
        behind(after, EventKind::of(self.client_only), self.group.event_count())
    }

    /// Returns what a merge needs to know.
    pub(crate) fn key(&self) -> MergeKey {
        MergeKey { id: self.group.id(), client_only: self.client_only }
    }
}

/// The extent of the pending tail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Synced groups and their events.
    pub(crate) groups: u64,
    pub(crate) events: u64,
    /// Client-only groups that stand behind a synced one, and their events.
    pub(crate) client_only_groups: u64,
    pub(crate) client_only_events: u64,
    /// Synced groups whose effects are not in the state, since their acceptance is in doubt.
    pub(crate) unapplied: u64,
    /// The highest ordinal that was ever given in this opening of the store, so that an ordinal is
    /// not given twice.
    pub(crate) last: i64,
    /// Groups up to this ordinal are in the index by id.
    pub(crate) indexed: i64,
    /// Events of the groups behind it, more or less.
    pub(crate) unindexed: u64,
    /// Client-only events behind the last synced one, as long as that is known.
    pub(crate) at_end: Option<u32>,
}

/// Events that usually may stand behind the index.
pub(crate) const INDEX_EVENTS: u32 = 256;

impl Tail {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups == 0 && self.client_only_groups == 0
    }

    /// Counts a group at the end of the tail.
    pub(crate) fn add(&mut self, client_only: bool, events: u64) {
        let at_end = if client_only { self.at_end } else { Some(0) };
        self.insert(client_only, events);
        self.unindexed += events;
        self.at_end = at_end.map(|before| before + if client_only { events as u32 } else { 0 });
    }

    /// Counts a group somewhere in the tail.
    pub(crate) fn insert(&mut self, client_only: bool, events: u64) {
        self.at_end = None;
        let (all_groups, all_events) = self.counts(client_only);
        *all_groups += 1;
        *all_events += events;
    }

    pub(crate) fn remove(&mut self, client_only: bool, events: u64) {
        self.at_end = None;
        let (all_groups, all_events) = self.counts(client_only);
        // Only in a damaged file the index can have told too few; `livestore verify` says so.
        *all_groups = all_groups.saturating_sub(1);
        *all_events = all_events.saturating_sub(events);
    }

    fn counts(&mut self, client_only: bool) -> (&mut u64, &mut u64) {
        if client_only {
            (&mut self.client_only_groups, &mut self.client_only_events)
        } else {
            (&mut self.groups, &mut self.events)
        }
    }
}

/// The greatest ordinal, and the least with its sign turned: room to count on from either.
const MAX_ORDINAL: i64 = 1 << 62;

/// Measures the tail; reads the index and the newest groups, so that a long one costs little.
pub(crate) fn tail(connection: &Connection) -> Result<Tail, SqliteError> {
    let measure = "count(*) FILTER (WHERE NOT client_only), \
                   coalesce(sum(events) FILTER (WHERE NOT client_only), 0), \
                   count(*) FILTER (WHERE client_only), \
                   coalesce(sum(events) FILTER (WHERE client_only), 0), \
                   coalesce(min(events), 1), count(*) - count(events)";
    let read = |row: &Row<'_>| {
        if row.get::<_, i64>(4)? < 1 || row.get::<_, i64>(5)? > 0 {
            return Err(damaged(4, "a pending group without events"));
        }
        let (groups, events) = (row.get(0)?, row.get(1)?);
        let (client_only_groups, client_only_events) = (row.get(2)?, row.get(3)?);
        Ok(Tail { groups, events, client_only_groups, client_only_events, ..Tail::default() })
    };
    let system = connection.system();
    let sql = format!("SELECT {measure} FROM __livestore_pending_group");
    let indexed = system.query_one(&sql, [], read)?.unwrap_or_default();

    let sql = "SELECT (SELECT count(*) FROM __livestore_pending \
               WHERE event_index = 0 AND undo IS NULL), \
               (SELECT coalesce(min(ordinal), 1) FROM __livestore_pending), \
               (SELECT coalesce(max(ordinal), 0) FROM __livestore_pending), \
               (SELECT max(ordinal) FROM __livestore_pending_group), \
               (SELECT CASE WHEN origin IS NOT NULL THEN ordinal END FROM __livestore_pending \
               WHERE event_index = 0 ORDER BY ordinal DESC LIMIT 1)";
    let extent = system.query_one(sql, [], |row| {
        let (first, last): (i64, i64) = (row.get(1)?, row.get(2)?);
        if first < -MAX_ORDINAL || last > MAX_ORDINAL {
            return Err(damaged(1, "an ordinal that was never given"));
        }
        let indexed = row.get::<_, Option<i64>>(3)?.unwrap_or(first - 1);
        let with_origin: Option<i64> = row.get(4)?;
        let last = with_origin.map_or(last, |first| last.max(last_of_command(first)));
        Ok(Tail { unapplied: row.get(0)?, last, indexed, ..Tail::default() })
    })?;
    let extent = extent.unwrap_or_default();

    let sql =
        format!("SELECT {measure} FROM __livestore_pending WHERE ordinal > ? AND event_index = 0");
    let newest = system.query_one(&sql, [extent.indexed], read)?.unwrap_or_default();
    Ok(Tail {
        groups: indexed.groups + newest.groups,
        events: indexed.events + newest.events,
        client_only_groups: indexed.client_only_groups + newest.client_only_groups,
        client_only_events: indexed.client_only_events + newest.client_only_events,
        unindexed: newest.events + newest.client_only_events,
        ..extent
    })
}

/// Brings the newest groups into the index, once they are many.
pub(crate) fn index_newest(
    connection: &Connection,
    tail: &mut Tail,
    events: u32,
) -> Result<(), SqliteError> {
    if tail.unindexed < u64::from(events) {
        return Ok(());
    }
    let sql = "INSERT INTO __livestore_pending_group \
               SELECT group_id, client_only, events, ordinal FROM __livestore_pending \
               WHERE ordinal > ? AND event_index = 0";
    connection.system().execute(sql, [tail.indexed])?;
    (tail.indexed, tail.unindexed) = (tail.last, 0);
    Ok(())
}

/// Returns the last ordinal that the group of a command may ever have.
pub(crate) fn last_of_command(first: i64) -> i64 {
    first + limits::MAX_GROUP_EVENTS as i64 - 1
}

/// Appends a group to the tail.
pub(crate) fn append(
    connection: &Connection,
    group: &Group,
    first: i64,
    client_only: bool,
    origin: &Origin,
    undo: Option<&[u8]>,
) -> Result<(), SqliteError> {
    let origin = origin.to_text()?;
    for (index, event) in group.events().iter().enumerate() {
        let is_first = index == 0;
        let (origin, undo) = (origin.as_deref().filter(|_| is_first), undo.filter(|_| is_first));
        connection.system().run(
            "INSERT INTO __livestore_pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            &[
                Bind::Integer(first + index as i64),
                Bind::Blob(group.id().as_bytes()),
                Bind::Integer(index as i64),
                if is_first { Bind::Integer(group.event_count() as i64) } else { Bind::Null },
                Bind::Integer(client_only.into()),
                Bind::Blob(event.id.as_bytes()),
                Bind::Text(event.name.as_str()),
                Bind::Text(event.args.as_str()),
                Bind::Text(group.session_id().as_str()),
                origin.map_or(Bind::Null, Bind::Text),
                undo.map_or(Bind::Null, Bind::Blob),
            ],
        )?;
    }
    Ok(())
}

/// Puts a group that is no newest one into the tail, without effect on the state.
pub(crate) fn insert(
    connection: &Connection,
    group: &Group,
    first: i64,
    client_only: bool,
    origin: &Origin,
) -> Result<(), SqliteError> {
    append(connection, group, first, client_only, origin, None)?;
    let sql = "INSERT INTO __livestore_pending_group VALUES (?, ?, ?, ?)";
    let (id, events) = (group.id(), group.event_count() as i64);
    connection.system().execute(sql, params![id.as_bytes(), client_only, events, first])?;
    Ok(())
}

/// Puts a group in the place of one, in the tail and in the index; its effects are not in the state.
pub(crate) fn replace(
    connection: &Connection,
    own: &PendingGroup,
    group: &Group,
    origin: &Origin,
) -> Result<(), SqliteError> {
    let system = connection.system();
    let (first, last) = own.ordinals();
    let sql = "DELETE FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?";
    system.execute(sql, [first, last])?;
    append(connection, group, first, own.client_only, origin, None)?;
    let sql = "UPDATE __livestore_pending_group SET events = ? WHERE group_id = ?";
    system.execute(sql, params![group.event_count() as i64, group.id().as_bytes()])?;
    Ok(())
}

/// Gives a group other ordinals, the first of which is given, and brings it into the index.
pub(crate) fn move_to(
    connection: &Connection,
    (first, last): (i64, i64),
    to: i64,
) -> Result<(), SqliteError> {
    let system = connection.system();
    let sql = "UPDATE __livestore_pending SET ordinal = ordinal + ? WHERE ordinal BETWEEN ? AND ?";
    system.execute(sql, [to - first, first, last])?;
    let sql = "INSERT OR REPLACE INTO __livestore_pending_group \
               SELECT group_id, client_only, events, ordinal FROM __livestore_pending \
               WHERE ordinal = ?";
    system.execute(sql, [to]).map(drop)
}

/// Says where a group comes from.
pub(crate) fn set_origin(
    connection: &Connection,
    first: i64,
    origin: &Origin,
) -> Result<(), SqliteError> {
    let sql = "UPDATE __livestore_pending SET origin = ? WHERE ordinal = ?";
    connection.system().execute(sql, params![origin.to_text()?, first]).map(drop)
}

/// Reads the ids of the first synced groups, in order.
pub(crate) fn first_ids(
    connection: &Connection,
    limit: usize,
) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_pending WHERE event_index = 0 AND NOT client_only \
               ORDER BY ordinal LIMIT ?";
    connection.system().query(sql, [limit as i64], |row| group_id(row, 0))
}

/// Reads the ids of the first synced groups of one session, before an ordinal.
pub(crate) fn ids_of_session(
    connection: &Connection,
    session: &SessionId,
    before: i64,
    limit: usize,
) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_pending WHERE event_index = 0 AND NOT client_only \
               AND session_id = ? AND ordinal < ? ORDER BY ordinal LIMIT ?";
    let params = params![session.as_str(), before, limit as i64];
    connection.system().query(sql, params, |row| group_id(row, 0))
}

/// Reads the ids of the groups whose effects are not in the state.
pub(crate) fn unapplied_ids(connection: &Connection) -> Result<Vec<GroupId>, SqliteError> {
    let sql = "SELECT group_id FROM __livestore_pending WHERE event_index = 0 AND undo IS NULL \
               ORDER BY ordinal";
    connection.system().query(sql, [], |row| group_id(row, 0))
}

/// Returns the ordinal of the first group whose effects are not in the state.
pub(crate) fn first_unapplied(connection: &Connection) -> Result<Option<i64>, SqliteError> {
    let sql = "SELECT min(ordinal) FROM __livestore_pending \
               WHERE event_index = 0 AND undo IS NULL";
    Ok(connection.system().query_one(sql, [], |row| row.get(0))?.flatten())
}

/// A group that was found in the tail.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) client_only: bool,
}

/// Finds a group in the tail.
pub(crate) fn find(
    connection: &Connection,
    tail: &Tail,
    group: GroupId,
) -> Result<Option<Found>, SqliteError> {
    let sql = "SELECT ordinal, ordinal + events - 1, client_only FROM __livestore_pending_group \
               WHERE group_id = ?1 UNION ALL \
               SELECT ordinal, ordinal + events - 1, client_only FROM __livestore_pending \
               WHERE ordinal > ?2 AND event_index = 0 AND group_id = ?1";
    connection.system().query_one(sql, params![group.as_bytes(), tail.indexed], |row| {
        Ok(Found { first: row.get(0)?, last: row.get(1)?, client_only: row.get(2)? })
    })
}

/// Reads the first group from an ordinal on.
pub(crate) fn group_at(
    connection: &Connection,
    from: i64,
    client_id: &ClientId,
) -> Result<Option<PendingGroup>, SqliteError> {
    let groups = groups(connection, from, client_id, |groups| !groups.is_empty())?;
    Ok(groups.into_iter().next())
}

/// Reads groups from an ordinal on, until the closure has had enough.
pub(crate) fn groups(
    connection: &Connection,
    from: i64,
    client_id: &ClientId,
    mut enough: impl FnMut(&[PendingGroup]) -> bool,
) -> Result<Vec<PendingGroup>, SqliteError> {
    read_groups(connection, from, client_id, &mut enough)
}

fn read_groups(
    connection: &Connection,
    from: i64,
    client_id: &ClientId,
    enough: &mut dyn FnMut(&[PendingGroup]) -> bool,
) -> Result<Vec<PendingGroup>, SqliteError> {
    let sql = "SELECT ordinal, group_id, event_index, client_only, event_id, name, args, \
               session_id, undo, events, origin FROM __livestore_pending WHERE ordinal >= ? ORDER BY ordinal";
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
                client_only: row.get(3)?,
                session_id: session_id(row, 7)?,
                undo: row.get(8)?,
                event_count: row.get(9)?,
                origin: origin(row, 10)?,
                events: Vec::new(),
            });
        }
        match &mut parts {
            Some(parts) if parts.next_ordinal() == row.get::<_, i64>(0)? => {
                let event = event(row, 4)?;
                // It is pushed and kept as JSON.
                CanonicalJson::stored(event.args.as_str())
                    .map_err(|_| damaged(6, "not a payload"))?;
                parts.events.push(event);
            }
            _ => return Err(damaged(2, "an event that continues no group")),
        }
        Ok(true)
    })?;
    groups.extend(parts.map(|parts| parts.finish(client_id)).transpose()?);
    Ok(groups)
}

/// Reads where a group comes from.
fn origin(row: &Row<'_>, column: usize) -> rusqlite::Result<Origin> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map_or(Ok(Origin::default()), |text| {
        serde_json::from_str(text).map_err(|_| damaged(column, "not the origin of a group"))
    })
}

/// A group whose rows are still coming in.
struct Parts {
    first: i64,
    id: GroupId,
    client_only: bool,
    session_id: SessionId,
    undo: Option<Vec<u8>>,
    /// How many events it should have.
    event_count: usize,
    origin: Origin,
    events: Vec<Event>,
}

impl Parts {
    fn next_ordinal(&self) -> i64 {
        self.first + self.events.len() as i64
    }

    fn finish(self, client_id: &ClientId) -> rusqlite::Result<PendingGroup> {
        let Self { first, id, client_only, session_id, undo, event_count, origin, events } = self;
        if events.len() != event_count {
            return Err(damaged(2, "a group of another size than it says"));
        }
        let group = Group::new(id, client_id.clone(), session_id, events);
        let group = group.map_err(|_| damaged(1, "a group beyond the limits"))?;
        Ok(PendingGroup { first, group, client_only, undo, origin })
    }
}

/// Reads the undo data of the groups from `from` up to, but not including, `before`, newest
/// first, until there are so many bytes; returns also where the rest ends.
pub(crate) fn undo_before(
    connection: &Connection,
    (from, before): (i64, i64),
    bytes: usize,
) -> Result<(Vec<Vec<u8>>, Option<i64>), SqliteError> {
    let sql = "SELECT ordinal, undo FROM __livestore_pending WHERE ordinal >= ? AND ordinal < ? \
               AND undo IS NOT NULL ORDER BY ordinal DESC";
    let (mut read, mut undo, mut rest) = (0, Vec::new(), None);
    connection.system().for_each(sql, [from, before], |row| {
        let step: Vec<u8> = row.get(1)?;
        read += step.len();
        undo.push(step);
        rest = (read >= bytes).then_some(row.get(0)?);
        Ok(rest.is_none())
    })?;
    Ok((undo, rest))
}

/// Replaces a group's undo data; `None` says that its effects are not in the state.
pub(crate) fn set_undo(
    connection: &Connection,
    first: i64,
    undo: Option<&[u8]>,
) -> Result<(), SqliteError> {
    let sql = "UPDATE __livestore_pending SET undo = ? WHERE ordinal = ?";
    connection.system().execute(sql, params![undo, first])?;
    Ok(())
}

/// Removes the group whose events have the ordinals from one to another.
pub(crate) fn remove(
    connection: &Connection,
    (first, last): (i64, i64),
) -> Result<(), SqliteError> {
    let system = connection.system();
    let sql = "DELETE FROM __livestore_pending_group WHERE group_id = \
               (SELECT group_id FROM __livestore_pending WHERE ordinal = ?)";
    system.execute(sql, [first])?;
    let sql = "DELETE FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?";
    system.execute(sql, [first, last])?;
    Ok(())
}

/// Moves a group to the confirmed log as it is.
pub(crate) fn confirm(
    connection: &Connection,
    (first, last): (i64, i64),
    at: GlobalSeqNum,
    client_id: &ClientId,
    log_hash: LogHash,
) -> Result<(), SqliteError> {
    connection.system().execute(
        "INSERT INTO __livestore_eventlog \
         SELECT ? + event_index, event_id, group_id, name, args, ?, session_id, \
         CASE ordinal WHEN ? THEN ? END, NULL \
         FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?",
        params![at.0 as i64, client_id.as_str(), last, log_hash.as_bytes(), first, last],
    )?;
    remove(connection, (first, last))
}

/// Moves a client-only group to the client log; returns where the next one would go.
pub(crate) fn settle(
    connection: &Connection,
    (first, last): (i64, i64),
    at: ClientOnlyPlace,
) -> Result<ClientOnlyPlace, SqliteError> {
    connection.system().execute(
        "INSERT INTO __livestore_client_log \
         SELECT ?, ? + event_index, event_id, group_id, name, args, session_id \
         FROM __livestore_pending WHERE ordinal BETWEEN ? AND ?",
        params![at.seq.0 as i64, at.client, first, last],
    )?;
    remove(connection, (first, last))?;
    Ok(ClientOnlyPlace { client: at.client + (last - first + 1) as u32, ..at })
}

/// Finds the client-only groups before the first synced one, and before an ordinal: ordinals of each.
pub(crate) fn leading_client_only(
    connection: &Connection,
    before: i64,
) -> Result<Vec<(i64, i64)>, SqliteError> {
    let sql = "SELECT ordinal, events, client_only FROM __livestore_pending \
               WHERE event_index = 0 AND ordinal < ? ORDER BY ordinal";
    let mut leading = Vec::new();
    connection.system().for_each(sql, [before], |row| {
        let (first, events): (i64, i64) = (row.get(0)?, row.get(1)?);
        let client_only: bool = row.get(2)?;
        if client_only {
            leading.push((first, first + events - 1));
        }
        Ok(client_only)
    })?;
    Ok(leading)
}

/// Counts the client-only events behind the last synced one.
pub(crate) fn client_only_at_end(connection: &Connection) -> Result<u32, SqliteError> {
    let sql = "SELECT count(*) FROM __livestore_pending WHERE ordinal > coalesce(\
               (SELECT ordinal FROM __livestore_pending WHERE NOT client_only \
               ORDER BY ordinal DESC LIMIT 1), ?)";
    Ok(connection.system().query_one(sql, [i64::MIN], |row| row.get(0))?.unwrap_or(0))
}

/// Returns the lowest ordinal in the tail.
pub(crate) fn lowest_ordinal(connection: &Connection) -> Result<Option<i64>, SqliteError> {
    let sql = "SELECT min(ordinal) FROM __livestore_pending";
    Ok(connection.system().query_one(sql, [], |row| row.get(0))?.flatten())
}
