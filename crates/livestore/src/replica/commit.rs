//! Committing: a group of new events, or what a command makes, is applied and written down in one
//! transaction.

use livestore_core::{CanonicalJson, Event as StoredEvent, Group, GroupId, SeqNum};
use livestore_sqlite::{Changes, SqliteError};

use super::log::{self, ClientOnlyPlace};
use super::materialize::{Authored, materialize};
use super::pending::{self, Origin, Tail};
use super::{Committed, Replica, exceptions};
use crate::command::{NotExecuted, Run};
use crate::event::EventKind;
use crate::group::NewEvent;
use crate::session::message::{Advance, TailGroup};
use crate::{CommitError, ExecuteError, StoredCommand};

/// What one commit makes: a group of each kind, and several synced ones if it was split.
struct NewGroups {
    synced: Vec<Group>,
    client_only: Option<Group>,
    memory: Option<Group>,
}

impl Replica {
    /// Commits events as one transaction; when it returns, they are in the log and in the state.
    ///
    /// The synced ones make one group and the client-only ones another. They are applied in this
    /// order, and memory events last, since each kind may read what comes before it.
    ///
    /// # Errors
    ///
    /// On any error nothing has changed, and the replica goes on as before.
    pub fn commit(&mut self, events: Vec<NewEvent>, now_ms: u64) -> Result<Committed, CommitError> {
        self.commit_and(events, now_ms, None)
    }

    /// Commits events, and forgets a dead letter in the same transaction.
    pub(super) fn commit_and(
        &mut self,
        events: Vec<NewEvent>,
        now_ms: u64,
        forgets: Option<GroupId>,
    ) -> Result<Committed, CommitError> {
        let [synced, client_only, memory] = self.by_kind(events, now_ms)?;
        let (session_id, client_id) = (self.session_id.clone(), self.meta.client_id.clone());
        let parts = if self.schema.splits_large_commits() {
            self.capabilities.push.parts(synced)
        } else {
            vec![synced]
        };
        let mut group = |events: Vec<StoredEvent>| {
            if events.is_empty() {
                return Ok(None);
            }
            let id = self.ids.group_id(now_ms);
            Group::new(id, client_id.clone(), session_id.clone(), events).map(Some)
        };
        let synced = parts.into_iter().filter_map(|part| group(part).transpose());
        let synced = synced.collect::<Result<Vec<_>, _>>()?;
        let (client_only, memory) = (group(client_only)?, group(memory)?);
        let groups = NewGroups { synced, client_only, memory };
        self.commit_groups(&groups, &Origin::default(), forgets)
    }

    /// Executes a command: its handler makes the events, which are committed.
    ///
    /// # Errors
    ///
    /// As for [`Replica::commit`].
    pub fn execute(
        &mut self,
        name: String,
        args: CanonicalJson,
        now_ms: u64,
    ) -> Result<Committed, ExecuteError<serde_json::Value>> {
        self.execute_stored(name, args, now_ms).map_err(ExecuteError::of)
    }

    /// Executes a command as [`Replica::execute`] does, with the handler's error as it was.
    pub(crate) fn execute_stored(
        &mut self,
        name: String,
        args: CanonicalJson,
        now_ms: u64,
    ) -> Result<Committed, NotExecuted> {
        self.execute_and(name, args, now_ms, None)
    }

    /// Executes a command, and forgets a dead letter in the same transaction.
    pub(super) fn execute_and(
        &mut self,
        name: String,
        args: CanonicalJson,
        now_ms: u64,
        forgets: Option<GroupId>,
    ) -> Result<Committed, NotExecuted> {
        let Some(handler) = self.schema.commands().handlers.get(&name) else {
            return Err(NotExecuted::Unknown { name });
        };
        let id = self.ids.group_id(now_ms);
        let run = Run { group_id: id, time_ms: now_ms, is_again: false };
        let events = match self.schema.run_command(handler, &args, &self.connection, run) {
            Ok(events) => events,
            Err(unmade) => return Err(NotExecuted::Unmade(name, unmade)),
        };
        let with_id = |(index, NewEvent { name, args })| StoredEvent {
            id: id.derived_event_id(index),
            name,
            args,
        };
        let events = events.into_iter().enumerate().map(with_id).collect();
        let (client_id, session_id) = (self.meta.client_id.clone(), self.session_id.clone());
        let group = Group::new(id, client_id, session_id, events).map_err(CommitError::from)?;
        let origin = Origin::command(StoredCommand { name, args, time_ms: now_ms });
        let groups = NewGroups { synced: vec![group], client_only: None, memory: None };
        Ok(self.commit_groups(&groups, &origin, forgets)?)
    }

    /// Commits groups as one transaction. The origin is that of the synced ones.
    fn commit_groups(
        &mut self,
        groups: &NewGroups,
        origin: &Origin,
        forgets: Option<GroupId>,
    ) -> Result<Committed, CommitError> {
        let NewGroups { synced, client_only, memory } = groups;
        // When the last part of what was split is confirmed, so is the rest.
        let named = synced.last().or(client_only.as_ref()).or(memory.as_ref());
        let group_id = named.ok_or(livestore_core::GroupError::Empty)?.id();
        self.check_backpressure()?;
        synced.iter().try_for_each(|group| self.capabilities.push.check(group))?;

        let (mut tail, mut changed) = (self.tail, Changes::default());
        let mut advance: Option<Box<Advance>> = self.feed.is_read().then(Box::default);
        let plain = Origin::default();
        let synced_ones = synced.iter().map(|group| (group, false, origin));
        let stored = synced_ones.chain(client_only.iter().map(|group| (group, true, &plain)));
        let mut lasts = Vec::with_capacity(synced.len() + 1);
        let done = self.connection.transaction(|| {
            for (group, client_only, origin) in stored {
                let ordinal = tail.last + 1;
                self.commit_group(group, client_only, origin, &mut tail, &mut changed)?;
                lasts.push(tail.last);
                if let Some(advance) = &mut advance {
                    let (group, origin) = (group.clone(), origin.clone());
                    advance.added.push(TailGroup { ordinal, group, client_only, origin });
                }
            }
            if let Some(group) = memory {
                let after = SeqNum::confirmed(self.meta.state_head.plus(tail.events));
                self.materialize_all(group, EventKind::Memory, after)?;
                changed.extend(self.connection.discard_changes());
            }
            if let Some(letter) = forgets {
                exceptions::forget(&self.connection, letter)?;
            }
            Ok::<_, CommitError>(())
        });
        if let Err(error) = done {
            if let CommitError::Sqlite(error) = &error {
                self.note_disk(error);
            }
            return Err(error);
        }
        self.tail = tail;
        self.changes.extend(changed);
        self.counts.dead_letters -= u64::from(forgets.is_some());
        self.dead_letters_changed |= forgets.is_some();
        if let Some(advance) = &mut advance {
            advance.forgotten.extend(forgets);
        }
        self.publish(advance, None);
        self.note_committed(groups, origin, forgets, &lasts);
        self.tidy_wal();
        let (synced, stored) = (!synced.is_empty(), !lasts.is_empty());
        Ok(Committed { group_id, ordinal: tail.last, synced, stored })
    }

    /// Takes note of what a leader is to get, if there is one: a commit for each synced group.
    fn note_committed(
        &mut self,
        groups: &NewGroups,
        origin: &Origin,
        forgets: Option<GroupId>,
        lasts: &[i64],
    ) {
        let NewGroups { synced, client_only, .. } = groups;
        let last = self.tail.last;
        let Some((end, others)) = synced.split_last() else {
            return self.note_own([None, client_only.as_ref()], origin, forgets, last);
        };
        for (group, last) in others.iter().zip(lasts) {
            self.note_own([Some(group), None], origin, None, *last);
        }
        self.note_own([Some(end), client_only.as_ref()], origin, forgets, last);
    }

    /// Gives events their ids and sorts them by kind: synced, client-only, memory.
    fn by_kind(
        &mut self,
        events: Vec<NewEvent>,
        now_ms: u64,
    ) -> Result<[Vec<StoredEvent>; 3], CommitError> {
        let mut kinds = [Vec::new(), Vec::new(), Vec::new()];
        for NewEvent { name, args } in events {
            let Some(kind) = self.schema.kind(&name) else {
                return Err(CommitError::UnknownEvent { name });
            };
            let id = self.ids.event_id(now_ms);
            kinds[kind as usize].push(StoredEvent { id, name, args });
        }
        Ok(kinds)
    }

    /// Applies a new group and writes it where it belongs.
    fn commit_group(
        &self,
        group: &Group,
        client_only: bool,
        origin: &Origin,
        tail: &mut Tail,
        changed: &mut Changes,
    ) -> Result<(), CommitError> {
        let after = self.tail_end(client_only, tail)?;
        self.materialize_all(group, EventKind::of(client_only), after)?;
        let preimages = self.connection.take_changes();
        // If nothing that could be rebased stands before it, nobody will undo it.
        let is_settled = client_only && tail.is_empty() && !self.is_session();
        let undo = (!is_settled).then(|| preimages.encode());
        changed.extend(self.connection.changes_of(preimages));
        if is_settled {
            let place = ClientOnlyPlace { seq: after.global, client: after.client + 1 };
            log::append_client_only(&self.connection, group, place)?;
            tail.last += group.event_count() as i64;
            return Ok(());
        }
        Ok(self.append_pending(group, client_only, origin, undo.as_deref(), tail)?)
    }

    /// Writes a group that was applied at the end of the tail.
    pub(super) fn append_pending(
        &self,
        group: &Group,
        client_only: bool,
        origin: &Origin,
        undo: Option<&[u8]>,
        tail: &mut Tail,
    ) -> Result<(), SqliteError> {
        let first = tail.last + 1;
        tail.last = match origin.command {
            Some(_) => pending::last_of_command(first),
            None => tail.last + group.event_count() as i64,
        };
        tail.add(client_only, group.event_count());
        pending::append(&self.connection, group, first, client_only, origin, undo)?;
        pending::index_newest(&self.connection, tail, self.index_events)
    }

    /// Returns the place behind which the next event stands.
    pub(super) fn tail_end(
        &self,
        client_only: bool,
        tail: &mut Tail,
    ) -> Result<SeqNum, SqliteError> {
        let mut end = SeqNum::confirmed(self.meta.state_head.plus(tail.events));
        if !client_only {
            return Ok(end);
        }
        if tail.events == 0 {
            end.client = log::next_client_only(&self.connection, end.global)?.client - 1;
        }
        if !tail.is_empty() {
            let at_end = match tail.at_end {
                Some(at_end) => at_end,
                None => pending::client_only_at_end(&self.connection)?,
            };
            tail.at_end = Some(at_end);
            end.client += at_end;
        }
        Ok(end)
    }

    fn materialize_all(
        &self,
        group: &Group,
        kind: EventKind,
        after: SeqNum,
    ) -> Result<(), CommitError> {
        for authored in Authored::of(group, kind, after) {
            materialize(&self.connection, &self.schema, kind, authored, &self.warnings).map_err(
                |source| CommitError::Materialize { name: authored.event.name.clone(), source },
            )?;
        }
        Ok(())
    }
}
