//! Client documents as TypeScript has them: values as JSON.

use livestore::{Document, computed, query_db};
use serde_json::Value;
use wasm_bindgen::prelude::*;

use crate::error::tagged;
use crate::host::JsOutcome;
use crate::live::{Live, LiveHandle};
use crate::store::{ReceiptHandle, StoreHandle, throw};

impl StoreHandle {
    /// Finds a document; without an id, that is `default`, or the session's.
    fn document(&self, name: &str, id: Option<String>) -> Result<Document<Value>, JsValue> {
        let unknown = || tagged("UnknownDocument", &format!("the schema has no document {name}"));
        let document = self.store.document_json(name).ok_or_else(unknown)?;
        Ok(match id {
            Some(id) => document.with_id(id),
            None => document,
        })
    }
}

#[wasm_bindgen]
impl StoreHandle {
    /// Reads a document: what was set, and the default for what was not.
    #[wasm_bindgen(js_name = documentGet)]
    pub fn document_get(&self, name: &str, id: Option<String>) -> Result<String, JsValue> {
        Ok(self.document(name, id)?.get().map_err(throw)?.to_string())
    }

    /// Makes a document live, whose value is a text of JSON.
    #[wasm_bindgen(js_name = liveDocument)]
    pub fn live_document(
        &self,
        name: &str,
        id: Option<String>,
        label: Option<String>,
    ) -> Result<LiveHandle, JsValue> {
        let value = query_db(self.document(name, id)?.query());
        let host = self.host.clone();
        let mut def = computed(move |context| {
            let json = context.get(&value)?.to_string();
            Ok(JsOutcome::new(&host, Ok(json.into())))
        });
        if let Some(label) = label {
            def = def.label(label);
        }
        Ok(self.enter(Live::Value(self.store.live(def))))
    }

    /// Sets a document, or, if that is partial, the fields that are given.
    #[wasm_bindgen(js_name = documentSet)]
    pub fn document_set(
        &self,
        name: &str,
        id: Option<String>,
        value: &str,
        partial: bool,
    ) -> Result<ReceiptHandle, JsValue> {
        let document = self.document(name, id)?;
        let value: Value = serde_json::from_str(value)
            .map_err(|error| tagged("PayloadError", &format!("{name}: {error}")))?;
        let set = if partial { document.set_fields(&value) } else { document.set(&value) };
        set.map(ReceiptHandle).map_err(throw)
    }
}
