//! Small makers of the things that the tests talk about.

use livestore_core::{
    CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, GlobalSeqNum, Group,
    GroupId, SessionId,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

/// The settings of every property here; a failure prints its input and stores nothing.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

pub(crate) fn json(text: &str) -> CanonicalJson {
    CanonicalJson::parse(text).unwrap()
}

pub(crate) fn event_id(number: u64) -> EventId {
    let mut bytes = [0xee; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    EventId::from_bytes(bytes)
}

pub(crate) fn group_id(number: u64) -> GroupId {
    let mut bytes = [0x99; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    GroupId::from_bytes(bytes)
}

pub(crate) fn event(number: u64) -> Event {
    Event {
        id: event_id(number),
        name: EventName::new("v1.TodoCreated").unwrap(),
        args: json(r#"{"text":"milk"}"#),
    }
}

/// A group of this many events, which are numbered from its own number on.
pub(crate) fn group(number: u64, events: u64) -> Group {
    let events = (0..events).map(|index| event(1000 * number + index)).collect();
    Group::new(group_id(number), client("laptop"), session("tab-1"), events).unwrap()
}

pub(crate) fn client(text: &str) -> ClientId {
    ClientId::new(text).unwrap()
}

pub(crate) fn session(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

pub(crate) fn confirmed(first: u64, group: Group) -> ConfirmedGroup {
    ConfirmedGroup { first: GlobalSeqNum(first), group }
}

/// Characters of every kind that JSON treats differently.
fn any_character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => proptest::char::range('a', 'e'),
        2 => proptest::char::range('\0', '\u{1f}'),
        1 => proptest::sample::select(vec!['"', '\\', '/', '\u{7f}', '\u{2028}', 'é']),
        // The first sort above the second as UTF-8, and below them as UTF-16.
        2 => proptest::char::range('\u{10000}', '\u{10ffff}'),
        2 => proptest::char::range('\u{e000}', '\u{ffff}'),
        1 => any::<char>(),
    ]
}

pub(crate) fn any_text() -> impl Strategy<Value = String> {
    vec(any_character(), 0..6).prop_map(|characters| characters.into_iter().collect())
}

/// Finite doubles of all magnitudes, with many near the turning points of the notation.
pub(crate) fn any_double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |double| double.is_finite()),
        (-1.0e3..1.0e3),
        (-30_i32..30, -99_999_i32..99_999)
            .prop_map(|(exponent, digits)| f64::from(digits) * 10_f64.powi(exponent)),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(|integer| integer as f64),
        proptest::sample::select(vec![0.0, -0.0, 1e21, 1e-6, 1e-7, f64::MIN_POSITIVE, f64::MAX]),
    ]
}

const SAFE: i64 = livestore_core::canonical::MAX_SAFE_INTEGER;

/// Any JSON value whose integers every reader keeps.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-SAFE..=SAFE).prop_map(Value::from),
        any_double().prop_map(Value::from),
        any_text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(any_text(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

pub(crate) fn any_payload() -> impl Strategy<Value = CanonicalJson> {
    any_json().prop_map(|value| CanonicalJson::encode(&value).unwrap())
}

pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let name = "[a-zA-Z0-9. \"\\\\é]{1,40}";
    (any::<[u8; 16]>(), name, any_payload()).prop_map(|(id, name, args)| Event {
        id: EventId::from_bytes(id),
        name: EventName::new(name).unwrap(),
        args,
    })
}

pub(crate) fn any_group() -> impl Strategy<Value = Group> {
    let name = || "[A-Za-z0-9_-]{1,64}";
    (any::<[u8; 16]>(), name(), name(), vec(any_event(), 1..4)).prop_map(
        |(id, client_id, session_id, events)| {
            Group::new(GroupId::from_bytes(id), client(&client_id), session(&session_id), events)
                .unwrap()
        },
    )
}

/// An object that serializes its members in the given order, repeated names and all.
pub(crate) struct Members<V>(pub(crate) Vec<(String, V)>);

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
