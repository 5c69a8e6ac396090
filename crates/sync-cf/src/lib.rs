//! Syncs a store with LiveStore's Cloudflare backend, `@livestore/sync-cf`, as it is.
//!
//! ```no_run
//! use livestore::MemoryAdapter;
//! use livestore_sync_cf::CfSync;
//!
//! let adapter = MemoryAdapter::new().sync(CfSync::new("wss://sync.example.com"));
//! ```
//!
//! Stores of LiveStore's own and of ours can share a log there. That backend knows neither groups nor
//! ids, which has consequences; `docs/livestore-compat.md` lists them.

#![forbid(unsafe_code)]

mod array;
mod compare;
mod conversation;
#[doc(hidden)]
pub mod fuzzing;
mod translate;
mod wire;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livestore::sync_provider::{
    BoxFuture, Capabilities, Link, PushLimits, TokenError, TokenRequest, TokenSource,
    address_without_secrets,
};
use livestore::{SyncError, SyncProvider};
use livestore_cf_protocol::{MAX_BYTES, MAX_EVENTS, SyncQuery, Transport};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::wire::Stop;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the app may take for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one message may take to leave.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the backend may take for an answer, or for the next piece of one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a backend is asked for news over HTTP, as LiveStore's client does.
const POLL_EVERY: Duration = Duration::from_secs(5);

/// Bytes that an event has in a chunk beside its payload and name: ids with everything escaped,
/// positions, a date and the names of all that.
const EVENT_OVERHEAD: usize = 1_024;

/// A [`SyncProvider`] for LiveStore's Cloudflare backend.
#[derive(Clone)]
pub struct CfSync {
    url: String,
    payload: Option<Value>,
    tokens: Option<Arc<dyn TokenSource>>,
    poll_every: Duration,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// What the last conversation about a store has shown.
#[derive(Debug, Clone, Default)]
struct Known {
    /// What the backend calls itself.
    name: Option<String>,
    /// True if the backend did not want the last token.
    needs_other_token: bool,
}

impl fmt::Debug for CfSync {
    /// Shows what [`SyncProvider::describe`] shows, since the rest may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CfSync").field(&self.describe()).finish()
    }
}

impl CfSync {
    /// Makes a provider for a backend's address.
    ///
    /// With `ws://` or `wss://` it talks over a WebSocket, with `http://` or `https://` it sends
    /// requests, and asks for news every five seconds. The address is the one that LiveStore's
    /// `makeWsSync` or `makeHttpSync` is given, without a query.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            payload: None,
            tokens: None,
            poll_every: POLL_EVERY,
            known: Arc::default(),
        }
    }

    /// Shows the backend something at the beginning of each conversation: LiveStore's `syncPayload`.
    ///
    /// It is part of the address that is asked for, as in LiveStore, so it shows in the logs of what
    /// stands between.
    #[must_use]
    pub fn with_payload(mut self, payload: Value) -> Self {
        self.payload = Some(payload);
        self
    }

    /// Shows the backend a token at the beginning of each conversation, as `authToken` of the payload.
    ///
    /// The source is asked whenever the store connects, and is told if the backend did not let it in
    /// with the last one. If it does not with the next one either, syncing stops.
    #[must_use]
    pub fn with_tokens(mut self, tokens: impl TokenSource) -> Self {
        self.tokens = Some(Arc::new(tokens));
        self
    }

    /// Sets how often a backend is asked for news over HTTP; every five seconds by default, and a hundred
    /// times a second at most.
    #[must_use]
    pub fn with_poll_interval(mut self, interval: Duration) -> Self {
        self.poll_every = interval.max(Duration::from_millis(10));
        self
    }

    fn poll_every(&self) -> Duration {
        self.poll_every
    }

    /// Tells which transport the address names, and whether it is a secure one.
    fn scheme(&self) -> Option<(Transport, bool)> {
        match self.url.split_once("://")?.0 {
            "ws" => Some((Transport::Ws, false)),
            "wss" => Some((Transport::Ws, true)),
            "http" => Some((Transport::Http, false)),
            "https" => Some((Transport::Http, true)),
            _ => None,
        }
    }

    fn is_secure(&self) -> bool {
        self.scheme().is_some_and(|(_, is_secure)| is_secure)
    }

    /// Makes what the address is asked with, for a store.
    async fn query(&self, store_id: &str, request: TokenRequest) -> Result<SyncQuery, SyncError> {
        let Some((transport, _)) = self.scheme() else {
            return Err(self.unusable("it has to start with wss://, ws://, https:// or http://"));
        };
        if self.url.contains(['?', '#']) {
            return Err(self.unusable("it must not have a query, which is made of the payload"));
        }
        let mut payload = self.payload.clone();
        if let Some(token) = self.token(request).await? {
            match payload.get_or_insert_with(|| json!({})) {
                Value::Object(members) => _ = members.insert("authToken".into(), token.into()),
                _ => return Err(self.unusable("a payload beside a token has to be an object")),
            }
        }
        Ok(SyncQuery { store_id: store_id.into(), transport, payload })
    }

    fn url_for(&self, query: &SyncQuery) -> String {
        let path = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let slash = if path.contains('/') { "" } else { "/" };
        format!("{}{slash}?{}", self.url, query.encode())
    }

    async fn token(&self, request: TokenRequest) -> Result<Option<String>, SyncError> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let unavailable =
            |reason: String| SyncError::TokenUnavailable { backend: self.describe(), reason };
        match timeout(TOKEN_TIMEOUT, tokens.token(request)).await {
            Ok(Ok(token)) => Ok(Some(token)),
            Ok(Err(TokenError::SignedOut { reason })) => Err(SyncError::SignedOut { reason }),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable(format!("there was none within {TOKEN_TIMEOUT:?}"))),
        }
    }

    /// Says what kind of token is needed now.
    fn token_request(&self, store_id: &str) -> TokenRequest {
        if self.known(store_id).needs_other_token {
            TokenRequest::Renew
        } else {
            TokenRequest::Connect
        }
    }

    fn known(&self, store_id: &str) -> Known {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(store_id).cloned().unwrap_or_default()
    }

    /// Remembers something of a store for the next conversation.
    fn learn(&self, store_id: &str, learn: impl FnOnce(&mut Known)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        learn(known.entry(store_id.into()).or_default());
    }

    fn offline(&self, reason: impl fmt::Display) -> SyncError {
        SyncError::Offline { backend: self.describe(), reason: reason.to_string() }
    }

    fn failed(&self, reason: &str) -> SyncError {
        SyncError::Backend { backend: self.describe(), reason: reason.into() }
    }

    fn unusable(&self, reason: &str) -> SyncError {
        SyncError::Address { address: self.describe(), reason: reason.into() }
    }

    /// Tells what an answer means that is none of the protocol's.
    fn refused(&self, status: u16, said: &str) -> Stop {
        let said = wire::cut(said);
        match status {
            // What it answers if the app's own check of the payload throws is 400.
            400 | 401 | 403 => Stop::NotLetIn(said),
            404 => Stop::Sync(self.failed(&format!("there is no backend at this address: {said}"))),
            408 | 425 | 429 | 500..=599 => {
                Stop::Sync(self.offline(format!("it answers with {status}: {said}")))
            }
            _ => Stop::Sync(self.failed(&format!("it answers with {status}: {said}"))),
        }
    }
}

impl SyncProvider for CfSync {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        Box::pin(conversation::converse(self, link))
    }

    fn describe(&self) -> String {
        address_without_secrets(&self.url)
    }

    fn capabilities(&self) -> Capabilities {
        let bytes = MAX_BYTES - EVENT_OVERHEAD;
        Capabilities::without_ids(PushLimits::new(MAX_EVENTS, bytes, EVENT_OVERHEAD))
    }
}
