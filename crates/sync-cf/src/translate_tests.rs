use livestore_cf_protocol::{Metadata, Stamped};
use livestore_core::{CanonicalJson, ClientId, Event, EventId, EventName, GroupId, SessionId};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn group(number: u8, events: u8) -> Group {
    let event = |index: u8| Event {
        id: EventId::from_bytes([number + 100; 16]),
        name: EventName::new("v1.Ticked").unwrap(),
        args: CanonicalJson::encode(&json!({ "n": index })).unwrap(),
    };
    let (client, session) = (ClientId::new("own").unwrap(), SessionId::new("s").unwrap());
    let events = (0..events).map(event).collect();
    Group::new(GroupId::from_bytes([number; 16]), client, session, events).unwrap()
}

/// What a backend has of groups behind a position.
fn stamped(after: u64, groups: &[Group]) -> Vec<Stamped> {
    let base = LogPosition { seq: GlobalSeqNum(after), ..LogPosition::ROOT };
    let created_at = "2026-11-22T01:37:17.517Z".to_owned();
    let stamp = |event_encoded| Stamped {
        event_encoded,
        metadata: Some(Metadata { created_at: created_at.clone() }),
    };
    continued(base, groups).1.into_iter().map(stamp).collect()
}

fn foreign(seq_num: u64) -> Stamped {
    let mut event = stamped(seq_num - 1, &[group(1, 1)]).remove(0);
    event.event_encoded.client_id = "another".into();
    event
}

fn response(batch: Vec<Stamped>, remaining: u64) -> PullResponse {
    let page_info = match remaining {
        0 => PageInfo::NoMore,
        remaining => PageInfo::MoreKnown { remaining },
    };
    PullResponse { batch, page_info, backend_id: "b".into() }
}

fn translator(own: &[Group]) -> Translator {
    let mut translator = Translator::new("b".into(), LogPosition::ROOT);
    translator.expect(own.iter().cloned());
    translator
}

#[test]
fn own_groups_are_recognized_where_they_were_pushed_wherever_chunks_are_cut() {
    let own = [group(1, 3), group(2, 1), group(3, 2)];
    let events = stamped(0, &own);
    let (end, _) = continued(LogPosition::ROOT, &own);
    for cut in 0..=events.len() {
        let mut translator = translator(&own);
        let (first, second) = events.split_at(cut);
        let rest = second.len() as u64;
        let mut found = translator.take(response(first.to_vec(), rest)).unwrap().groups;
        found.extend(translator.take(response(second.to_vec(), 0)).unwrap().groups);
        assert_eq!(found.into_iter().map(|found| found.group).collect::<Vec<_>>(), own);
        assert_eq!((translator.position(), translator.head()), (end, end.seq));
        assert!(translator.has_taken(end) && !translator.is_expecting());
    }
}

#[test]
fn what_stands_elsewhere_or_is_anothers_is_not_ours() {
    let own = [group(1, 2)];
    let mut translator = translator(&own);
    // Somebody else was quicker, and then there is the very same.
    let mut events = vec![foreign(1)];
    events.extend(stamped(1, &own));
    let found = translator.take(response(events, 0)).unwrap().groups;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|found| found.group.id() != own[0].id()));
}

#[test]
fn a_group_of_which_a_part_is_there_is_told() {
    let own = [group(1, 3)];
    let torn = |batch: Vec<Stamped>, taken, at| {
        let error = translator(&own).take(response(batch, 0)).unwrap_err();
        assert_eq!(error, Nonsense::Torn { taken, all: 3, at });
    };
    torn(stamped(0, &own)[..2].to_vec(), 2, 2);
    torn(vec![stamped(0, &own).remove(0), foreign(2)], 1, 2);
    assert_eq!(
        Nonsense::Torn { taken: 1, all: 3, at: 2 }.to_string(),
        "it has taken the first 1 of the 3 events of a commit and not the others, at 2; that cannot be \
         mended from here"
    );
}

#[test]
fn everybody_gives_events_of_others_the_same_ids() {
    let read = |cuts: &[usize]| {
        let mut translator = translator(&[]);
        let mut groups = Vec::new();
        for cut in cuts.windows(2) {
            let batch = (cut[0]..cut[1]).map(|seq| foreign(seq as u64 + 1)).collect();
            groups.extend(translator.take(response(batch, 9)).unwrap().groups);
        }
        (groups, translator.position())
    };
    assert_eq!(read(&[0, 9]), read(&[0, 2, 3, 9]));
    let (groups, _) = read(&[0, 9]);
    let ids: std::collections::BTreeSet<_> = groups.iter().map(|found| found.group.id()).collect();
    assert_eq!(ids.len(), 9, "the same event at another position is another one");
}

#[test]
fn a_hole_is_told_and_can_be_filled() {
    let mut translator = translator(&[]);
    let taken = translator.take(response(vec![foreign(1), foreign(4)], 0)).unwrap();
    assert_eq!((taken.groups.len(), taken.gap), (1, Some(4)));
    let missing = translator.skip_to(4).unwrap();
    assert!(missing.iter().all(|missing| missing.group.events()[0].is_missing()));
    assert_eq!(missing.iter().map(|missing| missing.first.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(translator.take(response(vec![foreign(4)], 0)).unwrap().groups.len(), 1);
    assert_eq!(
        translator.skip_to(20_000).unwrap_err().to_string(),
        "its log goes on at 20000, where 5 was expected"
    );
}

#[test]
fn names_that_are_none_of_ours_are_replaced_and_told_apart() {
    let unfit = |name: &str, client: &str| {
        let mut event = foreign(1);
        event.event_encoded.name = name.into();
        event.event_encoded.client_id = client.into();
        translator(&[]).take(response(vec![event], 0)).unwrap().groups.remove(0).group
    };
    let (one, other) = (unfit(&"x".repeat(129), ""), unfit(&"x".repeat(130), "a\nb"));
    assert!(one.events()[0].name.as_str().starts_with("unfit-"));
    assert!(one.client_id().as_str().starts_with("unfit-"));
    assert_ne!(one.events()[0].name, other.events()[0].name);
    assert_ne!(one.client_id(), other.client_id());
}

proptest! {
    /// Whatever comes, positions only grow, and pages are those of a log.
    #[test]
    fn whatever_comes_pages_are_sound(
        batches in proptest::collection::vec(
            (proptest::collection::vec((0_u64..12, any::<bool>()), 0..6), 0_u64..3), 0..8,
        ),
        own in 0_u8..4,
    ) {
        let own: Vec<Group> = (0..own).map(|number| group(number, number % 3 + 1)).collect();
        let mut translator = translator(&own);
        for (batch, remaining) in batches {
            let batch = batch.into_iter().map(|(seq, is_own)| {
                let mut event = foreign(seq + 1);
                if is_own {
                    event.event_encoded.client_id = "own".into();
                    event.event_encoded.args = Some(json!({ "n": seq % 2 }));
                }
                event
            });
            let before = translator.position();
            let Ok(taken) = translator.take(response(batch.collect(), remaining)) else { break };
            if let Some(page) = translator.page(taken.groups) {
                page.check().unwrap();
                prop_assert_eq!(page.groups[0].first, before.seq.next());
                let hash = page.groups.iter().fold(before.hash, |hash, found| {
                    hash.extend(found.group.content_hash())
                });
                prop_assert_eq!(page.end.hash, hash);
            } else {
                prop_assert_eq!(translator.position(), before);
            }
        }
    }
}
