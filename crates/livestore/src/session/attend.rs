//! A session's end of the conversation with its leader: finding one, following it, and leading oneself
//! when there is none.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::election::Candidacy;
use super::error::LinkError;
use super::file::{Derived, LeaderFile};
use super::io::LinkStream;
use super::local;
use super::message::{Refused, RefusedReason};
use super::session_end::{Answer, Beginning, PING, SessionEnd};
use crate::adapter::LOCK_EXTENSION;
use crate::boot::{BootListeners, BootStatus};
use crate::store::{Inner, Store};
use crate::{OpenError, Unavailable};

/// The first pause before looking for a leader again; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// A conversation that was no success.
const SHORT: Duration = Duration::from_secs(1);
/// The pause after a leader has refused this session, which it does as long as it runs.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);
/// The pause after this session has failed to lead, as it would again.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// How long a leader may take to answer a hello, or to send the next rows.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a leader that derives its state before it lets anybody follow may take to come on with it.
const DERIVING_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes between a session and a leader of one process.
const PIPE_BYTES: usize = 256 << 10;

/// Opens the store as its leader, if nobody else leads; told whether that is the first opening.
pub(crate) type Lead = dyn Fn(bool) -> Result<Store, OpenError> + Send + Sync;

/// A session before it has a replica.
pub(crate) struct Attending {
    pub(crate) file: Arc<Path>,
    pub(crate) hello: Vec<u8>,
    pub(crate) lead: Arc<Lead>,
    /// How long the first leader is looked for.
    pub(crate) patience: Duration,
    /// Who hears how that goes.
    pub(crate) boot: BootListeners,
    pub(crate) wake: Arc<Notify>,
}

/// Where the opening of a store and its session meet.
pub(crate) struct Opening {
    /// Gets what the session begins with.
    pub(crate) began: std_mpsc::Sender<Result<Beginning, OpenError>>,
    /// Gives the store that was made of it.
    pub(crate) opened: tokio::sync::oneshot::Receiver<Weak<Inner>>,
}

impl Attending {
    /// Follows one leader after the other, until the store is closed.
    pub(crate) async fn run(self, opening: Opening, mut stopped: watch::Receiver<bool>) {
        let Self { file, hello, lead, patience, boot, wake } = self;
        let mut search = Search::new(file, lead);
        let followed = async {
            let wait = Wait { patience, boot };
            let Some((store, end)) = search.open(&hello, &wait, opening).await else { return };
            let session = Session { store, wake };
            // It ends when the store is closed.
            let Err(ended) = session.follow_each(end, &mut search).await;
            tracing::debug!(error = %ended, "the session is over");
        };
        tokio::select! {
            () = followed => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
        search.close().await;
    }
}

/// Either a socket or a pipe of this process.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The session's end of a conversation, and the stream that it is on.
struct End {
    stream: LinkStream<Box<dyn Wire>>,
    conversation: SessionEnd,
    since: Instant,
}

impl End {
    /// Says hello on a stream.
    fn new(stream: Box<dyn Wire>, hello: &[u8]) -> Self {
        let stream = LinkStream::new(stream);
        Self { stream, conversation: SessionEnd::new(hello, Duration::ZERO), since: Instant::now() }
    }

    /// Waits until the leader has answered to a hello, and all rows are there.
    async fn answered(&mut self) -> Result<Answer, LinkError> {
        loop {
            if let Some(answer) = self.conversation.attach(self.since.elapsed())? {
                return Ok(answer);
            }
            timeout(PATIENCE, self.turn()).await??;
        }
    }

    async fn turn(&mut self) -> Result<(), LinkError> {
        self.stream.turn(self.conversation.wire()).await
    }
}

/// How a store waits for its first leader.
struct Wait {
    patience: Duration,
    boot: BootListeners,
}

/// Looks how far another process has come that derives the state of a file.
async fn derived_by_another(file: &Arc<Path>) -> Option<Derived> {
    let file = Arc::clone(file);
    let look = move || LeaderFile::open(&file).ok()?.derived();
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// Why there is no leader to follow now.
enum NotFound {
    Nobody,
    Refused(Refused),
    Open(OpenError),
}

/// Looks for a leader.
struct Search {
    file: Arc<Path>,
    lead: Arc<Lead>,
    /// True until the store is open for the first time.
    is_first: bool,
    candidacy: Candidacy,
    /// The leader, if it is in this very store; and one that is being opened.
    hosted: Option<Store>,
    opening: Option<JoinHandle<Result<Store, OpenError>>>,
    pause: Duration,
}

impl Search {
    fn new(file: Arc<Path>, lead: Arc<Lead>) -> Self {
        Self {
            file,
            lead,
            is_first: true,
            candidacy: Candidacy::default(),
            hosted: None,
            opening: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Finds the first leader, and waits for the store that is made of its rows.
    async fn open(
        &mut self,
        hello: &[u8],
        wait: &Wait,
        opening: Opening,
    ) -> Option<(Weak<Inner>, End)> {
        let Opening { began, opened } = opening;
        let mut deadline = Instant::now() + wait.patience;
        let mut derived = None;
        let found = loop {
            match self.once(hello).await {
                Ok(found) => break Ok(found),
                Err(NotFound::Refused(refused)) => break Err(refused.into()),
                Err(NotFound::Open(error)) => break Err(error),
                Err(NotFound::Nobody) if Instant::now() >= deadline => {
                    let path = self.file.with_extension(LOCK_EXTENSION).display().to_string();
                    break Err(OpenError::InUse { path });
                }
                Err(NotFound::Nobody) => {
                    let now = derived_by_another(&self.file).await;
                    if let Some(Derived { done, total, .. }) = now.filter(|_| now != derived) {
                        wait.boot.tell(BootStatus::Rehydrating { done, total });
                        deadline = Instant::now() + DERIVING_PATIENCE;
                        derived = now;
                    }
                    self.rest().await;
                }
            }
        };
        match found {
            Ok((end, beginning)) => {
                began.send(Ok(beginning)).ok()?;
                self.is_first = false;
                Some((opened.await.ok()?, end))
            }
            Err(error) => {
                // Whoever opens the store has gone, or gets it.
                let _ = began.send(Err(error));
                None
            }
        }
    }

    async fn rest(&mut self) {
        sleep(self.pause).await;
        self.pause = (2 * self.pause).min(MAX_PAUSE);
    }

    /// Looks for a leader, becomes one if nobody leads, and attaches to it.
    async fn once(&mut self, hello: &[u8]) -> Result<(End, Beginning), NotFound> {
        let wire: Box<dyn Wire> = match &self.hosted {
            Some(hosted) => Box::new(pipe_to(hosted)),
            None => match local::connect(&self.file).await {
                Ok(stream) => Box::new(stream),
                Err(error) => {
                    tracing::trace!(%error, "nobody leads");
                    Box::new(pipe_to(self.host().await?))
                }
            },
        };
        let mut end = End::new(wire, hello);
        match end.answered().await {
            Ok(Answer::Begin(beginning)) => Ok((end, beginning)),
            Ok(Answer::Refused(refused)) => {
                self.candidacy.refused(&refused);
                Err(NotFound::Refused(refused))
            }
            Err(error) => {
                tracing::debug!(%error, "attaching to the leader failed");
                // Nobody else could lead as long as this one has the file.
                self.close().await;
                Err(NotFound::Nobody)
            }
        }
    }

    /// Leads, if nobody else does.
    async fn host(&mut self) -> Result<&Store, NotFound> {
        if !self.candidacy.may_stand() {
            return Err(NotFound::Nobody);
        }
        let opening = if let Some(opening) = &mut self.opening {
            opening
        } else {
            if !self.is_first && !self.file.exists() {
                // Somebody has taken the store away; it is not made anew behind their back.
                let path = self.file.display().to_string();
                let source = std::io::ErrorKind::NotFound.into();
                return Err(NotFound::Open(OpenError::Io { path, source }));
            }
            let (lead, is_first) = (Arc::clone(&self.lead), self.is_first);
            self.opening.insert(tokio::task::spawn_blocking(move || lead(is_first)))
        };
        let opened = opening.await;
        self.opening = None;
        match opened {
            Ok(Ok(store)) => {
                tracing::info!(store = %store.store_id(), "this session leads now");
                Ok(self.hosted.insert(store))
            }
            // Somebody has become the leader in between, or is about to.
            Ok(Err(OpenError::InUse { .. })) | Err(_) => Err(NotFound::Nobody),
            Ok(Err(error)) => Err(NotFound::Open(error)),
        }
    }

    /// Closes the leader that is in this very store, also one that is just being opened.
    async fn close(&mut self) {
        let opened = match self.opening.take() {
            Some(opening) => opening.await.ok().and_then(Result::ok),
            None => None,
        };
        for store in self.hosted.take().into_iter().chain(opened) {
            // It waits for its own thread.
            let _ = tokio::task::spawn_blocking(move || store.shutdown()).await;
        }
    }
}

fn pipe_to(leader: &Store) -> DuplexStream {
    let (ours, theirs) = duplex(PIPE_BYTES);
    leader.serve(theirs);
    ours
}

struct Session {
    store: Weak<Inner>,
    wake: Arc<Notify>,
}

impl Session {
    fn write<R>(&self, act: impl FnOnce(&mut crate::Replica) -> R) -> Result<R, LinkError> {
        let store = self.store.upgrade().ok_or(LinkError::Closed)?;
        store.write(act).map_err(|error| match error {
            Unavailable::Closed => LinkError::Closed,
            other => LinkError::Failed(other.to_string()),
        })
    }

    fn now_ms(&self) -> u64 {
        self.store.upgrade().map_or(0, |store| store.now_ms())
    }

    /// Follows one leader after the other.
    async fn follow_each(
        &self,
        mut end: End,
        search: &mut Search,
    ) -> Result<Infallible, LinkError> {
        loop {
            let since = Instant::now();
            match self.follow(&mut end).await {
                Ok(never) => match never {},
                Err(LinkError::Closed) => return Err(LinkError::Closed),
                Err(gone) => tracing::debug!(error = %gone, "the leader is gone"),
            }
            drop(end);
            self.write(crate::Replica::leader_is_gone)?;
            // What fails at once would fail again, at the cost of the whole state each time.
            if since.elapsed() < SHORT {
                search.rest().await;
            } else {
                search.pause = FIRST_PAUSE;
            }
            end = self.find(search).await?;
        }
    }

    /// Finds the next leader, and goes on with what it has.
    async fn find(&self, search: &mut Search) -> Result<End, LinkError> {
        loop {
            let hello = self.write(|replica| replica.session_hello())?;
            let found = match &hello {
                Ok(hello) => search.once(hello).await,
                Err(error) => {
                    tracing::error!(%error, "this session cannot read what it has");
                    Err(NotFound::Nobody)
                }
            };
            match found {
                Ok((end, beginning)) => {
                    if self.begin_anew(beginning)? {
                        return Ok(end);
                    }
                }
                Err(NotFound::Refused(refused)) => {
                    self.write(|replica| replica.leader_refuses(&refused.message))?;
                    sleep(REFUSED_PAUSE).await;
                    continue;
                }
                Err(NotFound::Open(error)) => {
                    tracing::warn!(%error, "nobody leads, and this session cannot");
                    let message = error.to_string();
                    self.write(|replica| replica.nobody_leads(message))?;
                    search.pause = search.pause.max(FAILURE_PAUSE);
                    sleep(search.pause).await;
                    continue;
                }
                Err(NotFound::Nobody) => {}
            }
            search.rest().await;
        }
    }

    /// Follows a leader until it is gone.
    async fn follow(&self, end: &mut End) -> Result<Infallible, LinkError> {
        loop {
            self.take_in(end).await?;
            let now = end.since.elapsed();
            self.write(|replica| end.conversation.hand_out(replica, now))??;
            tokio::select! {
                turned = end.turn() => turned?,
                () = self.wake.notified() => {}
                () = sleep(PING) => {}
            }
        }
    }

    /// Takes what the leader has sent.
    async fn take_in(&self, end: &mut End) -> Result<(), LinkError> {
        loop {
            let (now_ms, now) = (self.now_ms(), end.since.elapsed());
            // One refresh for all messages that are taken at once.
            let any = self.write(|replica| end.conversation.follow(replica, now_ms, now))??;
            if end.conversation.is_attaching() {
                let Answer::Begin(beginning) = end.answered().await? else {
                    return Err(LinkError::failed("the leader does not let us in again"));
                };
                if !self.begin_anew(beginning)? {
                    return Err(LinkError::failed("the rows do not fit"));
                }
            } else if !any {
                return Ok(());
            }
        }
    }

    /// Goes on with the rows of a leader; tells whether that is possible.
    fn begin_anew(&self, beginning: Beginning) -> Result<bool, LinkError> {
        let Beginning { answer, rows } = beginning;
        let now_ms = self.now_ms();
        let begun = self.write(|replica| replica.attach_anew(&answer, rows, now_ms))?;
        if let Err(error) = &begun {
            tracing::error!(%error, "this session cannot go on with what its leader has");
        }
        Ok(begun.is_ok())
    }
}

impl From<tokio::time::error::Elapsed> for LinkError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Failed("the leader does not answer".into())
    }
}

impl From<Refused> for OpenError {
    fn from(refused: Refused) -> Self {
        let Refused { reason, message } = refused;
        match reason {
            RefusedReason::Schema(newer) => Self::SchemaMismatch { newer, message },
            RefusedReason::Other => Self::NotLetIn { message },
        }
    }
}
