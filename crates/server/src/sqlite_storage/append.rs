//! Compare-and-append inside the writer's transaction.

use std::collections::HashSet;

use livestore_core::protocol::GroupPosition;
use livestore_core::{ContentHash, GlobalSeqNum, Group, GroupId, LogHash, LogPosition, StoreId};
use rusqlite::{Connection, OptionalExtension, params};

use super::read::page;
use super::{corrupt, seq_from_sql, sql_seq};
use crate::rules::{Rules, judge};
use crate::storage::{AppendOutcome, AppendRequest, StorageError};

/// Decides on one request and executes the decision.
pub(super) fn append(
    tx: &Connection,
    request: &AppendRequest,
    rules: &dyn Rules,
) -> Result<AppendOutcome, StorageError> {
    if let Some(group) = repeated_id(&request.groups) {
        return Ok(AppendOutcome::Conflict { group });
    }
    let hashes: Vec<ContentHash> = request.groups.iter().map(Group::content_hash).collect();
    let store = find_store(tx, &request.store_id)?;
    if let Some((store, _)) = store {
        let mut known = Vec::new();
        for (group, hash) in request.groups.iter().zip(&hashes) {
            match find_group(tx, store, group.id())? {
                Some((_, content)) if content != *hash => {
                    return Ok(AppendOutcome::Conflict { group: group.id() });
                }
                Some((first, _)) => known.push(GroupPosition { id: group.id(), first }),
                None => {}
            }
        }
        if !known.is_empty() {
            return Ok(AppendOutcome::AlreadyAccepted { groups: known });
        }
    }
    let head = store.map_or(LogPosition::ROOT, |(_, head)| head);
    if head.seq != request.base {
        return Ok(AppendOutcome::ServerAhead { head: head.seq });
    }
    let read = |after| page(tx, &request.store_id, after);
    if let Some(refused) = judge(rules, request, head, &read) {
        return Ok(refused);
    }
    let store = match store {
        Some((store, _)) => store,
        None => insert_store(tx, &request.store_id)?,
    };
    let mut end = head;
    for (group, content) in request.groups.iter().zip(&hashes) {
        end = insert_group(tx, store, end, group, *content)?;
    }
    tx.prepare_cached("UPDATE store SET head = ?2, hash = ?3 WHERE id = ?1")?.execute(params![
        store,
        sql_seq(end.seq),
        end.hash.as_bytes()
    ])?;
    Ok(AppendOutcome::Appended { first: head.seq.next(), end })
}

fn repeated_id(groups: &[Group]) -> Option<GroupId> {
    let mut seen = HashSet::with_capacity(groups.len());
    groups.iter().map(Group::id).find(|id| !seen.insert(*id))
}

/// Returns the row id and the head of a store.
pub(super) fn find_store(
    connection: &Connection,
    store_id: &StoreId,
) -> Result<Option<(i64, LogPosition)>, StorageError> {
    let row = connection
        .prepare_cached("SELECT id, head, hash FROM store WHERE store_id = ?1")?
        .query_row([store_id.as_str()], |row| {
            Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?))
        })
        .optional()?;
    row.map(|(store, head, hash)| {
        let hash = LogHash::from_slice(&hash).ok_or_else(|| corrupt("store.hash"))?;
        Ok((store, LogPosition { seq: seq_from_sql(head)?, hash }))
    })
    .transpose()
}

/// Returns the first position and the content hash of a group.
pub(super) fn find_group(
    connection: &Connection,
    store: i64,
    id: GroupId,
) -> Result<Option<(GlobalSeqNum, ContentHash)>, StorageError> {
    let row = connection
        .prepare_cached(
            "SELECT first_seq, content_hash FROM log_group WHERE store = ?1 AND group_id = ?2",
        )?
        .query_row(params![store, id.as_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    row.map(|(first, hash)| {
        let hash =
            ContentHash::from_slice(&hash).ok_or_else(|| corrupt("log_group.content_hash"))?;
        Ok((seq_from_sql(first)?, hash))
    })
    .transpose()
}

fn insert_store(tx: &Connection, store_id: &StoreId) -> Result<i64, StorageError> {
    tx.prepare_cached("INSERT INTO store (store_id, head, hash) VALUES (?1, 0, ?2)")?
        .execute(params![store_id.as_str(), LogHash::EMPTY.as_bytes()])?;
    Ok(tx.last_insert_rowid())
}

fn insert_group(
    tx: &Connection,
    store: i64,
    head: LogPosition,
    group: &Group,
    content: ContentHash,
) -> Result<LogPosition, StorageError> {
    let end =
        LogPosition { seq: head.seq.plus(group.event_count()), hash: head.hash.extend(content) };
    tx.prepare_cached(
        "INSERT INTO log_group (store, first_seq, last_seq, group_id, client_id, session_id, \
         size_bytes, content_hash, log_hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        store,
        sql_seq(head.seq.next()),
        sql_seq(end.seq),
        group.id().as_bytes(),
        group.client_id().as_str(),
        group.session_id().as_str(),
        group.size_bytes() as i64,
        content.as_bytes(),
        end.hash.as_bytes(),
    ])?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO event (store, seq, event_id, name, args) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut seq = head.seq;
    for event in group.events() {
        seq = seq.next();
        insert.execute(params![
            store,
            sql_seq(seq),
            event.id.as_bytes(),
            event.name.as_str(),
            event.args.as_str(),
        ])?;
    }
    Ok(end)
}
