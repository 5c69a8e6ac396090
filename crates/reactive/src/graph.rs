//! The graph: where nodes are made and writes are grouped.
//!
//! It promises that every write marks what is downstream before it returns, and that effects
//! follow. How values are brought up to date is left to `pull`, how effects run to `refresh`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::computed::Computed;
use crate::context::Context;
use crate::effect::Effect;
use crate::handle::Handle;
use crate::node::{Erased, Node, NodeId, Value};
use crate::refresh::Unsettled;
use crate::running;
use crate::signal::Signal;
use crate::source::Source;
use crate::state::State;

/// A reactive graph.
///
/// Clones are handles to the same graph. A node lives as long as a handle to it, or another node that
/// reads it.
#[derive(Clone, Default)]
pub struct Graph {
    state: Arc<Mutex<State>>,
}

impl Graph {
    /// Makes an empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a signal that holds `initial`.
    pub fn signal<T: Value>(&self, initial: T) -> Signal<T> {
        Signal::new(Handle::new(self, Node::signal(initial)))
    }

    /// Makes a source.
    pub fn source(&self) -> Source {
        Source::new(Handle::new(self, Node::source()))
    }

    /// Makes a computed value; `compute` runs when it is first read.
    ///
    /// `compute` has to be a function of what it reads through the context: it must not write to
    /// a graph, and may be run by several threads at once.
    pub fn computed<T: Value>(
        &self,
        compute: impl Fn(&Context<'_>) -> T + Send + Sync + 'static,
    ) -> Computed<T> {
        let compute = move |cx: &Context<'_>| Arc::new(compute(cx)) as Erased;
        Computed::new(Handle::new(self, Node::computed::<T>(Arc::new(compute))))
    }

    /// Starts an effect: runs `run` now, and after each change of something that it read.
    ///
    /// Inside another effect, or while any thread has a batch open, the first run waits until that
    /// is over.
    ///
    /// # Panics
    ///
    /// If `run` or another effect panics, the new effect being gone then, or inside a computed.
    pub fn effect(&self, run: impl FnMut(&Context<'_>) + Send + 'static) -> Effect {
        running::assert_may_write();
        let handle = Handle::new(self, Node::effect(Box::new(run)));
        let id = handle.id;
        let mut state = self.lock();
        // Left to another thread that refreshes, the first run could come after later writes.
        let runs_here = state.refreshing && state.batches == 0 && !running::is_inside();
        if !runs_here {
            state.pending.insert(id);
            state.echo |= running::is_inside();
        }
        drop(state);
        let effect = Effect::new(handle);
        if runs_here && let Err(panic) = self.run_effect(id) {
            resume_unwind(panic);
        }
        self.refresh();
        effect
    }

    /// Groups writes: effects wait until the outermost batch is over.
    ///
    /// Reads inside see the writes so far. Other threads see them too, one by one, but no effect
    /// runs on any thread while a batch is open. If `f` panics, the writes it made stand and
    /// their effects run before the panic resumes.
    ///
    /// # Panics
    ///
    /// If `f` or an effect panics, or inside a computed.
    pub fn batch<R>(&self, f: impl FnOnce() -> R) -> R {
        running::assert_may_write();
        self.lock().batches += 1;
        let result = catch_unwind(AssertUnwindSafe(f));
        self.lock().batches -= 1;
        let refreshed = catch_unwind(AssertUnwindSafe(|| self.refresh()));
        match (result, refreshed) {
            (Ok(result), Ok(())) => result,
            (Err(panic), _) | (_, Err(panic)) => resume_unwind(panic),
        }
    }

    /// Marks sources as changed, all at once, with one refresh.
    ///
    /// # Panics
    ///
    /// If an effect panics, if a source is of another graph, or inside a computed.
    pub fn mark_changed<'a>(&self, sources: impl IntoIterator<Item = &'a Source>) {
        self.mark_changed_then(sources, || ());
    }

    /// Marks sources as changed, all at once, and does something else before the refresh.
    ///
    /// Another thread may run effects before that; they see the change.
    ///
    /// # Panics
    ///
    /// As [`Self::mark_changed`] does.
    pub fn mark_changed_then<'a>(
        &self,
        sources: impl IntoIterator<Item = &'a Source>,
        then: impl FnOnce(),
    ) {
        running::assert_may_write();
        let ids: Vec<NodeId> =
            sources.into_iter().map(|source| source.handle_in(self).id).collect();
        let mut state = self.lock();
        state.echo |= running::is_inside() && !ids.is_empty();
        for id in ids {
            state.node_mut(id).now.version += 1;
            state.mark_dependents(id);
        }
        drop(state);
        then();
        self.refresh();
    }

    /// Says what happens when effects keep writing what makes them run again.
    ///
    /// After [`MAX_ROUNDS`](crate::MAX_ROUNDS) rounds in a row that were caused by effects, a
    /// refresh stops, calls `hook` and returns. The effects left over stay queued: the next
    /// refresh goes on with them. Without a hook, the refresh panics. The hook itself must not
    /// write to the graph.
    pub fn on_unsettled(&self, hook: impl Fn(&Unsettled) + Send + Sync + 'static) {
        let old = self.lock().on_unsettled.replace(Arc::new(hook));
        drop(old);
    }

    /// Counts the nodes that are alive.
    pub fn node_count(&self) -> usize {
        self.lock().nodes.len()
    }

    /// Counts the dependencies between nodes.
    pub fn edge_count(&self) -> usize {
        self.lock().nodes.values().map(|node| node.reads.len()).sum()
    }

    /// Replaces a signal's value by what `next` makes of it, unless that is `None`.
    ///
    /// `next` runs without the lock, so it runs again if another write came in between.
    pub(crate) fn replace(&self, id: NodeId, mut next: impl FnMut(&Erased) -> Option<Erased>) {
        running::assert_may_write();
        let old = loop {
            let before = self.lock().node(id).now.clone();
            let value = before.value.as_ref().and_then(&mut next);
            let Some(value) = value else { return };
            let mut state = self.lock();
            let node = state.node_mut(id);
            if node.now.version == before.version {
                node.now.version += 1;
                let old = node.now.value.replace(value);
                state.mark_dependents(id);
                state.echo |= running::is_inside();
                break old;
            }
        };
        drop(old);
        self.refresh();
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under the lock, so a poisoned state is still a consistent one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("nodes", &self.node_count())
            .field("edges", &self.edge_count())
            .finish()
    }
}
