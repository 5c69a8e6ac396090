//! Many pushers on one store: nobody loses, nobody starves.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use livestore_core::GlobalSeqNum;
use livestore_core::protocol::ServerMessage;
use livestore_server::{RunningServer, Server};

use crate::support::{Client, config, group, group_id};

async fn start_with_turn(dir: &std::path::Path, turn: Duration) -> RunningServer {
    let mut config = config(dir);
    config.timing.turn = turn;
    Server::start(config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_pushers_all_get_through_exactly_once() {
    const CLIENTS: u64 = 8;
    const PUSHES: u64 = 15;
    let dir = tempfile::tempdir().unwrap();
    let server = start_with_turn(dir.path(), Duration::from_secs(20)).await;
    let mut racing = Vec::new();
    for client in 0..CLIENTS {
        let mut pusher = Client::connect(&server, "notes").await;
        racing.push(tokio::spawn(async move {
            for push in 0..PUSHES {
                let mine = [group(client * 1000 + push, "race")];
                let mut lost = 0;
                loop {
                    match pusher.push(&mine).await {
                        ServerMessage::PushAccepted(_) => break,
                        ServerMessage::ServerAhead(_) => lost += 1,
                        other => panic!("{other:?}"),
                    }
                }
                assert!(lost <= 1, "lost {lost} races for one push: the turn was not kept");
            }
            pusher.pull_to(CLIENTS * PUSHES).await;
            pusher
        }));
    }
    let mut logs = Vec::new();
    for pusher in racing {
        let pusher = pusher.await.unwrap();
        logs.push((pusher.end, pusher.log));
    }
    let all: BTreeSet<_> = logs[0].1.iter().map(|group| group.group.id()).collect();
    assert_eq!(all.len() as u64, CLIENTS * PUSHES);
    assert!(logs.iter().all(|log| *log == logs[0]), "the clients did not converge");

    let mut newcomer = Client::connect(&server, "notes").await;
    newcomer.pull_to(CLIENTS * PUSHES).await;
    assert_eq!((newcomer.end, newcomer.log), logs[0]);
}

#[tokio::test]
async fn after_a_lost_race_the_log_waits_for_the_loser() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_with_turn(dir.path(), Duration::from_secs(20)).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    let lost = ben.push_at(GlobalSeqNum::ROOT, &[group(2, "bread")]).await;
    assert!(matches!(lost, ServerMessage::ServerAhead(_)));
    // A faster client comes in between, and has to wait.
    anna.send_push(GlobalSeqNum(1), &[group(3, "tea")]).await;
    assert!(anna.wire.is_quiet_for(Duration::from_millis(200)).await);
    assert_eq!(ben.push_ok(&[group(2, "bread")]).await, GlobalSeqNum(2));
    let late = anna.answer(&[group(3, "tea")]).await;
    assert!(matches!(late, ServerMessage::ServerAhead(_)));
    assert_eq!(anna.push_ok(&[group(3, "tea")]).await, GlobalSeqNum(3));
    ben.pull_to(3).await;
    assert_eq!(ben.ids(), [group_id(1), group_id(2), group_id(3)]);
}

#[tokio::test]
async fn a_silent_loser_holds_nobody_up_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_with_turn(dir.path(), Duration::from_millis(300)).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    ben.push_at(GlobalSeqNum::ROOT, &[group(2, "bread")]).await;
    anna.push_ok(&[group(3, "tea")]).await;
    // The loser missed its turn, and gets another one.
    let lost = ben.push(&[group(2, "bread")]).await;
    assert!(matches!(lost, ServerMessage::ServerAhead(_)), "{lost:?}");
    assert_eq!(ben.push_ok(&[group(2, "bread")]).await, GlobalSeqNum(3));
}

#[tokio::test]
async fn a_loser_that_leaves_gives_its_turn_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = start_with_turn(dir.path(), Duration::from_secs(20)).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut ben = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;
    ben.push_at(GlobalSeqNum::ROOT, &[group(2, "bread")]).await;
    drop(ben);
    let asked = Instant::now();
    anna.push_ok(&[group(3, "tea")]).await;
    assert!(asked.elapsed() < Duration::from_secs(10));
}
