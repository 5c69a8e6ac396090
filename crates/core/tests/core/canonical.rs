use std::collections::{BTreeMap, HashMap};

use livestore_core::canonical::{MAX_DEPTH, MAX_SAFE_INTEGER};
use livestore_core::{CanonicalJson, JsonError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::support::Members;

fn encoded<T: Serialize + ?Sized>(value: &T) -> String {
    CanonicalJson::encode(value).unwrap().as_str().into()
}

fn refused<T: Serialize + ?Sized>(value: &T) -> JsonError {
    CanonicalJson::encode(value).unwrap_err()
}

fn members<V>(members: impl IntoIterator<Item = (&'static str, V)>) -> Members<V> {
    Members(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

#[test]
fn numbers_are_written_as_rfc_8785_says() {
    // Appendix B of the RFC, as bits of the double.
    for (bits, text) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0xc340_0000_0000_0000, "-9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
        (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0x41b3_de43_5555_5554, "333333333.33333325"),
        (0x41b3_de43_5555_5555, "333333333.3333333"),
        (0x41b3_de43_5555_5556, "333333333.3333334"),
        (0x41b3_de43_5555_5557, "333333333.33333343"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(encoded(&f64::from_bits(bits)), text, "{bits:016x}");
    }
}

#[test]
fn numbers_of_the_rfc_example_are_written_as_it_shows() {
    let text =
        "[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001,-0,-0.0,1e-7,1e21]";
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(encoded(&value), "[333333333.3333333,1e+30,4.5,0.002,1e-27,0,0,1e-7,1e+21]");
}

#[test]
fn whole_doubles_are_written_without_a_point() {
    assert_eq!(encoded(&[1.0, -1.0, 100.0, 1e20]), "[1,-1,100,100000000000000000000]");
    assert_eq!(encoded(&0.1_f32), "0.10000000149011612");
}

#[test]
fn typed_integers_are_kept_up_to_the_bound_and_refused_beyond() {
    let bound = MAX_SAFE_INTEGER;
    assert_eq!(encoded(&bound), "9007199254740991");
    assert_eq!(encoded(&-bound), "-9007199254740991");
    assert_eq!(encoded(&bound.unsigned_abs()), "9007199254740991");
    assert_eq!(encoded(&i128::from(-bound)), "-9007199254740991");
    let too_large =
        |value: &str| JsonError::IntegerTooLarge { value: value.into(), path: String::new() };
    assert_eq!(refused(&(bound + 1)), too_large("9007199254740992"));
    assert_eq!(refused(&(-bound - 1)), too_large("-9007199254740992"));
    assert_eq!(refused(&u64::MAX), too_large("18446744073709551615"));
    assert_eq!(refused(&i64::MIN), too_large("-9223372036854775808"));
    assert_eq!(refused(&i128::MIN), too_large("-170141183460469231731687303715884105728"));
    assert_eq!(refused(&u128::MAX), too_large("340282366920938463463374607431768211455"));
}

#[test]
fn a_number_that_is_refused_is_named_with_its_place() {
    #[derive(Serialize)]
    struct Order {
        items: Vec<Item>,
        #[serde(flatten)]
        more: BTreeMap<&'static str, f64>,
    }
    #[derive(Serialize)]
    struct Item {
        id: u8,
        count: Count,
    }
    #[derive(Serialize)]
    enum Count {
        Of(u64),
        Between(u64, u64),
        About { least: u64, most: Option<u64> },
    }
    const LARGE: u64 = u64::MAX;
    let place = |error| match error {
        JsonError::IntegerTooLarge { path, .. } | JsonError::NotFinite { path, .. } => path,
        other => panic!("{other}"),
    };
    let order = |count| {
        let item = Item { id: 1, count: Count::Of(1) };
        Order { items: vec![item, Item { id: 2, count }], more: BTreeMap::new() }
    };
    assert_eq!(place(refused(&order(Count::Of(LARGE)))), "items[1].count.Of");
    assert_eq!(place(refused(&order(Count::Between(1, LARGE)))), "items[1].count.Between[1]");
    let least = Count::About { least: LARGE, most: None };
    assert_eq!(place(refused(&order(least))), "items[1].count.About.least");
    let most = Count::About { least: 1, most: Some(LARGE) };
    assert_eq!(place(refused(&order(most))), "items[1].count.About.most");
    let more = Order { items: vec![], more: BTreeMap::from([("price", f64::NAN)]) };
    assert_eq!(place(refused(&more)), "price");
    assert_eq!(place(refused(&(1, [[0, LARGE]]))), "[1][0][1]");
    assert_eq!(place(refused(&json!({"a b": {"c\"": [{"d": LARGE}]}}))), r#"["a b"]["c\""][0].d"#);
    assert_eq!(
        refused(&json!({"z": 1, "deep": [{"id": LARGE}]})).to_string(),
        "the integer 18446744073709551615 at `deep[0].id` is beyond ±(2^53-1) and would be \
         rounded by JSON readers; encode it as a string"
    );
    assert_eq!(refused(&f32::NAN).to_string(), "NaN has no JSON form; use null or a string");
}

#[test]
fn nan_and_infinities_are_refused_wherever_they_stand() {
    #[derive(Serialize)]
    struct Reading {
        celsius: Option<f64>,
    }
    #[derive(Serialize)]
    enum Shape {
        Circle(f64),
        Square { side: f32 },
    }
    let not_finite =
        |value: &str, path: &str| JsonError::NotFinite { value: value.into(), path: path.into() };
    assert_eq!(refused(&f64::NAN), not_finite("NaN", ""));
    assert_eq!(refused(&f64::INFINITY), not_finite("inf", ""));
    assert_eq!(refused(&f32::NEG_INFINITY), not_finite("-inf", ""));
    assert_eq!(refused(&Reading { celsius: Some(f64::NAN) }), not_finite("NaN", "celsius"));
    assert_eq!(refused(&HashMap::from([("a", f64::INFINITY)])), not_finite("inf", "a"));
    assert_eq!(refused(&[[0.5, f64::NAN]]), not_finite("NaN", "[0][1]"));
    assert_eq!(refused(&Shape::Circle(f64::NAN)), not_finite("NaN", "Circle"));
    assert_eq!(refused(&Shape::Square { side: f32::NAN }), not_finite("NaN", "Square.side"));
    assert_eq!(encoded(&Reading { celsius: None }), r#"{"celsius":null}"#);
}

#[test]
fn strings_escape_what_they_must_and_nothing_else() {
    let text: String =
        ('\0'..=' ').chain(['"', '\\', '/', '\u{7f}', 'é', '\u{2028}', '🎉']).collect();
    assert_eq!(
        encoded(&text),
        "\"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\
         \\u000e\\u000f\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\
         \\u001a\\u001b\\u001c\\u001d\\u001e\\u001f \\\"\\\\/\u{7f}é\u{2028}🎉\""
    );
    assert_eq!(encoded(&'"'), r#""\"""#);
}

#[test]
fn members_are_ordered_by_utf_16_code_units() {
    // Section 3.2.3 of the RFC. As UTF-8 the last two would change places.
    let object = members([
        ("\u{20ac}", "Euro Sign"),
        ("\r", "Carriage Return"),
        ("\u{fb33}", "Hebrew Letter Dalet With Dagesh"),
        ("1", "One"),
        ("\u{1f600}", "Emoji: Grinning Face"),
        ("\u{80}", "Control"),
        ("\u{f6}", "Latin Small Letter O With Diaeresis"),
    ]);
    assert_eq!(
        encoded(&object),
        "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
         \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
         \"\u{1f600}\":\"Emoji: Grinning Face\",\
         \"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}"
    );
}

#[test]
fn struct_fields_are_ordered_by_name_at_every_level() {
    #[derive(Serialize)]
    struct Outer {
        z: Inner,
        a: Vec<Inner>,
    }
    #[derive(Serialize)]
    struct Inner {
        y: u8,
        b: (),
    }
    let value = Outer { z: Inner { y: 1, b: () }, a: vec![Inner { y: 2, b: () }] };
    assert_eq!(encoded(&value), r#"{"a":[{"b":null,"y":2}],"z":{"b":null,"y":1}}"#);
}

#[test]
fn repeated_names_are_refused_in_whatever_order_they_come() {
    for names in [
        vec!["a", "a"],
        vec!["a", "b", "a"],
        vec!["b", "a", "b"],
        vec!["b", "a", "a"],
        vec!["a", "a", "b"],
        vec!["c", "b", "a", "\u{1f600}", "b"],
    ] {
        let object = members(names.iter().map(|name| (*name, 1)));
        assert!(matches!(refused(&object), JsonError::DuplicateKey { .. }), "{names:?}");
    }
    let nested = members([("outer", members([("a", 1), ("a", 2)]))]);
    assert_eq!(refused(&nested), JsonError::DuplicateKey { key: "a".into() });
}

#[test]
fn a_flattened_member_cannot_shadow_a_field() {
    #[derive(Serialize)]
    struct Todo {
        text: &'static str,
        #[serde(flatten)]
        extra: BTreeMap<&'static str, u8>,
    }
    let todo = |name| Todo { text: "milk", extra: BTreeMap::from([("at", 1), (name, 2)]) };
    assert_eq!(encoded(&todo("z")), r#"{"at":1,"text":"milk","z":2}"#);
    assert_eq!(refused(&todo("text")), JsonError::DuplicateKey { key: "text".into() });
}

#[test]
fn integer_keys_are_texts_ordered_as_texts() {
    let numbers = BTreeMap::from([(-1, true), (2, false), (10, true)]);
    assert_eq!(encoded(&numbers), r#"{"-1":true,"10":true,"2":false}"#);
    assert_eq!(CanonicalJson::encode(&numbers).unwrap().decode(), Ok(numbers));
}

#[test]
fn keys_are_texts_or_scalars_with_one_plain_spelling() {
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    enum Colour {
        Red,
        Mixed(u8),
    }
    #[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
    struct Name(&'static str);
    assert_eq!(encoded(&BTreeMap::from([(Colour::Red, 1)])), r#"{"Red":1}"#);
    assert_eq!(encoded(&BTreeMap::from([(Name("n"), 1)])), r#"{"n":1}"#);
    assert_eq!(encoded(&BTreeMap::from([(true, 1)])), r#"{"true":1}"#);
    assert_eq!(encoded(&BTreeMap::from([('"', 1)])), r#"{"\"":1}"#);
    assert_eq!(encoded(&BTreeMap::from([(u128::MAX, 1)])), format!(r#"{{"{}":1}}"#, u128::MAX));
    assert_eq!(refused(&BTreeMap::from([(Colour::Mixed(1), 1)])), JsonError::KeyNotString);
    assert_eq!(refused(&BTreeMap::from([((), 1)])), JsonError::KeyNotString);
    assert_eq!(refused(&BTreeMap::from([((1, 2), 1)])), JsonError::KeyNotString);
    assert_eq!(refused(&BTreeMap::from([(vec![1], 1)])), JsonError::KeyNotString);
    assert_eq!(refused(&BTreeMap::from([(None::<u8>, 1)])), JsonError::KeyNotString);
}

#[test]
fn all_four_kinds_of_enum_variant_round_trip() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Change {
        Nothing,
        Text(String),
        Move(i32, i32),
        Paint { width: f64, colour: Option<String> },
    }
    for (change, text) in [
        (Change::Nothing, r#""Nothing""#),
        (Change::Text("a".into()), r#"{"Text":"a"}"#),
        (Change::Move(1, -2), r#"{"Move":[1,-2]}"#),
        (Change::Paint { width: 0.5, colour: None }, r#"{"Paint":{"colour":null,"width":0.5}}"#),
    ] {
        let json = CanonicalJson::encode(&change).unwrap();
        assert_eq!(json.as_str(), text);
        assert_eq!(json.decode::<Change>().unwrap(), change);
    }
}

#[test]
fn tagged_enums_are_ordered_like_any_object() {
    #[derive(Serialize)]
    #[serde(tag = "type", content = "content")]
    enum Adjacent {
        A { z: u8, b: u8 },
    }
    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Internal {
        A { z: u8, b: u8 },
    }
    assert_eq!(encoded(&Adjacent::A { z: 1, b: 2 }), r#"{"content":{"b":2,"z":1},"type":"A"}"#);
    assert_eq!(encoded(&Internal::A { z: 1, b: 2 }), r#"{"b":2,"type":"A","z":1}"#);
}

#[test]
fn the_other_shapes_of_serde_have_their_usual_form() {
    #[derive(Serialize)]
    struct Unit;
    #[derive(Serialize)]
    struct Wrapped(u8);
    #[derive(Serialize)]
    struct Pair(u8, bool);
    assert_eq!(encoded(&Unit), "null");
    assert_eq!(encoded(&Wrapped(3)), "3");
    assert_eq!(encoded(&Pair(3, true)), "[3,true]");
    assert_eq!(encoded(&(1, "a", [(); 0])), r#"[1,"a",[]]"#);
    assert_eq!(encoded(&json!({})), "{}");
    assert_eq!(encoded(&Some(Some(1))), "1");
}

#[test]
fn a_raw_text_is_refused_since_its_bytes_are_somebody_elses() {
    let raw = RawValue::from_string(r#"{ "b":1, "a":2 }"#.into()).unwrap();
    assert!(matches!(refused(&raw), JsonError::Custom { .. }));
    assert!(matches!(refused(&HashMap::from([("raw", raw)])), JsonError::Custom { .. }));
}

#[test]
fn a_name_that_serde_json_keeps_for_itself_is_refused_wherever_it_stands() {
    let name = "$serde_json::private::RawValue";
    assert!(matches!(refused(&HashMap::from([(name, 1)])), JsonError::Custom { .. }));
    for value in ["1", "\"[1]\""] {
        let first = format!(r#"{{"{name}":{value},"a":1}}"#);
        let escaped = format!(r#"{{"a":[{{"b":1,"\u0024{}":{value}}}]}}"#, &name[1..]);
        for text in [first, escaped] {
            let error = CanonicalJson::of_json(&text).unwrap_err();
            assert!(matches!(error, JsonError::Custom { .. }), "{text}: {error}");
            assert_eq!(CanonicalJson::parse(&text), Err(error));
        }
    }
}

#[test]
fn of_two_members_of_one_name_in_a_text_the_last_counts() {
    let text = r#"{"b":1,"a":{"x":1,"x":[2]},"b":{"y":2},"\u0061":3,"b":"last"}"#;
    assert_eq!(CanonicalJson::of_json(text).unwrap().as_str(), r#"{"a":3,"b":"last"}"#);
    assert!(matches!(CanonicalJson::parse(text), Err(JsonError::NotCanonical { .. })));
}

#[test]
fn the_message_of_a_failing_serialize_is_passed_on() {
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("it is Monday"))
        }
    }
    assert_eq!(refused(&[Broken]), JsonError::Custom { reason: "it is Monday".into() });
}

#[test]
fn a_text_that_is_not_canonical_is_refused_where_it_first_differs() {
    for (text, at) in [
        (r#"{ "a":1}"#, 1),
        (r#"{"a": 1}"#, 5),
        ("[1, 2]", 3),
        (" 1", 0),
        ("1 ", 1),
        ("\n[]", 0),
        (r#"{"b":1,"a":2}"#, 2),
        (r#"{"a":1,"a":2}"#, 5),
        (r#"{"a":1,"a":1}"#, 6),
        (r#""\u0041""#, 1),
        (r#""\/""#, 1),
        (r#""\u000A""#, 2),
        (r#""\u001B""#, 6),
        (r#""\ud83c\udf89""#, 1),
        ("1.0", 1),
        ("-0", 0),
        ("1e2", 1),
        ("1E400000000e", 0),
        ("10e-1", 1),
        ("1e21", 2),
        ("9007199254740993", 15),
        ("12345678901234567890123", 1),
    ] {
        match CanonicalJson::parse(text) {
            Err(JsonError::NotCanonical { at: found }) => assert_eq!(found, at, "{text}"),
            Err(JsonError::Syntax { .. }) if text == "1E400000000e" => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn a_text_that_is_not_json_is_refused() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\"}",
        "nul",
        "NaN",
        "Infinity",
        "01",
        "+1",
        ".5",
        "1.",
        "'a'",
        "[1]]",
        "{}x",
        "1 2",
        "\"\u{1}\"",
        r#""\ud800""#,
        r#""\udc00x""#,
        r#""\ud800\u0041""#,
        "1e400",
        "-1e400",
        "\u{feff}1",
    ] {
        let parsed = CanonicalJson::parse(text);
        assert!(matches!(parsed, Err(JsonError::Syntax { .. })), "{text:?}: {parsed:?}");
    }
}

#[test]
fn numbers_that_arrive_are_doubles_and_are_kept() {
    for text in ["9007199254740992", "18446744073709552000", "1e+23", "-9007199254740994"] {
        assert_eq!(CanonicalJson::parse(text).unwrap().as_str(), text);
    }
}

#[test]
fn a_payload_that_does_not_fit_its_type_is_a_decode_error() {
    let json = CanonicalJson::encode("text").unwrap();
    assert!(matches!(json.decode::<u8>(), Err(JsonError::Decode { .. })));
}

/// Nests `depth` arrays, or `depth` objects.
fn nested(depth: usize, open: &str, close: &str) -> String {
    [open.repeat(depth), "0".into(), close.repeat(depth)].concat()
}

#[test]
fn what_encodes_can_be_parsed_by_every_peer_however_deep_it_is() {
    for depth in [1, MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 200] {
        let (mut arrays, mut objects) = (json!(0), json!(0));
        for _ in 0..depth {
            (arrays, objects) = (json!([arrays]), json!({ "a": objects }));
        }
        for (value, open, close) in [(arrays, "[", "]"), (objects, r#"{"a":"#, "}")] {
            let encoded = CanonicalJson::encode(&value);
            let parsed = CanonicalJson::parse(&nested(depth, open, close));
            assert_eq!(encoded.is_ok(), depth <= MAX_DEPTH, "{depth}");
            assert_eq!(encoded.ok(), parsed.ok(), "{depth}");
        }
    }
    let siblings = vec![json!([[]]); MAX_DEPTH + 1];
    assert!(CanonicalJson::encode(&siblings).is_ok(), "beside is not inside");
    assert!(CanonicalJson::parse(&nested(100, r#"{"a":"#, "}")).is_ok());
}

#[test]
fn endless_nesting_is_an_error_not_a_crash() {
    #[derive(Serialize)]
    enum List {
        End,
        Cons(Box<List>),
        Deep { tail: Box<List> },
    }
    let mut list = List::End;
    for depth in 0..200 {
        list =
            if depth % 2 == 0 { List::Cons(list.into()) } else { List::Deep { tail: list.into() } };
    }
    assert_eq!(refused(&list), JsonError::TooDeep);
    for text in [nested(1_000_000, "[", "]"), nested(1_000_000, r#"{"a":"#, "}")] {
        assert_eq!(CanonicalJson::parse(&text), Err(JsonError::TooDeep));
    }
}
