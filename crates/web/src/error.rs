//! Errors as JavaScript has them: an `Error` with a tag that says which one it is.

use std::error::Error;

use js_sys::Reflect;
use livestore::{
    CommitError, ExecuteError, MaterializeError, OpenError, QueryError, ReceiptError, SqliteError,
    Unavailable,
};
use wasm_bindgen::JsValue;

/// Makes an error with a tag by which code tells it from others.
pub(crate) fn tagged(tag: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name(tag);
    // Setting a property of a new object cannot fail.
    let _ = Reflect::set(&error, &"_tag".into(), &tag.into());
    error.into()
}

/// An error of this crate that has a tag.
pub(crate) trait Tagged: Error {
    fn tag(&self) -> &'static str;

    /// What it is about, as properties: an event, a table with its scope.
    fn about(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Turns an error into JavaScript's, with all that caused it in its message.
pub(crate) fn to_js(error: &impl Tagged) -> JsValue {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        cause = error.source();
    }
    let js = tagged(error.tag(), &message);
    for (property, value) in error.about() {
        let _ = Reflect::set(&js, &property.into(), &value.into());
    }
    js
}

impl Tagged for Unavailable {
    fn tag(&self) -> &'static str {
        match self {
            Self::Closed => "StoreClosed",
            Self::InMaterializer => "StoreInMaterializer",
            Self::InComputed => "StoreInComputed",
            _ => "StoreUnavailable",
        }
    }
}

impl Tagged for OpenError {
    fn tag(&self) -> &'static str {
        match self {
            Self::StoreId(_) => "InvalidStoreId",
            Self::Sqlite(_) => "SqliteError",
            _ => "OpenError",
        }
    }
}

impl Tagged for CommitError {
    fn tag(&self) -> &'static str {
        match self {
            Self::Backpressure { .. } => "Backpressure",
            Self::UnknownEvent { .. } => "UnknownEventError",
            Self::EventName(_) => "InvalidEventName",
            Self::Payload { .. } => "PayloadError",
            Self::Materialize { .. } => "MaterializeError",
            Self::GroupTooLarge { .. } | Self::Group(_) => "GroupError",
            Self::UnknownDocument { .. } => "UnknownDocument",
            Self::Document { .. } => "DocumentError",
            Self::Sqlite(_) => "SqliteError",
            Self::Query(error) => error.tag(),
            Self::Store(unavailable) => unavailable.tag(),
            _ => "CommitError",
        }
    }

    fn about(&self) -> Vec<(&'static str, String)> {
        let event = match self {
            Self::UnknownEvent { name, .. }
            | Self::Payload { name, .. }
            | Self::Materialize { name, .. } => ("event", name.to_string()),
            _ => return Vec::new(),
        };
        let Self::Materialize { source: MaterializeError::Sqlite(error), .. } = self else {
            return vec![event];
        };
        match error {
            SqliteError::OutOfScope { table, scope, .. } => {
                vec![event, ("table", table.clone()), ("scope", scope.to_string())]
            }
            _ => vec![event],
        }
    }
}

impl Tagged for ExecuteError<serde_json::Value> {
    fn tag(&self) -> &'static str {
        match self {
            Self::Commit(error) => error.tag(),
            Self::Unknown { .. } => "UnknownCommand",
            _ => "CommandError",
        }
    }

    fn about(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Commit(error) => error.about(),
            _ => Vec::new(),
        }
    }
}

impl Tagged for QueryError {
    fn tag(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SqliteError",
            Self::UnknownDocument { .. } => "UnknownDocument",
            Self::Store(unavailable) => unavailable.tag(),
            _ => "QueryError",
        }
    }
}

impl Tagged for ReceiptError {
    fn tag(&self) -> &'static str {
        match self {
            Self::NoBackend => "NoBackend",
            Self::Rejected { .. } => "Rejected",
            Self::Archived => "Archived",
            Self::NotSynced => "NotSynced",
            Self::DiskFailed => "DiskFailed",
            Self::Query(error) => error.tag(),
            _ => "ReceiptError",
        }
    }
}
