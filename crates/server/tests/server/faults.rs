//! A database that fails for a while, and one that is slow.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use livestore_core::protocol::{GoodbyeReason, ServerMessage};
use livestore_core::{BackendId, GlobalSeqNum};
use livestore_server::{
    AppendOutcome, AppendRequest, LogReader, LogStorage, Server, SqliteStorage, StorageError,
};

use crate::http::get;
use crate::support::{Client, config, fill, group, group_id, hello};

struct FaultyStorage {
    inner: SqliteStorage,
    is_failing: Arc<AtomicBool>,
    /// Between the commit and the answer.
    delay: Arc<AtomicU64>,
}

impl FaultyStorage {
    fn open(dir: &Path) -> Self {
        let inner = SqliteStorage::open(dir).unwrap();
        Self { inner, is_failing: Arc::default(), delay: Arc::default() }
    }
}

impl LogStorage for FaultyStorage {
    fn backend_id(&self) -> BackendId {
        self.inner.backend_id()
    }

    fn append(&mut self, batch: &[AppendRequest]) -> Result<Vec<AppendOutcome>, StorageError> {
        if self.is_failing.load(Ordering::SeqCst) {
            return Err(StorageError::Database { source: "database or disk is full".into() });
        }
        let outcomes = self.inner.append(batch);
        std::thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
        outcomes
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError> {
        self.inner.reader()
    }
}

#[tokio::test]
async fn a_failed_write_is_never_acknowledged_and_readers_are_served_on() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FaultyStorage::open(dir.path());
    let is_failing = Arc::clone(&storage.is_failing);
    let server = Server::start_with_storage(config(dir.path()), Box::new(storage)).await.unwrap();
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;

    is_failing.store(true, Ordering::SeqCst);
    anna.send_push(GlobalSeqNum(1), &[group(2, "bread")]).await;
    assert_eq!(anna.wire.goodbye().await.reason, GoodbyeReason::Internal);
    let mut ben = Client::connect(&server, "notes").await;
    ben.pull_to(1).await;
    assert!(get(server.local_addr(), "/health").await.contains(r#""status":"writesFailing""#));

    is_failing.store(false, Ordering::SeqCst);
    let mut attempt = hello("notes");
    attempt.attempted = vec![group_id(2)];
    let mut anna = Client::introduce(&server, attempt).await;
    assert_eq!(anna.welcome.accepted, []);
    anna.pull_to(1).await;
    assert_eq!(anna.push_ok(&[group(2, "bread")]).await, GlobalSeqNum(2));
    ben.pull_to(2).await;
    assert!(get(server.local_addr(), "/health").await.contains(r#""status":"ok""#));
}

#[tokio::test]
async fn own_groups_that_a_page_brought_first_are_not_sent_twice() {
    let dir = tempfile::tempdir().unwrap();
    let storage = FaultyStorage::open(dir.path());
    let delay = Arc::clone(&storage.delay);
    let server = Server::start_with_storage(config(dir.path()), Box::new(storage)).await.unwrap();
    fill(&server, 80).await;
    let mut ben = Client::connect(&server, "notes").await;
    ben.pull_to(80).await;
    ben.push_ok(&[group(900, "small")]).await;

    // The last page is read between the commit of the push and its answer.
    delay.store(3000, Ordering::SeqCst);
    let mine = [group(1000, "mine"), group(1001, "mine too")];
    let pause = Duration::from_millis(500);
    let mut anna = Client::burst_in(&server, GlobalSeqNum(81), &mine, pause).await;
    anna.pull_to(83).await;
    match anna.answer(&mine).await {
        ServerMessage::PushAccepted(accepted) => {
            assert_eq!((accepted.first, accepted.end), (GlobalSeqNum(82), anna.end));
        }
        other => panic!("{other:?}"),
    }
    delay.store(0, Ordering::SeqCst);
    ben.pull_to(83).await;
    ben.push_ok(&[group(901, "small")]).await;
    anna.pull_to(84).await;
    assert_eq!(anna.log, ben.log);
}
