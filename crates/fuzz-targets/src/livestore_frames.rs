//! What LiveStore's clients and backends say.
//!
//! The first byte chooses who hears it: `>` our server, a line for each message; `<` our client, over a
//! WebSocket, likewise. Otherwise all of it is an answer over HTTP.

use livestore_cf_protocol::{ClientMessage, ServerMessage};
use livestore_sync_cf::fuzzing::{messages, pages};

use crate::Outcome;

pub(crate) fn run(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused("NoText".into()) };
    match text.as_bytes().first() {
        Some(b'>') => server_hears(&text[1..]),
        Some(b'<') => client_hears(text[1..].lines()),
        _ => match messages(input) {
            Ok(messages) => client_hears(messages.iter().map(String::as_str)),
            Err(_) => Outcome::Refused("NoArray".into()),
        },
    }
}

/// What is read is written such that it is read the same again.
fn server_hears(lines: &str) -> Outcome {
    for line in lines.lines() {
        let Ok(message) = ClientMessage::decode(line) else {
            return Outcome::Refused("ClientMessage".into());
        };
        let again = ClientMessage::decode(&message.encode());
        assert_eq!(again.expect("what was read can be read again"), message);
    }
    Outcome::Accepted("messages of a client")
}

fn client_hears<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Outcome {
    for line in lines.clone() {
        let Ok(message) = ServerMessage::decode(line) else {
            return Outcome::Refused("ServerMessage".into());
        };
        let again = ServerMessage::decode(&message.encode());
        assert_eq!(again.expect("what was read can be read again"), message);
    }
    match pages(lines) {
        Ok(pages) => {
            let mut next = 1;
            for page in &pages {
                page.check().expect("a page is sound");
                assert_eq!(page.groups[0].first.0, next, "pages follow each other");
                next = page.end.seq.0 + 1;
            }
            Outcome::Accepted(if pages.is_empty() { "no pages" } else { "pages" })
        }
        Err(_) => Outcome::Refused("Nonsense".into()),
    }
}
