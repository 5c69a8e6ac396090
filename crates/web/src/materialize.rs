//! Materializers, which are TypeScript's.

use std::cell::RefCell;
use std::collections::HashMap;

use livestore::{
    CanonicalJson, MaterializeError, MaterializerContext, RawWrite, TableDef, Value, Write,
};
use wasm_bindgen::JsValue;

use crate::error::tagged;
use crate::host::{LastText, SharedHost, text_to_js, thrown};
use crate::query::Parsed;

/// How many texts of writes are kept, and how long each may be, in bytes: an app may put values into its
/// SQL.
const MOST: usize = 500;
const LONGEST: usize = 4096;

/// A write, as JSON: the number of its text, and its values.
type WriteJson = (u32, Vec<Value>);

/// Has TypeScript turn events into writes, for one schema.
pub(crate) struct Materializing {
    host: SharedHost,
    tables: Vec<TableDef>,
    parsed: Parsed,
    /// The texts of writes, by the numbers that TypeScript has given them.
    texts: RefCell<HashMap<u32, RawWrite>>,
    client: LastText,
    session: LastText,
}

impl Materializing {
    pub(crate) fn new(host: SharedHost, tables: Vec<TableDef>) -> Self {
        Self {
            host,
            tables,
            parsed: Parsed::default(),
            texts: RefCell::default(),
            client: LastText::default(),
            session: LastText::default(),
        }
    }

    /// Asks for the writes of an event of a name.
    pub(crate) fn run(
        &self,
        name: &JsValue,
        args: &CanonicalJson,
        context: &MaterializerContext<'_>,
    ) -> Result<Vec<Write>, MaterializeError> {
        let query = |description: JsValue, values: JsValue| {
            let text = |value: JsValue| value.as_string().unwrap_or_default();
            let query = self.parsed.parse_read(&text(description), &text(values), &self.tables);
            let query = query.map_err(|why| tagged("QueryError", &why))?;
            let rows = context.query(&query);
            Ok(rows.map_err(|error| tagged("QueryError", &error.to_string()))?.to_js().into())
        };
        let client = self.client.get(context.client_id().as_str());
        let session = self.session.get(context.session_id().as_str());
        let args = text_to_js(args.as_str());
        let writes = self.host.materialize(name, &args, &client, &session, &query);
        let writes = writes.map_err(|error| MaterializeError::failed(thrown(&error)))?;
        let json = writes.as_string().unwrap_or_default();
        let writes: Vec<WriteJson> =
            serde_json::from_str(&json).map_err(MaterializeError::failed)?;
        writes.into_iter().map(|(number, binds)| Ok(self.text(number)?.with(binds))).collect()
    }

    /// Returns the text of a number; TypeScript knows it as long as it has not materialized anything else.
    fn text(&self, number: u32) -> Result<RawWrite, MaterializeError> {
        if let Some(known) = self.texts.borrow().get(&number) {
            return Ok(known.clone());
        }
        let told = self.host.statement(number);
        let told = told.map_err(|error| MaterializeError::failed(thrown(&error)))?;
        let told =
            told.as_string().ok_or_else(|| MaterializeError::failed("a write is no text"))?;
        let text = RawWrite::new(&told);
        if told.len() <= LONGEST {
            let mut texts = self.texts.borrow_mut();
            if texts.len() >= MOST {
                texts.clear();
            }
            texts.insert(number, text.clone());
        }
        Ok(text)
    }
}
