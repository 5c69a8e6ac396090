//! Live values as TypeScript follows them.

use std::cell::RefCell;
use std::rc::Weak;

use js_sys::{Array, Function};
use livestore::{LiveQuery, QueryError, Row, Rows, Signal, Subscription};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;

use crate::error;
use crate::host::{JsOutcome, SharedHost};
use crate::rows::{columns_to_js, steps_to_js};
use crate::store::{Lives, SubscriptionHandle, not_computing};

/// A live value of a store.
#[derive(Clone)]
pub(crate) enum Live {
    Rows(LiveQuery<Rows<Row>>),
    Value(LiveQuery<JsOutcome>),
}

/// A live value, and what of its rows TypeScript has.
///
/// Computations can read it until it is freed.
#[wasm_bindgen]
pub struct LiveHandle {
    id: u32,
    live: Live,
    /// Where computations find it.
    lives: Weak<Lives>,
    /// What sets it, if it is a signal.
    signal: Option<(SharedHost, Signal<JsOutcome>)>,
    /// The rows that were handed out last.
    taken: RefCell<Option<Rows<Row>>>,
}

impl LiveHandle {
    pub(crate) fn new(id: u32, live: Live, lives: Weak<Lives>) -> Self {
        Self { id, live, lives, signal: None, taken: RefCell::new(None) }
    }

    pub(crate) fn with_signal(mut self, host: SharedHost, signal: Signal<JsOutcome>) -> Self {
        self.signal = Some((host, signal));
        self
    }
}

impl Drop for LiveHandle {
    fn drop(&mut self) {
        if let Some(lives) = self.lives.upgrade() {
            // What is gone with it may be others' handles.
            let gone = lives.borrow_mut().remove(&self.id);
            drop(gone);
        }
    }
}

#[wasm_bindgen]
impl LiveHandle {
    /// The number by which a computation reads it.
    #[wasm_bindgen(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns a number that grows whenever the value has changed.
    pub fn version(&self) -> f64 {
        match &self.live {
            Live::Rows(rows) => rows.version() as f64,
            Live::Value(value) => value.version() as f64,
        }
    }

    /// Returns the value of what is computed, or throws what its computation has thrown.
    pub fn value(&self) -> Result<JsValue, JsValue> {
        match &self.live {
            Live::Rows(_) => Err(error::tagged("QueryError", "rows are taken step by step")),
            Live::Value(value) => value.get().map_err(|error| error::to_js(&error))?.get(),
        }
    }

    /// Returns how the rows that were taken last became those of now, step by step; nothing if they are
    /// the same.
    pub fn take(&self) -> Result<Option<Array>, JsValue> {
        let Live::Rows(live) = &self.live else {
            return Err(error::tagged("QueryError", "what is computed has no rows"));
        };
        let now = live.get().map_err(|error| error::to_js(&error))?;
        let mut taken = self.taken.borrow_mut();
        let diff = now.diff_from(taken.as_ref());
        let is_first = taken.replace(now).is_none();
        if diff.steps.is_empty() && !is_first {
            return Ok(None);
        }
        Ok(Some(steps_to_js(&diff.steps)))
    }

    /// Returns the names of the columns of the rows that were taken last, if there were rows.
    pub fn columns(&self) -> JsValue {
        let taken = self.taken.borrow();
        taken
            .as_ref()
            .and_then(Rows::first)
            .map_or(JsValue::NULL, |row| columns_to_js(row.columns()))
    }

    /// Calls a function now and whenever the value has changed, until the subscription is freed.
    pub fn subscribe(&self, on_change: Function) -> Result<SubscriptionHandle, JsValue> {
        not_computing()?;
        let on_change = SendWrapper::new(on_change);
        let call = move || {
            // What a subscriber throws is told by the host, which has wrapped it.
            let _ = on_change.call0(&JsValue::UNDEFINED);
        };
        Ok(SubscriptionHandle::new(match &self.live {
            Live::Rows(rows) => follow(rows, call),
            Live::Value(value) => follow(value, call),
        }))
    }

    /// Sets the value of a signal; not while something is computed.
    pub fn set(&self, value: JsValue) -> Result<(), JsValue> {
        let Some((host, signal)) = &self.signal else {
            return Err(error::tagged("QueryError", "only a signal can be set"));
        };
        not_computing()?;
        signal.set(JsOutcome::new(host, Ok(value)));
        Ok(())
    }

    /// Tells how precisely changes are told to concern it.
    pub fn explain(&self) -> Result<String, JsValue> {
        match &self.live {
            Live::Rows(rows) => {
                let explanation = rows.explain().map_err(|error| error::to_js(&error))?;
                Ok(explanation.to_string())
            }
            Live::Value(_) => Ok(String::new()),
        }
    }
}

fn follow<T: Clone + PartialEq + Send + Sync + 'static>(
    live: &LiveQuery<T>,
    call: impl Fn() + Send + 'static,
) -> Subscription {
    live.subscribe_result(move |_: Result<&T, &QueryError>| call())
}
