//! The log as LiveStore's clients see it: events, in chunks.

use std::sync::Arc;

use jiff::Timestamp;
use livestore_cf_protocol::{
    BackendIdMismatch, CfEvent, Exit, MAX_BYTES, MAX_EVENTS, Metadata, PageInfo, Pull,
    PullResponse, Push, RpcError, ServerAhead, Stamped, events_of,
};
use livestore_core::protocol::Page;
use livestore_core::{ConfirmedGroup, GlobalSeqNum, Group, IdGenerator};
use serde_json::json;

use super::{Caller, failed, unknown};
use crate::clock::unix_ms;
use crate::server::Shared;
use crate::storage::{AppendOutcome, AppendRequest};
use crate::stores::LiveStore;
use crate::writer::WriteFailed;

/// Most events that may be missing within a push.
const MAX_MISSING: u64 = 100;

/// Checks where a pull begins.
pub(super) fn start(shared: &Shared, caller: &Caller, pull: &Pull) -> Result<GlobalSeqNum, Exit> {
    check_store(caller, &pull.store_id)?;
    let Some(cursor) = &pull.cursor else { return Ok(GlobalSeqNum::ROOT) };
    check_backend(shared, &cursor.backend_id)?;
    Ok(GlobalSeqNum(cursor.event_sequence_number))
}

fn check_store(caller: &Caller, store_id: &str) -> Result<(), Exit> {
    if store_id == caller.store_id.as_str() {
        return Ok(());
    }
    Err(unknown("OtherStore", "the request is about another store than its connection"))
}

fn check_backend(shared: &Shared, received: &str) -> Result<(), Exit> {
    let expected = shared.backend_id.to_string();
    if received == expected {
        return Ok(());
    }
    let received = received.chars().take(80).collect();
    Err(failed(RpcError::BackendIdMismatch(BackendIdMismatch { expected, received })))
}

/// Reads the events that follow a position, as chunks with the position of the last event of each; one
/// empty chunk if there are none.
pub(super) async fn chunks(
    shared: &Shared,
    store: &LiveStore,
    after: GlobalSeqNum,
) -> Result<Vec<Chunk>, Exit> {
    let log = store.id.clone();
    let page = shared.readers.read(move |reader| reader.page(&log, after)).await;
    let page = page.map_err(|error| {
        tracing::error!(%error, store = %store.id, "a read failed");
        unknown("StorageFailed", "the log cannot be read now")
    })?;
    let backend_id = shared.backend_id.to_string();
    let Some(page) = page else {
        let page_info = PageInfo::NoMore;
        let response = PullResponse { batch: Vec::new(), page_info, backend_id };
        return Ok(vec![Chunk { last: after, response }]);
    };
    Ok(cut(&page, after, &backend_id))
}

/// Some events that a client is told of at once.
pub(super) struct Chunk {
    /// The position of the last one.
    pub(super) last: GlobalSeqNum,
    pub(super) response: PullResponse,
}

/// Cuts a page into chunks; of a group that begins before `after`, only what is behind that.
///
/// What stands for a hole is not shown: a LiveStore client that has pushed one has nothing there either.
pub(super) fn cut(page: &Page, after: GlobalSeqNum, backend_id: &str) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut batch: Vec<Stamped> = Vec::new();
    let (mut bytes, mut last) = (0, after.0);
    let mut finish = |batch: &mut Vec<Stamped>, last: u64| {
        let remaining = page.head.0.saturating_sub(last);
        let page_info = match remaining {
            0 => PageInfo::NoMore,
            remaining => PageInfo::MoreKnown { remaining },
        };
        let (batch, backend_id) = (std::mem::take(batch), backend_id.to_owned());
        let response = PullResponse { batch, page_info, backend_id };
        chunks.push(Chunk { last: GlobalSeqNum(last), response });
    };
    for confirmed in &page.groups {
        let metadata = metadata(confirmed);
        for event in events_of(confirmed).filter(|event| event.seq_num > after.0) {
            if event.is_missing() {
                last = event.seq_num;
                continue;
            }
            let stamped = Stamped { event_encoded: event, metadata: metadata.clone() };
            let size = json!(stamped).to_string().len() + 1;
            // Room for what is around the events.
            if batch.len() == MAX_EVENTS || bytes + size > MAX_BYTES - 500 {
                finish(&mut batch, last);
                bytes = 0;
            }
            bytes += size;
            last = stamped.event_encoded.seq_num;
            batch.push(stamped);
        }
    }
    if last > after.0 {
        finish(&mut batch, last);
    }
    chunks
}

/// Tells when a group was made, which its id says if it is one of version 7.
fn metadata(confirmed: &ConfirmedGroup) -> Option<Metadata> {
    let id = confirmed.group.id();
    let (first, _) = id.as_bytes().split_first_chunk()?;
    if id.as_bytes()[6] >> 4 != 7 {
        return None;
    }
    let ms = u64::from_be_bytes(*first) >> 16;
    let time = Timestamp::from_millisecond(ms.try_into().ok()?).ok()?;
    Some(Metadata { created_at: time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string() })
}

/// Makes groups of what a client pushes.
pub(super) struct Author {
    ids: IdGenerator,
}

impl Author {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        Ok(Self { ids: IdGenerator::new(seed) })
    }

    /// Turns a push into a request to the storage; nothing if there is nothing to be done.
    pub(super) fn request(
        &mut self,
        shared: &Shared,
        caller: &Caller,
        push: Push,
    ) -> Result<Option<AppendRequest>, Exit> {
        check_store(caller, &push.store_id)?;
        if let Some(backend_id) = &push.backend_id {
            check_backend(shared, backend_id)?;
        }
        let Some(first) = push.batch.first() else { return Ok(None) };
        let base = first.parent_seq_num;
        let groups = self.groups(base, push.batch)?;
        let (store_id, principal) = (caller.store_id.clone(), caller.principal.clone());
        Ok(Some(AppendRequest { store_id, base: GlobalSeqNum(base), groups, principal }))
    }

    fn groups(&mut self, base: u64, batch: Vec<CfEvent>) -> Result<Vec<Group>, Exit> {
        let mut groups = Vec::with_capacity(batch.len());
        let (mut last, mut missing) = (base, 0);
        for event in batch {
            let seq_num = event.seq_num;
            missing += seq_num.saturating_sub(last).saturating_sub(1);
            if seq_num <= last || missing > MAX_MISSING {
                let message = "the events of a push have to follow each other";
                return Err(unknown("GapInPush", message));
            }
            if event.is_missing() {
                let message = "the name stands for events that are missing; use another one";
                return Err(unknown("InvalidEvent", message));
            }
            // LiveStore's client leaves some out now and then, and its own backend does not mind.
            for missing in last + 1..seq_num {
                groups.push(self.group(CfEvent::missing(missing))?);
            }
            groups.push(self.group(event)?);
            last = seq_num;
        }
        Ok(groups)
    }

    fn group(&mut self, event: CfEvent) -> Result<Group, Exit> {
        let now_ms = unix_ms();
        let (id, event_id) = (self.ids.group_id(now_ms), self.ids.event_id(now_ms));
        let group = event.into_group(id, event_id);
        group.map_err(|error| unknown("InvalidEvent", &error.to_string()))
    }
}

/// Appends what a client has pushed; returns how that went, and up to where the client has to have the
/// log before it is told: as far as that is behind the answer.
pub(super) async fn append(
    shared: Arc<Shared>,
    store: Arc<LiveStore>,
    request: AppendRequest,
) -> (Exit, GlobalSeqNum) {
    let provided_num = request.base.0;
    let _turn = store.queue_to_push().await;
    let exit = match shared.writer.append(request, None).await {
        Ok(AppendOutcome::Appended { end, .. }) => {
            return (Exit::Success { value: Some(json!({})) }, end.seq);
        }
        Ok(AppendOutcome::ServerAhead { head }) => {
            let minimum_expected_num = head.0;
            let ahead = ServerAhead { minimum_expected_num, provided_num };
            return (failed(RpcError::ServerAhead(ahead)), head);
        }
        Ok(AppendOutcome::Refused { refusal, .. }) => unknown("Refused", &refusal.message),
        Ok(AppendOutcome::RuleFailed) => unknown("Undecided", "a rule could not decide"),
        Ok(AppendOutcome::AlreadyAccepted { .. } | AppendOutcome::Conflict { .. }) => {
            unknown("IdTaken", "an id was given out twice; try again")
        }
        Err(WriteFailed) => unknown("StorageFailed", "the log cannot be written now"),
    };
    (exit, GlobalSeqNum::ROOT)
}
