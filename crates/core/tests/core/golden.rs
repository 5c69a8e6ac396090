//! The frames of protocol version 0, to the byte, for every message and every reason.
//!
//! Messages that are only long are left out.

use livestore_core::protocol::{ClientMessage, ServerMessage};
use livestore_golden::Fixtures;

use super::protocol::{client_messages, server_messages};

const FIXTURES: Fixtures = Fixtures {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"),
    what: "the protocol",
    command: "cargo test -p livestore-core --test core golden",
};

/// One frame a line, none longer than this.
const MAX_BYTES: usize = 2_000;
const CLIENT: &str = "client-frames-1.jsonl";
const SERVER: &str = "server-frames-1.jsonl";

fn frames() -> [Vec<String>; 2] {
    let mut client: Vec<_> = client_messages().iter().map(ClientMessage::encode).collect();
    client.retain(|frame| frame.len() <= MAX_BYTES);
    [client, server_messages().iter().map(ServerMessage::encode).collect()]
}

fn lines(frames: &[String]) -> String {
    frames.join("\n") + "\n"
}

fn golden(name: &str) -> Vec<String> {
    let text = String::from_utf8(FIXTURES.read(name)).unwrap();
    text.lines().map(Into::into).collect()
}

#[test]
fn the_frames_of_version_0_are_these() {
    let [client, server] = frames();
    FIXTURES.check(CLIENT, &lines(&client));
    FIXTURES.check(SERVER, &lines(&server));
}

#[test]
fn the_frames_of_version_0_still_mean_the_same() {
    if FIXTURES.regenerate() {
        return;
    }
    let short = |message: &ClientMessage| message.encode().len() <= MAX_BYTES;
    let (client, server) = (golden(CLIENT), golden(SERVER));
    let client: Vec<_> = client.iter().map(|frame| ClientMessage::decode(frame).unwrap()).collect();
    let server: Vec<_> = server.iter().map(|frame| ServerMessage::decode(frame).unwrap()).collect();
    assert_eq!(client, client_messages().into_iter().filter(short).collect::<Vec<_>>());
    assert_eq!(server, server_messages());
}
