//! Syncs a store with the LiveStore server over WebSocket.
//!
//! The protocol's messages are carried as they are, one text frame each; `docs/protocol.md`
//! specifies them. What is said, and when to connect again, is the store's business. It runs on
//! tokio, and in WebAssembly on the WebSocket that JavaScript has.

#![forbid(unsafe_code)]

/// The README's code, as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// The guide to authentication, as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/auth.md")]
struct Auth;

mod socket;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use livestore::protocol::{
    Authenticate, ClientMessage, Goodbye, GoodbyeReason, ServerMessage, Token,
};
use livestore::sync_provider::{
    BoxFuture, Link, Outgoing, TokenError, TokenRequest, TokenSource, address_without_secrets,
};
use livestore::{SyncError, SyncProvider};

use socket::{Broken, Socket, timeout};

/// How long the app may take for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// A [`SyncProvider`] for the LiveStore server.
#[derive(Clone)]
pub struct WsSync {
    url: String,
    tokens: Option<Arc<dyn TokenSource>>,
    /// True if the server did not want the last token.
    needs_other_token: Arc<AtomicBool>,
}

impl fmt::Debug for WsSync {
    /// Shows what [`SyncProvider::describe`] shows, since the address may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WsSync").field(&self.describe()).finish()
    }
}

impl WsSync {
    /// Makes a provider for a server's address, such as `wss://sync.example.com/sync`.
    ///
    /// An address without a path gets `/sync`.
    pub fn new(url: impl Into<String>) -> Self {
        let mut url = url.into();
        let host = url.find("://").map_or(0, |at| at + 3);
        let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
        if !url[end..].starts_with('/') {
            url.insert_str(end, "/sync");
        }
        Self { url, tokens: None, needs_other_token: Arc::default() }
    }

    /// Shows the server a token at the beginning of each conversation.
    ///
    /// The source is asked whenever the store connects, and is told if the server did not want the last
    /// token any more. If the server does not want the one that it gives then either, syncing stops. It
    /// may take up to 30 seconds.
    ///
    /// ```
    /// use livestore::sync_provider::{TokenError, TokenRequest};
    /// use livestore_sync_ws::WsSync;
    ///
    /// # async fn sign_in_anew() -> Option<String> { None }
    /// let sync = WsSync::new("ws://127.0.0.1:7433").with_tokens(|request| async move {
    ///     match request {
    ///         TokenRequest::Renew => sign_in_anew().await.ok_or_else(|| TokenError::SignedOut {
    ///             reason: "sign in again to sync".into(),
    ///         }),
    ///         _ => Ok("the token that the app has kept".into()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn with_tokens(mut self, tokens: impl TokenSource) -> Self {
        self.tokens = Some(Arc::new(tokens));
        self
    }

    /// Asks for the token to show, if one is to be shown.
    async fn token(&self, request: TokenRequest) -> Result<Option<Token>, SyncError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let unavailable =
            |reason: String| SyncError::TokenUnavailable { backend: self.describe(), reason };
        match timeout(TOKEN_TIMEOUT, tokens.token(request)).await {
            Ok(Ok(token)) => {
                Token::new(token).map(Some).map_err(|error| unavailable(error.to_string()))
            }
            Ok(Err(TokenError::SignedOut { reason })) => Err(SyncError::SignedOut { reason }),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable(format!("there was none within {TOKEN_TIMEOUT:?}"))),
        }
    }

    /// Connects, and shows the token if there is one.
    async fn open(&self, request: TokenRequest) -> Result<Socket, SyncError> {
        let token = self.token(request).await?;
        if !self.url.starts_with("wss://") && !self.url.starts_with("ws://") {
            return Err(self.ended(Broken::Address("it has to start with wss:// or ws://".into())));
        }
        let opened = Socket::connect(&self.url).await;
        let mut socket = opened.map_err(|broken| self.ended(broken))?;
        if let Some(token) = token {
            let message = ClientMessage::Authenticate(Authenticate { token });
            self.send(&mut socket, message).await?;
        }
        Ok(socket)
    }

    /// Says how a conversation ended whose socket is no more.
    fn ended(&self, broken: Broken) -> SyncError {
        match broken {
            Broken::Address(reason) => SyncError::Address { address: self.describe(), reason },
            Broken::Offline(reason) => SyncError::Offline { backend: self.describe(), reason },
        }
    }

    async fn send(&self, socket: &mut Socket, message: ClientMessage) -> Result<(), SyncError> {
        socket.send(message.encode()).await.map_err(|broken| self.ended(broken))
    }

    /// Takes note of what a message says about the token that was shown, and returns what the store
    /// is to be told.
    fn judge(&self, message: ServerMessage, request: TokenRequest) -> ServerMessage {
        match message {
            ServerMessage::Welcome(_) => self.needs_other_token.store(false, Ordering::Relaxed),
            ServerMessage::Goodbye(Goodbye { reason: GoodbyeReason::AuthExpired, .. }) => {
                self.needs_other_token.store(true, Ordering::Relaxed);
            }
            ServerMessage::Goodbye(Goodbye { reason: GoodbyeReason::Unauthenticated, message }) => {
                self.needs_other_token.store(true, Ordering::Relaxed);
                // The app has not been told yet that the token is no good: the store comes back, with
                // another one. If that is refused as well, it stops.
                let may_have_another = self.tokens.is_some() && request == TokenRequest::Connect;
                let reason = if may_have_another {
                    GoodbyeReason::AuthExpired
                } else {
                    GoodbyeReason::Unauthenticated
                };
                return ServerMessage::Goodbye(Goodbye { reason, message });
            }
            _ => {}
        }
        message
    }

    async fn converse(&self, link: Link) -> Result<(), SyncError> {
        let (mut outgoing, delivery): (Outgoing, _) = link.split();
        let request = if self.needs_other_token.load(Ordering::Relaxed) {
            TokenRequest::Renew
        } else {
            TokenRequest::Connect
        };
        let mut socket = tokio::select! {
            biased;
            // Nobody waits for it any more: no token is shown, and nothing connects behind a store's back.
            () = delivery.closed() => return Ok(()),
            opened = self.open(request) => opened?,
        };
        if delivery.opened().await.is_err() {
            return Ok(());
        }
        loop {
            tokio::select! {
                message = outgoing.next() => {
                    let Some(message) = message else {
                        socket.close().await;
                        return Ok(());
                    };
                    self.send(&mut socket, message).await?;
                }
                frame = socket.receive() => {
                    let Some(text) = frame.map_err(|broken| self.ended(broken))? else {
                        return Ok(());
                    };
                    let message = ServerMessage::decode(&text).map_err(|source| {
                        SyncError::Protocol { backend: self.describe(), source }
                    })?;
                    if delivery.deliver(self.judge(message, request)).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl SyncProvider for WsSync {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        socket::boxed(self.converse(link))
    }

    fn describe(&self) -> String {
        address_without_secrets(&self.url)
    }
}
