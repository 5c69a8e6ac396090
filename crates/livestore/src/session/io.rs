//! The streams of the system's that a link goes over.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::link::FrameError;
use super::wire::Wire;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

/// Why a conversation has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The stream failed.
    #[error("the other end is gone: {0}")]
    Io(#[from] io::Error),
    /// The stream has ended.
    #[error("the other end is gone")]
    Ended,
    /// What has come is no frame.
    #[error("the other end says what is no frame: {0}")]
    Frame(#[from] FrameError),
    /// One of the ends cannot go on.
    #[error("{0}")]
    Failed(String),
    /// The store here is closed.
    #[error("the store is closed")]
    Closed,
}

impl LinkError {
    pub(crate) fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
}

/// A stream that carries the bytes of a [`Wire`].
pub(crate) struct LinkStream<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> LinkStream<S> {
    pub(crate) fn new(stream: S) -> Self {
        let (reader, writer) = split(stream);
        Self { reader, writer, buffer: vec![0; READ_BYTES] }
    }

    /// Waits until something has come or gone.
    ///
    /// It may be cancelled at any time.
    pub(crate) async fn turn(&mut self, wire: &mut Wire) -> Result<(), LinkError> {
        let Self { reader, writer, buffer } = self;
        let has_out = !wire.outgoing().is_empty();
        tokio::select! {
            read = reader.read(buffer) => match read? {
                0 => {
                    wire.end()?;
                    return Err(LinkError::Ended);
                }
                bytes => wire.receive(&buffer[..bytes]),
            },
            written = writer.write(wire.outgoing()), if has_out => {
                let bytes = written?;
                wire.went(bytes);
            }
        }
        Ok(())
    }
}
