//! Who may talk to the server: tokens at the beginning, and for how long they hold.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livestore_core::protocol::{
    Authenticate, ClientMessage, Goodbye, GoodbyeReason, Locate, PROTOCOL_VERSION, ServerMessage,
    Token,
};
use livestore_core::{ClientId, GlobalSeqNum, LogHash, LogPosition};
use livestore_server::{
    Attempt, AuthError, Authenticating, Authenticator, Principal, Proposal, RunningServer, Server,
    ServerConfig, TokenList,
};

use crate::faults::start_faulty_with;
use crate::support::{Client, Wire, config, group, hello, store};

const ANN: &str = "the-token-of-ann";

async fn start(set: impl FnOnce(&mut ServerConfig)) -> (tempfile::TempDir, RunningServer) {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let list = TokenList::parse(&format!("{ANN} ann notes\nthe-token-of-bob bob")).unwrap();
    config.authenticator = Some(Arc::new(list));
    set(&mut config);
    let server = Server::start(config).await.unwrap();
    (dir, server)
}

fn authenticate(token: &str) -> ClientMessage {
    ClientMessage::Authenticate(Authenticate { token: Token::new(token).unwrap() })
}

/// Begins a conversation and reads what the server says to the hello.
async fn begin(
    server: &RunningServer,
    token: Option<&str>,
    store_id: &str,
) -> (Wire, ServerMessage) {
    let mut wire = Wire::open(server.local_addr()).await;
    if let Some(token) = token {
        wire.send(authenticate(token)).await;
    }
    wire.send(ClientMessage::Hello(hello(store_id))).await;
    let answer = wire.receive().await;
    (wire, answer)
}

async fn refusal(server: &RunningServer, token: Option<&str>, store_id: &str) -> Goodbye {
    match begin(server, token, store_id).await.1 {
        ServerMessage::Goodbye(goodbye) => goodbye,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_those_with_a_token_that_is_known_are_welcome() {
    let (_dir, server) = start(|_| ()).await;
    let (_wire, answer) = begin(&server, Some(ANN), "notes").await;
    assert!(matches!(answer, ServerMessage::Welcome(_)), "{answer:?}");
    let goodbye = refusal(&server, None, "notes").await;
    assert_eq!(goodbye.reason, GoodbyeReason::Unauthenticated);
    assert_eq!(goodbye.message, "this server asks for a token");
    let goodbye = refusal(&server, Some("the-token-of-eve"), "notes").await;
    assert_eq!(goodbye.reason, GoodbyeReason::Unauthenticated);
    assert_eq!(goodbye.message, "the token is unknown");
}

#[tokio::test]
async fn whoever_may_not_use_a_store_is_told_so() {
    let (_dir, server) = start(|_| ()).await;
    let goodbye = refusal(&server, Some(ANN), "money").await;
    assert_eq!(goodbye.reason, GoodbyeReason::Forbidden);
    assert_eq!(goodbye.message, "ann may not use money");
    let (_wire, answer) = begin(&server, Some("the-token-of-bob"), "money").await;
    assert!(matches!(answer, ServerMessage::Welcome(_)), "{answer:?}");
}

#[tokio::test]
async fn positions_are_looked_up_for_those_who_may_use_the_store() {
    let (_dir, server) = start(|_| ()).await;
    let position = LogPosition { seq: GlobalSeqNum(1), hash: LogHash::EMPTY };
    let locate = ClientMessage::Locate(Locate {
        versions: vec![PROTOCOL_VERSION],
        store_id: store("notes"),
        client_id: ClientId::new("client").unwrap(),
        positions: vec![position],
    });
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(locate.clone()).await;
    assert_eq!(wire.goodbye().await.reason, GoodbyeReason::Unauthenticated);
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(authenticate(ANN)).await;
    wire.send(locate).await;
    assert!(matches!(wire.receive().await, ServerMessage::Located(_)));
}

#[tokio::test]
async fn a_token_is_shown_once_and_first() {
    let (_dir, server) = start(|_| ()).await;
    for before in [authenticate(ANN), ClientMessage::Hello(hello("notes"))] {
        let mut wire = Wire::open(server.local_addr()).await;
        if matches!(before, ClientMessage::Hello(_)) {
            wire.send(authenticate(ANN)).await;
        }
        wire.send(before).await;
        wire.send(authenticate(ANN)).await;
        assert_eq!(wire.goodbye().await.reason, GoodbyeReason::ProtocolError);
    }
}

#[tokio::test]
async fn a_server_that_asks_nobody_takes_a_token_and_forgets_it() {
    let (_dir, server) = start(|config| config.authenticator = None).await;
    let (_wire, answer) = begin(&server, Some("whatever"), "notes").await;
    assert!(matches!(answer, ServerMessage::Welcome(_)), "{answer:?}");
}

#[tokio::test]
async fn the_log_output_says_why_somebody_is_not_let_in_and_never_with_what() {
    let output = LogOutput::default();
    let writer = output.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // A test has one thread, on which the server runs too.
    let _guard = tracing::subscriber::set_default(subscriber);
    let (_dir, server) = start(|_| ()).await;
    refusal(&server, Some("the-token-of-eve"), "notes").await;
    refusal(&server, Some(ANN), "money").await;
    let lines = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    let server_lines = || lines.lines().filter(|line| line.contains("livestore_server"));
    for reason in ["the token is unknown", "ann may not use money"] {
        let line = server_lines().find(|line| line.contains(reason)).expect(reason);
        assert!(line.contains("DEBUG") && line.contains("a client is not let in"), "{line}");
    }
    assert!(!server_lines().any(|line| line.contains("the-token-of")), "{lines}");
    assert!(!server_lines().any(|line| line.contains("WARN")), "{lines}");
}

#[derive(Clone, Default)]
struct LogOutput(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lets everybody in for a moment, or nobody at all.
struct Moody(fn() -> Result<Principal, AuthError>);

impl Authenticator for Moody {
    fn authenticate<'a>(&'a self, _attempt: Attempt<'a>) -> Authenticating<'a> {
        Box::pin(std::future::ready((self.0)()))
    }
}

fn moody(answer: fn() -> Result<Principal, AuthError>) -> Arc<dyn Authenticator> {
    Arc::new(Moody(answer))
}

#[tokio::test]
async fn a_conversation_ends_when_its_token_expires() {
    let in_a_moment = || Ok(Principal::new("ann").valid_for(Duration::from_millis(300)));
    let (_dir, server) = start(|config| config.authenticator = Some(moody(in_a_moment))).await;
    let mut client = Client::connect(&server, "notes").await;
    client.push_ok(&[group(1, "in time")]).await;
    let goodbye = client.wire.goodbye().await;
    assert_eq!(goodbye.reason, GoodbyeReason::AuthExpired);
    assert_eq!(goodbye.message, "the token has expired; connect again with another one");
}

#[tokio::test]
async fn a_token_that_expires_while_the_seat_is_waited_for_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let in_a_moment = || Ok(Principal::new("ann").valid_for(Duration::from_millis(400)));
    let (server, faults) = start_faulty_with(dir.path(), |config| {
        config.authenticator = Some(moody(in_a_moment));
    })
    .await;
    let introduction = hello("notes");
    let mut before = Client::introduce(&server, introduction.clone()).await;
    faults.holds_commits.store(true, Ordering::SeqCst);
    before.send_push(GlobalSeqNum::ROOT, &[group(1, "milk")]).await;
    while faults.begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The push keeps the seat occupied for longer than the token of the next one holds.
    let mut after = Wire::open(server.local_addr()).await;
    after.send(ClientMessage::Hello(introduction)).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    faults.holds_commits.store(false, Ordering::SeqCst);
    let answer = after.receive().await;
    let ServerMessage::Goodbye(goodbye) = answer else { panic!("{answer:?}") };
    assert_eq!(goodbye.reason, GoodbyeReason::AuthExpired);
}

#[tokio::test]
async fn a_principal_whose_word_is_taken_for_ever_and_a_day_does_not_expire() {
    let for_ever = || Ok(Principal::new("ann").valid_for(Duration::MAX));
    let (_dir, server) = start(|config| config.authenticator = Some(moody(for_ever))).await;
    Client::connect(&server, "notes").await.push_ok(&[group(1, "in time")]).await;
}

#[tokio::test]
async fn an_authenticator_that_fails_lets_nobody_in_and_tells_nobody_why() {
    let fails = || Err(AuthError::Unavailable { message: "the secret host is down".into() });
    let (_dir, server) = start(|config| config.authenticator = Some(moody(fails))).await;
    let goodbye = refusal(&server, Some(ANN), "notes").await;
    assert_eq!(goodbye.reason, GoodbyeReason::Internal);
    assert!(!goodbye.message.contains("secret"), "{}", goodbye.message);
    let expired = || Err(AuthError::Expired);
    let (_dir, server) = start(|config| config.authenticator = Some(moody(expired))).await;
    assert_eq!(refusal(&server, Some(ANN), "notes").await.reason, GoodbyeReason::AuthExpired);
}

#[tokio::test]
async fn an_authenticator_that_hangs_is_not_waited_for() {
    struct Hangs;
    impl Authenticator for Hangs {
        fn authenticate<'a>(&'a self, _attempt: Attempt<'a>) -> Authenticating<'a> {
            Box::pin(std::future::pending())
        }
    }
    let (_dir, server) = start(|config| {
        config.authenticator = Some(Arc::new(Hangs));
        config.timing.hello = Duration::from_millis(200);
    })
    .await;
    assert_eq!(refusal(&server, Some(ANN), "notes").await.reason, GoodbyeReason::Internal);
}

#[tokio::test]
async fn rules_know_who_pushes() {
    use livestore_core::protocol::Refusal;
    let read_only = |proposal: &Proposal<'_>| match proposal.principal() {
        Some(principal) if principal.id() == "ann" => Ok(()),
        other => Err(Refusal::new(format!("not by {:?}", other.map(Principal::id)))),
    };
    let (_dir, server) = start(|config| config.rules = Arc::new(read_only)).await;
    let (wire, answer) = begin(&server, Some(ANN), "notes").await;
    let ServerMessage::Welcome(welcome) = answer else { panic!("{answer:?}") };
    Client::of(wire, welcome).push_ok(&[group(1, "hi")]).await;
    let (wire, answer) = begin(&server, Some("the-token-of-bob"), "other").await;
    let ServerMessage::Welcome(welcome) = answer else { panic!("{answer:?}") };
    let answer = Client::of(wire, welcome).push(&[group(2, "hi")]).await;
    let ServerMessage::GroupRejected(rejected) = answer else { panic!("{answer:?}") };
    assert!(format!("{:?}", rejected.reason).contains("not by Some"), "{:?}", rejected.reason);
}
