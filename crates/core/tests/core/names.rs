use livestore_core::limits::{MAX_EVENT_NAME_BYTES, MAX_NAME_BYTES};
use livestore_core::{ClientId, EventName, SessionId, StoreId};
use proptest::prelude::*;

use super::support::cases;

#[test]
fn letters_digits_underscore_and_dash_make_a_name() {
    for text in ["a", "Z", "0", "_", "-", "my-store_01", &"x".repeat(MAX_NAME_BYTES)] {
        assert_eq!(StoreId::new(text).unwrap().as_str(), text);
        assert_eq!(text.parse::<ClientId>().unwrap().to_string(), text);
        assert_eq!(SessionId::try_from(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_name_that_could_become_a_path_or_a_statement_is_refused() {
    let too_long = "x".repeat(MAX_NAME_BYTES + 1);
    for text in [
        "",
        " ",
        "a b",
        "a/b",
        ".",
        "..",
        ".a",
        "a..b",
        "a\\b",
        "a\0",
        "a\n",
        "é",
        "a'",
        "a\"",
        "a;b",
        "a:b",
        "%20",
        "\u{feff}a",
        "ａ",
        &too_long,
    ] {
        let error = StoreId::new(text).unwrap_err();
        assert_eq!((error.kind, &*error.text), ("store id", text));
        assert!(ClientId::new(text).is_err() && SessionId::new(text).is_err());
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<StoreId>(&json).is_err(), "{text:?}");
    }
}

#[test]
fn the_name_of_a_machine_names_a_client_and_no_store() {
    for text in ["my-laptop.local", "a.b.c", "1.2"] {
        assert_eq!(ClientId::new(text).unwrap().as_str(), text);
        assert_eq!(SessionId::new(text).unwrap().as_str(), text);
        StoreId::new(text).unwrap_err();
    }
}

#[test]
fn a_refusal_names_the_kind_and_what_is_allowed() {
    let message = ClientId::new("my laptop").unwrap_err().to_string();
    assert_eq!(
        message,
        "\"my laptop\" is not a valid client id; use 1 to 64 of the characters A-Z a-z 0-9 _ -, and . \
         within them"
    );
    assert_eq!(StoreId::new("é".repeat(500)).unwrap_err().text.chars().count(), 80);
}

#[test]
fn a_name_of_random_bytes_is_a_valid_name() {
    assert_eq!(SessionId::from_random(&[0x0f, 0xa0]).as_str(), "0fa0");
    for length in [0, 1, 31, 32, 33, 1000] {
        let name = SessionId::from_random(&vec![0xff; length]);
        assert_eq!(SessionId::new(name.as_str()), Ok(name));
    }
}

#[test]
fn an_event_name_is_any_short_text_without_control_characters() {
    let longest = "x".repeat(MAX_EVENT_NAME_BYTES);
    for text in ["v1.TodoCreated", "a", " ", "später", "\"quoted\"", "🎉", &longest] {
        assert_eq!(EventName::new(text).unwrap().as_str(), text);
    }
    let too_long = "x".repeat(MAX_EVENT_NAME_BYTES + 1);
    let too_many_bytes = "é".repeat(MAX_EVENT_NAME_BYTES / 2 + 1);
    for text in ["", "a\0", "a\nb", "\t", "\u{7f}", "\u{85}", &too_long, &too_many_bytes] {
        assert_eq!(EventName::new(text).unwrap_err().text, text);
    }
    assert_eq!(EventName::new("é".repeat(500)).unwrap_err().text.chars().count(), 160);
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn names_round_trip_through_json(text in "[A-Za-z0-9_-]{1,64}") {
        let id = StoreId::new(&text).unwrap();
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&json, &format!("{text:?}"));
        prop_assert_eq!(serde_json::from_str::<StoreId>(&json).unwrap(), id);
    }

    #[test]
    fn event_names_round_trip_through_json(text in "\\PC{1,32}") {
        let name = EventName::new(&text).unwrap();
        let json = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(serde_json::from_str::<EventName>(&json).unwrap(), name);
    }
}
