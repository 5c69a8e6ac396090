use livestore_core::limits::{MAX_ARGS_BYTES, MAX_GROUP_BYTES, MAX_GROUP_EVENTS};
use livestore_core::{
    CanonicalJson, ClientId, ContentHash, Event, EventName, GlobalSeqNum, Group, GroupError,
    GroupId, LogHash, SessionId,
};
use proptest::prelude::*;

use super::support::{
    any_event, any_group, cases, client, confirmed, event, group, group_id, session,
};

fn group_of(events: Vec<Event>) -> Result<Group, GroupError> {
    Group::new(group_id(1), client("laptop"), session("tab-1"), events)
}

/// A payload of exactly this many bytes.
fn payload(bytes: usize) -> CanonicalJson {
    CanonicalJson::encode(&"x".repeat(bytes - 2)).unwrap()
}

#[test]
fn a_group_without_events_is_refused() {
    assert_eq!(group_of(vec![]), Err(GroupError::Empty));
}

#[test]
fn a_payload_may_be_as_large_as_the_limit_and_no_larger() {
    let with_payload = |bytes| Event { args: payload(bytes), ..event(1) };
    assert!(group_of(vec![with_payload(MAX_ARGS_BYTES)]).is_ok());
    let name = EventName::new("v1.TodoCreated").unwrap();
    let bytes = MAX_ARGS_BYTES + 1;
    let too_large = Err(GroupError::ArgsTooLarge { name, bytes });
    assert_eq!(group_of(vec![event(1), with_payload(bytes)]), too_large);
}

#[test]
fn a_group_may_hold_as_many_events_as_the_limit_and_no_more() {
    let numbered = |count: usize| (0..count as u64).map(event).collect();
    assert_eq!(group_of(numbered(MAX_GROUP_EVENTS)).unwrap().event_count(), 10_000);
    let events = MAX_GROUP_EVENTS + 1;
    let refused = group_of(numbered(events));
    assert!(matches!(refused, Err(GroupError::TooLarge { events: found, .. }) if found == events));
}

#[test]
fn a_group_may_be_as_large_as_the_limit_and_no_larger() {
    let overhead = "v1.TodoCreated".len() + 32;
    let mut events: Vec<_> =
        (0..4).map(|n| Event { args: payload(MAX_ARGS_BYTES - overhead), ..event(n) }).collect();
    let largest = group_of(events.clone()).unwrap();
    assert_eq!(largest.size_bytes(), MAX_GROUP_BYTES);
    events[3].args = payload(MAX_ARGS_BYTES - overhead + 1);
    let bytes = MAX_GROUP_BYTES + 1;
    assert_eq!(group_of(events), Err(GroupError::TooLarge { events: 4, bytes }));
}

#[test]
fn the_bounds_hold_for_groups_that_are_read_too() {
    let mut json = serde_json::to_value(group(1, 1)).unwrap();
    assert!(serde_json::from_value::<serde_json::Value>(json.clone()).is_ok());
    json["events"] = serde_json::json!([]);
    let error = serde_json::from_str::<Group>(&json.to_string()).unwrap_err();
    assert!(error.to_string().contains("at least one event"), "{error}");
}

#[test]
fn a_confirmed_group_takes_one_position_an_event() {
    assert_eq!(confirmed(5, group(1, 1)).last(), GlobalSeqNum(5));
    assert_eq!(confirmed(5, group(1, 3)).last(), GlobalSeqNum(7));
}

#[test]
fn the_hash_of_a_log_is_a_chain() {
    let [a, b] = [group(1, 1), group(2, 2)].map(|group| group.content_hash());
    let empty = LogHash::EMPTY;
    assert_eq!(empty.as_bytes(), &[0; 32]);
    assert_eq!(empty.extend(a).extend(b), LogHash::EMPTY.extend(a).extend(b));
    let logs = [empty, empty.extend(a), empty.extend(b), empty.extend(a).extend(b)];
    let others = [empty.extend(b).extend(a), empty.extend(a).extend(a)];
    let all: std::collections::HashSet<_> = logs.iter().chain(&others).collect();
    assert_eq!(all.len(), 6, "order and repetition count");
}

#[test]
fn the_hashes_of_a_known_group_and_log_never_change() {
    let hash = group(1, 2).content_hash();
    // BLAKE3 over the fields, each after its length as eight bytes, little-endian.
    let mut expected = blake3::Hasher::new();
    let mut field = |bytes: &[u8]| {
        expected.update(&(bytes.len() as u64).to_le_bytes());
        expected.update(bytes);
    };
    field(group_id(1).as_bytes());
    field(b"laptop");
    field(b"tab-1");
    for number in [1000, 1001] {
        field(event(number).id.as_bytes());
        field(b"v1.TodoCreated");
        field(br#"{"text":"milk"}"#);
    }
    assert_eq!(hash, ContentHash::from_bytes(*expected.finalize().as_bytes()));
    let extended = blake3::hash(&[[0; 32], *hash.as_bytes()].concat());
    assert_eq!(LogHash::EMPTY.extend(hash), LogHash::from_bytes(*extended.as_bytes()));
}

/// Everything that a group is, open for change.
#[derive(Debug, Clone)]
struct Parts {
    id: GroupId,
    client_id: ClientId,
    session_id: SessionId,
    events: Vec<Event>,
}

type Change<'a> = &'a dyn Fn(&mut Parts);

impl Parts {
    fn of(group: &Group) -> Self {
        Self {
            id: group.id(),
            client_id: group.client_id().clone(),
            session_id: group.session_id().clone(),
            events: group.events().to_vec(),
        }
    }

    fn hash(self) -> ContentHash {
        Group::new(self.id, self.client_id, self.session_id, self.events).unwrap().content_hash()
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn the_content_hash_changes_with_any_field(
        group in any_group(), other in any_group(), extra in any_event(), at: prop::sample::Index,
    ) {
        let original = Parts::of(&group);
        let hash = group.content_hash();
        prop_assert_eq!(original.clone().hash(), hash);
        let at = at.index(original.events.len());
        let other_event = &other.events()[0];
        let changes: [(&str, Change<'_>); 9] = [
            ("id", &|parts| parts.id = other.id()),
            ("client", &|parts| parts.client_id = other.client_id().clone()),
            ("session", &|parts| parts.session_id = other.session_id().clone()),
            ("event id", &|parts| parts.events[at].id = other_event.id),
            ("event name", &|parts| parts.events[at].name = other_event.name.clone()),
            ("payload", &|parts| parts.events[at].args = other_event.args.clone()),
            ("one event more", &|parts| parts.events.insert(at, extra.clone())),
            ("another event", &|parts| parts.events[at] = extra.clone()),
            ("order", &|parts| parts.events.reverse()),
        ];
        for (what, change) in changes {
            let mut changed = original.clone();
            change(&mut changed);
            let same = Parts::of(&group).events == changed.events
                && (&changed.client_id, &changed.session_id, changed.id)
                    == (&original.client_id, &original.session_id, original.id);
            prop_assert_eq!(changed.hash() == hash, same, "{}", what);
        }
    }

    #[test]
    fn text_that_moves_between_fields_changes_the_hash(text in "[a-z]{2,20}", at in 1..20_usize) {
        let at = at.min(text.len() - 1);
        let group = |client_id: &str, session_id: &str| {
            Group::new(group_id(1), client(client_id), session(session_id), vec![event(1)]).unwrap()
        };
        let one = group(&text[..at], &text[at..]).content_hash();
        let moved = group(&format!("{}x", &text[..at]), &text[at..]).content_hash();
        let other = group(&text[..at], &format!("x{}", &text[at..])).content_hash();
        prop_assert!(one != moved && one != other && moved != other);
    }

    #[test]
    fn a_group_round_trips_through_json(group in any_group()) {
        let json = serde_json::to_string(&group).unwrap();
        let back: Group = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(back.content_hash(), group.content_hash());
        prop_assert_eq!(back, group);
    }
}
