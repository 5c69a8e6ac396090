//! Calls over a WebSocket.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livestore::SyncError;
use livestore_cf_protocol::{
    Call, ClientMessage, Cursor, MAX_MESSAGE_BYTES, Pull, Push, Request, RequestId, ServerMessage,
    SyncQuery,
};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};

use super::{Heard, Outcome, Stop, cut, outcome_of};
use crate::{CONNECT_TIMEOUT, CfSync, SEND_TIMEOUT};

/// How often the backend is pinged, as LiveStore's client does.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Pings that may be without an answer.
const MAX_UNANSWERED: u32 = 3;

/// A WebSocket to a backend.
pub(crate) struct WsWire {
    sync: CfSync,
    query: SyncQuery,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    next_id: u64,
    pulling: Option<RequestId>,
    /// A pull that has ended: LiveStore's backend goes on to send it news until it hears that nobody wants
    /// them.
    ended: Option<RequestId>,
    pushing: Option<RequestId>,
    /// A chunk that was handed over; the backend sends the next one when it hears that.
    unacknowledged: Option<RequestId>,
    ping: Interval,
    unanswered: u32,
}

impl WsWire {
    pub(crate) async fn connect(sync: &CfSync, query: SyncQuery) -> Result<Self, Stop> {
        let url = sync.url_for(&query);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let connector = if sync.is_secure() {
            let config = livestore_tls::client_config().map_err(|error| sync.offline(error))?;
            Connector::Rustls(config)
        } else {
            Connector::Plain
        };
        // Messages are small and answers are waited for: do not hold them back.
        let connecting =
            connect_async_tls_with_config(url.as_str(), Some(config), true, Some(connector));
        let socket = match timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(WsError::Http(response))) => {
                let body = response.body().as_deref().unwrap_or_default();
                let said = String::from_utf8_lossy(body).into_owned();
                return Err(sync.refused(response.status().as_u16(), &said));
            }
            Ok(Err(error @ (WsError::Url(_) | WsError::HttpFormat(_)))) => {
                return Err(sync.unusable(&error.to_string()).into());
            }
            Ok(Err(error)) => return Err(sync.offline(error).into()),
            Err(_) => {
                return Err(sync.offline(format!("no answer within {CONNECT_TIMEOUT:?}")).into());
            }
        };
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            sync: sync.clone(),
            query,
            socket,
            next_id: 1,
            pulling: None,
            ended: None,
            pushing: None,
            unacknowledged: None,
            ping,
            unanswered: 0,
        })
    }

    async fn say(&mut self, message: &ClientMessage) -> Result<(), Stop> {
        let sent = self.socket.send(Message::text(message.encode()));
        let late =
            |_| self.sync.offline(format!("a message did not leave within {SEND_TIMEOUT:?}"));
        let sent = timeout(SEND_TIMEOUT, sent).await.map_err(late)?;
        Ok(sent.map_err(|error| self.sync.offline(error))?)
    }

    async fn call(&mut self, call: Call) -> Result<RequestId, Stop> {
        let id = RequestId::from(self.next_id);
        self.next_id += 1;
        self.say(&ClientMessage::Request(Request::new(id.clone(), call))).await?;
        Ok(id)
    }

    pub(super) async fn stop_pull(&mut self) -> Result<(), Stop> {
        self.unacknowledged = None;
        for request_id in [self.ended.take(), self.pulling.take()].into_iter().flatten() {
            self.say(&ClientMessage::Interrupt { request_id }).await?;
        }
        Ok(())
    }

    pub(super) async fn pull(&mut self, cursor: Option<Cursor>, live: bool) -> Result<(), Stop> {
        self.stop_pull().await?;
        let SyncQuery { store_id, payload, .. } = self.query.clone();
        let pull = Call::Pull(Pull { store_id, payload, live, cursor });
        self.pulling = Some(self.call(pull).await?);
        Ok(())
    }

    pub(super) async fn push(&mut self, push: Push) -> Result<(), Stop> {
        self.pushing = Some(self.call(Call::Push(push)).await?);
        Ok(())
    }

    pub(super) async fn next(&mut self) -> Result<Heard, Stop> {
        if let Some(request_id) = self.unacknowledged.clone() {
            // This may be given up while it waits: said twice is better than not said.
            self.say(&ClientMessage::Ack { request_id }).await?;
            self.unacknowledged = None;
        }
        loop {
            tokio::select! {
                frame = self.socket.next() => {
                    self.unanswered = 0;
                    let ended = || self.sync.offline("it closed the connection");
                    let frame = frame.ok_or_else(ended)?.map_err(|error| self.sync.offline(error))?;
                    let text = match &frame {
                        Message::Text(text) => text.as_str(),
                        Message::Close(close) => {
                            let why = close.as_ref().map(|close| cut(&close.reason));
                            return Err(self.sync.offline(why.as_deref().unwrap_or("closed")).into());
                        }
                        Message::Ping(_) | Message::Pong(_) => continue,
                        // Not in the protocol; reported as the malformed message that it is.
                        Message::Binary(_) | Message::Frame(_) => "",
                    };
                    let message = ServerMessage::decode(text);
                    let message = message.map_err(|error| self.sync.failed(&error.to_string()))?;
                    if let Some(heard) = self.hear(message)? {
                        return Ok(heard);
                    }
                }
                _ = self.ping.tick() => {
                    if self.unanswered == MAX_UNANSWERED {
                        return Err(self.sync.offline("it does not answer").into());
                    }
                    self.unanswered += 1;
                    self.say(&ClientMessage::Ping).await?;
                }
            }
        }
    }

    fn hear(&mut self, message: ServerMessage) -> Result<Option<Heard>, Stop> {
        Ok(match message {
            ServerMessage::Pong => None,
            ServerMessage::Chunk { request_id, values } => {
                if Some(&request_id) != self.pulling.as_ref() {
                    // Of a pull that was given up.
                    return Ok(None);
                }
                let mut values = values.into_iter();
                let (Some(response), None) = (values.next(), values.next()) else {
                    return Err(self.sync.failed("a chunk without its one value").into());
                };
                self.unacknowledged = Some(request_id);
                Some(Heard::Pulled(response))
            }
            ServerMessage::Exit { request_id, exit } => {
                let outcome = outcome_of(exit);
                if Some(&request_id) == self.pushing.as_ref() {
                    self.pushing = None;
                    Some(Heard::Pushed(outcome))
                } else if Some(&request_id) == self.pulling.as_ref() {
                    self.unacknowledged = None;
                    self.ended = self.pulling.take();
                    Some(Heard::PullEnded(outcome))
                } else {
                    None
                }
            }
            ServerMessage::Defect { defect } => {
                let reason = cut(&super::text_of(&defect));
                return Err(self.sync.failed(&reason).into());
            }
        })
    }

    pub(super) async fn close(mut self) {
        if let Some(request_id) = self.pulling.take() {
            let _ = self.say(&ClientMessage::Interrupt { request_id }).await;
        }
        let _ = timeout(SEND_TIMEOUT, self.socket.close(None)).await;
    }
}

impl Outcome {
    /// Says what is wrong about a call that has ended although it should not have.
    pub(crate) fn unexpected(self) -> String {
        match self {
            Self::Failed { reason } => reason,
            Self::Done => "it ended a live pull".into(),
            Self::Ahead { .. } | Self::OtherBackend { .. } => "it answered another call".into(),
        }
    }
}

impl From<SyncError> for Outcome {
    fn from(error: SyncError) -> Self {
        Self::Failed { reason: error.to_string() }
    }
}
