//! The one thread that writes.
//!
//! It takes what has queued up while the last transaction was being synced into the next one, so
//! the cost of a sync is shared by everybody who waits for it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use livestore_core::{GlobalSeqNum, Group};
use tokio::sync::{mpsc, oneshot};

use crate::rules::Rules;
use crate::seat::Hold;
use crate::storage::{AppendOutcome, AppendRequest, LogStorage, StorageError};
use crate::stores::Stores;

/// Pushes that wait for the writer; further ones wait in their connections.
const QUEUED_PUSHES: usize = 256;

/// Size at which a transaction is closed, in pushes and in bytes.
const BATCH_PUSHES: usize = 256;
const BATCH_BYTES: usize = 4 << 20;

/// The push was not taken, as far as the server can tell, and must not be acknowledged.
#[derive(Debug)]
pub(crate) struct WriteFailed;

/// Sends pushes to the writer thread.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    failing: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Job {
    Append(AppendRequest, Option<Hold>, oneshot::Sender<Result<AppendOutcome, WriteFailed>>),
    Settle,
    Stop,
}

/// How the writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriterHealth {
    Ok,
    /// The last transaction failed; the next one may succeed.
    Failing,
    Stopped,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        storage: Box<dyn LogStorage>,
        stores: Arc<Stores>,
        rules: Arc<dyn Rules>,
    ) -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(QUEUED_PUSHES);
        let failing = Arc::new(AtomicBool::new(false));
        let writer = Self { jobs, failing: Arc::clone(&failing) };
        let thread = std::thread::Builder::new()
            .name("livestore-writer".into())
            .spawn(move || run(storage, queue, &stores, &*rules, &failing))?;
        Ok((writer, thread))
    }

    /// Appends groups to a log. The outcome is on disk.
    ///
    /// The client's next conversation waits until it is, even if nobody waits for the outcome; if it holds
    /// its seat for that.
    pub(crate) async fn append(
        &self,
        request: AppendRequest,
        hold: Option<Hold>,
    ) -> Result<AppendOutcome, WriteFailed> {
        let (reply, outcome) = oneshot::channel();
        self.jobs.send(Job::Append(request, hold, reply)).await.map_err(|_| WriteFailed)?;
        outcome.await.map_err(|_| WriteFailed)?
    }

    /// Makes sure that pushes which failed do not come back, if there are any.
    pub(crate) async fn settle(&self) {
        if self.health() == WriterHealth::Failing {
            // An error means that it has ended; then there is nothing to be settled any more.
            let _ = self.jobs.send(Job::Settle).await;
        }
    }

    /// Ends the thread after everything that is queued.
    pub(crate) async fn stop(&self) {
        // An error means that it has ended already.
        let _ = self.jobs.send(Job::Stop).await;
    }

    pub(crate) fn health(&self) -> WriterHealth {
        if self.jobs.is_closed() {
            WriterHealth::Stopped
        } else if self.failing.load(Ordering::Relaxed) {
            WriterHealth::Failing
        } else {
            WriterHealth::Ok
        }
    }
}

#[derive(Default)]
struct Batch {
    requests: Vec<AppendRequest>,
    holds: Vec<Hold>,
    replies: Vec<oneshot::Sender<Result<AppendOutcome, WriteFailed>>>,
    bytes: usize,
    settles: bool,
    is_last: bool,
}

impl Batch {
    fn add(&mut self, job: Job) {
        match job {
            Job::Append(request, hold, reply) => {
                self.bytes += request.groups.iter().map(Group::size_bytes).sum::<usize>();
                self.requests.push(request);
                self.holds.extend(hold);
                self.replies.push(reply);
            }
            Job::Settle => self.settles = true,
            Job::Stop => self.is_last = true,
        }
    }

    fn is_full(&self) -> bool {
        self.is_last || self.requests.len() >= BATCH_PUSHES || self.bytes >= BATCH_BYTES
    }
}

fn run(
    mut storage: Box<dyn LogStorage>,
    mut queue: mpsc::Receiver<Job>,
    stores: &Stores,
    rules: &dyn Rules,
    failing: &AtomicBool,
) {
    // What keeps those waiting whose pushes have failed, and may come back until another transaction has
    // succeeded.
    let mut unsettled = Vec::new();
    while let Some(job) = queue.blocking_recv() {
        let mut batch = Batch::default();
        batch.add(job);
        while !batch.is_full()
            && let Ok(job) = queue.try_recv()
        {
            batch.add(job);
        }
        let is_last = batch.is_last;
        if !batch.requests.is_empty() || batch.settles && !unsettled.is_empty() {
            let outcomes = append(storage.as_mut(), &batch.requests, rules);
            failing.store(outcomes.is_err(), Ordering::Relaxed);
            match outcomes {
                Ok(_) => unsettled.clear(),
                Err(StorageError::Unsettled { .. }) => unsettled.append(&mut batch.holds),
                Err(_) => {}
            }
            answer(batch, outcomes, stores);
        }
        if is_last {
            break;
        }
    }
}

fn append(
    storage: &mut dyn LogStorage,
    requests: &[AppendRequest],
    rules: &dyn Rules,
) -> Result<Vec<AppendOutcome>, StorageError> {
    let outcomes = storage.append(requests, rules).and_then(|outcomes| {
        if outcomes.len() == requests.len() {
            return Ok(outcomes);
        }
        let what = format!("{} outcomes for {} requests", outcomes.len(), requests.len());
        Err(StorageError::Database { source: what.into() })
    });
    outcomes.inspect_err(|error| {
        tracing::error!(%error, pushes = requests.len(), "a transaction failed");
        // A rule that panics here has nothing left to decide.
        _ = catch_unwind(AssertUnwindSafe(|| rules.rolled_back()));
    })
}

/// Answers first and publishes then, so that an author learns of its groups from the answer.
fn answer(batch: Batch, outcomes: Result<Vec<AppendOutcome>, StorageError>, stores: &Stores) {
    let Ok(outcomes) = outcomes else {
        for reply in batch.replies {
            let _ = reply.send(Err(WriteFailed));
        }
        return;
    };
    // A reply that nobody waits for any more is not an error: the client has gone.
    for ((request, reply), outcome) in batch.requests.into_iter().zip(batch.replies).zip(outcomes) {
        let appended = match &outcome {
            AppendOutcome::Appended { first, end } => Some((GlobalSeqNum(first.0 - 1), *end)),
            _ => None,
        };
        let _ = reply.send(Ok(outcome));
        if let Some((after, end)) = appended {
            stores.publish(&request.store_id, after, end, request.groups);
        }
    }
}
