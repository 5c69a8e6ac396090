//! What a leader says in a conversation with a session, wherever the bytes go.

use livestore_sqlite::SqliteError;

use super::error::LinkError;
use super::link::Frame;
use super::message::{LeaderMessage, LeaderStatus, Refused};
use super::wire::Wire;
use crate::replica::{Attachment, Replica, SessionError, SessionKey};

/// The leader's end of a conversation.
#[derive(Debug, Default)]
pub struct LeaderEnd {
    wire: Wire,
    /// The session's place at the replica, while it has one.
    key: Option<SessionKey>,
    /// As many sessions follow as may, without this one.
    is_full: bool,
    /// Rows are still to be sent.
    sends_rows: bool,
    /// The session was told to say hello once more, and has not yet.
    is_to_begin_anew: bool,
    /// What the session was told last of where the leader stands.
    status: Option<LeaderStatus>,
}

/// What has come of a frame of the session.
#[derive(Debug)]
pub enum Heard<R> {
    /// What it wanted was done.
    Done,
    /// It follows now, and gets the rows of the state, which are those of this moment.
    Follows(R),
}

impl LeaderEnd {
    /// Begins a conversation; one session too many is told so.
    pub fn new(is_full: bool) -> Self {
        Self { is_full, ..Self::default() }
    }

    /// The bytes of the conversation.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Takes the next frame that has come; nothing if there is none.
    ///
    /// If the session is to get the rows of the state, they are those of `snapshot`, which is taken
    /// while the replica stands still. They go to [`Self::send_rows`], one by one.
    ///
    /// # Errors
    ///
    /// The conversation is over; the session may come again.
    pub fn hear<R>(
        &mut self,
        replica: &mut Replica,
        now_ms: u64,
        snapshot: impl FnOnce(&Replica) -> Result<R, SqliteError>,
    ) -> Result<Option<Heard<R>>, LinkError> {
        let Some(frame) = self.wire.next_frame()? else { return Ok(None) };
        let Frame::Message(message) = frame else {
            return Err(LinkError::failed("a session sends no rows"));
        };
        let heard = match self.key {
            Some(key) => {
                let taken = replica.receive_from_session(key, &message, now_ms);
                taken.map_err(LinkError::failed)?;
                Heard::Done
            }
            None => self.welcome(replica, &message, now_ms, snapshot),
        };
        self.wire.dealt_with(message.len());
        Ok(Some(heard))
    }

    /// Takes a message of somebody who does not follow.
    fn welcome<R>(
        &mut self,
        replica: &mut Replica,
        message: &[u8],
        now_ms: u64,
        snapshot: impl FnOnce(&Replica) -> Result<R, SqliteError>,
    ) -> Heard<R> {
        match replica.receive_visit(message, now_ms) {
            Ok(Some(answer)) => {
                self.wire.send_message(&answer);
                return Heard::Done;
            }
            // What is no message at all is refused as one of a session.
            Ok(None) | Err(SessionError::Message(_)) => {}
            Err(error) => return self.refuse(&error),
        }
        if self.is_to_begin_anew && !Replica::is_hello(message) {
            // It was on the way when the session was told so.
            return Heard::Done;
        }
        if self.is_full {
            return self.refuse(&SessionError::Full);
        }
        let Attachment { key, answer } = match replica.attach_session(message) {
            Ok(attachment) => attachment,
            Err(error) => return self.refuse(&error),
        };
        match snapshot(replica) {
            Ok(snapshot) => {
                self.key = Some(key);
                (self.sends_rows, self.is_to_begin_anew, self.status) = (true, false, None);
                self.wire.send_message(&answer);
                Heard::Follows(snapshot)
            }
            Err(error) => {
                replica.detach_session(key);
                self.refuse(&error.into())
            }
        }
    }

    /// Says why a session may not follow; it has to go then.
    fn refuse<R>(&mut self, error: &SessionError) -> Heard<R> {
        let refused = Refused { reason: error.reason(), message: error.to_string() };
        self.wire.send_message(&LeaderMessage::Refused(refused).encode());
        tracing::debug!(%error, "a session may not follow");
        Heard::Done
    }

    /// Tells whether more rows may be sent now.
    pub fn takes_rows(&self) -> bool {
        self.sends_rows && self.wire.is_open()
    }

    /// Sends rows of the state with the number of their transfer; none, if these were all.
    pub fn send_rows(&mut self, rows: Option<(u16, Vec<u8>)>) {
        let Some((transfer, rows)) = rows else {
            self.sends_rows = false;
            return self.wire.send_message(&Replica::end_of_rows());
        };
        self.wire.send_rows(transfer, rows);
    }

    /// Hands out what the replica has for the session, as much as the window takes.
    pub fn hand_out(&mut self, replica: &mut Replica) {
        let Some(key) = self.key.filter(|_| !self.sends_rows) else { return };
        while self.wire.is_open() {
            let Some(message) = replica.poll_session(key) else {
                self.tell_status(replica);
                return;
            };
            self.wire.send_message(&message);
            if !replica.follows(key) {
                // It has missed too much, and says hello once more.
                (self.key, self.is_to_begin_anew) = (None, true);
                return;
            }
        }
    }

    fn tell_status(&mut self, replica: &Replica) {
        let status = replica.leader_message_status();
        if self.status.as_ref() != Some(&status) {
            self.wire.send_message(&LeaderMessage::Status(Box::new(status.clone())).encode());
            self.status = Some(status);
        }
    }

    /// Tells whether the session has something to do before the conversation goes on: to say hello.
    pub fn waits_for_hello(&self) -> bool {
        self.key.is_none()
    }

    /// The conversation is over: the session loses its place.
    pub fn leave(&mut self, replica: &mut Replica) {
        if let Some(key) = self.key.take() {
            replica.detach_session(key);
        }
    }
}
