//! What the URL of a request says.

use serde_json::Value;

/// How a client wants to talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Over a WebSocket.
    Ws,
    /// With a request for each call.
    Http,
}

/// What the query of a URL says.
#[derive(Debug, Clone, PartialEq)]
pub struct SyncQuery {
    /// The log that is wanted.
    pub store_id: String,
    /// How.
    pub transport: Transport,
    /// What the app shows to say who it is.
    pub payload: Option<Value>,
}

/// A query that says it wrongly.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// There is no such way to talk.
    #[error("transport={0:?} is neither ws nor http")]
    Transport(String),
    /// The payload is not JSON.
    #[error("the payload is not JSON: {0}")]
    Payload(String),
}

impl SyncQuery {
    /// Reads a query; nothing if it is none of a sync client.
    ///
    /// The payload is encoded twice: as the text of a URL, and then as a form's field.
    ///
    /// # Errors
    ///
    /// [`QueryError`] if it is one, and says it wrongly.
    pub fn parse(query: &str) -> Result<Option<Self>, QueryError> {
        let (mut store_id, mut transport, mut payload) = (None, None, None);
        for field in query.split('&') {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match name {
                "storeId" => store_id = Some(from_form(value)),
                "transport" => transport = Some(from_form(value)),
                "payload" => payload = Some(from_form(value)),
                _ => {}
            }
        }
        let (Some(store_id), Some(transport)) = (store_id, transport) else { return Ok(None) };
        let transport = match transport.as_str() {
            "ws" => Transport::Ws,
            "http" => Transport::Http,
            _ => return Err(QueryError::Transport(transport.chars().take(20).collect())),
        };
        let payload = payload.map(|text| {
            let once = serde_json::from_str(&text);
            once.or_else(|_| serde_json::from_str(&from_percent(&text)))
                .map_err(|error| QueryError::Payload(error.to_string()))
        });
        Ok(Some(Self { store_id, transport, payload: payload.transpose()? }))
    }

    /// Writes the query, as LiveStore does.
    pub fn encode(&self) -> String {
        let mut query = format!("storeId={}", to_form(&self.store_id));
        if let Some(payload) = &self.payload {
            query.push_str("&payload=");
            query.push_str(&to_form(&to_percent(&payload.to_string())));
        }
        query.push_str(match self.transport {
            Transport::Ws => "&transport=ws",
            Transport::Http => "&transport=http",
        });
        query
    }
}

fn from_form(text: &str) -> String {
    from_percent(&text.replace('+', " "))
}

fn from_percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let coded = after.first_chunk::<2>().filter(|_| *byte == b'%');
        let coded = coded.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(coded) = coded.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(coded);
            rest = &after[2..];
        } else {
            bytes.push(*byte);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn to_form(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte), true)
}

/// As `encodeURIComponent` does.
fn to_percent(text: &str) -> String {
    encode(text, |byte| byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte), false)
}

fn encode(text: &str, is_plain: impl Fn(u8) -> bool, is_form: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' if is_form => encoded.push('+'),
            byte if is_plain(byte) => encoded.push(byte.into()),
            byte => {
                let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
                encoded.extend(['%', digit(byte >> 4), digit(byte)]);
            }
        }
    }
    encoded
}
