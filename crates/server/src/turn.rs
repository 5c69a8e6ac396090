//! Fair turns: who may push to a log next.
//!
//! Pushes to one log queue for a permit, first come, first served. A client whose push came too
//! late keeps the permit for a short while, so that nobody can move the log while it rebases: its
//! next push fits. This guarantees progress however busy the others are. Silence gives the permit
//! back.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

/// A permit that one connection holds between two of its pushes, if it has one.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    permit: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    // Its own task: the connection's may be stuck in a send to the very client that is silent.
    timer: JoinHandle<()>,
}

impl Turn {
    /// Keeps the permit for at most `length`.
    pub(crate) fn grant(&mut self, permit: OwnedSemaphorePermit, length: Duration) {
        let permit = Arc::new(Mutex::new(Some(permit)));
        let revoked = Arc::clone(&permit);
        let timer = tokio::spawn(async move {
            tokio::time::sleep(length).await;
            revoked.lock().unwrap_or_else(PoisonError::into_inner).take();
        });
        self.held = Some(Held { permit, timer });
    }

    /// Takes the permit out, if it was granted and not yet revoked.
    pub(crate) fn take(&mut self) -> Option<OwnedSemaphorePermit> {
        let held = self.held.take()?;
        held.permit.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.timer.abort();
    }
}
