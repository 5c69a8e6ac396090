//! Schemas as TypeScript describes them.

use livestore::{
    ColumnDef, ColumnType, DocumentDef, EventDef, EventKind, FtsDef, IndexDef, Schema,
    SchemaBuilder, Scope, TableDef, UnknownEvents, Value,
};
use send_wrapper::SendWrapper;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::rc::Rc;
use wasm_bindgen::JsValue;

use crate::error::tagged;
use crate::host::SharedHost;
use crate::materialize::Materializing;

/// A schema, as JSON. Its parts are read one by one, so that errors can name them.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SchemaJson {
    tables: Vec<Box<RawValue>>,
    events: Vec<Box<RawValue>>,
    #[serde(default)]
    documents: Vec<Box<RawValue>>,
    #[serde(default)]
    persist_client_only: bool,
    #[serde(default)]
    materializer_version: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TableJson {
    name: String,
    scope: Scope,
    columns: Vec<Box<RawValue>>,
    #[serde(default)]
    indexes: Vec<Box<RawValue>>,
    #[serde(default)]
    full_text: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ColumnJson {
    name: String,
    #[serde(rename = "type")]
    column_type: ColumnType,
    #[serde(default)]
    nullable: bool,
    #[serde(default)]
    primary_key: bool,
    #[serde(default)]
    auto_increment: bool,
    default: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct IndexJson {
    name: String,
    columns: Vec<String>,
    #[serde(default)]
    unique: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FullTextJson {
    name: String,
    columns: Vec<String>,
    tokenizer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EventJson {
    name: String,
    kind: Kind,
    deprecated: Option<String>,
    #[serde(default)]
    deprecated_fields: Vec<(String, String)>,
}

/// How far an event goes; what is client-only and says no more is for the schema to say.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kind {
    Synced,
    ClientOnly,
    Persisted,
    Memory,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DocumentJson {
    name: String,
    default: serde_json::Value,
    #[serde(default)]
    by_session: bool,
}

/// Reads a part of a description; an error says which one.
fn part<T: DeserializeOwned>(kind: &str, json: &RawValue) -> Result<T, String> {
    /// What all parts have.
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }

    serde_json::from_str(json.get()).map_err(|error| {
        match serde_json::from_str::<Named>(json.get()) {
            Ok(Named { name }) => format!("{kind} {name}: {error}"),
            Err(_) => format!("{kind} {json}: {error}"),
        }
    })
}

impl SchemaJson {
    pub(crate) fn build(
        self,
        host: &SharedHost,
        unknown_events: UnknownEvents,
    ) -> Result<Schema, JsValue> {
        self.define(host, unknown_events).map_err(|why| tagged("SchemaError", &why))
    }

    fn define(self, host: &SharedHost, unknown_events: UnknownEvents) -> Result<Schema, String> {
        let mut tables = Vec::with_capacity(self.tables.len());
        for json in &self.tables {
            tables.push(part::<TableJson>("table", json)?.define()?);
        }
        let materializing = Materializing::new(host.clone(), tables.clone());
        let materializing = SendWrapper::new(Rc::new(materializing));
        let mut builder = tables.into_iter().fold(Schema::builder(), SchemaBuilder::table_def);
        for json in &self.events {
            let event: EventJson = part("event", json)?;
            let name = SendWrapper::new(JsValue::from_str(&event.name));
            let materializing = materializing.clone();
            builder = builder.event_def(event.define(), move |args, context| {
                materializing.run(&name, args, context)
            });
        }
        for json in &self.documents {
            builder = builder.document_def(part::<DocumentJson>("document", json)?.define()?);
        }
        let schema = builder
            .persist_client_only(self.persist_client_only)
            .materializer_version(self.materializer_version)
            .unknown_events(unknown_events)
            .build();
        schema.map_err(|error| error.to_string())
    }
}

impl TableJson {
    fn define(self) -> Result<TableDef, String> {
        let name = self.name;
        let of_table = |error: String| format!("table {name}: {error}");
        let columns = self.columns.iter().map(|json| part::<ColumnJson>("column", json));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(of_table)?;
        let indexes = self.indexes.iter().map(|json| part::<IndexJson>("index", json));
        let indexes = indexes.collect::<Result<Vec<_>, _>>().map_err(of_table)?;
        let full_text =
            self.full_text.iter().map(|json| part::<FullTextJson>("full-text index", json));
        let full_text = full_text.collect::<Result<Vec<_>, _>>().map_err(of_table)?;
        let table = TableDef::new(name, columns.into_iter().map(ColumnJson::define));
        let index = |table: TableDef, index: IndexJson| {
            let def = IndexDef::new(index.name, index.columns);
            table.index(if index.unique { def.unique() } else { def })
        };
        let table = table.map_err(|error| error.to_string())?;
        let table = indexes.into_iter().fold(table, index);
        let full_text = full_text.into_iter().map(FullTextJson::define);
        Ok(full_text.fold(table, TableDef::full_text).with_scope(self.scope))
    }
}

impl FullTextJson {
    fn define(self) -> FtsDef {
        let def = FtsDef::new(self.name, self.columns);
        self.tokenizer.into_iter().fold(def, FtsDef::tokenizer)
    }
}

impl DocumentJson {
    fn define(self) -> Result<DocumentDef, String> {
        let def = DocumentDef::new(&*self.name, &self.default);
        let def = def.map_err(|error| format!("document {}: {error}", self.name))?;
        Ok(if self.by_session { def.by_session() } else { def })
    }
}

impl ColumnJson {
    fn define(self) -> ColumnDef {
        let mut column = ColumnDef::new(self.name, self.column_type);
        if self.nullable {
            column = column.nullable();
        }
        if self.primary_key {
            column = column.primary_key();
        }
        if self.auto_increment {
            column = column.auto_increment();
        }
        match self.default {
            Some(value) => column.default(value),
            None => column,
        }
    }
}

impl EventJson {
    fn define(self) -> EventDef {
        let def = match self.kind {
            Kind::Synced => EventDef::synced(self.name),
            Kind::ClientOnly => EventDef::client_only(self.name),
            Kind::Persisted => EventDef::new(self.name, EventKind::ClientOnly),
            Kind::Memory => EventDef::new(self.name, EventKind::Memory),
        };
        let def = self.deprecated.into_iter().fold(def, EventDef::deprecated);
        let fields = self.deprecated_fields.into_iter();
        fields.fold(def, |def, (field, why)| def.deprecated_field(field, why))
    }
}
