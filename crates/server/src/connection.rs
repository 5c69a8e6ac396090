//! One conversation with one client, from the hello to the goodbye.
//!
//! A single task reads, pushes and sends, so what the client sees is in log order by
//! construction: `sent` is where the client stands, and every page continues it.

use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ws::{Utf8Bytes, WebSocket};
use livestore_core::limits::MAX_ATTEMPTED_GROUPS;
use livestore_core::protocol::{
    AlreadyAccepted, ClientMessage, GoodbyeReason, GroupRejected, Page, ProtocolError, Push,
    PushAccepted, RejectReason, ServerAhead, ServerMessage,
};
use livestore_core::{GlobalSeqNum, LogPosition};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::handshake;
use crate::server::Shared;
use crate::storage::{AppendOutcome, AppendRequest};
use crate::stores::{LiveStore, RecentPage, Tail};
use crate::turn::Turn;
use crate::wire::{self, End, Heard, Wire};
use crate::writer::WriteFailed;

/// Serves one client until either side ends the conversation.
pub(crate) async fn serve(socket: WebSocket, shared: Arc<Shared>) {
    let mut wire = Wire::new(socket, shared.timing.send);
    let mut shutdown = shared.shutdown.clone();
    let end = tokio::select! {
        biased;
        _ = shutdown.wait_for(|is_down| *is_down) => End::shutting_down(),
        end = converse(&mut wire, &shared) => end,
    };
    match end {
        End::Gone(why) => tracing::debug!(why, "a connection ended"),
        End::Goodbye(goodbye) => {
            // The message may quote the client's data, so it is not logged.
            if goodbye.reason == GoodbyeReason::ShuttingDown {
                tracing::debug!("a connection ends with the server");
            } else {
                tracing::warn!(reason = ?goodbye.reason, "a connection was ended");
            }
            wire.say_goodbye(goodbye).await;
        }
    }
}

async fn converse(wire: &mut Wire, shared: &Arc<Shared>) -> End {
    let conversation = async {
        let hello = handshake::receive_hello(wire, shared).await?;
        let span = tracing::Span::current();
        span.record("store", hello.store_id.as_str()).record("client", hello.client_id.as_str());
        let store = shared.stores.open(&hello.store_id);
        // Before the first look at the log, so that nothing is written unnoticed in between.
        let tail = store.follow();
        let (sent, head) = handshake::welcome(wire, shared, &store, hello).await?;
        let shared = Arc::clone(shared);
        let turn = Turn::default();
        let mut conversation = Conversation {
            wire,
            shared,
            store,
            tail,
            sent,
            head,
            turn,
            pushing: None,
            next_push: None,
        };
        Err(conversation.run().await)
    };
    match conversation.await {
        Ok(end) | Err(end) => end,
    }
}

struct Conversation<'a> {
    wire: &'a mut Wire,
    shared: Arc<Shared>,
    store: Arc<LiveStore>,
    tail: watch::Receiver<Tail>,
    /// Up to where the client has the log.
    sent: GlobalSeqNum,
    /// Up to where the log is known to reach.
    head: GlobalSeqNum,
    turn: Turn,
    /// The push that is under way.
    pushing: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// A push that arrived meanwhile. Nothing is read from the client while there is one.
    next_push: Option<Push>,
}

struct Answer {
    request: u64,
    outcome: Result<AppendOutcome, WriteFailed>,
    permit: Option<OwnedSemaphorePermit>,
}

enum Step {
    Answer(Answer),
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
            let is_behind = self.sent < self.head;
            // An answer comes before the news that the log has grown: a client learns of its own
            // groups from the answer.
            let step = tokio::select! {
                biased;
                answer = answer_of(&mut self.pushing), if self.pushing.is_some() => {
                    Step::Answer(answer)
                }
                heard = self.wire.receive(), if is_reading => Step::Heard(heard),
                _ = pings.tick() => Step::Ping,
                _ = self.tail.changed(), if !is_behind => Step::Grown,
                () = ready(()), if is_behind => Step::SendPage,
            };
            match step {
                Step::Answer(answer) => {
                    self.pushing = None;
                    self.answer(answer).await?;
                    if let Some(push) = self.next_push.take() {
                        heard_at = Instant::now();
                        self.push(push);
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
                Step::Grown => self.head = self.head.max(self.tail.borrow_and_update().head),
                Step::SendPage => self.send_page().await?,
            }
        }
    }

    async fn hear(&mut self, frame: Utf8Bytes) -> Result<(), End> {
        let push = match wire::decode(frame).await? {
            ClientMessage::Push(push) => push,
            ClientMessage::Hello(_) => return Err(End::protocol_error("a second hello message")),
        };
        if push.groups.len() > MAX_ATTEMPTED_GROUPS {
            return Err(End::protocol_error(ProtocolError::WrongCount {
                message: "push",
                items: "groups",
                count: push.groups.len(),
                expected: "at most 256",
            }));
        }
        if self.pushing.is_some() {
            self.next_push = Some(push);
        } else {
            self.push(push);
        }
        Ok(())
    }

    fn push(&mut self, push: Push) {
        let Push { request, base, groups } = push;
        let store = Arc::clone(&self.store);
        let writer = self.shared.writer.clone();
        let turn = self.turn.take();
        self.pushing = Some(Box::pin(async move {
            let permit = match turn {
                Some(permit) => Some(permit),
                None => store.queue_to_push().await,
            };
            let append = AppendRequest { store_id: store.id.clone(), base, groups };
            let outcome = writer.append(append).await;
            Answer { request, outcome, permit }
        }));
    }

    async fn answer(&mut self, answer: Answer) -> Result<(), End> {
        let Answer { request, outcome, permit } = answer;
        let message = match outcome.map_err(|WriteFailed| End::internal())? {
            AppendOutcome::Appended { first, end } => {
                // If own groups were sent in a page already, the pages go on from there.
                if first == self.sent.next() {
                    self.sent = end.seq;
                }
                ServerMessage::PushAccepted(PushAccepted { request, first, end })
            }
            AppendOutcome::AlreadyAccepted { groups } => {
                ServerMessage::AlreadyAccepted(AlreadyAccepted { request, groups })
            }
            AppendOutcome::Conflict { group } => {
                let reason = RejectReason::EventIdConflict;
                ServerMessage::GroupRejected(GroupRejected { request, group, reason })
            }
            AppendOutcome::ServerAhead { head } => {
                if let Some(permit) = permit {
                    self.turn.grant(permit, self.shared.timing.turn);
                }
                self.head = self.head.max(head);
                return self.send_ahead(request).await;
            }
        };
        drop(permit);
        self.wire.send(message.encode()).await
    }

    async fn send_ahead(&mut self, request: u64) -> Result<(), End> {
        let ahead = move |missing| ServerMessage::ServerAhead(ServerAhead { request, missing });
        if self.sent >= self.head {
            // The push crossed the last page on the wire.
            return self.wire.send(ahead(None).encode()).await;
        }
        let (frame, end) = match self.recent_page() {
            Some(recent) => (ahead(Some(recent.page.clone())).encode().into(), recent.page.end),
            None => self.read_page(move |page| ahead(Some(page))).await?,
        };
        self.send_through(frame, end).await
    }

    async fn send_page(&mut self) -> Result<(), End> {
        let (frame, end) = match self.recent_page() {
            Some(recent) => (recent.frame(), recent.page.end),
            None => self.read_page(ServerMessage::Page).await?,
        };
        self.send_through(frame, end).await
    }

    async fn send_through(&mut self, frame: Utf8Bytes, end: LogPosition) -> Result<(), End> {
        self.wire.send(frame).await?;
        self.sent = end.seq;
        Ok(())
    }

    /// Returns the newest groups of the log if they are what the client needs next.
    fn recent_page(&mut self) -> Option<Arc<RecentPage>> {
        let recent = self.tail.borrow().recent.clone()?;
        (recent.after == self.sent).then_some(recent)
    }

    /// Reads and encodes what follows `sent`; `head` says that there is something.
    async fn read_page(
        &mut self,
        message: impl FnOnce(Page) -> ServerMessage + Send + 'static,
    ) -> Result<(Utf8Bytes, LogPosition), End> {
        let (store_id, after) = (self.store.id.clone(), self.sent);
        let read = self.shared.readers.read(move |reader| {
            let page = reader.page(&store_id, after)?;
            Ok(page.map(|page| {
                let end = page.end;
                (message(page).encode().into(), end)
            }))
        });
        match read.await {
            Ok(Some(page)) => Ok(page),
            Ok(None) => {
                let (store, sent, head) = (&self.store.id, self.sent, self.head);
                tracing::error!(%store, %sent, %head, "the log ends before its head");
                Err(End::internal())
            }
            Err(error) => {
                tracing::error!(%error, store = %self.store.id, "a read failed");
                Err(End::internal())
            }
        }
    }
}

async fn answer_of(pushing: &mut Option<Pin<Box<dyn Future<Output = Answer> + Send>>>) -> Answer {
    match pushing {
        Some(pushing) => pushing.await,
        None => pending().await,
    }
}
