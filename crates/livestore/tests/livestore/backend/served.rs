//! The backend as a provider for real stores.

use std::sync::{Arc, Mutex, MutexGuard};

use livestore::sync_provider::{BoxFuture, Link};
use livestore::{GlobalSeqNum, SyncError, SyncProvider};
use livestore_core::Group;
use tokio::sync::Notify;

use super::line::Line;
use super::log::Backend;

/// A backend for real stores, in the same process.
#[derive(Debug, Clone)]
pub struct Served(Arc<Mutex<Backend>>, Arc<Notify>);

impl Served {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Backend::new(1))), Arc::default())
    }

    pub fn lock(&self) -> MutexGuard<'_, Backend> {
        self.0.lock().unwrap()
    }

    /// Appends a group of somebody else; returns the end of the log.
    pub fn elsewhere(&self, group: Group) -> GlobalSeqNum {
        let mut backend = self.lock();
        backend.append(group);
        self.1.notify_waiters();
        backend.end().seq
    }

    /// Ends all conversations and begins none, or serves again.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
        self.1.notify_waiters();
    }

    async fn converse(&self, link: Link) -> Result<(), SyncError> {
        let offline = || {
            let (backend, reason) = (self.describe(), "it is down".into());
            Err(SyncError::Offline { backend, reason })
        };
        let (mut outgoing, delivery) = link.split();
        let mut line = Line::default();
        if self.lock().is_down {
            return offline();
        }
        if delivery.opened().await.is_err() {
            return Ok(());
        }
        loop {
            // Before the first look at the log, so that nothing is appended unnoticed.
            let news = self.1.notified();
            if self.lock().is_down {
                return offline();
            }
            while line.send_page(&self.lock()) {}
            while let Some(message) = line.down.pop_front() {
                if delivery.deliver(message).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                message = outgoing.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let mut backend = self.lock();
                    line.take(&mut backend, message);
                    line.answer(&backend);
                    self.1.notify_waiters();
                }
                () = news => {}
            }
        }
    }
}

impl SyncProvider for Served {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        Box::pin(self.converse(link))
    }

    fn describe(&self) -> String {
        "the reference backend".into()
    }
}
