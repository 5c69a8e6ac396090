//! Live queries and subscriptions.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use livestore_reactive::{Computed, Context, Effect, Graph};

use crate::QueryError;

/// A query whose value follows the state; clones share it.
///
/// Its value always equals the same query run afresh. It costs nothing while nobody asks for its
/// value and nobody subscribes.
#[derive(Clone)]
pub struct LiveQuery<T> {
    graph: Graph,
    computed: Computed<Result<T, QueryError>>,
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveQuery<T> {
    pub(crate) fn new(graph: Graph, computed: Computed<Result<T, QueryError>>) -> Self {
        Self { graph, computed }
    }

    /// Returns the value now.
    pub fn get(&self) -> Result<T, QueryError> {
        self.computed.get()
    }

    /// Returns the value inside a [`Store::computed`](crate::Store::computed), which then depends
    /// on it.
    pub fn get_in(&self, context: &Context<'_>) -> Result<T, QueryError> {
        context.get(&self.computed)
    }

    /// Returns a number that grows whenever the value has changed.
    pub fn version(&self) -> u64 {
        self.computed.version()
    }

    /// Calls a function with the value, now and whenever it has changed, until the subscription
    /// is dropped.
    ///
    /// It is called on the thread that made the change, before the change's call returns, and
    /// never sees half a commit. It may use the store, also to commit. If it panics, the panic is
    /// logged and the next change calls it again. If the query fails, the error is logged and
    /// [`LiveQuery::get`] returns it.
    pub fn subscribe(&self, mut on_change: impl FnMut(&T) + Send + 'static) -> Subscription {
        let computed = self.computed.clone();
        let effect = self.graph.effect(move |context| match context.get(&computed) {
            Ok(value) => {
                // A callback that panicked half-way through its own data is its own business.
                if catch_unwind(AssertUnwindSafe(|| on_change(&value))).is_err() {
                    tracing::error!("a live query's subscriber panicked");
                }
            }
            Err(error) => tracing::error!(%error, "a live query failed"),
        });
        Subscription { _effect: effect }
    }
}

impl<T: fmt::Debug> fmt::Debug for LiveQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveQuery")
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
