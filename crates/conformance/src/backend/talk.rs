//! One conversation with a backend, message by message.

use std::sync::Arc;
use std::time::Duration;

use livestore::QueryError;
use livestore::protocol::{
    ClientMessage, Goodbye, GroupPosition, GroupRejected, Hello, Locate, Located, PROTOCOL_VERSION,
    Page, Push, PushAccepted, ServerMessage, Welcome,
};
use livestore::sync_provider::{Incoming, OwnLog, StoreEnd, link};
use livestore::{SyncError, SyncProvider};
use livestore_core::{
    BackendId, ClientId, ConfirmedGroup, Cursor, GlobalSeqNum, Group, LogPosition, StoreId,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::report::{Case, Unmet, cut, failed};

/// What a client has of a log when it comes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    pub(crate) confirmed: Vec<ConfirmedGroup>,
    pub(crate) attempted: Vec<Group>,
}

impl OwnLog for Own {
    fn attempted(&self) -> Result<Option<Vec<Group>>, QueryError> {
        Ok(Some(self.attempted.clone()))
    }

    fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, QueryError> {
        let behind = self.confirmed.iter().filter(|group| group.first > after);
        Ok(behind.cloned().collect())
    }

    fn confirmed_until(&self, last: GlobalSeqNum) -> Result<Option<ConfirmedGroup>, QueryError> {
        Ok(self.confirmed.iter().find(|group| group.last() == last).cloned())
    }
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted,
    Already(Vec<GroupPosition>),
    Ahead,
    Rejected(GroupRejected),
}

/// A conversation that has been opened.
pub(crate) struct Talk {
    end: StoreEnd,
    provider: JoinHandle<Result<(), SyncError>>,
    patience: Duration,
    store_id: StoreId,
    client_id: ClientId,
    /// Whose log it is.
    pub(crate) backend_id: BackendId,
    /// Up to where the log was shown, or is known.
    pub(crate) position: LogPosition,
    /// What was shown of it.
    pub(crate) log: Vec<ConfirmedGroup>,
    next_request: u64,
}

impl Talk {
    /// Connects, and says nothing yet.
    pub(crate) async fn connect(
        provider: Arc<dyn SyncProvider>,
        patience: Duration,
        store_id: &StoreId,
        client_id: &ClientId,
        own: Own,
    ) -> Result<Self, Unmet> {
        let (link, end) = link(Arc::new(own));
        let provider = tokio::spawn(async move { provider.connect(link).await });
        let mut talk = Self {
            end,
            provider,
            patience,
            store_id: store_id.clone(),
            client_id: client_id.clone(),
            backend_id: BackendId::from_bytes([0; 16]),
            position: LogPosition::ROOT,
            log: Vec::new(),
            next_request: 1,
        };
        match talk.incoming().await? {
            Incoming::Opened => Ok(talk),
            other => failed(format!("it says {} before it says that it is there", cut(&other))),
        }
    }

    /// Says hello, and waits for the welcome.
    pub(crate) async fn greet(
        &mut self,
        cursor: Option<Cursor>,
        attempted: &[Group],
    ) -> Result<Welcome, Unmet> {
        self.hello(cursor, attempted).await?;
        match self.message().await? {
            ServerMessage::Welcome(welcome) => {
                self.backend_id = welcome.backend_id;
                Ok(welcome)
            }
            other => failed(format!("a hello was answered with {}", cut(&other))),
        }
    }

    pub(crate) async fn hello(&mut self, cursor: Option<Cursor>, attempted: &[Group]) -> Case {
        self.position = cursor.map_or(LogPosition::ROOT, |cursor| cursor.position);
        let hello = ClientMessage::Hello(Hello {
            versions: vec![PROTOCOL_VERSION],
            store_id: self.store_id.clone(),
            client_id: self.client_id.clone(),
            cursor,
            attempted: attempted.iter().map(Group::id).collect(),
        });
        self.say(hello).await
    }

    pub(crate) fn cursor(&self) -> Cursor {
        Cursor { backend_id: self.backend_id, position: self.position }
    }

    pub(crate) async fn locate(&mut self, positions: Vec<LogPosition>) -> Result<Located, Unmet> {
        let locate = ClientMessage::Locate(Locate {
            versions: vec![PROTOCOL_VERSION],
            store_id: self.store_id.clone(),
            client_id: self.client_id.clone(),
            positions,
        });
        self.say(locate).await?;
        match self.message().await? {
            ServerMessage::Located(located) => Ok(located),
            other => failed(format!("a question was answered with {}", cut(&other))),
        }
    }

    /// Pushes groups on top of what is known, and waits for what comes of it.
    pub(crate) async fn push(&mut self, groups: &[Group]) -> Result<Answer, Unmet> {
        self.push_at(self.position.seq, groups).await
    }

    pub(crate) async fn push_at(
        &mut self,
        base: GlobalSeqNum,
        groups: &[Group],
    ) -> Result<Answer, Unmet> {
        let request = self.send_push(base, groups).await?;
        loop {
            match self.message().await? {
                ServerMessage::PushAccepted(accepted) if accepted.request == request => {
                    self.accepted(base, groups, accepted)?;
                    return Ok(Answer::Accepted);
                }
                ServerMessage::AlreadyAccepted(already) if already.request == request => {
                    return Ok(Answer::Already(already.groups));
                }
                ServerMessage::ServerAhead(ahead) if ahead.request == request => {
                    if let Some(page) = ahead.missing {
                        self.show(page)?;
                    }
                    return Ok(Answer::Ahead);
                }
                ServerMessage::GroupRejected(rejected) if rejected.request == request => {
                    return Ok(Answer::Rejected(rejected));
                }
                ServerMessage::Page(page) => self.show(page)?,
                other => return failed(format!("a push was answered with {}", cut(&other))),
            }
        }
    }

    /// Pushes without waiting for what comes of it.
    pub(crate) async fn send_push(
        &mut self,
        base: GlobalSeqNum,
        groups: &[Group],
    ) -> Result<u64, Unmet> {
        let request = self.next_request;
        self.next_request += 1;
        let push = Push { request, base, groups: groups.to_vec() };
        self.say(ClientMessage::Push(push)).await?;
        Ok(request)
    }

    /// Takes note of what was accepted; pages may have told it before.
    fn accepted(&mut self, base: GlobalSeqNum, groups: &[Group], accepted: PushAccepted) -> Case {
        if accepted.first != base.next() {
            let first = accepted.first;
            return failed(format!("a push on top of {base} was accepted at {first}"));
        }
        let events: u64 = groups.iter().map(Group::event_count).sum();
        if accepted.end.seq != base.plus(events) {
            let end = accepted.end.seq;
            return failed(format!("{events} events on top of {base} were accepted up to {end}"));
        }
        if self.position.seq == base {
            let end = crate::events::after(self.position, groups);
            if end != accepted.end {
                return failed("the log's hash after a push is not what the groups lead to");
            }
            self.log.extend(crate::events::placed(base, groups));
            self.position = end;
        }
        Ok(())
    }

    /// Takes a page: it has to continue what is here.
    fn show(&mut self, page: Page) -> Case {
        if let Err(error) = page.check() {
            return failed(format!("it sends a page that cannot be: {error}"));
        }
        for confirmed in page.groups {
            if confirmed.last() <= self.position.seq {
                continue;
            }
            if confirmed.first != self.position.seq.next() {
                let (first, after) = (confirmed.first, self.position.seq);
                return failed(format!("a page goes on at {first}, after {after}"));
            }
            let hash = self.position.hash.extend(confirmed.group.content_hash());
            self.position = LogPosition { seq: confirmed.last(), hash };
            self.log.push(confirmed);
        }
        if page.end.seq == self.position.seq && page.end != self.position {
            return failed("the hash of a page is not what its groups lead to");
        }
        Ok(())
    }

    /// Waits until the log was shown up to a position.
    pub(crate) async fn pull_to(&mut self, seq: u64) -> Case {
        while self.position.seq.0 < seq {
            match self.message().await? {
                ServerMessage::Page(page) => self.show(page)?,
                other => return failed(format!("it says {} and not a page", cut(&other))),
            }
        }
        Ok(())
    }

    /// Waits for the end of the conversation, and returns why it ends.
    pub(crate) async fn goodbye(&mut self) -> Result<Goodbye, Unmet> {
        loop {
            match self.message().await? {
                ServerMessage::Goodbye(goodbye) => return Ok(goodbye),
                ServerMessage::Page(_) => {}
                other => return failed(format!("it says {} and not goodbye", cut(&other))),
            }
        }
    }

    async fn say(&mut self, message: ClientMessage) -> Case {
        match timeout(self.patience, self.end.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => self.over().await,
            Err(_) => failed("it takes no messages"),
        }
    }

    pub(crate) async fn message(&mut self) -> Result<ServerMessage, Unmet> {
        loop {
            match self.incoming().await? {
                Incoming::Message(message) => return Ok(message),
                Incoming::Working => {}
                _ => return failed("it says twice that it is there"),
            }
        }
    }

    async fn incoming(&mut self) -> Result<Incoming, Unmet> {
        match timeout(self.patience, self.end.next()).await {
            Ok(Some(incoming)) => Ok(incoming),
            Ok(None) => self.over().await,
            Err(_) => failed(format!("it says nothing for {:?}", self.patience)),
        }
    }

    async fn over<T>(&mut self) -> Result<T, Unmet> {
        match timeout(self.patience, &mut self.provider).await {
            Ok(Ok(Err(error))) => failed(error.to_string()),
            Ok(Ok(Ok(()))) => failed("it ended the conversation"),
            Ok(Err(error)) => failed(format!("the provider failed: {error}")),
            Err(_) => failed("the provider has let go of its link and does not end"),
        }
    }

    /// Ends the conversation: the provider has to come to its end soon.
    pub(crate) async fn close(self) -> Case {
        let Self { end, provider, patience, .. } = self;
        drop(end);
        let begin = Instant::now();
        match timeout(patience, provider).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => failed(format!("the provider failed: {error}")),
            Err(_) => {
                let took = begin.elapsed();
                failed(format!("the provider still runs {took:?} after the store has gone"))
            }
        }
    }
}
