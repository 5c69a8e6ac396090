//! The beginning of a conversation: any locates, then the hello.

use livestore_core::limits::{MAX_LOCATES, MAX_VERSIONS};
use livestore_core::protocol::{
    Authenticate, ClientMessage, Goodbye, GoodbyeReason, Hello, Locate, Located, PROTOCOL_VERSION,
    Token,
};
use livestore_core::{BackendId, GlobalSeqNum};
use serde::Deserialize;

use super::{Question, protocol_error};
use crate::storage::LogView;

/// A conversation up to its hello.
#[derive(Debug, Default)]
pub struct Introduction {
    locates: usize,
    has_begun: bool,
}

/// A message that may come before or as the hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// What shows who the client is; it concerns whatever the client asks for from now on.
    Authenticate(Token),
    /// A question about the common history; [`Introduction::locate`] answers it.
    Locate(Locate),
    /// The end of the introduction; [`Session::open`](super::Session::open) decides on it.
    Hello(Hello),
}

impl Introduction {
    /// Takes the next message of a client that has not said hello yet.
    ///
    /// # Errors
    ///
    /// The goodbye of a client that pushes before its hello, or asks too often.
    pub fn hear(&mut self, message: ClientMessage) -> Result<Opening, Goodbye> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        match message {
            ClientMessage::Authenticate(Authenticate { token }) if is_first => {
                Ok(Opening::Authenticate(token))
            }
            ClientMessage::Authenticate(_) => {
                Err(protocol_error("an authenticate message that is not the first one"))
            }
            ClientMessage::Hello(hello) => Ok(Opening::Hello(hello)),
            ClientMessage::Locate(locate) if self.locates < MAX_LOCATES => {
                self.locates += 1;
                Ok(Opening::Locate(locate))
            }
            ClientMessage::Locate(_) => {
                let message = format!("more than {MAX_LOCATES} locate messages");
                Err(protocol_error(message))
            }
            ClientMessage::Push(_) => {
                Err(protocol_error("a push message before the hello message"))
            }
        }
    }

    /// Returns what has to be looked up for a locate.
    pub fn question(locate: &Locate) -> Question {
        let at = locate.positions.iter().map(|position| position.seq).collect();
        Question { at, groups: Vec::new() }
    }

    /// Answers a locate, from a view that answers [`Self::question`].
    ///
    /// # Errors
    ///
    /// The goodbye of a client that speaks another version.
    pub fn locate(
        locate: &Locate,
        backend_id: BackendId,
        view: &LogView,
    ) -> Result<Located, Goodbye> {
        check_versions(&locate.versions)?;
        let both = locate.positions.iter().zip(&view.hashes);
        let common = both.filter(|(theirs, ours)| **ours == Some(theirs.hash));
        let common = common.map(|(position, _)| position.seq).max();
        let common = common.unwrap_or(GlobalSeqNum::ROOT);
        Ok(Located { backend_id, common, head: view.head })
    }
}

/// Reads a message that may come before the welcome.
///
/// # Errors
///
/// The goodbye of a client that speaks another version, or sent what is no message.
pub fn decode_opening(frame: &str) -> Result<ClientMessage, Goodbye> {
    ClientMessage::decode(frame).map_err(|error| {
        let any = serde_json::from_str::<AnyOpening>(frame).map(|any| any.opening.versions);
        match any {
            Ok(versions) if versions.len() <= MAX_VERSIONS => check_versions(&versions).err(),
            _ => None,
        }
        .unwrap_or_else(|| protocol_error(error))
    })
}

/// The opening of another version may have other members, but it says its versions.
#[derive(Deserialize)]
struct AnyOpening {
    #[serde(rename = "hello", alias = "locate")]
    opening: AnyVersions,
}

#[derive(Deserialize)]
struct AnyVersions {
    versions: Vec<u32>,
}

/// Checks that the client and the server have a version in common.
pub(crate) fn check_versions(versions: &[u32]) -> Result<(), Goodbye> {
    if versions.contains(&PROTOCOL_VERSION) {
        return Ok(());
    }
    let message = format!(
        "this server speaks protocol version {PROTOCOL_VERSION}, the client {versions:?}: \
         update the older of the two"
    );
    Err(Goodbye { reason: GoodbyeReason::UnsupportedVersion, message })
}
