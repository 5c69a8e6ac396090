//! Views and pages, from a read-only connection.

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{GroupPosition, Page};
use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, GlobalSeqNum, Group,
    GroupId, LogHash, LogPosition, SessionId, StoreId,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::append::{find_group, find_store};
use super::{corrupt, seq_from_sql, sql_seq};
use crate::storage::{LogReader, LogView, StorageError};

/// One reader of the database.
pub(super) struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl LogReader for SqliteReader {
    fn view(
        &mut self,
        store_id: &StoreId,
        at: &[GlobalSeqNum],
        groups: &[GroupId],
    ) -> Result<LogView, StorageError> {
        let tx = self.connection.transaction()?;
        let (store, head) = find_store(&tx, store_id)?.unzip();
        let hashes = at.iter().map(|seq| hash_at(&tx, store, *seq)).collect::<Result<_, _>>()?;
        let mut positions = Vec::new();
        if let Some(store) = store {
            for id in groups {
                if let Some((first, _)) = find_group(&tx, store, *id)? {
                    positions.push(GroupPosition { id: *id, first });
                }
            }
        }
        let head = head.unwrap_or(LogPosition::ROOT).seq;
        Ok(LogView { head, hashes, positions })
    }

    fn page(
        &mut self,
        store_id: &StoreId,
        after: GlobalSeqNum,
    ) -> Result<Option<Page>, StorageError> {
        let tx = self.connection.transaction()?;
        page(&tx, store_id, after)
    }
}

/// Reads the groups of a log that follow a position.
pub(super) fn page(
    connection: &Connection,
    store_id: &StoreId,
    after: GlobalSeqNum,
) -> Result<Option<Page>, StorageError> {
    let Some((store, head)) = find_store(connection, store_id)? else {
        return Ok(None);
    };
    let mut headers = connection.prepare_cached(
        "SELECT first_seq, last_seq, group_id, client_id, session_id, size_bytes, log_hash \
         FROM log_group WHERE store = ?1 AND last_seq > ?2 ORDER BY last_seq",
    )?;
    let mut rows = headers.query(params![store, sql_seq(after)])?;
    let mut groups = Vec::new();
    let mut end = None;
    let (mut bytes, mut events) = (0, 0);
    while let Some(row) = rows.next()? {
        let (first, last) = (seq_from_sql(row.get(0)?)?, seq_from_sql(row.get(1)?)?);
        let group = read_group(connection, store, first, last, row)?;
        events += group.events().len();
        bytes += row.get::<_, i64>(5)? as usize;
        let hash = LogHash::from_slice(row.get_ref(6)?.as_blob()?)
            .ok_or_else(|| corrupt("log_group.log_hash"))?;
        end = Some(LogPosition { seq: last, hash });
        groups.push(ConfirmedGroup { first, group });
        if bytes >= PAGE_BYTES || events >= PAGE_EVENTS {
            break;
        }
    }
    Ok(end.map(|end| Page { groups, end, head: head.seq }))
}

/// Returns the hash at the root or at the end of a group; a log without a store is empty.
fn hash_at(
    connection: &Connection,
    store: Option<i64>,
    seq: GlobalSeqNum,
) -> Result<Option<LogHash>, StorageError> {
    if seq == GlobalSeqNum::ROOT {
        return Ok(Some(LogHash::EMPTY));
    }
    let Some(store) = store else { return Ok(None) };
    let hash = connection
        .prepare_cached("SELECT log_hash FROM log_group WHERE store = ?1 AND last_seq = ?2")?
        .query_row(params![store, sql_seq(seq)], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    hash.map(|hash| LogHash::from_slice(&hash).ok_or_else(|| corrupt("log_group.log_hash")))
        .transpose()
}

fn read_group(
    connection: &Connection,
    store: i64,
    first: GlobalSeqNum,
    last: GlobalSeqNum,
    header: &Row<'_>,
) -> Result<Group, StorageError> {
    let damaged = |reason: &str| corrupt(&format!("store row {store}, group at {first}: {reason}"));
    let id = GroupId::from_slice(header.get_ref(2)?.as_blob()?)
        .ok_or_else(|| damaged("its id has not 16 bytes"))?;
    let client_id =
        ClientId::new(header.get_ref(3)?.as_str()?).map_err(|error| damaged(&error.to_string()))?;
    let session_id = SessionId::new(header.get_ref(4)?.as_str()?)
        .map_err(|error| damaged(&error.to_string()))?;
    let mut query = connection.prepare_cached(
        "SELECT event_id, name, args FROM event \
         WHERE store = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq",
    )?;
    let mut rows = query.query(params![store, sql_seq(first), sql_seq(last)])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        events.push(Event {
            id: EventId::from_slice(row.get_ref(0)?.as_blob()?)
                .ok_or_else(|| damaged("an event id has not 16 bytes"))?,
            name: EventName::new(row.get_ref(1)?.as_str()?)
                .map_err(|error| damaged(&error.to_string()))?,
            args: CanonicalJson::stored(row.get_ref(2)?.as_str()?)
                .map_err(|error| damaged(&error.to_string()))?,
        });
    }
    if first.plus(events.len() as u64) != last.next() {
        return Err(damaged(&format!("{} events up to {last}", events.len())));
    }
    Group::new(id, client_id, session_id, events).map_err(|error| damaged(&error.to_string()))
}
