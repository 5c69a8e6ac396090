//! The pending tail: whole groups, and what is known of the others.
//!
//! A group's first row tells how many events it has, so a whole group is known to be whole. The
//! tail's index lists its groups but for the newest, so it tells which of the groups that old pages
//! still hold are pending. Where it does not they are kept, under their old ids, and named as
//! uncertain: what the backend has already is then settled by its id, while a group that was left
//! out would be lost.

use std::collections::{BTreeMap, HashMap, HashSet};

use livestore_core::{ClientId, Event, Group, GroupId};

use super::report::LostGroup;
use super::survey::{IndexedGroup, Located, Standing, Survey};
use crate::inspect::rows::PendingRow;
use crate::replica::pending::Origin;

/// A pending group that is whole.
#[derive(Debug)]
pub(super) struct WholeGroup {
    pub(super) group: Group,
    pub(super) client_only: bool,
    pub(super) origin: Origin,
    pub(super) standing: Standing,
}

/// What was found of the tail.
#[derive(Debug, Default)]
pub(super) struct TailGroups {
    /// Whole groups by the ordinal of their first event.
    pub(super) whole: BTreeMap<i64, WholeGroup>,
    pub(super) lost: Vec<LostGroup>,
}

/// The rows of a group that is not whole, as far as they are there.
struct Rest {
    ordinals: Vec<i64>,
    client_only: bool,
    events: Vec<Event>,
    expected: Option<u64>,
}

impl Survey<'_> {
    /// Puts the rows of the tail together. `settled` are groups that are known to be in the log
    /// or among the dead letters: where it is in doubt, they are not pending.
    pub(super) fn tail_groups(
        &self,
        client_id: &ClientId,
        settled: &HashSet<GroupId>,
    ) -> TailGroups {
        let mut found = TailGroups::default();
        let mut whole: Vec<(i64, Standing, WholeGroup)> = Vec::new();
        for located in &self.pending.rows {
            let Some(row) = self.read(located).filter(PendingRow::is_first) else {
                continue;
            };
            let Some((group, of_rows)) = self.assemble_pending(&row, located, client_id) else {
                continue;
            };
            let standing = match self.pending_index.groups.get(&group.id()) {
                Some(indexed) if indexed.first == row.ordinal => Standing::Current,
                // It was pending once; only an old page still holds it.
                _ if self.pending_index.covers(row.ordinal) && !self.pending.is_complete => {
                    continue;
                }
                _ => of_rows,
            };
            if standing != Standing::Current && settled.contains(&group.id()) {
                continue;
            }
            let (client_only, origin) = (row.client_only, row.origin.unwrap_or_default());
            let found = WholeGroup { group, client_only, origin, standing };
            whole.push((row.ordinal, of_rows, found));
        }
        // No two groups of one tail share an ordinal or an id, so what is sure goes first. The index
        // does not tell which of several versions of a group is the last; the pages do.
        whole.sort_by_key(|(first, of_rows, whole)| (whole.standing, *of_rows, *first));
        let mut ids = HashSet::new();
        for (first, _, group) in whole {
            let last = first + group.group.event_count() as i64 - 1;
            if is_free(&found.whole, first, last) && ids.insert(group.group.id()) {
                found.whole.insert(first, group);
            }
        }
        found.lost = self.lost_from_tail(&ids, settled);
        found
    }

    fn assemble_pending(
        &self,
        first: &PendingRow,
        located: &Located,
        client_id: &ClientId,
    ) -> Option<(Group, Standing)> {
        let mut events = vec![first.event.clone()];
        let mut standing = located.standing;
        for index in 1..first.events? {
            let ordinal = first.ordinal.checked_add(index.into())?;
            let continues = |row: &PendingRow| {
                row.group_id == first.group_id
                    && row.event_index == index
                    && row.client_only == first.client_only
                    && row.session_id == first.session_id
            };
            let (row, found) = self.pending.at(ordinal).iter().find_map(|found| {
                let row = self.read::<PendingRow>(found).filter(continues)?;
                Some((row, found.standing))
            })?;
            standing = standing.max(found);
            events.push(row.event);
        }
        let session_id = first.session_id.clone();
        let group = Group::new(first.group_id, client_id.clone(), session_id, events).ok()?;
        Some((group, standing))
    }

    /// Lists the groups that were pending and are not whole: by the rows that are left, and by
    /// the index.
    fn lost_from_tail(
        &self,
        whole: &HashSet<GroupId>,
        settled: &HashSet<GroupId>,
    ) -> Vec<LostGroup> {
        let mut rests: HashMap<GroupId, Rest> = HashMap::new();
        for located in &self.pending.rows {
            let Some(row) = self.read::<PendingRow>(located) else { continue };
            let id = row.group_id;
            let is_known = self.pending_index.groups.contains_key(&id);
            let is_old = !is_known
                && (self.pending_index.covers(row.ordinal)
                    || located.standing != Standing::Current && settled.contains(&id));
            if whole.contains(&id) || is_old {
                continue;
            }
            let rest = rests.entry(id).or_insert_with(|| Rest {
                ordinals: Vec::new(),
                client_only: row.client_only,
                events: Vec::new(),
                expected: None,
            });
            if !rest.ordinals.contains(&row.ordinal) {
                rest.ordinals.push(row.ordinal);
                rest.events.push(row.event);
            }
            rest.expected = rest.expected.or(row.events.map(u64::from));
        }
        for (id, IndexedGroup { client_only, events, first }) in &self.pending_index.groups {
            if whole.contains(id) {
                continue;
            }
            let rest = rests.entry(*id).or_insert_with(|| Rest {
                ordinals: vec![*first],
                client_only: *client_only,
                events: Vec::new(),
                expected: None,
            });
            rest.expected = Some(*events);
        }
        let mut lost: Vec<_> = rests.into_iter().collect();
        lost.sort_by_key(|(id, rest)| (rest.ordinals.first().copied(), *id));
        let lost = lost.into_iter().map(|(id, rest)| {
            let Rest { ordinals, client_only, events: found, expected: events } = rest;
            let first = ordinals.iter().min().copied().unwrap_or_default();
            LostGroup { place: format!("ordinal {first}"), id, client_only, events, found }
        });
        lost.collect()
    }
}

/// Tells whether no group has one of the ordinals.
fn is_free(groups: &BTreeMap<i64, WholeGroup>, first: i64, last: i64) -> bool {
    let before = groups.range(..=last).next_back();
    before.is_none_or(|(start, group)| start + group.group.event_count() as i64 - 1 < first)
}
