//! Payloads: canonical JSON is one text for one value, whoever wrote it.

use livestore_core::{CanonicalJson, JsonError};
use serde_json::Value;

use crate::{Outcome, class};

pub(crate) fn run(input: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(input) else { return Outcome::Refused("Utf8".into()) };
    let value: Result<Value, _> = serde_json::from_str(text);
    let parsed = CanonicalJson::parse(text);
    let Ok(value) = value else {
        let error = parsed.expect_err("what is no JSON has no canonical form");
        let is_unread = match &error {
            JsonError::Syntax { .. } | JsonError::TooDeep => true,
            // A member that has a name of serde_json's own is no JSON to it, depending on its value.
            JsonError::Custom { reason } => reason.starts_with("no member can be named"),
            _ => false,
        };
        assert!(is_unread, "{error:?}");
        return Outcome::Refused(class(&error));
    };
    let encoded = CanonicalJson::encode(&value);
    if let Ok(canonical) = &encoded {
        assert_eq!(CanonicalJson::parse(canonical.as_str()).as_ref(), Ok(canonical));
        let again: Value = canonical.decode().expect("canonical JSON is JSON");
        match CanonicalJson::encode(&again) {
            Ok(again) => assert_eq!(&again, canonical),
            // A large double whose text has neither point nor exponent is read as an integer.
            Err(error) => assert!(matches!(error, JsonError::IntegerTooLarge { .. }), "{error}"),
        }
    }
    match parsed {
        Ok(canonical) => {
            assert_eq!(canonical.as_str(), text, "what is canonical is kept to the byte");
            let embedded = serde_json::to_string(&canonical).expect("it is embedded as it is");
            assert_eq!(embedded, text);
            Outcome::Accepted("canonical")
        }
        Err(error) => {
            let encoded = encoded.as_ref().map_or_else(class, |_| "Ok".into());
            Outcome::Refused(format!("{}, encodes {encoded}", class(&error)))
        }
    }
}
