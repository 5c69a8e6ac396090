//! What stores rely on of a backend, seen through its provider.

mod cases;
mod talk;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use livestore::SyncProvider;
use livestore::sync_provider::Capabilities;
use livestore_core::{ClientId, Group, StoreId};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::events::Maker;
use crate::report::{Case, CaseReport, Report, Unmet, failed, skipped};
use cases::CASES;
pub(crate) use talk::{Answer, Own, Talk};

/// How long a backend may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one case may take.
const CASE_PATIENCE: Duration = Duration::from_secs(120);

type Restart = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
type Make = Box<dyn Fn() -> Arc<dyn SyncProvider> + Send + Sync>;

/// A backend that is to be checked.
pub struct Backend {
    make: Make,
    restart: Option<Restart>,
    patience: Duration,
    capabilities: Capabilities,
    maker: Mutex<Maker>,
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&(self.make)().describe()).finish()
    }
}

impl Backend {
    /// Says how to make a provider for the backend; each conversation gets one of its own.
    pub fn new<P: SyncProvider>(make: impl Fn() -> P + Send + Sync + 'static) -> Self {
        Self::shared(move || Arc::new(make()))
    }

    /// Says the same, if the providers are of several types.
    pub fn shared(make: impl Fn() -> Arc<dyn SyncProvider> + Send + Sync + 'static) -> Self {
        let capabilities = make().capabilities();
        let (make, maker): (Make, _) = (Box::new(make), Mutex::new(Maker::new()));
        Self { make, restart: None, patience: PATIENCE, capabilities, maker }
    }

    /// Says how to end the backend and start it again with the same data.
    ///
    /// Without that, what a restart must not lose is not checked.
    #[must_use]
    pub fn restarted_by<F>(mut self, restart: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.restart = Some(Box::new(move || Box::pin(restart())));
        self
    }

    /// Sets how long the backend may take for an answer; 20 seconds by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Tries everything.
    pub async fn check(&self) -> Report {
        self.check_and(|_| {}).await
    }

    /// Tries everything, and tells of each case when it is over.
    pub async fn check_and(&self, mut tell: impl FnMut(&CaseReport)) -> Report {
        let mut report = Report::default();
        for (name, run) in CASES {
            let begin = Instant::now();
            let case = match timeout(CASE_PATIENCE, run(self)).await {
                Ok(case) => case,
                Err(_) => failed(format!("it is not over after {CASE_PATIENCE:?}")),
            };
            tell(report.add(name, begin, case));
        }
        report
    }

    fn keeps_ids(&self) -> bool {
        self.capabilities.keeps_ids
    }

    /// Ends the case if the backend keeps no ids.
    fn needs_ids(&self) -> Case {
        if self.keeps_ids() { Ok(()) } else { skipped("the backend keeps no ids") }
    }

    async fn names(&self) -> (StoreId, ClientId) {
        let mut maker = self.maker.lock().await;
        (maker.store_id(), maker.client_id())
    }

    async fn client(&self) -> ClientId {
        self.maker.lock().await.client_id()
    }

    /// Makes groups of a client, with so many events each.
    async fn groups(&self, client: &ClientId, events: &[usize]) -> Vec<Group> {
        let mut maker = self.maker.lock().await;
        events.iter().map(|events| maker.group(client, *events)).collect()
    }

    async fn connect(
        &self,
        store_id: &StoreId,
        client_id: &ClientId,
        own: Own,
    ) -> Result<Talk, Unmet> {
        Talk::connect((self.make)(), self.patience, store_id, client_id, own).await
    }

    /// Comes to a log for the first time.
    async fn come(&self, store_id: &StoreId, client_id: &ClientId) -> Result<Talk, Unmet> {
        let mut talk = self.connect(store_id, client_id, Own::default()).await?;
        talk.greet(None, &[]).await?;
        Ok(talk)
    }

    /// Comes as somebody else, and reads the log up to a position.
    async fn read(&self, store_id: &StoreId, up_to: u64) -> Result<Talk, Unmet> {
        let client_id = self.client().await;
        let mut talk = self.come(store_id, &client_id).await?;
        talk.pull_to(up_to).await?;
        Ok(talk)
    }

    /// Checks that a log is what was pushed to it.
    fn check_log(&self, talk: &Talk, expected: &[Group]) -> Case {
        use crate::events::{kept, placed};
        use crate::report::same;
        if self.keeps_ids() {
            return same(
                "the log",
                &talk.log,
                &placed(livestore_core::GlobalSeqNum::ROOT, expected),
            );
        }
        same(
            "the log's events",
            &kept(talk.log.iter().map(|confirmed| &confirmed.group)),
            &kept(expected),
        )
    }
}
