//! Push, pull and the live tail.

use std::time::Duration;

use livestore_core::limits::{MAX_GROUP_EVENTS, PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{
    ClientMessage, GroupPosition, GroupRejected, Push, RejectReason, ServerMessage,
};
use livestore_core::{GlobalSeqNum, Group};

use crate::support::{Client, Wire, fill, group, group_id, group_of, hello, hello_at, start};

#[tokio::test]
async fn a_push_reaches_the_other_client() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    assert_eq!(anna.push_ok(&[group(1, "milk"), group_of(2, 3, "bread")]).await, GlobalSeqNum(1));
    ben.pull_to(4).await;
    assert_eq!(ben.push_ok(&[group(3, "tea")]).await, GlobalSeqNum(5));
    anna.pull_to(5).await;
    assert_eq!(anna.log, ben.log);
    assert_eq!(anna.end, ben.end);
}

#[tokio::test]
async fn an_author_is_not_sent_its_own_groups() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let _ben = Client::connect(&server, "notes").await;
    for number in 1..=20 {
        anna.push_ok(&[group(number, "mine")]).await;
    }
    assert!(anna.wire.is_quiet_for(Duration::from_millis(200)).await);
}

#[tokio::test]
async fn a_newcomer_is_sent_the_log_from_its_cursor() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "one"), group(2, "two")]).await;
    let cursor = anna.cursor();
    anna.push_ok(&[group(3, "three")]).await;

    let mut from_root = Client::connect(&server, "notes").await;
    assert_eq!(from_root.welcome.head, GlobalSeqNum(3));
    from_root.pull_to(3).await;
    assert_eq!(from_root.log, anna.log);

    let mut resumed = Client::introduce(&server, hello_at(cursor)).await;
    resumed.pull_to(3).await;
    assert_eq!(resumed.ids(), [group_id(3)]);
    assert_eq!(resumed.end, anna.end);
}

#[tokio::test]
async fn stores_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut notes = Client::connect(&server, "notes").await;
    let mut tasks = Client::connect(&server, "tasks").await;
    notes.push_ok(&[group(1, "note")]).await;
    // The same group id in another store is another group.
    assert_eq!(tasks.push_ok(&[group(1, "task")]).await, GlobalSeqNum(1));
    assert!(tasks.wire.is_quiet_for(Duration::from_millis(100)).await);
}

#[tokio::test]
async fn an_acknowledged_push_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let backend_id = server.backend_id();
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk"), group(2, "bread")]).await;
    let (cursor, log) = (anna.cursor(), anna.log.clone());
    server.shutdown().await;

    let server = start(dir.path()).await;
    assert_eq!(server.backend_id(), backend_id);
    let mut again = Client::connect(&server, "notes").await;
    again.pull_to(2).await;
    assert_eq!(again.log, log);
    let resumed = Client::introduce(&server, hello_at(cursor)).await;
    assert_eq!(resumed.welcome.head, GlobalSeqNum(2));
}

#[tokio::test]
async fn a_repeated_push_is_answered_with_the_first_positions() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let groups = [group_of(1, 2, "milk"), group(2, "bread")];
    anna.push_ok(&groups).await;
    let positions = vec![
        GroupPosition { id: group_id(1), first: GlobalSeqNum(1) },
        GroupPosition { id: group_id(2), first: GlobalSeqNum(3) },
    ];
    // Whatever the base: a repeat is recognised before the base is looked at.
    for base in [0, 3, 99] {
        match anna.push_at(GlobalSeqNum(base), &groups).await {
            ServerMessage::AlreadyAccepted(already) => assert_eq!(already.groups, positions),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(anna.end.seq, GlobalSeqNum(3));
}

#[tokio::test]
async fn a_push_that_repeats_a_part_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    match anna.push(&[group(1, "milk"), group(2, "bread")]).await {
        ServerMessage::AlreadyAccepted(already) => {
            let known = GroupPosition { id: group_id(1), first: GlobalSeqNum(1) };
            assert_eq!(already.groups, [known]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(anna.push_ok(&[group(2, "bread")]).await, GlobalSeqNum(2));
}

#[tokio::test]
async fn a_reconnecting_client_learns_which_attempts_were_taken() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk"), group(2, "bread")]).await;
    let mut hello = hello("notes");
    hello.attempted = vec![group_id(2), group_id(7), group_id(1)];
    let again = Client::introduce(&server, hello).await;
    assert_eq!(
        again.welcome.accepted,
        [
            GroupPosition { id: group_id(2), first: GlobalSeqNum(2) },
            GroupPosition { id: group_id(1), first: GlobalSeqNum(1) },
        ]
    );
}

#[tokio::test]
async fn another_group_under_a_known_id_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    let conflict = |request, id| {
        let reason = RejectReason::EventIdConflict;
        ServerMessage::GroupRejected(GroupRejected { request, group: group_id(id), reason })
    };
    assert_eq!(anna.push(&[group(2, "tea"), group(1, "water")]).await, conflict(2, 1));
    // A repeat beside a conflict is no acknowledgement either.
    let push = [group(1, "milk"), group(3, "tea"), group(3, "tea")];
    assert_eq!(anna.push(&push).await, conflict(3, 3));
    assert_eq!(anna.push_ok(&[group(4, "bread")]).await, GlobalSeqNum(2));
}

#[tokio::test]
async fn a_late_push_is_told_what_it_misses() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    // The client knows nothing yet; its push and the first page cross on the wire, in any order.
    let mut ben = Client::connect(&server, "notes").await;
    let answer = ben.push_at(GlobalSeqNum::ROOT, &[group(2, "bread")]).await;
    assert!(matches!(answer, ServerMessage::ServerAhead(_)), "{answer:?}");
    assert_eq!(ben.end.seq, GlobalSeqNum(1));
    assert_eq!(ben.push_ok(&[group(2, "bread")]).await, GlobalSeqNum(2));
    anna.pull_to(2).await;
    assert_eq!(anna.log, ben.log);
}

#[tokio::test]
async fn server_ahead_carries_the_page_that_comes_next() {
    const PAGES: u64 = 80;
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    fill(&server, PAGES).await;
    // The client reads nothing at first, so the answer overtakes most of the pages.
    let mine = [group(1000, "late")];
    let pause = async || tokio::time::sleep(Duration::from_millis(500)).await;
    let mut late = Client::burst_in(&server, GlobalSeqNum::ROOT, &mine, pause).await;
    match late.answer(&mine).await {
        ServerMessage::ServerAhead(ahead) => assert!(ahead.missing.is_some()),
        other => panic!("{other:?}"),
    }
    assert!(late.end.seq < GlobalSeqNum(PAGES), "all pages were sent before the answer");
    late.pull_to(PAGES).await;
    assert_eq!(late.push_ok(&mine).await, GlobalSeqNum(PAGES + 1));
}

#[tokio::test]
async fn a_push_that_crossed_a_page_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    ben.pull_to(1).await;
    match ben.push_at(GlobalSeqNum::ROOT, &[group(2, "bread")]).await {
        ServerMessage::ServerAhead(ahead) => assert_eq!(ahead.missing, None),
        other => panic!("{other:?}"),
    }
    ben.push_ok(&[group(2, "bread")]).await;
}

#[tokio::test]
async fn pushes_that_are_sent_at_once_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let groups: Vec<Group> = (0..30).map(|number| group(number, "fast")).collect();
    let mut wire = Wire::open(server.local_addr()).await;
    wire.send(ClientMessage::Hello(hello("notes"))).await;
    for (at, group) in groups.iter().enumerate() {
        let push =
            Push { request: at as u64, base: GlobalSeqNum(at as u64), groups: vec![group.clone()] };
        wire.send(ClientMessage::Push(push)).await;
    }
    assert!(matches!(wire.receive().await, ServerMessage::Welcome(_)));
    for at in 0..30 {
        match wire.receive().await {
            ServerMessage::PushAccepted(accepted) => assert_eq!(accepted.request, at),
            other => panic!("{other:?}"),
        }
    }
    anna.pull_to(30).await;
}

#[tokio::test]
async fn pages_are_cut_between_groups() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let many = PAGE_EVENTS as u64 + 44;
    anna.push_ok(&[group_of(1, 200, "a"), group_of(2, many, "b"), group(3, "c")]).await;
    anna.push_ok(&[group_of(4, MAX_GROUP_EVENTS as u64, "d")]).await;
    let long = "x".repeat(PAGE_BYTES / 2);
    for number in 5..9 {
        anna.push_ok(&[group(number, &long)]).await;
    }
    let total = anna.end.seq.0;

    let mut ben = Client::connect(&server, "notes").await;
    let mut cuts = Vec::new();
    while ben.end.seq.0 < total {
        let page = ben.receive_page().await;
        assert_eq!(page.head, GlobalSeqNum(total));
        cuts.push(page.groups.len());
        let before_last = &page.groups[..page.groups.len() - 1];
        let events: usize = before_last.iter().map(|group| group.group.events().len()).sum();
        let bytes: usize = before_last.iter().map(|group| group.group.size_bytes()).sum();
        assert!(events < PAGE_EVENTS && bytes < PAGE_BYTES, "{events} events, {bytes} bytes");
    }
    assert_eq!(cuts, [2, 2, 2, 2]);
    assert_eq!(ben.log, anna.log);
}

#[tokio::test]
async fn a_group_of_the_largest_size_goes_through() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    // Quotes double in JSON: the frame is far larger than the limit of a group.
    let group = group_of(1, 4, &"\"".repeat((1 << 19) - 100));
    assert!(group.size_bytes() > (4 << 20) - 4096);
    anna.push_ok(std::slice::from_ref(&group)).await;
    ben.pull_to(4).await;
    assert_eq!(ben.log[0].group, group);
}
