//! Lost and late messages, power cuts, restarts: what is in doubt, and how it is settled.

use livestore::GlobalSeqNum;
use livestore::protocol::{ServerMessage, Welcome};
use livestore::replica::{Committed, GroupState};

use super::*;
use crate::app::TodoCompleted;

#[test]
fn a_lost_acknowledgement_costs_nothing() {
    let mut net = clients(1);
    let committed = net.commit(0, todo("a"));
    net.poll(0);
    assert!(net.reach_backend(0));
    net.cut(0, OnTheWire::Lost);
    assert_eq!(net.status(0).pending_groups, 1, "the client cannot know");
    net.settle();
    assert_eq!(net.clients[0].fates, [(committed.group_id, confirmed(1, 1))]);
    assert_eq!(net.clients[0].pushes.len(), 1, "nothing was pushed again");
    assert_eq!(net.status(0).rebases, 0);
    net.converge();
}

#[test]
fn a_lost_push_is_made_again() {
    let mut net = clients(1);
    net.commit(0, todo("a"));
    net.poll(0);
    net.cut(0, OnTheWire::Lost);
    net.settle();
    assert_eq!(net.clients[0].pushes.len(), 2);
    assert_eq!(net.clients[0].pushes[0].groups, net.clients[0].pushes[1].groups);
    net.converge();
}

#[test]
fn a_lost_acknowledgement_survives_a_restart() {
    let mut net = client_on_disk();
    let committed = net.commit(0, todo("a"));
    net.poll(0);
    assert!(net.reach_backend(0));
    net.restart(0, OnTheWire::Lost);
    net.elsewhere([fact(todo("a"))]);
    net.settle();
    assert_eq!(net.clients[0].fates, [(committed.group_id, confirmed(1, 1))]);
    assert_eq!(net.status(0).quarantined, 1, "the other one came too late");
    net.converge();
}

#[test]
fn a_push_that_arrives_after_its_connection_is_gone_is_not_doubled() {
    // Before the retry, after it, or when the log has grown past its base.
    for order in 0..3 {
        let mut net = clients(1);
        net.commit(0, todo("a"));
        net.poll(0);
        net.cut(0, OnTheWire::Late);
        greet(&mut net, 0);
        // The retry brings one group more.
        net.commit(0, todo("b"));
        net.poll(0);
        match order {
            0 => assert!(net.late_push_arrives()),
            1 => assert!(net.reach_backend(0)),
            _ => _ = net.elsewhere([fact(todo("c"))]),
        }
        net.late_push_arrives();
        net.converge();
        assert_eq!(net.status(0).dead_letters, 0);
        assert_eq!(net.backend.ids().len(), if order == 2 { 3 } else { 2 });
    }
}

#[test]
fn a_repeat_is_answered_with_where_it_stands_and_the_rest_is_pushed_again() {
    let mut net = clients(1);
    let one = net.commit(0, todo("one"));
    net.poll(0);
    net.cut(0, OnTheWire::Late);
    greet(&mut net, 0);
    let two = net.commit(0, todo("two"));
    net.poll(0);
    net.late_push_arrives();
    net.reach_backend(0);
    let answer = net.reach_client(0).unwrap();
    let ServerMessage::AlreadyAccepted(already) = &answer else { panic!("{answer:?}") };
    assert_eq!(already.groups.len(), 1);
    let pushes = net.clients[0].pushes.len();
    net.poll(0);
    assert_eq!(net.clients[0].pushes.len(), pushes, "it waits for the page that tells where");
    deliver_page(&mut net, 0);
    assert_eq!(net.clients[0].fates, [(one.group_id, confirmed(1, 1))]);
    net.settle();
    assert_eq!(
        net.replica(0).group_state(two.group_id).unwrap(),
        GroupState::Ended(confirmed(2, 2))
    );
    net.converge();
}

#[test]
fn an_acknowledgement_may_come_after_the_page_with_its_groups() {
    for page_events in [1, 2, 100] {
        let mut net = clients(1);
        net.backend.page_events = page_events;
        for id in ["a", "b", "c"] {
            net.commit(0, todo(id));
        }
        net.poll(0);
        assert!(net.take(0) && net.send_page(0) && net.answer(0));
        net.reach_client(0);
        assert_eq!(net.status(0).confirmed_head, GlobalSeqNum(page_events.min(3)));
        net.reach_client(0);
        assert_eq!(net.status(0).pending_groups, 0);
        net.settle();
        assert_eq!(net.clients[0].fates.len(), 3, "each group is told once");
        assert_eq!(net.status(0).rebases, 0);
        net.converge();
    }
}

#[test]
fn a_push_that_crosses_a_page_is_made_again_on_the_new_base() {
    let mut net = clients(1);
    net.commit(0, todo("mine"));
    net.poll(0);
    net.elsewhere([fact(todo("theirs"))]);
    assert!(net.send_page(0) && net.reach_backend(0));
    net.reach_client(0);
    let answer = net.reach_client(0);
    let Some(ServerMessage::ServerAhead(ahead)) = answer else { panic!("{answer:?}") };
    assert_eq!(ahead.missing, None);
    net.converge();
    let bases: Vec<_> = net.clients[0].pushes.iter().map(|push| push.base.0).collect();
    assert_eq!(bases, [0, 1]);
}

#[test]
fn the_missing_page_comes_with_the_answer() {
    let mut net = clients(1);
    net.backend.page_events = 2;
    net.commit(0, todo("mine"));
    net.poll(0);
    for id in ["t1", "t2", "t3"] {
        net.elsewhere([fact(todo(id))]);
    }
    net.reach_backend(0);
    net.reach_client(0);
    assert_eq!(net.status(0).confirmed_head, GlobalSeqNum(2));
    assert_eq!(net.clients[0].pushes.len(), 1, "it waits for the rest of what it misses");
    net.converge();
}

#[test]
fn a_page_boundary_inside_an_unacknowledged_push_is_harmless() {
    let mut net = clients(1);
    for id in ["a", "b", "c"] {
        net.commit(0, [todo(id), todo(&format!("{id} too"))]);
    }
    net.poll(0);
    assert!(net.reach_backend(0));
    net.cut(0, OnTheWire::Lost);
    net.backend.page_events = 1;
    net.commit(0, todo("d"));
    net.elsewhere([fact(todo("e"))]);
    greet(&mut net, 0);
    for (pages, pending) in [(1, 3), (2, 2), (3, 1)] {
        deliver_page(&mut net, 0);
        assert_eq!(net.status(0).pending_groups, pending, "after page {pages}");
        assert_eq!(net.clients[0].fates.len(), pages);
        assert_eq!(net.clients[0].pushes.len(), 1, "nothing is pushed before the pages are in");
        assert_eq!(net.status(0).rebases, 0);
        net.assert_state_is_replay(0);
    }
    net.converge();
}

// In doubt: a group fails on a page, and the backend has accepted it, or may have

/// A client whose group takes seat 1; the backend has it behind what takes and frees that seat.
///
/// After that, the client's file goes through a power cut. It still has the group, which was synced
/// before it was pushed, but nothing of the log.
fn accepted_and_forgotten() -> (Net, Committed) {
    let mut net = client_on_disk();
    let mine = net.commit(0, (todo("mine"), seat(1, "ann")));
    net.elsewhere([fact(seat(1, "bob"))]);
    net.elsewhere([fact(SeatFreed { seat: 1 })]);
    net.poll(0);
    net.reach_backend(0);
    net.reach_client(0);
    net.reach_backend(0);
    assert_eq!(net.backend.ids()[2], mine.group_id);
    net.power_cut(0, OnTheWire::Lost);
    let status = net.status(0);
    assert_eq!((status.confirmed_head.0, status.pending_groups), (0, 1), "{status:?}");
    net.backend.page_events = 1;
    (net, mine)
}

#[test]
fn an_accepted_group_that_fails_between_two_pages_is_no_dead_letter() {
    let (mut net, mine) = accepted_and_forgotten();
    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    let status = net.status(0);
    assert_eq!((status.pulled_head.0, status.confirmed_head.0), (1, 0), "it gathers pages");
    assert_eq!(todos(&mut net, 0), ["mine"]);
    net.cut(0, OnTheWire::Lost);
    let status = net.status(0);
    assert_eq!((status.pulled_head.0, status.confirmed_head.0), (1, 1), "it gathers no more");
    assert_eq!((status.pending_groups, status.groups_in_doubt, status.dead_letters), (1, 1, 0));
    assert_eq!(todos(&mut net, 0), [""; 0], "what fails has no effect");
    assert_eq!(net.clients[0].fates, []);
    net.assert_state_is_replay(0);
    net.settle();
    assert_eq!(todos(&mut net, 0), ["mine"], "it applies again");
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(3, 4))]);
    assert_eq!(net.status(0).dead_letters, 0);
    net.converge();
}

#[test]
fn an_accepted_group_that_fails_between_two_pages_survives_a_restart_there() {
    let (mut net, mine) = accepted_and_forgotten();
    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    net.restart(0, OnTheWire::Lost);
    assert_eq!(net.status(0).pending_groups, 1);
    net.settle();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(3, 4))]);
    assert_eq!(net.status(0).dead_letters, 0);
    net.converge();
}

#[test]
fn an_accepted_group_that_fails_between_two_pages_survives_a_rebuild_there() {
    let (mut net, mine) = accepted_and_forgotten();
    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    net.use_schema(later_schema(failed));
    net.restart(0, OnTheWire::Lost);
    assert_eq!((net.status(0).pending_groups, net.status(0).dead_letters), (1, 0));
    net.settle();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(3, 4))]);
    net.converge();
}

#[test]
fn a_group_in_doubt_that_a_new_schema_cannot_apply_is_no_dead_letter_if_it_was_accepted() {
    let mut net = client_on_disk();
    let mine = net.commit(0, [failing("never"), failing("in new code")]);
    net.poll(0);
    assert!(net.reach_backend(0));
    let strict = |e: Failed| match e.how.as_str() {
        "in new code" => Err(MaterializeError::failed("no longer")),
        _ => Ok(()),
    };
    net.use_schema(later_schema(strict));
    net.restart(0, OnTheWire::Lost);
    assert_eq!(net.status(0).dead_letters, 0, "the backend may have it");
    net.settle();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(1, 2))]);
    assert_eq!((net.status(0).quarantined, net.status(0).dead_letters), (1, 0));
    net.converge();
}

#[test]
fn a_pending_group_that_a_new_schema_cannot_apply_is_a_dead_letter_once_it_is_out_of_doubt() {
    let mut net = client_on_disk();
    let mine = net.commit(0, failing("in new code"));
    let next = net.commit(0, todo("next"));
    net.use_schema(later_schema(|_| Err(MaterializeError::failed("no longer"))));
    net.restart(0, OnTheWire::Lost);
    net.settle();
    let letters = net.replica(0).dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].group.id()), (1, mine.group_id));
    let message = letters[0].reason.to_string();
    assert!(message.contains("no longer"), "the reason is lost: {message}");
    assert_eq!(
        net.replica(0).group_state(next.group_id).unwrap(),
        GroupState::Ended(confirmed(1, 1))
    );
    net.converge();
}

#[test]
fn an_accepted_group_that_fails_where_it_stands_is_quarantined_as_on_every_client() {
    let mut net = clients(2);
    let mine = net.commit(0, (todo("mine"), seat(1, "ann")));
    net.poll(0);
    let group = net.clients[0].pushes[0].groups[0].clone();
    net.cut(0, OnTheWire::Lost);
    // Somebody brings the group to the backend, after another one that it clashes with.
    net.elsewhere([fact(seat(1, "bob"))]);
    net.backend.append(group);
    net.backend.page_events = 1;
    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    assert_eq!((net.status(0).pending_groups, net.status(0).dead_letters), (1, 0));
    net.settle();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(2, 3))]);
    for at in 0..2 {
        assert_eq!((net.status(at).quarantined, net.status(at).dead_letters), (1, 0));
        assert_eq!(todos(&mut net, at), ["mine"], "only the event that fails is left out");
    }
    net.converge();
}

#[test]
fn a_group_whose_acceptance_was_an_error_becomes_a_dead_letter_after_all() {
    let (mut net, mine) = accepted_and_forgotten();
    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    net.cut(0, OnTheWire::Lost);
    net.wait_for_retry(0);
    net.poll(0);
    let head = net.status(0).confirmed_head;
    let (version, backend_id) = (1, net.backend.id);
    let welcome = Welcome { version, backend_id, head, accepted: Vec::new() };
    assert!(net.inject(0, ServerMessage::Welcome(welcome)));
    let letters = net.replica(0).dead_letters().unwrap();
    assert_eq!((letters.len(), letters[0].group.id()), (1, mine.group_id));
    assert_eq!(net.status(0).pending_groups, 0);
    net.assert_state_is_replay(0);
}

#[test]
fn a_push_that_arrives_late_after_a_power_cut_is_no_dead_letter_too() {
    let mut net = client_on_disk();
    let mine = net.commit(0, (todo("mine"), seat(1, "ann")));
    net.elsewhere([fact(seat(1, "bob"))]);
    net.elsewhere([fact(SeatFreed { seat: 1 })]);
    net.poll(0);
    net.reach_backend(0);
    net.reach_client(0);
    assert_eq!(net.clients[0].pushes[1].base, GlobalSeqNum(2));
    net.power_cut(0, OnTheWire::Late);
    net.backend.page_events = 1;
    greet(&mut net, 0);
    // On this page alone the group fails; whether the backend will have it is not known yet.
    deliver_page(&mut net, 0);
    assert!(net.late_push_arrives());
    assert_eq!(net.backend.ids()[2], mine.group_id);
    net.converge();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(3, 4))]);
}

#[test]
fn a_tail_is_judged_on_the_whole_of_what_was_missed() {
    // While the client was away, seat 1 was taken and freed. How pages are cut does not matter.
    for page_events in [1, 100] {
        let mut net = clients(1);
        go_offline(&mut net, 0);
        let mine = net.commit(0, seat(1, "ann"));
        net.elsewhere([fact(seat(1, "bob"))]);
        net.elsewhere([fact(SeatFreed { seat: 1 })]);
        net.backend.page_events = page_events;
        net.clients[0].is_reachable = true;
        net.settle();
        assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(3, 3))]);
        net.converge();
    }
}

#[test]
fn a_group_in_a_page_that_is_not_merged_yet_is_no_dead_letter_when_another_is_refused() {
    let mut net = clients(1);
    net.elsewhere([fact(seat(1, "bob"))]);
    net.settle();
    let refused = net.commit(0, SeatFreed { seat: 1 });
    let mine = net.commit(0, seat(1, "ann"));
    for id in ["a", "b", "c", "d"] {
        net.commit(0, todo(id));
    }
    net.backend.refused.insert(refused.group_id);
    net.poll(0);
    // Before the push is decided, somebody brings one of its groups.
    let brought = net.clients[0].pushes[0].groups[1].clone();
    net.elsewhere([fact(todo("theirs"))]);
    net.backend.append(brought);
    net.elsewhere([fact(todo("more of theirs"))]);
    net.backend.page_events = 1;
    deliver_page(&mut net, 0);
    deliver_page(&mut net, 0);
    let status = net.status(0);
    assert_eq!((status.confirmed_head.0, status.pulled_head.0), (1, 3), "pages are gathered");
    net.reach_backend(0);
    net.reach_client(0);
    assert_eq!((net.status(0).dead_letters, net.status(0).groups_in_doubt), (1, 1));
    net.settle();
    assert_eq!((net.status(0).dead_letters, net.status(0).quarantined), (1, 1));
    assert!(net.clients[0].fates.contains(&(mine.group_id, confirmed(3, 3))));
    net.converge();
}

#[test]
fn a_tail_is_judged_on_the_whole_of_what_was_missed_when_one_of_it_is_refused() {
    // Seat 1 is freed by another, be it in pages that are not merged or in one that is still to come.
    for pages in [1, 2] {
        let mut net = clients(1);
        net.elsewhere([fact(seat(1, "bob")), fact(todo("x")), fact(todo("y"))]);
        net.settle();
        let refused = net.commit(0, (SeatFreed { seat: 1 }, TodoCompleted { id: "x".into() }));
        let mine = net.commit(0, seat(1, "ann"));
        // What the refused group leaves behind would be seen here.
        net.commit(0, TodoCompleted { id: "y".into() });
        for id in ["a", "b", "c", "d"] {
            net.commit(0, todo(id));
        }
        net.backend.refused.insert(refused.group_id);
        net.poll(0);
        net.elsewhere([fact(todo("theirs"))]);
        net.elsewhere([fact(SeatFreed { seat: 1 })]);
        net.backend.page_events = 1;
        net.replica(0).more_messages_wait(true);
        (0..pages).for_each(|_| deliver_page(&mut net, 0));
        assert_eq!(net.status(0).pulled_head.0, 3 + pages);
        net.reach_backend(0);
        net.reach_client(0);
        let letters = net.replica(0).dead_letters().unwrap();
        assert_eq!((letters.len(), letters[0].group.id()), (1, refused.group_id));
        net.replica(0).more_messages_wait(false);
        net.settle();
        assert!(net.clients[0].fates.contains(&(mine.group_id, confirmed(6, 6))), "{pages} pages");
        net.converge();
    }
}

#[test]
fn a_group_that_others_bring_while_we_are_connected_is_no_dead_letter_too() {
    let mut net = clients(1);
    let mine = net.commit(0, seat(1, "ann"));
    net.poll(0);
    let brought = net.clients[0].pushes[0].groups[0].clone();
    net.elsewhere([fact(seat(1, "bob"))]);
    net.backend.append(brought);
    net.backend.page_events = 1;
    // On this page alone the group fails; the page says that there is more.
    deliver_page(&mut net, 0);
    net.settle();
    assert_eq!(net.clients[0].fates, [(mine.group_id, confirmed(2, 2))]);
    assert_eq!((net.status(0).quarantined, net.status(0).dead_letters), (1, 0));
    net.converge();
}

// Durability

#[test]
fn the_first_push_waits_until_a_power_cut_cannot_take_the_backend_that_it_goes_to() {
    let mut net = Net::on_disk(schema(), 1);
    net.slow_disk = true;
    net.clients[0].is_reachable = false;
    let mine = net.commit(0, todo("mine"));
    net.replica(0).require_full(mine.ordinal);
    net.poll(0);
    assert!(net.sync(0), "a commit of full durability asks for a barrier");
    assert!(net.replica(0).is_durable(mine.ordinal));
    greet(&mut net, 0);
    assert_eq!(net.clients[0].pushes.len(), 0, "the contact is not on the disk yet");
    assert!(net.sync(0));
    net.poll(0);
    assert_eq!(net.clients[0].pushes.len(), 1);
    net.converge();
}

#[test]
fn what_is_pushed_is_durable_before() {
    let mut net = client_on_disk();
    net.slow_disk = true;
    net.commit(0, todo("one"));
    net.poll(0);
    net.commit(0, todo("two"));
    net.poll(0);
    assert_eq!(net.clients[0].pushes.len(), 0, "nothing leaves before the barrier is done");
    assert!(net.fail_sync(0));
    net.poll(0);
    assert_eq!(net.clients[0].pushes.len(), 0, "a barrier that failed is none");
    let is_stopped = |net: &Net| {
        let connection = net.status(0).connection;
        matches!(connection, ConnectionState::Stopped(StopReason::DiskFailed { .. }))
    };
    assert!(is_stopped(&net), "what a later sync says cannot be believed");
    net.restart(0, OnTheWire::Lost);
    net.slow_disk = false;
    greet(&mut net, 0);
    net.slow_disk = true;
    net.poll(0);
    net.commit(0, todo("three"));
    net.sync(0);
    net.poll(0);
    let pushed = |net: &Net| net.clients[0].pushes.last().map(|push| push.groups.len());
    assert_eq!(pushed(&net), Some(2), "what was committed after the barrier waits for the next");
    net.reach_backend(0);
    net.reach_client(0);
    assert_eq!(net.clients[0].pushes.len(), 1);
    assert!(net.sync(0));
    net.poll(0);
    assert_eq!(pushed(&net), Some(1));
    net.converge();
}

#[test]
fn a_power_cut_takes_nothing_that_the_backend_knows() {
    let mut net = client_on_disk();
    let pushed = net.commit(0, todo("pushed"));
    net.settle();
    let lost = net.commit(0, todo("lost"));
    net.power_cut(0, OnTheWire::Lost);
    assert_eq!(net.replica(0).group_state(lost.group_id).unwrap(), GroupState::Unknown);
    net.settle();
    assert_eq!(
        net.replica(0).group_state(pushed.group_id).unwrap(),
        GroupState::Ended(confirmed(1, 1))
    );
    assert_eq!(todos(&mut net, 0), ["pushed"]);
    net.converge();
}
