//! A backend whose log is another history than ours.

use livestore::{Divergence, HistoryAnswer};

use super::*;
use crate::backend::Backend;

/// A client that has seen `common` groups of others and committed one of its own, then a group of
/// somebody else, then its own again; and a backend that forgot everything after the common part
/// and took another group instead.
fn restored(answer: HistoryAnswer, common: usize) -> (Net, Vec<GroupId>) {
    let mut net = Net::new(schema(), 0);
    net.on_history_diverged = answer;
    net.add_client(true);
    net.settle();
    for id in 0..common {
        net.elsewhere([fact(todo(&format!("common {id}")))]);
    }
    net.settle();
    let backup = net.backend.clone();
    let one = net.commit(0, (todo("one"), todo("one too"))).group_id;
    net.settle();
    net.elsewhere([fact(todo("theirs")), fact(todo("theirs too"))]);
    net.settle();
    let two = net.commit(0, todo("two")).group_id;
    net.settle();
    go_offline(&mut net, 0);
    let three = net.commit(0, todo("three")).group_id;
    net.backend = backup;
    net.is_restored = true;
    net.elsewhere([fact(todo("new"))]);
    net.clients[0].fates.clear();
    net.clients[0].is_reachable = true;
    (net, vec![one, two, three])
}

fn divergence(net: &Net) -> Divergence {
    match net.status(0).connection {
        ConnectionState::Stopped(StopReason::HistoryDiverged(divergence)) => divergence,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restored_backend_is_noticed_and_measured_before_anything_happens() {
    // More than one question has to be asked to find the place.
    for common in [0, 1, 3, 700] {
        let (mut net, _) = restored(HistoryAnswer::Stop, common);
        let before = todos(&mut net, 0);
        net.settle();
        let found = divergence(&net);
        assert_eq!(found.common.0, common as u64);
        assert_eq!(found.backend_head.0, common as u64 + 1);
        assert_eq!((found.own_groups, found.others_events), (2, 2));
        assert_eq!(todos(&mut net, 0), before, "nothing is changed");
        net.commit(0, todo("offline"));
        net.assert_state_is_replay(0);
    }
}

#[test]
fn on_request_own_groups_are_pushed_again_and_those_of_others_are_archived() {
    let (mut net, own) = restored(HistoryAnswer::Stop, 5);
    net.settle();
    let now_ms = net.now_ms;
    assert!(net.replica(0).rebase_pending(now_ms).unwrap());
    assert!(!net.replica(0).rebase_pending(now_ms).unwrap(), "it is done");
    let status = net.status(0);
    assert_eq!((status.confirmed_head.0, status.pending_groups), (5, 3));
    net.assert_state_is_replay(0);
    net.settle();
    assert_eq!(net.backend.ids()[6..], own, "under their old ids, in their old order");
    let archived = net.replica(0).archived().unwrap();
    assert_eq!((archived.len(), archived[0].1.first.0), (1, 8));
    assert_eq!(net.status(0).archived, 1);
    let left = todos(&mut net, 0);
    assert!(left.contains(&"new".to_owned()) && !left.contains(&"theirs".to_owned()), "{left:?}");
    net.converge();
}

#[test]
fn by_policy_the_new_history_is_followed_at_once() {
    let (mut net, own) = restored(HistoryAnswer::RebasePending, 300);
    net.settle();
    assert_eq!(net.backend.ids()[301..], own);
    net.converge();
}

#[test]
fn a_new_and_empty_backend_gets_everything_of_ours() {
    let (mut net, own) = restored(HistoryAnswer::RebasePending, 0);
    net.backend = Backend::new(9);
    net.settle();
    assert_eq!(net.backend.ids(), own);
    net.converge();
}

#[test]
fn a_group_that_no_longer_applies_in_the_new_history_becomes_a_dead_letter() {
    let mut net = Net::new(schema(), 0);
    net.on_history_diverged = HistoryAnswer::RebasePending;
    net.add_client(true);
    net.settle();
    let backup = net.backend.clone();
    let mine = net.commit(0, seat(1, "ann")).group_id;
    net.settle();
    net.backend = backup;
    net.is_restored = true;
    net.elsewhere([fact(seat(1, "bob"))]);
    net.clients[0].fates.clear();
    net.cut(0, OnTheWire::Lost);
    net.settle();
    let letters = net.replica(0).dead_letters().unwrap();
    assert_eq!(letters[0].group.id(), mine);
    assert!(matches!(net.clients[0].fates[..], [(id, Fate::Rejected { .. })] if id == mine));
    net.converge();
}

#[test]
fn a_long_tail_can_follow_groups_that_are_pending_again() {
    let mut net = clients(1);
    net.settle();
    let backup = net.backend.clone();
    let own: Vec<_> = (0..5).map(|n| net.commit(0, todo(&format!("again {n}"))).group_id).collect();
    net.settle();
    assert_eq!(net.status(0).pending_groups, 0);
    go_offline(&mut net, 0);
    net.backend = backup;
    net.is_restored = true;
    net.elsewhere([fact(todo("new"))]);
    net.clients[0].is_reachable = true;
    net.settle();
    let now_ms = net.now_ms;
    assert!(net.replica(0).rebase_pending(now_ms).unwrap());
    go_offline(&mut net, 0);
    // Enough for the index of the tail to be filled.
    for number in 0..600 {
        net.commit(0, todo(&number.to_string()));
    }
    for group in own {
        assert_eq!(net.replica(0).group_state(group).unwrap(), GroupState::Pending);
    }
    net.converge();
    assert_eq!(todos(&mut net, 0).len(), 606);
}
