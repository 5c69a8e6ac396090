//! One WebSocket, with the protocol's frames on it.

use std::io;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use livestore_core::limits::MAX_OPENING_BYTES;
use livestore_core::protocol::{ClientMessage, Goodbye, ServerMessage};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::allowance::Allowance;
use crate::session;

/// Frames from this size on are decoded off the async threads.
const LARGE_FRAME_BYTES: usize = 64 << 10;

/// How long a client gets to read the goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// Longest goodbye message; decoding errors can quote what they stumbled over.
const MAX_MESSAGE_CHARS: usize = 500;

/// Why a conversation is over.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has left, or is silent, or takes nothing.
    Gone(&'static str),
    /// The server has something to say about it.
    Goodbye(Goodbye),
}

impl From<Goodbye> for End {
    fn from(goodbye: Goodbye) -> Self {
        Self::Goodbye(goodbye)
    }
}

/// What came over the wire.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A text frame, not yet decoded.
    Frame(Utf8Bytes),
    /// A ping or pong.
    SignOfLife,
}

/// What is kept of a client as long as it has not said who it is.
pub(crate) struct Unknown {
    pub(crate) allowance: Allowance,
    /// One of the places that there are for such clients.
    pub(crate) _place: OwnedSemaphorePermit,
}

/// The server's end of one WebSocket.
pub(crate) struct Wire {
    socket: WebSocket,
    send_timeout: Duration,
    unknown: Option<Unknown>,
}

impl Wire {
    pub(crate) fn new(socket: WebSocket, send_timeout: Duration, client: Unknown) -> Self {
        Self { socket, send_timeout, unknown: Some(client) }
    }

    /// Waits for the next message of an introduction, which is bounded.
    pub(crate) async fn receive_opening(&mut self) -> Result<Utf8Bytes, End> {
        if let Some(client) = &self.unknown {
            client.allowance.one_opening();
        }
        loop {
            match self.receive().await? {
                Heard::Frame(frame) if frame.len() > MAX_OPENING_BYTES => {
                    return Err(opening_too_large().into());
                }
                Heard::Frame(frame) => return Ok(frame),
                Heard::SignOfLife => {}
            }
        }
    }

    /// Ends the introduction of a client: it may send large messages from now on.
    pub(crate) fn let_in(&mut self) {
        if let Some(client) = self.unknown.take() {
            client.allowance.lift();
        }
    }

    /// Waits for the next frame. Safe to cancel.
    pub(crate) async fn receive(&mut self) -> Result<Heard, End> {
        match self.socket.recv().await {
            Some(Ok(Message::Text(frame))) => Ok(Heard::Frame(frame)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Heard::SignOfLife),
            Some(Ok(Message::Binary(_))) => {
                Err(session::protocol_error("a binary frame; messages are text frames").into())
            }
            Some(Ok(Message::Close(_))) | None => Err(End::Gone("closed by the client")),
            Some(Err(error)) => Err(why_broken(error)),
        }
    }

    /// Sends one frame. Waits while the client is slow, within bounds.
    pub(crate) async fn send(&mut self, frame: impl Into<Utf8Bytes>) -> Result<(), End> {
        self.send_raw(Message::Text(frame.into())).await
    }

    pub(crate) async fn ping(&mut self) -> Result<(), End> {
        self.send_raw(Message::Ping(Vec::new().into())).await
    }

    async fn send_raw(&mut self, message: Message) -> Result<(), End> {
        match timeout(self.send_timeout, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone("the connection broke")),
            Err(_) => Err(End::Gone("the client takes no data")),
        }
    }

    /// Says goodbye and waits, within bounds, until the client has closed its side.
    ///
    /// Closing a socket with unread input would reset it, and the client might never see the
    /// goodbye.
    pub(crate) async fn say_goodbye(mut self, mut goodbye: Goodbye) {
        if let Some((at, _)) = goodbye.message.char_indices().nth(MAX_MESSAGE_CHARS) {
            goodbye.message.truncate(at);
        }
        let frame = ServerMessage::Goodbye(goodbye).encode();
        let farewell = async {
            self.socket.send(Message::Text(frame.into())).await?;
            self.socket.send(Message::Close(None)).await?;
            while let Some(Ok(_)) = self.socket.recv().await {}
            Ok::<(), axum::Error>(())
        };
        let _ = timeout(FAREWELL, farewell).await;
    }
}

/// Tells a client that is gone from one that sent what is no WebSocket frame of ours, such as an
/// oversized one or broken UTF-8.
fn why_broken(error: axum::Error) -> End {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::error::ProtocolError;

    let error = error.into_inner();
    match error.downcast_ref::<Error>() {
        Some(Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            opening_too_large().into()
        }
        Some(
            Error::Io(_)
            | Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
        ) => End::Gone("the connection broke"),
        _ => session::protocol_error(error).into(),
    }
}

fn opening_too_large() -> Goodbye {
    session::protocol_error(format!(
        "a message before the welcome is over the limit of {MAX_OPENING_BYTES} bytes"
    ))
}

/// Decodes one frame; a large one off the async threads.
pub(crate) async fn decode(
    frame: Utf8Bytes,
    decode: fn(&str) -> Result<ClientMessage, Goodbye>,
) -> Result<ClientMessage, End> {
    let decoded = if frame.len() < LARGE_FRAME_BYTES {
        decode(&frame)
    } else {
        let task = tokio::task::spawn_blocking(move || decode(&frame));
        task.await.map_err(|_| session::storage_failed())?
    };
    Ok(decoded?)
}
