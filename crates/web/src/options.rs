//! How TypeScript has a store opened.

use livestore::{ClientId, SessionId, Store, StoreOptions, WebAdapter};
use serde::Deserialize;
use wasm_bindgen::JsValue;

use crate::error::tagged;
use crate::events::UnknownJson;
use crate::host::SharedHost;
use crate::schema::SchemaJson;
use crate::store::throw;
use crate::sync::SyncJson;

/// The options, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OpenJson {
    store_id: String,
    client_id: Option<String>,
    session_id: Option<String>,
    schema: SchemaJson,
    sync: Option<SyncJson>,
    #[serde(default)]
    unknown_events: UnknownJson,
}

/// Opens a store in memory.
pub(crate) fn open(options: &str, host: &SharedHost) -> Result<Store, JsValue> {
    let invalid = |why: String| tagged("OpenError", &why);
    let options: OpenJson =
        serde_json::from_str(options).map_err(|error| invalid(error.to_string()))?;
    let schema = options.schema.build(host, options.unknown_events.answer(host))?;
    let mut adapter = WebAdapter::in_memory();
    if let Some(id) = options.client_id {
        adapter = adapter.client_id(ClientId::new(id).map_err(|e| invalid(e.to_string()))?);
    }
    if let Some(id) = options.session_id {
        adapter = adapter.session_id(SessionId::new(id).map_err(|e| invalid(e.to_string()))?);
    }
    if let Some(sync) = options.sync {
        adapter = adapter.sync(sync.provider(host));
    }
    Store::open_with(schema, options.store_id, adapter, StoreOptions::new()).map_err(throw)
}
