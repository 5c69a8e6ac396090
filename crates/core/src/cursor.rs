//! Where a reader of a backend's log stands.

use serde::{Deserialize, Serialize};

use crate::{BackendId, GlobalSeqNum, LogHash};

/// A position in a log together with the hash of everything up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPosition {
    /// The last event that is included; always the end of a group.
    pub seq: GlobalSeqNum,
    /// The rolling hash of the log up to and including `seq`.
    pub hash: LogHash,
}

impl LogPosition {
    /// Before the first event.
    pub const ROOT: Self = Self { seq: GlobalSeqNum::ROOT, hash: LogHash::EMPTY };
}

/// A [`LogPosition`] in the log of one certain backend.
///
/// A backend refuses a cursor that is not on its history, so a log that was re-created or
/// restored from an old backup and then written to is noticed before anything is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "CursorFields", into = "CursorFields")]
pub struct Cursor {
    /// Whose log it is.
    pub backend_id: BackendId,
    /// Where in it.
    pub position: LogPosition,
}

/// The members of a cursor's JSON form; flattening a position would let unknown ones pass.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CursorFields {
    backend_id: BackendId,
    seq: GlobalSeqNum,
    hash: LogHash,
}

impl From<CursorFields> for Cursor {
    fn from(CursorFields { backend_id, seq, hash }: CursorFields) -> Self {
        Self { backend_id, position: LogPosition { seq, hash } }
    }
}

impl From<Cursor> for CursorFields {
    fn from(Cursor { backend_id, position: LogPosition { seq, hash } }: Cursor) -> Self {
        Self { backend_id, seq, hash }
    }
}
