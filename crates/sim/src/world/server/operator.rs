//! What the operator of the server wants: who may talk to it, and what its log takes.

use std::sync::{Mutex, PoisonError};

use livestore_core::protocol::{Refusal, Token};
use livestore_core::{Group, LogPosition};
use livestore_server::{AuthError, Proposal, RuleError, Rules};

use super::Server;
use crate::action::Access;
use crate::checks::Violation;
use crate::model;
use crate::model::bank::{Bank, objection};
use crate::sometimes::Point;
use crate::workload::Fact;
use crate::world::World;
use crate::world::net::LinkId;

/// Refuses what the operator has forbidden, and what takes too much out of a purse, for which it reads
/// the log.
#[derive(Debug)]
pub(crate) struct OperatorRules {
    is_strict: bool,
    /// The bank, and up to where of the log that is.
    read: Mutex<(LogPosition, Bank)>,
}

impl OperatorRules {
    pub(super) fn new(is_strict: bool) -> Self {
        Self { is_strict, read: Mutex::new((LogPosition::ROOT, Bank::default())) }
    }
}

impl Rules for OperatorRules {
    fn check(&self, proposal: &Proposal<'_>) -> Result<(), RuleError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, known) = &mut *read;
        while at.seq < proposal.head().seq {
            let page = proposal.page(at.seq)?;
            let page = page.ok_or_else(|| undecided("the log ends before its head"))?;
            for confirmed in &page.groups {
                facts_of(&confirmed.group)?.iter().for_each(|fact| known.apply(fact));
            }
            *at = page.end;
        }
        if *at != proposal.head() {
            return Err(undecided("the log is not what was read of it"));
        }
        let mut bank = known.clone();
        for earlier in proposal.earlier() {
            facts_of(earlier)?.iter().for_each(|fact| bank.apply(fact));
        }
        match objection(&mut bank, &facts_of(proposal.group())?, self.is_strict) {
            Some(code) => Err(Refusal::new("not this one").with_code(code).into()),
            None => Ok(()),
        }
    }

    fn rolled_back(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) =
            (LogPosition::ROOT, Bank::default());
    }
}

fn facts_of(group: &Group) -> Result<Vec<Fact>, RuleError> {
    model::facts_of(group).ok_or_else(|| undecided("an event that is none"))
}

fn undecided(message: &str) -> RuleError {
    RuleError::Undecided { message: message.into() }
}

impl Server {
    /// Tells whether this backend forbids more than the first one.
    pub(crate) fn is_strict(&self) -> bool {
        self.backend % 2 == 1
    }

    /// Decides about a client that has shown this, if clients have to show anything.
    pub(super) fn authenticate(&self, token: Option<&Token>) -> Result<(), AuthError> {
        if self.tokens == 0 {
            return Ok(());
        }
        match token.map(|token| token.secret().parse::<u64>()) {
            Some(Ok(number)) if number >= self.tokens => Ok(()),
            Some(Ok(_)) => Err(AuthError::Expired),
            Some(Err(_)) => Err(AuthError::Unauthenticated { message: "who is that?".into() }),
            None => Err(AuthError::Unauthenticated { message: "who are you?".into() }),
        }
    }

    /// Returns what an app has to show; none if it is asked for nothing.
    ///
    /// # Errors
    ///
    /// It has nothing to show and is asked for something.
    pub(crate) fn token(&self, access: Access) -> Result<Option<Token>, &'static str> {
        let number = match access {
            _ if self.tokens == 0 => return Ok(None),
            Access::Granted => self.tokens.to_string(),
            Access::Expired => (self.tokens - 1).to_string(),
            Access::Unknown => "a guess".into(),
            Access::SignedOut => return Err("nobody is signed in"),
        };
        Ok(Token::new(number).ok())
    }
}

impl World {
    /// All tokens so far are taken no more.
    pub(crate) fn revoke(&mut self) -> Result<bool, Violation> {
        self.server.tokens += 1;
        for client in 0..self.clients.len() {
            let talks = self.clients[client].links.iter();
            let talks = talks.filter(|(_, link)| {
                link.conversation.as_ref().is_some_and(|talk| talk.session.is_some())
            });
            let talks: Vec<u32> = talks.map(|(serial, _)| serial).collect();
            for serial in talks {
                let id = LinkId { client, serial };
                // Somebody else had the turn then, and the server may have died of it.
                let Some(talk) = self.conversation_mut(id) else { continue };
                let is_pushing = talk.pushing.is_some();
                if is_pushing {
                    self.hit(Point::TokenExpiredWithPushInFlight);
                }
                self.hit(Point::TokenExpired);
                let goodbye = livestore_server::session::auth_expired();
                self.end_conversation(id, Some(goodbye))?;
            }
        }
        Ok(true)
    }
}
