//! A backend whose log is another history than ours.

use livestore::replica::GroupState;
use livestore::{Divergence, HistoryAnswer, ReplicaError};

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
    assert!(net.replica(0).answer_divergence(HistoryAnswer::RebasePending, now_ms).unwrap());
    assert!(
        !net.replica(0).answer_divergence(HistoryAnswer::RebasePending, now_ms).unwrap(),
        "it is done"
    );
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
    assert!(net.replica(0).answer_divergence(HistoryAnswer::RebasePending, now_ms).unwrap());
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

/// The answer of whoever uses a client that has stopped; returns whether there was anything to do.
fn answer(net: &mut Net, at: usize, answer: HistoryAnswer) -> bool {
    let now_ms = net.now_ms;
    net.replica(at).answer_divergence(answer, now_ms).unwrap()
}

/// Clients in step with a backend that has lost everything then, in which pages are small.
fn emptied(clients: usize, groups: usize) -> (Net, Vec<GroupId>) {
    let mut net = Net::new(schema(), 0);
    (0..clients).for_each(|_| net.add_client(true));
    net.settle();
    for number in 0..groups {
        match number % 3 {
            0 => drop(net.elsewhere([fact(todo(&format!("theirs {number}")))])),
            1 => drop(
                net.commit(0, (todo(&format!("own {number}")), todo(&format!("too {number}")))),
            ),
            _ => drop(net.commit(number % clients, todo(&format!("own {number}")))),
        }
        net.settle();
    }
    for at in 0..clients {
        go_offline(&mut net, at);
    }
    let ids = net.backend.ids();
    net.restore_backend(usize::MAX);
    net.is_restored = true;
    net.backend.page_events = 5;
    for at in 0..clients {
        net.clients[at].is_reachable = true;
    }
    (net, ids)
}

#[test]
fn the_whole_log_is_published_anew_to_an_empty_backend_in_its_order_and_under_its_ids() {
    let (mut net, ids) = emptied(1, 700);
    let pending = net.commit(0, todo("pending")).group_id;
    net.settle();
    let found = divergence(&net);
    assert_eq!((found.backend_head.0, found.pending_groups), (0, 1));
    assert!(found.allows_republishing() && found.to_string().contains("Republish would push"));
    let before = todos(&mut net, 0);
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    assert_eq!(net.status(0).republished.unwrap().0, 0);
    net.settle();
    assert_eq!(net.backend.ids()[..700], ids);
    assert_eq!(net.backend.ids()[700..], [pending]);
    assert_eq!(todos(&mut net, 0), before);
    assert!(net.status(0).is_synced() && net.status(0).republished.is_none());
    assert!(net.clients[0].pushes.iter().all(|push| push.groups.len() <= 256));
    // Others who know the old log go on with the new one.
    net.add_client(false);
    net.settle();
    net.converge();
}

#[test]
fn clients_who_publish_the_same_log_anew_complement_each_other() {
    let (mut net, ids) = emptied(3, 40);
    net.settle();
    for at in 0..3 {
        assert!(answer(&mut net, at, HistoryAnswer::Republish));
        net.commit(at, todo(&format!("of {at}")));
    }
    net.settle();
    assert_eq!(net.backend.ids()[..40], ids);
    assert_eq!(net.backend.ids().len(), 43);
    net.converge();
}

#[test]
fn whoever_finds_the_whole_log_at_another_backend_goes_on_with_that() {
    let (mut net, ids) = emptied(3, 40);
    net.clients[2].is_reachable = false;
    net.settle();
    assert!(matches!(net.status(1).connection, ConnectionState::Stopped(_)));
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    net.commit(2, todo("pending"));
    net.settle();
    // Nothing would leave the state of the others, so nobody is asked.
    net.replica(1).retry_now();
    net.clients[2].is_reachable = true;
    net.settle();
    assert_eq!((net.backend.ids().len(), &net.backend.ids()[..40]), (41, &ids[..]));
    assert_eq!(net.status(2).dead_letters + net.status(2).archived, 0);
    net.converge();
}

#[test]
fn a_log_can_be_published_anew_while_another_client_is_about_it() {
    let (mut net, ids) = emptied(2, 600);
    net.clients[1].is_reachable = false;
    net.settle();
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    while net.backend.ids().is_empty() {
        net.poll(0);
        net.take(0);
        net.answer(0);
        net.reach_client(0);
    }
    // The first one is gone before it is done, and the second one sees what it has left.
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    net.clients[1].is_reachable = true;
    net.settle();
    let ConnectionState::Stopped(StopReason::HistoryDiverged(found)) = net.status(1).connection
    else {
        panic!("{:?}", net.status(1))
    };
    assert!(found.common == found.backend_head && found.allows_republishing(), "{found}");
    assert!(answer(&mut net, 1, HistoryAnswer::Republish));
    net.settle();
    assert_eq!(net.backend.ids(), ids);
    net.clients[0].is_reachable = true;
    net.settle();
    net.converge();
}

#[test]
fn publishing_anew_goes_on_after_a_restart_and_a_lost_answer() {
    let (mut net, ids) = emptied(1, 600);
    net.settle();
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    let mut restarts = 0;
    while net.status(0).republished.is_some() {
        let has = net.backend.ids().len();
        while net.backend.ids().len() == has {
            net.poll(0);
            net.take(0);
            net.answer(0);
            net.reach_client(0);
        }
        // The push is taken, and its answer is lost with the process.
        net.restart(0, OnTheWire::Lost);
        restarts += 1;
        if net.backend.ids().len() == 600 {
            net.settle();
        }
    }
    assert!(restarts > 2, "{restarts}");
    net.settle();
    assert_eq!(net.backend.ids(), ids);
    net.converge();
}

#[test]
fn nothing_is_published_anew_to_a_backend_that_has_a_log() {
    let (mut net, _) = restored(HistoryAnswer::Stop, 3);
    net.settle();
    let before = (net.backend.ids(), net.status(0));
    let now_ms = net.now_ms;
    let refused = net.replica(0).answer_divergence(HistoryAnswer::Republish, now_ms).unwrap_err();
    assert!(matches!(refused, ReplicaError::BackendNotEmpty { head, .. } if head.0 == 4));
    net.settle();
    assert_eq!((net.backend.ids(), net.status(0)), before);
    // The same by policy: it stops.
    let (mut net, _) = restored(HistoryAnswer::Republish, 3);
    net.settle();
    assert_eq!(divergence(&net).backend_head.0, 4);
}

#[test]
fn whoever_writes_to_the_backend_first_stops_the_log_from_being_published_there() {
    let (mut net, _) = emptied(1, 30);
    net.settle();
    let before = todos(&mut net, 0);
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    let theirs = net.elsewhere([fact(todo("somebody else"))]);
    net.settle();
    assert_eq!(net.backend.ids(), [theirs]);
    let found = divergence(&net);
    assert_eq!((found.common.0, found.backend_head.0), (0, 1));
    assert_eq!((net.status(0).republished, todos(&mut net, 0)), (None, before));
    assert!(answer(&mut net, 0, HistoryAnswer::RebasePending));
    net.settle();
    net.converge();
}

#[test]
fn a_backend_that_has_what_is_pending_in_the_midst_of_the_published_log_has_another_history() {
    let (mut net, _) = emptied(1, 30);
    let pending = net.commit(0, todo("pending")).group_id;
    net.settle();
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    // Somebody publishes another log first, in which that group was taken without an answer.
    net.elsewhere([fact(todo("somebody else"))]);
    let theirs = net.foreign_group([fact(todo("pending"))]);
    let (client_id, session_id) = (theirs.client_id().clone(), theirs.session_id().clone());
    let group = Group::new(pending, client_id, session_id, theirs.events().to_vec()).unwrap();
    net.backend.append(group);
    net.settle();
    let found = divergence(&net);
    assert_eq!((found.common.0, found.backend_head.0), (0, 2));
    assert_eq!(net.status(0).republished, None);
    assert!(answer(&mut net, 0, HistoryAnswer::RebasePending));
    net.settle();
    net.converge();
}

#[test]
fn a_backend_that_has_a_group_of_ours_as_something_else_has_another_history() {
    let (mut net, ids) = emptied(1, 30);
    net.settle();
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    // Its author has made it anew, and is quicker than the first piece of the log.
    while !matches!(net.status(0).connection, ConnectionState::Connected) {
        net.poll(0);
        net.take(0);
        net.reach_client(0);
    }
    let theirs = net.foreign_group([fact(todo("made anew"))]);
    let (client_id, session_id) = (theirs.client_id().clone(), theirs.session_id().clone());
    net.backend
        .append(Group::new(ids[0], client_id, session_id, theirs.events().to_vec()).unwrap());
    net.settle();
    let found = divergence(&net);
    assert_eq!((found.common.0, found.backend_head.0), (0, 1));
    assert_eq!(net.status(0).republished, None);
    assert!(answer(&mut net, 0, HistoryAnswer::RebasePending));
    net.settle();
    net.converge();
}

#[test]
fn what_the_new_history_lacks_can_be_discarded_and_is_kept_aside() {
    let (mut net, own) = restored(HistoryAnswer::Stop, 5);
    net.settle();
    assert_eq!(divergence(&net).pending_groups, 1);
    assert!(answer(&mut net, 0, HistoryAnswer::Discard));
    net.assert_state_is_replay(0);
    let archived: Vec<_> =
        net.replica(0).archived().unwrap().iter().map(|(_, group)| group.group.id()).collect();
    assert_eq!((archived.len(), archived[0], archived[2]), (3, own[0], own[1]));
    // A receipt tells that as well.
    for id in [own[0], own[1]] {
        let state = net.replica(0).group_state(id).unwrap();
        assert_eq!(state, GroupState::Ended(Fate::Archived));
        assert!(net.replica(0).committed(id).unwrap().is_some());
    }
    let letters = net.replica(0).dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].group.id()), (1, own[2]));
    assert_eq!(
        letters[0].reason.to_string(),
        "it was pending when another history of the backend was followed"
    );
    net.settle();
    assert!(matches!(net.clients[0].fates[..], [(id, Fate::Rejected { .. })] if id == own[2]));
    assert_eq!(net.backend.ids().len(), 6);
    let left = todos(&mut net, 0);
    assert!(left.contains(&"new".to_owned()) && !left.contains(&"one".to_owned()), "{left:?}");
    // It is nobody's business any more, but what was pending can be done again.
    net.clients[0].committed.retain(|committed| !own.contains(&committed.group_id));
    let now_ms = net.now_ms;
    let again = net.replica(0).retry_dead_letter(own[2], now_ms).unwrap().unwrap();
    net.clients[0].committed.push(again);
    net.settle();
    assert_eq!(net.backend.ids().len(), 7);
    net.converge();
}

#[test]
fn a_backend_that_refuses_a_part_of_the_log_leaves_the_choice_to_the_app() {
    for choice in [HistoryAnswer::RebasePending, HistoryAnswer::Discard] {
        let (mut net, ids) = emptied(1, 30);
        net.backend.refused.insert(ids[20]);
        net.settle();
        assert!(answer(&mut net, 0, HistoryAnswer::Republish));
        let before = todos(&mut net, 0);
        net.settle();
        let ConnectionState::Stopped(StopReason::NotRepublished { message }) =
            net.status(0).connection
        else {
            panic!("{:?}", net.status(0));
        };
        assert!(message.contains(&ids[20].to_string()), "{message}");
        assert_eq!(todos(&mut net, 0), before, "nothing is changed");
        // Trying again is no use as long as the backend has the same rules.
        net.replica(0).retry_now();
        net.settle();
        assert!(matches!(net.status(0).connection, ConnectionState::Stopped(_)));
        let has = net.backend.ids().len();
        net.backend.refused.clear();
        assert!(answer(&mut net, 0, choice));
        net.settle();
        assert!(net.status(0).is_synced(), "{:?}", net.status(0));
        assert!(net.backend.ids().len() >= has);
        net.assert_state_is_replay(0);
    }
}

#[test]
fn a_page_that_overtakes_the_answer_to_a_piece_of_the_log_takes_nothing_back() {
    let (mut net, ids) = emptied(1, 600);
    net.settle();
    assert!(answer(&mut net, 0, HistoryAnswer::Republish));
    while net.status(0).republished.is_some() {
        net.poll(0);
        net.take(0);
        // What is in the log goes out as pages before the push is answered.
        while net.send_page(0) {}
        while net.reach_client(0).is_some() {}
        net.answer(0);
        net.poll(0);
        net.reach_client(0);
    }
    net.settle();
    assert_eq!(net.backend.ids(), ids);
    net.converge();
}
