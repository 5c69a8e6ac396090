use livestore_core::limits::{MAX_AUTHOR_BYTES, MAX_EVENT_NAME_BYTES, MAX_STORE_ID_BYTES};
use livestore_core::{ClientId, EventName, SessionId, StoreId};
use proptest::prelude::*;

use super::support::cases;

#[test]
fn letters_digits_underscore_and_dash_make_a_name() {
    for text in ["a", "Z", "0", "_", "-", "my-store_01", &"x".repeat(MAX_STORE_ID_BYTES)] {
        assert_eq!(StoreId::new(text).unwrap().as_str(), text);
        assert_eq!(text.parse::<ClientId>().unwrap().to_string(), text);
        assert_eq!(SessionId::try_from(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_name_that_could_become_a_path_or_a_statement_is_refused() {
    let too_long = "x".repeat(MAX_STORE_ID_BYTES + 1);
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
        let json = serde_json::to_string(text).unwrap();
        assert!(serde_json::from_str::<StoreId>(&json).is_err(), "{text:?}");
    }
}

#[test]
fn clients_and_sessions_are_named_as_their_apps_like() {
    let longest = "x".repeat(MAX_AUTHOR_BYTES);
    for text in ["my-laptop.local", "Ada's laptop", "user:1@example.com", "../é\\", " ", &longest]
    {
        assert_eq!(ClientId::new(text).unwrap().as_str(), text);
        assert_eq!(SessionId::new(text).unwrap().as_str(), text);
    }
    for text in ["", "a\n", "a\0", "\u{9b}31m", &format!("{longest}x")] {
        assert!(ClientId::new(text).is_err() && SessionId::new(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_refusal_names_the_kind_and_what_is_allowed() {
    let message = |error: livestore_core::NameError| error.to_string();
    assert_eq!(
        message(StoreId::new("my store").unwrap_err()),
        "\"my store\" is not a valid store id; use 1 to 64 of the characters A-Z a-z 0-9 _ -"
    );
    assert_eq!(
        message(ClientId::new("a\n").unwrap_err()),
        "\"a\\n\" is not a valid client id; use 1 to 128 bytes without control characters"
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
