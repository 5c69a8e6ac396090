//! How much is read from a client that has not said who it is.
//!
//! The largest message that a WebSocket takes is set once and for all, and a push may be large. So
//! the bytes of a socket are counted below the WebSocket while it matters.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use livestore_core::limits::MAX_OPENING_BYTES;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// For headers of fragments, pings, and what a WebSocket reads ahead.
const ENVELOPE_BYTES: usize = 64 << 10;

/// How many more bytes may come from one socket.
#[derive(Debug, Clone)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// Allows everything: the request of HTTP has limits of its own.
    pub(crate) fn unlimited() -> Self {
        Self(Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// Allows one message of an introduction from now on.
    pub(crate) fn one_opening(&self) {
        self.0.store(MAX_OPENING_BYTES + ENVELOPE_BYTES, Ordering::Relaxed);
    }

    /// Allows everything from now on.
    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        // Reading and allowing are done by one task, one after the other.
        match self.0.load(Ordering::Relaxed) {
            usize::MAX => Ok(()),
            left if left >= bytes => {
                self.0.store(left - bytes, Ordering::Relaxed);
                Ok(())
            }
            _ => {
                let message = "too much was sent before the server knew who talks";
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }
}

/// A socket whose reads are counted.
///
/// A read beyond the allowance fails as [`io::ErrorKind::InvalidData`].
#[derive(Debug)]
pub(crate) struct Counted<S> {
    socket: S,
    allowance: Allowance,
}

impl<S> Counted<S> {
    pub(crate) fn new(socket: S, allowance: Allowance) -> Self {
        Self { socket, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        Poll::Ready(self.allowance.spend(buf.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
