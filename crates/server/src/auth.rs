//! Who talks to the server, and whether they may.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use livestore_core::protocol::Token;
use livestore_core::{ClientId, StoreId};

/// Somebody whom the server knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    id: String,
    valid_until: Option<Instant>,
}

impl Principal {
    /// Makes a principal of an id, by which rules tell people apart; it is no secret.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), valid_until: None }
    }

    /// Sets how long the server takes its word, counted from this call; then it has to show another
    /// token.
    #[must_use]
    pub fn valid_for(mut self, time: Duration) -> Self {
        // What is too far away to be a point in time never comes.
        self.valid_until = Instant::now().checked_add(time);
        self
    }

    /// Returns the id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns until when the server takes its word, if not for good.
    pub fn valid_until(&self) -> Option<Instant> {
        self.valid_until
    }
}

/// Finds out who talks to the server, and whether they may use a store.
///
/// Without one, whoever reaches the server may read and write all of its stores.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use livestore_server::{
///     Attempt, AuthError, Authenticating, Authenticator, Principal, ServerConfig, StoreId, Token,
/// };
///
/// /// Sessions are kept elsewhere; each user has one store, which is named after them.
/// struct Sessions;
///
/// impl Sessions {
///     async fn user_of(&self, token: &Token) -> Option<String> {
///         # let _ = token.secret();
///         # None
///     }
/// }
///
/// impl Authenticator for Sessions {
///     fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> Authenticating<'a> {
///         Box::pin(async move {
///             let unauthenticated = || AuthError::Unauthenticated { message: "sign in".into() };
///             let token = attempt.token.ok_or_else(unauthenticated)?;
///             let user = self.user_of(token).await.ok_or_else(unauthenticated)?;
///             if StoreId::new(&*user).as_ref() != Ok(attempt.store_id) {
///                 let message = format!("{user} may not use {}", attempt.store_id);
///                 return Err(AuthError::Forbidden { message });
///             }
///             Ok(Principal::new(user).valid_for(Duration::from_secs(15 * 60)))
///         })
///     }
/// }
///
/// let mut config = ServerConfig::new("data");
/// config.authenticator = Some(Arc::new(Sessions));
/// ```
pub trait Authenticator: Send + Sync + 'static {
    /// Decides about a client at the beginning of a conversation.
    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> Authenticating<'a>;
}

/// A decision about a client that may take a while.
pub type Authenticating<'a> =
    Pin<Box<dyn Future<Output = Result<Principal, AuthError>> + Send + 'a>>;

/// A client that wants to use a store.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// What it has shown, if anything.
    pub token: Option<&'a Token>,
    /// The store that it wants.
    pub store_id: &'a StoreId,
    /// What it calls itself, which proves nothing; a LiveStore client does not say it.
    pub client_id: Option<&'a ClientId>,
}

/// Why a client may not use a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It has shown no token, or one that nobody knows.
    #[error("{message}")]
    Unauthenticated {
        /// What the app is told.
        message: String,
    },
    /// Its token held for a time that is over.
    #[error("the token has expired")]
    Expired,
    /// It is known, and may not.
    #[error("{message}")]
    Forbidden {
        /// What the app is told.
        message: String,
    },
    /// That cannot be found out now.
    #[error("authentication is not possible now: {message}")]
    Unavailable {
        /// What the operator is told.
        message: String,
    },
}

/// Tokens that were given out by hand, each to somebody who may use some stores, or all.
///
/// They are kept as hashes.
#[derive(Default)]
pub struct TokenList {
    entries: std::collections::HashMap<blake3::Hash, Entry>,
}

#[derive(Debug)]
struct Entry {
    principal: Principal,
    /// None for all.
    stores: Option<Vec<StoreId>>,
}

impl fmt::Debug for TokenList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let principals = self.entries.values().map(|entry| entry.principal.id());
        f.debug_tuple("TokenList").field(&principals.collect::<Vec<_>>()).finish()
    }
}

/// A list of tokens that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the list of tokens: {reason}")]
pub struct TokenListError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it; no part of it is repeated.
    pub reason: String,
}

impl TokenList {
    /// Reads a list: a line for each token, with the token, the id of whom it was given to, and the
    /// stores that they may use, all of them if none is named; separated by spaces. Empty lines and
    /// lines that begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Self, TokenListError> {
        let mut list = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let wrong = |reason: &str| TokenListError { line: number, reason: reason.into() };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(token), Some(id)) = (words.next(), words.next()) else {
                return Err(wrong("a token and the id of whom it was given to are expected"));
            };
            if token.len() < MIN_TOKEN_CHARS {
                return Err(wrong("the token is easy to guess; it needs at least 16 characters"));
            }
            let stores = words.map(StoreId::new).collect::<Result<Vec<_>, _>>();
            // It may be a token in the wrong place, so it is not shown.
            let stores = stores
                .map_err(|_| wrong("what follows the id is no store id; a token goes first"))?;
            let stores = Some(stores).filter(|stores| !stores.is_empty());
            let entry = Entry { principal: Principal::new(id), stores };
            if list.entries.insert(blake3::hash(token.as_bytes()), entry).is_some() {
                return Err(wrong("the token is in the list twice"));
            }
        }
        if list.entries.is_empty() {
            let reason = "there is no token in it, so nobody could use the server".into();
            return Err(TokenListError { line: 1, reason });
        }
        Ok(list)
    }

    fn look_up(&self, attempt: Attempt<'_>) -> Result<Principal, AuthError> {
        let unauthenticated =
            |message: &str| AuthError::Unauthenticated { message: message.into() };
        let Some(token) = attempt.token else {
            return Err(unauthenticated("this server asks for a token"));
        };
        // Equal hashes are looked up, so how long it takes says nothing about a token.
        let hash = blake3::hash(token.secret().as_bytes());
        let entry =
            self.entries.get(&hash).ok_or_else(|| unauthenticated("the token is unknown"))?;
        match &entry.stores {
            Some(stores) if !stores.contains(attempt.store_id) => {
                let message = format!("{} may not use {}", entry.principal.id(), attempt.store_id);
                Err(AuthError::Forbidden { message })
            }
            _ => Ok(entry.principal.clone()),
        }
    }
}

/// Fewest characters of a token in a list.
const MIN_TOKEN_CHARS: usize = 16;

impl Authenticator for TokenList {
    fn authenticate<'a>(&'a self, attempt: Attempt<'a>) -> Authenticating<'a> {
        Box::pin(std::future::ready(self.look_up(attempt)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(list: &TokenList, token: Option<&str>, store: &str) -> Result<Principal, AuthError> {
        let token = token.map(|token| Token::new(token).unwrap());
        let (store_id, client_id) = (StoreId::new(store).unwrap(), ClientId::new("c").unwrap());
        let attempt =
            Attempt { token: token.as_ref(), store_id: &store_id, client_id: Some(&client_id) };
        list.look_up(attempt)
    }

    #[test]
    fn a_list_tells_who_may_use_which_stores() {
        let list = "# ann may do everything\nann-s-long-token-1 ann\n\n  bob-s-long-token-2 bob notes tasks\n";
        let list = TokenList::parse(list).unwrap();
        assert_eq!(ask(&list, Some("ann-s-long-token-1"), "any").unwrap().id(), "ann");
        assert_eq!(ask(&list, Some("bob-s-long-token-2"), "tasks").unwrap().id(), "bob");
        let forbidden = ask(&list, Some("bob-s-long-token-2"), "money").unwrap_err();
        assert_eq!(forbidden, AuthError::Forbidden { message: "bob may not use money".into() });
        for token in [None, Some(""), Some("ann-s-long-token-2")] {
            let error = ask(&list, token, "any").unwrap_err();
            assert!(matches!(error, AuthError::Unauthenticated { .. }), "{error:?}");
        }
        assert!(!format!("{list:?}").contains("token"), "{list:?}");
    }

    #[test]
    fn a_list_with_a_mistake_is_refused_and_not_repeated() {
        for (text, line, what) in [
            ("", 1, "no token"),
            ("# nothing\n", 1, "no token"),
            ("just-one-long-word-here", 1, "expected"),
            ("\nshort ann", 2, "16 characters"),
            ("a-long-enough-token ann a/b", 1, "no store id"),
            ("a-long-enough-token ann\na-long-enough-token bob", 2, "twice"),
        ] {
            let error = TokenList::parse(text).unwrap_err();
            assert_eq!(error.line, line, "{text:?}");
            assert!(error.to_string().contains(what), "{error}");
            assert!(!error.to_string().contains("a-long-enough-token"), "{error}");
        }
    }
}
