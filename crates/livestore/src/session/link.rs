//! The link between a session and its leader: frames on a stream of bytes, in both directions.
//!
//! A frame is four bytes with the length of the rest (little-endian), one byte for its kind, and its
//! content. Whoever sends has at most [`WINDOW`] bytes of messages and rows on the way that the other
//! end has not dealt with, or one frame if that is longer: so a slow end slows the other one down, and
//! neither gathers what it cannot use.

use livestore_core::limits::MAX_FRAME_BYTES;
use livestore_core::mutant::{self, Mutant};

/// Longest frame, in bytes: that of the sync protocol, for the same groups in another envelope, twice.
pub const MAX_LINK_FRAME_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// Bytes that may be on the way in one direction (1 MiB).
pub const WINDOW: usize = 1 << 20;

/// What goes over a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A message.
    Message(Vec<u8>),
    /// Rows of the leader's state.
    Rows {
        /// Which of a state's transfers they belong to.
        transfer: u16,
        /// The rows.
        rows: Vec<u8>,
    },
    /// The beginning of rows that go on in the next frame.
    Piece(Vec<u8>),
    /// So many bytes of messages and rows were dealt with.
    Credit(u32),
    /// Asks whether the other end is there.
    Ping,
    /// Answers [`Frame::Ping`].
    Pong,
}

const MESSAGE: u8 = 0;
const ROWS: u8 = 1;
const CREDIT: u8 = 2;
const PING: u8 = 3;
const PONG: u8 = 4;
const PIECE: u8 = 5;

/// Why bytes are no frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame is longer than any.
    #[error("a frame of {bytes} bytes, which is more than {MAX_LINK_FRAME_BYTES}")]
    TooLong {
        /// How long it says that it is.
        bytes: usize,
    },
    /// A frame is of no kind that there is, or too short for its kind.
    #[error("a frame of kind {kind} with {bytes} bytes")]
    NoSuch {
        /// Its kind; none if it has no bytes at all.
        kind: u8,
        /// How much it holds.
        bytes: usize,
    },
    /// The stream ended within a frame.
    #[error("the link ended within a frame")]
    CutOff,
    /// The other end says that it has dealt with more than it was sent.
    #[error("credit for what was never sent")]
    Credit,
}

impl Frame {
    /// Writes the frame behind what is in a buffer.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Message(bytes) => write(out, MESSAGE, &[bytes]),
            Self::Rows { transfer, rows } => write(out, ROWS, &[&transfer.to_le_bytes(), rows]),
            Self::Piece(bytes) => write(out, PIECE, &[bytes]),
            Self::Credit(bytes) => write(out, CREDIT, &[&bytes.to_le_bytes()]),
            Self::Ping => write(out, PING, &[]),
            Self::Pong => write(out, PONG, &[]),
        }
    }

    /// Returns how much of the window it takes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Piece(bytes) => bytes.len(),
            Self::Rows { rows, .. } => rows.len(),
            Self::Credit(_) | Self::Ping | Self::Pong => 0,
        }
    }

    fn read(kind: u8, content: &[u8]) -> Option<Self> {
        Some(match kind {
            MESSAGE => Self::Message(content.into()),
            ROWS => {
                let (transfer, rows) = content.split_first_chunk()?;
                Self::Rows { transfer: u16::from_le_bytes(*transfer), rows: rows.into() }
            }
            CREDIT => Self::Credit(u32::from_le_bytes(content.try_into().ok()?)),
            PIECE => Self::Piece(content.into()),
            PING if content.is_empty() => Self::Ping,
            PONG if content.is_empty() => Self::Pong,
            _ => return None,
        })
    }
}

/// Writes a message as a frame, for those who share its bytes.
pub(crate) fn write_message(out: &mut Vec<u8>, message: &[u8]) {
    write(out, MESSAGE, &[message]);
}

fn write(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let bytes = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
    out.push(kind);
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    /// Up to where they were handed out.
    done: usize,
}

impl Frames {
    /// Takes what has come in.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.done > 0 {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Hands out the next frame, if it is there as a whole.
    ///
    /// # Errors
    ///
    /// It is none; what follows cannot be told apart then.
    pub fn pop(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.bytes[self.done..];
        let Some((length, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let bytes = u32::from_le_bytes(*length) as usize;
        if bytes > MAX_LINK_FRAME_BYTES {
            return Err(FrameError::TooLong { bytes });
        }
        let is_cut = mutant::is_active(Mutant::FrameCutInHalf);
        let bytes = if is_cut { bytes.min(rest.len()) } else { bytes };
        let Some(frame) = rest.get(..bytes) else { return Ok(None) };
        let kind = frame.first().copied().unwrap_or(u8::MAX);
        let no_such = FrameError::NoSuch { kind, bytes: bytes.saturating_sub(1) };
        let frame = frame.get(1..).and_then(|content| Frame::read(kind, content));
        self.done += 4 + bytes;
        Ok(Some(frame.ok_or(no_such)?))
    }

    /// Takes note that nothing more comes.
    ///
    /// # Errors
    ///
    /// [`FrameError::CutOff`] if a part of a frame has come.
    pub fn end(&self) -> Result<(), FrameError> {
        if self.done == self.bytes.len() { Ok(()) } else { Err(FrameError::CutOff) }
    }
}

/// How much is on the way, in both directions.
#[derive(Debug, Default)]
pub struct Window {
    /// Bytes that were sent and not dealt with.
    sent: usize,
    /// Bytes that were dealt with, and of which the other end does not know.
    taken: usize,
}

impl Window {
    /// Tells whether something may be sent now.
    pub fn is_open(&self) -> bool {
        self.sent < WINDOW
    }

    /// Takes note that something was sent.
    pub fn sent(&mut self, weight: usize) {
        self.sent += weight;
    }

    /// Takes note of credit.
    ///
    /// # Errors
    ///
    /// [`FrameError::Credit`] if it is for more than was sent.
    pub fn credit(&mut self, bytes: u32) -> Result<(), FrameError> {
        self.sent = self.sent.checked_sub(bytes as usize).ok_or(FrameError::Credit)?;
        Ok(())
    }

    /// Takes note that something was dealt with; returns the credit that is to be sent, if it is time.
    pub fn taken(&mut self, weight: usize) -> Option<Frame> {
        self.taken += weight;
        if self.taken < WINDOW / 4 {
            return None;
        }
        let credit = u32::try_from(self.taken).unwrap_or(u32::MAX);
        self.taken -= credit as usize;
        Some(Frame::Credit(credit))
    }
}
