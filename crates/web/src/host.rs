//! What the engine asks TypeScript for.

use std::cell::RefCell;

use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;

type Answer = Result<JsValue, JsValue>;

#[wasm_bindgen]
extern "C" {
    /// What TypeScript does for the engine of one store.
    #[derive(Clone)]
    pub type Host;

    /// Turns an event into writes: a JSON array of pairs, each of the number of a text and a list of the
    /// values for its `?`.
    ///
    /// `query` reads the state, until this has returned.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn materialize(
        this: &Host,
        name: &JsValue,
        args: &JsValue,
        client_id: &JsValue,
        session_id: &JsValue,
        query: &dyn Fn(JsValue, JsValue) -> Answer,
    ) -> Result<JsValue, JsValue>;

    /// The text of a write, by a number that `materialize` has just returned.
    #[wasm_bindgen(structural, method, catch)]
    pub(crate) fn statement(this: &Host, number: u32) -> Result<JsValue, JsValue>;

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

    /// May be an app's, which throws; nothing that is thrown may pass through the engine.
    #[wasm_bindgen(js_namespace = console, js_name = error, catch)]
    fn console_error(error: &JsValue) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = String, catch)]
    fn to_text(value: &JsValue) -> Result<String, JsValue>;
}

#[wasm_bindgen(module = "/src/ascii.js")]
extern "C" {
    fn ascii(bytes: &[u8]) -> JsValue;
}

/// Texts up to this, in bytes, are made strings by hand; beyond about that, a decoder takes less time.
const SHORT: usize = 128;

/// Makes a string of a text, of which most are short.
pub(crate) fn text_to_js(text: &str) -> JsValue {
    if text.len() <= SHORT && text.is_ascii() {
        ascii(text.as_bytes())
    } else {
        JsValue::from_str(text)
    }
}

/// Tells developers of something that nobody else can be told of.
pub(crate) fn report(error: &JsValue) {
    let _ = console_error(error);
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

/// The text that was last asked for, as JavaScript has it.
///
/// To hand a text over costs more than most of what is done with it, and the next event is of the same
/// client, mostly.
#[derive(Default)]
pub(crate) struct LastText(RefCell<(String, JsValue)>);

impl LastText {
    pub(crate) fn get(&self, text: &str) -> JsValue {
        let mut last = self.0.borrow_mut();
        if last.0 != text {
            *last = (text.to_owned(), text_to_js(text));
        }
        last.1.clone()
    }
}

/// What was thrown, as a text.
///
/// That is the app's code, which may throw once more: what it throws must not pass through here.
pub(crate) fn thrown(value: &JsValue) -> String {
    let is_plain = value.is_object() && !value.is_instance_of::<js_sys::Error>();
    let json = || js_sys::JSON::stringify(value).ok().and_then(|json| json.as_string());
    let text = if is_plain { json() } else { to_text(value).ok() };
    text.unwrap_or_else(|| "something that cannot be shown".into())
}
