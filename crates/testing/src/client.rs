//! One client of a test backend.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livestore::{ConnectionState, Store};

use crate::conversation::{Line, Use};

/// Time between two looks at something that is waited for.
pub(crate) const GLANCE: Duration = Duration::from_millis(1);

/// A real store that syncs with a [`TestBackend`](crate::TestBackend); it is used like a store.
#[derive(Debug)]
pub struct TestClient(pub(crate) Arc<Client>);

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) store: Store,
    pub(crate) line: Arc<Line>,
}

impl Deref for TestClient {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.0.store
    }
}

impl TestClient {
    /// Returns the store, to be given away as a clone.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// Cuts the connection, as a lost network does: what is on its way is lost. When this returns,
    /// the store knows.
    ///
    /// # Panics
    ///
    /// If the store does not notice within ten seconds.
    #[track_caller]
    pub fn go_offline(&self) {
        let Client { store, line, name } = &*self.0;
        line.is_online.send_replace(false);
        let start = Instant::now();
        while !is_offline(store, line) {
            let is_patient = start.elapsed() < crate::backend::PATIENCE;
            assert!(is_patient, "{name} does not notice that it is offline");
            std::thread::sleep(GLANCE);
        }
    }

    /// Lets the store connect again, which it does within moments; `settle` waits for that.
    pub fn go_online(&self) {
        self.0.line.is_online.send_replace(true);
    }

    /// Tells whether the client may talk to the backend.
    pub fn is_online(&self) -> bool {
        *self.0.line.is_online.borrow()
    }
}

/// Tells whether nothing comes from the backend any more.
fn is_offline(store: &Store, line: &Line) -> bool {
    match line.used_for() {
        Use::Talking => false,
        Use::Waiting => true,
        // What was delivered before the connection broke is taken in first.
        Use::Nothing => store.sync_status().map_or(true, |status| {
            matches!(
                status.connection,
                ConnectionState::Offline | ConnectionState::NoBackend | ConnectionState::Stopped(_)
            )
        }),
    }
}
