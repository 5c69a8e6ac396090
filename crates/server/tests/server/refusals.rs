//! What the server refuses, and how it says so.

use std::time::{Duration, Instant};

use livestore_core::limits::{MAX_FRAME_BYTES, MAX_OPENING_BYTES};
use livestore_core::protocol::{ClientMessage, Goodbye, GoodbyeReason, Hello, Push, ServerMessage};
use livestore_core::{BackendId, Cursor, GlobalSeqNum, LogHash, LogPosition};
use livestore_server::{RunningServer, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, connect_async};

use crate::support::{
    Client, PATIENCE, Wire, config, fill, group, group_of, hello, hello_at, id_bytes, start,
};

async fn refused(server: &RunningServer, first_frame: Message) -> Goodbye {
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send_raw(first_frame).await;
    wire.goodbye().await
}

async fn refused_hello(server: &RunningServer, hello: Hello) -> Goodbye {
    refused(server, Message::text(ClientMessage::Hello(hello).encode())).await
}

#[tokio::test]
async fn a_client_of_another_version() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let goodbye = refused_hello(&server, Hello { versions: vec![0, 2], ..hello("notes") }).await;
    assert_eq!(goodbye.reason, GoodbyeReason::UnsupportedVersion);
    assert!(goodbye.message.contains("version 1"), "{}", goodbye.message);
    // A later version may have another hello; its versions are understood all the same.
    let later = r#"{"hello":{"versions":[2],"store":"notes","token":"t"}}"#;
    let goodbye = refused(&server, Message::text(later)).await;
    assert_eq!(goodbye.reason, GoodbyeReason::UnsupportedVersion);
    let goodbye = refused_hello(&server, Hello { versions: vec![], ..hello("notes") }).await;
    assert_eq!(goodbye.reason, GoodbyeReason::UnsupportedVersion);
    // One common version is enough.
    Client::introduce(&server, Hello { versions: vec![1, 0], ..hello("notes") }).await;
}

#[tokio::test]
async fn frames_that_are_no_messages() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let push = r#"{"push":{"request":1,"base":0,"groups":[]}}"#;
    let frames = [
        Message::text("rubbish"),
        Message::text(""),
        Message::text("{}"),
        Message::text(r#"{"hello":{"versions":[1]}}"#),
        Message::text(
            r#"{"hello":{"versions":[1],"storeId":"../etc","clientId":"c","cursor":null,"attempted":[]}}"#,
        ),
        Message::text(push),
        Message::binary(ClientMessage::Hello(hello("notes")).encode().into_bytes()),
        Message::text("[".repeat(100_000)),
    ];
    for frame in frames {
        let shown = format!("{frame:?}").chars().take(80).collect::<String>();
        let goodbye = refused(&server, frame).await;
        assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError, "{shown}");
        assert!(goodbye.message.len() < 1000, "{}", goodbye.message);
    }
    Client::connect(&server, "notes").await;
}

#[tokio::test]
async fn rubbish_in_the_middle_of_a_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let too_many: Vec<_> = (0..257).map(|number| group(number, "x")).collect();
    let push = Push { request: 1, base: GlobalSeqNum::ROOT, groups: too_many };
    let not_canonical = ClientMessage::Push(Push {
        request: 1,
        base: GlobalSeqNum::ROOT,
        groups: vec![group(1, "x")],
    })
    .encode()
    .replace(r#""title":"x""#, r#""title": "x""#);
    let frames = [
        Message::text("rubbish"),
        Message::text(not_canonical),
        Message::binary(vec![1, 2, 3]),
        Message::text(ClientMessage::Hello(hello("notes")).encode()),
        Message::text(ClientMessage::Push(push).encode()),
    ];
    for frame in frames {
        let mut client = Client::connect(&server, "notes").await;
        assert_eq!(client.welcome.head, GlobalSeqNum::ROOT);
        client.wire.send_raw(frame).await;
        assert_eq!(client.wire.goodbye().await.reason, GoodbyeReason::ProtocolError);
    }
}

#[tokio::test]
async fn an_oversized_frame_ends_only_its_own_connection() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut other = Client::connect(&server, "notes").await;
    let mut client = Client::connect(&server, "notes").await;
    // The server stops reading at the header: the client may be cut off before it has written all,
    // and before it has read the goodbye.
    client.wire.try_send_raw(Message::text(" ".repeat(MAX_FRAME_BYTES + 1))).await;
    if let Some(message) = client.wire.next().await {
        let ServerMessage::Goodbye(goodbye) = message else { panic!("{message:?}") };
        assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    }
    assert_eq!(client.wire.next().await, None);
    other.push_ok(&[group(1, "milk")]).await;
}

#[tokio::test]
async fn a_client_that_does_not_introduce_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.hello = Duration::from_millis(200);
    let server = Server::start(config).await.unwrap();
    let mut wire = Wire::open(server.local_addr()).await;
    let opened = Instant::now();
    wire.send_raw(Message::Ping(Vec::new().into())).await;
    let goodbye = wire.goodbye().await;
    assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    assert!(goodbye.message.contains("hello"), "{}", goodbye.message);
    assert!(opened.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn a_client_that_falls_silent() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.ping = Duration::from_millis(100);
    config.timing.silence = Duration::from_millis(300);
    let server = Server::start(config).await.unwrap();
    // A client that reads answers pings by itself, and stays.
    let mut reads = Client::connect(&server, "notes").await;
    assert!(reads.wire.is_quiet_for(Duration::from_secs(1)).await);
    // One that does not read does not answer.
    let mut silent = Client::connect(&server, "notes").await;
    assert!(reads.wire.is_quiet_for(Duration::from_secs(1)).await);
    assert_eq!(silent.wire.next().await, None);
    reads.push_ok(&[group(1, "milk")]).await;
}

#[tokio::test]
async fn a_client_that_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.send = Duration::from_millis(300);
    let server = Server::start(config).await.unwrap();
    fill(&server, 80).await;
    let mut stuck = Client::connect(&server, "notes").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut pages = 0;
    while stuck.wire.next().await.is_some() {
        pages += 1;
    }
    assert!(pages < 80, "the server did not give up");
    let mut reads = Client::connect(&server, "notes").await;
    reads.pull_to(80).await;
}

#[tokio::test]
async fn one_connection_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.max_connections = 2;
    let server = Server::start(config).await.unwrap();
    let _first = Client::connect(&server, "notes").await;
    let second = Client::connect(&server, "notes").await;
    let third = connect_async(format!("ws://{}/sync", server.local_addr())).await;
    match third.map(|_| ()) {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 503),
        other => panic!("{other:?}"),
    }
    drop(second);
    let freed = async {
        while connect_async(format!("ws://{}/sync", server.local_addr())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, freed).await.unwrap();
}

#[tokio::test]
async fn a_cursor_on_another_history() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group_of(1, 3, "milk"), group(2, "bread")]).await;
    let good = anna.cursor();
    let at = |seq, hash| Cursor { position: LogPosition { seq: GlobalSeqNum(seq), hash }, ..good };
    let other_hash = LogHash::from_bytes([7; 32]);
    let other_backend = BackendId::from_bytes(id_bytes(99));
    let diverged = [
        (Cursor { backend_id: other_backend, ..good }, "backend"),
        (at(4, other_hash), "hash"),
        (at(0, other_hash), "hash"),
        (at(2, good.position.hash), "no group of the log ends at e2"),
        (at(5, good.position.hash), "the log ends at e4"),
        (at(GlobalSeqNum::MAX.0, good.position.hash), "the log ends at e4"),
    ];
    for (cursor, differs) in diverged {
        let goodbye = refused_hello(&server, hello_at(cursor)).await;
        assert_eq!(goodbye.reason, GoodbyeReason::HistoryDiverged, "{cursor:?}");
        assert!(goodbye.message.contains(differs), "{}", goodbye.message);
    }
    Client::introduce(&server, hello_at(good)).await;
    Client::introduce(&server, hello_at(at(0, LogHash::EMPTY))).await;
    // The same cursor on a store that has no log at all.
    let goodbye = refused_hello(&server, Hello { cursor: Some(good), ..hello("empty") }).await;
    assert_eq!(goodbye.reason, GoodbyeReason::HistoryDiverged);
}

#[tokio::test]
async fn everybody_when_the_server_stops() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(ClientMessage::Hello(hello("notes"))).await;
    wire.receive().await;
    let stopping = Instant::now();
    let (goodbye, ()) = tokio::join!(wire.goodbye(), server.shutdown());
    assert_eq!(goodbye.reason, GoodbyeReason::ShuttingDown);
    assert!(stopping.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_message_before_the_welcome_that_is_larger_than_any_has_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let padded = |bytes: usize| {
        let frame = ClientMessage::Hello(hello("notes")).encode();
        format!("{}{frame}", " ".repeat(bytes - frame.len()))
    };
    let goodbye = refused(&server, Message::text(padded(MAX_OPENING_BYTES + 1))).await;
    assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    assert!(goodbye.message.contains("over the limit of 131072 bytes"), "{}", goodbye.message);
    // One of the largest size is read, and after the welcome pushes may be larger.
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send_raw(Message::text(padded(MAX_OPENING_BYTES))).await;
    let ServerMessage::Welcome(welcome) = wire.receive().await else { panic!("no welcome") };
    let large = "x".repeat(4 * MAX_OPENING_BYTES);
    Client::of(wire, welcome).push_ok(&[group(1, &large)]).await;
}

#[tokio::test]
async fn what_is_larger_before_the_welcome_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let (socket, _) = connect_async(format!("ws://{}/sync", server.local_addr())).await.unwrap();
    let MaybeTlsStream::Plain(mut socket) = socket.into_inner() else { panic!("no TLS here") };
    // A text frame of 8 MiB with a mask of zeros, of which less than a tenth comes.
    let mut frame = vec![0x81, 0x80 | 127];
    frame.extend((8_u64 << 20).to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(700_000, b' ');
    let started = Instant::now();
    // The server may hang up meanwhile.
    let _ = socket.write_all(&frame).await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("it hangs up");
    assert!(started.elapsed() < Duration::from_secs(5), "the server waited for the rest");
}

#[tokio::test]
async fn a_client_of_too_many_versions() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let versions: Vec<u32> = (0..17).collect();
    let goodbye = refused_hello(&server, Hello { versions, ..hello("notes") }).await;
    assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    assert_eq!(goodbye.message, "a hello message with 17 versions; expected at most 16");
    // Nor is a later form of the message read that far.
    let later = format!(r#"{{"hello":{{"versions":{:?},"store":"notes"}}}}"#, [1; 17]);
    let goodbye = refused(&server, Message::text(later)).await;
    assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    Client::introduce(&server, Hello { versions: (0..16).collect(), ..hello("notes") }).await;
}

#[tokio::test]
async fn too_many_clients_that_do_not_say_who_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.max_introductions = 2;
    let server = Server::start(config).await.unwrap();
    // Those who have said it are not counted.
    let mut known = Vec::new();
    for _ in 0..3 {
        known.push(Client::connect(&server, "notes").await);
    }
    let _silent = Wire::open(server.local_addr()).await;
    let mut talks = Wire::open(server.local_addr()).await;
    let third = connect_async(format!("ws://{}/sync", server.local_addr())).await;
    match third.map(|_| ()) {
        Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 503),
        other => panic!("{other:?}"),
    }
    talks.send(ClientMessage::Hello(hello("notes"))).await;
    assert!(matches!(talks.receive().await, ServerMessage::Welcome(_)));
    Client::connect(&server, "notes").await;
}
