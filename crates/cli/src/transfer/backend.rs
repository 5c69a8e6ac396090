//! A backend's log, read and written through the provider of a store.

use std::sync::Arc;
use std::time::Duration;

use livestore::inspect::Progress;
use livestore::protocol::{
    ClientMessage, Goodbye, GroupRejected, Hello, PROTOCOL_VERSION, Page, Push, ServerMessage,
};
use livestore::sync_provider::{Incoming, NoLog, PushLimits, StoreEnd, link};
use livestore::{ClientId, StoreId, SyncError, SyncProvider};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, LogPosition};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::output::Outcome;

/// How often it is looked whether somebody has pressed Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// A conversation about one log, from its beginning.
pub(crate) struct Backend {
    end: StoreEnd,
    provider: Option<JoinHandle<Result<(), SyncError>>>,
    name: String,
    patience: Duration,
    progress: Progress,
    limits: PushLimits,
    keeps_ids: bool,
    /// Where the log ended when the conversation began.
    head: GlobalSeqNum,
    /// Up to where it was read or written.
    position: LogPosition,
    next_request: u64,
}

impl Backend {
    /// Begins to talk to a backend.
    pub(crate) async fn connect(
        provider: Arc<dyn SyncProvider>,
        store_id: &StoreId,
        patience: Duration,
        progress: &Progress,
    ) -> Outcome<Self> {
        let (name, capabilities) = (provider.describe(), provider.capabilities());
        let (link, end) = link(Arc::new(NoLog));
        let provider = tokio::spawn(async move { provider.connect(link).await });
        let (head, position) = (GlobalSeqNum::ROOT, LogPosition::ROOT);
        let mut backend = Self {
            end,
            provider: Some(provider),
            name,
            patience,
            progress: progress.clone(),
            limits: capabilities.push,
            keeps_ids: capabilities.keeps_ids,
            head,
            position,
            next_request: 1,
        };
        let Incoming::Opened = backend.next().await? else {
            return Err(format!("{} speaks before it is asked", backend.name).into());
        };
        let hello = ClientMessage::Hello(Hello {
            versions: vec![PROTOCOL_VERSION],
            store_id: store_id.clone(),
            client_id: ClientId::new(format!("livestore-transfer-{}", livestore::new_id()))?,
            cursor: None,
            attempted: Vec::new(),
        });
        if backend.end.send(hello).await.is_err() {
            return Err(backend.how_it_ended().await);
        }
        match backend.message().await? {
            ServerMessage::Welcome(welcome) => backend.head = welcome.head,
            _ => return Err(backend.unexpected()),
        }
        Ok(backend)
    }

    pub(crate) fn head(&self) -> GlobalSeqNum {
        self.head
    }

    pub(crate) fn position(&self) -> GlobalSeqNum {
        self.position.seq
    }

    /// Reads the next groups of the log as it was in the beginning; none at its end.
    pub(crate) async fn read(&mut self) -> Outcome<Vec<ConfirmedGroup>> {
        if self.position.seq >= self.head {
            return Ok(Vec::new());
        }
        let ServerMessage::Page(page) = self.message().await? else {
            return Err(self.unexpected());
        };
        Ok(self.take(page))
    }

    fn take(&mut self, page: Page) -> Vec<ConfirmedGroup> {
        self.position = page.end;
        if !self.keeps_ids {
            // Where its log ended was an estimate: it counts events, and may have holes.
            self.head = self.head.max(page.head);
        }
        page.groups
    }

    /// Appends groups to the log, all of which has been read.
    pub(crate) async fn append(&mut self, groups: Vec<Group>) -> Outcome {
        let request = self.next_request;
        self.next_request += 1;
        let push = Push { request, base: self.position.seq, groups };
        if self.end.send(ClientMessage::Push(push)).await.is_err() {
            return Err(self.how_it_ended().await);
        }
        let before = self.position.seq;
        loop {
            match self.message().await? {
                ServerMessage::PushAccepted(accepted) if accepted.first == before.next() => {
                    self.position = accepted.end;
                    return Ok(());
                }
                // A backend may show what it has taken before it says so.
                ServerMessage::Page(page) => _ = self.take(page),
                ServerMessage::GroupRejected(GroupRejected { group, reason, .. }) => {
                    let name = &self.name;
                    return Err(format!("{name} refuses group {group}: {reason:?}").into());
                }
                ServerMessage::ServerAhead(_) | ServerMessage::AlreadyAccepted(_) => {
                    let message = format!("somebody else writes to {} at the same time", self.name);
                    return Err(message.into());
                }
                _ => return Err(self.unexpected()),
            }
        }
    }

    /// Tells whether one more group fits a push.
    pub(crate) fn has_room(&self, groups: &[Group], more: &Group) -> bool {
        self.limits.fitting(groups.iter().chain([more])) > groups.len()
    }

    /// Cuts a group into what the backend takes at once.
    pub(crate) fn fit(&self, group: Group) -> Outcome<Vec<Group>> {
        if self.limits.fits(&group) {
            return Ok(vec![group]);
        }
        let make = |events: &[livestore_core::Event]| {
            let (client, session) = (group.client_id().clone(), group.session_id().clone());
            Group::new(group.id(), client, session, events.to_vec())
        };
        let mut pieces: Vec<Group> = Vec::new();
        let mut open: Vec<livestore_core::Event> = Vec::new();
        for event in group.events() {
            open.push(event.clone());
            if self.limits.fits(&make(&open)?) {
                continue;
            }
            let last = open.pop().into_iter().collect::<Vec<_>>();
            if !self.limits.fits(&make(&last)?) {
                let (name, bytes) = (&event.name, event.args.as_str().len());
                let message =
                    format!("event {name} of {bytes} bytes is more than {} takes", self.name);
                return Err(message.into());
            }
            pieces.push(make(&open)?);
            open = last;
        }
        pieces.push(make(&open)?);
        Ok(pieces)
    }

    /// Ends the conversation, after what was said has left.
    pub(crate) async fn close(mut self) {
        let provider = self.provider.take();
        drop(self.end);
        if let Some(provider) = provider {
            let _ = timeout(self.patience, provider).await;
        }
    }

    async fn next(&mut self) -> Outcome<Incoming> {
        let silent_at = Instant::now() + self.patience;
        while Instant::now() < silent_at {
            check(&self.progress)?;
            match timeout(TICK, self.end.next()).await {
                Ok(Some(incoming)) => return Ok(incoming),
                Ok(None) => return Err(self.how_it_ended().await),
                Err(_) => {}
            }
        }
        let (name, patience) = (&self.name, self.patience);
        Err(format!("{name} did not answer within {patience:?}").into())
    }

    async fn message(&mut self) -> Outcome<ServerMessage> {
        loop {
            match self.next().await? {
                Incoming::Message(ServerMessage::Goodbye(Goodbye { message, .. })) => {
                    return Err(format!("{} said goodbye: {message}", self.name).into());
                }
                Incoming::Message(message) => return Ok(message),
                Incoming::Working => {}
                _ => return Err(self.unexpected()),
            }
        }
    }

    async fn how_it_ended(&mut self) -> Box<dyn std::error::Error> {
        match self.provider.take() {
            Some(provider) => match provider.await {
                Ok(Err(error)) => error.into(),
                Ok(Ok(())) => format!("{} hung up", self.name).into(),
                Err(error) => error.into(),
            },
            None => format!("{} hung up", self.name).into(),
        }
    }

    fn unexpected(&self) -> Box<dyn std::error::Error> {
        format!("{} answered something else than was asked", self.name).into()
    }
}

/// Fails if somebody has pressed Ctrl-C.
pub(crate) fn check(progress: &Progress) -> Result<(), Interrupted> {
    if progress.is_cancelled() { Err(Interrupted) } else { Ok(()) }
}

/// The user has had enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}
