//! What was saved of a damaged file, and what was not.

use std::path::PathBuf;

use livestore_core::{BackendId, ClientId, Event, GlobalSeqNum, GroupId, StoreId};
use serde::Serialize;

/// How a name was found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Author {
    /// The damaged file says so.
    File,
    /// It follows from other things: the file's name, or events that are surely this client's.
    Inferred,
    /// The caller said so.
    Given,
    /// Nothing tells, so a new one was made.
    New,
}

/// How much is in the new file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Kept {
    /// Events of the confirmed log.
    pub confirmed_events: u64,
    /// Groups of the confirmed log.
    pub confirmed_groups: u64,
    /// Events of the client log, in their places.
    pub client_only_events: u64,
    /// Events in the pending tail.
    pub pending_events: u64,
    /// Groups in the pending tail.
    pub pending_groups: u64,
    /// Groups of it that were confirmed behind what is missing of the log.
    pub pending_again: u64,
    /// Groups in the dead letters.
    pub dead_letters: u64,
    /// Groups in the archive.
    pub archived: u64,
}

/// The confirmed events behind the end of the new log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LostStretch {
    /// The first that is missing.
    pub first: GlobalSeqNum,
    /// The last; none if nothing tells how long the log was.
    pub last: Option<GlobalSeqNum>,
    /// Events of it that could be read, but do not follow on what was kept.
    pub readable: u64,
}

/// A group that is not in the new file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct LostGroup {
    /// Where it stood.
    pub place: String,
    /// The group.
    pub id: GroupId,
    /// True if it was only ever on this client.
    pub client_only: bool,
    /// How many events it had, if that is known.
    pub events: Option<u64>,
    /// Those of them that can be read.
    pub found: Vec<Event>,
}

/// Something in the new file that may not have been in the damaged one any more, or not under this id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Uncertain {
    /// What it is: a pending group, a client-only group, a dead letter, an archived group.
    pub what: &'static str,
    /// The group.
    pub id: GroupId,
}

/// A place in the file that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct DamagedPlace {
    /// Where: a page, a frame, a row.
    pub place: String,
    /// The table that it belongs to.
    pub table: Option<&'static str>,
    /// What is wrong.
    pub what: String,
    /// How much of the file that is, in bytes, as far as it is known.
    pub bytes: u64,
}

/// What was saved of a damaged file, and what was not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct RecoverReport {
    /// The damaged file.
    #[serde(serialize_with = "crate::inspect::path_as_text")]
    pub from: PathBuf,
    /// The new file.
    #[serde(serialize_with = "crate::inspect::path_as_text")]
    pub to: PathBuf,
    /// The store.
    pub store_id: StoreId,
    /// How that is known.
    pub store_id_by: Author,
    /// Who commits in it.
    pub client_id: ClientId,
    /// How that is known.
    pub client_id_by: Author,
    /// The backend, if the file tells it.
    pub backend_id: Option<BackendId>,
    /// Where the new log ends.
    pub head: GlobalSeqNum,
    /// Where the log ended as the damaged file has it.
    pub old_head: Option<GlobalSeqNum>,
    /// How much is in the new file.
    pub kept: Kept,
    /// What is damaged, of the file as a whole and of LiveStore's own tables. The state is not
    /// looked at, since it is derived anew.
    pub damage: Vec<DamagedPlace>,
    /// Confirmed events that are not in the new file; the backend has them, if there is one.
    pub confirmed_missing: Option<LostStretch>,
    /// Groups of this client alone that are lost.
    pub lost: Vec<LostGroup>,
    /// Rows of further tables that are lost, in words.
    pub lost_rows: Vec<String>,
    /// What may have been settled already.
    pub uncertain: Vec<Uncertain>,
}

impl RecoverReport {
    /// Tells whether the new file holds everything that the damaged one should have held.
    pub fn is_complete(&self) -> bool {
        self.confirmed_missing.is_none()
            && self.lost.is_empty()
            && self.lost_rows.is_empty()
            && self.uncertain.is_empty()
    }
}
