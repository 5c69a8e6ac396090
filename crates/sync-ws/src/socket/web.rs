//! That of JavaScript: of browsers, their workers, and Node.
//!
//! It cannot ping. Browsers answer the server's pings without telling, so the server notices a client
//! that is gone, and here a server that is silent is noticed in two ways alone: the store gives up
//! waiting for an answer that it needs, and where there is an `offline` event, it ends the connection.
//! The protocol has no message for this. Nor can it be told to wait: frames that come while the store is
//! busy are kept, and end the connection if there are too many, which is made anew behind them.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use gloo_timers::future::TimeoutFuture;
use js_sys::{Function, JsString, Reflect};
use livestore::sync_provider::BoxFuture;
use livestore_core::limits::MAX_FRAME_BYTES;
use send_wrapper::SendWrapper;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, CloseEvent, Event, EventTarget, MessageEvent, WebSocket};

use super::inbox::{Happening, Inbox, inbox};
use super::{Broken, CONNECT_TIMEOUT};

/// A connection.
pub(crate) struct Socket {
    inner: WebSocket,
    inbox: Inbox,
    /// Who tells that there is no network.
    window: Option<EventTarget>,
    /// What JavaScript calls; taken from it again before they go.
    on_offline: Closure<dyn FnMut()>,
    _handlers: Handlers,
}

type Handlers = (
    Closure<dyn FnMut()>,
    Closure<dyn FnMut(MessageEvent)>,
    Closure<dyn FnMut(CloseEvent)>,
    Closure<dyn FnMut(Event)>,
);

impl Socket {
    pub(crate) async fn connect(url: &str) -> Result<Self, Broken> {
        if property(&js_sys::global(), "WebSocket").is_undefined() {
            let reason = "this JavaScript has no WebSocket; Node has one from version 22 on";
            return Err(Broken::offline(reason));
        }
        let socket = WebSocket::new(url).map_err(|error| Broken::Address(refused(&error)))?;
        let mut socket = Self::follow(socket);
        match timeout(CONNECT_TIMEOUT, socket.inbox.next()).await {
            Ok(Some(Happening::Opened)) => Ok(socket),
            Ok(Some(Happening::Broke(broken))) => Err(broken),
            Ok(_) => Err(Broken::offline("there is no connection")),
            Err(Elapsed) => Err(Broken::Offline(format!("no answer within {CONNECT_TIMEOUT:?}"))),
        }
    }

    /// Begins to listen to a socket.
    fn follow(socket: WebSocket) -> Self {
        let (teller, inbox) = inbox();
        let on_open = Closure::new({
            let teller = teller.clone();
            move || teller.tell(Happening::Opened)
        });
        let on_message = Closure::new({
            let teller = teller.clone();
            let socket = socket.clone();
            move |event: MessageEvent| {
                if teller.is_heard() {
                    teller.tell(received(&event.data()));
                }
                if !teller.is_heard() {
                    // What it goes on to send would be for nobody. One that is closed already stays so.
                    let _ = socket.close();
                }
            }
        });
        let on_close = Closure::new({
            let teller = teller.clone();
            move |event: CloseEvent| teller.tell(closed(&event))
        });
        let on_error = Closure::new({
            let teller = teller.clone();
            // Browsers say no more than that; it comes before the close event. Others say more, some of them
            // the whole address, and so a secret, maybe.
            move |event: Event| {
                let said = property(&event, "message").as_string();
                let said = said.filter(|said| !said.is_empty() && !said.contains("://"));
                let reason = said.unwrap_or_else(|| "there is no connection, or it broke".into());
                teller.tell(Happening::Broke(Broken::Offline(reason)));
            }
        });
        let on_offline = Closure::new(move || {
            teller.tell(Happening::Broke(Broken::offline("there is no network")));
        });
        socket.set_binary_type(BinaryType::Arraybuffer);
        socket.set_onopen(Some(function(&on_open)));
        socket.set_onmessage(Some(function(&on_message)));
        socket.set_onclose(Some(function(&on_close)));
        socket.set_onerror(Some(function(&on_error)));
        let window = window();
        if let Some(window) = &window {
            // What has such a function takes such an event.
            let _ = window.add_event_listener_with_callback("offline", function(&on_offline));
        }
        let handlers = (on_open, on_message, on_close, on_error);
        Self { inner: socket, inbox, window, on_offline, _handlers: handlers }
    }

    #[expect(clippy::unused_async, reason = "elsewhere, a frame takes its time to leave")]
    pub(crate) async fn send(&mut self, text: String) -> Result<(), Broken> {
        self.inner
            .send_with_str(&text)
            .map_err(|_| Broken::offline("the connection is not open any more"))
    }

    /// Waits for the next text; nothing when the other side has closed the connection.
    pub(crate) async fn receive(&mut self) -> Result<Option<String>, Broken> {
        loop {
            match self.inbox.next().await {
                Some(Happening::Opened) => {}
                Some(Happening::Text(text)) => return Ok(Some(text)),
                Some(Happening::Broke(broken)) => return Err(broken),
                Some(Happening::Closed) | None => return Ok(None),
            }
        }
    }

    /// Closes it, which goes on by itself.
    #[expect(clippy::unused_async, reason = "elsewhere, a frame takes its time to leave")]
    pub(crate) async fn close(&mut self) {
        let _ = self.inner.close();
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onclose(None);
        self.inner.set_onerror(None);
        if let Some(window) = &self.window {
            let handler = function(&self.on_offline);
            let _ = window.remove_event_listener_with_callback("offline", handler);
        }
        // One that is closed already stays so.
        let _ = self.inner.close();
    }
}

fn function<T: ?Sized>(closure: &Closure<T>) -> &Function {
    closure.as_ref().unchecked_ref()
}

fn property(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// Says why there is no socket. What is thrown has the whole address in its text, and so a secret, maybe.
fn refused(error: &JsValue) -> String {
    let reason = match property(error, "name").as_string().as_deref() {
        Some("SecurityError") => "a page of https:// connects to wss:// alone",
        _ => "it has to be a scheme, a host, and a port of at most 65535 if there is one",
    };
    reason.into()
}

/// Returns the window or the worker; Node has neither.
fn window() -> Option<EventTarget> {
    let global = js_sys::global();
    let listens = property(&global, "addEventListener").is_function();
    listens.then(|| global.unchecked_into())
}

fn received(frame: &JsValue) -> Happening {
    // Not in the protocol; no text is a message, so it is reported as malformed.
    let Some(text) = frame.dyn_ref::<JsString>() else { return Happening::Text(String::new()) };
    // Each unit of JavaScript's texts is a byte at least; so what is far too long is not copied.
    let text = Some(text).filter(|text| text.length() as usize <= MAX_FRAME_BYTES);
    match text.map(String::from).filter(|text| text.len() <= MAX_FRAME_BYTES) {
        Some(text) => Happening::Text(text),
        None => Happening::Broke(Broken::Offline(format!(
            "it has sent a frame of more than {MAX_FRAME_BYTES} bytes"
        ))),
    }
}

fn closed(event: &CloseEvent) -> Happening {
    if event.was_clean() {
        let broken = Broken::closed(event.code(), &event.reason());
        return broken.map_or(Happening::Closed, Happening::Broke);
    }
    Happening::Broke(Broken::Offline(format!("the connection broke (code {})", event.code())))
}

/// Makes a future one that can be kept and sent, although it can only be used here.
pub(crate) fn boxed<'a, T>(future: impl Future<Output = T> + 'a) -> BoxFuture<'a, T> {
    Box::pin(SendWrapper::new(future))
}

/// The time is over.
pub(crate) struct Elapsed;

pub(crate) async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), pin!(TimeoutFuture::new(time.as_millis() as u32))).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(Elapsed),
    }
}
