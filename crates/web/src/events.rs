//! The log as TypeScript reads it.

use std::rc::{Rc, Weak};

use futures_util::StreamExt;
use futures_util::future::{AbortHandle, abortable};
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

    /// Tells whether a position is the last one that is to be looked at, or behind it.
    fn ends_at(&self, position: u64) -> bool {
        self.until.is_some_and(|until| position >= until)
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
    fn nothing_behind(position: u64) -> Self {
        Self { events: Vec::new(), next: position, done: false }
    }

    /// Looks at the next events, some of them if there are many; tells whether it got any further.
    fn look(&mut self, store: &Store, wanted: &Wanted) -> Result<bool, QueryError> {
        let before = self.next;
        let since = GlobalSeqNum(before).min(GlobalSeqNum::MAX);
        // Any number of events that stay with this client may stand between two positions.
        let is_synced = |event: &Result<LoggedEvent, QueryError>| {
            event.as_ref().map_or(true, |event| event.seq.client == 0)
        };
        for event in store.events().since(since).filter(is_synced).take(SLICE) {
            let event = event?;
            let position = event.seq.global.0;
            if !event.confirmed || self.events.len() >= wanted.limit() {
                break;
            }
            if let Some(until) = wanted.until.filter(|until| position > *until) {
                self.next = until;
                break;
            }
            self.next = position;
            if wanted.wants(&event) {
                self.events.push(event.into());
            }
        }
        self.done = wanted.ends_at(self.next);
        Ok(self.next > before)
    }
}

/// Waits until there is at least one event that is wanted, or the last position is reached.
async fn find(
    store: Weak<Store>,
    mut statuses: LiveStream<SyncStatus>,
    wanted: Wanted,
) -> Result<Found, QueryError> {
    let mut found = Found::nothing_behind(wanted.since);
    found.done = wanted.ends_at(found.next);
    while !found.done && found.events.is_empty() {
        let status = statuses.next().await.ok_or(Unavailable::Closed)??;
        // What else is new concerns no event that is confirmed.
        while found.next < status.confirmed_head.0 {
            let got_further = found.look(&*store.upgrade().ok_or(Unavailable::Closed)?, &wanted)?;
            if !got_further || found.done || !found.events.is_empty() {
                break;
            }
            livestore::yield_now().await;
        }
    }
    Ok(found)
}

/// Events that are waited for, until this is freed.
#[wasm_bindgen]
pub struct EventsHandle {
    found: Promise,
    abort: AbortHandle,
}

#[wasm_bindgen]
impl EventsHandle {
    /// Promises what is found, as JSON; if this is freed before, that is nothing.
    #[wasm_bindgen(getter)]
    pub fn found(&self) -> Promise {
        self.found.clone()
    }
}

impl Drop for EventsHandle {
    fn drop(&mut self) {
        self.abort.abort();
    }
}

#[wasm_bindgen]
impl StoreHandle {
    /// Waits for confirmed events behind a position, in the order of the log: until there is one that is
    /// wanted, or all up to `until` have been looked at. `next` is where to go on.
    ///
    /// Events that stay with this client are not among them.
    #[wasm_bindgen(js_name = nextEvents)]
    pub fn next_events(&self, options: &str) -> Result<EventsHandle, JsValue> {
        not_computing()?;
        let invalid = |error: serde_json::Error| tagged("QueryError", &error.to_string());
        let wanted: Wanted = serde_json::from_str(options).map_err(invalid)?;
        let since = wanted.since;
        let (store, statuses) =
            (Rc::downgrade(&self.store), self.store.live_sync_status().stream());
        let (found, abort) = abortable(find(store, statuses, wanted));
        let found = future_to_promise(async move {
            let found = found.await.unwrap_or_else(|_| Ok(Found::nothing_behind(since)));
            Ok(serde_json::to_string(&found.map_err(throw)?).map_err(invalid)?.into())
        });
        Ok(EventsHandle { found, abort })
    }
}
