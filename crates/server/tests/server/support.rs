//! A server on a temporary directory, and a client that checks everything it is told.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use livestore_core::protocol::{
    ClientMessage, Goodbye, Hello, Page, Push, ServerAhead, ServerMessage, Welcome,
};
use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Cursor, Event, EventId, EventName, GlobalSeqNum,
    Group, GroupId, LogPosition, SessionId, StoreId,
};
use livestore_server::{RunningServer, Server, ServerConfig};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::http::get;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config(dir: &Path) -> ServerConfig {
    let mut config = ServerConfig::new(dir);
    config.listen = "127.0.0.1:0".parse().unwrap();
    config
}

pub(crate) async fn start(dir: &Path) -> RunningServer {
    Server::start(config(dir)).await.unwrap()
}

pub(crate) fn store(id: &str) -> StoreId {
    StoreId::new(id).unwrap()
}

pub(crate) fn id_bytes(number: u64) -> [u8; 16] {
    (u128::from(number) | 7 << 76 | 2 << 62).to_be_bytes()
}

pub(crate) fn group_id(number: u64) -> GroupId {
    GroupId::from_bytes(id_bytes(number))
}

/// A group of one event; the same number and title make the same group.
pub(crate) fn group(number: u64, title: &str) -> Group {
    group_of(number, 1, title)
}

/// A group of `count` events.
pub(crate) fn group_of(number: u64, count: u64, title: &str) -> Group {
    let event = |at: u64| Event {
        id: EventId::from_bytes(id_bytes(number << 20 | at)),
        name: EventName::new("v1.TodoCreated").unwrap(),
        args: CanonicalJson::encode(&serde_json::json!({ "at": at, "title": title })).unwrap(),
    };
    let client = ClientId::new("laptop").unwrap();
    let session = SessionId::new("tab-1").unwrap();
    Group::new(group_id(number), client, session, (0..count).map(event).collect()).unwrap()
}

/// The hello of a client that was never there before.
pub(crate) fn hello(store_id: &str) -> Hello {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
    Hello {
        versions: vec![1],
        store_id: store(store_id),
        client_id: ClientId::new(format!("laptop-{number}")).unwrap(),
        cursor: None,
        attempted: Vec::new(),
    }
}

pub(crate) fn hello_at(cursor: Cursor) -> Hello {
    Hello { cursor: Some(cursor), ..hello("notes") }
}

/// Fills the store "notes" with more than sockets can buffer; each group is one page.
pub(crate) async fn fill(server: &RunningServer, groups: u64) {
    let mut author = Client::connect(server, "notes").await;
    let long = "x".repeat(livestore_core::limits::PAGE_BYTES);
    for number in 1..=groups {
        author.push_ok(&[group(number, &long)]).await;
    }
    drop(author);
    // A server that still takes the author for a reader would keep what others push in memory.
    let gone = async {
        while !get(server.local_addr(), "/health").await.contains(r#""connections":0"#) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the author's connection ends");
}

/// A WebSocket that speaks in messages.
pub(crate) struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Wire {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let (socket, _) = connect_async(format!("ws://{addr}/sync")).await.unwrap();
        Self(socket)
    }

    pub(crate) async fn send(&mut self, message: ClientMessage) {
        self.send_raw(Message::text(message.encode())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Sends to a server that may hang up meanwhile.
    pub(crate) async fn try_send_raw(&mut self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// The next message; none if the server has closed the connection.
    pub(crate) async fn next(&mut self) -> Option<ServerMessage> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.expect("the server is silent")? {
                Ok(Message::Text(frame)) => return Some(ServerMessage::decode(&frame).unwrap()),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(other) => panic!("unexpected frame {other:?}"),
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> ServerMessage {
        self.next().await.expect("the server has closed the connection")
    }

    /// True if nothing but pings comes for a while.
    pub(crate) async fn is_quiet_for(&mut self, span: Duration) -> bool {
        let heard = async {
            while let Some(Ok(Message::Ping(_) | Message::Pong(_))) = self.0.next().await {}
        };
        timeout(span, heard).await.is_err()
    }

    /// Reads up to the goodbye, and checks that the connection ends there.
    pub(crate) async fn goodbye(&mut self) -> Goodbye {
        loop {
            if let ServerMessage::Goodbye(goodbye) = self.receive().await {
                assert_eq!(self.next().await, None, "something after the goodbye");
                return goodbye;
            }
        }
    }
}

/// A client that keeps the log and checks that every message continues it.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) welcome: Welcome,
    pub(crate) log: Vec<ConfirmedGroup>,
    pub(crate) end: LogPosition,
    requests: u64,
}

impl Client {
    pub(crate) async fn connect(server: &RunningServer, store_id: &str) -> Self {
        Self::introduce(server, hello(store_id)).await
    }

    pub(crate) async fn introduce(server: &RunningServer, hello: Hello) -> Self {
        let mut wire = Wire::open(server.local_addr()).await;
        let end = hello.cursor.map_or(LogPosition::ROOT, |cursor| cursor.position);
        wire.send(ClientMessage::Hello(hello)).await;
        let ServerMessage::Welcome(welcome) = wire.receive().await else {
            panic!("expected a welcome");
        };
        assert_eq!(welcome.backend_id, server.backend_id());
        Self { end, ..Self::of(wire, welcome) }
    }

    /// A client that was welcomed, and has nothing of the log.
    pub(crate) fn of(wire: Wire, welcome: Welcome) -> Self {
        Self { wire, welcome, log: Vec::new(), end: LogPosition::ROOT, requests: 0 }
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { backend_id: self.welcome.backend_id, position: self.end }
    }

    /// Sends a push on top of what the client has, and returns the answer.
    pub(crate) async fn push(&mut self, groups: &[Group]) -> ServerMessage {
        let base = self.end.seq;
        self.push_at(base, groups).await
    }

    /// Sends a hello and a push on `base` at once, and reads nothing before `pause` is over.
    pub(crate) async fn burst_in(
        server: &RunningServer,
        base: GlobalSeqNum,
        groups: &[Group],
        pause: impl AsyncFnOnce(),
    ) -> Self {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(ClientMessage::Hello(hello("notes"))).await;
        let push = Push { request: 1, base, groups: groups.to_vec() };
        wire.send(ClientMessage::Push(push)).await;
        pause().await;
        let ServerMessage::Welcome(welcome) = wire.receive().await else {
            panic!("expected a welcome");
        };
        Self { wire, welcome, log: Vec::new(), end: LogPosition::ROOT, requests: 1 }
    }

    pub(crate) async fn push_at(&mut self, base: GlobalSeqNum, groups: &[Group]) -> ServerMessage {
        self.send_push(base, groups).await;
        self.answer(groups).await
    }

    pub(crate) async fn send_push(&mut self, base: GlobalSeqNum, groups: &[Group]) {
        self.requests += 1;
        let push = Push { request: self.requests, base, groups: groups.to_vec() };
        self.wire.send(ClientMessage::Push(push)).await;
    }

    /// Reads up to the answer to the last push, pages included.
    pub(crate) async fn answer(&mut self, groups: &[Group]) -> ServerMessage {
        loop {
            let message = self.wire.receive().await;
            let request = match &message {
                ServerMessage::Page(page) => {
                    self.take_page(page);
                    continue;
                }
                ServerMessage::PushAccepted(accepted) => {
                    if accepted.first == self.end.seq.next() {
                        self.take_groups(accepted.first, groups);
                        assert_eq!(self.end, accepted.end);
                    }
                    accepted.request
                }
                ServerMessage::ServerAhead(ServerAhead { request, missing }) => {
                    if let Some(page) = missing {
                        self.take_page(page);
                    }
                    *request
                }
                ServerMessage::AlreadyAccepted(already) => already.request,
                ServerMessage::GroupRejected(rejected) => rejected.request,
                other => panic!("unexpected {other:?}"),
            };
            assert_eq!(request, self.requests);
            return message;
        }
    }

    /// Pushes and expects success; returns the position of the first event.
    pub(crate) async fn push_ok(&mut self, groups: &[Group]) -> GlobalSeqNum {
        match self.push(groups).await {
            ServerMessage::PushAccepted(accepted) => accepted.first,
            other => panic!("not accepted: {other:?}"),
        }
    }

    pub(crate) async fn receive_page(&mut self) -> Page {
        let ServerMessage::Page(page) = self.wire.receive().await else {
            panic!("expected a page");
        };
        self.take_page(&page);
        page
    }

    /// Reads pages until the client has the log up to `seq`.
    pub(crate) async fn pull_to(&mut self, seq: u64) {
        while self.end.seq < GlobalSeqNum(seq) {
            self.receive_page().await;
        }
        assert_eq!(self.end.seq, GlobalSeqNum(seq));
    }

    pub(crate) fn ids(&self) -> Vec<GroupId> {
        self.log.iter().map(|group| group.group.id()).collect()
    }

    fn take_page(&mut self, page: &Page) {
        page.check().unwrap();
        assert_eq!(page.groups[0].first, self.end.seq.next(), "the page leaves a gap or repeats");
        let groups: Vec<Group> = page.groups.iter().map(|group| group.group.clone()).collect();
        self.take_groups(page.groups[0].first, &groups);
        assert_eq!(self.end, page.end, "the hash chain is broken");
    }

    fn take_groups(&mut self, first: GlobalSeqNum, groups: &[Group]) {
        let mut first = first;
        for group in groups {
            let confirmed = ConfirmedGroup { first, group: group.clone() };
            self.end.seq = confirmed.last();
            self.end.hash = self.end.hash.extend(group.content_hash());
            first = self.end.seq.next();
            self.log.push(confirmed);
        }
    }
}
