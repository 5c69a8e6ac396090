//! Client-only groups: those that are surely whole.
//!
//! Nothing in a row tells how many events its group has; the table's index tells. No damage makes
//! two ids the same, so rows that have a listed group's id, in all the places that are listed, are
//! that group; and so are rows in all the places of a group that is listed under another id. Without
//! the index, a group is known to be whole only if its neighbours on both sides are there and none of
//! its rows had to give way to one of another group.

use std::collections::{BTreeMap, HashSet};

use livestore_core::{ClientId, Event, GlobalSeqNum, Group, GroupId, SessionId};

use super::report::{LostGroup, Uncertain};
use super::survey::{Located, Standing, Survey};
use crate::inspect::rows::ClientOnlyRow;

/// A place in the client log.
type Place = (u64, u32);

/// A client-only group and where it stood.
#[derive(Debug)]
pub(super) struct ClientOnly {
    pub(super) seq: GlobalSeqNum,
    pub(super) group: Group,
}

/// What was found of the client log.
#[derive(Debug, Default)]
pub(super) struct ClientOnlyGroups {
    /// Whole groups in the order of the log.
    pub(super) whole: Vec<ClientOnly>,
    pub(super) lost: Vec<LostGroup>,
    pub(super) uncertain: Vec<Uncertain>,
}

/// Consecutive rows of one group.
struct Run {
    first: Place,
    id: GroupId,
    session_id: SessionId,
    events: Vec<Event>,
    standing: Standing,
}

impl Run {
    fn last(&self) -> Place {
        (self.first.0, self.first.1 + self.events.len() as u32 - 1)
    }
}

impl Survey<'_> {
    /// Puts the rows of the client log together.
    pub(super) fn client_only_groups(&self, client_id: &ClientId) -> ClientOnlyGroups {
        let mut rows: BTreeMap<Place, (Located, GroupId)> = BTreeMap::new();
        let mut displaced = HashSet::new();
        for located in &self.client_log.rows {
            let Some(row) = self.read::<ClientOnlyRow>(located) else { continue };
            // What is reached comes first, and stays.
            let place = (row.seq.0, row.client);
            let (_, there) = rows.entry(place).or_insert((*located, row.group_id));
            if *there != row.group_id {
                displaced.insert(row.group_id);
            }
        }
        let mut found = ClientOnlyGroups::default();
        let mut runs: Vec<Run> = Vec::new();
        for (located, _) in rows.values() {
            let Some(row) = self.read::<ClientOnlyRow>(located) else { continue };
            match runs.last_mut() {
                Some(run)
                    if run.id == row.group_id
                        && run.session_id == row.session_id
                        && run.last().0 == row.seq.0
                        && run.last().1 + 1 == row.client =>
                {
                    run.events.push(row.event);
                    run.standing = run.standing.max(located.standing);
                }
                _ => runs.push(Run {
                    first: (row.seq.0, row.client),
                    id: row.group_id,
                    session_id: row.session_id,
                    events: vec![row.event],
                    standing: located.standing,
                }),
            }
        }
        let mut parts: BTreeMap<GroupId, usize> = BTreeMap::new();
        for run in &runs {
            *parts.entry(run.id).or_default() += 1;
        }
        for run in runs {
            let is_one = parts.get(&run.id) == Some(&1) && !displaced.contains(&run.id);
            self.sort_out(run, is_one, &rows, client_id, &mut found);
        }
        self.add_unseen(&parts, &mut found);
        found
    }

    fn sort_out(
        &self,
        run: Run,
        is_one: bool,
        rows: &BTreeMap<Place, (Located, GroupId)>,
        client_id: &ClientId,
        found: &mut ClientOnlyGroups,
    ) {
        let index = &self.client_index;
        let listed = index.groups.get(&run.id);
        if listed.is_none() && index.is_complete && index.lists_all {
            // It was deleted; only an old page still holds it.
            return;
        }
        let (first, last) = (run.first, run.last());
        let has_neighbours = (first.1 == 1 || rows.contains_key(&(first.0, first.1 - 1)))
            && rows.contains_key(&(last.0, last.1 + 1));
        let is_here = |places: &Vec<Place>| places.iter().all(|at| (first..=last).contains(at));
        let is_whole = is_one
            && match listed {
                Some(places) if !is_here(places) => false,
                Some(_) if index.is_complete => true,
                // One of its id in the rows and its id in the index is damaged.
                None if index.is_complete => {
                    let mut others = index.groups.values();
                    others.any(|places| places.len() == run.events.len() && is_here(places))
                }
                _ => {
                    self.client_log.is_whole && run.standing != Standing::Unproven || has_neighbours
                }
            };
        let Run { id, session_id, events, standing, .. } = run;
        let group = Group::new(id, client_id.clone(), session_id, events.clone());
        match group {
            Ok(group) if is_whole => {
                if standing != Standing::Current && listed.is_none() {
                    found.uncertain.push(Uncertain { what: "client-only group", id });
                }
                found.whole.push(ClientOnly { seq: GlobalSeqNum(first.0), group });
            }
            _ => found.lost.push(LostGroup {
                place: format!("e{}.{}", first.0, first.1),
                id,
                client_only: true,
                events: listed.map(|places| places.len() as u64),
                found: events,
            }),
        }
    }

    /// Adds the groups of which the index alone is left.
    fn add_unseen(&self, seen: &BTreeMap<GroupId, usize>, found: &mut ClientOnlyGroups) {
        for (id, places) in &self.client_index.groups {
            if seen.contains_key(id) {
                continue;
            }
            let (seq, client) = places.iter().min().copied().unwrap_or_default();
            found.lost.push(LostGroup {
                place: format!("e{seq}.{client}"),
                id: *id,
                client_only: true,
                events: self.client_index.is_complete.then_some(places.len() as u64),
                found: Vec::new(),
            });
        }
    }
}
