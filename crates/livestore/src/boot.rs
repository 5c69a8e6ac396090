//! What a store tells while it opens, and what it waits for.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::Warning;

/// How far the opening of a store has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "stage")]
#[non_exhaustive]
pub enum BootStatus {
    /// The file is opened and looked through.
    Loading,
    /// The state is not the one that the schema leads to: its tables are about to be made anew, or
    /// an earlier opening has made them and filled them in part.
    Migrating,
    /// The state is derived from the log.
    Rehydrating {
        /// Confirmed events that are in the state.
        done: u64,
        /// Confirmed events in the log.
        total: u64,
    },
    /// The first pull is waited for, see [`InitialSync::Blocking`].
    Syncing {
        /// The end of what has been pulled and is in the state.
        done: u64,
        /// The end of the backend's log, once it is known.
        total: Option<u64>,
    },
    /// Something is not as it should be; opening goes on.
    Warning {
        /// What.
        warning: Warning,
    },
    /// The store is open.
    Done,
}

/// Whether opening a store waits for the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitialSync {
    /// No: it syncs in the background.
    #[default]
    Skip,
    /// Until everything is pulled that the backend has, or for so long at most.
    ///
    /// When the time is over, or syncing has stopped, the store opens all the same, with a
    /// [`Warning::InitialSyncIncomplete`]. In a browser it does so at once, since the thread that would
    /// wait is the one that syncs; follow [`Store::live_sync_status`](crate::Store::live_sync_status) there.
    Blocking {
        /// How long at most.
        timeout: Duration,
    },
}

/// The statuses of a store that is being opened, in order; it ends when that has ended.
#[derive(Debug)]
pub struct BootStatuses(UnboundedReceiver<BootStatus>);

impl BootStatuses {
    /// Waits for the next status; `None` is the end.
    pub async fn next(&mut self) -> Option<BootStatus> {
        self.0.recv().await
    }
}

impl Iterator for BootStatuses {
    type Item = BootStatus;

    /// Blocks until the next status; not for use within an async runtime.
    fn next(&mut self) -> Option<BootStatus> {
        self.0.blocking_recv()
    }
}

type Listener = Arc<dyn Fn(&BootStatus) + Send + Sync>;

/// Those who hear how far the opening has come.
#[derive(Clone, Default)]
pub(crate) struct BootListeners(Vec<Listener>);

impl BootListeners {
    pub(crate) fn add(&mut self, listener: impl Fn(&BootStatus) + Send + Sync + 'static) {
        self.0.push(Arc::new(listener));
    }

    /// Makes a listener that can be waited on.
    pub(crate) fn channel(&mut self) -> BootStatuses {
        let (sender, receiver): (UnboundedSender<BootStatus>, _) = unbounded_channel();
        let sender = Mutex::new(Some(sender));
        self.add(move |status| {
            let mut sender = sender.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever has dropped the other end wants to hear no more.
            let _ = sender.as_ref().map(|sender| sender.send(status.clone()));
            if *status == BootStatus::Done {
                // A store that may open its file once more keeps its listeners.
                *sender = None;
            }
        });
        BootStatuses(receiver)
    }

    #[allow(clippy::needless_pass_by_value, reason = "a status is made to be told")]
    pub(crate) fn tell(&self, status: BootStatus) {
        self.0.iter().for_each(|listener| listener(&status));
    }
}

impl fmt::Debug for BootListeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.0.len())
    }
}
