//! The streams of the system's that a link goes over.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};

use super::error::LinkError;
use super::wire::Wire;

/// Bytes that are read at a time.
const READ_BYTES: usize = 64 << 10;

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
