//! A session's end of the conversation with its leader: finding one, following it, and leading oneself
//! when there is none.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Weak, mpsc as std_mpsc};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::io::{LinkEnd, LinkError};
use super::link::Frame;
use super::local;
use super::message::{Refused, RefusedReason};
use super::outline::Newer;
use crate::adapter::LOCK_EXTENSION;
use crate::replica::{FromLeader, Refusal, answer_of, is_end_of_rows};
use crate::store::{Inner, Store};
use crate::{OpenError, Unavailable};

/// The first pause before looking for a leader again; it doubles up to [`MAX_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// A conversation that was no success.
const SHORT: Duration = Duration::from_secs(1);
/// The pause after this session has failed to lead, as it would again.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// How long a leader may take to answer a hello, or to send the next rows.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a leader is asked whether it is there, when it has nothing to say.
const PING: Duration = Duration::from_millis(500);
/// After how long a silence a leader counts as unresponsive.
const SILENCE: Duration = Duration::from_secs(2);
/// Messages that are taken while the app waits, in bytes.
const SLICE_BYTES: usize = 256 << 10;
/// Bytes between a session and a leader of one process.
const PIPE_BYTES: usize = 256 << 10;

/// Opens the store as its leader, if nobody else leads; told whether that is the first opening.
pub(crate) type Lead = dyn Fn(bool) -> Result<Store, OpenError> + Send + Sync;

/// What a session begins with.
pub(crate) struct Beginning {
    pub(crate) answer: Vec<u8>,
    pub(crate) rows: Vec<(u16, Vec<u8>)>,
}

/// A session before it has a replica.
pub(crate) struct Attending {
    pub(crate) file: Arc<Path>,
    pub(crate) hello: Vec<u8>,
    pub(crate) lead: Arc<Lead>,
    /// How long the first leader is looked for.
    pub(crate) patience: Duration,
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
        let Self { file, hello, lead, patience, wake } = self;
        let mut search = Search::new(file, lead);
        let followed = async {
            let Some((store, end)) = search.open(&hello, patience, opening).await else { return };
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

type End = LinkEnd<Box<dyn Wire>>;

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
    /// False once a newer version of the app has been seen, whose state this one must not derive anew.
    may_lead: bool,
    /// The leader, if it is in this very store; and one that is being opened.
    hosted: Option<Store>,
    opening: Option<JoinHandle<Result<Store, OpenError>>>,
    pause: Duration,
}

impl Search {
    fn new(file: Arc<Path>, lead: Arc<Lead>) -> Self {
        let (is_first, may_lead, pause) = (true, true, FIRST_PAUSE);
        Self { file, lead, is_first, may_lead, hosted: None, opening: None, pause }
    }

    /// Finds the first leader, and waits for the store that is made of its rows.
    async fn open(
        &mut self,
        hello: &[u8],
        patience: Duration,
        opening: Opening,
    ) -> Option<(Weak<Inner>, End)> {
        let Opening { began, opened } = opening;
        let deadline = Instant::now() + patience;
        let found = loop {
            match self.once(hello).await {
                Ok(found) => break Ok(found),
                Err(NotFound::Refused(refused)) => break Err(refused.into()),
                Err(NotFound::Open(error)) => break Err(error),
                Err(NotFound::Nobody) if Instant::now() >= deadline => {
                    let path = self.file.with_extension(LOCK_EXTENSION).display().to_string();
                    break Err(OpenError::InUse { path });
                }
                Err(NotFound::Nobody) => self.rest().await,
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
        let mut end = LinkEnd::new(wire);
        match attach(&mut end, hello).await {
            Ok(Ok(beginning)) => Ok((end, beginning)),
            Ok(Err(refused)) => {
                if let RefusedReason::Schema(Newer::Them | Newer::Neither) = refused.reason {
                    self.may_lead = false;
                }
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
        if !self.may_lead {
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

/// Says hello, and takes the rows of the leader's state.
async fn attach(end: &mut End, hello: &[u8]) -> Result<Result<Beginning, Refused>, LinkError> {
    end.send_message(hello);
    let mut answer: Option<Vec<u8>> = None;
    let (mut rows, mut pieces) = (Vec::new(), Vec::new());
    loop {
        while let Some(frame) = end.next()? {
            let weight = frame.weight();
            match frame {
                Frame::Message(message) if answer.is_none() => match answer_of(&message) {
                    Refusal::None => answer = Some(message),
                    Refusal::Of(refused) => return Ok(Err(refused)),
                    // Of the conversation before.
                    Refusal::NoAnswer => {}
                },
                Frame::Message(message) if is_end_of_rows(&message) => {
                    let Some(answer) = answer.take() else {
                        return Err(LinkError::Failed("rows without an answer".into()));
                    };
                    end.dealt_with(weight);
                    return Ok(Ok(Beginning { answer, rows }));
                }
                Frame::Piece(piece) => pieces.extend(piece),
                Frame::Rows { transfer, rows: some } => {
                    pieces.extend(some);
                    rows.push((transfer, std::mem::take(&mut pieces)));
                }
                Frame::Pong => {}
                other => return Err(LinkError::Failed(format!("{other:?} among rows"))),
            }
            end.dealt_with(weight);
        }
        timeout(PATIENCE, end.turn()).await??;
    }
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
                Err(NotFound::Refused(refused)) => self.refused(&refused)?,
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
        let (mut heard, mut asked) = (Instant::now(), Instant::now());
        let mut is_silent = false;
        loop {
            if self.take_in(end).await? {
                heard = Instant::now();
            }
            if end.is_open()
                && let Some(push) = self
                    .write(crate::Replica::poll_leader)?
                    .map_err(|error| LinkError::Failed(error.to_string()))?
            {
                end.send_message(&push);
            }
            let now = Instant::now();
            if is_silent != (now >= heard + SILENCE) {
                is_silent = !is_silent;
                self.write(|replica| replica.leader_is_silent(is_silent))?;
            }
            if now >= asked + PING && now >= heard + PING {
                asked = now;
                end.send(&Frame::Ping);
            }
            tokio::select! {
                turned = end.turn() => turned?,
                () = self.wake.notified() => {}
                () = sleep_until(now + PING) => {}
            }
        }
    }

    /// Takes what the leader has sent; tells whether there was anything.
    async fn take_in(&self, end: &mut End) -> Result<bool, LinkError> {
        let mut any = false;
        loop {
            let (mut messages, mut bytes) = (Vec::new(), 0);
            while bytes < SLICE_BYTES
                && let Some(frame) = end.next()?
            {
                any = true;
                match frame {
                    Frame::Message(message) => {
                        bytes += message.len();
                        messages.push(message);
                    }
                    Frame::Pong => {}
                    other => return Err(LinkError::Failed(format!("{other:?} out of turn"))),
                }
            }
            if messages.is_empty() {
                return Ok(any);
            }
            let now_ms = self.now_ms();
            // One refresh for all of them.
            let taken = self.write(|replica| {
                for message in &messages {
                    if replica.receive_from_leader(message, now_ms)? == FromLeader::Restart {
                        return Ok(FromLeader::Restart);
                    }
                }
                Ok::<_, crate::replica::FollowError>(FromLeader::Taken)
            })?;
            end.dealt_with(bytes);
            match taken {
                Ok(FromLeader::Taken) => {}
                Ok(FromLeader::Restart) => {
                    let hello = self.write(|replica| replica.session_hello())?;
                    let hello = hello.map_err(|error| LinkError::Failed(error.to_string()))?;
                    let Ok(beginning) = attach(end, &hello).await? else {
                        return Err(LinkError::Failed(
                            "the leader does not let us in again".into(),
                        ));
                    };
                    if !self.begin_anew(beginning)? {
                        return Err(LinkError::Failed("the rows do not fit".into()));
                    }
                }
                Err(error) => return Err(LinkError::Failed(error.to_string())),
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

    fn refused(&self, refused: &Refused) -> Result<(), LinkError> {
        self.write(|replica| replica.leader_refuses(&refused.message))
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
