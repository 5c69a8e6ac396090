//! Pushes: whose is decided next, by what, and what its client is told.

use std::collections::VecDeque;

use livestore_server::session::{self, Answer};
use livestore_server::{AppendOutcome, AppendRequest, LogStorage, Rules, StorageError};

use super::{Process, Server};
use crate::checks::{self, Append, Violation, violation};
use crate::sometimes::Point;
use crate::world::net::LinkId;
use crate::world::{Effect, World};

/// How long a client that lost a race may keep the others waiting.
const TURN_MS: u64 = 1000;

/// Whose push is decided next.
#[derive(Debug, Default)]
pub(super) struct Turn {
    holder: Option<Holder>,
    queue: VecDeque<LinkId>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    link: LinkId,
    /// Until when the server waits for its next push; none while one is under way.
    until_ms: Option<u64>,
}

/// A push that is under way.
#[derive(Debug)]
pub(crate) struct Pushing {
    request: u64,
    append: AppendRequest,
    pub(crate) decision: Option<AppendOutcome>,
}

impl Server {
    /// Returns when a turn ends that others wait for.
    pub(crate) fn turn_ends_ms(&self) -> Option<u64> {
        let until_ms = self.turn.holder.and_then(|holder| holder.until_ms);
        until_ms.filter(|_| !self.turn.queue.is_empty())
    }
}

impl World {
    pub(super) fn begin_push(
        &mut self,
        id: LinkId,
        request: u64,
        append: AppendRequest,
    ) -> Result<(), Violation> {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        conversation.pushing = Some(Pushing { request, append, decision: None });
        let turn = &mut self.server.turn;
        match turn.holder {
            Some(holder) if holder.link != id || holder.until_ms.is_none() => {
                turn.queue.push_back(id);
                if let Some(until_ms) = holder.until_ms {
                    self.effects.push(Effect::Turn { until_ms });
                }
                self.hit(Point::PushWaitsForATurn);
                Ok(())
            }
            held => {
                if held.is_some() {
                    self.hit(Point::PushInItsTurn);
                }
                self.decide(id)
            }
        }
    }

    /// The storage decides on the push of a conversation, which now has the turn.
    fn decide(&mut self, id: LinkId) -> Result<(), Violation> {
        self.server.turn.holder = Some(Holder { link: id, until_ms: None });
        let conversation = self.conversation_mut(id).expect("somebody listens");
        let Pushing { request, append, .. } =
            conversation.pushing.as_ref().expect("there is a push");
        let (number, request) = (*request, append.clone());
        let append = Append {
            request,
            client: id.client,
            is_anew: self.server.anew.contains(&(id, number)),
        };
        let Process { storage, rules, .. } = self.server.process.as_mut().expect("it is running");
        let decided = storage.append(std::slice::from_ref(&append.request), rules);
        if decided.is_err() {
            rules.rolled_back();
        }
        if self.bury_server() {
            self.server.doubtful = Some(append);
            return Ok(());
        }
        let outcome = match decided {
            Ok(mut outcomes) => outcomes.remove(0),
            Err(error) if self.server.disk.is_troubled => {
                self.hit(Point::AppendFailed);
                if matches!(error, StorageError::Unsettled { .. }) {
                    self.server.doubtful = Some(append);
                }
                return self.end_conversation(id, Some(session::storage_failed()));
            }
            Err(error) => return violation("server-append", None, error),
        };
        self.server.doubtful = None;
        let (is_strict, is_troubled) = (self.server.is_strict(), self.server.disk.is_troubled);
        checks::outcome(&mut self.model, &append, &outcome, is_strict, is_troubled)?;
        self.note_outcome(&append, &outcome);
        self.decided(id, outcome);
        self.spread_growth();
        Ok(())
    }

    fn decided(&mut self, id: LinkId, decision: AppendOutcome) {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        conversation.pushing.as_mut().expect("there is a push").decision = Some(decision);
        self.effects.push(Effect::Decided(id));
    }

    /// The server answers a push that it has decided.
    pub(crate) fn answer(&mut self, id: LinkId) -> Result<bool, Violation> {
        let Some(conversation) = self.conversation_mut(id) else { return Ok(false) };
        let Some(session) = conversation.session else { return Ok(false) };
        let is_decided = |pushing: &mut Pushing| pushing.decision.is_some();
        let Some(pushing) = conversation.pushing.take_if(is_decided) else { return Ok(false) };
        let Pushing { request, decision, .. } = pushing;
        let mut session = session;
        let mut is_late = false;
        let answer = match session.answer(request, decision.expect("it is decided")) {
            Ok(answer) => answer,
            // A rule could not read the log.
            Err(goodbye) => {
                self.end_conversation(id, Some(goodbye))?;
                return Ok(true);
            }
        };
        let message = match answer {
            Answer::Send(message) => message,
            Answer::Ahead => {
                is_late = true;
                let page = match session.wants_page() {
                    None => {
                        self.hit(Point::PushCrossedAPage);
                        None
                    }
                    Some(after) => {
                        if let Ok(page) = self.server.page(after) {
                            page
                        } else {
                            self.end_conversation(id, Some(session::storage_failed()))?;
                            return Ok(true);
                        }
                    }
                };
                session.ahead(request, page)
            }
        };
        self.conversation_mut(id).expect("somebody listens").session = Some(session);
        self.say(id, &message);
        self.tell_behind(id);
        if is_late {
            let until_ms = self.now_ms + TURN_MS;
            self.server.turn.holder = Some(Holder { link: id, until_ms: Some(until_ms) });
            self.effects.push(Effect::Turn { until_ms });
        } else {
            self.pass_turn()?;
        }
        let next = self.conversation_mut(id).and_then(|conversation| conversation.next.take());
        if let Some((request, append)) = next {
            self.begin_push(id, request, append)?;
        }
        Ok(true)
    }

    /// A conversation has ended: it neither waits for the turn nor has it any more.
    pub(super) fn leave_queue(&mut self, id: LinkId) -> Result<(), Violation> {
        let turn = &mut self.server.turn;
        turn.queue.retain(|waiting| *waiting != id);
        if turn.holder.is_some_and(|holder| holder.link == id) {
            self.pass_turn()?;
        }
        Ok(())
    }

    /// Nobody has the turn any more: the next one in the queue gets it.
    fn pass_turn(&mut self) -> Result<(), Violation> {
        self.server.turn.holder = None;
        while self.server.turn.holder.is_none()
            && self.server.process.is_some()
            && let Some(next) = self.server.turn.queue.pop_front()
        {
            self.decide(next)?;
        }
        Ok(())
    }

    /// The server looks at its clock.
    pub(crate) fn server_wakes(&mut self) -> Result<bool, Violation> {
        let holder = self.server.turn.holder;
        let is_over = |until_ms: u64| until_ms <= self.now_ms;
        if holder.and_then(|holder| holder.until_ms).is_some_and(is_over) {
            if !self.server.turn.queue.is_empty() {
                self.hit(Point::TurnRevoked);
            }
            self.pass_turn()?;
            return Ok(true);
        }
        Ok(false)
    }
}
