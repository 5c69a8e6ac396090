//! Events as an app defines them: families, kinds, deprecation, big integers.

use livestore::prelude::*;
use livestore::{EventDef, EventKind, IntoWrites, NewEvent, SchemaError, Warning};
use serde::{Deserialize, Serialize};

use crate::app::{Todo, assert_state_is_replay, todos};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
struct Completion {
    id: String,
}

/// A family of events of several shapes and kinds.
#[derive(Event, Clone, Debug, PartialEq)]
enum TodoEvent {
    #[event(name = "v1.TodoCreated")]
    Created {
        id: String,
        #[serde(rename = "title")]
        text: String,
    },
    #[event(name = "v1.TodoCompleted")]
    Completed(Completion),
    #[event(name = "v1.TodosCleared")]
    Cleared,
}

fn materialize(event: TodoEvent) -> Result<Vec<livestore::Write>, MaterializeError> {
    match event {
        TodoEvent::Created { id, text } => {
            Todo::insert(Todo { id, text, completed: false }).into_writes()
        }
        TodoEvent::Completed(Completion { id }) => {
            Todo::update().set(Todo::completed, true).filter(Todo::id.eq(id)).into_writes()
        }
        TodoEvent::Cleared => Todo::delete().into_writes(),
    }
}

fn family_store() -> Store {
    let schema = Schema::builder()
        .table::<Todo>()
        .event(|event: TodoEvent, _| materialize(event))
        .build()
        .unwrap();
    Store::open(schema, "events", MemoryAdapter::new()).unwrap()
}

fn created(id: &str) -> TodoEvent {
    TodoEvent::Created { id: id.into(), text: format!("text of {id}") }
}

#[test]
fn each_variant_of_a_family_is_an_event_of_its_own() {
    let store = family_store();
    store.commit((created("a"), created("b"))).unwrap();
    store.commit(TodoEvent::Completed(Completion { id: "a".into() })).unwrap();
    let completed: Vec<_> =
        store.query(Todo::select()).unwrap().iter().map(|todo| todo.completed).collect();
    assert_eq!(completed, [true, false]);
    store.commit(TodoEvent::Cleared).unwrap();
    assert!(todos(&store).is_empty());

    let logged: Vec<_> = store.events().map(Result::unwrap).collect();
    let log: Vec<_> = logged.iter().map(|e| (e.name.as_str(), e.args.as_str())).collect();
    assert_eq!(
        log,
        [
            ("v1.TodoCreated", r#"{"id":"a","title":"text of a"}"#),
            ("v1.TodoCreated", r#"{"id":"b","title":"text of b"}"#),
            ("v1.TodoCompleted", r#"{"id":"a"}"#),
            ("v1.TodosCleared", "{}"),
        ]
    );
    assert_state_is_replay(&store);
}

#[test]
fn a_family_decodes_what_it_encodes_and_nothing_else() {
    for event in
        [created("a"), TodoEvent::Completed(Completion { id: "b".into() }), TodoEvent::Cleared]
    {
        let (name, args) = (event.name(), event.clone().encode().unwrap());
        assert_eq!(TodoEvent::decode(name, &args).unwrap(), event);
        assert!(TodoEvent::decode("v1.Other", &args).is_err());
    }
    let names: Vec<_> = TodoEvent::definitions().iter().map(|def| def.name().to_owned()).collect();
    assert_eq!(names, ["v1.TodoCreated", "v1.TodoCompleted", "v1.TodosCleared"]);
}

#[test]
fn a_payload_of_a_family_that_does_not_decode_names_the_event() {
    let store = family_store();
    let error = store.commit(NewEvent::new("v1.TodoCompleted", &5).unwrap()).unwrap_err();
    assert!(error.to_string().contains("event v1.TodoCompleted could not"), "{error}");
}

#[test]
fn two_events_of_one_name_are_refused_also_within_a_family() {
    let error = Schema::builder()
        .event(|_: TodoEvent, _| ())
        .event_json("v1.TodosCleared", EventKind::Synced, |_, _| ())
        .build()
        .unwrap_err();
    assert!(matches!(error, SchemaError::DuplicateEvent { .. }), "{error}");
}

/// Says nothing of whether it is kept.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Moved", client_only)]
struct Moved {}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Hovered", client_only, memory)]
struct Hovered {}

#[test]
fn client_only_events_are_kept_if_the_schema_says_so_and_they_do_not_object() {
    let schema = |persist| {
        Schema::builder()
            .event(|_: Moved, _| ())
            .event(|_: Hovered, _| ())
            .persist_client_only(persist)
            .build()
            .unwrap()
    };
    for (persist, logged) in [(false, 0), (true, 1)] {
        let store = Store::open(schema(persist), "kinds", MemoryAdapter::new()).unwrap();
        store.commit((Moved {}, Hovered {})).unwrap();
        assert_eq!(store.events().count(), logged, "persist_client_only({persist})");
    }
    assert_eq!(schema(false).state_version(), schema(true).state_version());
}

#[test]
fn events_that_are_defined_at_run_time_have_the_same_options() {
    let def = EventDef::client_only("Moved").version(3).deprecated("use v2.Moved");
    let schema =
        Schema::builder().event_def(def, |_, _| ()).persist_client_only(true).build().unwrap();
    let [def] = schema.events()[..] else { panic!("one event was defined") };
    assert_eq!((def.name(), def.kind()), ("Moved", EventKind::ClientOnly));
    assert_eq!((def.materializer_version(), def.deprecation()), (3, Some("use v2.Moved")));
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Renamed", deprecated = "commit v2.Renamed instead")]
struct Renamed {
    #[event(deprecated = "nobody reads it")]
    #[serde(rename = "oldName")]
    old_name: Option<String>,
}

#[test]
fn a_deprecated_event_or_field_warns_once_and_is_applied() {
    let schema = Schema::builder().event(|_: Renamed, _| ()).build().unwrap();
    let store = Store::open(schema, "deprecated", MemoryAdapter::new()).unwrap();
    assert_eq!(store.warnings(), []);
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let sink = seen.clone();
    let warnings = store.live_warnings();
    let _subscription = warnings.subscribe(move |all| sink.lock().unwrap().push(all.len()));

    store.commit(Renamed { old_name: None }).unwrap();
    let name = livestore::EventName::new("v1.Renamed").unwrap();
    let event =
        Warning::DeprecatedEvent { name: name.clone(), reason: "commit v2.Renamed instead".into() };
    assert_eq!(store.warnings(), std::slice::from_ref(&event), "the field has no value");
    for _ in 0..2 {
        store.commit(Renamed { old_name: Some("a".into()) }).unwrap();
    }
    let (field, reason) = ("oldName".into(), "nobody reads it".into());
    assert_eq!(store.warnings(), [event, Warning::DeprecatedField { name, field, reason }]);
    assert_eq!(*seen.lock().unwrap(), [0, 1, 2]);
    assert_eq!(store.events().count(), 3);
}

#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.PlaceChanged")]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PlaceChanged {
    #[event(deprecated = "use `to`")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    new_place: Option<String>,
    #[event(deprecated = "use `by`")]
    #[serde(rename(serialize = "by-whom", deserialize = "by-whom"))]
    moved_by: Option<String>,
    #[event(deprecated = "nobody reads it")]
    #[serde(default, rename = "type")]
    r#type: Option<String>,
}

#[derive(Event, Clone, Debug)]
enum MoveEvent {
    #[event(name = "v1.Sent")]
    #[serde(rename_all(serialize = "SCREAMING-KEBAB-CASE", deserialize = "SCREAMING-KEBAB-CASE"))]
    Sent {
        #[event(deprecated = "use `to`")]
        new_place: Option<String>,
    },
}

#[test]
fn a_deprecated_field_goes_by_its_name_in_the_payload() {
    let schema = Schema::builder().event(|_: PlaceChanged, _| ()).event(|_: MoveEvent, _| ());
    let store = Store::open(schema.build().unwrap(), "deprecated", MemoryAdapter::new()).unwrap();
    let some = || Some("a".to_owned());
    store.commit(PlaceChanged { new_place: some(), moved_by: some(), r#type: some() }).unwrap();
    store.commit(MoveEvent::Sent { new_place: some() }).unwrap();
    let warnings: Vec<_> = store.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "field newPlace of event v1.PlaceChanged is deprecated: use `to`",
            "field by-whom of event v1.PlaceChanged is deprecated: use `by`",
            "field type of event v1.PlaceChanged is deprecated: nobody reads it",
            "field NEW-PLACE of event v1.Sent is deprecated: use `to`",
        ]
    );
}

#[derive(Event, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[event(name = "v1.Paid")]
struct Paid {
    #[serde(with = "livestore::big_integer")]
    cents: i64,
    #[serde(with = "livestore::big_integer")]
    units: u64,
    #[serde(with = "livestore::big_integer")]
    wei: i128,
}

#[test]
fn big_integers_go_into_payloads_as_strings_and_come_back() {
    for paid in [
        Paid { cents: i64::MIN, units: u64::MAX, wei: i128::MAX },
        Paid { cents: i64::MAX, units: 0, wei: -1 },
    ] {
        let args = paid.clone().encode().unwrap();
        assert_eq!(Paid::decode(Paid::NAME, &args).unwrap(), paid);
        assert!(args.as_str().contains(&format!("\"cents\":\"{}\"", paid.cents)), "{args}");
    }
    let parse = |text| livestore::CanonicalJson::parse(text).unwrap();
    let numbers = parse(r#"{"cents":-5,"units":7,"wei":"8"}"#);
    assert_eq!(Paid::decode(Paid::NAME, &numbers).unwrap(), Paid { cents: -5, units: 7, wei: 8 });
    for text in [
        r#"{"cents":"9223372036854775808","units":"0","wei":"0"}"#,
        r#"{"cents":"0","units":"-1","wei":"0"}"#,
        r#"{"cents":"0","units":"0","wei":"one"}"#,
        r#"{"cents":1.5,"units":"0","wei":"0"}"#,
    ] {
        assert!(Paid::decode(Paid::NAME, &parse(text)).is_err(), "{text}");
    }
}
