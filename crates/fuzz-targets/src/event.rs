//! Events with odd payloads: each is applied or refused, and the state stays a replay of the log.
//!
//! The first byte chooses the event. The rest is its payload: as JSON, or else as a recipe for it,
//! so that whatever the bytes are, there is a value.

use livestore::{CommitError, MaterializeError};
use livestore_core::CanonicalJson;
use livestore_sqlite::Connection;
use serde_json::Value;

use crate::replica::{Backend, commit, open};
use crate::{Outcome, class};

const EVENTS: [&str; 9] = [
    "v1.NoteWritten",
    "v1.NoteDeleted",
    "v1.SeatTaken",
    "v1.SeatFreed",
    "v1.Measured",
    "v1.DraftSaved",
    "v1.SeatPinned",
    "v1.PointerMoved",
    "v9.FromTheFuture",
];

/// Names of members: what the app's events have, and one that none has.
const MEMBERS: [&str; 12] =
    ["id", "text", "seat", "by", "sensor", "at", "value", "raw", "tags", "valid", "to", "other"];

/// How deep a value by recipe is nested.
const MAX_DEPTH: usize = 4;

/// Bytes that tell how a value is made.
struct Recipe<'a>(std::slice::Iter<'a, u8>);

impl Recipe<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn number(&mut self) -> i64 {
        let bytes: [u8; 8] = std::array::from_fn(|_| self.byte());
        i64::from_le_bytes(bytes)
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.byte() % 10 {
            0 => Value::Null,
            1 => (self.byte() & 1 == 1).into(),
            2 => i64::from(self.byte()).into(),
            3 => (self.number() >> 11).into(),
            4 => self.number().into(),
            5 => f64::from_bits(self.number() as u64).into(),
            6 => {
                let bytes: Vec<u8> = (0..self.byte() % 16).map(|_| self.byte()).collect();
                String::from_utf8_lossy(&bytes).into()
            }
            7 if depth > 0 => (0..self.byte() % 6).map(|_| self.value(depth - 1)).collect(),
            _ if depth > 0 => {
                let count = self.byte() % 8;
                let mut member = || {
                    (
                        MEMBERS[usize::from(self.byte()) % MEMBERS.len()].to_owned(),
                        self.value(depth - 1),
                    )
                };
                (0..count).map(|_| member()).collect::<serde_json::Map<_, _>>().into()
            }
            _ => Value::from("leaf"),
        }
    }
}

pub(crate) fn run(input: &[u8]) -> Outcome {
    let Some((which, payload)) = input.split_first() else {
        return Outcome::Refused("Empty".into());
    };
    let name = EVENTS[usize::from(*which) % EVENTS.len()];
    let value = serde_json::from_slice(payload);
    let value = value.unwrap_or_else(|_| Recipe(payload.iter()).value(MAX_DEPTH));
    let Ok(args) = CanonicalJson::encode(&value) else { return Outcome::Refused("Value".into()) };

    let connection = Connection::open_memory().expect("memory is there");
    let mut replica = open(connection).expect("a new store opens");
    let mut backend = Backend::default();
    backend.talk(&mut replica).expect("nothing fails in memory");
    // From upstream: it is applied, or skipped and noted.
    let page = backend.page(name, args.clone());
    backend.tell(&mut replica, page).expect("no event stops a replica");
    let status = replica.status();
    assert_eq!((status.confirmed_head.0, status.last_error), (1, None));
    // Of its own: it is applied, or refused without a trace.
    let before = replica.state_hash().expect("the state can be read");
    let committed = commit(&mut replica, name, args);
    let hash = replica.state_hash().expect("the state can be read");
    assert_eq!(hash, replica.replay_hash().expect("the log can be replayed"));
    match committed {
        Ok(()) => {
            backend.talk(&mut replica).expect("nothing fails in memory");
            Outcome::Accepted(if status.quarantined > 0 { "committed, skipped" } else { "both" })
        }
        Err(error) => {
            assert_eq!(hash, before, "a commit that fails changes nothing");
            let kind = match &error {
                CommitError::Materialize { source, .. } => {
                    assert!(!matches!(source, MaterializeError::Panicked { .. }), "{error}");
                    class(source)
                }
                other => class(other),
            };
            let skipped = if status.quarantined > 0 { "skipped" } else { "applied" };
            Outcome::Refused(format!("{kind}, {skipped} from upstream"))
        }
    }
}
