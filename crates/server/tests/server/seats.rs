//! A client that connects again: its earlier conversations are over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use livestore_core::GlobalSeqNum;
use livestore_core::protocol::{
    Authenticate, ClientMessage, GoodbyeReason, GroupPosition, Hello, ServerMessage, Token,
};
use livestore_server::{RunningServer, Server, ServerConfig, TokenList};

use crate::faults::{start_faulty, start_faulty_with};
use crate::support::{Client, Wire, config, fill, group, group_id, hello, start, store};

#[tokio::test]
async fn a_newer_conversation_ends_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let introduction = hello("notes");
    let mut before = Client::introduce(&server, introduction.clone()).await;
    before.push_ok(&[group(1, "milk")]).await;

    let mut after = Client::introduce(&server, introduction.clone()).await;
    let goodbye = before.wire.goodbye().await;
    assert_eq!(goodbye.reason, GoodbyeReason::Superseded);
    assert!(goodbye.message.contains("same client id"), "{}", goodbye.message);
    after.pull_to(1).await;
    after.push_ok(&[group(2, "bread")]).await;

    // Another client, and the same one in another store, are somebody else.
    let mut other = Client::connect(&server, "notes").await;
    other.pull_to(2).await;
    let elsewhere = Hello { store_id: store("recipes"), ..introduction };
    let mut elsewhere = Client::introduce(&server, elsewhere).await;
    elsewhere.push_ok(&[group(3, "tea")]).await;
    after.push_ok(&[group(4, "salt")]).await;
    other.pull_to(3).await;
}

#[tokio::test]
async fn nobody_is_welcomed_while_the_writer_has_a_push_of_an_earlier_conversation() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty(dir.path()).await;
    let mut introduction = hello("notes");
    introduction.attempted = vec![group_id(1), group_id(2)];
    let mut before = Client::introduce(&server, introduction.clone()).await;
    faults.holds_commits.store(true, Ordering::SeqCst);
    before.send_push(GlobalSeqNum::ROOT, &[group(1, "milk")]).await;
    while faults.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The next one has at most reached the server.
    before.send_push(GlobalSeqNum(1), &[group(2, "bread")]).await;

    let mut after = Wire::open(server.local_addr()).await;
    after.send(ClientMessage::Hello(introduction)).await;
    assert_eq!(before.wire.goodbye().await.reason, GoodbyeReason::Superseded);
    // The connection before is gone, the conversation is over, its push is not.
    assert!(after.is_quiet_for(Duration::from_millis(200)).await, "welcomed too early");

    faults.holds_commits.store(false, Ordering::SeqCst);
    let ServerMessage::Welcome(welcome) = after.receive().await else { panic!("no welcome") };
    let first = GroupPosition { id: group_id(1), first: GlobalSeqNum(1) };
    assert_eq!((welcome.head, welcome.accepted), (GlobalSeqNum(1), vec![first]));
    // What the welcome said stays true.
    let mut other = Client::connect(&server, "notes").await;
    other.pull_to(1).await;
    other.push_ok(&[group(3, "tea")]).await;
    assert_eq!(other.ids(), [group_id(1), group_id(3)]);
}

#[tokio::test]
async fn nobody_is_welcomed_while_a_failed_push_of_theirs_may_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty_with(dir.path(), |config| {
        config.timing.hello = Duration::from_millis(300);
    })
    .await;
    let introduction = hello("notes");
    let mut anna = Client::introduce(&server, introduction.clone()).await;
    faults.is_unsettled.store(true, Ordering::SeqCst);
    anna.send_push(GlobalSeqNum::ROOT, &[group(1, "milk")]).await;
    assert_eq!(anna.wire.goodbye().await.reason, GoodbyeReason::Internal);

    // Others, who have nothing in doubt, are served.
    let mut ben = Client::connect(&server, "notes").await;
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(ClientMessage::Hello(introduction.clone())).await;
    assert_eq!(wire.goodbye().await.reason, GoodbyeReason::Internal);

    faults.is_unsettled.store(false, Ordering::SeqCst);
    let mut anna = Client::introduce(&server, introduction).await;
    assert_eq!(anna.welcome.head, GlobalSeqNum::ROOT);
    anna.push_ok(&[group(1, "milk")]).await;
    ben.pull_to(1).await;
}

#[tokio::test]
async fn of_those_who_wait_for_a_seat_the_last_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty(dir.path()).await;
    let introduction = hello("notes");
    let mut before = Client::introduce(&server, introduction.clone()).await;
    faults.holds_commits.store(true, Ordering::SeqCst);
    before.send_push(GlobalSeqNum::ROOT, &[group(1, "milk")]).await;
    while faults.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::open(server.local_addr()).await;
        wire.send(ClientMessage::Hello(introduction.clone())).await;
        // They come one after the other.
        assert!(wire.is_quiet_for(Duration::from_millis(50)).await);
        waiting.push(wire);
    }
    let mut last = waiting.pop().unwrap();
    for mut wire in waiting {
        assert_eq!(wire.goodbye().await.reason, GoodbyeReason::Superseded);
    }
    faults.holds_commits.store(false, Ordering::SeqCst);
    let ServerMessage::Welcome(welcome) = last.receive().await else { panic!("no welcome") };
    assert_eq!(welcome.head, GlobalSeqNum(1));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    fill(&server, 100).await;
    // It never reads what it is sent, so the server is stuck in a send.
    let introduction = hello("notes");
    let stuck = Client::introduce(&server, introduction.clone()).await;
    let mut after = Client::introduce(&server, introduction).await;
    after.pull_to(100).await;
    assert!(matches!(after.push(&[group(101, "new")]).await, ServerMessage::PushAccepted(_)));
    drop(stuck);
}

#[tokio::test]
async fn a_crowd_of_conversations_of_one_client_leaves_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let introduction = hello("notes");
    let mut crowd = Vec::new();
    for _ in 0..20 {
        crowd.push(Client::introduce(&server, introduction.clone()).await);
    }
    let mut last = crowd.pop().unwrap();
    for mut earlier in crowd {
        assert_eq!(earlier.wire.goodbye().await.reason, GoodbyeReason::Superseded);
    }
    last.push_ok(&[group(1, "milk")]).await;
}

// With principals

const TOKENS: &str = "the-token-of-ann ann\nthe-token-of-bob bob";

fn ask_for_tokens(config: &mut ServerConfig) {
    config.authenticator = Some(Arc::new(TokenList::parse(TOKENS).unwrap()));
}

async fn say_hello(server: &RunningServer, token: &str, hello: Hello) -> Wire {
    let mut wire = Wire::open(server.local_addr()).await;
    let token = Token::new(token).unwrap();
    wire.send(ClientMessage::Authenticate(Authenticate { token })).await;
    wire.send(ClientMessage::Hello(hello)).await;
    wire
}

async fn introduce(server: &RunningServer, token: &str, hello: Hello) -> Client {
    welcomed(say_hello(server, token, hello).await).await
}

async fn welcomed(mut wire: Wire) -> Client {
    match wire.receive().await {
        ServerMessage::Welcome(welcome) => Client::of(wire, welcome),
        other => panic!("no welcome: {other:?}"),
    }
}

#[tokio::test]
async fn nobody_ends_the_conversations_of_somebody_else_or_keeps_them_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    ask_for_tokens(&mut config);
    let server = Server::start(config).await.unwrap();
    let introduction = hello("notes");
    let mut ann = introduce(&server, "the-token-of-ann", introduction.clone()).await;
    // Bob has read the client id in the log, and makes up what it could have pushed.
    let forged = Hello { attempted: vec![group_id(77)], ..introduction.clone() };
    let mut bob = introduce(&server, "the-token-of-bob", forged).await;
    ann.push_ok(&[group(1, "milk")]).await;
    bob.pull_to(1).await;
    bob.push_ok(&[group(2, "bread")]).await;
    ann.pull_to(2).await;

    // Each ends their own.
    let mut again = introduce(&server, "the-token-of-ann", introduction).await;
    assert_eq!(ann.wire.goodbye().await.reason, GoodbyeReason::Superseded);
    again.pull_to(2).await;
    again.push_ok(&[group(3, "tea")]).await;
    bob.pull_to(3).await;
}

#[tokio::test]
async fn what_a_client_is_told_stays_true_if_it_comes_back_as_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty_with(dir.path(), ask_for_tokens).await;
    let mut introduction = hello("notes");
    let mut before = introduce(&server, "the-token-of-ann", introduction.clone()).await;
    faults.holds_commits.store(true, Ordering::SeqCst);
    before.send_push(GlobalSeqNum::ROOT, &[group(1, "milk")]).await;
    while faults.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    introduction.attempted = vec![group_id(1), group_id(2)];
    let mut after = say_hello(&server, "the-token-of-bob", introduction).await;
    assert!(after.is_quiet_for(Duration::from_millis(200)).await, "welcomed too early");
    faults.holds_commits.store(false, Ordering::SeqCst);
    let mut after = welcomed(after).await;
    let first = GroupPosition { id: group_id(1), first: GlobalSeqNum(1) };
    assert_eq!(after.welcome.accepted, [first]);

    // The other group was on its way, and comes too late.
    before.answer(&[group(1, "milk")]).await;
    before.send_push(GlobalSeqNum(1), &[group(2, "bread")]).await;
    assert_eq!(before.wire.goodbye().await.reason, GoodbyeReason::Superseded);
    after.pull_to(1).await;
    after.push_ok(&[group(3, "tea")]).await;
    assert_eq!(after.ids(), [group_id(1), group_id(3)]);
}
