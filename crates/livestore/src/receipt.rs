//! Receipts: what a commit was given, and how to wait for what becomes of it.

use std::future::{Future, poll_fn};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use livestore_core::{GlobalSeqNum, GroupId};
use livestore_sqlite::Durability;

use crate::replica::{Committed, Fate, GroupState, Replica};
use crate::store::{Inner, upgrade};
use crate::{QueryError, ReceiptError};

/// Tells what became of a commit; it may be dropped.
#[derive(Debug, Clone)]
pub struct CommitReceipt {
    store: Weak<Inner>,
    committed: Committed,
    asked: Durability,
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

/// What somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Awaited {
    Durability,
    Fate(GroupId),
}

impl CommitReceipt {
    pub(crate) fn new(store: Weak<Inner>, committed: Committed, asked: Durability) -> Self {
        Self { store, committed, asked }
    }

    /// Returns the id of the group that was committed, which [`Store::receipt`] finds it by.
    ///
    /// A commit that mixes kinds of events makes a group of each; this is that of the synced ones.
    ///
    /// [`Store::receipt`]: crate::Store::receipt
    pub fn group_id(&self) -> GroupId {
        self.committed.group_id
    }

    /// Waits until the commit is as safe as was asked for, and returns how safe that is.
    ///
    /// With [`Durability::Normal`] that is at once, or, for a session that follows another one, when that
    /// has it in its file. [`Durability::Full`] waits for a sync of the
    /// disk, which all commits of the time share. What lives in memory is `Memory`.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::DiskFailed`] if a sync has failed since the store was opened, and `Closed`
    /// when the store is shut down.
    pub async fn persisted(&self) -> Result<Durability, ReceiptError> {
        let Committed { ordinal, stored, .. } = self.committed;
        self.wait_for(Awaited::Durability, |_, replica| {
            let medium = if stored { replica.durability() } else { Durability::Memory };
            if stored && replica.leader_link().is_some() {
                if self.asked != Durability::Full {
                    let is_safe = replica.is_handed_over(ordinal);
                    return Ok(is_safe.then_some(Durability::Normal));
                }
                return match replica.is_full_at_leader(ordinal) {
                    Some(false) => Err(ReceiptError::DiskFailed),
                    is_full => Ok(is_full.map(|_| Durability::Full)),
                };
            }
            Ok(match (medium, self.asked) {
                (Durability::Memory, _) => Some(Durability::Memory),
                (_, Durability::Full) if replica.is_durable(ordinal) => Some(Durability::Full),
                (_, Durability::Full) if replica.has_disk_failed() => {
                    return Err(ReceiptError::DiskFailed);
                }
                (_, Durability::Full) => None,
                _ => Some(Durability::Normal),
            })
        })
        .await
    }

    /// Waits until the backend has ordered the group, and returns where.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::NoBackend`] at once if there is none, [`ReceiptError::Rejected`] if the
    /// group became a dead letter, [`ReceiptError::Archived`] if it was left with a history, and
    /// `Closed` when the store is shut down.
    pub async fn confirmed(&self) -> Result<Positions, ReceiptError> {
        match self.fate().await? {
            Fate::Confirmed { first, last } | Fate::Rewritten { first, last } => {
                Ok(Positions { first, last })
            }
            Fate::Rejected { reason } => Err(ReceiptError::Rejected { reason }),
            Fate::Archived => Err(ReceiptError::Archived),
        }
    }

    /// Waits until the group's fate is known, good or bad.
    ///
    /// # Errors
    ///
    /// [`ReceiptError::NotSynced`] at once if no backend ever sees the commit.
    pub async fn fate(&self) -> Result<Fate, ReceiptError> {
        let Committed { group_id, synced, .. } = self.committed;
        if !synced {
            return Err(ReceiptError::NotSynced);
        }
        self.wait_for(Awaited::Fate(group_id), |store, replica| {
            match store.group_state(replica, group_id).map_err(QueryError::from)? {
                GroupState::Ended(fate) => Ok(Some(fate)),
                GroupState::Pending if !replica.has_upstream() => Err(ReceiptError::NoBackend),
                GroupState::Pending => Ok(None),
                GroupState::Settled | GroupState::Unknown => Err(ReceiptError::Unknown),
            }
        })
        .await
    }

    /// Waits until the closure finds something in the replica; it is asked again when what is
    /// awaited may have come.
    fn wait_for<T>(
        &self,
        awaited: Awaited,
        look: impl Fn(&Inner, &Replica) -> Result<Option<T>, ReceiptError>,
    ) -> impl Future<Output = Result<T, ReceiptError>> {
        static NEXT_WAITER: AtomicU64 = AtomicU64::new(0);
        let key = (awaited, NEXT_WAITER.fetch_add(1, Ordering::Relaxed));
        let forget = Forget { store: &self.store, key };
        poll_fn(move |context| {
            let _ = &forget;
            let store = match upgrade(&self.store) {
                Ok(store) => store,
                Err(closed) => return Poll::Ready(Err(closed.into())),
            };
            let looked = store.read(|replica| {
                let found = look(&store, replica)?;
                if found.is_none() {
                    // Under the replica's lock, so that it cannot come in between.
                    store.waiters().insert(key, context.waker().clone());
                }
                Ok(found)
            });
            match looked {
                Ok(Ok(Some(found))) => Poll::Ready(Ok(found)),
                Ok(Ok(None)) => Poll::Pending,
                Ok(Err(error)) => Poll::Ready(Err(error)),
                Err(closed) => Poll::Ready(Err(closed.into())),
            }
        })
    }
}

/// Takes a waiter off the list when nobody waits any more.
struct Forget<'a> {
    store: &'a Weak<Inner>,
    key: (Awaited, u64),
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.waiters().remove(&self.key);
        }
    }
}
