use livestore_core::limits::{
    MAX_ATTEMPTED_GROUPS, MAX_AUTHOR_BYTES, MAX_FRAME_BYTES, MAX_LOCATE_POSITIONS,
    MAX_OPENING_BYTES, MAX_STORE_ID_BYTES, MAX_TOKEN_BYTES, MAX_VERSIONS,
};
use livestore_core::protocol::{
    AlreadyAccepted, Authenticate, ClientMessage, Goodbye, GoodbyeReason, GroupPosition,
    GroupRejected, Hello, Locate, Located, Page, ProtocolError, Push, PushAccepted, Refusal,
    RejectReason, ServerAhead, ServerMessage, Token, Welcome,
};
use livestore_core::{
    BackendId, Cursor, Event, EventName, GlobalSeqNum, Group, LogHash, LogPosition, StoreId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::support::{
    any_group, cases, client, confirmed, event_id, group, group_id, json, session,
};

fn hello() -> Hello {
    Hello {
        versions: vec![1],
        store_id: StoreId::new("notes").unwrap(),
        client_id: client("laptop"),
        cursor: None,
        attempted: vec![],
    }
}

fn position(seq: u64) -> LogPosition {
    LogPosition { seq: GlobalSeqNum(seq), hash: LogHash::from_bytes([0xab; 32]) }
}

fn locate(positions: impl IntoIterator<Item = u64>) -> Locate {
    Locate {
        versions: vec![1],
        store_id: StoreId::new("notes").unwrap(),
        client_id: client("laptop"),
        positions: positions.into_iter().map(position).collect(),
    }
}

fn page() -> Page {
    let groups = vec![confirmed(4, group(1, 2)), confirmed(6, group(2, 1))];
    Page { groups, end: position(6), head: GlobalSeqNum(8) }
}

/// A group with all that names and payloads may hold.
fn odd_group() -> Group {
    let payload = r#"{"":[null,-1.5e-7,1e+21],"\u0001\n":"\"é😀","a":{"b":[],"c":{}}}"#;
    let event = Event {
        id: event_id(7),
        name: EventName::new("näh, \"what\"?").unwrap(),
        args: json(payload),
    };
    Group::new(group_id(7), client("A-z_0"), session("-"), vec![event]).unwrap()
}

/// One message of every kind that a client sends.
pub(crate) fn client_messages() -> Vec<ClientMessage> {
    let backend_id = BackendId::from_bytes([0xbb; 16]);
    let cursor = Some(Cursor { backend_id, position: position(3) });
    vec![
        ClientMessage::Authenticate(Authenticate { token: Token::new("sé\"cret").unwrap() }),
        ClientMessage::Locate(locate([0, 3, GlobalSeqNum::MAX.0])),
        ClientMessage::Locate(locate(1..=MAX_LOCATE_POSITIONS as u64)),
        ClientMessage::Hello(hello()),
        ClientMessage::Hello(Hello {
            cursor,
            attempted: vec![group_id(1), group_id(2)],
            ..hello()
        }),
        ClientMessage::Hello(Hello {
            versions: vec![0, 1, u32::MAX],
            cursor,
            attempted: (0..MAX_ATTEMPTED_GROUPS as u64).map(group_id).collect(),
            ..hello()
        }),
        ClientMessage::Push(Push { request: 0, base: GlobalSeqNum(0), groups: vec![odd_group()] }),
        ClientMessage::Push(Push {
            request: u64::MAX,
            base: GlobalSeqNum(3),
            groups: vec![group(1, 1), group(2, 3)],
        }),
    ]
}

/// One message of every kind that a server sends, with every reason.
pub(crate) fn server_messages() -> Vec<ServerMessage> {
    let backend_id = BackendId::from_bytes([0xbb; 16]);
    let standing = vec![GroupPosition { id: group_id(1), first: GlobalSeqNum(4) }];
    let rejected = |reason| GroupRejected { request: 7, group: group_id(1), reason };
    let goodbye = |reason| Goodbye { reason, message: "come \"back\"\n".into() };
    let (common, head) = (GlobalSeqNum(3), GlobalSeqNum(8));
    let mut messages = vec![
        ServerMessage::Located(Located { backend_id, common, head }),
        ServerMessage::Welcome(Welcome {
            version: 1,
            backend_id,
            head: GlobalSeqNum(8),
            accepted: standing.clone(),
        }),
        ServerMessage::Page(page()),
        ServerMessage::PushAccepted(PushAccepted {
            request: 7,
            first: GlobalSeqNum(4),
            end: position(4),
        }),
        ServerMessage::AlreadyAccepted(AlreadyAccepted { request: 7, groups: standing }),
        ServerMessage::ServerAhead(ServerAhead { request: 7, missing: None }),
        ServerMessage::ServerAhead(ServerAhead { request: 7, missing: Some(page()) }),
        ServerMessage::GroupRejected(rejected(RejectReason::EventIdConflict)),
        ServerMessage::GroupRejected(rejected(RejectReason::Refused(Refusal::new("no")))),
        ServerMessage::GroupRejected(rejected(RejectReason::Refused(
            Refusal::new("no").with_code("overdrawn").with_details(json!([1, null, "x"])),
        ))),
    ];
    let reasons = [
        GoodbyeReason::UnsupportedVersion,
        GoodbyeReason::HistoryDiverged,
        GoodbyeReason::ProtocolError,
        GoodbyeReason::Superseded,
        GoodbyeReason::Unauthenticated,
        GoodbyeReason::AuthExpired,
        GoodbyeReason::Forbidden,
        GoodbyeReason::ShuttingDown,
        GoodbyeReason::Internal,
    ];
    messages.extend(reasons.map(|reason| ServerMessage::Goodbye(goodbye(reason))));
    messages
}

#[test]
fn every_message_round_trips() {
    for message in client_messages() {
        assert_eq!(ClientMessage::decode(&message.encode()).unwrap(), message);
    }
    for message in server_messages() {
        assert_eq!(ServerMessage::decode(&message.encode()).unwrap(), message);
    }
}

#[test]
fn a_cursor_names_the_backend_beside_the_position() {
    let cursor = Cursor { backend_id: BackendId::from_bytes([0xbb; 16]), position: position(3) };
    let json = serde_json::to_string(&cursor).unwrap();
    let hash = "ab".repeat(32);
    assert_eq!(
        json,
        format!(
            r#"{{"backendId":"bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb","seq":3,"hash":"{hash}"}}"#
        )
    );
    assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
}

#[test]
fn too_many_attempted_groups_are_refused() {
    let attempted = (0..=MAX_ATTEMPTED_GROUPS as u64).map(group_id).collect();
    let frame = ClientMessage::Hello(Hello { attempted, ..hello() }).encode();
    let refused = ClientMessage::decode(&frame);
    assert!(matches!(refused, Err(ProtocolError::WrongCount { count: 257, .. })), "{refused:?}");
}

#[test]
fn a_locate_asks_about_1_to_256_ascending_positions() {
    let decoded = |positions: Vec<u64>| {
        ClientMessage::decode(&ClientMessage::Locate(locate(positions)).encode())
    };
    for count in [0, MAX_LOCATE_POSITIONS as u64 + 1] {
        let refused = decoded((0..count).collect());
        assert!(matches!(refused, Err(ProtocolError::WrongCount { .. })), "{refused:?}");
    }
    for disorder in [vec![1, 5, 5, 7], vec![1, 5, 4]] {
        let found = GlobalSeqNum(disorder[2]);
        let not_ascending = ProtocolError::NotAscending { after: GlobalSeqNum(5), found };
        assert_eq!(decoded(disorder), Err(not_ascending));
    }
}

#[test]
fn an_empty_push_is_refused() {
    let push = Push { request: 1, base: GlobalSeqNum::ROOT, groups: vec![] };
    let refused = ClientMessage::decode(&ClientMessage::Push(push).encode());
    assert!(matches!(refused, Err(ProtocolError::WrongCount { count: 0, .. })), "{refused:?}");
}

#[test]
fn an_oversized_frame_is_refused_before_it_is_read() {
    let frame = " ".repeat(MAX_FRAME_BYTES + 1);
    let too_large = ProtocolError::FrameTooLarge { bytes: MAX_FRAME_BYTES + 1 };
    assert_eq!(ClientMessage::decode(&frame), Err(too_large.clone()));
    assert_eq!(ServerMessage::decode(&frame), Err(too_large));
    let largest = &frame[1..];
    assert!(matches!(ClientMessage::decode(largest), Err(ProtocolError::Malformed { .. })));
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn pushed_groups_arrive_byte_for_byte(groups in vec(any_group(), 1..4), request: u64) {
        let hashes: Vec<_> = groups.iter().map(livestore_core::Group::content_hash).collect();
        let push = ClientMessage::Push(Push { request, base: GlobalSeqNum(5), groups });
        let decoded = ClientMessage::decode(&push.encode()).unwrap();
        prop_assert_eq!(&decoded, &push);
        let ClientMessage::Push(push) = decoded else { unreachable!() };
        let arrived: Vec<_> = push.groups.iter().map(livestore_core::Group::content_hash).collect();
        prop_assert_eq!(arrived, hashes);
    }

    #[test]
    fn a_page_of_any_groups_arrives_byte_for_byte(
        groups in vec(any_group(), 1..4), first in 1..1_000_000_u64, behind in 0..9_u64,
    ) {
        let mut next = GlobalSeqNum(first);
        let groups: Vec<_> = groups.into_iter().map(|group| {
            let confirmed = confirmed(next.0, group);
            next = confirmed.last().next();
            confirmed
        }).collect();
        let end = position(next.0 - 1);
        let page = ServerMessage::Page(Page { groups, head: end.seq.plus(behind), end });
        prop_assert_eq!(ServerMessage::decode(&page.encode()).unwrap(), page);
    }
}

#[test]
fn a_token_is_bounded_and_not_shown() {
    let token = Token::new("a secret").unwrap();
    let message = ClientMessage::Authenticate(Authenticate { token: token.clone() });
    assert_eq!(token.secret(), "a secret");
    assert!(!format!("{token:?} {message:?}").contains("secret"));

    let long = "x".repeat(16 << 10);
    let message = ClientMessage::Authenticate(Authenticate { token: Token::new(&*long).unwrap() });
    assert_eq!(ClientMessage::decode(&message.encode()).unwrap(), message);
    let too_long = ProtocolError::TokenTooLong { bytes: (16 << 10) + 1 };
    assert_eq!(Token::new(format!("{long}x")), Err(too_long.clone()));
    let frame = message.encode().replace(&long, &format!("{long}x"));
    assert_eq!(ClientMessage::decode(&frame), Err(too_long));
}

#[test]
fn the_longest_messages_of_an_introduction_are_within_the_limit() {
    // JSON needs most for control characters.
    let token = Token::new("\u{1}".repeat(MAX_TOKEN_BYTES)).unwrap();
    let positions = (0..MAX_LOCATE_POSITIONS as u64).map(|at| GlobalSeqNum::MAX.0 - 256 + at);
    let (longest_name, versions) = ("x".repeat(MAX_AUTHOR_BYTES), vec![u32::MAX; MAX_VERSIONS]);
    let store_id = StoreId::new("x".repeat(MAX_STORE_ID_BYTES)).unwrap();
    // JSON needs most for quotation marks, of what a name may have.
    let client_id = client(&longest_name.replace('x', "\""));
    let locate = Locate {
        versions: versions.clone(),
        store_id: store_id.clone(),
        client_id: client_id.clone(),
        ..locate(positions)
    };
    let backend_id = BackendId::from_bytes([0xbb; 16]);
    let cursor = Some(Cursor { backend_id, position: position(GlobalSeqNum::MAX.0) });
    let attempted = vec![group_id(1); MAX_ATTEMPTED_GROUPS];
    let hello = Hello { versions, store_id, client_id, cursor, attempted };
    let mut lengths = Vec::new();
    for message in [
        ClientMessage::Authenticate(Authenticate { token }),
        ClientMessage::Locate(locate),
        ClientMessage::Hello(hello),
    ] {
        let frame = message.encode();
        assert_eq!(ClientMessage::decode(&frame).unwrap(), message);
        assert!(frame.len() <= MAX_OPENING_BYTES, "{} bytes", frame.len());
        lengths.push(frame.len());
    }
    // The limit is not far from what there can be.
    assert!(lengths[0] > MAX_OPENING_BYTES / 2, "{lengths:?}");
    assert!(lengths[1].max(lengths[2]) < MAX_OPENING_BYTES / 2, "{lengths:?}");
}

#[test]
fn more_versions_than_anybody_speaks_are_refused() {
    let versions = vec![0; MAX_VERSIONS + 1];
    let messages = [
        ClientMessage::Hello(Hello { versions: versions.clone(), ..hello() }),
        ClientMessage::Locate(Locate { versions, ..locate([1]) }),
    ];
    for message in messages {
        let error = ClientMessage::decode(&message.encode()).unwrap_err();
        assert!(matches!(error, ProtocolError::WrongCount { count: 17, .. }), "{error}");
    }
}
