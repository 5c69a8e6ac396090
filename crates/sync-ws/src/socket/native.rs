//! That of tokio-tungstenite, which pings the server.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livestore::sync_provider::BoxFuture;
use livestore_core::limits::MAX_FRAME_BYTES;
use tokio::net::TcpStream;
pub(crate) use tokio::time::timeout;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::{Broken, CONNECT_TIMEOUT};

/// How long one frame may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the server is pinged.
const PING_EVERY: Duration = Duration::from_secs(20);
/// Pings that may be without an answer.
const MAX_UNANSWERED: u32 = 3;

/// A connection.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    ping: Interval,
    /// Counted and not timed: while the store is busy, nothing is read.
    unanswered: u32,
}

impl Socket {
    pub(crate) async fn connect(url: &str) -> Result<Self, Broken> {
        let connector = if url.starts_with("wss://") {
            Connector::Rustls(livestore_tls::client_config().map_err(Broken::offline)?)
        } else {
            Connector::Plain
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_FRAME_BYTES))
            .max_frame_size(Some(MAX_FRAME_BYTES));
        // Messages are small and answers are waited for: do not hold them back.
        let connecting = connect_async_tls_with_config(url, Some(config), true, Some(connector));
        let stream = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((stream, _))) => stream,
            Ok(Err(error @ (WsError::Url(_) | WsError::HttpFormat(_)))) => {
                return Err(Broken::Address(error.to_string()));
            }
            Ok(Err(error)) => return Err(Broken::offline(error)),
            Err(_) => {
                return Err(Broken::Offline(format!("no answer within {CONNECT_TIMEOUT:?}")));
            }
        };
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { stream, ping, unanswered: 0 })
    }

    pub(crate) async fn send(&mut self, text: String) -> Result<(), Broken> {
        self.send_frame(Message::text(text)).await
    }

    async fn send_frame(&mut self, frame: Message) -> Result<(), Broken> {
        match timeout(SEND_TIMEOUT, self.stream.send(frame)).await {
            Ok(sent) => sent.map_err(Broken::offline),
            Err(_) => {
                Err(Broken::Offline(format!("a message did not leave within {SEND_TIMEOUT:?}")))
            }
        }
    }

    /// Waits for the next text; nothing when the other side has closed the connection.
    pub(crate) async fn receive(&mut self) -> Result<Option<String>, Broken> {
        loop {
            let frame = tokio::select! {
                frame = self.stream.next() => frame,
                _ = self.ping.tick() => {
                    if self.unanswered == MAX_UNANSWERED {
                        return Err(Broken::offline("it does not answer"));
                    }
                    // One that nobody waited for until it had left may never be answered.
                    self.send_frame(Message::Ping(Vec::new().into())).await?;
                    self.unanswered += 1;
                    continue;
                }
            };
            self.unanswered = 0;
            let Some(frame) = frame else { return Ok(None) };
            return match frame.map_err(Broken::offline)? {
                Message::Text(text) => Ok(Some(text.as_str().to_owned())),
                Message::Close(frame) => {
                    let closed =
                        |frame: CloseFrame| Broken::closed(frame.code.into(), &frame.reason);
                    frame.and_then(closed).map_or(Ok(None), Err)
                }
                // Answered by the library; they only show that the server is there.
                Message::Ping(_) | Message::Pong(_) => continue,
                // Not in the protocol; no text is a message, so it is reported as malformed.
                Message::Binary(_) | Message::Frame(_) => Ok(Some(String::new())),
            };
        }
    }

    pub(crate) async fn close(&mut self) {
        let _ = timeout(SEND_TIMEOUT, self.stream.close(None)).await;
    }
}

/// Makes a future one that can be kept and sent.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + Send + 'a) -> BoxFuture<'a, T> {
    Box::pin(future)
}
