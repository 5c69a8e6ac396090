//! Backends that are others than before.

use livestore::prelude::*;
use livestore::{ConnectionState, HistoryAnswer, StopReason, StoreOptions};

use crate::support::*;

/// A store that has synced with one server, and is opened with another one.
async fn moved(
    answer: HistoryAnswer,
    prepare: impl AsyncFnOnce(&std::path::Path),
    check: impl AsyncFnOnce(Store, std::net::SocketAddr),
) {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let files = tempfile::tempdir().unwrap();
    let server = start(first.path()).await;
    let store = open_in(files.path(), ws(server.local_addr()), StoreOptions::new());
    store.commit([note("a"), note("b")]).unwrap();
    store.commit(note("c")).unwrap();
    in_step(&[&store], 3).await;
    store.shutdown().unwrap();
    server.shutdown().await;
    prepare(second.path()).await;
    let server = start(second.path()).await;
    let options = StoreOptions::new().on_history_diverged(answer);
    let store = open_in(files.path(), ws(server.local_addr()), options);
    check(store, server.local_addr()).await;
}

#[test]
fn another_backend_stops_syncing_and_changes_nothing() {
    run(moved(
        HistoryAnswer::Stop,
        async |_| {},
        async |store, _| {
            let stopped = |connection: &ConnectionState| match connection {
                ConnectionState::Stopped(StopReason::HistoryDiverged(it)) => Some(*it),
                _ => None,
            };
            let status = until(&store, |status| stopped(&status.connection).is_some()).await;
            let divergence = stopped(&status.connection).unwrap();
            assert_eq!((divergence.common.0, divergence.backend_head.0), (0, 0));
            assert_eq!((divergence.own_groups, notes(&store)), (2, 3));
        },
    ));
}

#[test]
fn a_log_is_published_anew_to_an_empty_backend() {
    run(moved(
        HistoryAnswer::Republish,
        async |_| {},
        async |store, addr| {
            in_step(&[&store], 3).await;
            store.commit(note("d")).unwrap();
            let reader = open(http(addr));
            in_step(&[&store, &reader], 4).await;
            assert_eq!(notes(&reader), 4);
        },
    ));
}

#[test]
fn own_events_are_rebased_onto_another_backend() {
    run(moved(
        HistoryAnswer::RebasePending,
        async |folder: &std::path::Path| {
            let server = start(folder).await;
            let other = open(ws(server.local_addr()));
            other.commit(note("x")).unwrap();
            in_step(&[&other], 1).await;
            other.shutdown().unwrap();
            server.shutdown().await;
        },
        async |store, addr| {
            let reader = open(ws(addr));
            in_step(&[&store, &reader], 4).await;
            assert_eq!(notes(&reader), 4);
        },
    ));
}

#[test]
fn a_backend_that_is_swapped_while_the_store_is_open_is_met_and_answered() {
    run(async {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let files = tempfile::tempdir().unwrap();
        let server = start(first.path()).await;
        let addr = server.local_addr();
        let options = StoreOptions::new().on_history_diverged(HistoryAnswer::RebasePending);
        let store = open_in(files.path(), ws(addr), options);
        store.commit([note("a"), note("b")]).unwrap();
        in_step(&[&store], 2).await;
        server.shutdown().await;
        store.commit(note("c")).unwrap();
        let _server = start_at(second.path(), addr).await;
        let reader = open(http(addr));
        in_step(&[&store, &reader], 3).await;
        assert_eq!(notes(&reader), 3);
    });
}
