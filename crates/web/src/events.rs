//! The log as TypeScript reads it.

use std::rc::{Rc, Weak};

use futures_util::StreamExt;
use gloo_timers::future::TimeoutFuture;
use js_sys::Promise;
use livestore::{
    CanonicalJson, ClientId, EventId, EventName, GlobalSeqNum, GroupId, LiveStream, LoggedEvent,
    QueryError, SessionId, Store, SyncStatus, Unavailable, UnknownEvents,
};
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::error::tagged;
use crate::host::{SharedHost, report};
use crate::store::{StoreHandle, not_computing, throw};

/// Events that are looked at before others have the thread.
const SLICE: usize = 1_024;

/// An event, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson {
    name: EventName,
    args: CanonicalJson,
    seq_num: GlobalSeqNum,
    parent_seq_num: GlobalSeqNum,
    client_id: ClientId,
    session_id: SessionId,
    id: EventId,
    group_id: GroupId,
}

impl From<LoggedEvent> for EventJson {
    fn from(event: LoggedEvent) -> Self {
        let LoggedEvent { seq, id, group_id, name, args, client_id, session_id, .. } = event;
        // A client-only event stands behind a synced one, at the same position.
        let own = u64::from(seq.client == 0);
        let parent_seq_num = GlobalSeqNum(seq.global.0.saturating_sub(own));
        let seq_num = seq.global;
        Self { name, args, seq_num, parent_seq_num, client_id, session_id, id, group_id }
    }
}

/// What to do with events that the schema does not know, as JSON.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UnknownJson {
    #[default]
    Warn,
    Ignore,
    Fail,
    Callback,
}

impl UnknownJson {
    pub(crate) fn answer(self, host: &SharedHost) -> UnknownEvents {
        match self {
            Self::Warn => UnknownEvents::Warn,
            Self::Ignore => UnknownEvents::Ignore,
            Self::Fail => UnknownEvents::Fail,
            Self::Callback => {
                let host = host.clone();
                UnknownEvents::callback(move |event| tell(&host, event))
            }
        }
    }
}

fn tell(host: &SharedHost, event: &LoggedEvent) {
    let json = serde_json::to_string(&EventJson::from(event.clone()));
    let json = json.map_err(|error| tagged("QueryError", &error.to_string()));
    if let Err(error) = json.and_then(|json| host.unknown_event(&json)) {
        report(&error);
    }
}

/// Which confirmed events are wanted, as JSON; whatever is not said does not matter.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wanted {
    /// The position after which to begin.
    since: u64,
    /// The last position to look at.
    until: Option<u64>,
    limit: usize,
    names: Option<Vec<String>>,
    client_ids: Option<Vec<String>>,
    session_ids: Option<Vec<String>>,
}

impl Wanted {
    fn wants(&self, event: &LoggedEvent) -> bool {
        let is_among = |wanted: &Option<Vec<String>>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| wanted == text))
        };
        is_among(&self.names, event.name.as_str())
            && is_among(&self.client_ids, event.client_id.as_str())
            && is_among(&self.session_ids, event.session_id.as_str())
    }

    fn limit(&self) -> usize {
        self.limit.max(1)
    }
}

/// What was found, as JSON.
#[derive(Serialize)]
struct Found {
    events: Vec<EventJson>,
    /// The position up to which the log has been looked through.
    next: u64,
    /// True if that is the last one that was to be looked at.
    done: bool,
}

impl Found {
    /// Looks at the next events, some of them if there are many; tells whether it got any further.
    fn look(&mut self, store: &Store, wanted: &Wanted) -> Result<bool, QueryError> {
        let before = self.next;
        let since = GlobalSeqNum(before).min(GlobalSeqNum::MAX);
        for event in store.events().since(since).take(SLICE) {
            let event = event?;
            let position = event.seq.global.0;
            if !event.confirmed || self.events.len() >= wanted.limit() {
                break;
            }
            // What stays with this client stands between the positions.
            if event.seq.client > 0 {
                continue;
            }
            if wanted.until.is_some_and(|until| position > until) {
                break;
            }
            self.next = position;
            if wanted.wants(&event) {
                self.events.push(event.into());
            }
        }
        self.done = wanted.until.is_some_and(|until| self.next >= until);
        Ok(self.next > before)
    }
}

/// Waits until there is at least one event that is wanted, or the last position is reached.
async fn find(
    store: Weak<Store>,
    mut statuses: LiveStream<SyncStatus>,
    wanted: Wanted,
) -> Result<Found, QueryError> {
    let mut found = Found { events: Vec::new(), next: wanted.since, done: false };
    loop {
        statuses.next().await.ok_or(Unavailable::Closed)??;
        loop {
            let got_further = found.look(&*store.upgrade().ok_or(Unavailable::Closed)?, &wanted)?;
            if found.done || !found.events.is_empty() {
                return Ok(found);
            }
            if !got_further {
                break;
            }
            TimeoutFuture::new(0).await;
        }
    }
}

#[wasm_bindgen]
impl StoreHandle {
    /// Promises confirmed events behind a position, in the order of the log, as JSON: as soon as there
    /// is one that is wanted, or all up to `until` have been looked at. `next` is where to go on.
    ///
    /// Events that stay with this client are not among them.
    #[wasm_bindgen(js_name = nextEvents)]
    pub fn next_events(&self, options: String) -> Result<Promise, JsValue> {
        not_computing()?;
        let (store, statuses) =
            (Rc::downgrade(&self.store), self.store.live_sync_status().stream());
        Ok(future_to_promise(async move {
            let invalid = |error: serde_json::Error| tagged("QueryError", &error.to_string());
            let wanted: Wanted = serde_json::from_str(&options).map_err(invalid)?;
            let found = find(store, statuses, wanted).await.map_err(throw)?;
            Ok(serde_json::to_string(&found).map_err(invalid)?.into())
        }))
    }
}
