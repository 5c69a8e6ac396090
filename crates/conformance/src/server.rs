//! What our protocol asks of a server, frame by frame.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use livestore::protocol::{
    Authenticate, ClientMessage, GoodbyeReason, Hello, PROTOCOL_VERSION, Push, ServerMessage, Token,
};
use livestore_core::limits::{MAX_FRAME_BYTES, MAX_OPENING_BYTES};
use livestore_core::{GlobalSeqNum, StoreId};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_tungstenite::connect_async_tls_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use crate::events::Maker;
use crate::report::{Case, CaseReport, Report, Unmet, cut, failed, same};

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of our protocol that is to be checked.
#[derive(Debug)]
pub struct Server {
    url: String,
    token: Option<String>,
    maker: Mutex<Maker>,
}

type Run = for<'a> fn(&'a Server) -> Pin<Box<dyn Future<Output = Case> + Send + 'a>>;

macro_rules! cases {
    ($($name:literal => $run:ident;)*) => {
        const CASES: &[(&str, Run)] = &[$(($name, |server| Box::pin($run(server)))),*];
    };
}

cases! {
    "another version of the protocol is refused" => versions;
    "what is no message ends the conversation" => nonsense;
    "unknown members are no part of a message" => unknown_members;
    "nothing is pushed before the hello, and there is one hello" => out_of_turn;
    "a push of nothing ends the conversation" => empty_push;
    "frames that are too long are not read" => too_long;
    "bounds hold before the hello" => opening;
    "pings are answered" => pings;
    "who ends the conversation is let go" => closing;
}

struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Server {
    /// Names the server by the address of its WebSocket, such as `ws://127.0.0.1:7433/sync`.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token: None, maker: Mutex::new(Maker::new()) }
    }

    /// Shows the server a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Tries everything.
    pub async fn check(&self) -> Report {
        self.check_and(|_| {}).await
    }

    /// Tries everything, and tells of each case when it is over.
    pub async fn check_and(&self, mut tell: impl FnMut(&CaseReport)) -> Report {
        let mut report = Report::default();
        for (name, run) in CASES {
            let begin = Instant::now();
            let case = run(self).await;
            tell(report.add(name, begin, case));
        }
        report
    }

    async fn dial(&self) -> Result<Line, Unmet> {
        let connector = if self.url.starts_with("wss://") {
            let config = livestore_tls::client_config();
            Connector::Rustls(config.map_err(|error| Unmet::Failed(error.to_string()))?)
        } else {
            Connector::Plain
        };
        let dialling = connect_async_tls_with_config(&self.url, None, false, Some(connector));
        let dialled = timeout(PATIENCE, dialling).await;
        let dialled = dialled.map_err(|_| Unmet::Failed("it does not answer".into()))?;
        match dialled {
            Ok((socket, _)) => {
                let mut line = Line(socket);
                if let Some(token) = &self.token {
                    let token =
                        Token::new(token).map_err(|error| Unmet::Failed(error.to_string()))?;
                    line.say(&ClientMessage::Authenticate(Authenticate { token })).await?;
                }
                Ok(line)
            }
            Err(error) => failed(format!("it cannot be reached: {error}")),
        }
    }

    async fn hello(&self) -> Hello {
        let mut maker = self.maker.lock().await;
        Hello {
            versions: vec![PROTOCOL_VERSION],
            store_id: maker.store_id(),
            client_id: maker.client_id(),
            cursor: None,
            attempted: Vec::new(),
        }
    }

    /// Comes, and is welcome.
    async fn welcomed(&self) -> Result<Line, Unmet> {
        let mut line = self.dial().await?;
        line.say(&ClientMessage::Hello(self.hello().await)).await?;
        match line.hear().await? {
            ServerMessage::Welcome(_) => Ok(line),
            other => failed(format!("a hello was answered with {}", cut(&other))),
        }
    }
}

impl Line {
    async fn say(&mut self, message: &ClientMessage) -> Case {
        self.send(Message::text(message.encode())).await
    }

    async fn send(&mut self, message: Message) -> Case {
        match timeout(PATIENCE, self.0.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => failed(format!("it takes nothing: {error}")),
            Err(_) => failed("it takes nothing"),
        }
    }

    async fn hear(&mut self) -> Result<ServerMessage, Unmet> {
        loop {
            match timeout(PATIENCE, self.0.next()).await {
                Ok(Some(Ok(Message::Text(text)))) => {
                    let message = ServerMessage::decode(&text);
                    return message.map_err(|error| Unmet::Failed(error.to_string()));
                }
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(other))) => return failed(format!("it sends {}", cut(&other))),
                Ok(Some(Err(error))) => return failed(format!("the connection broke: {error}")),
                Ok(None) => return failed("it ended the connection without a word"),
                Err(_) => return failed(format!("it says nothing for {PATIENCE:?}")),
            }
        }
    }

    /// Waits until the conversation is over: with a goodbye for this reason.
    async fn is_ended(&mut self, reason: GoodbyeReason) -> Case {
        match self.hear().await? {
            ServerMessage::Goodbye(goodbye) => same("the reason", &goodbye.reason, &reason)?,
            other => return failed(format!("it says {} and not goodbye", cut(&other))),
        }
        self.is_gone().await
    }

    async fn is_gone(&mut self) -> Case {
        loop {
            match timeout(PATIENCE, self.0.next()).await {
                Ok(None | Some(Err(_))) => return Ok(()),
                Ok(Some(Ok(_))) => {}
                Err(_) => return failed("it keeps the connection"),
            }
        }
    }
}

async fn versions(server: &Server) -> Case {
    for versions in [vec![], vec![0], vec![PROTOCOL_VERSION + 1, 99]] {
        let mut line = server.dial().await?;
        let hello = Hello { versions, ..server.hello().await };
        line.say(&ClientMessage::Hello(hello)).await?;
        line.is_ended(GoodbyeReason::UnsupportedVersion).await?;
    }
    // A later version may look different, but for its versions.
    let mut line = server.dial().await?;
    let later = r#"{"hello":{"versions":[99],"store":"notes"}}"#;
    line.send(Message::text(later)).await?;
    line.is_ended(GoodbyeReason::UnsupportedVersion).await?;
    let mut line = server.dial().await?;
    let both = Hello { versions: vec![99, PROTOCOL_VERSION], ..server.hello().await };
    line.say(&ClientMessage::Hello(both)).await?;
    match line.hear().await? {
        ServerMessage::Welcome(welcome) => same("the version", &welcome.version, &PROTOCOL_VERSION),
        other => failed(format!("it says {} and not welcome", cut(&other))),
    }
}

async fn nonsense(server: &Server) -> Case {
    for text in
        ["", "{}", "[]", "null", "{\"page\":null}", "{\"hello\"", "{\"push\":{\"request\":1}}"]
    {
        let mut line = server.welcomed().await?;
        line.send(Message::text(text)).await?;
        line.is_ended(GoodbyeReason::ProtocolError).await?;
    }
    let mut line = server.welcomed().await?;
    line.send(Message::binary(vec![0, 159, 146])).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await
}

async fn unknown_members(server: &Server) -> Case {
    let mut line = server.dial().await?;
    let text = ClientMessage::Hello(server.hello().await).encode();
    let more = text.replacen("\"cursor\"", "\"more\":1,\"cursor\"", 1);
    line.send(Message::text(more)).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await
}

async fn out_of_turn(server: &Server) -> Case {
    let group = {
        let mut maker = server.maker.lock().await;
        let client = maker.client_id();
        maker.group(&client, 1)
    };
    let push = Push { request: 1, base: GlobalSeqNum::ROOT, groups: vec![group] };
    let mut line = server.dial().await?;
    line.say(&ClientMessage::Push(push)).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await?;
    let mut line = server.welcomed().await?;
    line.say(&ClientMessage::Hello(server.hello().await)).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await
}

async fn empty_push(server: &Server) -> Case {
    let mut line = server.welcomed().await?;
    let push = Push { request: 1, base: GlobalSeqNum::ROOT, groups: Vec::new() };
    line.say(&ClientMessage::Push(push)).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await
}

async fn too_long(server: &Server) -> Case {
    let mut line = server.welcomed().await?;
    // It may hang up while this is on its way.
    let sent = line.send(Message::text(" ".repeat(MAX_FRAME_BYTES + 1))).await;
    if sent.is_err() { Ok(()) } else { line.is_gone().await }
}

async fn opening(server: &Server) -> Case {
    let mut line = server.dial().await?;
    let sent = line.send(Message::text(" ".repeat(MAX_OPENING_BYTES + 1))).await;
    if sent.is_ok() {
        line.is_gone().await?;
    }
    let mut line = server.dial().await?;
    let text = ClientMessage::Hello(server.hello().await).encode();
    let path = StoreId::new("../etc").map_or("../etc".to_owned(), |id| id.to_string());
    let from = text.find("conformance-").unwrap_or(0);
    let to = text[from..].find('"').map_or(text.len(), |end| from + end);
    line.send(Message::text(format!("{}{path}{}", &text[..from], &text[to..]))).await?;
    line.is_ended(GoodbyeReason::ProtocolError).await
}

async fn pings(server: &Server) -> Case {
    let mut line = server.welcomed().await?;
    line.send(Message::Ping(b"there?".to_vec().into())).await?;
    loop {
        match timeout(PATIENCE, line.0.next()).await {
            Ok(Some(Ok(Message::Pong(said)))) => {
                return same("the pong", &said.to_vec(), &b"there?".to_vec());
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return failed(error.to_string()),
            Ok(None) => return failed("it ended the connection"),
            Err(_) => return failed("a ping has no answer"),
        }
    }
}

async fn closing(server: &Server) -> Case {
    let mut line = server.welcomed().await?;
    line.send(Message::Close(None)).await?;
    line.is_gone().await
}
