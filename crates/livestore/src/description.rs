//! The whole schema as a value to be written down: for tools, other languages and documents.

use std::fmt::Write as _;

use livestore_sqlite::{TableDef, TableDescription};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{EventDef, EventKind, Schema};

/// What a schema is, as a serialisable value; from [`Schema::describe`].
///
/// In JSON its names are in camel case. They do not change; more may come.
///
/// ```
/// # use livestore::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Event, Serialize, Deserialize)]
/// # #[event(name = "v1.TodoCreated")]
/// # struct TodoCreated { id: String }
/// # #[derive(Table, Clone, Debug, PartialEq)]
/// # #[table(name = "todos")]
/// # struct Todo { #[column(primary_key)] id: String }
/// let schema = Schema::builder()
///     .table::<Todo>()
///     .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id }))
///     .build()?;
/// let json = serde_json::to_value(schema.describe())?;
/// assert_eq!(json["tables"][0]["columns"][0]["type"], "text");
/// assert_eq!(json["events"][0]["name"], "v1.TodoCreated");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SchemaDescription {
    /// Which definitions the state is derived with, as 64 hexadecimal digits.
    pub state_version: String,
    /// The version of the materializers' code.
    pub materializer_version: u64,
    /// The tables, ordered by name.
    pub tables: Vec<TableDescription>,
    /// The events, ordered by name.
    pub events: Vec<EventDescription>,
}

/// What an event is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct EventDescription {
    /// Its name in the log.
    pub name: String,
    /// The number in its name, as 2 in `v2.TodoCreated`; left out if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// How far it goes.
    pub kind: EventKind,
    /// The version of its materializer; left out if it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub materializer_version: u64,
    /// Why it should no longer be used; left out if it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<String>,
    /// The JSON Schema of its payload; left out if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Schema {
    /// Describes tables and events as a value that can be written down.
    pub fn describe(&self) -> SchemaDescription {
        let event = |def: &EventDef| EventDescription {
            name: def.name().into(),
            version: version_in(def.name()),
            kind: def.kind(),
            materializer_version: def.materializer_version(),
            deprecated: def.deprecation().map(Into::into),
            payload: def.payload(),
        };
        let events = self.events().into_iter().map(event).collect();
        SchemaDescription {
            state_version: self.state_version().to_hex(),
            materializer_version: self.materializer_version(),
            tables: self.tables().iter().map(TableDef::describe).collect(),
            events,
        }
    }
}

impl SchemaDescription {
    /// Makes one JSON Schema (draft 2020-12) of all events.
    ///
    /// It holds for an object with the `name` and the `args` of an event, as `livestore log --json`
    /// prints it; `$defs` has the schema of each payload under the event's name. A payload that is
    /// not known may be anything.
    pub fn to_json_schema(&self) -> Value {
        let (mut payloads, mut events) = (Map::new(), Vec::new());
        for EventDescription { name, payload, .. } in &self.events {
            let at = format!("#/$defs/{}", pointer_part(name));
            let mut payload = payload.clone().unwrap_or(Value::Bool(true));
            if let Value::Object(schema) = &mut payload {
                // The whole says which draft it is.
                schema.remove("$schema");
                move_references(&mut payload, &at);
            }
            payloads.insert(name.clone(), payload);
            events.push(json!({
                "type": "object",
                "properties": { "name": { "const": name }, "args": { "$ref": at } },
                "required": ["name", "args"],
            }));
        }
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Event",
            "oneOf": events,
            "$defs": payloads,
        })
    }
}

/// Returns the JSON Schema of a type; for the derive macro.
#[cfg(feature = "schemars")]
pub fn json_schema_of<T: schemars::JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

fn version_in(name: &str) -> Option<u32> {
    let (version, _) = name.strip_prefix('v')?.split_once('.')?;
    version.bytes().all(|byte| byte.is_ascii_digit()).then(|| version.parse().ok())?
}

/// Writes a name as one part of a JSON pointer in the fragment of a URI.
fn pointer_part(name: &str) -> String {
    let mut part = String::new();
    for byte in name.bytes() {
        match byte {
            b'~' => part.push_str("~0"),
            b'/' => part.push_str("~1"),
            b'-' | b'.' | b'_' => part.push(byte.into()),
            byte if byte.is_ascii_alphanumeric() => part.push(byte.into()),
            byte => drop(write!(part, "%{byte:02X}")),
        }
    }
    part
}

/// Makes references inside a schema lead to where it stands in the whole.
fn move_references(schema: &mut Value, at: &str) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| move_references(schema, at)),
        Value::Object(schema) => {
            for (keyword, value) in schema {
                match (keyword.as_str(), value) {
                    // These hold values that only look like schemas.
                    ("const" | "enum" | "default" | "examples", _) => {}
                    ("$ref" | "$dynamicRef", Value::String(to)) => {
                        if let Some(inside) = to.strip_prefix('#')
                            && (inside.is_empty() || inside.starts_with('/'))
                        {
                            *to = format!("{at}{inside}");
                        }
                    }
                    // The keys of these are names of the payload's, not keywords.
                    (
                        "properties" | "patternProperties" | "$defs" | "definitions"
                        | "dependentSchemas",
                        Value::Object(schemas),
                    ) => schemas.values_mut().for_each(|schema| move_references(schema, at)),
                    (_, value) => move_references(value, at),
                }
            }
        }
        _ => {}
    }
}
