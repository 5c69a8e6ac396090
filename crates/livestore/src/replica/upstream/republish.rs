//! Publishing the log anew: to a backend that has lost everything, in the old order and under the old
//! ids.
//!
//! What is pushed onto an empty log in its old order gets its old positions and leads to the old
//! hashes. So nothing changes here but how far the backend is known to have the log, and a backend
//! that somebody else has begun to fill is recognized by its hashes: with the same log, published by
//! another client, it goes on from there; with another one, it is another history once more.

use livestore_core::mutant::{self, Mutant};
use livestore_core::protocol::{
    GroupRejected, Page, Push, PushAccepted, RejectReason, ServerMessage,
};
use livestore_core::{GlobalSeqNum, LogPosition};

use super::push::InFlight;
use super::receive::{Trouble, violation};
use super::{Phase, Replica, StopReason};
use crate::replica::{ReplicaError, log};

impl Replica {
    /// Tells whether the log is being published anew.
    pub(in crate::replica) fn is_republishing(&self) -> bool {
        self.meta.republished.is_some()
    }

    /// Tells whether a piece of the log is on its way, the answer to which may come when pages have
    /// told already that the backend has all of it.
    pub(super) fn has_republished(&self) -> bool {
        // A push of what is pending has groups.
        self.upstream.in_flight.as_ref().is_some_and(|in_flight| in_flight.groups.is_empty())
    }

    /// Returns up to where the backend has our log.
    pub(super) fn position_at_backend(&self) -> Result<LogPosition, ReplicaError> {
        match self.meta.republished {
            Some(seq) => self.position_of(seq),
            None => Ok(self.head()),
        }
    }

    fn position_of(&self, seq: GlobalSeqNum) -> Result<LogPosition, ReplicaError> {
        if seq == GlobalSeqNum::ROOT {
            return Ok(LogPosition::ROOT);
        }
        Ok(log::group_end(&self.connection, seq)?)
    }

    /// Takes note of how far the backend has our log.
    pub(super) fn republished_up_to(&mut self, seq: GlobalSeqNum) -> Result<(), ReplicaError> {
        // A page may have told more than the answer that comes behind it.
        let Some(before) = self.meta.republished.filter(|before| *before < seq) else {
            return Ok(());
        };
        debug_assert!(before < self.meta.head.seq, "all of it was published before");
        let mut meta = self.meta.clone();
        meta.republished = Some(seq).filter(|seq| *seq < meta.head.seq);
        meta.save(&self.connection)?;
        self.meta = meta;
        Ok(())
    }

    /// Tells whether a piece of the log can be pushed now.
    pub(in crate::replica) fn may_republish(&self) -> bool {
        matches!(self.upstream.phase, Phase::Live)
            && self.upstream.in_flight.is_none()
            && self.is_republishing()
            && self.upstream.backend_head <= self.meta.republished
    }

    /// Makes the push of the next piece of the log, if it is safe on disk.
    pub(super) fn next_republished(&mut self) -> Result<Option<Push>, ReplicaError> {
        if !self.is_durable(self.upstream.republish_barrier) {
            return Ok(None);
        }
        let base = self.position_at_backend()?;
        let mut groups = self.confirmed_after(base.seq)?;
        groups.truncate(self.capabilities.push.fitting(groups.iter().map(|next| &next.group)));
        if groups.is_empty() {
            return Ok(None);
        }
        let request = self.upstream.next_request;
        self.upstream.next_request += 1;
        self.upstream.in_flight = Some(InFlight { request, base, groups: Vec::new() });
        self.upstream.republished_end = groups.iter().fold(base, |end, next| LogPosition {
            seq: next.last(),
            hash: end.hash.extend(next.group.content_hash()),
        });
        let groups = groups.into_iter().map(|next| next.group).collect();
        Ok(Some(Push { request, base: base.seq, groups }))
    }

    /// Takes what the backend says while the log is published anew.
    pub(super) fn receive_while_republishing(
        &mut self,
        message: ServerMessage,
        now_ms: u64,
    ) -> Result<(), Trouble> {
        match message {
            ServerMessage::Page(page) => self.compare_page(page, now_ms),
            ServerMessage::PushAccepted(PushAccepted { request, end, .. }) => {
                self.answered(request)?;
                if end != self.upstream.republished_end {
                    return Err(violation(format!("a push was accepted up to {end:?}")));
                }
                self.learn_backend_head(end.seq);
                Ok(self.republished_up_to(end.seq)?)
            }
            // Somebody else publishes the same log; its pages tell how far that is.
            ServerMessage::AlreadyAccepted(already) => {
                self.answered(already.request)?;
                for group in &already.groups {
                    self.learn_backend_head(group.first);
                }
                Ok(())
            }
            ServerMessage::ServerAhead(ahead) => {
                self.answered(ahead.request)?;
                ahead.missing.map_or(Ok(()), |page| self.compare_page(page, now_ms))
            }
            ServerMessage::GroupRejected(GroupRejected { request, group, reason }) => {
                self.answered(request)?;
                if reason == RejectReason::EventIdConflict {
                    // It has got a group of ours as something else.
                    return Ok(self.stop_republishing()?);
                }
                let message = format!("it refuses group {group} of the log: {reason:?}");
                self.upstream.stop(StopReason::NotRepublished { message });
                Ok(())
            }
            ServerMessage::Located(_) | ServerMessage::Welcome(_) | ServerMessage::Goodbye(_) => {
                Err(violation("a message that no push or page is"))
            }
        }
    }

    /// Compares a page of the backend with our log.
    fn compare_page(&mut self, page: Page, now_ms: u64) -> Result<(), Trouble> {
        let mut at = self.position_at_backend()?;
        self.learn_backend_head(page.head);
        for confirmed in &page.groups {
            if confirmed.last() <= at.seq {
                continue;
            }
            if confirmed.first != at.seq.next() {
                let message =
                    format!("a page goes on at {}, expected {}", confirmed.first, at.seq.next());
                return Err(violation(message));
            }
            if at.seq == self.meta.head.seq {
                // From here on it is news.
                break;
            }
            let hash = at.hash.extend(confirmed.group.content_hash());
            let end = LogPosition { seq: confirmed.last(), hash };
            let is_ours = log::log_hash(&self.connection, end.seq)? == Some(hash)
                || mutant::is_active(Mutant::RepublishOntoOthers);
            if !is_ours {
                return Ok(self.stop_republishing()?);
            }
            at = end;
        }
        self.republished_up_to(at.seq)?;
        if self.is_republishing() { Ok(()) } else { self.receive_page(page, now_ms) }
    }

    /// Gives up publishing the log anew, since the backend has another one: that is for the app to
    /// decide about.
    pub(super) fn stop_republishing(&mut self) -> Result<(), ReplicaError> {
        let mut meta = self.meta.clone();
        meta.republished = None;
        meta.save(&self.connection)?;
        self.meta = meta;
        self.search_common_history();
        self.upstream.last_error =
            Some("somebody else has written to the backend to which the log was published".into());
        self.upstream.disconnect = true;
        Ok(())
    }
}
