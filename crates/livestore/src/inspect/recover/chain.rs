//! The confirmed log: as far as its hashes prove that nothing is missing or changed.
//!
//! Each group's log hash follows from its content and the hash before it, so a chain of groups
//! from the first on is the log, wherever its rows were found. A chain can still be that of a
//! history that the store has left; so doubtful rows count only if rows that are no doubt continue
//! them, or if they end where the meta row says that the log ends.

use std::collections::HashSet;

use livestore_core::limits::MAX_GROUP_EVENTS;
use livestore_core::{
    ConfirmedGroup, ContentHash, GlobalSeqNum, Group, GroupId, LogHash, LogPosition,
};

use super::RecoverError;
use super::survey::{Located, Standing, Survey};
use super::writer::Writer;
use crate::inspect::rows::ConfirmedRow;
use crate::replica::pending::Origin;

/// Rows under one position that are tried; there are several only if the file holds old pages.
const MAX_VARIANTS: usize = 4;

/// The part of the log that is kept.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) end: LogPosition,
    pub(super) ids: HashSet<GroupId>,
}

/// A group behind the end of the chain.
#[derive(Debug)]
pub(super) struct Behind {
    pub(super) last: GlobalSeqNum,
    pub(super) group: Group,
    pub(super) submitted: Option<ContentHash>,
    pub(super) standing: Standing,
}

impl Behind {
    /// Returns where the group comes from, if it becomes pending again.
    pub(super) fn origin(&self) -> Origin {
        Origin { command: None, submitted: self.submitted }
    }
}

/// A group of the log, put together from its rows.
struct Assembled {
    group: Group,
    log_hash: LogHash,
    submitted: Option<ContentHash>,
    standing: Standing,
}

impl Survey<'_> {
    /// Writes the log from its beginning up to the first gap.
    pub(super) fn write_chain(&self, writer: &mut Writer<'_>) -> Result<Chain, RecoverError> {
        let first = self.log.rows.first().map_or(1, |row| row.key);
        // A log may begin later, but then it has to be whole: nothing else proves its first group.
        let begins_later = first > 1 && self.log.is_complete;
        let mut at = LogPosition::ROOT;
        let mut hash = Some(LogHash::EMPTY);
        if begins_later {
            (at.seq, hash) = (GlobalSeqNum(first as u64 - 1), None);
        }
        let mut chain = Chain { end: LogPosition::ROOT, ids: HashSet::new() };
        let mut unproven = HashSet::new();
        while let Some(assembled) = self.group_at(at.seq.next(), hash) {
            let Assembled { group, log_hash, submitted, standing } = assembled;
            if !chain.ids.insert(group.id()) {
                break;
            }
            let confirmed = ConfirmedGroup { first: at.seq.next(), group };
            writer.confirmed(&confirmed, log_hash, submitted)?;
            at = LogPosition { seq: confirmed.last(), hash: log_hash };
            hash = Some(log_hash);
            unproven.insert(confirmed.group.id());
            if standing == Standing::Current || Some(at) == self.old_head() {
                chain.end = at;
                unproven.clear();
            }
        }
        if !unproven.is_empty() {
            writer.cut_log(chain.end, unproven.len() as u64)?;
            chain.ids.retain(|id| !unproven.contains(id));
        }
        Ok(chain)
    }

    /// Returns where the log ended as the meta row has it.
    pub(super) fn old_head(&self) -> Option<LogPosition> {
        self.meta.as_ref().map(|meta| LogPosition { seq: meta.head, hash: meta.head_hash })
    }

    /// Finds the group that continues the log.
    fn group_at(&self, first: GlobalSeqNum, hash: Option<LogHash>) -> Option<Assembled> {
        for variant in 0..MAX_VARIANTS {
            let mut has_more = false;
            let mut pick = |rows: &[Located]| {
                has_more |= rows.len() > variant + 1;
                rows.get(variant.min(rows.len().checked_sub(1)?)).copied()
            };
            let found = self.assemble(first, &mut pick).filter(|found| {
                let content = found.group.content_hash();
                hash.is_none_or(|hash| hash.extend(content) == found.log_hash)
            });
            if found.is_some() || !has_more {
                return found;
            }
        }
        None
    }

    /// Reads the rows of one group, from a position on to the row with its log hash.
    fn assemble(
        &self,
        first: GlobalSeqNum,
        pick: &mut dyn FnMut(&[Located]) -> Option<Located>,
    ) -> Option<Assembled> {
        let mut begin: Option<ConfirmedRow> = None;
        let (mut events, mut standing) = (Vec::new(), Standing::Current);
        let mut at = first;
        loop {
            let located = pick(self.log.at(i64::try_from(at.0).ok()?))?;
            let row: ConfirmedRow = self.read(&located)?;
            standing = standing.max(located.standing);
            let begin = begin.get_or_insert_with(|| row.clone());
            if !is_same_group(begin, &row) || events.len() == MAX_GROUP_EVENTS {
                return None;
            }
            events.push(row.event);
            if let Some(log_hash) = row.log_hash {
                let ConfirmedRow { group_id, client_id, session_id, .. } = begin.clone();
                let group = Group::new(group_id, client_id, session_id, events).ok()?;
                let submitted = row.submitted;
                return Some(Assembled { group, log_hash, submitted, standing });
            }
            at = at.next();
        }
    }

    /// Visits the groups behind the end of the chain that are surely whole; returns how many
    /// events can be read there, and the ids of all groups.
    pub(super) fn behind(
        &self,
        end: LogPosition,
        mut visit: impl FnMut(Behind) -> Result<(), RecoverError>,
    ) -> Result<(u64, HashSet<GroupId>), RecoverError> {
        let (mut readable, mut ids) = (0, HashSet::new());
        let from = self.log.rows.partition_point(|row| row.key <= end.seq.0 as i64);
        let mut hash = Some(end.hash);
        let mut expected = end.seq.next();
        // The last group that was visited reaches up to here.
        let mut done = end.seq;
        for located in &self.log.rows[from..] {
            let Some(row) = self.read::<ConfirmedRow>(located) else { continue };
            if row.seq < expected {
                continue;
            }
            readable += 1;
            ids.insert(row.group_id);
            if row.seq > expected {
                hash = None;
            }
            if row.seq > done
                && let Some(before) = hash
                && let Some(Assembled { group, submitted, standing, .. }) =
                    self.group_at(row.seq, Some(before))
            {
                done = GlobalSeqNum(row.seq.0 + group.event_count() - 1);
                visit(Behind { last: done, group, submitted, standing })?;
            }
            hash = row.log_hash;
            expected = row.seq.next();
        }
        Ok((readable, ids))
    }
}

fn is_same_group(a: &ConfirmedRow, b: &ConfirmedRow) -> bool {
    a.group_id == b.group_id && a.client_id == b.client_id && a.session_id == b.session_id
}
