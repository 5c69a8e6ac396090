//! One end of a link on a stream of the system's.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::link::{Frame, FrameError, Frames, WINDOW, Window, write_message};

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Rows that are sent in one frame, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Why a conversation has ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the other end is gone: {0}")]
    Io(#[from] io::Error),
    #[error("the other end is gone")]
    Ended,
    #[error("the other end says what is no frame: {0}")]
    Frame(#[from] FrameError),
    #[error("{0}")]
    Failed(String),
    /// The store here is closed.
    #[error("the store is closed")]
    Closed,
}

/// One end of a link.
pub(crate) struct LinkEnd<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    frames: Frames,
    window: Window,
    buffer: Vec<u8>,
    /// What is to go out, and how much of it has gone.
    out: Vec<u8>,
    gone: usize,
}

impl<S: AsyncRead + AsyncWrite> LinkEnd<S> {
    pub(crate) fn new(stream: S) -> Self {
        let (reader, writer) = split(stream);
        Self {
            reader,
            writer,
            frames: Frames::default(),
            window: Window::default(),
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
            gone: 0,
        }
    }

    /// Tells whether a message or rows may be sent now.
    pub(crate) fn is_open(&self) -> bool {
        self.window.is_open() && self.out.len() - self.gone < WINDOW
    }

    /// Sends a frame with the next turns.
    pub(crate) fn send(&mut self, frame: &Frame) {
        self.tidy();
        self.window.sent(frame.weight());
        frame.write(&mut self.out);
    }

    /// Sends rows with the next turns, in pieces.
    pub(crate) fn send_rows(&mut self, transfer: u16, rows: Vec<u8>) {
        let mut rest = rows;
        while rest.len() > PIECE_BYTES {
            let after = rest.split_off(PIECE_BYTES);
            self.send(&Frame::Piece(std::mem::replace(&mut rest, after)));
        }
        self.send(&Frame::Rows { transfer, rows: rest });
    }

    /// Sends a message with the next turns.
    pub(crate) fn send_message(&mut self, message: &[u8]) {
        self.tidy();
        self.window.sent(message.len());
        write_message(&mut self.out, message);
    }

    /// Forgets what has gone, so that it does not pile up while the other end is slow.
    fn tidy(&mut self) {
        if self.gone >= READ_BYTES {
            self.out.drain(..self.gone);
            self.gone = 0;
        }
    }

    /// Hands out the next frame that has come; credit and pings are dealt with.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, LinkError> {
        loop {
            match self.frames.pop()? {
                Some(Frame::Credit(bytes)) => self.window.credit(bytes)?,
                Some(Frame::Ping) => self.send(&Frame::Pong),
                other => return Ok(other),
            }
        }
    }

    /// Takes note that what a frame has brought was dealt with.
    pub(crate) fn dealt_with(&mut self, weight: usize) {
        if let Some(credit) = self.window.taken(weight) {
            self.send(&credit);
        }
    }

    /// Waits until something has come or gone.
    ///
    /// It may be cancelled at any time.
    pub(crate) async fn turn(&mut self) -> Result<(), LinkError> {
        let Self { reader, writer, frames, buffer, out, gone, .. } = self;
        let has_out = *gone < out.len();
        tokio::select! {
            read = reader.read(buffer) => match read? {
                0 => {
                    frames.end()?;
                    return Err(LinkError::Ended);
                }
                bytes => frames.push(&buffer[..bytes]),
            },
            written = writer.write(&out[*gone..]), if has_out => {
                *gone += written?;
                if *gone == out.len() {
                    out.clear();
                    out.shrink_to(WINDOW);
                    *gone = 0;
                }
            }
        }
        Ok(())
    }
}
