//! One client's conversation as a state machine, without sockets, database or clock.
//!
//! A driver carries the messages and asks the storage; everything that `docs/protocol.md` lets a
//! server decide is decided here. What a client is told is in log order by construction: a
//! [`Session`] knows where its client stands, and every page continues that.
//!
//! To drive one conversation:
//!
//! 1. Show each message to [`Introduction::hear`] until it is the hello. Answer a locate with
//!    [`Introduction::locate`], which needs a view of the log. If clients have to show who they are,
//!    decide on that before either is answered.
//! 2. End the earlier conversations of the same client with the same store: none of their pushes
//!    is taken from now on. Say [`superseded`] there. If clients show who they are, end only those of
//!    the same principal, and take from the others nothing that the hello asks about.
//! 3. Begin to watch the log for growth, then look up [`Session::question`] and call
//!    [`Session::open`]. In this order nothing is appended unnoticed.
//! 4. From now on, [`Session::hear`] each message, turn the push into a request to the storage
//!    with [`Session::push`], and tell the outcome to [`Session::answer`], one push at a time.
//! 5. Tell growth to [`Session::grown`]. While [`Session::wants_page`], read and send that page.
//!    An answer goes before the news that the log has grown: a client learns of its own groups
//!    from the answer.
//!
//! A [`Goodbye`] in place of a result ends the conversation.

mod goodbyes;
mod introduction;
#[cfg(test)]
mod tests;

use livestore_core::limits::MAX_ATTEMPTED_GROUPS;
use livestore_core::mutant::{self, Mutant};
use livestore_core::protocol::{
    AlreadyAccepted, ClientMessage, Goodbye, GoodbyeReason, GroupRejected, Hello, PROTOCOL_VERSION,
    Page, ProtocolError, Push, PushAccepted, RejectReason, ServerAhead, ServerMessage, Welcome,
};
use livestore_core::{BackendId, Cursor, GlobalSeqNum, GroupId, LogPosition, StoreId};

pub use self::goodbyes::{
    auth_expired, not_let_in, protocol_error, rule_failed, shutting_down, storage_failed,
    superseded,
};
pub(crate) use self::introduction::check_versions;
pub use self::introduction::{Introduction, Opening, decode_opening};
use crate::storage::{AppendOutcome, AppendRequest, LogView};

/// Reads a message that comes after the welcome.
///
/// # Errors
///
/// The goodbye of a client that sent what is no message.
pub fn decode(frame: &str) -> Result<ClientMessage, Goodbye> {
    ClientMessage::decode(frame).map_err(protocol_error)
}

/// What has to be looked up, in one consistent view, before a client can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The positions whose hashes are needed.
    pub at: Vec<GlobalSeqNum>,
    /// The groups whose positions are needed.
    pub groups: Vec<GroupId>,
}

/// What a client is told about its push.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "every push is answered"]
pub enum Answer {
    /// This message.
    Send(ServerMessage),
    /// What [`Session::ahead`] makes of the page that [`Session::wants_page`], if it wants one.
    Ahead,
}

/// One client's conversation after its introduction: where the client stands, and what it is told.
///
/// A copy can be taken to prepare a message elsewhere; it then takes the place of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Up to where the client has the log.
    sent: GlobalSeqNum,
    /// Up to where the log is known to reach.
    head: GlobalSeqNum,
}

impl Session {
    /// Returns what has to be looked up for a hello.
    pub fn question(hello: &Hello) -> Question {
        Question { at: vec![position_of(hello).seq], groups: hello.attempted.clone() }
    }

    /// Decides on a hello, from a view that answers [`Self::question`].
    ///
    /// # Errors
    ///
    /// The goodbye of a client that speaks another version, or that has followed another history.
    pub fn open(
        hello: &Hello,
        backend_id: BackendId,
        view: &LogView,
    ) -> Result<(Self, Welcome), Goodbye> {
        check_versions(&hello.versions)?;
        if let Some(cursor) = &hello.cursor {
            check_cursor(cursor, backend_id, view)?;
        }
        let session = Self { sent: position_of(hello).seq, head: view.head };
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            backend_id,
            head: view.head,
            accepted: view.positions.clone(),
        };
        Ok((session, welcome))
    }

    /// Takes the only message that a client sends after its introduction.
    ///
    /// # Errors
    ///
    /// The goodbye of a client that introduces itself again.
    pub fn hear(&self, message: ClientMessage) -> Result<Push, Goodbye> {
        match message {
            ClientMessage::Push(push) => Ok(push),
            ClientMessage::Hello(_) => Err(protocol_error("a second hello message")),
            ClientMessage::Authenticate(_) => {
                Err(protocol_error("an authenticate message after the hello message"))
            }
            ClientMessage::Locate(_) => {
                Err(protocol_error("a locate message after the hello message"))
            }
        }
    }

    /// Checks a push and turns it into a request to the storage.
    ///
    /// # Errors
    ///
    /// The goodbye of a client that pushes too many groups at once.
    pub fn push(&self, store_id: &StoreId, push: Push) -> Result<AppendRequest, Goodbye> {
        if push.groups.len() > MAX_ATTEMPTED_GROUPS {
            return Err(protocol_error(ProtocolError::WrongCount {
                message: "push",
                items: "groups",
                count: push.groups.len(),
                expected: "at most 256",
            }));
        }
        Ok(AppendRequest {
            store_id: store_id.clone(),
            base: push.base,
            groups: push.groups,
            principal: None,
        })
    }

    /// Turns the storage's decision on a push into the answer to it.
    ///
    /// # Errors
    ///
    /// The goodbye if nothing was decided, since a rule failed.
    pub fn answer(&mut self, request: u64, outcome: AppendOutcome) -> Result<Answer, Goodbye> {
        Ok(Answer::Send(match outcome {
            AppendOutcome::Appended { first, end } => {
                // If own groups were sent in a page already, the pages go on from there.
                if first == self.sent.next() {
                    self.sent = end.seq;
                }
                ServerMessage::PushAccepted(PushAccepted { request, first, end })
            }
            AppendOutcome::AlreadyAccepted { groups } => {
                ServerMessage::AlreadyAccepted(AlreadyAccepted { request, groups })
            }
            AppendOutcome::Conflict { group } => {
                let reason = RejectReason::EventIdConflict;
                ServerMessage::GroupRejected(GroupRejected { request, group, reason })
            }
            AppendOutcome::ServerAhead { head } => {
                self.grown(head);
                return Ok(Answer::Ahead);
            }
            AppendOutcome::Refused { group, refusal } => {
                let reason = RejectReason::Refused(refusal);
                ServerMessage::GroupRejected(GroupRejected { request, group, reason })
            }
            AppendOutcome::RuleFailed => return Err(rule_failed()),
        }))
    }

    /// Tells a client that its push came too late, with the page that it needs next.
    ///
    /// Without a page, the push has crossed the last one on the wire.
    pub fn ahead(&mut self, request: u64, page: Option<Page>) -> ServerMessage {
        if let Some(page) = &page {
            self.sent_through(page.end);
        }
        ServerMessage::ServerAhead(ServerAhead { request, missing: page })
    }

    /// Takes note that the log reaches up to `head`.
    pub fn grown(&mut self, head: GlobalSeqNum) {
        self.head = self.head.max(head);
    }

    /// Returns the position after which the next page starts, if the client is behind.
    pub fn wants_page(&self) -> Option<GlobalSeqNum> {
        (self.sent < self.head).then_some(self.sent)
    }

    /// Brings the client the page that [`Self::wants_page`] asked for.
    pub fn page(&mut self, page: Page) -> ServerMessage {
        self.sent_through(page.end);
        ServerMessage::Page(page)
    }

    /// Takes note of a page up to `end` that goes to the client in a frame encoded for many.
    pub fn sent_through(&mut self, end: LogPosition) {
        self.sent = end.seq;
    }
}

fn position_of(hello: &Hello) -> LogPosition {
    hello.cursor.map_or(LogPosition::ROOT, |cursor| cursor.position)
}

fn check_cursor(cursor: &Cursor, backend_id: BackendId, view: &LogView) -> Result<(), Goodbye> {
    let LogPosition { seq, hash } = cursor.position;
    let differs = if cursor.backend_id != backend_id {
        format!("the client has followed backend {}, this is {backend_id}", cursor.backend_id)
    } else if mutant::is_active(Mutant::DivergenceUnnoticed) {
        return Ok(());
    } else if seq > view.head {
        format!("the client is at {seq}, the log ends at {}", view.head)
    } else {
        match view.hashes.first().copied().flatten() {
            Some(ours) if ours == hash => return Ok(()),
            Some(ours) => format!("at {seq} the log has hash {ours}, the client {hash}"),
            None => format!("no group of the log ends at {seq}, where the client is"),
        }
    };
    let message = format!(
        "{differs}; the log was replaced or restored from a backup: \
         the app has to choose how to go on"
    );
    Err(Goodbye { reason: GoodbyeReason::HistoryDiverged, message })
}
