//! Connections that break, answers that are lost, servers that restart.

use std::time::Duration;

use livestore::StoreOptions;
use livestore::prelude::*;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::*;

#[test]
fn a_lost_answer_to_a_push_costs_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let network = Network::to(server.local_addr()).await;
        for provider in [ws(network.addr), http(network.addr)] {
            let (store, other) = (open(provider), open(ws(server.local_addr())));
            until(&store, livestore::SyncStatus::is_synced).await;
            let before = store.sync_status().unwrap().confirmed_head.0;
            network.answers(false);
            store.commit([Ticked, Ticked]).unwrap();
            // It gets there, and nobody tells.
            in_step(&[&other], before + 2).await;
            other.commit(Ticked).unwrap();
            in_step(&[&other], before + 3).await;
            network.cut();
            network.answers(true);
            store.commit(Ticked).unwrap();
            in_step(&[&store, &other], before + 4).await;
            assert_eq!(ticks(&store) as u64, before + 4);
        }
    });
}

#[test]
fn a_store_that_is_opened_again_recognizes_what_it_had_pushed() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let network = Network::to(server.local_addr()).await;
        let files = tempfile::tempdir().unwrap();
        let open_it = || open_in(files.path(), ws(network.addr), StoreOptions::new());
        let (store, other) = (open_it(), open(ws(server.local_addr())));
        until(&store, livestore::SyncStatus::is_synced).await;
        network.answers(false);
        store.commit([Ticked, Ticked, Ticked]).unwrap();
        in_step(&[&other], 3).await;
        store.shutdown().unwrap();
        network.cut();
        network.answers(true);
        let store = open_it();
        // One that is just the same and was never pushed.
        store.commit([Ticked, Ticked, Ticked]).unwrap();
        in_step(&[&store, &other], 6).await;
        assert_eq!(ticks(&store), 6);
        assert_eq!(store.sync_status().unwrap().rebases, 0);
    });
}

/// Pushes events of a client that leaves some out, as LiveStore's does.
async fn push_raw(addr: std::net::SocketAddr, parent: u64, seqs: &[u64]) {
    let event = |seq: &u64| {
        serde_json::json!({
            "name": "v1.Ticked", "seqNum": seq, "parentSeqNum": parent, "clientId": "raw",
            "sessionId": "s",
        })
    };
    let batch: Vec<_> = seqs.iter().map(event).collect();
    let none = serde_json::json!({ "_tag": "None" });
    let request = serde_json::json!({
        "_tag": "Request", "id": "1", "tag": "SyncHttpRpc.Push", "headers": [], "traceId": "t",
        "spanId": "s", "sampled": false,
        "payload": { "storeId": "notes", "batch": batch, "backendId": none },
    });
    let body = request.to_string();
    let head = format!(
        "POST /?storeId=notes&transport=http HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let mut socket = tokio::net::TcpStream::connect(addr).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("Success"), "{answer}");
}

#[test]
fn a_lost_answer_with_a_hole_behind_it_is_made_good() {
    run(async {
        for scheme in ["ws", "http"] {
            let folder = tempfile::tempdir().unwrap();
            let server = start(folder.path()).await;
            let network = Network::to(server.local_addr()).await;
            let provider = if scheme == "ws" { ws(network.addr) } else { http(network.addr) };
            let (store, other) = (open(provider), open(ws(server.local_addr())));
            until(&store, livestore::SyncStatus::is_synced).await;
            network.answers(false);
            store.commit([Ticked, Ticked]).unwrap();
            in_step(&[&other], 2).await;
            push_raw(server.local_addr(), 2, &[3, 6]).await;
            network.cut();
            network.answers(true);
            in_step(&[&store, &other], 6).await;
            store.commit(Ticked).unwrap();
            in_step(&[&store, &other], 7).await;
            assert_eq!(ticks(&store), 5);
        }
    });
}

#[test]
fn a_server_that_restarts_is_found_again() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let addr = server.local_addr();
        let (one, other) = (open(ws(addr)), open(http(addr)));
        one.commit(Ticked).unwrap();
        in_step(&[&one, &other], 1).await;
        server.shutdown().await;
        one.commit(Ticked).unwrap();
        other.commit(Ticked).unwrap();
        let _server = start_at(folder.path(), addr).await;
        in_step(&[&one, &other], 3).await;
        assert_eq!(ticks(&one), 3);
    });
}

/// Stores commit events of which one is like another, while connections are cut and answers are lost.
fn storm(seed: u64) {
    run(async move {
        let mut dice = Dice::new(seed);
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let networks = [
            Network::to(server.local_addr()).await,
            Network::to(server.local_addr()).await,
            Network::to(server.local_addr()).await,
        ];
        let files: Vec<_> = networks.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let open_it = |at: usize| {
            let provider = if at == 2 { http(networks[at].addr) } else { ws(networks[at].addr) };
            open_in(files[at].path(), provider, StoreOptions::new())
        };
        let mut stores: Vec<Store> = (0..3).map(open_it).collect();
        let mut committed = 0;
        for _ in 0..120 {
            let at = dice.below(3) as usize;
            match dice.below(12) {
                0..6 => {
                    let count = 1 + dice.below(4);
                    stores[at].commit((0..count).map(|_| Ticked).collect::<Vec<_>>()).unwrap();
                    committed += count;
                }
                6 => networks[at].cut(),
                7 => networks[at].answers(false),
                8 => {
                    networks[at].cut();
                    networks[at].answers(true);
                }
                9 => {
                    stores[at].shutdown().unwrap();
                    stores[at] = open_it(at);
                }
                _ => {
                    let _ = stores[at].retry_now();
                    tokio::time::sleep(Duration::from_millis(dice.below(12))).await;
                }
            }
        }
        for network in &networks {
            network.cut();
            network.answers(true);
        }
        let [a, b, c] = stores.as_slice() else { unreachable!() };
        in_step(&[a, b, c], committed).await;
        assert_eq!(ticks(a) as u64, committed, "seed {seed}");
    });
}

#[test]
fn whatever_the_network_does_nothing_is_lost_or_doubled() {
    let runs = std::env::var("LIVESTORE_STORMS").ok().and_then(|runs| runs.parse().ok());
    for seed in 0..runs.unwrap_or(3) {
        storm(seed);
    }
}
