//! Ids of ours for what has none in LiveStore: backends named by texts, and events without ids.

use std::borrow::Cow;

use livestore_core::limits::{MAX_AUTHOR_BYTES, MAX_EVENT_NAME_BYTES};
use livestore_core::{BackendId, CanonicalJson, Event, EventId, Group, GroupId};

use crate::event::{CfEvent, EventError, Stamped};

/// Returns the id of a backend that calls itself so.
pub fn backend_id_of(name: &str) -> BackendId {
    let hash = blake3::derive_key("livestore 1 backend that is named by a text", name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    BackendId::from_bytes(bytes)
}

impl Stamped {
    /// Makes a group of this one event of a backend's log.
    ///
    /// Its ids follow from what it is and where it stands, so that everybody gives it the same. Names that
    /// are no names of ours, which are too long or have control characters, become `unfit-` and a hash.
    ///
    /// # Errors
    ///
    /// Its payload does not fit into a log of ours.
    pub fn into_group(self, backend: &str) -> Result<Group, EventError> {
        let Self { mut event_encoded, metadata } = self;
        // Of a time that is not one, the beginning of time.
        let at = metadata.and_then(|metadata| metadata.created_at.parse::<jiff::Timestamp>().ok());
        let time_ms = at.map_or(0, |at| at.as_millisecond().max(0) as u64);
        let ids = [b"group", b"event"].map(|what| event_encoded.derive_id(backend, what, time_ms));
        event_encoded.name = fit(event_encoded.name, MAX_EVENT_NAME_BYTES);
        event_encoded.client_id = fit(event_encoded.client_id, MAX_AUTHOR_BYTES);
        event_encoded.session_id = fit(event_encoded.session_id, MAX_AUTHOR_BYTES);
        let [group, event] = ids;
        event_encoded.into_group(GroupId::from_bytes(group), EventId::from_bytes(event))
    }
}

impl CfEvent {
    /// Makes a UUID of version 7 of a time and of what the event is.
    fn derive_id(&self, backend: &str, what: &[u8], time_ms: u64) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new_derive_key("livestore 1 event that has no id");
        let args = self.args.as_ref().map(ToString::to_string).unwrap_or_default();
        let seq = self.seq_num.to_le_bytes();
        let (name, client, session) = (&self.name, &self.client_id, &self.session_id);
        let texts = [name, client, session, &args].map(String::as_bytes);
        for part in [what, backend.as_bytes(), &seq].into_iter().chain(texts) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        let hash = *hasher.finalize().as_bytes();
        let mut id = [0; 16];
        id[..6].copy_from_slice(&time_ms.to_be_bytes()[2..]);
        id[6..].copy_from_slice(&hash[..10]);
        id[6] = id[6] & 0x0f | 0x70;
        id[8] = id[8] & 0x3f | 0x80;
        id
    }

    /// Tells whether this is an event of a group of ours: the same name, payload and author.
    pub fn is(&self, event: &Event, group: &Group) -> bool {
        self.name == event.name.as_str()
            && self.client_id == group.client_id().as_str()
            && self.session_id == group.session_id().as_str()
            && CanonicalJson::encode(&self.args).is_ok_and(|args| args == event.args)
    }
}

/// Returns a name, or what stands for it if it is none of ours.
fn fit(name: String, longest: usize) -> String {
    if (1..=longest).contains(&name.len()) && !name.chars().any(char::is_control) {
        return name;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    format!("unfit-{}", &hash[..16])
}

/// Replaces halves of characters, which JavaScript lets into texts, by U+FFFD; they are escaped in JSON.
pub(crate) fn without_lone_surrogates(text: &str) -> Cow<'_, str> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let bytes = text.as_bytes();
    let (mut clean, mut kept, mut at) = (String::new(), 0, 0);
    while let Some(escape) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        at += escape;
        match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                clean.push_str(&text[kept..at]);
                clean.push_str("\\ufffd");
                at += 6;
                kept = at;
            }
            Some(_) => at += 6,
            // Another escape, of one character.
            None => at = (at + 2).min(bytes.len()),
        }
    }
    if kept == 0 {
        return Cow::Borrowed(text);
    }
    clean.push_str(&text[kept..]);
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_are_replaced_and_nothing_else() {
        for (text, clean) in [
            (r#""a\\ud83d b""#, r#""a\\ud83d b""#),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\ude00\ud83d\n\u0041é""#, r#""\ufffd\ufffd\n\u0041é""#),
            (r#""\ud83d\ud83d\ude00x""#, r#""\ufffd\ud83d\ude00x""#),
            (r#""\\\ud83dé\"#, r#""\\\ufffdé\"#),
            ("\"\\ué\u{1F600}", "\"\\ué\u{1F600}"),
        ] {
            assert_eq!(without_lone_surrogates(text), clean, "{text}");
        }
    }
}
