//! Live values as asynchronous streams.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::{LiveQuery, Subscription};
use crate::{QueryError, Unavailable};

/// A live value as a stream; see [`LiveQuery::stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct LiveStream<T> {
    shared: Arc<Shared<T>>,
    _subscription: Subscription,
}

#[derive(Debug)]
struct Shared<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    /// The value, if it was not taken yet.
    next: Option<Result<T, QueryError>>,
    waker: Option<Waker>,
    has_ended: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut State<T>)) {
        let mut state = self.lock();
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveStream<T> {
    pub(super) fn new(live: &LiveQuery<T>) -> Self {
        let state = State { next: None, waker: None, has_ended: false };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let told = Arc::clone(&shared);
        let (computed, store) = (live.computed().clone(), live.store.clone());
        let closed = store.upgrade().map(|store| store.closed().clone());
        let mut last = None;
        let effect = live.graph.effect(move |context| {
            if let Some(closed) = &closed {
                context.track(closed);
            }
            let get = || context.get(&computed);
            let Ok(value) = catch_unwind(AssertUnwindSafe(get)) else {
                tracing::error!("a live value panicked");
                return;
            };
            let has_ended = store.upgrade().is_none_or(|store| store.is_closed());
            let is_end = matches!(value, Err(QueryError::Store(Unavailable::Closed)));
            let is_new = !is_end && last.as_ref() != Some(&value);
            if is_new {
                last = Some(value.clone());
            }
            if is_new || has_ended {
                told.update(|state| {
                    state.has_ended |= has_ended;
                    if is_new {
                        state.next = Some(value);
                    }
                });
            }
        });
        Self { shared, _subscription: Subscription { _effect: effect } }
    }
}

impl<T> Stream for LiveStream<T> {
    type Item = Result<T, QueryError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.shared.lock();
        if let Some(value) = state.next.take() {
            return Poll::Ready(Some(value));
        }
        if state.has_ended {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
