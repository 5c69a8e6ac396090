//! Client-only groups: those that are surely whole.
//!
//! Nothing in a row tells how many events its group has, but two witnesses tell which events are of one
//! group: the rows, by their ids, and the table's index. No damage makes two ids the same, so what either
//! of them says is one belongs together, and the id that most of both have is the group's. A group ends
//! where another one begins, or where the index or a table that is whole has nothing more.

use std::collections::{BTreeMap, HashMap, HashSet};

use livestore_core::{ClientId, GlobalSeqNum, Group, GroupId};

use super::report::{LostGroup, Uncertain};
use super::survey::{Standing, Survey};
use crate::inspect::rows::ClientOnlyRow;

/// A place in the client log.
type Place = (u64, u32);

/// The index of the client log.
#[derive(Debug, Default)]
pub(super) struct ClientIndex {
    /// The places of each group's events.
    pub(super) groups: HashMap<GroupId, Vec<Place>>,
    /// The group at each place; none if two are listed there.
    places: HashMap<Place, Option<GroupId>>,
    /// True if its tree could be read without a gap, as it was last written.
    pub(super) is_complete: bool,
}

impl ClientIndex {
    pub(super) fn insert(&mut self, id: GroupId, place: Place) {
        self.groups.entry(id).or_default().push(place);
        self.places.entry(place).and_modify(|listed| *listed = None).or_insert(Some(id));
    }

    /// Returns the group that is listed at a place.
    pub(super) fn at(&self, place: Place) -> Option<GroupId> {
        self.places.get(&place).copied().flatten()
    }

    /// Tells whether an event of a group is listed at a place at which there is no row, and not
    /// because one of the group's own places is damaged.
    fn misses(&self, place: Place, group: GroupId, rows: usize) -> bool {
        let is_listed = |places: &Vec<Place>| places.contains(&place) && places.len() > rows;
        self.groups.get(&group).is_some_and(is_listed)
    }
}

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
    /// Every id that rows or the index have for one of them.
    pub(super) ids: HashSet<GroupId>,
    pub(super) lost: Vec<LostGroup>,
    pub(super) uncertain: Vec<Uncertain>,
}

/// Rows one after the other that are of one group.
struct Run {
    rows: Vec<ClientOnlyRow>,
    standing: Standing,
}

impl Run {
    fn first(&self) -> Place {
        place(&self.rows[0])
    }

    fn last(&self) -> Place {
        place(&self.rows[self.rows.len() - 1])
    }

    /// Returns the id that most rows and entries of the index have.
    fn id(&self, index: &ClientIndex) -> GroupId {
        let mut votes: Vec<(GroupId, usize)> = Vec::new();
        let listed = self.rows.iter().filter_map(|row| index.at(place(row)));
        for id in self.rows.iter().map(|row| row.group_id).chain(listed) {
            match votes.iter_mut().find(|(voted, _)| *voted == id) {
                Some((_, count)) => *count += 1,
                None => votes.push((id, 1)),
            }
        }
        // Of two that are as frequent, the rows' own.
        let most = votes.iter().map(|(_, count)| *count).max();
        let elected = votes.iter().find(|(_, count)| Some(*count) == most);
        elected.map_or(self.rows[0].group_id, |(id, _)| *id)
    }
}

fn place(row: &ClientOnlyRow) -> Place {
    (row.seq.0, row.client)
}

fn after((seq, client): Place) -> Place {
    (seq, client.saturating_add(1))
}

impl Survey<'_> {
    /// Puts the rows of the client log together.
    pub(super) fn client_only_groups(&self, client_id: &ClientId) -> ClientOnlyGroups {
        let index = &self.client_index;
        let mut displaced = HashSet::new();
        let rows = self.client_only_rows(&mut displaced);
        let places: HashSet<Place> = rows.keys().copied().collect();
        let mut runs: Vec<Run> = Vec::new();
        for (at, (row, standing)) in rows {
            match runs.last_mut() {
                Some(run) if after(run.last()) == at && self.are_one(run, &row) => {
                    run.rows.push(row);
                    run.standing = run.standing.max(standing);
                }
                _ => runs.push(Run { rows: vec![row], standing }),
            }
        }
        let mut parts: HashMap<GroupId, usize> = HashMap::new();
        for run in &runs {
            *parts.entry(run.id(index)).or_default() += 1;
        }
        let mut found = ClientOnlyGroups::default();
        let mut named = HashSet::new();
        for run in runs {
            let id = run.id(index);
            let is_one = parts.get(&id) == Some(&1) && !displaced.contains(&id);
            named.insert(id);
            if is_one && index.groups.contains_key(&id) {
                // Whatever else is listed there is this group's, under a damaged id.
                named.extend(run.rows.iter().filter_map(|row| index.at(place(row))));
            }
            self.sort_out(run, id, is_one, &places, client_id, &mut found);
        }
        self.add_unseen(&named, &mut found);
        found
    }

    /// Reads the row at each place.
    fn client_only_rows(
        &self,
        displaced: &mut HashSet<GroupId>,
    ) -> BTreeMap<Place, (ClientOnlyRow, Standing)> {
        let index = &self.client_index;
        let mut rows: BTreeMap<Place, (ClientOnlyRow, Standing)> = BTreeMap::new();
        for located in &self.client_log.rows {
            let Some(row) = self.read::<ClientOnlyRow>(located) else { continue };
            let (at, standing) = (place(&row), located.standing);
            let is_listed = index.at(at) == Some(row.group_id);
            let is_sure = located.is_reached && standing == Standing::Current;
            if index.is_complete && !is_listed && !is_sure {
                // It was deleted; only an old page still holds it.
                continue;
            }
            match rows.get_mut(&at) {
                None => drop(rows.insert(at, (row, standing))),
                Some((there, _)) if there.group_id == row.group_id => {}
                // What is listed stays, else what is reached, which comes first.
                Some(there) if is_listed => {
                    displaced.insert(std::mem::replace(there, (row, standing)).0.group_id);
                }
                Some(_) => drop(displaced.insert(row.group_id)),
            }
        }
        rows
    }

    /// Tells whether a row is of the same group as the one before it.
    fn are_one(&self, run: &Run, row: &ClientOnlyRow) -> bool {
        let index = &self.client_index;
        let is_same_entry =
            || index.at(run.last()).is_some_and(|id| index.at(place(row)) == Some(id));
        let is_same_row = run.rows.last().is_some_and(|last| last.group_id == row.group_id);
        is_same_row || index.is_complete && is_same_entry()
    }

    fn sort_out(
        &self,
        run: Run,
        id: GroupId,
        is_one: bool,
        rows: &HashSet<Place>,
        client_id: &ClientId,
        found: &mut ClientOnlyGroups,
    ) {
        let index = &self.client_index;
        let (first, last) = (run.first(), run.last());
        let is_proven = self.client_log.is_whole && run.standing != Standing::Unproven;
        let ends_at = |next: Place| {
            rows.contains(&next)
                || (index.is_complete || is_proven) && !index.misses(next, id, run.rows.len())
        };
        let begins = first.1 == 1 || ends_at((first.0, first.1 - 1));
        let others = run.rows.iter().filter(|row| row.group_id != id).count();
        let session_id = run.rows[0].session_id.clone();
        // One place may be damaged; rows that have more against them are of another time.
        let is_whole = is_one
            && begins
            && ends_at(after(last))
            && others <= 1
            && run.rows.iter().all(|row| row.session_id == session_id);
        let listed = index.groups.get(&id);
        let has_other_id = listed.is_none() && index.at(first).is_some();
        let ids = run.rows.iter().flat_map(|row| [Some(row.group_id), index.at(place(row))]);
        let ids: Vec<GroupId> = ids.flatten().collect();
        let events: Vec<_> = run.rows.into_iter().map(|row| row.event).collect();
        match Group::new(id, client_id.clone(), session_id, events.clone()) {
            Ok(group) if is_whole => {
                if has_other_id || run.standing != Standing::Current && listed.is_none() {
                    found.uncertain.push(Uncertain { what: "client-only group", id });
                }
                found.ids.extend(ids);
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
    fn add_unseen(&self, named: &HashSet<GroupId>, found: &mut ClientOnlyGroups) {
        let groups: BTreeMap<_, _> = self.client_index.groups.iter().collect();
        for (id, places) in groups {
            if named.contains(id) {
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
