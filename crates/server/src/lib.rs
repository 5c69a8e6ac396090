//! The sync server of LiveStore's own protocol: it orders, stores and broadcasts the events of
//! many stores.
//!
//! A push is acknowledged only after it is on disk. Every queue is bounded. The server knows
//! nothing of what events mean: it never looks into a payload. `docs/protocol.md` specifies what
//! goes over the wire, `docs/server-storage.md` what is on disk.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! use livestore_server::{Server, ServerConfig};
//!
//! let mut config = ServerConfig::new(dir.path());
//! config.listen = "127.0.0.1:0".parse()?;
//! let server = Server::start(config).await?;
//! println!("ws://{}/sync", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

#[cfg(feature = "net")]
mod allowance;
mod auth;
#[cfg(feature = "net")]
mod cf;
mod clock;
#[cfg(feature = "net")]
mod config;
#[cfg(feature = "net")]
mod connection;
#[cfg(feature = "net")]
mod handshake;
#[cfg(feature = "net")]
mod http;
mod memory_storage;
#[cfg(feature = "net")]
mod readers;
mod rules;
#[cfg(feature = "net")]
mod seat;
#[cfg(feature = "net")]
mod server;
pub mod session;
mod sqlite_storage;
mod storage;
#[cfg(feature = "net")]
mod stores;
#[cfg(feature = "net")]
mod turn;
#[cfg(feature = "net")]
mod wire;
#[cfg(feature = "net")]
mod writer;

/// What rules, authenticators and storages of one's own see of the protocol and of logs.
pub use livestore_core::{
    BackendId, CanonicalJson, ClientId, ConfirmedGroup, Event, EventId, EventName, GlobalSeqNum,
    Group, GroupId, LogHash, LogPosition, SessionId, StoreId,
    protocol::{GroupPosition, Page, Refusal, Token},
};

pub use auth::{
    Attempt, AuthError, Authenticating, Authenticator, Principal, TokenList, TokenListError,
};
#[cfg(feature = "net")]
pub use config::{ServerConfig, Timing};
pub use memory_storage::MemoryStorage;
pub use rules::{NoRules, Proposal, ReadPage, RuleError, Rules, judge};
#[cfg(feature = "net")]
pub use server::{RunningServer, Server, ServerError};
pub use sqlite_storage::SqliteStorage;
pub use storage::{AppendOutcome, AppendRequest, LogReader, LogStorage, LogView, StorageError};
