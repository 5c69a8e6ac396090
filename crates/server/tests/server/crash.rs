//! A server process that is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use livestore_core::GlobalSeqNum;
use livestore_core::protocol::{ClientMessage, Push, ServerMessage};

use crate::support::{Client, Wire, config, group, hello, start};

const DIR_VARIABLE: &str = "LIVESTORE_SERVER_TEST_DIR";

/// Not a test by itself: the process that the next test starts and kills.
#[tokio::test]
async fn child_process() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE) else { return };
    let server = livestore_server::Server::start(config(&PathBuf::from(dir))).await.unwrap();
    println!("listening on {}", server.local_addr());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_acknowledged_push_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for _round in 0..3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_process", "--nocapture"])
            .env(DIR_VARIABLE, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr: SocketAddr = loop {
            let line = lines.next().unwrap().unwrap();
            if let Some((_, addr)) = line.split_once("listening on ") {
                break addr.parse().unwrap();
            }
        };
        let mut wire = Wire::open(addr).await;
        wire.send(ClientMessage::Hello(hello("notes"))).await;
        let mut welcomed = false;
        for _push in 0..20 {
            let base = GlobalSeqNum(acknowledged);
            let groups = vec![group(acknowledged, "kept")];
            wire.send(ClientMessage::Push(Push { request: 0, base, groups })).await;
            loop {
                match wire.receive().await {
                    ServerMessage::PushAccepted(_) => break,
                    ServerMessage::Welcome(welcome) => {
                        assert_eq!(welcome.head.0, acknowledged);
                        welcomed = true;
                    }
                    ServerMessage::Page(_) => {}
                    other => panic!("{other:?}"),
                }
            }
            acknowledged += 1;
        }
        assert!(welcomed);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let server = start(dir.path()).await;
    let mut client = Client::connect(&server, "notes").await;
    client.pull_to(acknowledged).await;
    assert_eq!(client.log.len() as u64, acknowledged);
}
