//! `docs/protocol.md` says what the code does.

use livestore_core::protocol::{ClientMessage, ServerMessage};
use livestore_core::{EventName, LogHash, limits};
use serde_json::Value;

const SPEC: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md"));

fn examples() -> Vec<&'static str> {
    SPEC.split("```json\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
}

#[test]
fn every_example_is_a_message() {
    let mut kinds = Vec::new();
    for example in examples() {
        let value: Value = serde_json::from_str(example).unwrap();
        let again = match (ClientMessage::decode(example), ServerMessage::decode(example)) {
            (Ok(message), Err(_)) => message.encode(),
            (Err(_), Ok(message)) => message.encode(),
            (client, server) => panic!("{example}\nas client: {client:?}\nas server: {server:?}"),
        };
        assert_eq!(serde_json::from_str::<Value>(&again).unwrap(), value, "{example}");
        kinds.extend(value.as_object().unwrap().keys().cloned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!(
        kinds,
        [
            "alreadyAccepted",
            "authenticate",
            "goodbye",
            "groupRejected",
            "hello",
            "locate",
            "located",
            "page",
            "push",
            "pushAccepted",
            "serverAhead",
            "welcome",
        ]
    );
}

#[test]
fn the_hashes_of_the_example_are_right() {
    let page = examples()
        .iter()
        .find_map(|example| match ServerMessage::decode(example) {
            Ok(ServerMessage::Page(page)) => Some(page),
            _ => None,
        })
        .unwrap();
    let mut hash = LogHash::EMPTY;
    for group in &page.groups {
        let content = group.group.content_hash();
        assert!(SPEC.contains(&content.to_string()), "content hash {content}");
        hash = hash.extend(content);
        assert!(SPEC.contains(&hash.to_string()), "log hash {hash}");
    }
    assert_eq!(page.end.hash, hash);
}

#[test]
fn the_limits_are_the_ones_of_the_code() {
    let row = |name: &str| {
        let line = SPEC.lines().find(|line| line.starts_with(&format!("| {name} |")));
        let cell = line.unwrap_or_else(|| panic!("no limit {name}")).split('|').nth(2).unwrap();
        cell.trim().replace(' ', "").parse::<usize>().unwrap()
    };
    assert_eq!(row("frame"), limits::MAX_FRAME_BYTES);
    assert_eq!(row("payload of an event"), limits::MAX_ARGS_BYTES);
    assert_eq!(row("size of a group"), limits::MAX_GROUP_BYTES);
    assert_eq!(row("events of a group"), limits::MAX_GROUP_EVENTS);
    assert_eq!(row("page or push, bytes"), limits::PAGE_BYTES);
    assert_eq!(row("page or push, events"), limits::PAGE_EVENTS);
    assert_eq!(row("attempted groups"), limits::MAX_ATTEMPTED_GROUPS);
    assert_eq!(row("positions of a locate"), limits::MAX_LOCATE_POSITIONS);
    assert_eq!(row("locates of a conversation"), limits::MAX_LOCATES);
    assert_eq!(row("token"), limits::MAX_TOKEN_BYTES);
    assert_eq!(row("frame before `welcome`"), limits::MAX_OPENING_BYTES);
    assert_eq!(row("protocol versions that a client offers"), limits::MAX_VERSIONS);
    assert_eq!(row("groups of a push"), limits::MAX_ATTEMPTED_GROUPS);
    assert_eq!(row("longest store id"), limits::MAX_STORE_ID_BYTES);
    assert_eq!(row("longest client or session id"), limits::MAX_AUTHOR_BYTES);
    assert_eq!(row("name of an event"), limits::MAX_EVENT_NAME_BYTES);
    EventName::new("x".repeat(row("name of an event"))).unwrap();
}
