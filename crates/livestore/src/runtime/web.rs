//! Those of JavaScript, on the thread that the app has as well.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{AbortHandle, Either, abortable, select};
use gloo_timers::future::TimeoutFuture;
use tokio::sync::oneshot;
use wasm_bindgen::prelude::*;
use web_sys::MessageChannel;
pub(crate) use web_time::Instant;

/// True if nobody else waits for the thread.
pub(crate) const HAS_OWN_THREAD: bool = false;

thread_local! {
    static ARE_STOPPED: Cell<bool> = const { Cell::new(false) };
}

/// Stops all that stores do by themselves, in this page or worker, for good.
///
/// After a panic, say: nothing unwinds here, so whatever was being done may be half done, and must go
/// to nobody.
pub fn stop_tasks() {
    ARE_STOPPED.set(true);
}

/// Tells whether [`stop_tasks`] was called.
pub fn tasks_are_stopped() -> bool {
    ARE_STOPPED.get()
}

/// A task that runs by itself; dropping this lets it go on.
pub(crate) struct Task<T> {
    result: oneshot::Receiver<T>,
    abort: AbortHandle,
}

/// The task was ended before it was done.
#[derive(Debug)]
pub(crate) struct Aborted;

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was ended")
    }
}

impl std::error::Error for Aborted {}

impl<T> Task<T> {
    pub(crate) fn abort(&self) {
        self.abort.abort();
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, Aborted>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result).poll(context).map_err(|_| Aborted)
    }
}

/// Runs a task.
pub(crate) fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
    let (sender, result) = oneshot::channel();
    let (run, abort) = abortable(async move {
        // Whoever does not wait for it does not want its result.
        let _ = sender.send(future.await);
    });
    let mut run = Box::pin(run);
    wasm_bindgen_futures::spawn_local(poll_fn(move |context| {
        if tasks_are_stopped() { Poll::Pending } else { run.as_mut().poll(context).map(drop) }
    }));
    Task { result, abort }
}

/// Lets everything else run that waits for the thread.
///
/// Not by a timer: in pages that nobody sees, those come once in a second, or in a minute.
pub async fn yield_now() {
    let Ok(channel) = MessageChannel::new() else { return TimeoutFuture::new(0).await };
    let (sender, done) = oneshot::channel();
    let (from, to) = (channel.port2(), channel.port1());
    let port = to.clone();
    // It is dropped when it is called, which happens also if nobody waits any more.
    let on_message = Closure::once_into_js(move || {
        port.close();
        let _ = sender.send(());
    });
    to.set_onmessage(Some(on_message.unchecked_ref()));
    if from.post_message(&JsValue::NULL).is_ok() {
        let _ = done.await;
    }
}

async fn sleep(time: Duration) {
    // JavaScript's timers take up to 2³¹ − 1 ms.
    let ms = time.as_millis().min(i32::MAX as u128) as u32;
    TimeoutFuture::new(ms).await;
}

pub(crate) async fn sleep_until(deadline: Instant) {
    // A timer may be a little early.
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        sleep(left.max(Duration::from_millis(1))).await;
    }
}

/// The time is over.
#[derive(Debug)]
pub(crate) struct Elapsed;

pub(crate) async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    match select(pin!(future), pin!(sleep(time))).await {
        Either::Left((done, _)) => Ok(done),
        Either::Right(_) => Err(Elapsed),
    }
}
