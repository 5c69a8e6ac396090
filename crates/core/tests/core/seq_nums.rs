use livestore_core::{GlobalSeqNum, SeqNum};
use proptest::prelude::*;

use super::support::cases;

fn seq_num(text: &str) -> SeqNum {
    text.parse().unwrap()
}

fn any_seq_num() -> impl Strategy<Value = SeqNum> {
    let small = || prop_oneof![Just(0), 1..20_u32, any::<u32>()];
    (any::<u64>(), small(), small()).prop_map(|(global, client, generation)| SeqNum {
        global: GlobalSeqNum(global),
        client,
        generation,
    })
}

#[test]
fn zero_parts_are_not_written() {
    let written = |global, client, generation| {
        SeqNum { global: GlobalSeqNum(global), client, generation }.to_string()
    };
    assert_eq!(written(0, 0, 0), "e0");
    assert_eq!(written(5, 0, 0), "e5");
    assert_eq!(written(5, 1, 0), "e5.1");
    assert_eq!(written(3, 0, 1), "e3r1");
    assert_eq!(written(3, 2, 1), "e3.2r1");
    assert_eq!(SeqNum::ROOT, seq_num("e0"));
    assert_eq!(GlobalSeqNum(7).to_string(), "e7");
}

#[test]
fn every_other_spelling_is_refused() {
    for text in [
        "",
        "e",
        "5",
        "E5",
        "e 5",
        " e5",
        "e5 ",
        "e-1",
        "e+5",
        "e05",
        "e00",
        "e5.0",
        "e5.01",
        "e5.",
        "e5.+1",
        "e5r0",
        "e5r",
        "e5r01",
        "e5r1.2",
        "e5.1.2",
        "e5r1r2",
        "e3+1r1",
        "e5'",
        "A:e5",
        "e٣",
        "e5.1r+1",
        "e18446744073709551616",
        "e1.4294967296",
        "e1r4294967296",
        "e1.1R1",
    ] {
        let error = text.parse::<SeqNum>().expect_err(text);
        assert_eq!(error.text, text);
    }
}

#[test]
fn a_refusal_quotes_only_the_beginning_of_a_long_text() {
    let error = "é".repeat(1000).parse::<SeqNum>().unwrap_err();
    assert_eq!(error.text.chars().count(), 64);
}

#[test]
fn order_is_by_global_then_client_then_generation() {
    let ascending = ["e0", "e0.1", "e1", "e1r1", "e1.1", "e1.1r1", "e1.2", "e1.10", "e2", "e10"];
    for pair in ascending.windows(2) {
        assert!(seq_num(pair[0]) < seq_num(pair[1]), "{pair:?}");
    }
}

#[test]
fn the_first_event_of_a_log_is_e1_and_its_parent_is_the_root() {
    assert_eq!(SeqNum::ROOT.next_pair(false, 0), (seq_num("e1"), seq_num("e0")));
}

#[test]
fn client_only_events_are_leaves_beside_the_synced_chain() {
    let (first, parent) = seq_num("e5").next_pair(true, 0);
    assert_eq!((first, parent), (seq_num("e5.1"), seq_num("e5")));
    let (second, parent) = first.next_pair(true, 0);
    assert_eq!((second, parent), (seq_num("e5.2"), seq_num("e5.1")));
    let (synced, parent) = second.next_pair(false, 0);
    assert_eq!((synced, parent), (seq_num("e6"), seq_num("e5")));
}

#[test]
fn the_json_form_is_the_notation() {
    assert_eq!(serde_json::to_string(&seq_num("e3.2r1")).unwrap(), r#""e3.2r1""#);
    assert_eq!(serde_json::from_str::<SeqNum>(r#""e3.2r1""#).unwrap(), seq_num("e3.2r1"));
    assert!(serde_json::from_str::<SeqNum>(r#""e03""#).is_err());
    assert!(serde_json::from_str::<SeqNum>("3").is_err());
    assert_eq!(serde_json::to_string(&GlobalSeqNum(3)).unwrap(), "3");
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn notation_round_trips(seq_num in any_seq_num()) {
        prop_assert_eq!(seq_num.to_string().parse(), Ok(seq_num));
    }

    #[test]
    fn what_parses_prints_the_same(text in "e?[0-9+]{0,3}(\\.[0-9]{0,2})?(r[0-9]{0,2})?") {
        if let Ok(seq_num) = text.parse::<SeqNum>() {
            prop_assert_eq!(seq_num.to_string(), text);
        }
    }

    #[test]
    fn parsing_any_text_does_not_panic(text in any::<String>()) {
        let _ = text.parse::<SeqNum>();
    }

    #[test]
    fn the_next_position_comes_later_and_its_parent_comes_before(
        global in 0..1_000_000_u64, client in 0..1000_u32, before in 0..9_u32, client_only: bool,
        generations_later in 0..3_u32,
    ) {
        let last = SeqNum { global: GlobalSeqNum(global), client, generation: before };
        let generation = before + generations_later;
        let (next, parent) = last.next_pair(client_only, generation);
        prop_assert!(last < next && parent < next);
        prop_assert_eq!(next.generation, generation);
        if client_only {
            prop_assert_eq!(parent, last);
            prop_assert_eq!((next.global, next.client), (last.global, last.client + 1));
        } else {
            prop_assert_eq!((next.global, next.client), (last.global.next(), 0));
            prop_assert_eq!((parent.global, parent.client), (last.global, 0));
        }
    }
}
