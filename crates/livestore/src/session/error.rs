//! Why what a session and its leader say to each other comes to an end.

use std::io;

use super::link::FrameError;

/// Why a conversation has ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The stream failed.
    #[error("the other end is gone: {0}")]
    Io(#[from] io::Error),
    /// The stream has ended.
    #[error("the other end is gone")]
    Ended,
    /// What has come is no frame.
    #[error("the other end says what is no frame: {0}")]
    Frame(#[from] FrameError),
    /// One of the ends cannot go on.
    #[error("{0}")]
    Failed(String),
    /// The store here is closed.
    #[error("the store is closed")]
    Closed,
}

impl LinkError {
    pub(crate) fn failed(why: impl ToString) -> Self {
        Self::Failed(why.to_string())
    }
}
