//! The native driver: a thread that carries out what the replica asks for.
//!
//! It owns all I/O besides SQLite: the connection to the backend, timers, and the sync of a
//! barrier. It decides nothing.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group};
use livestore_sqlite::{FileLock, SqliteError};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::receipt::Awaited;
use crate::replica::{Barrier, UpstreamAction};
use crate::session::{self, Attending, Listener, Opening, Stream};
use crate::store::Inner;
use crate::sync_provider::{Incoming, OwnLog, StoreEnd, SyncError, SyncProvider, link};
use crate::{OpenError, QueryError, Unavailable, adapter, clock};

/// How long a provider may take to come to its end when the conversation has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Sessions that may follow one leader at a time.
const MAX_SESSIONS: usize = 64;

/// How long nobody is let in after that has failed.
const REST: Duration = Duration::from_millis(100);

/// Wakes the driver at least this often; a lost wake-up then costs seconds, not the sync.
const IDLE: Duration = Duration::from_secs(60);

/// The running driver; dropping it ends the thread and waits for it.
pub(crate) struct Driver {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Where sessions of this very process come in.
    pipes: mpsc::UnboundedSender<DuplexStream>,
    /// That of a store without a thread.
    _lock: Option<FileLock>,
}

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

impl Driver {
    /// Starts the thread, if there is something to sync with: a backend, or a disk.
    pub(crate) fn start(inner: &Arc<Inner>, machine: Machine) -> Result<Self, OpenError> {
        let Machine { provider, path, lock, wake, check_materializers, leads } = machine;
        let (stop, stopped) = watch::channel(false);
        let (pipes, from_pipes) = mpsc::unbounded_channel();
        let (mut thread, mut lock) = (None, lock);
        if provider.is_some() || path.is_some() {
            let lock = lock.take();
            let store = Arc::downgrade(inner);
            let run = async move || {
                if check_materializers && let Some(inner) = store.upgrade() {
                    // A store that is closed already has nothing left to check.
                    let _ = inner.check_materializers();
                }
                let listener = path.as_deref().filter(|_| leads).and_then(listen);
                let run = Run {
                    store,
                    provider,
                    path,
                    wake,
                    conversation: None,
                    syncing: None,
                    listener,
                    pipes: from_pipes,
                    sessions: JoinSet::new(),
                    rests_until: None,
                    _lock: lock,
                };
                run.until(stopped).await;
            };
            thread = Some(spawn("livestore-sync", run)?);
        }
        Ok(Self { stop, thread, pipes, _lock: lock })
    }

    /// Starts the thread of a session that follows a leader.
    pub(crate) fn attend(attending: Attending, opening: Opening) -> Result<Self, OpenError> {
        let (stop, stopped) = watch::channel(false);
        let (pipes, _) = mpsc::unbounded_channel();
        let thread = Some(spawn("livestore-session", || attending.run(opening, stopped))?);
        Ok(Self { stop, thread, pipes, _lock: None })
    }

    /// Tells whether the caller is on the driver's own thread.
    pub(crate) fn is_this_thread(&self) -> bool {
        let own = self.thread.as_ref().map(|thread| thread.thread().id());
        own == Some(std::thread::current().id())
    }

    /// Lets a session of this process follow.
    pub(crate) fn serve(&self, pipe: DuplexStream) {
        // If the driver is gone, the session sees the end of its pipe.
        let _ = self.pipes.send(pipe);
    }
}

/// Runs something on a thread of its own.
fn spawn<F: Future<Output = ()>>(
    name: &str,
    begin: impl FnOnce() -> F + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(begin());
                // Whatever still blocks, such as a slow name lookup, is not waited for.
                runtime.shutdown_background();
            }
            Err(error) => tracing::error!(%error, "a thread of the store could not start"),
        }
    };
    let spawned = std::thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(|source| OpenError::Io { path: format!("the thread {name}"), source })
}

/// Listens for sessions; if that cannot be, the store is for this one alone.
fn listen(file: &Path) -> Option<Listener> {
    Listener::bind(file)
        .inspect_err(|error| {
            tracing::warn!(%error, file = %file.display(), "other sessions cannot follow this one");
        })
        .ok()
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take()
            // A subscriber may drop the store on the driver's own thread.
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
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
    provider: tokio::task::JoinHandle<Result<(), SyncError>>,
}

struct Run {
    store: Weak<Inner>,
    provider: Option<Arc<dyn SyncProvider>>,
    path: Option<PathBuf>,
    wake: Arc<Notify>,
    conversation: Option<Conversation>,
    /// A sync that is under way on a thread of its own, so that nobody else waits for the disk.
    syncing: Option<(Barrier, Syncing)>,
    /// Where sessions come in.
    listener: Option<Listener>,
    pipes: mpsc::UnboundedReceiver<DuplexStream>,
    sessions: JoinSet<()>,
    /// Nobody is let in until then, since that has just failed.
    rests_until: Option<Instant>,
    /// Released last, when nothing of this process uses the file any more.
    _lock: Option<FileLock>,
}

type Syncing = tokio::task::JoinHandle<io::Result<()>>;

/// The store is gone; nothing is left to drive.
struct Closed;

impl Run {
    async fn until(mut self, mut stopped: watch::Receiver<bool>) {
        while let Ok(next) = self.carry_out() {
            let wake = Arc::clone(&self.wake);
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => break,
                came = accept(&mut self.listener, self.rests_until) => self.welcome(came),
                Some(pipe) = self.pipes.recv() => self.serve(pipe),
                Some(_) = self.sessions.join_next() => {}
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
        self.listener = None;
        self.sessions.shutdown().await;
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
    fn carry_out(&mut self) -> Result<Instant, Closed> {
        loop {
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
                    let path = self.path.clone();
                    let sync = move || path.as_deref().map_or(Ok(()), adapter::sync_wal);
                    self.syncing = Some((barrier, tokio::task::spawn_blocking(sync)));
                }
            }
        }
    }

    /// Takes in a session that has come to the socket.
    fn welcome(&mut self, came: io::Result<Stream>) {
        self.rests_until = None;
        match came {
            Ok(stream) => self.serve(stream),
            Err(error) => {
                tracing::warn!(%error, "a session could not be let in");
                self.rests_until = Some(Instant::now() + REST);
            }
        }
    }

    fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(&mut self, stream: S) {
        let (Some(inner), Some(path)) = (self.store.upgrade(), &self.path) else { return };
        let is_full = self.sessions.len() >= MAX_SESSIONS;
        let (store, file) = (self.store.clone(), Arc::from(path.as_path()));
        let output = inner.output();
        self.sessions.spawn(async move {
            match session::serve(stream, store, file, output, is_full).await {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a session is gone"),
            }
        });
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
        let provider = tokio::spawn(async move { provider.connect(link).await });
        self.conversation = Some(Conversation { end, provider });
    }

    fn hang_up(&mut self, store: &Inner, reason: &str) -> Result<(), Closed> {
        if let Some(Conversation { end, mut provider }) = self.conversation.take() {
            // That tells the provider, which is not waited for; but it does not live on beside the next one.
            drop(end);
            tokio::spawn(async move {
                if timeout(FAREWELL, &mut provider).await.is_err() {
                    provider.abort();
                }
            });
        }
        tracing::debug!(reason, "disconnected");
        let now_ms = clock::now_ms();
        store.write(|replica| replica.upstream_disconnected(now_ms, reason)).map_err(|_| Closed)
    }

    async fn take_in(&mut self, incoming: Option<Incoming>) -> Result<(), Closed> {
        let store = self.store.upgrade().ok_or(Closed)?;
        let now_ms = clock::now_ms();
        let taken = match incoming {
            Some(Incoming::Opened) => store.write(crate::Replica::upstream_connected),
            Some(Incoming::Working) => store.write(|replica| {
                replica.upstream_works(now_ms);
                Ok(())
            }),
            Some(Incoming::Message(message)) => {
                // The provider hands over what has come while the last message was taken.
                tokio::task::yield_now().await;
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

async fn accept(
    listener: &mut Option<Listener>,
    rests_until: Option<Instant>,
) -> io::Result<Stream> {
    let Some(listener) = listener else { return std::future::pending().await };
    if let Some(until) = rests_until {
        sleep_until(until).await;
    }
    listener.accept().await
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
