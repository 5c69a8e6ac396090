//! One conversation with one client, from the hello to the goodbye.
//!
//! A single task reads, pushes and sends: it drives a [`Session`], which decides what the client
//! is told, and nothing comes between a decision and its message.

use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ws::{Utf8Bytes, WebSocket};
use livestore_core::protocol::{Goodbye, GoodbyeReason, Hello, Page, ServerMessage};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until, timeout};

use crate::auth::Principal;
use crate::handshake;
use crate::seat::{Seated, Superseded};
use crate::server::Shared;
use crate::session::{self, Answer, Session};
use crate::storage::{AppendOutcome, AppendRequest};
use crate::stores::{LiveStore, RecentPage, Tail};
use crate::turn::Turn;
use crate::wire::{self, End, Heard, Unknown, Wire};
use crate::writer::WriteFailed;

/// Serves one client until either side ends the conversation.
pub(crate) async fn serve(socket: WebSocket, shared: Arc<Shared>, client: Unknown) {
    let mut wire = Wire::new(socket, shared.timing.send, client);
    let mut shutdown = shared.shutdown.clone();
    let end = tokio::select! {
        biased;
        _ = shutdown.wait_for(|is_down| *is_down) => session::shutting_down().into(),
        end = converse(&mut wire, &shared) => end,
    };
    match end {
        End::Gone(why) => tracing::debug!(why, "a connection ended"),
        End::Goodbye(goodbye) => {
            // The message may quote the client's data, so it is not logged.
            match goodbye.reason {
                reason @ (GoodbyeReason::ShuttingDown
                | GoodbyeReason::Superseded
                | GoodbyeReason::Unauthenticated
                | GoodbyeReason::AuthExpired
                | GoodbyeReason::Forbidden) => {
                    tracing::debug!(?reason, "a connection was ended");
                }
                reason => tracing::warn!(?reason, "a connection was ended"),
            }
            wire.say_goodbye(goodbye).await;
        }
    }
}

async fn converse(wire: &mut Wire, shared: &Arc<Shared>) -> End {
    let (hello, principal) = match handshake::receive_hello(wire, shared).await {
        Ok(known) => known,
        Err(end) => return end,
    };
    let span = tracing::Span::current();
    span.record("store", hello.store_id.as_str()).record("client", hello.client_id.as_str());
    let seat = async {
        shared.writer.settle().await;
        shared.seats.take(&hello, principal.as_deref()).await
    };
    let seat = match timeout(shared.timing.hello, seat).await {
        Ok(Ok(seat)) => seat,
        Ok(Err(Superseded)) => return session::superseded().into(),
        // The writer is stuck, or may still take a push of the conversation before.
        Err(_) => return session::storage_failed().into(),
    };
    let expiry = expired(principal.clone());
    tokio::select! {
        biased;
        () = seat.superseded() => session::superseded().into(),
        () = expiry => session::auth_expired().into(),
        end = converse_seated(wire, shared, hello, seat.clone(), principal) => end,
    }
}

/// Waits until a client has to show another token.
async fn expired(principal: Option<Arc<Principal>>) {
    match principal.and_then(|principal| principal.valid_until()) {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

async fn converse_seated(
    wire: &mut Wire,
    shared: &Arc<Shared>,
    hello: Hello,
    seat: Seated,
    principal: Option<Arc<Principal>>,
) -> End {
    let store = shared.stores.open(&hello.store_id);
    // Before the first look at the log, so that nothing is written unnoticed in between.
    let tail = store.follow();
    let session = match handshake::welcome(wire, shared, &store, &hello).await {
        Ok(session) => session,
        Err(end) => return end,
    };
    let shared = Arc::clone(shared);
    let turn = Turn::default();
    let mut conversation = Conversation {
        wire,
        shared,
        store,
        tail,
        session,
        principal,
        seat,
        turn,
        pushing: None,
        next_push: None,
    };
    conversation.run().await
}

struct Conversation<'a> {
    wire: &'a mut Wire,
    shared: Arc<Shared>,
    store: Arc<LiveStore>,
    tail: watch::Receiver<Tail>,
    session: Session,
    principal: Option<Arc<Principal>>,
    seat: Seated,
    turn: Turn,
    /// The push that is under way.
    pushing: Option<Pushing>,
    /// A push that arrived meanwhile. Nothing is read from the client while there is one.
    next_push: Option<Request>,
}

type Pushing = Pin<Box<dyn Future<Output = Decided> + Send>>;

/// A push that the session let pass.
struct Request {
    number: u64,
    append: AppendRequest,
}

/// A push that the writer is done with.
struct Decided {
    request: u64,
    outcome: Result<AppendOutcome, Goodbye>,
    permit: Option<OwnedSemaphorePermit>,
}

enum Step {
    Decided(Decided),
    Heard(Result<Heard, End>),
    Ping,
    Grown,
    SendPage,
}

impl Conversation<'_> {
    async fn run(&mut self) -> End {
        loop {
            if let Err(end) = self.exchange().await {
                return end;
            }
        }
    }

    async fn exchange(&mut self) -> Result<(), End> {
        let timing = self.shared.timing;
        let mut pings = interval_at(Instant::now() + timing.ping, timing.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard_at = Instant::now();
        loop {
            let is_reading = self.next_push.is_none();
            let is_behind = self.session.wants_page().is_some();
            // An answer comes before the news that the log has grown: a client learns of its own
            // groups from the answer.
            let step = tokio::select! {
                biased;
                decided = outcome_of(&mut self.pushing), if self.pushing.is_some() => {
                    Step::Decided(decided)
                }
                heard = self.wire.receive(), if is_reading => Step::Heard(heard),
                _ = pings.tick() => Step::Ping,
                _ = self.tail.changed(), if !is_behind => Step::Grown,
                () = ready(()), if is_behind => Step::SendPage,
            };
            match step {
                Step::Decided(decided) => {
                    self.pushing = None;
                    self.answer(decided).await?;
                    if let Some(request) = self.next_push.take() {
                        heard_at = Instant::now();
                        self.push(request);
                    }
                }
                Step::Heard(heard) => {
                    heard_at = Instant::now();
                    if let Heard::Frame(frame) = heard? {
                        self.hear(frame).await?;
                    }
                }
                Step::Ping => {
                    if is_reading && heard_at.elapsed() >= timing.silence {
                        return Err(End::Gone("the client is silent"));
                    }
                    self.wire.ping().await?;
                }
                Step::Grown => self.session.grown(self.tail.borrow_and_update().head),
                Step::SendPage => self.send_page().await?,
            }
        }
    }

    async fn hear(&mut self, frame: Utf8Bytes) -> Result<(), End> {
        let push = self.session.hear(wire::decode(frame, session::decode).await?)?;
        let number = push.request;
        let append = self.session.push(&self.store.id, push)?;
        let append = AppendRequest { principal: self.principal.clone(), ..append };
        let request = Request { number, append };
        if self.pushing.is_some() {
            self.next_push = Some(request);
        } else {
            self.push(request);
        }
        Ok(())
    }

    fn push(&mut self, Request { number, append }: Request) {
        let store = Arc::clone(&self.store);
        let writer = self.shared.writer.clone();
        let seat = self.seat.clone();
        let turn = self.turn.take();
        self.pushing = Some(Box::pin(async move {
            let permit = match turn {
                Some(permit) => Some(permit),
                None => store.queue_to_push().await,
            };
            let outcome = match seat.admit(&append.groups).await {
                Ok(hold) => {
                    let outcome = writer.append(append, Some(hold)).await;
                    outcome.map_err(|WriteFailed| session::storage_failed())
                }
                Err(Superseded) => Err(session::superseded()),
            };
            Decided { request: number, outcome, permit }
        }));
    }

    async fn answer(&mut self, decided: Decided) -> Result<(), End> {
        let Decided { request, outcome, permit } = decided;
        match self.session.answer(request, outcome?)? {
            Answer::Send(message) => {
                drop(permit);
                self.wire.send(message.encode()).await
            }
            Answer::Ahead => {
                if let Some(permit) = permit {
                    self.turn.grant(permit, self.shared.timing.turn);
                }
                self.send_ahead(request).await
            }
        }
    }

    async fn send_ahead(&mut self, request: u64) -> Result<(), End> {
        if self.session.wants_page().is_none() {
            return self.wire.send(self.session.ahead(request, None).encode()).await;
        }
        let frame = match self.recent_page() {
            Some(recent) => self.session.ahead(request, Some(recent.page.clone())).encode().into(),
            None => self.read_page(move |session, page| session.ahead(request, Some(page))).await?,
        };
        self.wire.send(frame).await
    }

    async fn send_page(&mut self) -> Result<(), End> {
        let frame = match self.recent_page() {
            Some(recent) => {
                self.session.sent_through(recent.page.end);
                recent.frame()
            }
            None => self.read_page(Session::page).await?,
        };
        self.wire.send(frame).await
    }

    /// Returns the newest groups of the log if they are what the client needs next.
    fn recent_page(&mut self) -> Option<Arc<RecentPage>> {
        let recent = self.tail.borrow().recent.clone()?;
        (self.session.wants_page() == Some(recent.after)).then_some(recent)
    }

    /// Reads the page that the session wants, and encodes the message that brings it.
    async fn read_page(
        &mut self,
        message: impl FnOnce(&mut Session, Page) -> ServerMessage + Send + 'static,
    ) -> Result<Utf8Bytes, End> {
        let (store_id, mut session) = (self.store.id.clone(), self.session);
        let read = self.shared.readers.read(move |reader| {
            let Some(after) = session.wants_page() else { return Ok(None) };
            let page = reader.page(&store_id, after)?;
            Ok(page.map(|page| {
                let frame = message(&mut session, page).encode().into();
                (session, frame)
            }))
        });
        match read.await {
            Ok(Some((session, frame))) => {
                self.session = session;
                Ok(frame)
            }
            Ok(None) => {
                let (store, session) = (&self.store.id, self.session);
                tracing::error!(%store, ?session, "the log ends before its head");
                Err(session::storage_failed().into())
            }
            Err(error) => {
                tracing::error!(%error, store = %self.store.id, "a read failed");
                Err(session::storage_failed().into())
            }
        }
    }
}

async fn outcome_of(pushing: &mut Option<Pushing>) -> Decided {
    match pushing {
        Some(pushing) => pushing.await,
        None => pending().await,
    }
}
