//! Finding the end of the common history before the hello.

use std::path::Path;
use std::time::Duration;

use livestore_core::protocol::{
    ClientMessage, Goodbye, GoodbyeReason, Locate, Located, ServerMessage,
};
use livestore_core::{Cursor, GlobalSeqNum, Group, LogHash, LogPosition};
use livestore_server::{RunningServer, Server};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Wire, config, group, group_of, hello, hello_at, start};

fn locate(positions: Vec<LogPosition>) -> Locate {
    let hello = hello("notes");
    let (store_id, client_id) = (hello.store_id, hello.client_id);
    Locate { versions: hello.versions, store_id, client_id, positions }
}

/// Where a log stands at the root and after each of its groups.
fn ends(groups: &[Group]) -> Vec<LogPosition> {
    let mut end = LogPosition::ROOT;
    let after = groups.iter().map(|group| {
        let seq = end.seq.plus(group.event_count());
        end = LogPosition { seq, hash: end.hash.extend(group.content_hash()) };
        end
    });
    let after: Vec<_> = after.collect();
    [LogPosition::ROOT].into_iter().chain(after).collect()
}

async fn ask(wire: &mut Wire, positions: Vec<LogPosition>) -> Located {
    wire.send(ClientMessage::Locate(locate(positions))).await;
    match wire.receive().await {
        ServerMessage::Located(located) => located,
        other => panic!("{other:?}"),
    }
}

/// A server whose log is that of `ours`, a group of three events and then single ones.
async fn serve(dir: &Path, ours: &[Group]) -> RunningServer {
    let server = start(dir).await;
    Client::connect(&server, "notes").await.push_ok(ours).await;
    server
}

#[tokio::test]
async fn a_refused_client_finds_the_common_history_and_goes_on_from_there() {
    let common = [group_of(1, 3, "milk"), group(2, "bread")];
    let ours = [&common[..], &[group(3, "tea"), group(4, "jam")]].concat();
    let theirs = [&common[..], &[group(30, "gin"), group(40, "rum"), group(50, "ice")]].concat();
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), &ours).await;
    let their_ends = ends(&theirs);

    let backend_id = server.backend_id();
    let at = |position| hello_at(Cursor { backend_id, position });
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(ClientMessage::Hello(at(*their_ends.last().unwrap()))).await;
    assert_eq!(wire.goodbye().await.reason, GoodbyeReason::HistoryDiverged);

    // Locates and the hello are one conversation.
    let mut wire = Wire::open(server.local_addr()).await;
    let located = ask(&mut wire, vec![their_ends[1], their_ends[3], their_ends[5]]).await;
    assert_eq!(located, Located { backend_id, common: GlobalSeqNum(3), head: GlobalSeqNum(6) });
    let located = ask(&mut wire, vec![their_ends[2]]).await;
    assert_eq!(located.common, GlobalSeqNum(4));
    wire.send(ClientMessage::Hello(at(their_ends[2]))).await;
    assert!(matches!(wire.receive().await, ServerMessage::Welcome(_)));
    match wire.receive().await {
        ServerMessage::Page(page) => assert_eq!(page.groups[0].first, GlobalSeqNum(5)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn positions_that_the_log_does_not_have_are_not_common() {
    let dir = tempfile::tempdir().unwrap();
    let ours = [group_of(1, 3, "milk"), group(2, "bread")];
    let server = serve(dir.path(), &ours).await;
    let ends = ends(&ours);
    let mut wire = Wire::open(server.local_addr()).await;
    let at = |seq: u64, hash| LogPosition { seq: GlobalSeqNum(seq), hash };
    let strange = vec![
        at(0, LogHash::from_bytes([7; 32])),
        at(2, ends[1].hash),
        at(3, ends[2].hash),
        at(5, ends[2].hash),
        at(GlobalSeqNum::MAX.0, ends[2].hash),
    ];
    assert_eq!(ask(&mut wire, strange).await.common, GlobalSeqNum::ROOT);
    // A store that nobody has written to shares the root.
    let elsewhere = Locate { store_id: hello("empty").store_id, ..locate(ends) };
    wire.send(ClientMessage::Locate(elsewhere)).await;
    match wire.receive().await {
        ServerMessage::Located(located) => {
            assert_eq!((located.common, located.head), (GlobalSeqNum::ROOT, GlobalSeqNum::ROOT));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_whole_page_of_positions_is_answered_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let ours: Vec<_> = (1..=256).map(|number| group(number, "x")).collect();
    let server = serve(dir.path(), &ours).await;
    let mut wire = Wire::open(server.local_addr()).await;
    let located = ask(&mut wire, ends(&ours)[1..].to_vec()).await;
    assert_eq!(located.common, GlobalSeqNum(256));
}

#[tokio::test]
async fn what_a_locate_must_not_be() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let refused = async |frames: Vec<String>| -> Goodbye {
        let mut wire = Wire::open(server.local_addr()).await;
        for frame in frames {
            wire.send_raw(Message::text(frame)).await;
        }
        wire.goodbye().await
    };
    let frame = |locate: Locate| ClientMessage::Locate(locate).encode();
    let root = || locate(vec![LogPosition::ROOT]);
    let say_hello = || ClientMessage::Hello(hello("notes")).encode();
    let errors = [
        vec![frame(locate(vec![]))],
        vec![frame(locate(vec![LogPosition::ROOT, LogPosition::ROOT]))],
        vec![frame(root()); 17],
        vec![say_hello(), frame(root())],
    ];
    for frames in errors {
        let goodbye = refused(frames).await;
        assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError, "{}", goodbye.message);
    }
    let other_version = Locate { versions: vec![2], ..root() };
    let later = r#"{"locate":{"versions":[2],"at":[]}}"#.to_owned();
    for first in [frame(other_version), later] {
        assert_eq!(refused(vec![first]).await.reason, GoodbyeReason::UnsupportedVersion);
    }
}

#[tokio::test]
async fn a_client_that_asks_and_falls_silent_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.timing.hello = Duration::from_millis(200);
    let server = Server::start(config).await.unwrap();
    let mut wire = Wire::open(server.local_addr()).await;
    ask(&mut wire, vec![LogPosition::ROOT]).await;
    let goodbye = wire.goodbye().await;
    assert_eq!(goodbye.reason, GoodbyeReason::ProtocolError);
    assert!(goodbye.message.contains("hello"), "{}", goodbye.message);
}
