//! A sync provider with a switch, to be offline on purpose.

use livestore::sync_provider::{BoxFuture, Link, SyncError, SyncProvider};
use tokio::sync::watch;

/// Connects like another provider, as long as the switch is on.
#[derive(Debug)]
pub(crate) struct Switched<P> {
    provider: P,
    is_on: watch::Receiver<bool>,
}

impl<P> Switched<P> {
    pub(crate) fn new(provider: P, is_on: watch::Receiver<bool>) -> Self {
        Self { provider, is_on }
    }
}

impl<P: SyncProvider> SyncProvider for Switched<P> {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        let mut is_on = self.is_on.clone();
        Box::pin(async move {
            let off = async {
                // Whoever has the switch is gone when the app ends.
                let _ = is_on.wait_for(|is_on| !is_on).await;
            };
            tokio::select! {
                biased;
                () = off => Err(SyncError::Offline {
                    backend: self.describe(),
                    reason: "switched off".into(),
                }),
                ended = self.provider.connect(link) => ended,
            }
        })
    }

    fn describe(&self) -> String {
        self.provider.describe()
    }
}
