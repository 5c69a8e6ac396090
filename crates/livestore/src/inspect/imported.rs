//! A new store file, made of a log that came from elsewhere.

use std::path::Path;

use livestore_core::{
    BackendId, ClientId, ConfirmedGroup, GlobalSeqNum, Group, IdGenerator, LogPosition, StoreId,
};

use super::placing::{Draft, PlaceError};
use super::progress::Progress;
use super::recover::RecoverError;
use super::recover::writer::Writer;
use crate::clock;
use crate::replica::format::Meta;

/// Why a log was not imported. There is no new file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be where it should be.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The file cannot be written; a group may have come a second time.
    #[error("the new file cannot be written: {reason}")]
    Write {
        /// Why not.
        reason: String,
    },
    /// The system has no random numbers.
    #[error("the system has no random numbers: {reason}")]
    NoRandomness {
        /// What it said.
        reason: String,
    },
    /// The caller asked to end it.
    #[error("cancelled; nothing was written")]
    Cancelled,
}

impl From<RecoverError> for ImportError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Place(error) => Self::Place(error),
            RecoverError::Cancelled => Self::Cancelled,
            RecoverError::Write(error) => Self::Write { reason: error.to_string() },
            other => Self::Write { reason: other.to_string() },
        }
    }
}

/// A store file that is being filled with a confirmed log; it gets its name when it is finished.
///
/// It belongs to a backend that nobody else knows. So an app that opens it and meets a backend has to say
/// what it wants: to publish the log there, if that is empty; unless that backend has this very log
/// already, which is recognized.
#[derive(Debug)]
pub struct Imported<'a> {
    // Before the draft, which removes the file if it is not finished.
    writer: Writer<'a>,
    draft: Draft,
    end: LogPosition,
}

impl<'a> Imported<'a> {
    /// Begins a file, where none may be.
    pub fn create(
        path: &Path,
        store_id: StoreId,
        progress: &'a Progress,
    ) -> Result<Self, ImportError> {
        let draft = Draft::begin(path)?;
        let seed = clock::seed();
        let seed = seed.map_err(|error| ImportError::NoRandomness { reason: error.to_string() })?;
        let backend_id: BackendId = IdGenerator::new(seed).backend_id(clock::now_ms());
        let client_id = ClientId::from_random(&seed[..8]);
        let meta = Meta { backend_id: Some(backend_id), ..Meta::new(store_id, client_id, &[]) };
        let writer = Writer::create(&draft, meta, progress)?;
        Ok(Self { writer, draft, end: LogPosition::ROOT })
    }

    /// Appends a group to the log.
    pub fn append(&mut self, group: Group) -> Result<(), ImportError> {
        let hash = self.end.hash.extend(group.content_hash());
        let confirmed = ConfirmedGroup { first: self.end.seq.next(), group };
        self.writer.confirmed(&confirmed, hash, None).map_err(|error| match error {
            RecoverError::Write(error) => {
                let id = confirmed.group.id();
                ImportError::Write { reason: format!("group {id}: {error}") }
            }
            other => other.into(),
        })?;
        self.end = LogPosition { seq: confirmed.last(), hash };
        Ok(())
    }

    /// Finishes the file, and returns the position of the last event.
    pub fn finish(self) -> Result<GlobalSeqNum, ImportError> {
        let Self { writer, draft, end } = self;
        writer.finish(end, true)?;
        draft.place()?;
        Ok(end.seq)
    }
}
