//! The driver: a task that carries out what the replica asks for.
//!
//! It owns all I/O besides SQLite: the connection to the backend, timers, and the sync of a
//! barrier. It decides nothing.

#[cfg(not(target_family = "wasm"))]
mod native;
#[cfg(target_family = "wasm")]
mod web;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group};
use livestore_sqlite::{FileLock, SqliteError};
use tokio::sync::{Notify, watch};

use crate::receipt::Awaited;
use crate::replica::{Barrier, UpstreamAction};
use crate::runtime::{self, Instant, Task, sleep_until, timeout};
use crate::store::Inner;
use crate::sync_provider::{Incoming, OwnLog, StoreEnd, SyncError, SyncProvider, link};
use crate::{QueryError, Unavailable, clock};

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::Driver;
#[cfg(not(target_family = "wasm"))]
use native::{Visitors, sync_disk};
#[cfg(target_family = "wasm")]
pub(crate) use web::Driver;
#[cfg(target_family = "wasm")]
use web::{Visitors, sync_disk};

/// How long a provider may take to come to its end when the conversation has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Wakes the driver at least this often; a lost wake-up then costs seconds, not the sync.
const IDLE: Duration = Duration::from_secs(60);

/// How long the driver goes on before it lets others have the thread, where it has none of its own.
const TURN: Duration = Duration::from_millis(8);

/// What a driver works with.
pub(crate) struct Machine {
    pub(crate) provider: Option<Arc<dyn SyncProvider>>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) lock: Option<FileLock>,
    pub(crate) wake: Arc<Notify>,
    /// Whether the state is compared with a replay first.
    pub(crate) check_materializers: bool,
    /// Whether other sessions may follow.
    pub(crate) leads: bool,
}

/// The log of a store, for its provider.
struct StoreLog(Weak<Inner>);

impl StoreLog {
    fn read<T>(
        &self,
        look: impl FnOnce(&crate::Replica) -> Result<T, SqliteError>,
    ) -> Result<T, QueryError> {
        let store = self.0.upgrade().ok_or(Unavailable::Closed)?;
        Ok(store.read(look)??)
    }
}

impl OwnLog for StoreLog {
    fn attempted(&self) -> Result<Option<Vec<Group>>, QueryError> {
        self.read(crate::Replica::attempted)
    }

    fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, QueryError> {
        self.read(|replica| replica.confirmed_after(after))
    }

    fn confirmed_until(&self, last: GlobalSeqNum) -> Result<Option<ConfirmedGroup>, QueryError> {
        self.read(|replica| replica.confirmed_until(last))
    }
}

struct Conversation {
    end: StoreEnd,
    provider: Task<Result<(), SyncError>>,
}

struct Run {
    store: Weak<Inner>,
    provider: Option<Arc<dyn SyncProvider>>,
    path: Option<PathBuf>,
    wake: Arc<Notify>,
    conversation: Option<Conversation>,
    /// A sync that is under way, so that nobody else waits for the disk.
    syncing: Option<(Barrier, Syncing)>,
    /// Sessions that follow, and those that come.
    visitors: Visitors,
    /// Released last, when nothing of this process uses the file any more.
    _lock: Option<FileLock>,
}

type Syncing = Task<io::Result<()>>;

/// The store is gone; nothing is left to drive.
struct Closed;

impl Run {
    fn new(store: Weak<Inner>, machine: Machine, visitors: Visitors) -> Self {
        let Machine { provider, path, lock, wake, .. } = machine;
        Self {
            store,
            provider,
            path,
            wake,
            conversation: None,
            syncing: None,
            visitors,
            _lock: lock,
        }
    }

    async fn until(mut self, mut stopped: watch::Receiver<bool>) {
        while let Ok(next) = self.carry_out().await {
            let wake = Arc::clone(&self.wake);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                came = self.visitors.next() => self.visitors.take_in(came, &self.store, self.path.as_deref()),
                incoming = receive(&mut self.conversation) => {
                    if self.take_in(incoming).await.is_err() {
                        break;
                    }
                }
                synced = finished(&mut self.syncing) => {
                    if self.sync_done(synced).is_err() {
                        break;
                    }
                }
                () = wake.notified() => {}
                () = sleep_until(next) => {}
            }
        }
        self.visitors.send_away().await;
        if let Some((_, syncing)) = self.syncing.take() {
            // The file stays locked as long as this uses it.
            let _ = syncing.await;
        }
        if let Some(Conversation { end, mut provider }) = self.conversation.take() {
            drop(end);
            if timeout(FAREWELL, &mut provider).await.is_err() {
                provider.abort();
            }
        }
    }

    /// Does everything that the replica asks for now; returns when to ask again at the latest.
    async fn carry_out(&mut self) -> Result<Instant, Closed> {
        let mut turn = Instant::now();
        loop {
            if !runtime::HAS_OWN_THREAD && turn.elapsed() >= TURN {
                runtime::yield_now().await;
                turn = Instant::now();
            }
            let store = self.store.upgrade().ok_or(Closed)?;
            let now_ms = clock::now_ms();
            let start = Instant::now();
            let (action, barrier, timeout_ms) = store
                .write(|replica| {
                    let action = replica.poll_upstream(now_ms);
                    replica.step_took(start.elapsed());
                    let barrier = match &action {
                        Ok(None) => replica.poll_barrier(),
                        _ => None,
                    };
                    (action, barrier, replica.next_timeout())
                })
                .map_err(|_| Closed)?;
            match action {
                Err(error) => {
                    self.hang_up(&store, &format!("the local database failed: {error}"))?;
                }
                Ok(Some(UpstreamAction::Connect)) => self.connect(),
                Ok(Some(UpstreamAction::Send(message))) => {
                    // The replica has at most a hello and one push under way, which the link
                    // holds; if it does not take them, the provider is gone and tells so itself.
                    if let Some(conversation) = &self.conversation {
                        let _ = conversation.end.outgoing.try_send(message);
                    }
                }
                Ok(Some(UpstreamAction::Disconnect)) => {
                    let status = store.read(crate::Replica::status).map_err(|_| Closed)?;
                    let reason = status.last_error.unwrap_or_else(|| "disconnected".into());
                    self.hang_up(&store, &reason)?;
                }
                Ok(None) => {
                    let Some(barrier) = barrier else {
                        let pause = timeout_ms.map_or(IDLE, |at| {
                            Duration::from_millis(at.saturating_sub(now_ms)).min(IDLE)
                        });
                        return Ok(Instant::now() + pause);
                    };
                    self.syncing = Some((barrier, sync_disk(self.path.clone())));
                }
            }
        }
    }

    fn sync_done(&self, (barrier, synced): (Barrier, io::Result<()>)) -> Result<(), Closed> {
        let store = self.store.upgrade().ok_or(Closed)?;
        if let Err(error) = &synced {
            tracing::error!(%error, "syncing to the disk failed");
        }
        store.write(|replica| replica.barrier_done(barrier, synced.is_ok())).map_err(|_| Closed)?;
        store.wake(Awaited::Durability);
        store.tell_sessions();
        Ok(())
    }

    fn connect(&mut self) {
        let (link, end) = link(Arc::new(StoreLog(self.store.clone())));
        let Some(provider) = self.provider.clone() else { return };
        tracing::debug!(backend = %provider.describe(), "connecting");
        let provider = runtime::spawn(async move { provider.connect(link).await });
        self.conversation = Some(Conversation { end, provider });
    }

    fn hang_up(&mut self, store: &Inner, reason: &str) -> Result<(), Closed> {
        if let Some(Conversation { end, mut provider }) = self.conversation.take() {
            // That tells the provider, which is not waited for; but it does not live on beside the next one.
            drop(end);
            drop(runtime::spawn(async move {
                if timeout(FAREWELL, &mut provider).await.is_err() {
                    provider.abort();
                }
            }));
        }
        tracing::debug!(reason, "disconnected");
        let now_ms = clock::now_ms();
        store.write(|replica| replica.upstream_disconnected(now_ms, reason)).map_err(|_| Closed)
    }

    async fn take_in(&mut self, incoming: Option<Incoming>) -> Result<(), Closed> {
        let store = self.store.upgrade().ok_or(Closed)?;
        if matches!(incoming, Some(Incoming::Message(_))) {
            // The provider hands over what has come while the last message was taken. In a page that
            // nobody sees, that may take its time, for which the backend is not to blame.
            runtime::yield_now().await;
        }
        let now_ms = clock::now_ms();
        let taken = match incoming {
            Some(Incoming::Opened) => store.write(crate::Replica::upstream_connected),
            Some(Incoming::Working) => store.write(|replica| {
                replica.upstream_works(now_ms);
                Ok(())
            }),
            Some(Incoming::Message(message)) => {
                let link = self.conversation.as_ref();
                let more_waits = link.is_some_and(|link| !link.end.incoming.is_empty());
                let start = Instant::now();
                store.write(|replica| {
                    replica.more_messages_wait(more_waits);
                    let taken = replica.receive_upstream(message, now_ms);
                    replica.step_took(start.elapsed());
                    taken
                })
            }
            None => {
                let ended = match self.conversation.take() {
                    Some(conversation) => how_it_ended(conversation).await,
                    None => Ended::Other("disconnected".into()),
                };
                return match ended {
                    Ended::Other(reason) => self.hang_up(&store, &reason),
                    Ended::SignedOut(reason) => store
                        .write(|replica| {
                            replica.upstream_unauthorized(reason.clone());
                            replica.upstream_disconnected(now_ms, &reason);
                        })
                        .map_err(|_| Closed),
                };
            }
        };
        match taken.map_err(|_| Closed)? {
            Ok(()) => Ok(()),
            Err(error) => {
                tracing::error!(%error, "a message from the backend could not be taken");
                // The replica has planned the disconnection that follows.
                Ok(())
            }
        }
    }
}

async fn receive(conversation: &mut Option<Conversation>) -> Option<Incoming> {
    match conversation {
        Some(conversation) => conversation.end.incoming.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits for the sync that is under way, if there is one.
async fn finished(syncing: &mut Option<(Barrier, Syncing)>) -> (Barrier, io::Result<()>) {
    let Some((barrier, sync)) = syncing else { return std::future::pending().await };
    let synced = sync.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let done = (*barrier, synced);
    *syncing = None;
    done
}

/// How a conversation came to its end.
enum Ended {
    /// There is no token until somebody signs in.
    SignedOut(String),
    Other(String),
}

async fn how_it_ended(conversation: Conversation) -> Ended {
    let Conversation { end, mut provider } = conversation;
    drop(end);
    Ended::Other(match timeout(FAREWELL, &mut provider).await {
        Ok(Ok(Ok(()))) => "the backend closed the connection".into(),
        Ok(Ok(Err(SyncError::SignedOut { reason }))) => return Ended::SignedOut(reason),
        Ok(Ok(Err(error))) => error.to_string(),
        Ok(Err(error)) => format!("the sync provider failed: {error}"),
        Err(_) => {
            provider.abort();
            "the sync provider has let go of its link without an end".into()
        }
    })
}
