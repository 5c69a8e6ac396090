use livestore_core::{CanonicalJson, JsonError};
use proptest::prelude::*;
use serde_json::Value;

use super::support::{Members, any_double, any_json, any_text, cases};

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn any_value_has_the_bytes_that_the_oracle_gives_it(value in any_json()) {
        let expected = serde_json_canonicalizer::to_string(&value).unwrap();
        let encoded = CanonicalJson::encode(&value).unwrap();
        prop_assert_eq!(encoded.as_str(), expected);
    }

    #[test]
    fn any_double_has_the_bytes_that_the_oracle_gives_it(double in any_double()) {
        let expected = serde_json_canonicalizer::to_string(&double).unwrap();
        let encoded = CanonicalJson::encode(&double).unwrap();
        prop_assert_eq!(encoded.as_str(), expected);
        let decoded: f64 = encoded.decode().unwrap();
        prop_assert!(decoded.to_bits() == double.to_bits() || (decoded, double) == (0.0, -0.0));
    }

    #[test]
    fn any_text_has_the_bytes_that_the_oracle_gives_it(text in any::<String>()) {
        let expected = serde_json_canonicalizer::to_string(&text).unwrap();
        let encoded = CanonicalJson::encode(&text).unwrap();
        prop_assert_eq!(encoded.as_str(), expected);
        prop_assert_eq!(encoded.decode::<String>().unwrap(), text);
    }

    #[test]
    fn the_order_in_which_members_come_does_not_matter(
        members in proptest::collection::btree_map(any_text(), any_json(), 0..8)
            .prop_flat_map(|members| {
                let members: Vec<_> = members.into_iter().collect();
                (Just(members.clone()), Just(members).prop_shuffle())
            }),
    ) {
        let (sorted, shuffled) = members;
        let object: Value = Value::Object(sorted.into_iter().collect());
        let expected = serde_json_canonicalizer::to_string(&object).unwrap();
        let encoded = CanonicalJson::encode(&Members(shuffled)).unwrap();
        prop_assert_eq!(encoded.as_str(), expected);
    }

    #[test]
    fn a_repeated_name_is_refused_wherever_it_stands(
        members in proptest::collection::btree_map(any_text(), 0..9_u8, 1..8)
            .prop_flat_map(|members| {
                let mut members: Vec<_> = members.into_iter().collect();
                members.push((members[0].0.clone(), 9));
                (Just(members[0].0.clone()), Just(members).prop_shuffle())
            }),
    ) {
        let (key, members) = members;
        let encoded = CanonicalJson::encode(&Members(members));
        prop_assert_eq!(encoded, Err(JsonError::DuplicateKey { key }));
    }

    #[test]
    fn what_is_encoded_parses_as_itself_and_decodes_as_the_value(value in any_json()) {
        let encoded = CanonicalJson::encode(&value).unwrap();
        prop_assert_eq!(&CanonicalJson::parse(encoded.as_str()).unwrap(), &encoded);
        let decoded: Value = encoded.decode().unwrap();
        prop_assert_eq!(serde_json_canonicalizer::to_string(&decoded).unwrap(), encoded.as_str());
    }

    #[test]
    fn a_text_is_accepted_only_if_it_is_the_canonical_form_of_its_value(
        value in any_json(), pretty: bool,
    ) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let canonical = serde_json_canonicalizer::to_string(&value).unwrap();
        prop_assert_eq!(CanonicalJson::parse(&text).is_ok(), text == canonical);
    }

    #[test]
    fn the_canonical_form_of_a_text_is_that_of_its_value(
        value in any_json(), pretty: bool, like_json in "[\\[\\]{}\",:0-9eE.+\\-\\\\u a]{0,24}",
    ) {
        let written = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let members = format!(r#"{{"b":{written},"a":[{like_json}],"b":{{"a":{like_json}}}}}"#);
        for text in [written, like_json, members] {
            let made = CanonicalJson::of_json(&text).ok();
            let value: Option<Value> = serde_json::from_str(&text).ok();
            let expected = value.map(|value| serde_json_canonicalizer::to_string(&value).unwrap());
            prop_assert_eq!(made.as_ref().map(CanonicalJson::as_str), expected.as_deref(), "{}", text);
        }
    }

    #[test]
    fn an_embedded_payload_keeps_its_bytes(value in any_json()) {
        let payload = CanonicalJson::encode(&value).unwrap();
        let embedded = serde_json::to_string(&[&payload]).unwrap();
        prop_assert_eq!(&embedded, &format!("[{payload}]"));
        let back: Vec<CanonicalJson> = serde_json::from_str(&embedded).unwrap();
        prop_assert_eq!(back, vec![payload]);
    }

    #[test]
    fn parsing_any_text_does_not_panic(text in any::<String>(), like_json in "[\\[\\]{}\",:0-9eE.+\\-\\\\u a]{0,24}") {
        for text in [text, like_json] {
            if let Ok(parsed) = CanonicalJson::parse(&text) {
                prop_assert_eq!(parsed.as_str(), text);
            }
        }
    }
}
