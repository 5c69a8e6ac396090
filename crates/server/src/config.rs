//! What an operator can choose.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use livestore_core::StoreId;

use crate::auth::Authenticator;
use crate::rules::{NoRules, Rules};

/// How to run a server.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where the database lies; made if it is missing.
    pub data_dir: PathBuf,
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Most conversations at a time; further ones are refused with HTTP 503.
    pub max_connections: u32,
    /// Most of them at a time that have not said who they are yet; further ones are refused alike.
    pub max_introductions: u32,
    /// Which groups the logs take; all, by default.
    pub rules: Arc<dyn Rules>,
    /// Finds out who talks to the server. With none, which is the default, whoever reaches the server
    /// may read and write all of its stores.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// Whether LiveStore's own clients are served, beside ours, on the same port; they are, by default.
    pub serve_livestore: bool,
    /// In which stores these may meet rules that refuse something: they know of no refusals, and try to
    /// push what was refused for ever, with all that comes behind it. In none, by default: there they are
    /// not let in where a rule may refuse something.
    pub let_livestore_meet_rules: Arc<dyn Fn(&StoreId) -> bool + Send + Sync>,
    /// How long to wait for what.
    pub timing: Timing,
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_dir, listen, max_connections, max_introductions, timing, .. } = self;
        f.debug_struct("ServerConfig")
            .field("data_dir", data_dir)
            .field("listen", listen)
            .field("max_connections", max_connections)
            .field("max_introductions", max_introductions)
            .field("timing", timing)
            .field("authenticates", &self.authenticator.is_some())
            .finish_non_exhaustive()
    }
}

impl ServerConfig {
    /// Returns the defaults: `127.0.0.1:7433`, 10,000 connections, 1,000 of them in their introduction.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7433)),
            max_connections: 10_000,
            max_introductions: 1_000,
            rules: Arc::new(NoRules),
            authenticator: None,
            serve_livestore: true,
            let_livestore_meet_rules: Arc::new(|_| false),
            timing: Timing::default(),
        }
    }
}

/// The server's patience.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Timing {
    /// For the HTTP request, and then again for the first message (10 s).
    pub hello: Duration,
    /// Between two pings (20 s).
    pub ping: Duration,
    /// Without any frame from a client before its connection is dropped (60 s).
    pub silence: Duration,
    /// For a client to take one frame (30 s).
    pub send: Duration,
    /// How long a client that lost a race has the log to itself to try again (1 s).
    pub turn: Duration,
    /// For conversations to end when the server stops (10 s).
    pub shutdown: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            ping: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            send: Duration::from_secs(30),
            turn: Duration::from_secs(1),
            shutdown: Duration::from_secs(10),
        }
    }
}
