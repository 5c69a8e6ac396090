//! Carrying messages between a store and the backend, as a network would.

use std::sync::{Arc, Mutex, PoisonError};

use livestore::protocol::{
    ClientMessage, Goodbye, GroupRejected, Refusal, RejectReason, ServerMessage,
};
use livestore::sync_provider::{BoxFuture, Delivery, Link, LinkClosed, Outgoing};
use livestore::{SyncError, SyncProvider};
use livestore_server::session::{
    Answer, Introduction, Opening, Session, storage_failed, superseded,
};
use livestore_server::{AppendRequest, StorageError};
use tokio::sync::watch;

use crate::backend::{Conversation, Shared};

/// Connects one store with a [`TestBackend`](crate::TestBackend); it goes to an adapter's `sync`.
#[derive(Debug)]
pub struct TestSync {
    backend: Arc<Shared>,
    line: Arc<Line>,
}

/// The connection of one client, and whether there may be one.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) is_online: watch::Sender<bool>,
    use_: Mutex<Use>,
}

/// What a line is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Nothing,
    /// A store would like to talk, but is offline.
    Waiting,
    Talking,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { is_online: watch::Sender::new(true), use_: Mutex::new(Use::Nothing) }
    }

    pub(crate) fn used_for(&self) -> Use {
        *self.use_.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, used_for: Use) {
        *self.use_.lock().unwrap_or_else(PoisonError::into_inner) = used_for;
    }
}

/// Sets the line free, however the conversation ends.
struct Free<'a>(&'a Line);

impl Drop for Free<'_> {
    fn drop(&mut self) {
        self.0.set(Use::Nothing);
    }
}

/// Why a conversation ends.
enum End {
    /// The store has ended it, or is told why it ends.
    Over,
    Goodbye(Goodbye),
}

impl From<LinkClosed> for End {
    fn from(_: LinkClosed) -> Self {
        Self::Over
    }
}

impl From<Goodbye> for End {
    fn from(goodbye: Goodbye) -> Self {
        Self::Goodbye(goodbye)
    }
}

impl From<StorageError> for End {
    fn from(_: StorageError) -> Self {
        Self::Goodbye(storage_failed())
    }
}

impl TestSync {
    pub(crate) fn new(backend: Arc<Shared>, line: Arc<Line>) -> Self {
        Self { backend, line }
    }

    async fn converse(&self, link: Link) -> Result<(), SyncError> {
        let (mut outgoing, delivery) = link.split();
        let mut is_online = self.line.is_online.subscribe();
        let _free = Free(&self.line);
        self.line.set(Use::Waiting);
        tokio::select! {
            _ = is_online.wait_for(|is_online| *is_online) => {}
            // Before it is told that the conversation is open, a store only ever ends it.
            _ = outgoing.next() => return Ok(()),
        }
        self.line.set(Use::Talking);
        let talk = async {
            let Err(end) = self.talk(&mut outgoing, &delivery).await;
            if let End::Goodbye(goodbye) = end {
                let _ = delivery.deliver(ServerMessage::Goodbye(goodbye)).await;
            }
        };
        tokio::select! {
            biased;
            _ = is_online.wait_for(|is_online| !*is_online) => {
                Err(SyncError::Offline { backend: self.describe(), reason: "it is offline".into() })
            }
            () = talk => Ok(()),
        }
    }

    async fn talk(
        &self,
        outgoing: &mut Outgoing,
        delivery: &Delivery,
    ) -> Result<std::convert::Infallible, End> {
        delivery.opened().await?;
        let mut introduction = Introduction::default();
        let hello = loop {
            match introduction.hear(heard(outgoing).await?)? {
                Opening::Hello(hello) => break hello,
                // Nobody is asked who they are here.
                Opening::Authenticate(_) => {}
                Opening::Locate(locate) => {
                    let question = Introduction::question(&locate);
                    let view = self.backend.view(&locate.store_id, &question)?;
                    let located = Introduction::locate(&locate, self.backend.id(), &view)?;
                    delivery.deliver(ServerMessage::Located(located)).await?;
                }
            }
        };
        let store_id = hello.store_id.clone();
        let conversation = self.backend.supersede(&store_id, &hello.client_id);
        // Before the first look at the log, so that nothing is appended unnoticed.
        let mut growth = self.backend.growth();
        let view = self.backend.view(&store_id, &Session::question(&hello))?;
        let (mut session, welcome) = Session::open(&hello, self.backend.id(), &view)?;
        delivery.deliver(ServerMessage::Welcome(welcome)).await?;
        loop {
            while let Some(after) = session.wants_page() {
                let Some(page) = self.backend.page(&store_id, after)? else { break };
                delivery.deliver(session.page(page)).await?;
            }
            tokio::select! {
                biased;
                message = heard(outgoing) => {
                    let answer = self.push(&conversation, &mut session, message?)?;
                    delivery.deliver(answer).await?;
                }
                // The sender is there as long as the backend is.
                _ = growth.changed() => {
                    if !self.backend.is_newest(&conversation) {
                        return Err(superseded().into());
                    }
                    session.grown(self.backend.head(&store_id)?);
                }
            }
        }
    }

    fn push(
        &self,
        conversation: &Conversation,
        session: &mut Session,
        message: ClientMessage,
    ) -> Result<ServerMessage, End> {
        let push = session.hear(message)?;
        let request = push.request;
        let store_id = conversation.store_id();
        let append: AppendRequest = session.push(store_id, push)?;
        if let Some((group, message)) = self.backend.refusal(&append)? {
            let reason = RejectReason::Refused(Refusal::new(message));
            return Ok(ServerMessage::GroupRejected(GroupRejected { request, group, reason }));
        }
        let outcome = self.backend.append(conversation, append)?.ok_or_else(superseded)?;
        Ok(match session.answer(request, outcome)? {
            Answer::Send(message) => message,
            Answer::Ahead => {
                let after = session.wants_page();
                let page = after.map(|after| self.backend.page(store_id, after)).transpose()?;
                session.ahead(request, page.flatten())
            }
        })
    }
}

async fn heard(outgoing: &mut Outgoing) -> Result<ClientMessage, End> {
    outgoing.next().await.ok_or(End::Over)
}

impl SyncProvider for TestSync {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        Box::pin(self.converse(link))
    }

    fn describe(&self) -> String {
        "the test backend".into()
    }
}
