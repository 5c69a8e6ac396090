//! Takes note of the situations that the simulation gets into.

use livestore_core::protocol::{ClientMessage, ServerMessage, Welcome};
use livestore_server::AppendOutcome;

use super::World;
use super::net::{Body, LinkId};
use crate::action::Way;
use crate::checks::{Append, Came, Doing, Observed};
use crate::model::Known;
use crate::sometimes::Point;

impl World {
    /// Tells whether a client has a push on the wire or at the server, without having an answer.
    pub(crate) fn has_push_in_flight(&self, at: usize) -> bool {
        let links = &self.clients[at].links;
        let Some(link) = links.current().and_then(|serial| links.get(serial)) else { return false };
        let is_push =
            |body: &Body| matches!(body, Body::Frame(frame) if frame.starts_with("{\"push\""));
        link.up.iter().any(|packet| is_push(&packet.body))
            || link.conversation.as_ref().is_some_and(|talk| talk.pushing.is_some())
            || link.down.iter().any(|packet| is_answer(&packet.body))
    }

    fn is_behind(&self, at: usize) -> bool {
        self.clients[at].model.head.seq < self.model.current().end().seq
    }

    pub(super) fn note_kill(&mut self, at: usize) {
        let client = &self.clients[at];
        let was_inside = client.disk.as_ref().is_some_and(|disk| disk.is_doomed);
        let doing = client.doing.clone();
        let has_pending = !client.model.pending.is_empty();
        let is_gathering = client.model.head != client.model.pulled;
        let is_republishing = client.is_republishing;
        if self.has_push_in_flight(at) {
            self.hit(Point::KilledWithPushInFlight);
        }
        if is_gathering {
            self.hit(Point::KilledGathering);
        }
        if is_republishing {
            self.hit(Point::KilledRepublishing);
        }
        match doing {
            Doing::Commit(..) if was_inside => self.hit(Point::KilledCommitting),
            Doing::Following if was_inside => {
                self.hit(Point::KilledFollowing);
                if has_pending {
                    self.hit(Point::KilledRebasing);
                }
            }
            _ => {}
        }
    }

    pub(super) fn note_power_cut(&mut self, at: usize) {
        if self.has_push_in_flight(at) {
            self.hit(Point::PowerCutWithPushInFlight);
        }
    }

    pub(super) fn note_leave(&mut self, at: usize) {
        if !self.clients[at].model.pending.is_empty() {
            self.hit(Point::ClientLeft);
        }
    }

    pub(super) fn note_hang_up(&mut self, at: usize) {
        let links = &self.clients[at].links;
        let Some(link) = links.current().and_then(|serial| links.get(serial)) else { return };
        if link.down.iter().any(|packet| is_answer(&packet.body)) {
            self.hit(Point::AckLost);
        }
    }

    pub(super) fn note_server_stop(&mut self) {
        if (0..self.clients.len()).any(|at| self.has_push_in_flight(at)) {
            self.hit(Point::ServerStoppedWithPushInFlight);
        }
    }

    pub(super) fn note_lost(&mut self, _id: LinkId, way: Way, body: &Body) {
        if way == Way::Down && is_answer(body) {
            self.hit(Point::AckLost);
        }
    }

    pub(super) fn note_up(&mut self, id: LinkId, body: &Body) {
        let is_gone = self.link_mut(id).is_some_and(|link| !link.is_open);
        if let (true, Body::Frame(frame)) = (is_gone, body)
            && let Ok(ClientMessage::Push(push)) = ClientMessage::decode(frame)
        {
            let fits = push.base == self.model.current().end().seq
                && push.groups.iter().all(|group| self.model.current().find(group.id()).is_none());
            self.hit(if fits { Point::LatePushTaken } else { Point::LatePushRefused });
        }
    }

    pub(super) fn note_outcome(&mut self, append: &Append, outcome: &AppendOutcome) {
        match outcome {
            AppendOutcome::AlreadyAccepted { .. } => self.hit(Point::PushAlreadyAccepted),
            AppendOutcome::ServerAhead { .. } => self.hit(Point::PushRefusedAhead),
            AppendOutcome::Refused { group, refusal } => {
                self.hit(Point::RefusedByRule);
                if append.request.groups.last().is_some_and(|last| last.id() != *group) {
                    self.hit(Point::RefusedWithOthersBehind);
                }
                if refusal.code.as_deref() == Some("overdraft") {
                    self.hit(Point::RefusedForTheLog);
                }
            }
            _ => {}
        }
    }

    pub(super) fn note_welcome(&mut self, id: LinkId, welcome: &Welcome) {
        let Some(first) = welcome.accepted.first() else { return };
        self.hit(Point::WelcomeNamesAccepted);
        let is_rewritten = |known: &Known| known.is_rewritten(&known.content());
        let known = welcome.accepted.iter().filter_map(|group| self.model.known.get(&group.id));
        if known.into_iter().any(|known| is_rewritten(known)) {
            self.hit(Point::RewrittenAckLost);
        }
        let next = self.clients[id.client].model.head.seq.next();
        if first.first > next {
            self.hit(Point::AckLostAndGroupFurtherOn);
        }
    }

    pub(super) fn note_message(&mut self, at: usize, message: &ServerMessage) {
        match message {
            ServerMessage::Page(page) => {
                let client = &self.clients[at].model;
                let last = page.groups.last().map(|last| last.group.id());
                let log = self.model.current();
                let following = last.and_then(|last| log.entries().get(log.find(last)? + 1));
                let is_own = |id| client.pending.iter().any(|own| own.id == id);
                if last.is_some_and(is_own) && following.is_some_and(|next| is_own(next.known.id)) {
                    self.hit(Point::PageEndsInsideAttempted);
                }
            }
            ServerMessage::AlreadyAccepted(_) | ServerMessage::ServerAhead(_)
                if self.clients[at].is_republishing =>
            {
                self.hit(Point::RepublishedByTwo);
            }
            ServerMessage::GroupRejected(_) if self.clients[at].is_republishing => {
                self.clients[at].was_not_republished = true;
                self.hit(Point::NotRepublished);
            }
            ServerMessage::Welcome(_) if self.clients[at].was_locked_out => {
                self.clients[at].was_locked_out = false;
                self.hit(Point::LetInAgain);
            }
            ServerMessage::Goodbye(goodbye)
                if goodbye.reason == livestore_core::protocol::GoodbyeReason::HistoryDiverged =>
            {
                self.hit(Point::Diverged);
            }
            _ => {}
        }
    }

    pub(super) fn note_observed(&mut self, at: usize, observed: Observed, rebased: bool) {
        if rebased {
            self.hit(Point::Rebased);
        }
        if rebased && observed.rejected > 0 {
            self.hit(Point::DeadLetterAfterRebase);
        }
        if observed.client_only_rejected > 0 {
            self.hit(Point::ClientOnlyRejected);
        }
        if observed.settled > 0 {
            self.hit(Point::ClientOnlySettled);
        }
        if observed.gathers {
            self.hit(Point::Gathering);
        }
        if observed.went_back {
            self.hit(Point::HistoryFollowed);
        }
        if observed.discarded {
            self.hit(Point::Discarded);
        }
        if observed.archived > 0 {
            self.hit(Point::OwnArchived);
        }
        if observed.quarantined > 0 {
            self.hit(Point::Quarantined);
        }
        let revised = observed.revised;
        let happened = [
            (revised.commands > 0, Point::CommandRewritten),
            (revised.grown > 0, Point::CommandGrew),
            (revised.shrunk > 0, Point::CommandShrank),
            (revised.events > 0, Point::EventRewritten),
            (revised.put_off, Point::RevisionPutOff),
            (revised.made_up, Point::RevisionMadeUpFor),
            (observed.commands_failed > 0, Point::CommandFailedLater),
            (observed.dropped > 0, Point::EventDropped),
            (observed.confirmed_rewritten > 0, Point::RewrittenConfirmed),
        ];
        for (_, point) in happened.into_iter().filter(|(happened, _)| *happened) {
            self.hit(point);
        }
        let own = &self.clients[at].model;
        if observed.went_back && own.pending.iter().any(|own| own.is_made_no_more()) {
            self.hit(Point::CommandBecameAFact);
        }
    }

    pub(super) fn note_start(
        &mut self,
        at: usize,
        doing: &Doing,
        came: Came,
        lost_power: bool,
        version_changed: bool,
    ) {
        let has_pending = !self.clients[at].model.pending.is_empty();
        if has_pending {
            self.hit(Point::RestartWithPending);
        }
        let own = &self.clients[at].model;
        if own.revision_due && own.pending.iter().any(|own| own.is_revisable()) {
            self.hit(Point::RestartWithRevisionDue);
        }
        if self.is_behind(at) && self.clients[at].model.head.seq.0 > 0 {
            self.hit(Point::RestartWhileCatchingUp);
        }
        if matches!(doing, Doing::Commit(..)) {
            let survived = came.finished;
            self.hit(if survived {
                Point::KilledCommitSurvived
            } else {
                Point::KilledCommitVanished
            });
        }
        if version_changed {
            self.hit(Point::VersionChanged);
            if has_pending {
                self.hit(Point::VersionChangedWithPending);
            }
        }
        if lost_power && came.lost_groups > 0 {
            self.hit(Point::PowerCutLostGroups);
        }
        if lost_power && came.lost_head {
            self.hit(Point::PowerCutLostConfirmations);
        }
    }
}

/// Tells whether a message answers a push.
fn is_answer(body: &Body) -> bool {
    let answers = ["{\"pushAccepted\"", "{\"alreadyAccepted\"", "{\"serverAhead\""];
    matches!(body, Body::Frame(frame) if answers.iter().any(|answer| frame.starts_with(answer)))
}
