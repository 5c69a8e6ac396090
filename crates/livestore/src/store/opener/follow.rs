//! Opening a store as a session that follows whoever leads.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use livestore_core::{ClientId, SessionId};
use tokio::sync::{Notify, oneshot};

use super::{Host, Opener, Parts};
use crate::OpenError;
use crate::boot::BootListeners;
use crate::driver::Driver;
use crate::live::RefreshLog;
use crate::replica::Replica;
use crate::session::{Attending, Beginning, Opening};
use crate::store::{Open, Store};
use crate::warning::Warnings;

/// How long a leader is looked for while a store is opened.
const PATIENCE: Duration = Duration::from_secs(5);

impl Opener {
    /// Follows whoever leads, or leads from another thread.
    pub(in crate::store) fn follow(&self, file: &Path) -> Result<Store, OpenError> {
        let (random, clock) = self.chance()?;
        let session_id = SessionId::from_random(&random[8..16]);
        // Who commits is for the leader to say.
        let client_id = ClientId::from_random(&random[..8]);
        let config = self.config(client_id, session_id.clone(), random);
        let wake = Arc::new(Notify::new());
        let warnings = Arc::new(Warnings::default());
        let refreshes = Arc::new(RefreshLog::default());
        let host = Host {
            session_id: session_id.clone(),
            warnings: Arc::clone(&warnings),
            refreshes: Arc::clone(&refreshes),
        };
        let first = Self { host: Some(host), ..self.clone() };
        let (mut later, is_boot_over) = (first.clone(), BootListeners::default());
        // The opening that somebody listens to is over by then.
        (later.options.boot, later.options.reproducible) = (is_boot_over, None);
        let attending = Attending {
            file: Arc::from(file),
            hello: Replica::first_session_hello(&config),
            lead: Arc::new(move |is_first| {
                if is_first { &first } else { &later }.open_direct(true)
            }),
            patience: PATIENCE,
            boot: self.options.boot.clone(),
            wake: Arc::clone(&wake),
        };
        let (began, beginning) = mpsc::channel();
        let (opened, to_thread) = oneshot::channel();
        let driver = Driver::attend(attending, Opening { began, opened: to_thread })?;
        let gone = || OpenError::InUse { path: file.display().to_string() };
        let Beginning { answer, rows } = beginning.recv().map_err(|_| gone())??;
        let mut replica = Replica::open_session(config, &answer, rows)?;
        replica.warn(warnings);
        replica.tell_of(refreshes);
        let inner = self.inner(Parts {
            replica,
            session_id,
            clock,
            wake,
            leader_file: Some(Arc::from(file)),
        });
        // If its thread is gone, the session says so itself.
        let _ = opened.send(Arc::downgrade(&inner));
        Ok(Store(Arc::new(Open { inner, driver: Mutex::new(Some(driver)) })))
    }
}
