//! What the engine asks TypeScript for.

use js_sys::{Function, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;

type Answer = Result<JsValue, JsValue>;

#[wasm_bindgen]
extern "C" {
    /// What TypeScript does for the engine of one store.
    #[derive(Clone)]
    pub type Host;

    /// Turns an event into writes: a JSON array of `{"sql": …, "binds": […]}`.
    ///
    /// `query` reads the state, until this has returned.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn materialize(
        this: &Host,
        name: &str,
        args: &str,
        client_id: &str,
        session_id: &str,
        query: &dyn Fn(JsValue) -> Answer,
    ) -> Result<JsValue, JsValue>;

    /// Computes a value that was defined under a number; `read` depends on that of a handle.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn compute(
        this: &Host,
        id: u32,
        read: &dyn Fn(u32) -> Answer,
    ) -> Result<JsValue, JsValue>;

    /// Tells whether two values are equal.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn equal(this: &Host, left: &JsValue, right: &JsValue) -> Result<bool, JsValue>;

    /// Promises a token, to `connect`, or to `renew` one that the server does not want; called if the
    /// options say that there are tokens.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn token(this: &Host, request: &str) -> Result<JsValue, JsValue>;

    /// Tells of an event that the schema does not know; called if the options ask for that.
    #[wasm_bindgen(structural, method, catch, js_name = unknownEvent)]
    pub(crate) fn unknown_event(this: &Host, event: &str) -> Result<JsValue, JsValue>;

    /// Tells developers of something that nobody else can be told of.
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn report(error: &JsValue);
}

/// The host, and what else is JavaScript's, kept where only its thread can use it.
pub(crate) type SharedHost = SendWrapper<Host>;

/// What a computation of TypeScript's came to: a value, or what it threw.
///
/// Values are compared by TypeScript.
#[derive(Clone)]
pub(crate) struct JsOutcome {
    host: SharedHost,
    outcome: SendWrapper<Answer>,
}

impl JsOutcome {
    pub(crate) fn new(host: &SharedHost, outcome: Answer) -> Self {
        Self { host: host.clone(), outcome: SendWrapper::new(outcome) }
    }

    pub(crate) fn get(&self) -> Answer {
        (*self.outcome).clone()
    }
}

impl PartialEq for JsOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (&*self.outcome, &*other.outcome) {
            (Ok(left), Ok(right)) => {
                js_sys::Object::is(left, right) || self.host.equal(left, right).unwrap_or(false)
            }
            (Err(left), Err(right)) => js_sys::Object::is(left, right),
            _ => false,
        }
    }
}

/// What was thrown, as a text.
pub(crate) fn thrown(value: &JsValue) -> String {
    if !value.is_instance_of::<js_sys::Error>() {
        return value.as_string().unwrap_or_else(|| format!("{value:?}"));
    }
    // That is the app's code, which may throw: what it throws must not pass through here.
    let text = || {
        let show: Function = Reflect::get(value, &"toString".into()).ok()?.dyn_into().ok()?;
        show.call0(value).ok()?.as_string()
    };
    text().unwrap_or_else(|| "an error that cannot be shown".into())
}
