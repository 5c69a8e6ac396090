//! The seam between a replica and whatever carries its messages to a backend.

use std::pin::Pin;
use std::sync::Arc;

use livestore_core::protocol::{ClientMessage, ProtocolError, ServerMessage};
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group};
use tokio::sync::mpsc;

use crate::QueryError;
pub use crate::replica::{Capabilities, PushLimits};

/// A future that can be kept and sent.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Messages that may wait in each direction of a [`Link`].
const LINK_CAPACITY: usize = 4;

/// Connects a store to a backend; the WebSocket client of our own server is one.
///
/// A provider translates between the messages of [`livestore_core::protocol`] and what its backend
/// understands. It keeps no state that outlives a connection: what was sent and answered is the
/// replica's business, and so is connecting again after a pause.
///
/// A `welcome` is the last word on what this client has pushed before: once it is delivered, no push
/// of an earlier conversation may be taken any more. Else the replica may give up a group that the
/// backend then takes, and count it as confirmed after all when it comes back.
pub trait SyncProvider: Send + Sync + 'static {
    /// Carries one conversation, from connecting until one side ends it.
    ///
    /// [`Link::split`] gives both directions. Call [`Delivery::opened`] once the backend can be
    /// talked to; then take what the replica says from [`Outgoing::next`] and hand what the backend
    /// says to [`Delivery::deliver`].
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>>;

    /// Names the backend in messages and logs, without secrets.
    fn describe(&self) -> String;

    /// Says what the backend is able to do; by default what our own server is.
    fn capabilities(&self) -> Capabilities {
        Capabilities::OURS
    }
}

/// Returns an address without what may hold a secret: user, password and query.
///
/// Of one that was mistyped, so that nobody can tell which part is which, nothing is left but `…`.
///
/// ```
/// use livestore::sync_provider::address_without_secrets;
///
/// let shown = address_without_secrets("wss://me:password@example.com/sync?token=secret");
/// assert_eq!(shown, "wss://example.com/sync");
/// ```
pub fn address_without_secrets(address: &str) -> String {
    let is_scheme = |scheme: &str| matches!(scheme, "ws" | "wss" | "http" | "https");
    let parts = address.split_once("://").filter(|(scheme, _)| is_scheme(scheme));
    let Some((scheme, rest)) = parts else { return "…".into() };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password that has one of these as it is goes on until there.
    if path.contains('@') {
        return format!("{scheme}://…");
    }
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = path.split(['?', '#']).next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Gives the tokens that a provider shows to its backend.
///
/// A function from [`TokenRequest`] to a future is one already.
pub trait TokenSource: Send + Sync + 'static {
    /// Returns a token for a conversation that is about to begin.
    fn token(&self, request: TokenRequest) -> BoxFuture<'_, Result<String, TokenError>>;
}

impl<F, R> TokenSource for F
where
    F: Fn(TokenRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Result<String, TokenError>> + Send + 'static,
{
    fn token(&self, request: TokenRequest) -> BoxFuture<'_, Result<String, TokenError>> {
        Box::pin(self(request))
    }
}

/// Why a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenRequest {
    /// To connect; the last token may do, if there was one.
    Connect,
    /// The backend takes the last token for expired, or does not know it; another one is needed.
    Renew,
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none now, but there may be one in a while: whoever makes them cannot be reached.
    #[error("there is no token now: {reason}")]
    Unavailable {
        /// What hinders it.
        reason: String,
    },
    /// There will be none until the user does something, such as signing in.
    #[error("{reason}")]
    SignedOut {
        /// What the app is told.
        reason: String,
    },
}

/// Why a conversation ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The backend could not be reached, or the connection broke.
    #[error("{backend} cannot be reached: {reason}")]
    Offline {
        /// The backend.
        backend: String,
        /// What the network said.
        reason: String,
    },
    /// The backend said something that is not in the protocol.
    #[error("{backend} does not speak our protocol: {source}")]
    Protocol {
        /// The backend.
        backend: String,
        /// What was wrong with its message.
        source: ProtocolError,
    },
    /// There is no token to show now; it is asked for again, after a pause.
    #[error("{backend} wants a token, and {reason}")]
    TokenUnavailable {
        /// The backend.
        backend: String,
        /// Why not.
        reason: String,
    },
    /// There is no token to show until somebody signs in; syncing stops.
    #[error("{reason}")]
    SignedOut {
        /// What the app is told.
        reason: String,
    },
    /// The backend failed, or does what none may do.
    #[error("{backend} failed: {reason}")]
    Backend {
        /// The backend.
        backend: String,
        /// What it said or did.
        reason: String,
    },
    /// The backend's address cannot be used.
    #[error("{address:?} is not a usable address: {reason}")]
    Address {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
    },
}

/// What a provider reports.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// The backend can be talked to.
    Opened,
    /// The last question takes long.
    Working,
    /// The backend says something.
    Message(ServerMessage),
}

/// A provider's end of the conversation with the replica.
pub struct Link {
    outgoing: Outgoing,
    delivery: Delivery,
    log: Arc<dyn OwnLog>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// The messages from the replica; one half of a [`Link`].
#[derive(Debug)]
pub struct Outgoing(mpsc::Receiver<ClientMessage>);

/// The way to the replica; one half of a [`Link`].
#[derive(Debug, Clone)]
pub struct Delivery(mpsc::Sender<Incoming>);

/// The replica has ended the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has ended the conversation")]
pub struct LinkClosed;

impl Outgoing {
    /// Waits for the replica's next message; `None` when it has ended the conversation.
    pub async fn next(&mut self) -> Option<ClientMessage> {
        self.0.recv().await
    }
}

impl Delivery {
    /// Tells the replica that the backend can be talked to.
    pub async fn opened(&self) -> Result<(), LinkClosed> {
        self.0.send(Incoming::Opened).await.map_err(|_| LinkClosed)
    }

    /// Waits until the store has ended the conversation.
    pub async fn closed(&self) {
        self.0.closed().await;
    }

    /// Tells the replica that its last question takes long, so that it does not give up waiting.
    pub async fn working(&self) -> Result<(), LinkClosed> {
        self.0.send(Incoming::Working).await.map_err(|_| LinkClosed)
    }

    /// Hands a message to the replica; waits while it is busy, so nothing piles up.
    pub async fn deliver(&self, message: ServerMessage) -> Result<(), LinkClosed> {
        self.0.send(Incoming::Message(message)).await.map_err(|_| LinkClosed)
    }
}

impl Link {
    /// Separates the two directions, so that both can be waited for at once.
    pub fn split(self) -> (Outgoing, Delivery) {
        (self.outgoing, self.delivery)
    }

    /// Returns the store's own log, for backends that keep no ids.
    pub fn log(&self) -> Arc<dyn OwnLog> {
        Arc::clone(&self.log)
    }
}

/// What a store knows of its own log; providers of backends that keep no ids compare it with theirs.
pub trait OwnLog: Send + Sync {
    /// Returns the groups that were pushed on top of the log's end and may be in the backend's log, right
    /// behind it; not more than one push. Nothing if a power cut could still take them, or what is known of
    /// the attempt: ask again in a moment then.
    ///
    /// They are known for providers whose [`Capabilities::keeps_ids`] is false.
    fn attempted(&self) -> Result<Option<Vec<Group>>, QueryError>;

    /// Returns the confirmed groups behind a position, in order: some of them, if there are many.
    fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, QueryError>;

    /// Returns the confirmed group that ends at a position, if one does.
    fn confirmed_until(&self, last: GlobalSeqNum) -> Result<Option<ConfirmedGroup>, QueryError>;
}

/// The log of somebody who has none.
#[derive(Debug, Clone, Copy)]
pub struct NoLog;

impl OwnLog for NoLog {
    fn attempted(&self) -> Result<Option<Vec<Group>>, QueryError> {
        Ok(Some(Vec::new()))
    }

    fn confirmed_after(&self, _: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, QueryError> {
        Ok(Vec::new())
    }

    fn confirmed_until(&self, _: GlobalSeqNum) -> Result<Option<ConfirmedGroup>, QueryError> {
        Ok(None)
    }
}

/// The end of a [`Link`] that speaks for a store.
///
/// Stores have one of their own; this is for what talks to a backend without being one, such as an
/// export. Dropping it ends the conversation.
#[derive(Debug)]
pub struct StoreEnd {
    pub(crate) outgoing: mpsc::Sender<ClientMessage>,
    pub(crate) incoming: mpsc::Receiver<Incoming>,
}

impl StoreEnd {
    /// Says something to the provider.
    pub async fn send(&self, message: ClientMessage) -> Result<(), LinkClosed> {
        self.outgoing.send(message).await.map_err(|_| LinkClosed)
    }

    /// Waits for what the provider has to say; `None` when it has ended the conversation.
    pub async fn next(&mut self) -> Option<Incoming> {
        self.incoming.recv().await
    }
}

/// Makes the two ends of one conversation, about a log that is there already or not.
pub fn link(log: Arc<dyn OwnLog>) -> (Link, StoreEnd) {
    let (to_provider, outgoing) = mpsc::channel(LINK_CAPACITY);
    let (to_replica, incoming) = mpsc::channel(LINK_CAPACITY);
    let link = Link { outgoing: Outgoing(outgoing), delivery: Delivery(to_replica), log };
    (link, StoreEnd { outgoing: to_provider, incoming })
}
