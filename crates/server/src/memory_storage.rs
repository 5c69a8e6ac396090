//! A storage in memory: the logs are gone with it. For tests.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{GroupPosition, Page};
use livestore_core::{
    BackendId, ConfirmedGroup, GlobalSeqNum, GroupId, LogHash, LogPosition, StoreId,
};

use crate::rules::{Rules, judge};
use crate::storage::{AppendOutcome, AppendRequest, LogReader, LogStorage, LogView, StorageError};

/// The logs of many stores in memory.
///
/// It decides like the storage on disk, and nothing of it is durable: it is for tests.
#[derive(Debug)]
pub struct MemoryStorage {
    backend_id: BackendId,
    logs: Arc<RwLock<Logs>>,
}

type Logs = HashMap<StoreId, Log>;

#[derive(Debug, Default)]
struct Log {
    groups: Vec<ConfirmedGroup>,
    /// Where the log stands after each group.
    ends: Vec<LogPosition>,
    by_id: HashMap<GroupId, usize>,
}

impl MemoryStorage {
    /// Makes empty logs under a backend id.
    pub fn new(backend_id: BackendId) -> Self {
        Self { backend_id, logs: Arc::default() }
    }
}

impl LogStorage for MemoryStorage {
    fn backend_id(&self) -> BackendId {
        self.backend_id
    }

    fn append(
        &mut self,
        batch: &[AppendRequest],
        rules: &dyn Rules,
    ) -> Result<Vec<AppendOutcome>, StorageError> {
        let mut logs = self.logs.write().unwrap_or_else(PoisonError::into_inner);
        let decide = |request: &AppendRequest| {
            logs.entry(request.store_id.clone()).or_default().append(request, rules)
        };
        Ok(batch.iter().map(decide).collect())
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError> {
        Ok(Box::new(MemoryReader(Arc::clone(&self.logs))))
    }
}

impl Log {
    fn end(&self) -> LogPosition {
        self.ends.last().copied().unwrap_or(LogPosition::ROOT)
    }

    fn find(&self, id: GroupId) -> Option<&ConfirmedGroup> {
        self.by_id.get(&id).map(|at| &self.groups[*at])
    }

    fn append(&mut self, request: &AppendRequest, rules: &dyn Rules) -> AppendOutcome {
        let (mut seen, mut known) = (HashSet::new(), Vec::new());
        if let Some(group) = request.groups.iter().find(|group| !seen.insert(group.id())) {
            return AppendOutcome::Conflict { group: group.id() };
        }
        for group in &request.groups {
            match self.find(group.id()) {
                Some(found) if found.group != *group => {
                    return AppendOutcome::Conflict { group: group.id() };
                }
                Some(found) => known.push(GroupPosition { id: group.id(), first: found.first }),
                None => {}
            }
        }
        if !known.is_empty() {
            return AppendOutcome::AlreadyAccepted { groups: known };
        }
        let head = self.end().seq;
        if head != request.base {
            return AppendOutcome::ServerAhead { head };
        }
        let read = |after| Ok(self.page(after));
        if let Some(refused) = judge(rules, request, self.end(), &read) {
            return refused;
        }
        for group in &request.groups {
            let LogPosition { seq, hash } = self.end();
            let confirmed = ConfirmedGroup { first: seq.next(), group: group.clone() };
            let hash = hash.extend(group.content_hash());
            self.by_id.insert(group.id(), self.groups.len());
            self.ends.push(LogPosition { seq: confirmed.last(), hash });
            self.groups.push(confirmed);
        }
        AppendOutcome::Appended { first: head.next(), end: self.end() }
    }

    fn hash_at(&self, seq: GlobalSeqNum) -> Option<LogHash> {
        if seq == GlobalSeqNum::ROOT {
            return Some(LogHash::EMPTY);
        }
        let at = self.ends.binary_search_by_key(&seq, |end| end.seq).ok()?;
        Some(self.ends[at].hash)
    }

    fn page(&self, after: GlobalSeqNum) -> Option<Page> {
        let from = self.ends.partition_point(|end| end.seq <= after);
        let (mut bytes, mut events, mut groups) = (0, 0, Vec::new());
        for confirmed in &self.groups[from..] {
            bytes += confirmed.group.size_bytes();
            events += confirmed.group.events().len();
            groups.push(confirmed.clone());
            if bytes >= PAGE_BYTES || events >= PAGE_EVENTS {
                break;
            }
        }
        let last = from + groups.len().checked_sub(1)?;
        Some(Page { groups, end: self.ends[last], head: self.end().seq })
    }
}

/// A reader of the logs; it waits while somebody appends.
struct MemoryReader(Arc<RwLock<Logs>>);

impl MemoryReader {
    fn logs(&self) -> RwLockReadGuard<'_, Logs> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogReader for MemoryReader {
    fn view(
        &mut self,
        store_id: &StoreId,
        at: &[GlobalSeqNum],
        groups: &[GroupId],
    ) -> Result<LogView, StorageError> {
        let (logs, empty) = (self.logs(), Log::default());
        let log = logs.get(store_id).unwrap_or(&empty);
        let position = |id: &GroupId| Some(GroupPosition { id: *id, first: log.find(*id)?.first });
        Ok(LogView {
            head: log.end().seq,
            hashes: at.iter().map(|seq| log.hash_at(*seq)).collect(),
            positions: groups.iter().filter_map(position).collect(),
        })
    }

    fn page(
        &mut self,
        store_id: &StoreId,
        after: GlobalSeqNum,
    ) -> Result<Option<Page>, StorageError> {
        Ok(self.logs().get(store_id).and_then(|log| log.page(after)))
    }
}
