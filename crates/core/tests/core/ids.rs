use std::collections::HashSet;

use livestore_core::{BackendId, ContentHash, EventId, GroupId, IdGenerator, LogHash};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::cases;

const NOW_MS: u64 = 1_760_000_000_000;

fn unix_ms_of(id: EventId) -> u64 {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&id.as_bytes()[..6]);
    u64::from_be_bytes(bytes)
}

#[test]
fn an_id_begins_with_its_time() {
    let mut ids = IdGenerator::new([1; 32]);
    assert_eq!(unix_ms_of(ids.event_id(NOW_MS)), NOW_MS);
    assert_eq!(unix_ms_of(ids.event_id(NOW_MS + 5)), NOW_MS + 5);
}

#[test]
fn ids_are_uuids_of_version_7() {
    let mut ids = IdGenerator::new([1; 32]);
    for step in 0..1000 {
        let bytes = *ids.event_id(NOW_MS + step / 10).as_bytes();
        assert_eq!(bytes[6] >> 4, 7);
        assert_eq!(bytes[8] >> 6, 0b10);
        assert_eq!(uuid::Uuid::from_bytes(bytes).get_version_num(), 7);
    }
}

#[test]
fn ids_rise_while_the_clock_stands_still() {
    let mut ids = IdGenerator::new([2; 32]);
    let made: Vec<_> = (0..10_000).map(|_| ids.event_id(NOW_MS)).collect();
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(unix_ms_of(*made.last().unwrap()), NOW_MS);
}

#[test]
fn ids_rise_when_the_clock_goes_back() {
    let mut ids = IdGenerator::new([3; 32]);
    let before = ids.event_id(NOW_MS);
    let after = ids.event_id(NOW_MS - 3_600_000);
    assert!(before < after);
    assert!(after < ids.event_id(NOW_MS + 1));
}

#[test]
fn a_clock_at_either_end_of_its_range_still_gives_rising_ids() {
    let mut ids = IdGenerator::new([4; 32]);
    let made = [0, 0, 1, u64::MAX, u64::MAX, 0].map(|unix_ms| ids.event_id(unix_ms));
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
}

#[test]
fn event_group_and_backend_ids_come_from_one_rising_sequence() {
    let mut ids = IdGenerator::new([5; 32]);
    let made = [
        *ids.event_id(NOW_MS).as_bytes(),
        *ids.group_id(NOW_MS).as_bytes(),
        *ids.backend_id(NOW_MS).as_bytes(),
        *ids.event_id(NOW_MS).as_bytes(),
    ];
    assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
}

#[test]
fn one_seed_gives_one_sequence() {
    let sequence = || {
        let mut ids = IdGenerator::new([6; 32]);
        [0, 0, 7, 5, 1 << 50].map(|step| ids.group_id(NOW_MS + step))
    };
    assert_eq!(sequence(), sequence());
}

#[test]
fn other_seeds_give_ids_that_differ_in_all_their_random_bits() {
    // A clock that has not started yet must not cost randomness.
    for unix_ms in [0, 1, NOW_MS] {
        let first = |seed| *IdGenerator::new([seed; 32]).event_id(unix_ms).as_bytes();
        let high_bits: HashSet<_> = (0..64).map(|seed| first(seed)[6..10].to_vec()).collect();
        let low_bits: HashSet<_> = (0..64).map(|seed| first(seed)[10..].to_vec()).collect();
        assert_eq!((high_bits.len(), low_bits.len()), (64, 64), "at {unix_ms} ms");
    }
}

#[test]
fn a_text_that_is_no_id_is_refused_and_quoted() {
    for text in
        ["", "x", "01939c5e-8d2a-7cc0-98c8-2b7c1a7e0f0", "g1939c5e-8d2a-7cc0-98c8-2b7c1a7e0f00"]
    {
        assert_eq!(text.parse::<EventId>().unwrap_err().text, text);
    }
    assert_eq!("é".repeat(100).parse::<GroupId>().unwrap_err().text, "é".repeat(64));
}

#[test]
fn ids_and_hashes_read_slices_of_exactly_their_length() {
    assert_eq!(EventId::from_slice(&[7; 16]), Some(EventId::from_bytes([7; 16])));
    assert_eq!(EventId::from_slice(&[7; 15]), None);
    assert_eq!(BackendId::from_slice(&[7; 17]), None);
    assert_eq!(LogHash::from_slice(&[7; 32]), Some(LogHash::from_bytes([7; 32])));
    assert_eq!(LogHash::from_slice(&[7; 31]), None);
    assert_eq!(ContentHash::from_slice(&[]), None);
}

#[test]
fn a_hash_has_one_spelling() {
    let text = "0123456789abcdef".repeat(4);
    let hash: LogHash = text.parse().unwrap();
    assert_eq!(hash.to_string(), text);
    assert_eq!(serde_json::to_string(&hash).unwrap(), format!("{text:?}"));
    for other in [text.to_uppercase(), text[1..].into(), format!("{text}0"), "g".repeat(64)] {
        assert!(other.parse::<LogHash>().is_err(), "{other}");
        assert!(serde_json::from_str::<ContentHash>(&format!("{other:?}")).is_err());
    }
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn ids_rise_whatever_the_clock_does(
        seed: [u8; 32],
        clock in vec(prop_oneof![Just(NOW_MS), NOW_MS - 5..NOW_MS + 5, any::<u64>()], 2..100),
    ) {
        let mut ids = IdGenerator::new(seed);
        let made: Vec<_> = clock.iter().map(|unix_ms| ids.event_id(*unix_ms)).collect();
        prop_assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let texts: Vec<_> = made.iter().map(ToString::to_string).collect();
        prop_assert!(texts.windows(2).all(|pair| pair[0] < pair[1]), "texts order as ids do");
    }

    #[test]
    fn an_id_round_trips_through_text_bytes_and_json(bytes: [u8; 16]) {
        let id = GroupId::from_bytes(bytes);
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(GroupId::from_slice(id.as_bytes()), Some(id));
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(&json, &format!("\"{id}\""));
        prop_assert_eq!(serde_json::from_str::<GroupId>(&json).unwrap(), id);
    }

    #[test]
    fn a_hash_round_trips_through_text_and_json(bytes: [u8; 32]) {
        let hash = ContentHash::from_bytes(bytes);
        prop_assert_eq!(hash.to_string().parse(), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        prop_assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
    }
}
