//! A LiveStore client on a WebSocket.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use livestore_cf_protocol::{
    Call, Cause, ClientMessage, Exit, PONG, PageInfo, Pull, Push, Request, RequestId, ServerMessage,
};
use livestore_core::GlobalSeqNum;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::log::{self, Author, Chunk};
use super::{Caller, unknown};
use crate::server::Shared;
use crate::stores::{LiveStore, Tail};

/// Pulls of one connection that go on at a time; a client has one.
const MAX_PULLS: usize = 16;
/// Pushes of one connection that may wait; a client waits for the answer to each.
const MAX_PUSHES: usize = 16;

/// Why a conversation is over.
struct Over(String);

fn over<T>(why: impl ToString) -> Result<T, Over> {
    Err(Over(why.to_string()))
}

/// Serves one client until either side is gone.
pub(super) async fn serve(socket: WebSocket, shared: Arc<Shared>, caller: Caller) {
    let mut shutdown = shared.shutdown.clone();
    let expiry = caller.principal.as_ref().and_then(|principal| principal.valid_until());
    let Ok(author) = Author::new() else {
        tracing::error!("the system has no random numbers");
        return;
    };
    let store = shared.stores.open(&caller.store_id);
    // Before the first look at the log, so that nothing is written unnoticed in between.
    let tail = store.follow();
    let mut client = Client {
        socket,
        shared,
        store,
        tail,
        caller,
        author,
        pulls: Vec::new(),
        waiting: VecDeque::new(),
        pushing: None,
        heard_at: Instant::now(),
    };
    let expired = async {
        match expiry {
            Some(at) => sleep_until(at.into()).await,
            None => pending().await,
        }
    };
    let why = tokio::select! {
        biased;
        _ = shutdown.wait_for(|is_down| *is_down) => "the server shuts down".into(),
        // It connects again, with what its app has to show by then.
        () = expired => "the token has expired".into(),
        Over(why) = client.converse() => why,
    };
    tracing::debug!(why, "a LiveStore client is gone");
    let _ = timeout(client.shared.timing.send, client.socket.send(Message::Close(None))).await;
}

/// A pull that goes on.
struct Going {
    id: RequestId,
    is_live: bool,
    /// Up to where the client has the log, and up to where that was seen to reach when it was read.
    sent: GlobalSeqNum,
    seen: GlobalSeqNum,
    /// Events that were read for it.
    read: VecDeque<Chunk>,
    /// It has got a chunk, as every pull does.
    has_begun: bool,
}

type Pushing = Pin<Box<dyn Future<Output = (RequestId, Exit, GlobalSeqNum)> + Send>>;

struct Client {
    socket: WebSocket,
    shared: Arc<Shared>,
    store: Arc<LiveStore>,
    tail: watch::Receiver<Tail>,
    caller: Caller,
    author: Author,
    pulls: Vec<Going>,
    /// Pushes that came while another one was under way.
    waiting: VecDeque<(RequestId, Push)>,
    pushing: Option<Pushing>,
    /// When it was heard last; it pings.
    heard_at: Instant,
}

enum Step {
    Heard(Option<Result<Message, axum::Error>>),
    Pushed((RequestId, Exit, GlobalSeqNum)),
    Grown,
    Send(usize),
}

impl Client {
    async fn converse(&mut self) -> Over {
        loop {
            if let Err(over) = self.turn().await {
                return over;
            }
        }
    }

    async fn turn(&mut self) -> Result<(), Over> {
        // However much the log grows meanwhile.
        let silent_at = self.heard_at + self.shared.timing.silence;
        let is_reading = self.waiting.len() < MAX_PUSHES;
        let behind = self.behind();
        let step = tokio::select! {
            biased;
            pushed = outcome_of(&mut self.pushing), if self.pushing.is_some() => Step::Pushed(pushed),
            heard = self.socket.recv(), if is_reading => Step::Heard(heard),
            () = sleep_until(silent_at), if is_reading => return over("it is silent"),
            _ = self.tail.changed(), if behind.is_none() => Step::Grown,
            () = ready(()), if behind.is_some() => Step::Send(behind.unwrap_or_default()),
        };
        match step {
            Step::Heard(heard) => {
                self.heard_at = Instant::now();
                self.hear(heard).await
            }
            Step::Pushed((id, exit, end)) => {
                self.pushing = None;
                // Nothing was read as long as too much waited.
                self.heard_at = Instant::now();
                self.pushed(id, exit, end).await?;
                match self.waiting.pop_front() {
                    Some((id, push)) => self.push(id, push).await,
                    None => Ok(()),
                }
            }
            Step::Grown => {
                self.tail.borrow_and_update();
                Ok(())
            }
            Step::Send(pull) => self.send_chunk(pull).await,
        }
    }

    /// Returns a pull that has something to get.
    fn behind(&self) -> Option<usize> {
        let head = self.tail.borrow().head;
        let is_behind = |pull: &Going| {
            !pull.has_begun || !pull.read.is_empty() || pull.sent < head.max(pull.seen)
        };
        self.pulls.iter().position(is_behind)
    }

    async fn hear(&mut self, heard: Option<Result<Message, axum::Error>>) -> Result<(), Over> {
        let text = match heard {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Binary(_))) => return over("a binary frame"),
            Some(Ok(Message::Close(_))) | None => return over("closed by the client"),
            Some(Err(error)) => return over(error),
        };
        let message = match ClientMessage::decode(&text) {
            Ok(message) => message,
            Err(error) => {
                let defect = error.to_string().into();
                self.say(&ServerMessage::Defect { defect }).await?;
                return over(error);
            }
        };
        match message {
            ClientMessage::Ping => self.send(PONG.into()).await,
            ClientMessage::Request(Request { id, call, .. }) => match call {
                Call::Pull(pull) => self.pull(id, &pull).await,
                Call::Push(push) if self.pushing.is_some() => {
                    self.waiting.push_back((id, push));
                    Ok(())
                }
                Call::Push(push) => self.push(id, push).await,
                Call::Ping(_) => self.exit(id, unknown("NotHere", "this is for HTTP alone")).await,
            },
            ClientMessage::Interrupt { request_id } => {
                let before = self.pulls.len();
                self.pulls.retain(|pull| pull.id != request_id);
                if self.pulls.len() == before {
                    return Ok(());
                }
                self.exit(request_id, Exit::Failure { cause: Cause::Interrupt }).await
            }
            // The socket's own flow control does for us.
            ClientMessage::Ack { .. } | ClientMessage::Eof => Ok(()),
        }
    }

    async fn pull(&mut self, id: RequestId, pull: &Pull) -> Result<(), Over> {
        let sent = match log::start(&self.shared, &self.caller, pull) {
            Ok(sent) => sent,
            Err(exit) => return self.exit(id, exit).await,
        };
        if self.pulls.len() >= MAX_PULLS || self.pulls.iter().any(|going| going.id == id) {
            return self.exit(id, unknown("TooManyPulls", "too many pulls at a time")).await;
        }
        let is_live = pull.live;
        let read = VecDeque::new();
        self.pulls.push(Going { id, is_live, sent, seen: sent, read, has_begun: false });
        Ok(())
    }

    async fn push(&mut self, id: RequestId, push: Push) -> Result<(), Over> {
        let request = match self.author.request(&self.shared, &self.caller, push) {
            Ok(Some(request)) => request,
            Ok(None) => {
                let value = Some(serde_json::json!({}));
                return self.exit(id, Exit::Success { value }).await;
            }
            Err(exit) => return self.exit(id, exit).await,
        };
        let (shared, store) = (Arc::clone(&self.shared), Arc::clone(&self.store));
        self.pushing = Some(Box::pin(async move {
            let (exit, end) = log::append(shared, store, request).await;
            (id, exit, end)
        }));
        Ok(())
    }

    /// Tells a client what became of its push; first come its own events, or those that were quicker, as
    /// LiveStore's own backend tells them first.
    async fn pushed(&mut self, id: RequestId, exit: Exit, end: GlobalSeqNum) -> Result<(), Over> {
        while let Some(pull) = self.pulls.iter().position(|pull| pull.is_live && pull.sent < end) {
            self.send_chunk(pull).await?;
        }
        self.exit(id, exit).await
    }

    /// Sends a pull the next chunk of what it does not have.
    async fn send_chunk(&mut self, at: usize) -> Result<(), Over> {
        if self.pulls[at].read.is_empty() {
            let recent = self.tail.borrow().recent.clone();
            let pull = &self.pulls[at];
            let recent = recent.filter(|recent| {
                pull.has_begun && recent.after <= pull.sent && pull.sent < recent.page.end.seq
            });
            let chunks = match recent {
                Some(recent) => {
                    log::cut(&recent.page, pull.sent, &self.shared.backend_id.to_string())
                }
                None => match log::chunks(&self.shared, &self.store, pull.sent).await {
                    Ok(chunks) => chunks,
                    Err(exit) => {
                        let id = self.pulls.remove(at).id;
                        return self.exit(id, exit).await;
                    }
                },
            };
            self.pulls[at].read.extend(chunks);
        }
        let pull = &mut self.pulls[at];
        let Some(Chunk { last, response }) = pull.read.pop_front() else { return Ok(()) };
        (pull.sent, pull.has_begun) = (pull.sent.max(last), true);
        if let PageInfo::MoreKnown { remaining } = response.page_info {
            pull.seen = last.plus(remaining);
        }
        let is_over = !pull.is_live && response.page_info == PageInfo::NoMore;
        let id = pull.id.clone();
        let message = ServerMessage::Chunk { request_id: id.clone(), values: vec![response] };
        self.say(&message).await?;
        if is_over {
            self.pulls.remove(at);
            self.exit(id, Exit::Success { value: None }).await?;
        }
        Ok(())
    }

    async fn exit(&mut self, request_id: RequestId, exit: Exit) -> Result<(), Over> {
        self.say(&ServerMessage::Exit { request_id, exit }).await
    }

    async fn say(&mut self, message: &ServerMessage) -> Result<(), Over> {
        self.send(message.encode().into()).await
    }

    async fn send(&mut self, text: Utf8Bytes) -> Result<(), Over> {
        match timeout(self.shared.timing.send, self.socket.send(Message::Text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => over(error),
            Err(_) => over("it takes no data"),
        }
    }
}

async fn outcome_of(pushing: &mut Option<Pushing>) -> (RequestId, Exit, GlobalSeqNum) {
    match pushing {
        Some(pushing) => pushing.await,
        None => pending().await,
    }
}
