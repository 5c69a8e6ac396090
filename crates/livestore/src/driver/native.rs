//! The driver on a thread of its own, where sessions of other windows and processes come in.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use livestore_sqlite::FileLock;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::{Machine, Run, Syncing};
use crate::OpenError;
use crate::adapter::sync_wal;
use crate::runtime::{Instant, sleep_until};
use crate::session::{self, Attending, Listener, Opening, Stream};
use crate::store::Inner;

/// Sessions that may follow one leader at a time.
const MAX_SESSIONS: usize = 64;

/// How long nobody is let in after that has failed.
const REST: Duration = Duration::from_millis(100);

/// The running driver; dropping it ends the thread and waits for it.
pub(crate) struct Driver {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    /// Where sessions of this very process come in.
    pipes: mpsc::UnboundedSender<DuplexStream>,
    /// That of a store without a thread.
    _lock: Option<FileLock>,
}

impl Driver {
    /// Starts the thread, if there is something to sync with: a backend, or a disk.
    pub(crate) fn start(inner: &Arc<Inner>, mut machine: Machine) -> Result<Self, OpenError> {
        let (stop, stopped) = watch::channel(false);
        let (pipes, from_pipes) = mpsc::unbounded_channel();
        if machine.provider.is_none() && machine.path.is_none() {
            return Ok(Self { stop, thread: None, pipes, _lock: machine.lock.take() });
        }
        let store = Arc::downgrade(inner);
        let run = async move || {
            if machine.check_materializers
                && let Some(inner) = store.upgrade()
            {
                // A store that is closed already has nothing left to check.
                let _ = inner.check_materializers();
            }
            let listener = machine.path.as_deref().filter(|_| machine.leads).and_then(listen);
            let visitors = Visitors {
                listener,
                pipes: from_pipes,
                sessions: JoinSet::new(),
                rests_until: None,
            };
            Run::new(store, machine, visitors).until(stopped).await;
        };
        Ok(Self { stop, thread: Some(spawn("livestore-sync", run)?), pipes, _lock: None })
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

/// Begins to make what was committed survive a power cut.
pub(super) fn sync_disk(path: Option<PathBuf>) -> Syncing {
    tokio::task::spawn_blocking(move || path.as_deref().map_or(Ok(()), sync_wal))
}

/// The sessions that follow this store, and the ways by which they come.
pub(super) struct Visitors {
    listener: Option<Listener>,
    pipes: mpsc::UnboundedReceiver<DuplexStream>,
    sessions: JoinSet<()>,
    /// Nobody is let in until then, since that has just failed.
    rests_until: Option<Instant>,
}

/// What happens with sessions.
pub(super) enum Visit {
    /// One comes from elsewhere, or could not.
    Came(io::Result<Stream>),
    /// One comes that is of this process.
    Piped(DuplexStream),
    /// One is gone.
    Gone,
}

impl Visitors {
    /// Waits for what happens next.
    pub(super) async fn next(&mut self) -> Visit {
        tokio::select! {
            biased;
            came = accept(&mut self.listener, self.rests_until) => Visit::Came(came),
            Some(pipe) = self.pipes.recv() => Visit::Piped(pipe),
            Some(_) = self.sessions.join_next() => Visit::Gone,
            else => std::future::pending().await,
        }
    }

    pub(super) fn take_in(&mut self, visit: Visit, store: &Weak<Inner>, file: Option<&Path>) {
        match visit {
            Visit::Came(Ok(stream)) => {
                self.rests_until = None;
                self.serve(stream, store, file);
            }
            Visit::Came(Err(error)) => {
                tracing::warn!(%error, "a session could not be let in");
                self.rests_until = Some(Instant::now() + REST);
            }
            Visit::Piped(pipe) => self.serve(pipe, store, file),
            Visit::Gone => {}
        }
    }

    fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(
        &mut self,
        stream: S,
        store: &Weak<Inner>,
        file: Option<&Path>,
    ) {
        let (Some(inner), Some(file)) = (store.upgrade(), file) else { return };
        let is_full = self.sessions.len() >= MAX_SESSIONS;
        let (store, file) = (store.clone(), Arc::from(file));
        let output = inner.output();
        self.sessions.spawn(async move {
            match session::serve(stream, store, file, output, is_full).await {
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "a session is gone"),
            }
        });
    }

    /// Ends all conversations.
    pub(super) async fn send_away(&mut self) {
        self.listener = None;
        self.sessions.shutdown().await;
    }
}

/// Listens for sessions; if that cannot be, the store is for this one alone.
fn listen(file: &Path) -> Option<Listener> {
    Listener::bind(file)
        .inspect_err(|error| {
            tracing::warn!(%error, file = %file.display(), "other sessions cannot follow this one");
        })
        .ok()
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
