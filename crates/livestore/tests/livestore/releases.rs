//! State ≡ replay, after any sequence of releases of an app, each cut short at any slice.
//!
//! A release adds a column, a table, an event, or puts a new event in the place of an old one. The
//! log grows by events of all releases, also by ones that the present release does not know yet.

use std::panic::{AssertUnwindSafe, catch_unwind};

use livestore::prelude::*;
use livestore::{
    ColumnDef, ColumnType, EventDef, IntoWrites, MaterializerContext, NewEvent, SchemaBuilder,
    StateHash, TableDef, TableWrite, Upcaster, Value, Write,
};
use proptest::prelude::*;
use serde_json::json;

use crate::backend::{Fact, Net, OnTheWire};
use crate::properties::cases;

/// How many releases there are.
const RELEASES: u8 = 5;

/// Makes an event as a release has it.
fn added(release: u8, id: u16) -> (&'static str, serde_json::Value) {
    match release {
        0 | 1 => ("v1.Added", json!({ "id": id, "text": format!("text of {id}") })),
        2 | 3 => ("v2.Added", json!({ "id": id, "title": format!("title of {id}"), "size": 2 })),
        _ => ("v3.Added", json!({ "id": id, "title": [format!("title of {id}")], "size": 3 })),
    }
}

fn done(id: u16) -> (&'static str, serde_json::Value) {
    ("v1.Done", json!({ "id": id }))
}

fn items(release: u8) -> TableDef {
    let column = |name: &str, column_type| ColumnDef::new(name, column_type);
    let mut columns = vec![column("id", ColumnType::Integer).primary_key()];
    columns.push(column("text", ColumnType::Text));
    if release >= 1 {
        columns.push(column("done", ColumnType::Boolean).default(false));
    }
    if release >= 2 {
        columns.push(column("size", ColumnType::Integer));
    }
    TableDef::new("items", columns).unwrap()
}

fn totals() -> TableDef {
    let columns = [
        ColumnDef::new("name", ColumnType::Text).primary_key(),
        ColumnDef::new("value", ColumnType::Integer),
        ColumnDef::new("at", ColumnType::Integer),
    ];
    TableDef::new("totals", columns).unwrap()
}

fn set(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.into(), value.into())
}

/// What adding an item writes in a release.
fn add(
    release: u8,
    args: &serde_json::Value,
    cx: &MaterializerContext<'_>,
) -> Result<Vec<Write>, MaterializeError> {
    let text = match &args["title"] {
        serde_json::Value::Null => args["text"].as_str(),
        serde_json::Value::Array(all) => all[0].as_str(),
        title => title.as_str(),
    };
    let mut row = vec![set("id", args["id"].as_i64().unwrap()), set("text", text.unwrap())];
    if release >= 2 {
        row.push(set("size", args["size"].as_i64().unwrap()));
    }
    let mut writes = vec![TableWrite::insert(&items(release), row).map_err(failed)?];
    if release >= 3 {
        // It depends on all that comes before it, and on where it stands.
        let value = cx.query(&Sql::new("SELECT count(*) AS n FROM items"))?;
        let value: i64 = value[0].get("n").map_err(MaterializeError::failed)?;
        writes.push(TableWrite::delete(&totals(), [set("name", "items")]).map_err(failed)?);
        let at = cx.position().global.0 as i64;
        let row = [set("name", "items"), set("value", value + 1), set("at", at)];
        writes.push(TableWrite::insert(&totals(), row).map_err(failed)?);
    }
    Ok(writes)
}

fn failed(error: livestore::StatementError) -> MaterializeError {
    MaterializeError::failed(error)
}

fn upcast(
    from: &str,
    to: &str,
    change: impl Fn(&mut serde_json::Value) + Send + Sync + 'static,
) -> Upcaster {
    Upcaster::json(from, to, move |args| {
        let mut args = args.decode()?;
        change(&mut args);
        Ok::<_, MaterializeError>(args)
    })
}

fn schema(release: u8) -> Schema {
    let (name, _) = added(release, 0);
    let def = EventDef::synced(name).version(u64::from(release == 3));
    let mut schema: SchemaBuilder = Schema::builder()
        .table_def(items(release))
        .event_def(def, move |args, cx| add(release, &args.decode()?, cx));
    if release >= 1 {
        schema = schema.event_def(EventDef::synced("v1.Done"), move |args, _| {
            let args: serde_json::Value = args.decode()?;
            let id = set("id", args["id"].as_i64().unwrap());
            TableWrite::update(&items(release), [set("done", true)], [id])
                .map_err(failed)?
                .into_writes()
        });
    }
    if release >= 2 {
        schema = schema.upcast(
            upcast("v1.Added", "v2.Added", |args| {
                args["title"] = args["text"].take();
                args["size"] = json!(1);
            })
            .version(u64::from(release == 2)),
        );
    }
    if release >= 3 {
        schema = schema.table_def(totals());
    }
    if release >= 4 {
        schema = schema.upcast(upcast("v2.Added", "v3.Added", |args| {
            args["title"] = json!([args["title"].take()]);
        }));
    }
    schema.build().unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    /// Commits events of the present release.
    Commit(Vec<u16>),
    /// Somebody else commits events of any release.
    Elsewhere(u8, Vec<u16>),
    Done(u16),
    Settle,
    /// Another release opens the file; so many slices of its rebuild are done before the process is
    /// killed, each time.
    Release(u8, Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let ids = || prop::collection::vec(0..400_u16, 1..30);
    prop_oneof![
        4 => ids().prop_map(Step::Commit),
        3 => (0..RELEASES, ids()).prop_map(|(release, ids)| Step::Elsewhere(release, ids)),
        2 => (0..400_u16).prop_map(Step::Done),
        2 => Just(Step::Settle),
        4 => (0..RELEASES, prop::collection::vec(1..4_usize, 0..3))
            .prop_map(|(release, cuts)| Step::Release(release, cuts)),
    ]
}

fn new((name, args): (&str, serde_json::Value)) -> NewEvent {
    NewEvent::new(name, &args).unwrap()
}

fn foreign((name, args): (&'static str, serde_json::Value)) -> Fact {
    (name, livestore::CanonicalJson::encode(&args).unwrap())
}

/// Opens the file with the present schema, and is killed after so many slices, if it gets there.
pub fn opened_and_killed(net: &mut Net, slices: usize) {
    let mut left = slices;
    let opened = catch_unwind(AssertUnwindSafe(|| {
        net.reopen(0, &mut |_| {
            left -= 1;
            assert!(left > 0, "the process is killed");
        });
    }));
    drop(opened);
}

/// Derives the state as a client does that has just been set up, and hashes it.
fn hash_of_a_new_client(net: &mut Net) -> StateHash {
    net.add_client(false);
    net.settle();
    let at = net.clients.len() - 1;
    let hash = net.replica(at).state_hash().unwrap();
    net.clients.truncate(at);
    hash
}

/// A client whose log is long enough for a rebuild of several slices.
fn with_a_long_log() -> Net {
    let mut net = Net::on_disk(schema(0), 1);
    for chunk in (1_000..2_500_u16).collect::<Vec<_>>().chunks(300) {
        net.elsewhere(chunk.iter().map(|id| foreign(added(0, *id))));
    }
    net.settle();
    net
}

proptest! {
    #![proptest_config(cases(6))]

    #[test]
    fn whatever_releases_come_and_are_cut_short_the_state_is_what_the_log_leads_to(
        steps in prop::collection::vec(step(), 4..14),
    ) {
        let mut net = with_a_long_log();
        let mut release = 0;
        for step in steps {
            match step {
                // The same item a second time is refused, as it should be.
                Step::Commit(ids) => for id in ids {
                    _ = net.try_commit(0, new(added(release, id)));
                },
                Step::Elsewhere(theirs, ids) => {
                    net.elsewhere(ids.iter().map(|id| foreign(added(theirs, *id))));
                }
                Step::Done(id) if release >= 1 => _ = net.try_commit(0, new(done(id))),
                Step::Done(id) => _ = net.elsewhere([foreign(done(id))]),
                Step::Settle => net.settle(),
                Step::Release(other, cuts) => {
                    if other < release {
                        // An older release gives up what it does not know and nobody has yet.
                        net.settle();
                    }
                    release = other;
                    net.use_schema(schema(release));
                    for slices in cuts {
                        opened_and_killed(&mut net, slices);
                    }
                    net.restart(0, OnTheWire::Lost);
                }
            }
            net.assert_state_is_replay(0);
        }
        net.settle();
        net.assert_state_is_replay(0);
        let hash = net.replica(0).state_hash().unwrap();
        prop_assert_eq!(hash, hash_of_a_new_client(&mut net));
        let status = net.status(0);
        prop_assert_eq!(status.quarantined, net.replica(0).quarantined().unwrap().len() as u64);
    }
}
