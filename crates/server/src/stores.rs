//! The stores that somebody is connected to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use axum::extract::ws::Utf8Bytes;
use livestore_core::limits::{PAGE_BYTES, PAGE_EVENTS};
use livestore_core::protocol::{Page, ServerMessage};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, LogPosition, StoreId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Finds the live store of an id. Holds no store alive.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    live: Mutex<HashMap<StoreId, Weak<LiveStore>>>,
}

impl Stores {
    /// Returns the live store of an id, a new one if nobody is connected to it.
    pub(crate) fn open(&self, id: &StoreId) -> Arc<LiveStore> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = live.get(id).and_then(Weak::upgrade) {
            return store;
        }
        // Full is the moment to forget the stores that everybody has left, so the map stays in
        // proportion to the most connections there ever were at a time.
        if live.len() == live.capacity() {
            live.retain(|_, store| store.strong_count() > 0);
        }
        let store = Arc::new(LiveStore::new(id.clone()));
        live.insert(id.clone(), Arc::downgrade(&store));
        store
    }

    /// Tells everybody who is connected to a store that its log has grown.
    pub(crate) fn publish(
        &self,
        id: &StoreId,
        after: GlobalSeqNum,
        end: LogPosition,
        groups: Vec<Group>,
    ) {
        let store = self.live.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned();
        if let Some(store) = store.and_then(|store| store.upgrade()) {
            store.publish(after, end, groups);
        }
    }
}

/// What the connections to one store share.
#[derive(Debug)]
pub(crate) struct LiveStore {
    pub(crate) id: StoreId,
    tail: watch::Sender<Tail>,
    pushing: Arc<Semaphore>,
}

/// The end of a log, as far as it was written since somebody connected.
#[derive(Debug, Clone)]
pub(crate) struct Tail {
    /// The end; the root if nothing was written yet.
    pub(crate) head: GlobalSeqNum,
    /// What was written last, if it is small enough to be kept.
    pub(crate) recent: Option<Arc<RecentPage>>,
}

/// The newest groups of a log, so that live readers need neither the disk nor an encoder each.
#[derive(Debug)]
pub(crate) struct RecentPage {
    /// The position that the page continues.
    pub(crate) after: GlobalSeqNum,
    pub(crate) page: Page,
    frame: OnceLock<Utf8Bytes>,
}

impl LiveStore {
    fn new(id: StoreId) -> Self {
        let tail = Tail { head: GlobalSeqNum::ROOT, recent: None };
        Self { id, tail: watch::Sender::new(tail), pushing: Arc::new(Semaphore::new(1)) }
    }

    /// Follows the end of the log. What was written before this call has to be read from disk.
    pub(crate) fn follow(&self) -> watch::Receiver<Tail> {
        self.tail.subscribe()
    }

    /// Waits for the right to push. None only if the store is going away.
    pub(crate) async fn queue_to_push(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pushing).acquire_owned().await.ok()
    }

    fn publish(&self, after: GlobalSeqNum, end: LogPosition, groups: Vec<Group>) {
        // One follower is the author, who has the groups already.
        let has_readers = self.tail.receiver_count() > 1;
        let bytes: usize = groups.iter().map(Group::size_bytes).sum();
        let events = groups.iter().map(|group| group.events().len()).sum::<usize>();
        let recent = (has_readers && bytes <= PAGE_BYTES && events <= PAGE_EVENTS)
            .then(|| Arc::new(RecentPage::new(after, end, groups)));
        self.tail.send_replace(Tail { head: end.seq, recent });
    }
}

impl RecentPage {
    fn new(after: GlobalSeqNum, end: LogPosition, groups: Vec<Group>) -> Self {
        let mut first = after.next();
        let groups = groups
            .into_iter()
            .map(|group| {
                let confirmed = ConfirmedGroup { first, group };
                first = confirmed.last().next();
                confirmed
            })
            .collect();
        Self { after, page: Page { groups, end, head: end.seq }, frame: OnceLock::new() }
    }

    /// Returns the page as a frame, encoded once for all readers.
    pub(crate) fn frame(&self) -> Utf8Bytes {
        let encode = || ServerMessage::Page(self.page.clone()).encode().into();
        self.frame.get_or_init(encode).clone()
    }
}
