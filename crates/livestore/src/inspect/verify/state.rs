//! Whether the state is what the log leads to, for those who have the schema.

use livestore_sqlite::StateHash;

use super::{VerifyError, count_events};
use crate::inspect::{Inspector, Progress, Work};
use crate::replica::format::Meta;
use crate::replica::{ReplicaError, knows_more, replay_hash};
use crate::{OpenError, QueryError, Schema};

/// How a store's state compares with a replay of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateVerdict {
    /// The state's synced tables are what the log leads to.
    Equal(StateHash),
    /// They are not: a materializer is not a function of its arguments, its version was not raised
    /// when it changed, or the file was changed from outside. Raise
    /// [`SchemaBuilder::materializer_version`](crate::SchemaBuilder::materializer_version) to have
    /// the state derived anew.
    Different {
        /// The hash of the state in the file.
        state: StateHash,
        /// The hash of the state that the log leads to.
        replay: StateHash,
    },
    /// The state was derived with other definitions; it is derived anew when the store is opened
    /// with these.
    OtherSchema,
    /// The state is not all derived yet; opening the store goes on with that.
    Rebuilding,
}

impl Inspector {
    /// Compares the state with a replay of the log, also while an app has the store open.
    ///
    /// The state is derived a second time in memory. Only synced tables are compared.
    pub fn verify_state(
        &mut self,
        schema: &Schema,
        progress: &Progress,
    ) -> Result<StateVerdict, VerifyError> {
        let cancelled = progress.clone();
        self.connection.interrupt_when(move || cancelled.is_cancelled());
        self.connection.admit_state(schema.tables().to_vec());
        progress.begin(Work::Replaying, count_events(&self.connection));
        let verdict = self.snapshot(|| self.compare_state(schema, progress));
        if progress.is_cancelled() { Err(VerifyError::Cancelled) } else { verdict }
    }

    fn compare_state(
        &self,
        schema: &Schema,
        progress: &Progress,
    ) -> Result<StateVerdict, VerifyError> {
        let damaged =
            || OpenError::Damaged { path: self.path.display().to_string(), what: "its meta row" };
        let meta = Meta::load(&self.connection)?.ok_or_else(damaged)?;
        let is_same = meta.state_version == schema.state_version().as_bytes();
        if !is_same || knows_more(&self.connection, schema)? {
            return Ok(StateVerdict::OtherSchema);
        }
        if meta.rebuild.is_some() {
            return Ok(StateVerdict::Rebuilding);
        }
        let state = self.connection.state_hash()?;
        let replayed = replay_hash(&self.connection, schema, &meta, &mut |done| progress.add(done));
        let replay = match replayed {
            Ok(replay) => replay,
            Err(ReplicaError::Sqlite(error)) => return Err(error.into()),
            Err(other) => return Err(QueryError::Replica(other.into()).into()),
        };
        Ok(if state == replay {
            StateVerdict::Equal(state)
        } else {
            StateVerdict::Different { state, replay }
        })
    }
}
