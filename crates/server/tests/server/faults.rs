//! A database that fails, and one that is slow.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use livestore_core::protocol::{GoodbyeReason, Page, ServerMessage};
use livestore_core::{BackendId, GlobalSeqNum, GroupId, StoreId};
use livestore_server::{
    AppendOutcome, AppendRequest, LogReader, LogStorage, LogView, Rules, RunningServer, Server,
    ServerConfig, SqliteStorage, StorageError,
};

use crate::http::get;
use crate::support::{Client, config, fill, group, group_id, hello};

/// What a test does to the storage, and sees of it.
#[derive(Default)]
pub(crate) struct Faults {
    is_failing: AtomicBool,
    /// The writer's commits fail, and may come back.
    pub(crate) is_unsettled: AtomicBool,
    /// Stops the writer before the commit.
    pub(crate) holds_commits: AtomicBool,
    /// Stops the writer between the commit and the answer.
    holds_answers: AtomicBool,
    /// Transactions that the writer has begun, and those that it has committed.
    pub(crate) begun: AtomicUsize,
    commits: AtomicUsize,
    pages_read: AtomicUsize,
    /// Stops a reader of the page after [`Self::HELD_PAGE`] until there are so many commits.
    page_awaits_commits: AtomicUsize,
}

impl Faults {
    const HELD_PAGE: GlobalSeqNum = GlobalSeqNum(40);
}

struct FaultyStorage {
    inner: SqliteStorage,
    faults: Arc<Faults>,
}

struct CountingReader {
    inner: Box<dyn LogReader>,
    faults: Arc<Faults>,
}

impl LogStorage for FaultyStorage {
    fn backend_id(&self) -> BackendId {
        self.inner.backend_id()
    }

    fn append(
        &mut self,
        batch: &[AppendRequest],
        rules: &dyn Rules,
    ) -> Result<Vec<AppendOutcome>, StorageError> {
        if self.faults.is_failing.load(Ordering::SeqCst) {
            return Err(StorageError::Database { source: "database or disk is full".into() });
        }
        if self.faults.is_unsettled.load(Ordering::SeqCst) {
            return Err(StorageError::Unsettled { source: "the sync failed".into() });
        }
        self.faults.begun.fetch_add(1, Ordering::SeqCst);
        while self.faults.holds_commits.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        let outcomes = self.inner.append(batch, rules);
        self.faults.commits.fetch_add(1, Ordering::SeqCst);
        while self.faults.holds_answers.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        outcomes
    }

    fn reader(&self) -> Result<Box<dyn LogReader>, StorageError> {
        let faults = Arc::clone(&self.faults);
        Ok(Box::new(CountingReader { inner: self.inner.reader()?, faults }))
    }
}

impl LogReader for CountingReader {
    fn view(
        &mut self,
        store_id: &StoreId,
        at: &[GlobalSeqNum],
        groups: &[GroupId],
    ) -> Result<LogView, StorageError> {
        self.inner.view(store_id, at, groups)
    }

    fn page(
        &mut self,
        store_id: &StoreId,
        after: GlobalSeqNum,
    ) -> Result<Option<Page>, StorageError> {
        self.faults.pages_read.fetch_add(1, Ordering::SeqCst);
        let awaited = || self.faults.page_awaits_commits.load(Ordering::SeqCst);
        while after == Faults::HELD_PAGE && self.faults.commits.load(Ordering::SeqCst) < awaited() {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.inner.page(store_id, after)
    }
}

pub(crate) async fn start_faulty(dir: &Path) -> (RunningServer, Arc<Faults>) {
    start_faulty_with(dir, |_| ()).await
}

pub(crate) async fn start_faulty_with(
    dir: &Path,
    set: impl FnOnce(&mut ServerConfig),
) -> (RunningServer, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let inner = SqliteStorage::open(dir).unwrap();
    let storage = FaultyStorage { inner, faults: Arc::clone(&faults) };
    let mut config = config(dir);
    set(&mut config);
    (Server::start_with_storage(config, Box::new(storage)).await.unwrap(), faults)
}

#[tokio::test]
async fn a_failed_write_is_never_acknowledged_and_readers_are_served_on() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    anna.push_ok(&[group(1, "milk")]).await;

    faults.is_failing.store(true, Ordering::SeqCst);
    anna.send_push(GlobalSeqNum(1), &[group(2, "bread")]).await;
    assert_eq!(anna.wire.goodbye().await.reason, GoodbyeReason::Internal);
    let mut ben = Client::connect(&server, "notes").await;
    ben.pull_to(1).await;
    assert!(get(server.local_addr(), "/health").await.contains(r#""status":"writesFailing""#));

    faults.is_failing.store(false, Ordering::SeqCst);
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
    let (server, faults) = start_faulty(dir.path()).await;
    // One group fills a page, so the page after the held one is the last. Two pushes make it, since
    // the server may keep the last one in memory.
    fill(&server, Faults::HELD_PAGE.0).await;
    let mut ben = Client::connect(&server, "notes").await;
    ben.pull_to(40).await;
    ben.push_ok(&[group(900, "small")]).await;
    ben.push_ok(&[group(901, "small")]).await;

    // The last page is read after the commit of the push; the answer comes after it.
    faults.holds_answers.store(true, Ordering::SeqCst);
    let commits = faults.commits.load(Ordering::SeqCst);
    faults.page_awaits_commits.store(commits + 1, Ordering::SeqCst);
    let mine = [group(1000, "mine"), group(1001, "mine too")];
    let mut anna = Client::burst_in(&server, GlobalSeqNum(42), &mine, async || ()).await;
    anna.pull_to(44).await;
    faults.holds_answers.store(false, Ordering::SeqCst);
    match anna.answer(&mine).await {
        ServerMessage::PushAccepted(accepted) => {
            assert_eq!((accepted.first, accepted.end), (GlobalSeqNum(43), anna.end));
        }
        other => panic!("{other:?}"),
    }
    ben.pull_to(44).await;
    ben.push_ok(&[group(902, "small")]).await;
    anna.pull_to(45).await;
    assert_eq!(anna.log, ben.log);
}

#[tokio::test]
async fn a_live_reader_is_served_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (server, faults) = start_faulty(dir.path()).await;
    let mut anna = Client::connect(&server, "notes").await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Client::connect(&server, "notes").await);
    }
    for number in 1..=10 {
        anna.push_ok(&[group(number, "live")]).await;
        for reader in &mut readers {
            reader.pull_to(number).await;
        }
    }
    assert_eq!(faults.pages_read.load(Ordering::SeqCst), 0);
}
