//! What a replica tells about itself and about what was committed to it.

use std::time::Duration;

use livestore_core::mutant::{self, Mutant};
use livestore_core::{BackendId, EventId, EventName, GlobalSeqNum, GroupId, SeqNum};
use livestore_sqlite::SqliteError;

use serde::{Deserialize, Serialize};

use super::{ConnectionState, DeadLetterReason, LeaderLink};

/// What a commit produced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The group of the synced events; if there are none, that of the client-only ones.
    pub group_id: GroupId,
    /// Up to where the disk has to be synced for the commit to survive a power cut.
    pub ordinal: i64,
    /// True if some of the events are synced.
    pub synced: bool,
    /// True if some of the events are on the medium at all; memory events are not.
    pub stored: bool,
}

/// What became of a group so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupState {
    /// It is in the tail.
    Pending,
    /// It is client-only and in its place for good.
    Settled,
    /// It met its fate.
    Ended(Fate),
    /// It is nowhere.
    Unknown,
}

/// The end of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Fate {
    /// The backend ordered it.
    Confirmed {
        /// The position of its first event.
        first: GlobalSeqNum,
        /// The position of its last event.
        last: GlobalSeqNum,
    },
    /// The backend ordered it, with other events than it was committed with: its command was run
    /// again, or the app rewrites such events on a rebase.
    Rewritten {
        /// The position of its first event.
        first: GlobalSeqNum,
        /// The position of its last event.
        last: GlobalSeqNum,
    },
    /// It could not be applied or was refused, and is a dead letter now.
    Rejected {
        /// Why.
        reason: DeadLetterReason,
    },
    /// A backend had ordered it, and it was left with that backend's history: the app has answered
    /// [`HistoryAnswer::Discard`]. [`Store::archived`](crate::Store::archived) has it.
    Archived,
}

/// Which part a session has among those of its client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
#[non_exhaustive]
pub enum Tier {
    /// It uses the store's file, or memory, directly, and syncs with the backend.
    Leader {
        /// Sessions that follow it.
        followers: u64,
    },
    /// It follows a leader.
    Session {
        /// Where it stands towards the leader.
        leader: LeaderLink,
        /// Commits that are not known to be in the leader's file; their groups count as pending as well.
        commits_not_handed_over: u64,
    },
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SyncStatus {
    /// Which part the session has.
    pub tier: Tier,
    /// The last event, pending ones included.
    pub local_head: SeqNum,
    /// The last event that the backend has confirmed to us and that is in the state.
    pub confirmed_head: GlobalSeqNum,
    /// The end of what has been pulled; beyond `confirmed_head` while a rebase gathers events.
    pub pulled_head: GlobalSeqNum,
    /// The end of the backend's log, as far as we know; `None` before the first contact.
    pub backend_head: Option<GlobalSeqNum>,
    /// Up to where the backend has this log, while that is published to it anew.
    pub republished: Option<GlobalSeqNum>,
    /// Groups that the backend has not confirmed.
    pub pending_groups: u64,
    /// Events that the backend has not confirmed.
    pub pending_events: u64,
    /// Pending groups without effect on the state: they failed, but the backend may have them.
    pub groups_in_doubt: u64,
    /// The connection to the backend.
    pub connection: ConnectionState,
    /// True if the backend gives nobody a turn: own events wait as long as others keep being quicker.
    pub best_effort: bool,
    /// What went wrong last, until something goes right.
    pub last_error: Option<String>,
    /// When everything was last in step with the backend, in milliseconds since 1970.
    pub last_synced_ms: Option<u64>,
    /// Rebases since the store was created.
    pub rebases: u64,
    /// How long the last rebase of this opening took; nothing could be committed meanwhile.
    pub last_rebase: Option<Duration>,
    /// Groups in the dead letters.
    pub dead_letters: u64,
    /// Confirmed events that could not be materialized and were skipped.
    pub quarantined: u64,
    /// Groups that left the log with the history that they were in: those of other clients, and own
    /// ones that were discarded.
    pub archived: u64,
}

impl SyncStatus {
    /// Tells whether everything here is confirmed and everything that the backend has is here.
    pub fn is_synced(&self) -> bool {
        let knows = match &self.tier {
            Tier::Leader { .. } => true,
            Tier::Session { leader, commits_not_handed_over } => {
                *leader == LeaderLink::Following && *commits_not_handed_over == 0
            }
        };
        knows
            && self.connection == ConnectionState::Connected
            && self.pending_events == 0
            && self.republished.is_none()
            && self.backend_head == Some(self.confirmed_head)
    }
}

/// How far a backend's log agrees with ours, when it is another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Divergence {
    /// The backend as it is now.
    pub backend_id: BackendId,
    /// The end of the backend's log.
    pub backend_head: GlobalSeqNum,
    /// The last position up to which both logs are equal.
    pub common: GlobalSeqNum,
    /// Own groups above it: they would become pending again, under their old ids.
    pub own_groups: u64,
    /// Events of other clients above it: they would leave the state and be archived.
    pub others_events: u64,
    /// Own groups that are pending.
    pub pending_groups: u64,
}

impl Divergence {
    /// Tells whether the log can be published to the backend anew: that is empty, or has a beginning of
    /// this very log, as when another client is about to publish the same.
    pub fn allows_republishing(&self) -> bool {
        self.backend_head == self.common || mutant::is_active(Mutant::RepublishOntoOthers)
    }
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { backend_id, backend_head, common, own_groups, others_events, pending_groups } =
            self;
        write!(
            f,
            "backend {backend_id} has another history from {common} on (its log ends at \
             {backend_head}). RebasePending would push {own_groups} confirmed groups of this \
             client again and take {others_events} events of other clients out of the state; \
             Discard would take both out of the state, and make {pending_groups} pending groups \
             dead letters"
        )?;
        if self.allows_republishing() {
            f.write_str("; Republish would push the whole log, as the backend has nothing else")?;
        }
        Ok(())
    }
}

/// What to do when the backend's log turns out to be another history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum HistoryAnswer {
    /// Stop syncing and say how far the histories agree; the app goes on offline.
    #[default]
    Stop,
    /// Go back to the last common position, make own groups above it pending again under their
    /// old ids, and archive those of others.
    RebasePending,
    /// Push the whole log, under its old ids, to a backend that is empty; stop if that has anything but
    /// a beginning of the same log.
    Republish,
    /// Go back to the last common position, archive everything above it, and make what is pending
    /// dead letters.
    Discard,
}

/// What to do with a confirmed event that cannot be materialized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PoisonAnswer {
    /// Skip it, note it, go on, and try it again when the state is next derived anew.
    #[default]
    Quarantine,
    /// Stop pulling before it; the app goes on offline.
    Stop,
}

/// A failure of the replica itself; nothing of the step that failed has happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The database failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// A materializer failed on an event in a way that says nothing about the event.
    #[error("event {name} ({id}) could not be materialized: {message}")]
    Materializer {
        /// The event's name.
        name: EventName,
        /// The event.
        id: EventId,
        /// What happened.
        message: String,
        /// True if the materializer panicked, so that trying again is no use.
        panicked: bool,
    },
    /// The log cannot be published anew to a backend that has another one.
    #[error(
        "backend {backend_id} has a log of its own (up to {head}), so this log cannot be \
         published to it; rebase what is pending, or discard what it does not have"
    )]
    BackendNotEmpty {
        /// The backend.
        backend_id: BackendId,
        /// The end of its log.
        head: GlobalSeqNum,
    },
    /// The schema does not know a confirmed event, and says to stop then.
    #[error("the schema does not know event {name} ({id}) at {seq}; use a release that does")]
    UnknownEvent {
        /// The event's name.
        name: EventName,
        /// The event.
        id: EventId,
        /// Where it stands in the log.
        seq: GlobalSeqNum,
    },
    /// A confirmed event cannot be materialized, and the app asked to stop then.
    #[error("event {name} ({id}) at {seq} cannot be materialized: {message}")]
    PoisonEvent {
        /// The event's name.
        name: EventName,
        /// The event.
        id: EventId,
        /// Where it stands in the log.
        seq: GlobalSeqNum,
        /// What happened.
        message: String,
    },
}

/// How far the derivation of the state has come; told from time to time while a store opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildProgress {
    /// The state has to be derived anew, or the rest of it; nothing has been done yet.
    Begins,
    /// Some of it is done.
    Derived {
        /// Confirmed events that are in the state.
        done: u64,
        /// Confirmed events in the log.
        total: u64,
    },
}
