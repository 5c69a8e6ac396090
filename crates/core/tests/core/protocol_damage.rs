//! Frames that are not what they should be: always a typed error, never a panic.

use livestore_core::protocol::{ClientMessage, ProtocolError, ServerMessage};
use proptest::collection::vec;
use proptest::prelude::*;

use super::protocol::{client_messages, server_messages};
use super::support::cases;

fn client_frames() -> Vec<String> {
    client_messages().iter().map(ClientMessage::encode).collect()
}

fn server_frames() -> Vec<String> {
    server_messages().iter().map(ServerMessage::encode).collect()
}

fn is_malformed<T: std::fmt::Debug>(decoded: &Result<T, ProtocolError>) -> bool {
    matches!(decoded, Err(ProtocolError::Malformed { .. }))
}

/// Puts `member` first into every object of the frame in turn.
fn with_a_member_more(frame: &str, member: &str) -> Vec<String> {
    let objects = frame.match_indices('{').map(|(at, _)| at);
    let insert = |at: usize| {
        let (before, after) = frame.split_at(at + 1);
        let comma = if after.starts_with('}') { "" } else { "," };
        format!("{before}{member}{comma}{after}")
    };
    objects.map(insert).collect()
}

#[test]
fn a_truncated_frame_is_malformed() {
    for frame in client_frames() {
        let ends = (0..frame.len()).filter(|end| frame.is_char_boundary(*end)).step_by(7);
        for end in ends {
            assert!(is_malformed(&ClientMessage::decode(&frame[..end])), "{}", &frame[..end]);
        }
    }
    for frame in server_frames() {
        for end in 0..frame.len() {
            assert!(is_malformed(&ServerMessage::decode(&frame[..end])), "{}", &frame[..end]);
        }
    }
}

#[test]
fn text_behind_the_message_is_malformed() {
    for frame in client_frames() {
        assert!(is_malformed(&ClientMessage::decode(&format!("{frame}{frame}"))));
        assert!(is_malformed(&ClientMessage::decode(&format!("{frame}x"))));
    }
}

#[test]
fn an_unknown_member_is_malformed_at_every_level() {
    for frame in client_frames() {
        for damaged in with_a_member_more(&frame, r#""unknown":1"#) {
            // What a payload holds is the app's own business.
            let in_payload = [r#""args":{"unknown""#, r#""c":{"unknown""#];
            let in_payload = in_payload.iter().any(|place| damaged.contains(place));
            assert!(in_payload || is_malformed(&ClientMessage::decode(&damaged)), "{damaged:.400}");
        }
    }
    for frame in server_frames() {
        for damaged in with_a_member_more(&frame, r#""unknown":1"#) {
            let in_payload = damaged.contains(r#""args":{"unknown""#);
            assert!(in_payload || is_malformed(&ServerMessage::decode(&damaged)), "{damaged}");
        }
    }
}

#[test]
fn a_missing_member_is_malformed_even_if_it_may_be_null() {
    let hello =
        r#"{"hello":{"versions":[1],"storeId":"a","clientId":"b","cursor":null,"attempted":[]}}"#;
    assert!(ClientMessage::decode(hello).is_ok());
    for member in [r#""versions":[1],"#, r#""storeId":"a","#, r#""cursor":null,"#] {
        let damaged = hello.replacen(member, "", 1);
        assert_ne!(damaged, hello);
        assert!(is_malformed(&ClientMessage::decode(&damaged)), "{damaged}");
    }
    let ahead = r#"{"serverAhead":{"request":7}}"#;
    assert!(is_malformed(&ServerMessage::decode(ahead)));
}

#[test]
fn a_repeated_member_is_malformed() {
    let hello = r#"{"hello":{"versions":[1],"versions":[1],"storeId":"a","clientId":"b","cursor":null,"attempted":[]}}"#;
    assert!(is_malformed(&ClientMessage::decode(hello)));
    let twice = r#"{"goodbye":{"reason":"internal","message":""},"goodbye":{"reason":"internal","message":""}}"#;
    assert!(is_malformed(&ServerMessage::decode(twice)));
}

#[test]
fn an_unknown_kind_is_malformed() {
    for frame in ["{}", "[]", "null", "1", "\"hello\"", r#"{"bye":{}}"#, r#"{"Hello":{}}"#] {
        assert!(is_malformed(&ClientMessage::decode(frame)), "{frame}");
        assert!(is_malformed(&ServerMessage::decode(frame)), "{frame}");
    }
    // Neither side takes the other's messages.
    assert!(client_frames().iter().all(|frame| is_malformed(&ServerMessage::decode(frame))));
    assert!(server_frames().iter().all(|frame| is_malformed(&ClientMessage::decode(frame))));
}

#[test]
fn an_unknown_reason_is_malformed() {
    let unknown = r#"{"goodbye":{"reason":"bored","message":""}}"#;
    assert!(is_malformed(&ServerMessage::decode(unknown)));
}

#[test]
fn a_payload_that_is_not_canonical_is_malformed() {
    let frame = client_frames().pop().unwrap();
    for payload in [
        r#"{"text": "milk"}"#,
        r#"{"text":"m\u0069lk"}"#,
        r#"{"text":"milk","a":1}"#,
        r#"{"text":"milk","text":"milk"}"#,
        r#"{"text":1.0}"#,
        r#"{"text":9007199254740993}"#,
        r#"{"text":"\ud800"}"#,
    ] {
        let damaged = frame.replacen(r#"{"text":"milk"}"#, payload, 1);
        assert_ne!(damaged, frame);
        assert!(is_malformed(&ClientMessage::decode(&damaged)), "{payload}");
    }
}

#[test]
fn fields_out_of_their_bounds_are_malformed() {
    let frame = client_frames().pop().unwrap();
    for (good, bad) in [
        (r#""request":18446744073709551615"#, r#""request":18446744073709551616"#),
        (r#""base":3"#, r#""base":-1"#),
        (r#""base":3"#, r#""base":9223372036854775807"#),
        (r#""base":3"#, r#""base":3.0"#),
        (r#""base":3"#, r#""base":"e3""#),
        (r#""laptop""#, r#""my\nlaptop""#),
        (r#""v1.TodoCreated""#, r#""""#),
        (r#""v1.TodoCreated""#, r#""a\u0000""#),
        ("99999999-9999", "9999"),
    ] {
        let damaged = frame.replacen(good, bad, 1);
        assert_ne!(damaged, frame);
        assert!(is_malformed(&ClientMessage::decode(&damaged)), "{damaged}");
    }
}

#[test]
fn a_payload_nested_without_end_is_malformed() {
    let frame = client_frames().pop().unwrap();
    let deep = ["[".repeat(100_000), "]".repeat(100_000)].concat();
    let damaged = frame.replacen(r#"{"text":"milk"}"#, &deep, 1);
    assert!(is_malformed(&ClientMessage::decode(&damaged)));
}

/// What decodes can be used as it is: nothing in it overflows, and it encodes to itself.
fn use_as_it_is(frame: &str) {
    if let Ok(message) = ClientMessage::decode(frame) {
        assert_eq!(ClientMessage::decode(&message.encode()).unwrap(), message);
    }
    if let Ok(message) = ServerMessage::decode(frame) {
        if let ServerMessage::Page(page) = &message {
            assert_eq!(page.groups.last().unwrap().last(), page.end.seq);
        }
        assert_eq!(ServerMessage::decode(&message.encode()).unwrap(), message);
    }
}

#[derive(Debug, Clone)]
enum Damage {
    Replace(char),
    Insert(char),
    Remove,
    Cut,
    Repeat,
}

fn any_damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let character =
        || prop_oneof!["[0-9{}\\[\\],:\"a-f\\\\-]", any::<char>().prop_map(String::from)];
    let damage = prop_oneof![
        4 => character().prop_map(|text| Damage::Replace(text.chars().next().unwrap())),
        2 => character().prop_map(|text| Damage::Insert(text.chars().next().unwrap())),
        2 => Just(Damage::Remove),
        1 => Just(Damage::Cut),
        1 => Just(Damage::Repeat),
    ];
    (any::<prop::sample::Index>(), damage)
}

fn damaged(frame: &str, damages: Vec<(prop::sample::Index, Damage)>) -> String {
    let mut characters: Vec<char> = frame.chars().collect();
    for (at, damage) in damages {
        if characters.is_empty() {
            break;
        }
        let at = at.index(characters.len());
        match damage {
            Damage::Replace(character) => characters[at] = character,
            Damage::Insert(character) => characters.insert(at, character),
            Damage::Remove => drop(characters.remove(at)),
            Damage::Cut => characters.truncate(at),
            Damage::Repeat => characters.extend_from_within(at..),
        }
    }
    characters.into_iter().collect()
}

proptest! {
    #![proptest_config(cases(1024))]

    #[test]
    fn any_text_decodes_or_fails_with_a_typed_error(text in any::<String>()) {
        use_as_it_is(&text);
    }

    #[test]
    fn a_damaged_frame_decodes_or_fails_with_a_typed_error(
        which: prop::sample::Index, damages in vec(any_damage(), 1..4),
    ) {
        // Without the longest: damage in a list of 256 ids is damage in one id.
        let mut frames = client_frames();
        frames.extend(server_frames());
        frames.retain(|frame| frame.len() < 2000);
        use_as_it_is(&damaged(which.get::<String>(&frames), damages));
    }
}
