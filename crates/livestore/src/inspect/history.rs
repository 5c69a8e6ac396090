//! Comparing a store's log with that of a backend, and answering beforehand what is to be done about it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use livestore_core::protocol::{
    ClientMessage, Goodbye, Locate, Located, PROTOCOL_VERSION, ServerMessage,
};
use livestore_core::{BackendId, ConfirmedGroup, GlobalSeqNum, Group};
use livestore_sqlite::{Connection, FileLock, SqliteError};
use serde::Serialize;
use tokio::time::timeout;

use super::Inspector;
use super::leader::answer_through_leader;
use crate::adapter::LOCK_EXTENSION;
use crate::replica::format::{self, FileKind, GivenAnswer, Meta};
use crate::replica::{Divergence, HistoryAnswer, Search, divergence, has_all_of, log, pending};
use crate::sync_provider::{Incoming, OwnLog, StoreEnd, SyncProvider, link};
use crate::{OpenError, QueryError, SyncError};

/// How a store's log and that of a backend go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Comparison {
    /// The backend that was asked.
    pub backend_id: BackendId,
    /// The end of its log.
    pub backend_head: GlobalSeqNum,
    /// The backend that the store has synced with; `None` before the first contact.
    pub known_backend: Option<BackendId>,
    /// The end of the store's confirmed log.
    pub head: GlobalSeqNum,
    /// The last position up to which both logs are equal.
    pub common: GlobalSeqNum,
    /// How they differ, if they are different histories.
    pub divergence: Option<Divergence>,
}

/// Why logs could not be compared, or an answer not be given.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The file cannot be read or written.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Reading or writing it failed.
    #[error(transparent)]
    Sqlite(#[from] SqliteError),
    /// The backend cannot be reached.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// The backend ended the conversation.
    #[error("{backend} said goodbye: {message}")]
    Goodbye {
        /// The backend.
        backend: String,
        /// What it said.
        message: String,
    },
    /// The backend answered with something else.
    #[error("{backend} did not answer as it should: {what}")]
    Answer {
        /// The backend.
        backend: String,
        /// What was wrong.
        what: String,
    },
    /// The backend took too long.
    #[error("{backend} did not answer within {patience:?}")]
    Silence {
        /// The backend.
        backend: String,
        /// How long it was waited for.
        patience: Duration,
    },
    /// The log cannot be published anew to a backend that has another one.
    ///
    /// This is for who answers in a file that no app has open. An open store says
    /// [`ReplicaError::BackendNotEmpty`](crate::ReplicaError::BackendNotEmpty), beside all else that can
    /// go wrong in a replica, of which nothing can happen here.
    #[error(
        "backend {backend_id} has a log of its own (up to {head}), so the log cannot be published \
         to it; rebase what is pending, or discard what it does not have"
    )]
    BackendNotEmpty {
        /// The backend.
        backend_id: BackendId,
        /// The end of its log.
        head: GlobalSeqNum,
    },
    /// An app has the store open.
    #[error("{path} is open in an app, which answers for itself; close it first")]
    InUse {
        /// The file.
        path: String,
    },
}

/// The log in a store's file.
struct FileLog(Mutex<Inspector>);

impl FileLog {
    fn read<T>(
        &self,
        look: impl FnOnce(&Inspector) -> Result<T, SqliteError>,
    ) -> Result<T, QueryError> {
        let inspector = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(look(&inspector)?)
    }
}

impl OwnLog for FileLog {
    fn attempted(&self) -> Result<Option<Vec<Group>>, QueryError> {
        // Nothing is pushed from here.
        Ok(Some(Vec::new()))
    }

    fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, QueryError> {
        self.read(|file| file.confirmed_after(after))
    }

    fn confirmed_until(&self, last: GlobalSeqNum) -> Result<Option<ConfirmedGroup>, QueryError> {
        self.read(|file| log::confirmed_until(&file.connection, last, &file.meta.client_id))
    }
}

impl Inspector {
    /// Returns the confirmed groups behind a position, in order: some of them, if there are many.
    pub fn confirmed_after(&self, after: GlobalSeqNum) -> Result<Vec<ConfirmedGroup>, SqliteError> {
        log::confirmed_after(&self.connection, after, &self.meta.client_id)
    }

    /// Compares the confirmed log with that of a backend; nothing is changed on either side.
    pub async fn compare(
        &self,
        provider: Arc<dyn SyncProvider>,
        patience: Duration,
    ) -> Result<Comparison, CompareError> {
        let backend = provider.describe();
        let own = FileLog(Mutex::new(Self::open_file(&self.path)?));
        let (link, mut end) = link(Arc::new(own));
        let talking = tokio::spawn(async move { provider.connect(link).await });
        let compared = self.search(&backend, &mut end, patience).await;
        drop(end);
        match compared {
            Ok(Some(comparison)) => Ok(comparison),
            Ok(None) => match talking.await {
                Ok(Err(error)) => Err(error.into()),
                _ => Err(CompareError::Answer { backend, what: "it hung up".into() }),
            },
            Err(error) => {
                talking.abort();
                Err(error)
            }
        }
    }

    /// Asks the backend; `None` if the conversation has ended.
    async fn search(
        &self,
        backend: &str,
        end: &mut StoreEnd,
        patience: Duration,
    ) -> Result<Option<Comparison>, CompareError> {
        // For each answer: a backend that compares event by event says now and then that it is at work.
        let silent = |_| CompareError::Silence { backend: backend.into(), patience };
        let opened = timeout(patience, end.next()).await.map_err(silent)?;
        let Some(Incoming::Opened) = opened else { return Ok(None) };
        let wrong = |what: String| CompareError::Answer { backend: backend.into(), what };
        let mut search = Search::up_to(self.meta.head.seq);
        loop {
            let locate = ClientMessage::Locate(Locate {
                versions: vec![PROTOCOL_VERSION],
                store_id: self.meta.store_id.clone(),
                client_id: self.meta.client_id.clone(),
                positions: search.question(&self.connection)?,
            });
            if end.send(locate).await.is_err() {
                return Ok(None);
            }
            let answer = loop {
                match timeout(patience, end.next()).await.map_err(silent)? {
                    Some(Incoming::Working) => {}
                    answer => break answer,
                }
            };
            let located = match answer {
                Some(Incoming::Message(ServerMessage::Located(located))) => located,
                Some(Incoming::Message(ServerMessage::Goodbye(Goodbye { message, .. }))) => {
                    return Err(CompareError::Goodbye { backend: backend.into(), message });
                }
                Some(_) => return Err(wrong("another message was expected".into())),
                None => return Ok(None),
            };
            search.take(&located).map_err(wrong)?;
            if search.is_over(&self.connection)? {
                return Ok(Some(self.comparison(search.common(), &located)?));
            }
        }
    }

    fn comparison(
        &self,
        common: GlobalSeqNum,
        located: &Located,
    ) -> Result<Comparison, SqliteError> {
        let Meta { backend_id: known_backend, client_id, head, .. } = &self.meta;
        let is_other = known_backend.is_some_and(|known| known != located.backend_id);
        // While the log is published anew, the backend has a part of it.
        let known_to_be_there = self.meta.republished.unwrap_or(head.seq);
        let is_other = is_other && !has_all_of(head.seq, common);
        let divergence = if is_other || common < known_to_be_there {
            let pending = pending::tail(&self.connection)?.groups;
            Some(divergence(&self.connection, client_id, pending, common, located)?)
        } else {
            None
        };
        Ok(Comparison {
            backend_id: located.backend_id,
            backend_head: located.head,
            known_backend: *known_backend,
            head: head.seq,
            common,
            divergence,
        })
    }
}

/// Where an answer to a divergence was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Noted {
    /// In the file: the app does it when it is started next.
    InFile,
    /// By the app that has the store open: it does it now, or when it meets the divergence.
    ByApp,
}

/// How long an app that has a store open is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Notes what is to be done about a divergence, in the store's file or by the app that has it open.
///
/// It holds for this backend and this end of what is common; if they are others by then, the app's
/// own policy decides. [`HistoryAnswer::Stop`] takes back an answer that was given before.
///
/// # Errors
///
/// Somebody has the file open who does not answer, or it is no store. Nothing has changed then.
pub fn answer_divergence(
    path: &Path,
    answer: HistoryAnswer,
    divergence: &Divergence,
) -> Result<Noted, CompareError> {
    if answer == HistoryAnswer::Republish && !divergence.allows_republishing() {
        let Divergence { backend_id, backend_head: head, .. } = *divergence;
        return Err(CompareError::BackendNotEmpty { backend_id, head });
    }
    let shown = path.display().to_string();
    let _lock = match File::open(path.with_extension(LOCK_EXTENSION)) {
        Ok(file) => match FileLock::take(file) {
            Ok(Some(lock)) => Some(lock),
            Ok(None) => {
                let inspector = Inspector::open_file(path)?;
                let (store_id, to) = (inspector.store_id(), *divergence);
                let leader = answer_through_leader(path, store_id, answer, to, PATIENCE)?;
                let noted = leader.map(|_| Noted::ByApp);
                return noted.ok_or(CompareError::InUse { path: shown });
            }
            Err(source) => return Err(OpenError::Io { path: shown, source }.into()),
        },
        // No app has ever opened it here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(OpenError::Io { path: shown, source }.into()),
    };
    // Opening would make a file that is missing.
    Inspector::open_file(path)?;
    let connection = Connection::open_file(path)?;
    let damaged = || OpenError::Damaged { path: shown.clone(), what: "its meta row" };
    if format::recognize(&connection, &shown)? == FileKind::New {
        return Err(damaged().into());
    }
    connection.transaction(|| {
        let mut meta = Meta::load(&connection)?.ok_or_else(damaged)?;
        let given = GivenAnswer::new(answer, *divergence);
        meta.answer = Some(given).filter(|given| given.answer != HistoryAnswer::Stop);
        Ok::<_, CompareError>(meta.save(&connection)?)
    })?;
    connection.checkpoint()?;
    Ok(Noted::InFile)
}
