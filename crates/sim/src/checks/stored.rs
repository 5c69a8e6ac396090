//! What a store holds, read past the replica that wrote it.

use livestore::{Replica, SqliteError, StoredCommand};
use livestore_core::{ContentHash, GroupId};
use serde::Deserialize;

/// A group of the pending tail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: GroupId,
    pub(super) client_only: bool,
}

/// What a pending group contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) id: GroupId,
    /// Where it comes from, if it is not just what was committed.
    pub(super) origin: Option<Origin>,
    /// Names and payloads.
    pub(super) events: Vec<(String, String)>,
}

/// Where a pending group comes from, as far as that is checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Origin {
    /// The command that made it.
    #[serde(default)]
    pub(super) command: Option<StoredCommand>,
    /// The hash of what was committed, if it contains something else now.
    #[serde(default)]
    pub(super) submitted: Option<ContentHash>,
}

/// A client-only group in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) id: GroupId,
    pub(super) seq: u64,
    /// The place of its first event.
    pub(super) place: u32,
}

/// Everything.
pub(super) const ALL: usize = usize::MAX >> 1;

/// Reads the first groups of the tail.
pub(super) fn pending(replica: &Replica, limit: usize) -> Result<Vec<Pending>, SqliteError> {
    let sql = "SELECT group_id, client_only FROM __livestore_pending WHERE event_index = 0 \
               ORDER BY ordinal LIMIT ?";
    let rows = replica.connection().system().query(sql, [limit as i64], |row| {
        let id = GroupId::from_slice(row.get_ref(0)?.as_blob()?);
        let client_only = row.get(1)?;
        Ok(id.map(|id| Pending { id, client_only }))
    })?;
    Ok(rows.into_iter().flatten().collect())
}

/// Reads what the pending groups contain, in the order of the tail.
pub(super) fn contents(replica: &Replica) -> Result<Vec<Contents>, SqliteError> {
    let sql = "SELECT group_id, event_index, name, args, origin FROM __livestore_pending \
               ORDER BY ordinal";
    let mut groups: Vec<Contents> = Vec::new();
    replica.connection().system().for_each(sql, [], |row| {
        let id = GroupId::from_slice(row.get_ref(0)?.as_blob()?);
        if row.get::<_, i64>(1)? == 0
            && let Some(id) = id
        {
            let origin = row.get::<_, Option<String>>(4)?;
            let origin = origin.and_then(|text| serde_json::from_str(&text).ok());
            groups.push(Contents { id, origin, events: Vec::new() });
        }
        let group = groups.last_mut().expect("a group has a first event");
        group.events.push((row.get(2)?, row.get(3)?));
        Ok(true)
    })?;
    Ok(groups)
}

/// Tells whether the file says that pending groups are to be made anew.
pub(super) fn is_revision_due(replica: &Replica) -> Result<bool, SqliteError> {
    let sql = "SELECT revision_due FROM __livestore_meta";
    let due = replica.connection().system().query_one(sql, [], |row| row.get(0))?;
    Ok(due.unwrap_or_default())
}

/// Reads the client-only groups behind a position, and those further on.
pub(super) fn placed(replica: &Replica, from: u64) -> Result<Vec<Placed>, SqliteError> {
    let sql = "SELECT group_id, seq, min(client) FROM __livestore_client_log WHERE seq >= ? \
               GROUP BY group_id, seq ORDER BY 2, 3";
    let rows = replica.connection().system().query(sql, [from as i64], |row| {
        let id = GroupId::from_slice(row.get_ref(0)?.as_blob()?);
        let (seq, place) = (row.get(1)?, row.get(2)?);
        Ok(id.map(|id| Placed { id, seq, place }))
    })?;
    Ok(rows.into_iter().flatten().collect())
}

/// Reads the names and payloads of a group that has met no fate.
pub(super) fn content(
    replica: &Replica,
    id: GroupId,
) -> Result<Vec<(String, String)>, SqliteError> {
    let sql = "SELECT name, args, ordinal AS at FROM __livestore_pending WHERE group_id = ?1 \
               UNION ALL \
               SELECT name, args, client FROM __livestore_client_log WHERE group_id = ?1 \
               ORDER BY at";
    replica.connection().system().query(sql, [id.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
}
