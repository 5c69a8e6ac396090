//! What fuzzing gets at: everything that a backend says, up to what the store is told.

use livestore::protocol::Page;
use livestore_cf_protocol::ServerMessage;
use livestore_core::LogPosition;

use crate::array::ArrayReader;
use crate::translate::Translator;

/// Reads messages of a backend, and returns the pages that they make of an empty log.
pub fn pages<'a>(messages: impl IntoIterator<Item = &'a str>) -> Result<Vec<Page>, String> {
    let mut translator: Option<Translator> = None;
    let mut pages = Vec::new();
    for message in messages {
        let message = ServerMessage::decode(message).map_err(|error| error.to_string())?;
        let ServerMessage::Chunk { values, .. } = message else { continue };
        for response in values {
            let translator = translator.get_or_insert_with(|| {
                Translator::new(response.backend_id.clone(), LogPosition::ROOT)
            });
            let taken = translator.take(response).map_err(|error| error.to_string())?;
            pages.extend(translator.page(taken.groups));
            if let Some(gap) = taken.gap {
                let missing = translator.skip_to(gap).map_err(|error| error.to_string())?;
                pages.extend(translator.page(missing));
            }
        }
    }
    Ok(pages)
}

/// Cuts an answer over HTTP into its messages.
pub fn messages(answer: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = ArrayReader::default();
    let mut messages = Vec::new();
    for piece in answer.chunks(7) {
        messages.extend(reader.feed(piece).map_err(|error| error.to_string())?);
    }
    reader.end().map_err(|error| error.to_string())?;
    Ok(messages)
}
