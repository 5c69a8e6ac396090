//! Receipts: what a commit was given, and how to wait for its fate.

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use livestore_core::{GlobalSeqNum, GroupId};
use livestore_sqlite::Durability;

use crate::replica::{Committed, Fate, GroupState};
use crate::store::{Inner, upgrade};
use crate::{QueryError, ReceiptError};

/// Tells what became of a commit; it may be dropped.
#[derive(Debug, Clone)]
pub struct CommitReceipt {
    store: Weak<Inner>,
    committed: Committed,
    durability: Durability,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

/// Where the backend put a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// The position of its first event.
    pub first: GlobalSeqNum,
    /// The position of its last event.
    pub last: GlobalSeqNum,
}

impl CommitReceipt {
    pub(crate) fn new(store: Weak<Inner>, committed: Committed, durability: Durability) -> Self {
        Self { store, committed, durability }
    }

    /// Returns the id of the group that was committed.
    pub fn group_id(&self) -> GroupId {
        self.committed.group_id
    }

    /// Returns what the commit survives, as of when it returned.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// Waits until the group is in the medium, and returns what it survives there.
    ///
    /// A commit returns only after its transaction, so so far this is immediate.
    #[expect(clippy::unused_async, reason = "a commit that asks for more will have to wait")]
    pub async fn persisted(&self) -> Result<Durability, ReceiptError> {
        Ok(self.durability)
    }

    /// Waits until the backend has ordered the group, and returns where.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::NoBackend`] at once if there is none, [`ReceiptError::Rejected`] if the
    /// group became a dead letter, and `Closed` when the store is shut down.
    pub async fn confirmed(&self) -> Result<Positions, ReceiptError> {
        match self.fate().await? {
            Fate::Confirmed { first, last } => Ok(Positions { first, last }),
            Fate::Rejected { reason } => Err(ReceiptError::Rejected { reason }),
        }
    }

    /// Waits until the group's fate is known, good or bad.
    pub async fn fate(&self) -> Result<Fate, ReceiptError> {
        static NEXT_WAITER: AtomicU64 = AtomicU64::new(0);
        let waiter = NEXT_WAITER.fetch_add(1, Ordering::Relaxed);
        FateFuture { store: &self.store, committed: self.committed, waiter }.await
    }
}

/// Resolves when a group has met its fate.
struct FateFuture<'a> {
    store: &'a Weak<Inner>,
    committed: Committed,
    waiter: u64,
}

impl Future for FateFuture<'_> {
    type Output = Result<Fate, ReceiptError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let store = match upgrade(self.store) {
            Ok(store) => store,
            Err(closed) => return Poll::Ready(Err(closed.into())),
        };
        let looked = store.read(|replica| {
            let state = replica.group_state(self.committed).map_err(QueryError::from)?;
            Ok(match state {
                GroupState::Ended(fate) => Poll::Ready(Ok(fate)),
                GroupState::Unknown => Poll::Ready(Err(ReceiptError::Unknown)),
                GroupState::Pending if !replica.has_upstream() => {
                    Poll::Ready(Err(ReceiptError::NoBackend))
                }
                GroupState::Pending => {
                    // Under the replica's lock, so the fate cannot come in between.
                    let key = (self.committed.group_id, self.waiter);
                    store.waiters().insert(key, context.waker().clone());
                    Poll::Pending
                }
            })
        });
        match looked {
            Ok(Ok(poll)) => poll,
            Ok(Err(error)) => Poll::Ready(Err(ReceiptError::Query(error))),
            Err(closed) => Poll::Ready(Err(closed.into())),
        }
    }
}

impl Drop for FateFuture<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.waiters().remove(&(self.committed.group_id, self.waiter));
        }
    }
}
