//! Sources: outside data that can only be said to have changed.
//!
//! There is no value, hence no cutoff: every mark counts as a change.

use std::sync::Arc;

use crate::graph::Graph;
use crate::handle::Handle;

/// Something outside the graph, such as a table.
///
/// A closure that reads that thing says so with [`Context::track`](crate::Context::track). Clones
/// are handles to the same source; it is gone when the last is dropped and nobody reads it.
#[derive(Clone, Debug)]
pub struct Source {
    handle: Arc<Handle>,
}

impl Source {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle) }
    }

    /// Marks this source as changed.
    ///
    /// For several at once see [`Graph::mark_changed`].
    ///
    /// # Panics
    ///
    /// If an effect panics, or inside a computed.
    pub fn mark_changed(&self) {
        self.handle.graph.mark_changed([self]);
    }

    pub(crate) fn handle_in(&self, graph: &Graph) -> &Arc<Handle> {
        assert!(self.handle.graph.is(graph), "the source belongs to another graph");
        &self.handle
    }
}
