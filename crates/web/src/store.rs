//! Stores as TypeScript has them in its hands.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use js_sys::{Array, Promise};
use livestore::{
    CanonicalJson, CommitReceipt, Durability, Fate, NewEvent, QueryError, Row, Rows, Store,
    Subscription, Unavailable, computed, query_with,
};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::future_to_promise;

use crate::error::{self, tagged};
use crate::host::{Host, JsOutcome, SharedHost, thrown};
use crate::live::{Live, LiveHandle};
use crate::options;
use crate::query::{Parsed, WebQuery};

/// The live values that computations can read, by number, as long as they have a handle.
pub(crate) type Lives = RefCell<HashMap<u32, Live>>;

/// A store.
#[wasm_bindgen]
pub struct StoreHandle {
    /// Whoever waits for something of it has a weak reference, so that it can go.
    pub(crate) store: Rc<Store>,
    pub(crate) host: SharedHost,
    lives: Rc<Lives>,
    next_live: Cell<u32>,
    parsed: Rc<Parsed>,
}

pub(crate) fn throw<E: error::Tagged>(error: E) -> JsValue {
    error::to_js(&error)
}

/// Refuses what changes something while something is computed, where it would end the engine.
pub(crate) fn not_computing() -> Result<(), JsValue> {
    if livestore_reactive::is_computing() { Err(throw(Unavailable::InComputed)) } else { Ok(()) }
}

#[wasm_bindgen]
impl StoreHandle {
    /// Opens a store in memory.
    #[wasm_bindgen(constructor)]
    pub fn open(options: &str, host: Host) -> Result<StoreHandle, JsValue> {
        let host = SendWrapper::new(host);
        let store = Rc::new(options::open(options, &host)?);
        Ok(Self {
            store,
            host,
            lives: Rc::default(),
            next_live: Cell::new(0),
            parsed: Rc::default(),
        })
    }

    /// Commits events as one group: names and payloads by turns, each payload as JSON.
    pub fn commit(&self, events: Vec<String>) -> Result<ReceiptHandle, JsValue> {
        let event = |pair: &[String]| {
            let [name, args] = pair else {
                return Err(tagged("PayloadError", "an event without a payload"));
            };
            let args = CanonicalJson::of_json(args)
                .map_err(|error| tagged("PayloadError", &format!("{name}: {error}")))?;
            NewEvent::from_json(name, args).map_err(throw)
        };
        let events = events.chunks(2).map(event).collect::<Result<Vec<_>, _>>()?;
        Ok(ReceiptHandle(self.store.commit(events).map_err(throw)?))
    }

    /// Reads the rows of a query, each as a list of values; those of SQL have the names as `columns`.
    ///
    /// The values are an array as JSON. Each text in a selection is the number of one of them, so that
    /// a selection is read once for all that is asked in this form.
    pub fn query(&self, description: &str, values: &str) -> Result<Array, JsValue> {
        let tables = self.store.schema().tables();
        let query = self.parsed.parse_read(description, values, tables);
        let query = query.map_err(|why| tagged("QueryError", &why))?;
        Ok(self.store.query(query).map_err(throw)?.to_js())
    }

    fn parse(&self, description: &str) -> Result<WebQuery, JsValue> {
        let tables = self.store.schema().tables();
        self.parsed.parse(description, tables).map_err(|why| tagged("QueryError", &why))
    }

    /// Makes a query live.
    #[wasm_bindgen(js_name = liveQuery)]
    pub fn live_query(
        &self,
        description: &str,
        label: Option<String>,
    ) -> Result<LiveHandle, JsValue> {
        let mut def = livestore::query_db(self.parse(description)?);
        if let Some(label) = label {
            def = def.label(label);
        }
        Ok(self.enter(Live::Rows(self.store.live(def))))
    }

    /// Makes a query live that TypeScript chooses by what it reads: the host computes its description.
    #[wasm_bindgen(js_name = liveChoice)]
    pub fn live_choice(&self, id: u32, label: Option<String>) -> LiveHandle {
        let (host, lives) = (self.host.clone(), SendWrapper::new(Rc::downgrade(&self.lives)));
        let schema = self.store.schema().clone();
        let parsed = SendWrapper::new(Rc::clone(&self.parsed));
        let mut def = query_with(move |context| {
            let read = |live: u32| read(&lives, live, context);
            let described =
                host.compute(id, &read).map_err(|error| QueryError::failed(thrown(&error)))?;
            let description = described.as_string().unwrap_or_default();
            parsed.parse(&description, schema.tables()).map_err(QueryError::failed)
        });
        if let Some(label) = label {
            def = def.label(label);
        }
        self.enter(Live::Rows(self.store.live(def)))
    }

    /// Makes a value live that the host computes.
    #[wasm_bindgen(js_name = liveComputed)]
    pub fn live_computed(&self, id: u32, label: Option<String>) -> LiveHandle {
        let (host, lives) = (self.host.clone(), SendWrapper::new(Rc::downgrade(&self.lives)));
        let mut def = computed(move |context| {
            let read = |live: u32| read(&lives, live, context);
            Ok(JsOutcome::new(&host, host.compute(id, &read)))
        });
        if let Some(label) = label {
            def = def.label(label);
        }
        self.enter(Live::Value(self.store.live(def)))
    }

    /// Makes a value that TypeScript sets.
    #[wasm_bindgen(js_name = liveSignal)]
    pub fn live_signal(&self, initial: JsValue) -> LiveHandle {
        let def = livestore::signal(JsOutcome::new(&self.host, Ok(initial)));
        let signal = self.store.signal(&def);
        let live = Live::Value(self.store.live(computed(move |context| context.get(&def))));
        self.enter(live).with_signal(self.host.clone(), signal)
    }

    pub(crate) fn enter(&self, live: Live) -> LiveHandle {
        let id = self.next_live.get();
        self.next_live.set(id + 1);
        self.lives.borrow_mut().insert(id, live.clone());
        LiveHandle::new(id, live, Rc::downgrade(&self.lives))
    }

    /// The store's id.
    #[wasm_bindgen(getter, js_name = storeId)]
    pub fn store_id(&self) -> String {
        self.store.store_id().to_string()
    }

    /// Who commits here.
    #[wasm_bindgen(getter, js_name = clientId)]
    pub fn client_id(&self) -> String {
        self.store.client_id().to_string()
    }

    /// The id of this opening of the store.
    #[wasm_bindgen(getter, js_name = sessionId)]
    pub fn session_id(&self) -> String {
        self.store.session_id().to_string()
    }

    /// Closes the store; whatever is waited for ends with an error.
    pub fn shutdown(&self) -> Result<(), JsValue> {
        self.store.shutdown().map_err(throw)?;
        // What is gone with them may be others' handles.
        let lives = self.lives.take();
        drop(lives);
        Ok(())
    }
}

/// Reads a live value within a computation, which then depends on it.
fn read(
    lives: &Weak<Lives>,
    id: u32,
    context: &livestore::LiveContext<'_>,
) -> Result<JsValue, JsValue> {
    let live = lives.upgrade().and_then(|lives| lives.borrow().get(&id).cloned());
    match live {
        None => Err(tagged("QueryError", "this live value is gone")),
        Some(Live::Rows(rows)) => {
            let read: Result<Rows<Row>, QueryError> = context.get(&rows);
            read.map(|_| JsValue::UNDEFINED).map_err(throw)
        }
        Some(Live::Value(value)) => context.get(&value).map_err(throw)?.get(),
    }
}

/// Tells what became of a commit.
#[wasm_bindgen]
pub struct ReceiptHandle(pub(crate) CommitReceipt);

#[wasm_bindgen]
impl ReceiptHandle {
    /// The id of the group.
    #[wasm_bindgen(getter, js_name = groupId)]
    pub fn group_id(&self) -> String {
        self.0.group_id().to_string()
    }

    /// Waits until the commit is as safe as it will be; the promise gives how safe that is.
    pub fn persisted(&self) -> Promise {
        let receipt = self.0.clone();
        future_to_promise(async move {
            let durability = receipt.persisted().await.map_err(throw)?;
            Ok(JsValue::from_str(match durability {
                Durability::Memory => "memory",
                Durability::Normal => "normal",
                Durability::Full => "full",
            }))
        })
    }

    /// Waits until the backend has ordered it; the promise gives the positions of its first and its last
    /// event.
    pub fn confirmed(&self) -> Promise {
        let receipt = self.0.clone();
        future_to_promise(async move {
            let positions = receipt.confirmed().await.map_err(throw)?;
            let number = |position: u64| JsValue::from_f64(position as f64);
            Ok(Array::of2(&number(positions.first.0), &number(positions.last.0)).into())
        })
    }

    /// Waits until its fate is known: `confirmed`, `rewritten`, `rejected` or `archived`.
    pub fn fate(&self) -> Promise {
        let receipt = self.0.clone();
        future_to_promise(async move {
            let fate = receipt.fate().await.map_err(throw)?;
            Ok(JsValue::from_str(match fate {
                Fate::Confirmed { .. } => "confirmed",
                Fate::Rewritten { .. } => "rewritten",
                Fate::Rejected { .. } => "rejected",
                Fate::Archived => "archived",
                _ => "unknown",
            }))
        })
    }
}

/// Goes on until it is freed.
#[wasm_bindgen]
pub struct SubscriptionHandle {
    _subscription: Subscription,
}

impl SubscriptionHandle {
    pub(crate) fn new(subscription: Subscription) -> Self {
        Self { _subscription: subscription }
    }
}
