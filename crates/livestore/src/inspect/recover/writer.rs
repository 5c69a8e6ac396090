//! The new file: everything that was saved, and the order to derive the state from it.

use livestore_core::{ConfirmedGroup, ContentHash, GlobalSeqNum, Group, LogHash, LogPosition};
use livestore_sqlite::{Connection, SqliteError};

use super::RecoverError;
use super::report::Kept;
use crate::inspect::Progress;
use crate::inspect::placing::Draft;
use crate::inspect::rows::ArchivedRow;
use crate::replica::format::{self, Meta, Rebuild};
use crate::replica::log::{self, ClientOnlyPlace};
use crate::replica::pending::{self, Origin};
use crate::replica::{DeadLetter, exceptions};

/// Events that are written in one transaction.
const BATCH: u64 = 10_000;

/// No schema has this state version, so whoever opens the file derives the state.
const NO_STATE_VERSION: [u8; 32] = [0; 32];

/// A new store file that is being filled.
#[derive(Debug)]
pub(in crate::inspect) struct Writer<'a> {
    connection: Connection,
    progress: &'a Progress,
    meta: Meta,
    in_batch: u64,
    next_ordinal: i64,
    pub(in crate::inspect) kept: Kept,
}

impl<'a> Writer<'a> {
    pub(in crate::inspect) fn create(
        draft: &Draft,
        meta: Meta,
        progress: &'a Progress,
    ) -> Result<Self, RecoverError> {
        let connection = Connection::open_file(draft.path())?;
        let meta = Meta {
            state_version: NO_STATE_VERSION.into(),
            state_head: GlobalSeqNum::ROOT,
            rebuild: Some(Rebuild { client: 0, ordinal: None }),
            ..meta
        };
        connection.transaction(|| format::create(&connection, &meta))?;
        connection.system().execute_batch("BEGIN IMMEDIATE")?;
        let kept = Kept::default();
        Ok(Self { connection, progress, meta, in_batch: 0, next_ordinal: 1, kept })
    }

    /// Appends a group to the confirmed log.
    pub(in crate::inspect) fn confirmed(
        &mut self,
        confirmed: &ConfirmedGroup,
        log_hash: LogHash,
        submitted: Option<ContentHash>,
    ) -> Result<(), RecoverError> {
        log::append(&self.connection, confirmed, log_hash)?;
        if let Some(submitted) = submitted {
            log::note_rewritten(&self.connection, confirmed.group.id(), submitted)?;
        }
        self.kept.confirmed_groups += 1;
        self.kept.confirmed_events += confirmed.group.event_count();
        self.written(confirmed.group.event_count())
    }

    /// Takes the end of the log back to an earlier position.
    pub(in crate::inspect) fn cut_log(
        &mut self,
        end: LogPosition,
        groups: u64,
    ) -> Result<(), RecoverError> {
        log::truncate(&self.connection, end.seq)?;
        let sql = "SELECT count(*) FROM __livestore_eventlog";
        let events = self.connection.system().query_one(sql, [], |row| row.get(0))?;
        self.kept.confirmed_events = events.unwrap_or(0);
        self.kept.confirmed_groups -= groups;
        Ok(())
    }

    /// Appends a group to the client log.
    pub(in crate::inspect) fn client_only(
        &mut self,
        group: &Group,
        at: ClientOnlyPlace,
    ) -> Result<(), RecoverError> {
        log::append_client_only(&self.connection, group, at)?;
        self.kept.client_only_events += group.event_count();
        self.written(group.event_count())
    }

    /// Appends a group to the tail; it has no undo data, since its effects are in no state.
    pub(in crate::inspect) fn pending(
        &mut self,
        group: &Group,
        client_only: bool,
        origin: &Origin,
    ) -> Result<(), RecoverError> {
        pending::insert(&self.connection, group, self.next_ordinal, client_only, origin)?;
        self.next_ordinal = match origin.command {
            Some(_) => pending::last_of_command(self.next_ordinal) + 1,
            None => self.next_ordinal + group.event_count() as i64,
        };
        self.kept.pending_groups += 1;
        self.kept.pending_events += group.event_count();
        self.written(group.event_count())
    }

    pub(in crate::inspect) fn dead_letter(
        &mut self,
        letter: &DeadLetter,
    ) -> Result<(), RecoverError> {
        exceptions::bury(&self.connection, letter)?;
        self.kept.dead_letters += 1;
        self.written(1)
    }

    pub(in crate::inspect) fn archived(
        &mut self,
        archived: &ArchivedRow,
    ) -> Result<(), RecoverError> {
        exceptions::archive(&self.connection, archived.backend_id, &archived.confirmed)?;
        self.kept.archived += 1;
        self.written(1)
    }

    /// Writes the heads and closes the file.
    pub(in crate::inspect) fn finish(
        self,
        head: LogPosition,
        is_in_step: bool,
    ) -> Result<Kept, RecoverError> {
        let Self { connection, meta, kept, .. } = self;
        let generation = if kept.pending_groups == 0 { 0 } else { meta.generation };
        let synced_at_ms = meta.synced_at_ms.filter(|_| is_in_step);
        // A backend that has more than what is left here has all of it.
        let republished = meta.republished.filter(|seq| *seq < head.seq);
        let attempt = meta.attempt.filter(|attempt| attempt.base == head.seq);
        Meta { head, republished, attempt, generation, synced_at_ms, ..meta }.save(&connection)?;
        connection.system().execute_batch("COMMIT")?;
        connection.checkpoint()?;
        Ok(kept)
    }

    fn written(&mut self, events: u64) -> Result<(), RecoverError> {
        self.progress.add(events);
        if self.progress.is_cancelled() {
            return Err(RecoverError::Cancelled);
        }
        self.in_batch += events;
        if self.in_batch < BATCH {
            return Ok(());
        }
        self.in_batch = 0;
        self.next_batch().map_err(RecoverError::Write)
    }

    fn next_batch(&self) -> Result<(), SqliteError> {
        self.connection.system().execute_batch("COMMIT")?;
        self.connection.tidy_wal()?;
        self.connection.system().execute_batch("BEGIN IMMEDIATE")
    }
}
