//! The confirmed log: as far as its hashes prove that nothing is missing or changed.
//!
//! Each group's log hash follows from its content and the hash before it, so a chain of groups
//! from the first on is the log, wherever its rows were found. A chain can still be that of a
//! history that the store has left; so doubtful rows count only if rows that are no doubt continue
//! them, or if they end where the meta row says that the log ends.

use std::collections::HashSet;

use livestore_core::limits::MAX_GROUP_EVENTS;
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, GroupId, LogHash, LogPosition};

use super::RecoverError;
use super::survey::{Located, Standing, Survey};
use super::writer::Writer;
use crate::inspect::rows::ConfirmedRow;

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
    pub(super) standing: Standing,
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
        while let Some((group, log_hash, standing)) = self.group_at(at.seq.next(), hash) {
            if !chain.ids.insert(group.id()) {
                break;
            }
            let confirmed = ConfirmedGroup { first: at.seq.next(), group };
            writer.confirmed(&confirmed, log_hash)?;
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
    fn group_at(
        &self,
        first: GlobalSeqNum,
        hash: Option<LogHash>,
    ) -> Option<(Group, LogHash, Standing)> {
        for variant in 0..MAX_VARIANTS {
            let mut has_more = false;
            let mut pick = |rows: &[Located]| {
                has_more |= rows.len() > variant + 1;
                rows.get(variant.min(rows.len().checked_sub(1)?)).copied()
            };
            let found = self.assemble(first, &mut pick).filter(|(group, log_hash, _)| {
                hash.is_none_or(|hash| hash.extend(group.content_hash()) == *log_hash)
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
    ) -> Option<(Group, LogHash, Standing)> {
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
                return Some((group, log_hash, standing));
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
                && let Some((group, _, standing)) = self.group_at(row.seq, Some(before))
            {
                done = GlobalSeqNum(row.seq.0 + group.event_count() - 1);
                visit(Behind { last: done, group, standing })?;
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
