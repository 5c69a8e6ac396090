//! What is ours passes, and what is wrong is found.

#![allow(missing_docs)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use livestore::SyncProvider;
use livestore::protocol::{ClientMessage, ServerMessage};
use livestore::sync_provider::{BoxFuture, Incoming, Link, SyncError, link};
use livestore_conformance::{Backend, Outcome, Report, Server, check_storage};
use livestore_core::BackendId;
use livestore_server::{MemoryStorage, RunningServer, ServerConfig, SqliteStorage};
use livestore_sync_cf::CfSync;
use livestore_sync_ws::WsSync;
use livestore_testing::TestBackend;
use tokio::sync::Mutex;

async fn start(folder: &Path, addr: SocketAddr) -> RunningServer {
    let mut config = ServerConfig::new(folder);
    config.listen = addr;
    livestore_server::Server::start(config).await.unwrap()
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Names the cases that were left out.
fn skipped(report: &Report) -> Vec<&'static str> {
    let skipped =
        report.cases.iter().filter(|case| matches!(case.outcome, Outcome::Skipped { .. }));
    skipped.map(|case| case.name).collect()
}

/// Checks our server with a provider, and restarts it in between.
async fn check_server(
    make: impl Fn(SocketAddr) -> Arc<dyn SyncProvider> + Send + Sync + 'static,
) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), any_port()).await;
    let addr = server.local_addr();
    let server = Arc::new(Mutex::new(Some(server)));
    let path = folder.path().to_owned();
    let backend = Backend::shared(move || make(addr)).restarted_by(move || {
        let (server, path) = (Arc::clone(&server), path.clone());
        async move {
            let mut server = server.lock().await;
            server.take().unwrap().shutdown().await;
            *server = Some(start(&path, addr).await);
        }
    });
    backend.check().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_server_with_our_protocol_passes() {
    let report = check_server(|addr| Arc::new(WsSync::new(format!("ws://{addr}")))).await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(skipped(&report), [""; 0]);
}

const NEED_IDS: [&str; 3] = [
    "a group is taken once, however often it is pushed",
    "an id that is taken is not given to another group",
    "a newer conversation of a client ends the older one",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_server_with_livestores_protocol_passes() {
    for scheme in ["ws", "http"] {
        let report = check_server(move |addr| {
            let interval = Duration::from_millis(50);
            Arc::new(CfSync::new(format!("{scheme}://{addr}")).with_poll_interval(interval))
        })
        .await;
        assert!(report.is_ok(), "{scheme}: {report}");
        assert_eq!(skipped(&report), NEED_IDS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_backend_in_memory_passes() {
    let backend = TestBackend::new();
    let report = Backend::shared(move || Arc::new(backend.sync())).check().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(skipped(&report), ["a restart loses nothing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_server_passes_frame_by_frame() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), any_port()).await;
    let report = Server::new(format!("ws://{}/sync", server.local_addr())).check().await;
    assert!(report.is_ok(), "{report}");
    assert_eq!(skipped(&report), [""; 0]);
}

#[test]
fn the_storages_of_our_server_pass() {
    let folder = tempfile::tempdir().unwrap();
    let report = check_storage(true, || SqliteStorage::open(folder.path()));
    assert!(report.is_ok(), "{report}");
    assert_eq!(skipped(&report), [""; 0]);
    let memory = || Ok(MemoryStorage::new(BackendId::from_bytes([1; 16])));
    let report = check_storage(false, memory);
    assert!(report.is_ok(), "{report}");
    assert_eq!(skipped(&report), ["what was appended is there when it is opened again"]);
}

/// What a provider does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It forgets a page now and then.
    LosesPages,
    /// It says that everything that was tried is not there.
    ForgetsAttempts,
    /// It turns two groups of a page round.
    TurnsRound,
    /// It stays when the store has gone.
    Stays,
}

/// A provider between a store and a good one, which gets something wrong.
#[derive(Clone)]
struct Faulty {
    good: Arc<TestBackend>,
    fault: Fault,
}

impl SyncProvider for Faulty {
    fn connect(&self, outer: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        let (good, fault) = (self.good.sync(), self.fault);
        Box::pin(async move {
            let (inner, mut end) = link(outer.log());
            let inner = tokio::spawn(async move { good.connect(inner).await });
            let (mut outgoing, delivery) = outer.split();
            let mut pages = 0;
            loop {
                tokio::select! {
                    said = outgoing.next() => match said {
                        Some(mut message) => {
                            if let (Fault::ForgetsAttempts, ClientMessage::Hello(hello)) =
                                (fault, &mut message)
                            {
                                hello.attempted.clear();
                            }
                            let _ = end.send(message).await;
                        }
                        None if fault == Fault::Stays => std::future::pending().await,
                        None => break,
                    },
                    heard = end.next() => {
                        let Some(heard) = heard else { break };
                        let delivered = match heard {
                            Incoming::Opened => delivery.opened().await,
                            Incoming::Message(ServerMessage::Page(mut page)) => {
                                pages += 1;
                                if fault == Fault::LosesPages && pages % 2 == 0 {
                                    continue;
                                }
                                if fault == Fault::TurnsRound {
                                    page.groups.reverse();
                                }
                                delivery.deliver(ServerMessage::Page(page)).await
                            }
                            Incoming::Message(message) => delivery.deliver(message).await,
                            _ => Ok(()),
                        };
                        if delivered.is_err() {
                            break;
                        }
                    }
                }
            }
            drop(end);
            let _ = inner.await;
            Ok(())
        })
    }

    fn describe(&self) -> String {
        "a faulty one".into()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_a_provider_is_found() {
    for (fault, case) in [
        (Fault::LosesPages, "news come without asking"),
        (Fault::ForgetsAttempts, "an answer that is lost is made good at the next hello"),
        (Fault::TurnsRound, "pushed groups get positions and hashes in order"),
        (Fault::Stays, "an empty log is empty"),
    ] {
        let good = Arc::new(TestBackend::new());
        let backend = Backend::new(move || Faulty { good: Arc::clone(&good), fault });
        let report = backend.patience(Duration::from_millis(300)).check().await;
        let failed: Vec<_> = report
            .cases
            .iter()
            .filter(|found| matches!(found.outcome, Outcome::Failed { .. }))
            .map(|found| found.name)
            .collect();
        assert!(failed.contains(&case), "{fault:?}: {report}");
    }
}
