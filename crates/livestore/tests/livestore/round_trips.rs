//! Whatever is committed comes back as it was: payloads, rows, and the state that a replay leads to.
//!
//! Schemas, payloads and writes are drawn at random. A model says which commits have to fail and
//! what the tables hold after each.

use std::sync::{Arc, Mutex};

use livestore::prelude::*;
use livestore::{CanonicalJson, EventDef, EventKind, NewEvent, Scope, StoreOptions, Value};
use proptest::prelude::*;
use serde_json::json;

use crate::app::assert_state_is_replay;
use crate::properties::cases;
use payloads::{any_json, is_same};
use tables::{AnyTable, AnyWrite, Model, any_table, any_write};

#[path = "round_trips/payloads.rs"]
mod payloads;
#[path = "round_trips/tables.rs"]
mod tables;
#[path = "round_trips/typed.rs"]
mod typed;

/// Payloads that materializers were given.
type Seen = Arc<Mutex<Vec<CanonicalJson>>>;

/// An event: a write to one of the tables, and what else its payload holds.
#[derive(Debug, Clone)]
struct AnyEvent {
    table: usize,
    write: AnyWrite,
    extra: serde_json::Value,
}

impl AnyEvent {
    fn payload(&self, tables: &[AnyTable]) -> serde_json::Value {
        json!({ "write": self.write.to_json(&tables[self.table]), "extra": self.extra })
    }

    fn new_event(&self, tables: &[AnyTable]) -> NewEvent {
        NewEvent::new(&event_name(self.table), &self.payload(tables)).unwrap()
    }
}

fn event_name(table: usize) -> String {
    format!("v1.Written{table}")
}

fn event(tables: &[AnyTable]) -> impl Strategy<Value = AnyEvent> + use<> {
    let tables = tables.to_vec();
    (0..tables.len()).prop_flat_map(move |table| {
        (any_write(&tables[table]), any_json()).prop_map(move |(write, extra)| AnyEvent {
            table,
            write,
            extra,
        })
    })
}

/// Some tables, and groups of events that write to them.
fn app() -> impl Strategy<Value = (Vec<AnyTable>, Vec<Vec<AnyEvent>>)> {
    (any_table("one"), any_table("two")).prop_flat_map(|(one, two)| {
        let tables = vec![one, two];
        let groups = prop::collection::vec(prop::collection::vec(event(&tables), 1..4), 1..20);
        (Just(tables), groups)
    })
}

/// The schema of tables, whose materializers do what payloads say and note what they are given.
fn schema(tables: &[AnyTable], seen: &Seen, version: u64) -> Schema {
    let mut schema = Schema::builder().materializer_version(version);
    for (number, table) in tables.iter().cloned().enumerate() {
        let kind = match table.def.scope() {
            Scope::Client => EventKind::ClientOnly,
            _ => EventKind::Synced,
        };
        let seen = Arc::clone(seen);
        schema = schema.table_def(table.def.clone()).event_def(
            EventDef::new(event_name(number), kind),
            move |args, _| {
                seen.lock().unwrap().push(args.clone());
                let payload: serde_json::Value = args.decode()?;
                AnyWrite::from_json(&payload["write"], &table).statement(&table)
            },
        );
    }
    schema.build().unwrap()
}

/// A store, and what has to be in it.
struct Checked {
    tables: Vec<AnyTable>,
    models: Vec<Model>,
    /// Name and payload of each event in the log.
    log: Vec<(String, CanonicalJson)>,
    seen: Seen,
    store: Store,
}

impl Checked {
    fn open(tables: Vec<AnyTable>, folder: Option<&std::path::Path>) -> Self {
        let (seen, models) = (Seen::default(), vec![Model::default(); tables.len()]);
        let schema = schema(&tables, &seen, 0);
        let store = match folder {
            Some(folder) => Store::open_with(schema, "any", FileAdapter::new(folder), options()),
            None => Store::open_with(schema, "any", MemoryAdapter::new(), options()),
        };
        Self { tables, models, log: Vec::new(), seen, store: store.unwrap() }
    }

    fn reopen(&mut self, folder: &std::path::Path, version: u64) {
        self.store.shutdown().unwrap();
        let schema = schema(&self.tables, &self.seen, version);
        self.store = Store::open_with(schema, "any", FileAdapter::new(folder), options()).unwrap();
    }

    /// Commits a group, if it can be committed, and checks that exactly then it is.
    fn commit(&mut self, group: &[AnyEvent]) {
        let mut in_order: Vec<_> = group.iter().collect();
        // Synced events come first; the sort keeps the order otherwise.
        in_order.sort_by_key(|event| self.tables[event.table].def.scope() == Scope::Client);
        let mut models = self.models.clone();
        let is_allowed = in_order
            .iter()
            .all(|event| models[event.table].write(&self.tables[event.table], &event.write));
        let events: Vec<_> = group.iter().map(|event| event.new_event(&self.tables)).collect();
        self.seen.lock().unwrap().clear();
        let committed = self.store.commit(events);
        assert_eq!(committed.is_ok(), is_allowed, "{committed:?}");
        if !is_allowed {
            return;
        }
        self.models = models;
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert_eq!(seen.len(), in_order.len());
        for (event, args) in in_order.into_iter().zip(seen) {
            let payload: serde_json::Value = args.decode().unwrap();
            assert!(is_same(&payload, &event.payload(&self.tables)), "{args}");
            self.log.push((event_name(event.table), args));
        }
    }

    /// Checks that log, tables and state are what they have to be.
    fn check(&self) {
        let log = self.store.events().map(|event| {
            let event = event.unwrap();
            (event.name.to_string(), event.args)
        });
        assert_eq!(log.collect::<Vec<_>>(), self.log);
        for (table, model) in self.tables.iter().zip(&self.models) {
            let rows = self.store.query(Sql::new(format!("SELECT * FROM {}", table.def.name())));
            let mut rows: Vec<_> = rows.unwrap().iter().map(|row| row.values().to_vec()).collect();
            let mut expected = model.rows.clone();
            rows.sort_by_cached_key(|row: &Vec<Value>| format!("{row:?}"));
            expected.sort_by_cached_key(|row| format!("{row:?}"));
            assert_eq!(rows, expected, "table {}", table.def.name());
        }
        assert_state_is_replay(&self.store);
    }
}

fn options() -> StoreOptions {
    // The check would run materializers, whose calls are counted here, at any time.
    StoreOptions::new().check_materializers(false)
}

proptest! {
    #![proptest_config(cases(96))]

    #[test]
    fn whatever_the_schema_what_is_committed_comes_back((tables, groups) in app()) {
        let mut checked = Checked::open(tables, None);
        for group in &groups {
            checked.commit(group);
            checked.check();
        }
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn what_a_file_holds_comes_back_when_it_is_opened_again_and_derived_anew(
        (tables, groups) in app(), opened_after in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut checked = Checked::open(tables, Some(folder.path()));
        let (before, after) = groups.split_at(opened_after.index(groups.len()));
        for group in before {
            checked.commit(group);
        }
        checked.reopen(folder.path(), 0);
        checked.check();
        for group in after {
            checked.commit(group);
        }
        let hash = checked.store.state_hash().unwrap();
        for version in [0, 1] {
            checked.reopen(folder.path(), version);
            checked.check();
            prop_assert_eq!(checked.store.state_hash().unwrap(), hash);
        }
    }
}
