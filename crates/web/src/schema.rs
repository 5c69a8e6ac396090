//! Schemas as TypeScript describes them.

use livestore::ast::Statement;
use livestore::{
    CanonicalJson, ColumnDef, ColumnType, DocumentDef, EventDef, EventKind, IndexDef,
    MaterializeError, MaterializerContext, Schema, SchemaBuilder, Scope, TableDef, TableError,
    UnknownEvents, Value, Write,
};
use serde::Deserialize;
use std::sync::Arc;
use wasm_bindgen::JsValue;

use crate::error::tagged;
use crate::host::{SharedHost, thrown};
use crate::query::WebQuery;
use crate::value;

/// A schema, as JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SchemaJson {
    tables: Vec<TableJson>,
    events: Vec<EventJson>,
    #[serde(default)]
    documents: Vec<DocumentJson>,
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
    columns: Vec<ColumnJson>,
    #[serde(default)]
    indexes: Vec<IndexJson>,
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
    #[serde(default)]
    unique: bool,
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
struct EventJson {
    name: String,
    kind: Kind,
    #[serde(default)]
    version: u64,
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

/// A write of a materializer, as JSON.
#[derive(Deserialize)]
#[serde(untagged)]
enum WriteJson {
    Sql {
        sql: String,
        #[serde(default)]
        binds: Vec<Value>,
    },
    Statement(Box<Statement>),
}

impl SchemaJson {
    pub(crate) fn build(self, host: &SharedHost) -> Result<Schema, JsValue> {
        let invalid = |why: String| tagged("SchemaError", &why);
        let tables = self.tables.into_iter().map(TableJson::define).collect::<Result<Vec<_>, _>>();
        let tables = tables.map_err(|error| invalid(error.to_string()))?;
        let known: Arc<[TableDef]> = tables.clone().into();
        let builder = tables.into_iter().fold(Schema::builder(), SchemaBuilder::table_def);
        let builder = self.events.into_iter().fold(builder, |builder, event| {
            let (host, known) = (host.clone(), Arc::clone(&known));
            builder.event_def(event.define(), move |args, context| {
                materialize(&host, &known, args, context)
            })
        });
        let documents = self.documents.into_iter().map(|document| {
            let def = DocumentDef::new(document.name, &document.default)?;
            Ok(if document.by_session { def.by_session() } else { def })
        });
        let documents: Result<Vec<_>, livestore::JsonError> = documents.collect();
        let documents = documents.map_err(|error| invalid(error.to_string()))?;
        let builder = documents.into_iter().fold(builder, SchemaBuilder::document_def);
        let schema = builder
            .persist_client_only(self.persist_client_only)
            .materializer_version(self.materializer_version)
            .unknown_events(UnknownEvents::default())
            .build();
        schema.map_err(|error| invalid(error.to_string()))
    }
}

impl TableJson {
    fn define(self) -> Result<TableDef, TableError> {
        let table = TableDef::new(self.name, self.columns.into_iter().map(ColumnJson::define))?;
        let index = |table: TableDef, index: IndexJson| {
            let def = IndexDef::new(index.name, index.columns);
            table.index(if index.unique { def.unique() } else { def })
        };
        Ok(self.indexes.into_iter().fold(table, index).with_scope(self.scope))
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
        if self.unique {
            column = column.unique();
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
        let def = self.deprecated.into_iter().fold(def.version(self.version), EventDef::deprecated);
        let fields = self.deprecated_fields.into_iter();
        fields.fold(def, |def, (field, why)| def.deprecated_field(field, why))
    }
}

/// Asks TypeScript for the writes of an event.
fn materialize(
    host: &SharedHost,
    tables: &[TableDef],
    args: &CanonicalJson,
    context: &MaterializerContext<'_>,
) -> Result<Vec<Write>, MaterializeError> {
    let query = |description: JsValue| {
        let json = description.as_string().unwrap_or_default();
        let query = WebQuery::parse(&json, tables).map_err(|why| tagged("QueryError", &why))?;
        let rows = context.query(&query);
        let rows = rows.map_err(|error| tagged("QueryError", &error.to_string()))?;
        let rows: js_sys::Array = rows.iter().map(|row| value::row_to_js(row)).collect();
        Ok(rows.into())
    };
    let (client, session) = (context.client_id().as_str(), context.session_id().as_str());
    let name = context.event_name().as_str();
    let writes = host.materialize(name, args.as_str(), client, session, &query);
    let writes = writes.map_err(|error| MaterializeError::failed(thrown(&error)))?;
    let json = writes.as_string().unwrap_or_default();
    let writes: Vec<WriteJson> = serde_json::from_str(&json).map_err(MaterializeError::failed)?;
    let write = |write| match write {
        WriteJson::Sql { sql, binds } => Ok(Write::raw(&sql, binds)),
        WriteJson::Statement(statement) => {
            Write::checked(&statement, tables).map_err(MaterializeError::failed)
        }
    };
    writes.into_iter().map(write).collect()
}
