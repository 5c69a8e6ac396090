//! Syncing: confirmation, rebase, what cannot be applied, whole groups, pauses.

use std::collections::HashSet;

use livestore::prelude::*;
use livestore::protocol::{Refusal, RejectReason, ServerMessage};
use livestore::replica::GroupState;
use livestore::{
    CanonicalJson, ConnectionState, DeadLetterReason, Fate, GlobalSeqNum, GroupId, SchemaBuilder,
    StopReason,
};
use livestore_core::Group;
use serde::{Deserialize, Serialize};

use crate::app::{
    self, Counter, Failed, Seat, SeatTaken, Todo, TodoCompleted, TodoCreated, failed, todo,
};
use crate::backend::{Fact, Net, OnTheWire, fact};

#[path = "sync/histories.rs"]
mod histories;
#[path = "sync/interruptions.rs"]
mod interruptions;
#[path = "sync/liars.rs"]
mod liars;
#[path = "sync/limits.rs"]
mod limits;
#[path = "sync/patience.rs"]
mod patience;
#[path = "sync/schedules.rs"]
pub mod schedules;

/// Gives a seat back, so that what fails now can work again later.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.SeatFreed")]
struct SeatFreed {
    seat: i64,
}

/// The app's schema with one more event; `on_failed` is what `v1.Failed` does.
fn builder(
    on_failed: impl Fn(Failed) -> Result<(), MaterializeError> + Send + Sync + 'static,
) -> SchemaBuilder {
    app::builder(on_failed).event(|e: SeatFreed, _| Seat::delete().filter(Seat::seat.eq(e.seat)))
}

pub fn schema() -> Schema {
    builder(failed).build().expect("the schema is valid")
}

/// The schema of a later release, in which `v1.Failed` does something else.
fn later_schema(
    on_failed: impl Fn(Failed) -> Result<(), MaterializeError> + Send + Sync + 'static,
) -> Schema {
    builder(on_failed).materializer_version(1).build().expect("the schema is valid")
}

/// Clients in memory, connected and in step.
fn clients(count: usize) -> Net {
    let mut net = Net::new(schema(), count);
    net.settle();
    net
}

/// One client on a file, connected and in step.
fn client_on_disk() -> Net {
    let mut net = Net::on_disk(schema(), 1);
    net.settle();
    net
}

fn seat(seat: i64, by: &str) -> SeatTaken {
    SeatTaken { seat, by: by.into() }
}

fn failing(how: &str) -> Failed {
    Failed { how: how.into() }
}

fn todos(net: &mut Net, at: usize) -> Vec<String> {
    let query = Todo::select().order_by(Todo::id);
    let todos = net.replica(at).connection().read().query(&query).unwrap();
    todos.iter().map(|todo| todo.id.clone()).collect()
}

fn confirmed(first: u64, last: u64) -> Fate {
    Fate::Confirmed { first: GlobalSeqNum(first), last: GlobalSeqNum(last) }
}

/// Puts a client out of reach, without anything on the wire.
fn go_offline(net: &mut Net, at: usize) {
    net.clients[at].is_reachable = false;
    net.cut(at, OnTheWire::Lost);
}

/// Connects a client up to its welcome; pages and pushes are left on the wire.
fn greet(net: &mut Net, at: usize) {
    net.clients[at].is_reachable = true;
    if net.status(at).connection == ConnectionState::Offline {
        net.wait_for_retry(at);
    }
    net.poll(at);
    assert!(net.take(at), "no hello");
    let welcome = net.reach_client(at);
    assert!(matches!(welcome, Some(ServerMessage::Welcome(_))), "{welcome:?}");
}

/// Delivers the next page and nothing else.
fn deliver_page(net: &mut Net, at: usize) {
    assert!(net.send_page(at), "there is no page to send");
    let page = net.reach_client(at);
    assert!(matches!(page, Some(ServerMessage::Page(_))), "{page:?}");
}

// Confirmation and rebase

#[test]
fn a_commit_is_confirmed_where_it_stands() {
    let mut net = clients(1);
    let one = net.commit(0, todo("a"));
    let two = net.commit(0, [todo("b"), todo("c")]);
    let before = net.replica(0).state_hash().unwrap();
    assert_eq!(net.status(0).local_head.to_string(), "e3");
    assert_eq!(net.status(0).pending_groups, 2);
    net.settle();
    let status = net.status(0);
    assert!(status.is_synced(), "{status:?}");
    assert_eq!((status.local_head.to_string(), status.rebases), ("e3".into(), 0));
    let fates = [(one.group_id, confirmed(1, 1)), (two.group_id, confirmed(2, 3))];
    assert_eq!(net.clients[0].fates, fates);
    assert_eq!(
        net.replica(0).group_state(two.group_id).unwrap(),
        GroupState::Ended(confirmed(2, 3)),
        "the fate can be looked up later"
    );
    assert_eq!(net.replica(0).state_hash().unwrap(), before);
    net.converge();
}

#[test]
fn a_client_follows_what_another_commits() {
    let mut net = clients(2);
    net.commit(0, todo("a"));
    net.commit(0, TodoCompleted { id: "a".into() });
    net.settle();
    assert_eq!(todos(&mut net, 1), ["a"]);
    assert_eq!(net.status(1).rebases, 0, "following is no rebase");
    net.commit(1, todo("b"));
    net.settle();
    assert_eq!(todos(&mut net, 0), ["a", "b"]);
    net.converge();
}

#[test]
fn what_upstream_puts_before_the_tail_rebases_it() {
    let mut net = clients(2);
    go_offline(&mut net, 0);
    net.commit(0, TodoCompleted { id: "b1".into() });
    net.commit(0, todo("a"));
    net.commit(1, todo("b1"));
    net.commit(1, TodoCompleted { id: "b1".into() });
    net.settle();
    assert_eq!(net.status(0).local_head.to_string(), "e2");

    greet(&mut net, 0);
    deliver_page(&mut net, 0);
    let status = net.status(0);
    assert_eq!(status.local_head.to_string(), "e4r1");
    assert_eq!((status.rebases, status.pending_groups), (1, 2));
    assert_eq!(todos(&mut net, 0), ["a", "b1"]);
    net.assert_state_is_replay(0);

    net.settle();
    assert_eq!(net.status(0).local_head.to_string(), "e4", "a confirmed position has no r");
    let query = Counter::select().first();
    let counter = net.replica(0).connection().read().query(&query).unwrap().unwrap();
    assert_eq!(counter.value, 2, "the completion was counted on top of the other client's");
    net.converge();
}

#[test]
fn each_rebase_of_a_tail_counts() {
    let mut net = clients(1);
    net.commit(0, todo("mine"));
    for round in 1..=3 {
        net.elsewhere([fact(todo(&format!("theirs {round}")))]);
        deliver_page(&mut net, 0);
        let expected = format!("e{}r{round}", round + 1);
        assert_eq!(net.status(0).local_head.to_string(), expected);
    }
    net.settle();
    assert_eq!(net.status(0).rebases, 3);
    net.commit(0, todo("next"));
    assert_eq!(net.status(0).local_head.to_string(), "e5", "a new tail starts anew");
    net.converge();
}

#[test]
fn own_groups_further_on_in_a_page_are_taken_out_of_the_tail() {
    let mut net = clients(1);
    let one = net.commit(0, todo("one"));
    let two = net.commit(0, todo("two"));
    net.poll(0);
    let push = net.clients[0].pushes[0].clone();
    go_offline(&mut net, 0);
    // Somebody else brings the first of the groups, after one of their own.
    net.elsewhere([fact(todo("theirs"))]);
    net.backend.append(push.groups[0].clone());
    net.clients[0].is_reachable = true;
    net.settle();
    let fates = [(one.group_id, confirmed(2, 2)), (two.group_id, confirmed(3, 3))];
    assert_eq!(net.clients[0].fates, fates);
    assert_eq!(net.status(0).dead_letters, 0);
    net.converge();
}

#[test]
fn a_local_commit_between_two_pages_stays_on_top() {
    let mut net = clients(1);
    net.backend.page_events = 1;
    net.elsewhere([fact(todo("theirs 1"))]);
    net.elsewhere([fact(todo("theirs 2"))]);
    deliver_page(&mut net, 0);
    net.commit(0, todo("mine"));
    assert_eq!(net.status(0).local_head.to_string(), "e2");
    deliver_page(&mut net, 0);
    assert_eq!(net.status(0).local_head.to_string(), "e3r1");
    net.assert_state_is_replay(0);
    net.converge();
}

// What cannot be applied

#[test]
fn a_group_that_no_longer_applies_becomes_a_dead_letter_and_the_later_ones_survive() {
    let mut net = clients(2);
    go_offline(&mut net, 0);
    let before = net.commit(0, todo("before"));
    let late = net.commit(0, (todo("with seat"), seat(1, "ann")));
    let after = net.commit(0, [todo("after 1"), todo("after 2")]);
    net.commit(1, seat(1, "bob"));
    net.settle();
    net.clients[0].is_reachable = true;
    net.settle();

    let letters = net.replica(0).dead_letters().unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.group.id(), late.group_id);
    let payload: SeatTaken = letter.group.events()[1].args.decode().unwrap();
    assert_eq!((payload.seat, payload.by.as_str()), (1, "ann"));
    assert_eq!(letter.group.events()[0].name.as_str(), "v1.TodoCreated");
    let DeadLetterReason::MaterializeFailed { event_index: 1, message } = &letter.reason else {
        panic!("{:?}", letter.reason)
    };
    assert!(message.contains("UNIQUE constraint failed: seats.seat"), "{message}");

    let rejected = Fate::Rejected { reason: letter.reason.clone() };
    assert_eq!(net.clients[0].fates.len(), 3);
    for fate in [
        (late.group_id, rejected),
        (before.group_id, confirmed(2, 2)),
        (after.group_id, confirmed(3, 4)),
    ] {
        assert!(net.clients[0].fates.contains(&fate), "{fate:?} is missing");
    }
    assert_eq!(net.status(0).dead_letters, 1);
    assert_eq!(todos(&mut net, 1), ["after 1", "after 2", "before"], "the rest was pushed");
    net.converge();
}

#[test]
fn a_group_that_needs_a_dead_one_dies_too() {
    let mut net = clients(2);
    go_offline(&mut net, 0);
    // Nobody but ann can sit down on 2 as long as she has 1.
    net.commit(0, seat(1, "ann"));
    net.commit(0, SeatFreed { seat: 1 });
    net.commit(0, seat(2, "ann"));
    net.commit(1, seat(1, "bob"));
    net.commit(1, seat(3, "ann"));
    net.settle();
    net.clients[0].is_reachable = true;
    net.settle();
    // The first clashes with bob's seat, the last with ann's other one.
    assert_eq!(net.status(0).dead_letters, 2);
    assert_eq!(net.status(0).confirmed_head, GlobalSeqNum(3));
    net.converge();
}

#[test]
fn a_failing_event_from_upstream_is_skipped_alone() {
    let (mut net, mut piecemeal) = (clients(1), clients(1));
    piecemeal.backend.page_events = 1;
    for net in [&mut net, &mut piecemeal] {
        net.elsewhere([fact(todo("a")), fact(failing("error")), fact(todo("b"))]);
        net.elsewhere([fact(todo("a")), fact(seat(1, "ann")), fact(seat(1, "bob"))]);
        net.elsewhere([fact(todo("c"))]);
        net.settle();
        let status = net.status(0);
        assert!(status.is_synced(), "{status:?}");
        assert_eq!((status.quarantined, status.dead_letters), (3, 0));
        assert_eq!(todos(net, 0), ["a", "b", "c"]);
        net.converge();
    }
    let hash = net.replica(0).state_hash().unwrap();
    assert_eq!(piecemeal.replica(0).state_hash().unwrap(), hash, "pages make no difference");
}

#[test]
fn an_event_from_upstream_that_is_unknown_or_malformed_is_skipped_alone() {
    let mut net = clients(1);
    let json = |text| CanonicalJson::parse(text).unwrap();
    net.elsewhere([fact(todo("a")), ("v9.FromTheFuture", json(r#"{"x":1}"#)), fact(todo("b"))]);
    net.elsewhere([("v1.TodoCreated", json(r#"{"id":1}"#)), ("v1.TodoCreated", json("null"))]);
    net.elsewhere([fact(todo("c"))]);
    net.settle();
    assert_eq!(net.status(0).quarantined, 3);
    assert_eq!(todos(&mut net, 0), ["a", "b", "c"]);
    net.converge();
}

#[test]
fn a_materializer_that_panics_on_an_upstream_event_stops_pulling_and_says_so() {
    let mut net = client_on_disk();
    net.elsewhere([fact(todo("before"))]);
    net.settle();
    let pending = net.commit(0, todo("pending"));
    net.elsewhere([fact(todo("in its group")), fact(failing("panic"))]);
    net.settle();

    let id = net.backend.log()[1].group.events()[1].id.to_string();
    let ConnectionState::Stopped(StopReason::MaterializerPanicked { message }) =
        net.status(0).connection
    else {
        panic!("{:?}", net.status(0))
    };
    for part in ["v1.Failed", &id, "the materializer's panic"] {
        assert!(message.contains(part), "{part} is missing in {message}");
    }
    assert_eq!(net.status(0).confirmed_head, GlobalSeqNum(1), "nothing of the page was taken");
    assert_eq!(net.replica(0).next_timeout(), None);
    net.replica(0).retry_now();
    assert!(!net.poll(0), "it does not try again by itself");

    net.commit(0, todo("offline"));
    assert_eq!(todos(&mut net, 0), ["before", "offline", "pending"]);
    net.assert_state_is_replay(0);
    assert_eq!(net.replica(0).group_state(pending.group_id).unwrap(), GroupState::Pending);

    // With fixed code, the app goes on where it was.
    net.use_schema(later_schema(|_| Ok(())));
    net.restart(0, OnTheWire::Lost);
    net.settle();
    assert_eq!(todos(&mut net, 0), ["before", "in its group", "offline", "pending"]);
    net.converge();
}

#[test]
fn a_group_that_the_backend_refuses_becomes_a_dead_letter() {
    let mut net = clients(1);
    let one = net.commit(0, todo("one"));
    let refused = net.commit(0, todo("refused"));
    let three = net.commit(0, todo("three"));
    net.backend.refused.insert(refused.group_id);
    net.settle();
    let reason = RejectReason::Refused(Refusal::new("not on a Sunday"));
    let reason = DeadLetterReason::RefusedByBackend { reason };
    let letters = net.replica(0).dead_letters().unwrap();
    assert_eq!((letters.len(), &letters[0].reason), (1, &reason));
    assert_eq!(todos(&mut net, 0), ["one", "three"]);
    for fate in [
        (one.group_id, confirmed(1, 1)),
        (refused.group_id, Fate::Rejected { reason }),
        (three.group_id, confirmed(2, 2)),
    ] {
        assert!(net.clients[0].fates.contains(&fate), "{fate:?} is missing");
    }
    net.converge();
}

/// A group of somebody else under an id of ours, as two clients on one cloned disk would make it.
fn namesake(net: &mut Net, id: GroupId) -> Group {
    let group = net.foreign_group([fact(todo("namesake"))]);
    let (client_id, session_id) = (group.client_id().clone(), group.session_id().clone());
    Group::new(id, client_id, session_id, group.events().to_vec()).unwrap()
}

#[test]
fn a_group_whose_id_the_backend_knows_with_other_content_becomes_a_dead_letter() {
    let mut net = clients(1);
    let mine = net.commit(0, todo("mine"));
    let next = net.commit(0, todo("next"));
    net.poll(0);
    let namesake = namesake(&mut net, mine.group_id);
    net.backend.append(namesake);
    net.reach_backend(0);
    net.reach_client(0);
    let letters = net.replica(0).dead_letters().unwrap();
    let reason = DeadLetterReason::RefusedByBackend { reason: RejectReason::EventIdConflict };
    assert_eq!((letters.len(), &letters[0].reason), (1, &reason));
    net.settle();
    assert_eq!(todos(&mut net, 0), ["namesake", "next"]);
    assert_eq!(
        net.replica(0).group_state(next.group_id).unwrap(),
        GroupState::Ended(confirmed(2, 2))
    );
    net.assert_state_is_replay(0);
}

#[test]
fn what_upstream_confirms_under_our_id_is_what_counts() {
    let mut net = clients(1);
    let mine = net.commit(0, todo("mine"));
    let namesake = namesake(&mut net, mine.group_id);
    net.backend.append(namesake);
    deliver_page(&mut net, 0);
    assert_eq!(todos(&mut net, 0), ["namesake"]);
    assert_eq!(
        net.replica(0).group_state(mine.group_id).unwrap(),
        GroupState::Ended(confirmed(1, 1))
    );
    net.converge();
}

// Whole groups, and where to go on

#[test]
fn a_group_is_visible_whole_or_not_at_all() {
    let mut net = clients(2);
    net.backend.page_events = 2;
    for group in 0..4 {
        net.commit(0, [0, 1, 2].map(|part| todo(&format!("{group}.{part}"))));
    }
    net.poll(0);
    net.reach_backend(0);
    net.cut(0, OnTheWire::Lost);
    greet(&mut net, 0);
    for done in 1..=4 {
        for at in 0..2 {
            net.send_page(at);
            let message = net.reach_client(at).unwrap();
            let ServerMessage::Page(page) = message else { panic!("{message:?}") };
            assert_eq!(page.groups.len(), 1, "a page is cut between groups only");
        }
        assert_eq!(todos(&mut net, 1).len(), 3 * done);
        assert_eq!(net.status(0).confirmed_head.0, 3 * done as u64);
    }
    net.converge();
}

#[test]
fn pushes_are_cut_between_groups() {
    let mut net = clients(1);
    let many = |prefix: &str, count| -> Vec<_> {
        (0..count).map(|index| todo(&format!("{prefix}{index:03}"))).collect()
    };
    for event in many("single ", 300) {
        net.commit(0, event);
    }
    net.commit(0, many("group ", 300));
    net.commit(0, todo("last"));
    net.settle();
    let events = |groups: &[Group]| groups.iter().map(Group::event_count).sum::<u64>();
    let pushed: Vec<_> = net.clients[0].pushes.iter().map(|push| events(&push.groups)).collect();
    assert_eq!(pushed, [256, 344, 1]);
    net.converge();
}

#[test]
fn a_new_connection_goes_on_where_the_last_one_ended() {
    let mut net = clients(1);
    for id in ["a", "b", "c"] {
        net.elsewhere([fact(todo(id))]);
    }
    net.settle();
    net.cut(0, OnTheWire::Lost);
    net.elsewhere([fact(todo("d"))]);
    greet(&mut net, 0);
    assert!(net.send_page(0));
    let Some(ServerMessage::Page(page)) = net.reach_client(0) else { panic!("no page") };
    assert_eq!((page.groups.len(), page.groups[0].first), (1, GlobalSeqNum(4)));
    net.converge();
}

// The pause between two attempts

/// Fails to connect this many times, and returns the pauses after each attempt.
fn pauses(net: &mut Net, at: usize, attempts: usize) -> Vec<u64> {
    net.clients[at].is_reachable = false;
    let mut pauses = Vec::new();
    for _ in 0..attempts {
        net.wait_for_retry(at);
        net.poll(at);
        pauses.push(net.replica(at).next_timeout().unwrap() - net.now_ms);
    }
    pauses
}

#[test]
fn the_pause_before_the_next_attempt_grows_with_jitter_up_to_a_limit() {
    let mut net = Net::new(schema(), 4);
    let mut all: HashSet<Vec<u64>> = HashSet::new();
    for at in 0..4 {
        let pauses = pauses(&mut net, at, 20);
        for (attempt, pause) in pauses.iter().enumerate() {
            let ceiling = 30_000.min(250 << attempt);
            assert!((ceiling / 2..=ceiling).contains(pause), "{attempt}: {pause} of {ceiling}");
        }
        all.insert(pauses);
    }
    assert_eq!(all.len(), 4, "clients must not come in step");
}

#[test]
fn a_client_that_is_told_to_hurry_does_not_wait() {
    let mut net = Net::new(schema(), 1);
    pauses(&mut net, 0, 10);
    assert!(!net.poll(0), "it waits");
    net.clients[0].is_reachable = true;
    net.replica(0).retry_now();
    assert!(net.poll(0), "it connects at once");
    net.settle();
    assert!(net.is_connected(0));
}
