//! What the tests share: a counter and a log that closures can own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use livestore_reactive::{Context, Effect, Graph, Read};

#[derive(Clone, Default)]
pub(crate) struct Counter(Arc<AtomicUsize>);

impl Counter {
    pub(crate) fn bump(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
pub(crate) struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn push(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    /// Returns what was logged since the last call.
    pub(crate) fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// An effect that logs the value of `node`.
pub(crate) fn observe<R>(graph: &Graph, node: &R) -> (Effect, Log<R::Value>)
where
    R: Read + Clone + Send + 'static,
{
    let (node, log) = (node.clone(), Log::new());
    let effect = graph.effect({
        let log = log.clone();
        move |cx: &Context<'_>| log.push(cx.get(&node))
    });
    (effect, log)
}

/// Returns the message of the panic that `f` has to end in.
pub(crate) fn panic_message<R>(f: impl FnOnce() -> R) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(f)) else { panic!("no panic") };
    match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => (*panic.downcast::<&str>().expect("a message")).to_owned(),
    }
}
