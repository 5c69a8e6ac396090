//! The session that has a store open, as somebody sees it who does not follow it.

use std::path::Path;
use std::time::Duration;

use livestore_core::StoreId;

use super::Inspector;
use crate::session::{Order, SessionInfo, visit};
use crate::{Divergence, HistoryAnswer, OpenError, Refresh, SyncStatus};

/// How the session stands that has a store open and lets others follow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Leader {
    /// Where it stands towards the backend.
    pub status: SyncStatus,
    /// It and those that follow it, the leader first.
    pub sessions: Vec<SessionInfo>,
    /// What the last changes meant for its live queries, if that was asked for.
    pub refreshes: Vec<Refresh>,
}

impl Inspector {
    /// Asks the session that has the store open how it stands; none if no session has, or none lets
    /// others follow.
    ///
    /// # Errors
    ///
    /// [`OpenError::LeaderSilent`] if it does not answer for so long.
    pub fn leader(&self, patience: Duration) -> Result<Option<Leader>, OpenError> {
        visit(&self.path, &self.meta.store_id, None, false, patience)
    }

    /// Asks as [`Self::leader`] does, and for the last refreshes of its live queries as well, up to 20:
    /// those of the process that has the store open first.
    pub fn leader_with_queries(&self, patience: Duration) -> Result<Option<Leader>, OpenError> {
        visit(&self.path, &self.meta.store_id, None, true, patience)
    }
}

/// Has the session that has a store open answer a divergence, now or when it meets it; none if no session
/// has.
pub(super) fn answer_through_leader(
    path: &Path,
    store_id: &StoreId,
    answer: HistoryAnswer,
    to: Divergence,
    patience: Duration,
) -> Result<Option<Leader>, OpenError> {
    visit(path, store_id, Some(Order::NoteAnswer { answer, to }), false, patience)
}
