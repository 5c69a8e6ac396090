//! A backend that breaks the protocol loses the connection, and nothing else happens.

use livestore::protocol::{
    AlreadyAccepted, Goodbye, GoodbyeReason, GroupPosition, GroupRejected, Page, PushAccepted,
    RejectReason, ServerAhead, ServerMessage, Welcome,
};
use livestore::{BackendId, GlobalSeqNum, GroupId, SyncStatus};
use livestore_core::{ConfirmedGroup, Group, LogHash, LogPosition};

use super::*;
use crate::backend::{Backend, confirmed_log};

/// Checks that a message ends the connection and changes nothing, and that all is well again with
/// an honest backend.
#[track_caller]
fn is_refused(net: &mut Net, what: &str, message: ServerMessage) {
    let picture = |net: &mut Net| {
        let status = net.status(0);
        let SyncStatus { confirmed_head, pending_groups, dead_letters, rebases, .. } = status;
        let figures = (confirmed_head, pending_groups, dead_letters, rebases);
        (figures, net.replica(0).state_hash().unwrap(), confirmed_log(&net.clients[0].replica))
    };
    let before = picture(net);
    assert!(!net.inject(0, message.clone()), "{what}: still connected after {message:?}");
    assert_eq!(net.status(0).connection, ConnectionState::Offline, "{what}");
    let error = net.status(0).last_error.unwrap_or_default();
    assert!(error.starts_with("the backend broke the protocol: "), "{what}: {error}");
    assert!(picture(net) == before, "{what}: something has changed after {message:?}");
    net.assert_state_is_replay(0);
    net.converge();
    assert_eq!(net.status(0).last_error, None, "{what}");
}

/// A client with two confirmed events and a push of two groups, three events, that waits for its
/// answer.
fn waiting_for_an_answer() -> (Net, u64, Vec<GroupId>) {
    let mut net = clients(1);
    net.elsewhere([fact(todo("t1"))]);
    net.elsewhere([fact(todo("t2"))]);
    net.settle();
    net.commit(0, todo("a"));
    net.commit(0, [todo("b"), todo("c")]);
    net.poll(0);
    let push = &net.clients[0].pushes[0];
    let (request, ids) = (push.request, push.groups.iter().map(Group::id).collect());
    (net, request, ids)
}

/// The same client, connecting again after the answer was lost.
fn waiting_for_a_welcome() -> (Net, u64, Vec<GroupId>) {
    let (mut net, request, ids) = waiting_for_an_answer();
    net.cut(0, OnTheWire::Lost);
    net.wait_for_retry(0);
    net.poll(0);
    (net, request, ids)
}

/// Where the log stands after the push that waits for its answer.
fn honest_end(net: &Net) -> LogPosition {
    let LogPosition { seq, hash } = net.backend.end();
    let groups = &net.clients[0].pushes[0].groups;
    let hash = groups.iter().fold(hash, |hash, group| hash.extend(group.content_hash()));
    LogPosition { seq: seq.plus(groups.iter().map(Group::event_count).sum()), hash }
}

/// A page of one group of two events, as if it stood at `first`.
fn foreign_page(net: &mut Net, first: u64) -> Page {
    let group = net.foreign_group([fact(todo("foreign")), fact(todo("too"))]);
    let hash = net.backend.end().hash.extend(group.content_hash());
    let confirmed = ConfirmedGroup { first: GlobalSeqNum(first), group };
    let end = LogPosition { seq: confirmed.last(), hash };
    Page { groups: vec![confirmed], end, head: end.seq }
}

fn at(id: GroupId, first: u64) -> GroupPosition {
    GroupPosition { id, first: GlobalSeqNum(first) }
}

const OTHER_HASH: LogHash = LogHash::from_bytes([7; 32]);
const OTHER_GROUP: GroupId = GroupId::from_bytes([8; 16]);

#[test]
fn a_page_that_does_not_continue_the_log_is_refused() {
    type Lie = (&'static str, fn(&mut Net) -> Page);
    let lies: [Lie; 5] = [
        ("a gap", |net| foreign_page(net, 5)),
        ("an overlap", |net| foreign_page(net, 2)),
        ("another hash", |net| {
            let mut page = foreign_page(net, 3);
            page.end.hash = OTHER_HASH;
            page
        }),
        ("other content", |net| {
            let mut page = foreign_page(net, 3);
            page.groups[0].group = net.foreign_group([fact(todo("x")), fact(todo("y"))]);
            page
        }),
        ("the end of the range", |net| {
            let mut page = foreign_page(net, 3);
            page.groups[0].first = GlobalSeqNum::MAX;
            page
        }),
    ];
    for (what, lie) in lies {
        let (mut net, ..) = waiting_for_an_answer();
        let page = lie(&mut net);
        is_refused(&mut net, what, ServerMessage::Page(page));
        // The same inside the answer to a push.
        let (mut net, request, _) = waiting_for_an_answer();
        let missing = Some(lie(&mut net));
        is_refused(&mut net, what, ServerMessage::ServerAhead(ServerAhead { request, missing }));
    }
}

#[test]
fn an_acknowledgement_that_cannot_be_is_refused() {
    type Lie = (&'static str, fn(&mut PushAccepted));
    let lies: [Lie; 8] = [
        ("another request", |accepted| accepted.request += 1),
        ("another hash", |accepted| accepted.end.hash = OTHER_HASH),
        ("a later position", |accepted| {
            accepted.first = GlobalSeqNum(4);
            accepted.end.seq = GlobalSeqNum(6);
        }),
        ("an earlier position", |accepted| {
            accepted.first = GlobalSeqNum(2);
            accepted.end.seq = GlobalSeqNum(4);
        }),
        ("the root", |accepted| accepted.first = GlobalSeqNum::ROOT),
        ("the end of the range", |accepted| accepted.first = GlobalSeqNum::MAX),
        ("an end that is too far", |accepted| accepted.end.seq = GlobalSeqNum(1_000)),
        ("an end that is too near", |accepted| accepted.end.seq = GlobalSeqNum(4)),
    ];
    for (what, lie) in lies {
        let (mut net, request, _) = waiting_for_an_answer();
        let (first, end) = (GlobalSeqNum(3), honest_end(&net));
        let mut accepted = PushAccepted { request, first, end };
        lie(&mut accepted);
        is_refused(&mut net, what, ServerMessage::PushAccepted(accepted));
    }
}

#[test]
fn an_acknowledgement_of_a_place_that_a_page_gave_to_others_is_refused() {
    // The push of three events is said to stand at 3; a page gives that place to one, two or four
    // events of others.
    for taken in [1, 2, 4] {
        let (mut net, request, _) = waiting_for_an_answer();
        let (first, end) = (GlobalSeqNum(3), honest_end(&net));
        net.elsewhere((0..taken).map(|index| fact(todo(&format!("theirs {index}")))));
        assert!(net.send_page(0));
        net.reach_client(0);
        let accepted = PushAccepted { request, first, end };
        is_refused(&mut net, "a taken place", ServerMessage::PushAccepted(accepted));
    }
}

#[test]
fn another_answer_that_cannot_be_is_refused() {
    let already =
        |request, groups| ServerMessage::AlreadyAccepted(AlreadyAccepted { request, groups });
    let rejected = |request, group| {
        let reason = RejectReason::EventIdConflict;
        ServerMessage::GroupRejected(GroupRejected { request, group, reason })
    };
    let ahead = |request| ServerMessage::ServerAhead(ServerAhead { request, missing: None });
    for case in 0..9 {
        let (mut net, request, ids) = waiting_for_an_answer();
        let (what, message) = match case {
            0 => ("already: another request", already(request + 1, vec![at(ids[0], 3)])),
            1 => {
                ("already: a group that was not pushed", already(request, vec![at(OTHER_GROUP, 3)]))
            }
            2 => ("already: nothing", already(request, Vec::new())),
            3 => ("already: a place that we have", already(request, vec![at(ids[0], 1)])),
            4 => ("already: the root", already(request, vec![at(ids[0], 0)])),
            5 => ("rejected: another request", rejected(request + 1, ids[0])),
            6 => ("rejected: a group that was not pushed", rejected(request, OTHER_GROUP)),
            7 => ("ahead: another request", ahead(request + 1)),
            _ => ("ahead: of nothing", ahead(request)),
        };
        is_refused(&mut net, what, message);
    }
}

#[test]
fn a_welcome_that_cannot_be_is_refused() {
    type Lie = (&'static str, fn(&mut Welcome, GroupId));
    let lies: [Lie; 6] = [
        ("a version that was not offered", |welcome, _| welcome.version = 2),
        ("another backend", |welcome, _| welcome.backend_id = BackendId::from_bytes([9; 16])),
        ("a log shorter than the cursor", |welcome, _| welcome.head = GlobalSeqNum(1)),
        ("a group before the cursor", |welcome, own| welcome.accepted = vec![at(own, 2)]),
        ("a group behind the head", |welcome, own| welcome.accepted = vec![at(own, 4)]),
        ("a group that was not attempted", |welcome, _| {
            welcome.accepted = vec![at(OTHER_GROUP, 3)];
        }),
    ];
    for (what, lie) in lies {
        let (mut net, _, ids) = waiting_for_a_welcome();
        net.elsewhere([fact(todo("t3"))]);
        let (backend_id, head) = (net.backend.id, net.backend.end().seq);
        let mut welcome = Welcome { version: 1, backend_id, head, accepted: Vec::new() };
        lie(&mut welcome, ids[0]);
        is_refused(&mut net, what, ServerMessage::Welcome(welcome));
    }
}

#[test]
fn what_comes_before_the_welcome_or_twice_is_refused() {
    let (mut net, ..) = waiting_for_an_answer();
    let (backend_id, head) = (net.backend.id, net.backend.end().seq);
    let welcome = Welcome { version: 1, backend_id, head, accepted: Vec::new() };
    is_refused(&mut net, "a second welcome", ServerMessage::Welcome(welcome));

    let (mut net, ..) = waiting_for_a_welcome();
    let page = foreign_page(&mut net, 3);
    is_refused(&mut net, "a page", ServerMessage::Page(page));

    let (mut net, request, _) = waiting_for_a_welcome();
    let accepted = PushAccepted { request, first: GlobalSeqNum(3), end: honest_end(&net) };
    is_refused(&mut net, "an acknowledgement", ServerMessage::PushAccepted(accepted));

    let (mut net, request, ids) = waiting_for_a_welcome();
    let (group, reason) = (ids[0], RejectReason::EventIdConflict);
    let rejected = GroupRejected { request, group, reason };
    is_refused(&mut net, "a refusal", ServerMessage::GroupRejected(rejected));
}

#[test]
fn a_backend_that_always_welcomes_and_never_makes_sense_is_asked_less_and_less() {
    let (mut net, request, _) = waiting_for_an_answer();
    let nonsense = |net: &mut Net| {
        let (group, reason) = (OTHER_GROUP, RejectReason::EventIdConflict);
        let rejected = GroupRejected { request: request + 100, group, reason };
        assert!(!net.inject(0, ServerMessage::GroupRejected(rejected)));
        net.replica(0).next_timeout().unwrap() - net.now_ms
    };
    let mut pauses = vec![nonsense(&mut net)];
    for _ in 0..11 {
        greet(&mut net, 0);
        pauses.push(nonsense(&mut net));
    }
    assert!(pauses[11] >= 15_000, "{pauses:?}");
    // A connection that holds for a while makes up for it.
    greet(&mut net, 0);
    net.now_ms += 60_000;
    net.cut(0, OnTheWire::Lost);
    assert!(net.replica(0).next_timeout().unwrap() - net.now_ms <= 250);
    net.converge();
}

fn goodbye(reason: GoodbyeReason) -> ServerMessage {
    ServerMessage::Goodbye(Goodbye { reason, message: "so long".into() })
}

#[test]
fn a_backend_with_another_history_stops_syncing_and_nothing_is_deleted() {
    let mut net = client_on_disk();
    net.commit(0, todo("confirmed"));
    net.settle();
    go_offline(&mut net, 0);
    net.commit(0, todo("pending"));
    let mut other = Backend::new(2);
    other.append(net.foreign_group([fact(todo("of another history"))]));
    net.backend = other;
    net.clients[0].is_reachable = true;
    for _ in 0..2 {
        net.settle();
        let status = net.status(0);
        let ConnectionState::Stopped(StopReason::HistoryDiverged(divergence)) = status.connection
        else {
            panic!("{status:?}")
        };
        assert_eq!((divergence.common.0, divergence.own_groups), (0, 1));
        assert_eq!((divergence.backend_head.0, divergence.others_events), (1, 0));
        assert_eq!((status.confirmed_head.0, status.pending_groups), (1, 1));
        assert_eq!(todos(&mut net, 0), ["confirmed", "pending"]);
        assert!(!net.poll(0), "it does not try again by itself");
        // Who asks again, since the backend may be the old one again, gets the same answer.
        net.replica(0).retry_now();
        net.settle();
        assert_eq!(net.status(0).connection, status.connection);
        // So does who opens again.
        net.restart(0, OnTheWire::Lost);
    }
    net.commit(0, todo("offline"));
    assert_eq!(todos(&mut net, 0), ["confirmed", "offline", "pending"]);
}

#[test]
fn a_backend_without_a_common_version_stops_syncing() {
    let (mut net, ..) = waiting_for_a_welcome();
    assert!(!net.inject(0, goodbye(GoodbyeReason::UnsupportedVersion)));
    let status = net.status(0);
    let is_stopped = matches!(
        &status.connection,
        ConnectionState::Stopped(StopReason::UnsupportedVersion { message }) if message == "so long"
    );
    assert!(is_stopped, "{status:?}");
    assert_eq!(net.replica(0).next_timeout(), None);
    net.commit(0, todo("offline"));
    assert_eq!(todos(&mut net, 0), ["a", "b", "c", "offline", "t1", "t2"]);
}

#[test]
fn a_store_whose_client_id_is_used_elsewhere_pauses_longer_and_longer() {
    let mut net = clients(1);
    let mut pauses = Vec::new();
    for _ in 0..11 {
        go_offline(&mut net, 0);
        greet(&mut net, 0);
        // The other one comes back after its own pause, which is about as long.
        net.now_ms += 60_000;
        assert!(!net.inject(0, goodbye(GoodbyeReason::Superseded)));
        let error = net.status(0).last_error.unwrap();
        assert!(error.contains("so long"), "{error}");
        pauses.push(net.replica(0).next_timeout().unwrap() - net.now_ms);
    }
    assert!(pauses[10] >= 15_000, "{pauses:?}");
    net.converge();
}

#[test]
fn a_backend_that_goes_down_is_connected_to_again() {
    for reason in [GoodbyeReason::ShuttingDown, GoodbyeReason::Internal] {
        let (mut net, ..) = waiting_for_an_answer();
        assert!(!net.inject(0, goodbye(reason)));
        assert_eq!(net.status(0).connection, ConnectionState::Offline);
        let error = net.status(0).last_error.unwrap();
        assert!(error.contains("so long"), "{error}");
        net.converge();
    }
}
