//! How a store is: its sync, and what is not as it should be.

use js_sys::Function;
use livestore::{DeadLetter, GroupId, LiveQuery, SyncStatus, Warning};
use send_wrapper::SendWrapper;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use crate::error::tagged;
use crate::host::report;
use crate::store::{ReceiptHandle, StoreHandle, SubscriptionHandle, not_computing, throw};

/// A status, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusJson<'a> {
    is_synced: bool,
    #[serde(flatten)]
    status: &'a SyncStatus,
}

/// Something with a text for people, as JSON.
#[derive(Serialize)]
struct Told<'a, T> {
    message: String,
    #[serde(flatten)]
    what: &'a T,
}

fn json<T: Serialize + ?Sized>(value: &T) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|error| tagged("QueryError", &error.to_string()))
}

fn status_json(status: &SyncStatus) -> Result<String, JsValue> {
    json(&StatusJson { is_synced: status.is_synced(), status })
}

fn told_json<T: Serialize>(list: &[T], message: impl Fn(&T) -> String) -> Result<String, JsValue> {
    let told = list.iter().map(|what| Told { message: message(what), what });
    json(&told.collect::<Vec<_>>())
}

fn letters_json(letters: &[DeadLetter]) -> Result<String, JsValue> {
    told_json(letters, |letter| letter.reason.to_string())
}

fn warnings_json(warnings: &[Warning]) -> Result<String, JsValue> {
    told_json(warnings, ToString::to_string)
}

/// Calls a function with the JSON of a value, now and whenever it has changed.
fn subscribe<T: Clone + PartialEq + Send + Sync + 'static>(
    live: &LiveQuery<T>,
    on_change: Function,
    json: fn(&T) -> Result<String, JsValue>,
) -> Result<SubscriptionHandle, JsValue> {
    not_computing()?;
    let on_change = SendWrapper::new(on_change);
    Ok(SubscriptionHandle::new(live.subscribe(move |value| {
        let told = json(value).and_then(|json| on_change.call1(&JsValue::UNDEFINED, &json.into()));
        if let Err(error) = told {
            report(&error);
        }
    })))
}

fn group_id(text: &str) -> Result<GroupId, JsValue> {
    text.parse().map_err(|_| tagged("InvalidGroupId", &format!("{text:?} is no id of a group")))
}

#[wasm_bindgen]
impl StoreHandle {
    /// Returns where the store stands towards the backend, as JSON.
    #[wasm_bindgen(js_name = syncStatus)]
    pub fn sync_status(&self) -> Result<String, JsValue> {
        status_json(&self.store.sync_status().map_err(throw)?)
    }

    /// Calls a function with the sync status, as JSON, now and at each change.
    #[wasm_bindgen(js_name = subscribeSyncStatus)]
    pub fn subscribe_sync_status(
        &self,
        on_change: Function,
    ) -> Result<SubscriptionHandle, JsValue> {
        subscribe(&self.store.live_sync_status(), on_change, status_json)
    }

    /// Tries to reach the backend at once.
    #[wasm_bindgen(js_name = retryNow)]
    pub fn retry_now(&self) -> Result<(), JsValue> {
        self.store.retry_now().map_err(throw)
    }

    /// Returns the groups that did not make it, as JSON, oldest first.
    #[wasm_bindgen(js_name = deadLetters)]
    pub fn dead_letters(&self) -> Result<String, JsValue> {
        letters_json(&self.store.dead_letters().map_err(throw)?)
    }

    /// Calls a function with the dead letters, as JSON, now and at each change.
    #[wasm_bindgen(js_name = subscribeDeadLetters)]
    pub fn subscribe_dead_letters(
        &self,
        on_change: Function,
    ) -> Result<SubscriptionHandle, JsValue> {
        subscribe(&self.store.live_dead_letters(), on_change, |letters| letters_json(letters))
    }

    /// Forgets a dead letter; tells whether it was there.
    #[wasm_bindgen(js_name = acknowledgeDeadLetter)]
    pub fn acknowledge_dead_letter(&self, group: &str) -> Result<bool, JsValue> {
        self.store.acknowledge_dead_letter(group_id(group)?).map_err(throw)
    }

    /// Commits the events of a dead letter again, as a new group, and forgets the letter.
    #[wasm_bindgen(js_name = retryDeadLetter)]
    pub fn retry_dead_letter(&self, group: &str) -> Result<ReceiptHandle, JsValue> {
        let receipt = self.store.retry_dead_letter(group_id(group)?).map_err(throw)?;
        let unknown = || tagged("UnknownDeadLetter", &format!("there is no dead letter {group}"));
        receipt.map(ReceiptHandle).ok_or_else(unknown)
    }

    /// Returns the confirmed events that could not be materialized, as JSON.
    pub fn quarantined(&self) -> Result<String, JsValue> {
        json(&self.store.quarantined().map_err(throw)?)
    }

    /// Returns what is not as it should be and hinders nobody, as JSON.
    pub fn warnings(&self) -> Result<String, JsValue> {
        warnings_json(&self.store.warnings())
    }

    /// Calls a function with the warnings, as JSON, now and at each change.
    #[wasm_bindgen(js_name = subscribeWarnings)]
    pub fn subscribe_warnings(&self, on_change: Function) -> Result<SubscriptionHandle, JsValue> {
        subscribe(&self.store.live_warnings(), on_change, |warnings| warnings_json(warnings))
    }
}
