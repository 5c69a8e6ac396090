//! Events with odd payloads: each is applied or refused, and the state stays a replay of the log.
//!
//! The first byte chooses the event, the rest is its payload, as JSON in any form.

use livestore::{CommitError, MaterializeError};
use livestore_core::CanonicalJson;
use livestore_sqlite::Connection;

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

pub(crate) fn run(input: &[u8]) -> Outcome {
    let Some((which, payload)) = input.split_first() else {
        return Outcome::Refused("Empty".into());
    };
    let name = EVENTS[usize::from(*which) % EVENTS.len()];
    let text = String::from_utf8_lossy(payload);
    let value: Result<serde_json::Value, _> = serde_json::from_str(&text);
    let args = value.ok().and_then(|value| CanonicalJson::encode(&value).ok());
    let Some(args) = args else { return Outcome::Refused("Payload".into()) };

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
