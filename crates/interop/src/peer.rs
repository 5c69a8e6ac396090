//! A store of ours, told by lines of JSON what to do, as `tests/interop/peer.mjs` is.

use std::io::{BufRead, Write};
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::sync_provider::{TokenError, TokenRequest};
use livestore::{
    CanonicalJson, ClientId, HistoryAnswer, MaterializerContext, NewEvent, StoreOptions,
};
use livestore_sync_cf::CfSync;
use livestore_sync_ws::WsSync;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::Options;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.TodoCreated")]
struct TodoCreated {
    id: String,
    text: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.ValueSaved")]
struct ValueSaved {
    id: String,
    value: Value,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.DateSaved")]
struct DateSaved {
    id: String,
    at: String,
}

#[derive(Event, Serialize, Deserialize)]
#[event(name = "v1.Pinged")]
struct Pinged;

#[derive(Event, Serialize, Deserialize)]
#[event(name = "DraftKept", client_only, persist)]
struct DraftKept {
    id: String,
}

#[derive(Table, Clone)]
#[table(name = "todos")]
struct Todo {
    #[column(primary_key)]
    id: String,
    text: String,
}

#[derive(Table, Clone)]
#[table(name = "saved")]
struct Saved {
    #[column(primary_key)]
    id: String,
    value: String,
}

fn schema() -> Schema {
    let builder = Schema::builder()
        .table::<Todo>()
        .table::<Saved>()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text }))
        .event(|e: ValueSaved, _: &MaterializerContext<'_>| {
            let value = CanonicalJson::encode(&e.value);
            let value = value.map_err(|error| MaterializeError::failed(error.to_string()))?;
            let value = value.as_str().to_owned();
            Ok::<_, MaterializeError>(Saved::insert(Saved { id: e.id, value }))
        })
        .event(|e: DateSaved, _| Saved::insert(Saved { id: e.id, value: json!(e.at).to_string() }))
        .event(|_: Pinged, _| ())
        .event(|_: DraftKept, _| ());
    builder.build().expect("the schema is valid")
}

type Failure = Box<dyn std::error::Error>;

#[derive(Deserialize)]
#[serde(tag = "act", rename_all = "camelCase")]
enum Act {
    Commit { prefix: String, from: u64, count: u64, batch: u64 },
    Save { id: String, value: Value },
    SaveDate { id: String, ms: u64 },
    Ping,
    Draft { id: String },
    Wait { rows: u64, ms: u64 },
    Synced { ms: u64 },
    State,
    Quit,
}

/// Does what the lines say, until there are no more.
pub(crate) fn run(options: &str) -> Result<(), Failure> {
    let options: Options = serde_json::from_str(options)?;
    let adapter = FileAdapter::new(&options.folder).client_id(ClientId::new(&options.client_id)?);
    let token = options.token;
    let tokens = move |token: String| {
        move |_: TokenRequest| {
            let token = token.clone();
            async move { Ok::<_, TokenError>(token) }
        }
    };
    let adapter = if options.transport.is_some() {
        let interval = Duration::from_millis(300);
        let provider = CfSync::new(&options.url).with_poll_interval(interval);
        adapter.sync(match token {
            Some(token) => provider.with_tokens(tokens(token)),
            None => provider,
        })
    } else {
        let provider = WsSync::new(&options.url);
        adapter.sync(match token {
            Some(token) => provider.with_tokens(tokens(token)),
            None => provider,
        })
    };
    let on_diverged = StoreOptions::new().on_history_diverged(HistoryAnswer::RebasePending);
    let store = Store::open_with(schema(), &options.store_id, adapter, on_diverged)?;
    say(&json!({ "ready": true }))?;
    for line in std::io::stdin().lock().lines() {
        let act: Act = serde_json::from_str(&line?)?;
        let answer = match act {
            Act::Quit => break,
            act => match carry_out(&store, act) {
                Ok(answer) => answer,
                Err(error) => json!({ "error": error.to_string() }),
            },
        };
        say(&answer)?;
    }
    store.shutdown()?;
    Ok(())
}

fn say(message: &Value) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{message}")?;
    out.flush()
}

fn carry_out(store: &Store, act: Act) -> Result<Value, Failure> {
    match act {
        Act::Commit { prefix, from, count, batch } => {
            let numbers: Vec<u64> = (from..from + count).collect();
            for some in numbers.chunks(batch as usize) {
                let create = |number: &u64| {
                    let id = format!("{prefix}-{number}");
                    NewEvent::of(TodoCreated { id, text: format!("text {number}") })
                };
                store.commit(some.iter().map(create).collect::<Result<Vec<_>, _>>()?)?;
            }
        }
        Act::Save { id, value } => drop(store.commit(ValueSaved { id, value })?),
        Act::SaveDate { id, ms } => {
            // As JavaScript writes it; only this one is ever saved here.
            let at = match ms {
                1_700_000_000_123 => "2023-11-14T22:13:20.123Z".into(),
                other => return Err(format!("no name for {other}").into()),
            };
            store.commit(DateSaved { id, at })?;
        }
        Act::Ping => drop(store.commit(Pinged)?),
        Act::Draft { id } => drop(store.commit(DraftKept { id })?),
        Act::Wait { rows, ms } => {
            let deadline = Instant::now() + Duration::from_millis(ms);
            while count(store)? < rows && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(20));
            }
            return Ok(json!({ "rows": count(store)? }));
        }
        Act::Synced { ms } => {
            let deadline = Instant::now() + Duration::from_millis(ms);
            while !store.sync_status()?.is_synced() {
                if Instant::now() > deadline {
                    return Err(format!("not synced: {:?}", store.sync_status()?).into());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Act::State => {
            let todos = store.query(Todo::select().order_by(Todo::id))?;
            let todos = todos.iter().map(|todo| json!([todo.id, todo.text]));
            let saved = store.query(Saved::select().order_by(Saved::id))?;
            let saved = saved.iter().map(|saved| json!([saved.id, saved.value]));
            let state = json!([todos.collect::<Vec<_>>(), saved.collect::<Vec<_>>()]);
            return Ok(json!({ "state": state.to_string() }));
        }
        Act::Quit => {}
    }
    Ok(json!({}))
}

fn count(store: &Store) -> Result<u64, Failure> {
    Ok(store.query(Todo::select().count())? + store.query(Saved::select().count())?)
}
