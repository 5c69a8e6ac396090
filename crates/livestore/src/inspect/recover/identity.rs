//! Whose file it is: told by the meta row, or else by what that can be seen from.

use std::path::Path;

use livestore_core::{ClientId, GlobalSeqNum, StoreId};

use super::report::{Author, Kept, RecoverReport};
use super::survey::Survey;
use super::{RecoverError, RecoverOptions};
use crate::adapter::store_named_by;
use crate::clock;
use crate::inspect::placing::io_error;
use crate::inspect::rows::MetaRow;
use crate::replica::format::{MAX_REBASES, Meta};

/// Whose file it is.
pub(super) struct Identity {
    pub(super) store_id: StoreId,
    store_id_by: Author,
    client_id: ClientId,
    client_id_by: Author,
}

impl Identity {
    pub(super) fn of(
        survey: &Survey<'_>,
        from: &Path,
        options: &RecoverOptions,
    ) -> Result<Self, RecoverError> {
        if let Some(MetaRow { store_id, client_id, .. }) = survey.meta.clone() {
            let by = Author::File;
            return Ok(Self { store_id, store_id_by: by, client_id, client_id_by: by });
        }
        let given = options.store_id.clone().map(|id| (id, Author::Given));
        let named = || store_named_by(from).map(|id| (id, Author::Inferred));
        let unknown = || RecoverError::UnknownStore { path: from.display().to_string() };
        let (store_id, store_id_by) = given.or_else(named).ok_or_else(unknown)?;
        let given = options.client_id.clone().map(|id| (id, Author::Given));
        let inferred = || survey.infer_client().map(|id| (id, Author::Inferred));
        let new = || {
            let random = clock::seed().map_err(io_error(Path::new("random numbers")))?;
            Ok::<_, RecoverError>((ClientId::from_random(&random[..8]), Author::New))
        };
        let (client_id, client_id_by) = given.or_else(inferred).map_or_else(new, Ok)?;
        Ok(Self { store_id, store_id_by, client_id, client_id_by })
    }

    /// Makes the new file's meta row; the log's end is not known yet.
    pub(super) fn meta(&self, old: Option<&MetaRow>) -> Meta {
        let new = Meta::new(self.store_id.clone(), self.client_id.clone(), &[]);
        match old {
            None => new,
            // Counters that cannot be are set to the nearest that can.
            Some(old) => Meta {
                backend_id: old.backend_id,
                generation: u64::from(old.generation).min(old.rebases) as u32,
                rebases: old.rebases.min(MAX_REBASES),
                synced_at_ms: old.synced_at,
                revision_due: old.revision_due,
                republished: old.republished,
                answer: old.answer.clone(),
                attempt: old.attempt,
                ..new
            },
        }
    }

    pub(super) fn report(self, survey: &Survey<'_>, from: &Path, to: &Path) -> RecoverReport {
        let Self { store_id, store_id_by, client_id, client_id_by } = self;
        RecoverReport {
            from: from.into(),
            to: to.into(),
            store_id,
            store_id_by,
            client_id,
            client_id_by,
            backend_id: survey.meta.as_ref().and_then(|meta| meta.backend_id),
            head: GlobalSeqNum::ROOT,
            old_head: survey.meta.as_ref().map(|meta| meta.head),
            kept: Kept::default(),
            damage: Vec::new(),
            confirmed_missing: None,
            lost: Vec::new(),
            lost_rows: Vec::new(),
            uncertain: Vec::new(),
        }
    }
}
