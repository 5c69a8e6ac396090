//! Who talks to the server.

use std::time::SystemTime;

/// Somebody whom the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    id: String,
    expires_at: Option<SystemTime>,
}

impl Principal {
    /// Makes a principal of an id, by which rules tell people apart; it is no secret.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), expires_at: None }
    }

    /// Sets until when the server takes its word; then it has to prove anew who it is.
    #[must_use]
    pub fn expires_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// Returns the id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns until when the server takes its word, if not for good.
    pub fn expiry(&self) -> Option<SystemTime> {
        self.expires_at
    }
}
