//! The schema as a value to be written down.

#![allow(dead_code, reason = "the payloads are described, not read")]

use livestore::prelude::*;
use livestore::{
    ColumnDef, ColumnType, EventKind, SchemaDescription, SchemaError, Scope, TableDef,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Event, Serialize, Deserialize, JsonSchema)]
#[event(name = "v2.TodoCreated", schema)]
#[serde(rename_all = "camelCase")]
struct TodoCreated {
    id: String,
    due_date: Option<String>,
    priority: Priority,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Priority {
    Low,
    High,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "FilterSet", client_only)]
struct FilterSet {
    filter: String,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "todos")]
struct Todo {
    #[column(primary_key)]
    id: String,
    due_date: Option<String>,
    #[column(default = false)]
    completed: bool,
}

fn builder() -> livestore::SchemaBuilder {
    let columns = [
        ColumnDef::new("list", ColumnType::Integer).primary_key(),
        ColumnDef::new("at", ColumnType::Integer).primary_key().check("at >= 0"),
        ColumnDef::new("weight", ColumnType::Real).default(1.0),
        ColumnDef::new("icon", ColumnType::Blob).default(vec![0, 171]).unique(),
    ];
    let places = TableDef::new("places", columns).unwrap().with_scope(Scope::Memory);
    Schema::builder()
        .table::<Todo>()
        .table_def(places)
        .event(|_: TodoCreated, _| ())
        .event(|_: FilterSet, _| ())
        .event_json("v1.Moved", EventKind::ClientOnly, |_, _| ())
        .materializer_version(3)
}

#[test]
fn a_schema_is_described_whole_in_stable_names() {
    let schema = builder().build().unwrap();
    let mut description = serde_json::to_value(schema.describe()).unwrap();
    let version = description["stateVersion"].take();
    assert_eq!(version.as_str().unwrap().len(), 64);
    assert!(description["events"][2]["payload"].take().is_object());
    for (index, table) in schema.tables().iter().enumerate() {
        assert_eq!(description["tables"][index]["ddl"].take(), table.ddl());
    }
    let column = |name: &str, column_type: &str| json!({ "name": name, "type": column_type, "nullable": false, "unique": false });
    let with = |mut column: Value, more: Value| {
        column.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        column
    };
    let expected = json!({
        "stateVersion": null,
        "materializerVersion": 3,
        "events": [
            { "name": "FilterSet", "kind": "memory" },
            { "name": "v1.Moved", "kind": "clientOnly", "version": 1 },
            { "name": "v2.TodoCreated", "kind": "synced", "version": 2, "payload": null },
        ],
        "tables": [
            {
                "name": "places",
                "scope": "memory",
                "primaryKey": ["list", "at"],
                "ddl": null,
                "columns": [
                    column("list", "integer"),
                    with(column("at", "integer"), json!({ "check": "at >= 0" })),
                    with(column("weight", "real"), json!({ "default": 1.0 })),
                    with(column("icon", "blob"), json!({ "default": "00ab", "unique": true })),
                ],
            },
            {
                "name": "todos",
                "scope": "synced",
                "primaryKey": ["id"],
                "ddl": null,
                "columns": [
                    column("id", "text"),
                    with(column("due_date", "text"), json!({ "nullable": true })),
                    with(column("completed", "boolean"), json!({ "default": false })),
                ],
            },
        ],
    });
    assert_eq!(description, expected, "{description:#}");
}

#[test]
fn a_description_reads_back_as_the_same() {
    let description = builder().build().unwrap().describe();
    let text = serde_json::to_string(&description).unwrap();
    assert_eq!(serde_json::from_str::<SchemaDescription>(&text).unwrap(), description);
    // One of a later version, which tells more.
    let mut later: Value = serde_json::from_str(&text).unwrap();
    later["events"][0]["later"] = json!(true);
    assert_eq!(serde_json::from_value::<SchemaDescription>(later).unwrap(), description);
}

#[test]
fn the_state_version_is_told_as_the_store_shows_it() {
    let schema = builder().build().unwrap();
    let shown = schema.state_version().to_string();
    assert!(schema.describe().state_version.starts_with(&shown));
}

#[test]
fn payloads_are_described_by_their_type_or_by_hand() {
    let by_hand = json!({ "type": "object", "required": ["id"] });
    let schema = builder().payload_schema("v1.Moved", by_hand.clone()).build().unwrap();
    let events = schema.describe().events;
    let payload =
        |name: &str| events.iter().find(|event| event.name == name).unwrap().payload.clone();
    assert_eq!(payload("v1.Moved"), Some(by_hand.clone()));
    assert_eq!(payload("FilterSet"), None);
    let created = payload("v2.TodoCreated").unwrap();
    assert_eq!(created["properties"]["dueDate"]["type"], json!(["string", "null"]));
    assert_eq!(created["required"], json!(["id", "priority"]));
    // What is written by hand is right, also if the event comes after it.
    let schema = Schema::builder().payload_schema("v2.TodoCreated", by_hand.clone());
    let schema = schema.event(|_: TodoCreated, _| ()).build().unwrap();
    assert_eq!(schema.describe().events[0].payload, Some(by_hand));
}

#[test]
fn what_describes_no_payload_is_refused() {
    let unknown = builder().payload_schema("v1.Nothing", json!(true)).build().unwrap_err();
    assert!(matches!(unknown, SchemaError::SchemaOfUnknownEvent { .. }), "{unknown}");
    let no_schema = builder().payload_schema("v1.Moved", json!("string")).build().unwrap_err();
    assert!(matches!(no_schema, SchemaError::NoJsonSchema { .. }), "{no_schema}");
}

/// Walks over all references of a document, and follows them.
fn references(value: &Value, root: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, root, found)),
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(to) if key == "$ref" => {
                        let pointer = to.strip_prefix('#').unwrap().replace("%20", " ");
                        assert!(root.pointer(&pointer).is_some(), "{to} leads nowhere");
                        found.push(to.clone());
                    }
                    value => references(value, root, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn the_json_schema_of_all_events_holds_together() {
    let recursive = json!({
        "type": "object",
        "properties": {
            "children": { "type": "array", "items": { "$ref": "#" } },
            "const": { "$ref": "#/$defs/a" },
            "other": { "$ref": "https://example.com/other.json" },
        },
        "default": { "$ref": "#/no/reference" },
        "$defs": { "a": true },
    });
    let schema = builder()
        .event_json("v1.Tree moved/copied~", EventKind::Synced, |_, _| ())
        .payload_schema("v1.Tree moved/copied~", recursive)
        .build()
        .unwrap()
        .describe()
        .to_json_schema();
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), 4);
    assert_eq!(schema["$defs"]["FilterSet"], true);
    let tree = &schema["$defs"]["v1.Tree moved/copied~"];
    assert_eq!(tree["default"]["$ref"], "#/no/reference");
    assert_eq!(tree["properties"]["other"]["$ref"], "https://example.com/other.json");

    let mut own = schema.clone();
    let tree = &mut own["$defs"]["v1.Tree moved/copied~"];
    tree["default"].take();
    tree["properties"]["other"].take();
    let mut found = Vec::new();
    references(&own, &own, &mut found);
    found.sort();
    assert_eq!(
        found,
        [
            "#/$defs/FilterSet",
            "#/$defs/v1.Moved",
            "#/$defs/v1.Tree%20moved~1copied~0",
            "#/$defs/v1.Tree%20moved~1copied~0",
            "#/$defs/v1.Tree%20moved~1copied~0/$defs/a",
            "#/$defs/v2.TodoCreated",
            "#/$defs/v2.TodoCreated/$defs/Priority",
        ]
    );
}

#[test]
fn indexes_references_generated_columns_and_full_text_search_are_described() {
    let teams =
        TableDef::new("teams", [ColumnDef::new("id", ColumnType::Text).primary_key()]).unwrap();
    let members = [
        ColumnDef::new("id", ColumnType::Integer).auto_increment(),
        ColumnDef::new("team", ColumnType::Text)
            .references("teams", "id")
            .on_delete(livestore::Action::Cascade),
        ColumnDef::new("name", ColumnType::Text),
        ColumnDef::new("initial", ColumnType::Text)
            .generated("substr(name, 1, 1)", livestore::Generated::Virtual),
    ];
    let members = TableDef::new("members", members)
        .unwrap()
        .check("name <> team")
        .index(livestore::IndexDef::new("member_names", ["team", "name"]).unique())
        .full_text(livestore::FtsDef::new("member_words", ["name"]));
    let schema = Schema::builder().table_def(teams).table_def(members).build().unwrap();
    let description = schema.describe();
    let members = serde_json::to_value(&description.tables[0]).unwrap();
    assert_eq!(members["columns"][0]["autoIncrement"], true);
    let generated = json!({ "expression": "substr(name, 1, 1)", "when": "virtual" });
    assert_eq!(members["columns"][3]["generated"], generated);
    assert_eq!(members["checks"], json!(["name <> team"]));
    let index = json!({ "name": "member_names", "columns": ["team", "name"], "unique": true });
    assert_eq!(members["indexes"], json!([index]));
    let key = json!({
        "columns": ["team"], "table": "teams", "referenced": ["id"],
        "onDelete": "cascade", "onUpdate": "noAction",
    });
    assert_eq!(members["foreignKeys"], json!([key]));
    assert_eq!(members["fullText"], json!([{ "name": "member_words", "columns": ["name"] }]));
    let again: SchemaDescription = serde_json::from_value(json!(description)).unwrap();
    assert_eq!(again, description);
}
