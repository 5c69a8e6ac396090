//! One end of a link, wherever its bytes come from and go to.

use super::link::{Frame, FrameError, Frames, WINDOW, Window, write_message};

/// Bytes that have gone out after which they are forgotten.
const TIDY_BYTES: usize = 64 << 10;

/// Rows that are sent in one frame, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// One end of a link: what has come in, what is to go out, and how much may.
#[derive(Debug, Default)]
pub struct Wire {
    frames: Frames,
    window: Window,
    /// What is to go out, and how much of it has gone.
    out: Vec<u8>,
    gone: usize,
}

impl Wire {
    /// Takes bytes that have come.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// Takes note that no more bytes come.
    ///
    /// # Errors
    ///
    /// [`FrameError::CutOff`] if a part of a frame has come.
    pub fn end(&self) -> Result<(), FrameError> {
        self.frames.end()
    }

    /// Returns the bytes that are to go out.
    pub fn outgoing(&self) -> &[u8] {
        &self.out[self.gone..]
    }

    /// Takes note that so many of them have gone.
    pub fn went(&mut self, bytes: usize) {
        self.gone += bytes;
        if self.gone == self.out.len() {
            self.out.clear();
            self.out.shrink_to(WINDOW);
            self.gone = 0;
        }
    }

    /// Tells whether a message or rows may be sent now.
    pub fn is_open(&self) -> bool {
        self.window.is_open() && self.out.len() - self.gone < WINDOW
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame) {
        self.tidy();
        self.window.sent(frame.weight());
        frame.write(&mut self.out);
    }

    /// Sends a message.
    pub fn send_message(&mut self, message: &[u8]) {
        self.tidy();
        self.window.sent(message.len());
        write_message(&mut self.out, message);
    }

    /// Sends rows, in pieces.
    pub fn send_rows(&mut self, transfer: u16, rows: Vec<u8>) {
        let mut rest = rows;
        while rest.len() > PIECE_BYTES {
            let after = rest.split_off(PIECE_BYTES);
            self.send(&Frame::Piece(std::mem::replace(&mut rest, after)));
        }
        self.send(&Frame::Rows { transfer, rows: rest });
    }

    /// Forgets what has gone, so that it does not pile up while the other end is slow.
    fn tidy(&mut self) {
        if self.gone >= TIDY_BYTES {
            self.out.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// Hands out the next frame that has come; credit and pings are dealt with.
    ///
    /// # Errors
    ///
    /// What has come is no frame; the conversation is over.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            match self.frames.pop()? {
                Some(Frame::Credit(bytes)) => self.window.credit(bytes)?,
                Some(Frame::Ping) => self.send(&Frame::Pong),
                other => return Ok(other),
            }
        }
    }

    /// Takes note that what a frame has brought was dealt with.
    pub fn dealt_with(&mut self, weight: usize) {
        if let Some(credit) = self.window.taken(weight) {
            self.send(&credit);
        }
    }
}
