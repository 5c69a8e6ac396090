//! A fixed set of database readers that all connections share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::storage::{LogReader, LogStorage, StorageError};

const READERS: usize = 4;

/// Lends readers to blocking tasks, at most [`READERS`] at a time.
#[derive(Clone)]
pub(crate) struct Readers {
    idle: Arc<Mutex<Vec<Box<dyn LogReader>>>>,
    free: Arc<Semaphore>,
}

impl Readers {
    /// Opens the readers.
    pub(crate) fn open(storage: &dyn LogStorage) -> Result<Self, StorageError> {
        let readers = (0..READERS).map(|_| storage.reader()).collect::<Result<_, _>>()?;
        let free = Arc::new(Semaphore::new(READERS));
        Ok(Self { idle: Arc::new(Mutex::new(readers)), free })
    }

    /// Runs a read off the async threads, when a reader is free.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut dyn LogReader) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, StorageError> {
        let failed = |what: &str| StorageError::Database { source: what.into() };
        let free = Arc::clone(&self.free).acquire_owned().await;
        let free = free.map_err(|_| failed("the readers are closed"))?;
        let idle = Arc::clone(&self.idle);
        let task = tokio::task::spawn_blocking(move || {
            // Returned when this task ends, even if the caller has gone away or the read panics.
            let mut lease = Lease::take(idle, free).ok_or_else(|| failed("no idle reader"))?;
            lease.reader.as_mut().map_or_else(|| Err(failed("no reader")), |r| read(r.as_mut()))
        });
        task.await.unwrap_or_else(|error| Err(StorageError::Database { source: error.into() }))
    }
}

struct Lease {
    reader: Option<Box<dyn LogReader>>,
    idle: Arc<Mutex<Vec<Box<dyn LogReader>>>>,
    // Declared last: free again only after the reader is back.
    _free: OwnedSemaphorePermit,
}

impl Lease {
    fn take(idle: Arc<Mutex<Vec<Box<dyn LogReader>>>>, free: OwnedSemaphorePermit) -> Option<Self> {
        let reader = idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Self { reader: Some(reader), idle, _free: free })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        }
    }
}
