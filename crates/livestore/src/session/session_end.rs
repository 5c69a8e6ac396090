//! What a session says in a conversation with its leader, wherever the bytes go.

use std::time::Duration;

use super::error::LinkError;
use super::link::Frame;
use super::message::Refused;
use super::wire::Wire;
use crate::replica::{FromLeader, Refusal, Replica, answer_of, is_end_of_rows};

/// How often a leader is asked whether it is there, when it has nothing to say.
pub const PING: Duration = Duration::from_millis(500);
/// After how long a silence a leader counts as unresponsive.
pub const SILENCE: Duration = Duration::from_secs(2);
/// Messages that are taken while the app waits, in bytes.
const SLICE_BYTES: usize = 256 << 10;

/// The session's end of a conversation.
#[derive(Debug)]
pub struct SessionEnd {
    wire: Wire,
    /// What has come in answer to a hello; none while it follows.
    attaching: Option<Attaching>,
    /// When the leader was heard last, and asked last whether it is there.
    heard_at: Duration,
    asked_at: Duration,
    is_silent: bool,
}

#[derive(Debug, Default)]
struct Attaching {
    answer: Option<Vec<u8>>,
    rows: Vec<(u16, Vec<u8>)>,
    /// The beginning of the next rows.
    pieces: Vec<u8>,
}

/// What a session begins with.
#[derive(Debug)]
pub struct Beginning {
    /// What the leader said to its hello.
    pub answer: Vec<u8>,
    /// The rows of the leader's state, with the numbers of their transfers.
    pub rows: Vec<(u16, Vec<u8>)>,
}

/// What the leader says to a hello.
#[derive(Debug)]
pub enum Answer {
    /// The session may follow.
    Begin(Beginning),
    /// It may not.
    Refused(Refused),
}

impl SessionEnd {
    /// Begins a conversation with a hello; `now` is the time since whenever.
    pub fn new(hello: &[u8], now: Duration) -> Self {
        let mut end = Self {
            wire: Wire::default(),
            attaching: None,
            heard_at: now,
            asked_at: now,
            is_silent: false,
        };
        end.say_hello(hello);
        end
    }

    fn say_hello(&mut self, hello: &[u8]) {
        self.attaching = Some(Attaching::default());
        self.wire.send_message(hello);
    }

    /// The bytes of the conversation.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// Tells whether an answer to a hello is waited for.
    pub fn is_attaching(&self) -> bool {
        self.attaching.is_some()
    }

    /// Takes what has come, until the answer to the hello and all rows are there.
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn attach(&mut self, now: Duration) -> Result<Option<Answer>, LinkError> {
        let Some(attaching) = &mut self.attaching else { return Ok(None) };
        while let Some(frame) = self.wire.next_frame()? {
            self.heard_at = now;
            self.wire.dealt_with(frame.weight());
            match frame {
                Frame::Message(message) if attaching.answer.is_none() => {
                    match answer_of(&message) {
                        Refusal::None => attaching.answer = Some(message),
                        Refusal::Of(refused) => return Ok(Some(Answer::Refused(refused))),
                        // Of the conversation before.
                        Refusal::NoAnswer => {}
                    }
                }
                Frame::Message(message) if is_end_of_rows(&message) => {
                    let Attaching { answer, rows, .. } = std::mem::take(attaching);
                    self.attaching = None;
                    return Ok(answer.map(|answer| Answer::Begin(Beginning { answer, rows })));
                }
                Frame::Piece(piece) => attaching.pieces.extend(piece),
                Frame::Rows { transfer, rows } => {
                    attaching.pieces.extend(rows);
                    attaching.rows.push((transfer, std::mem::take(&mut attaching.pieces)));
                }
                Frame::Pong => {}
                other => return Err(LinkError::failed(format!("{other:?} among rows"))),
            }
        }
        Ok(None)
    }

    /// Takes some of what has come; tells whether there was anything.
    ///
    /// If the session has missed something, it says hello once more: then it
    /// [attaches](Self::is_attaching) anew.
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn follow(
        &mut self,
        replica: &mut Replica,
        now_ms: u64,
        now: Duration,
    ) -> Result<bool, LinkError> {
        let mut bytes = 0;
        while bytes < SLICE_BYTES
            && !self.is_attaching()
            && let Some(frame) = self.wire.next_frame()?
        {
            self.heard_at = now;
            bytes += frame.weight().max(1);
            match frame {
                Frame::Message(message) => {
                    let taken = replica.receive_from_leader(&message, now_ms);
                    if taken.map_err(LinkError::failed)? == FromLeader::Restart {
                        let hello = replica.session_hello().map_err(LinkError::failed)?;
                        self.say_hello(&hello);
                    }
                    self.wire.dealt_with(message.len());
                }
                Frame::Pong => {}
                other => return Err(LinkError::failed(format!("{other:?} out of turn"))),
            }
        }
        Ok(bytes > 0)
    }

    /// Says what the session has to say, and tells it whether its leader is heard; to be called again
    /// after [`PING`].
    ///
    /// # Errors
    ///
    /// The conversation is over.
    pub fn hand_out(&mut self, replica: &mut Replica, now: Duration) -> Result<(), LinkError> {
        if self.wire.is_open()
            && !self.is_attaching()
            && let Some(push) = replica.poll_leader().map_err(LinkError::failed)?
        {
            self.wire.send_message(&push);
        }
        if self.is_silent != (now >= self.heard_at + SILENCE) {
            self.is_silent = !self.is_silent;
            replica.leader_is_silent(self.is_silent);
        }
        if now >= self.asked_at + PING && now >= self.heard_at + PING {
            self.asked_at = now;
            self.wire.send(&Frame::Ping);
        }
        Ok(())
    }
}
