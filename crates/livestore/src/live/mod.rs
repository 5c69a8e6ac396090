//! Live values: what follows the state, and who is told.
//!
//! A **definition** says what is followed, of whichever store. An **instance** of it is a computed value
//! in one store's graph; equal definitions share one. The instance of a query knows what concerns it,
//! and is marked by the changes that do, and by no others.

mod definition;
mod engine;
mod explain;
mod instance;
mod log;
mod stream;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use livestore_reactive::{Computed, Effect, Graph};
use livestore_sqlite::{Diff, Rows};

use crate::store::Inner;
use crate::{QueryError, Unavailable};

pub use definition::{
    IntoLive, LiveContext, LiveDef, LiveRead, SignalDef, computed, query_db, query_with, signal,
};
pub(crate) use engine::Engine;
pub use explain::{Explanation, Precision, TableExplanation};
pub(crate) use instance::Instance;
pub(crate) use log::RefreshLog;
pub use log::{QueryRefresh, Refresh, RefreshCause, RefreshOutcome};
pub use stream::LiveStream;

/// A value that follows the state; clones share it.
///
/// Its value always equals the same query run afresh. It costs next to nothing while nobody asks for
/// its value and nobody subscribes.
pub struct LiveQuery<T> {
    graph: Graph,
    store: Weak<Inner>,
    instance: Instance<T>,
}

/// What a binding for a user interface needs of a value that changes.
///
/// ```
/// use livestore::{Live, QueryError, Subscription};
///
/// /// Calls a framework's function whenever a value has changed, and with what it is now.
/// fn bind<L: Live>(
///     live: &L,
///     mut show: impl FnMut(Result<&L::Value, &QueryError>) + Send + 'static,
/// ) -> Subscription {
///     live.subscribe(move |value| show(value))
/// }
/// ```
pub trait Live {
    /// The value.
    type Value;

    /// Returns the value now.
    fn get(&self) -> Result<Self::Value, QueryError>;

    /// Returns a number that grows whenever the value has changed.
    fn version(&self) -> u64;

    /// Calls a function with the value, now and whenever it has changed, until the subscription is
    /// dropped; with the error, if there is one in place of a value.
    fn subscribe(
        &self,
        on_change: impl FnMut(Result<&Self::Value, &QueryError>) + Send + 'static,
    ) -> Subscription;
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveQuery<T> {
    pub(crate) fn new(store: &Arc<Inner>, instance: Instance<T>) -> Self {
        Self { graph: store.graph().clone(), store: Arc::downgrade(store), instance }
    }

    fn computed(&self) -> &Computed<Result<T, QueryError>> {
        &self.instance.computed
    }

    /// Returns the value now.
    pub fn get(&self) -> Result<T, QueryError> {
        self.computed().get()
    }

    /// Returns a number that grows whenever the value has changed.
    pub fn version(&self) -> u64 {
        self.computed().version()
    }

    /// Calls a function with the value, now and whenever it has changed, until the subscription
    /// is dropped.
    ///
    /// It is called on the thread that made the change, before the change's call returns; if another
    /// thread is calling subscribers at that moment, that one calls it as well. It never sees half a
    /// commit. It may use the store, also to commit; what it commits is told when all have been called.
    /// If it panics, where panics unwind, the panic is logged and the next change calls it again. If the
    /// query fails, the error is logged and [`LiveQuery::get`] returns it.
    pub fn subscribe(&self, mut on_change: impl FnMut(&T) + Send + 'static) -> Subscription {
        self.subscribe_result(move |result| match result {
            Ok(value) => on_change(value),
            // Nothing more is to come.
            Err(QueryError::Store(Unavailable::Closed)) => {}
            Err(error) => tracing::error!(%error, "a live query failed"),
        })
    }

    /// Follows the value as [`LiveQuery::subscribe`] does, and is told of errors as well.
    pub fn subscribe_result(
        &self,
        mut on_change: impl FnMut(Result<&T, &QueryError>) + Send + 'static,
    ) -> Subscription {
        let computed = self.computed().clone();
        let effect = self.graph.effect(move |context| {
            // A callback that panicked half-way through its own data is its own business. The closure
            // of a computed value may panic too, and must not take with it whoever changed something.
            let run = || on_change(context.get(&computed).as_ref());
            if catch_unwind(AssertUnwindSafe(run)).is_err() {
                tracing::error!("a live value or its subscriber panicked");
            }
        });
        Subscription { _effect: effect }
    }

    /// Follows the value asynchronously: the stream gives the value now, and whenever it has changed
    /// since it was last taken; values in between are passed over.
    ///
    /// It ends when the store is shut down.
    pub fn stream(&self) -> LiveStream<T> {
        LiveStream::new(self)
    }

    /// Tells how precisely changes are told to concern it, and what they are compared with.
    pub fn explain(&self) -> Result<Explanation, QueryError> {
        // What concerns a query is found out when it first runs.
        self.get()?;
        Ok(self.instance.info.explain(&self.store))
    }
}

impl<T: PartialEq + Send + Sync + 'static> LiveQuery<Rows<T>> {
    /// Calls a function with the steps by which the list has changed, so that a user interface can
    /// patch its own; first with those that lead from nothing to the list as it is.
    ///
    /// Rows of a selection are told apart by their keys, others by what they hold and where they are.
    /// What is said of [`LiveQuery::subscribe`] holds here too.
    pub fn subscribe_diff(
        &self,
        mut on_change: impl FnMut(&Diff<T>) + Send + 'static,
    ) -> Subscription {
        let mut before: Option<Rows<T>> = None;
        self.subscribe(move |rows| {
            let diff = rows.diff_from(before.as_ref());
            before = Some(rows.clone());
            on_change(&diff);
        })
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> Live for LiveQuery<T> {
    type Value = T;

    fn get(&self) -> Result<T, QueryError> {
        self.get()
    }

    fn version(&self) -> u64 {
        self.version()
    }

    fn subscribe(
        &self,
        on_change: impl FnMut(Result<&T, &QueryError>) + Send + 'static,
    ) -> Subscription {
        self.subscribe_result(on_change)
    }
}

impl<T> Clone for LiveQuery<T> {
    fn clone(&self) -> Self {
        let Self { graph, store, instance } = self;
        Self { graph: graph.clone(), store: store.clone(), instance: instance.clone() }
    }
}

impl<T> fmt::Debug for LiveQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LiveQuery").field(&self.instance.info.name()).finish()
    }
}

/// Keeps a subscriber subscribed; dropping it ends the subscription.
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    _effect: Effect,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscription")
    }
}
