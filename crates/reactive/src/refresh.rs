//! Running effects until nothing is left to run.
//!
//! One thread at a time refreshes; the others leave their effects to it. An effect runs only if
//! something that it read has another value. What the effects do is not known here.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::context::Context;
use crate::graph::Graph;
use crate::node::{NodeId, Status, Work};
use crate::pull::{ATTEMPTS, Panic, Settled};
use crate::running::{self, Kind};

/// How many rounds in a row effects may cause by their own writes.
///
/// A round runs each affected effect once, in creation order. See [`Graph::on_unsettled`].
pub const MAX_ROUNDS: usize = 1_000;

/// The report that effects kept making each other run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsettled {
    /// How many effects were left to run.
    pub effects: usize,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let effects = self.effects;
        write!(f, "{effects} effects did not settle within {MAX_ROUNDS} rounds of their own writes")
    }
}

impl Error for Unsettled {}

impl Graph {
    /// Runs the pending effects, unless another thread does or a batch is open.
    pub(crate) fn refresh(&self) {
        {
            let mut state = self.lock();
            if state.refreshing || state.batches > 0 || state.pending.is_empty() {
                return;
            }
            state.refreshing = true;
            state.echo = false;
        }
        let mut first_panic: Option<Panic> = None;
        let mut round = BTreeSet::new();
        let mut echoes = 0;
        let unsettled = loop {
            let mut state = self.lock();
            if state.batches > 0 {
                // Whoever closes the batch goes on.
                state.pending.append(&mut round);
                state.refreshing = false;
                break None;
            }
            if round.is_empty() {
                // Only rounds that effects cause themselves count: other threads may write on
                // and on without anything being wrong.
                echoes = if std::mem::take(&mut state.echo) { echoes + 1 } else { 0 };
                let left = state.pending.len();
                if left == 0 || echoes >= MAX_ROUNDS {
                    state.refreshing = false;
                    let unsettled = Unsettled { effects: left };
                    break (left > 0).then(|| (unsettled, state.on_unsettled.clone()));
                }
                round = std::mem::take(&mut state.pending);
            }
            let effect = round.pop_first();
            drop(state);
            let run = || effect.map_or(Ok(()), |id| self.run_effect(id));
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(Err) {
                first_panic.get_or_insert(panic);
            }
        };
        let unhandled = match unsettled {
            Some((unsettled, Some(hook))) => {
                hook(&unsettled);
                None
            }
            Some((unsettled, None)) => Some(unsettled),
            None => None,
        };
        if let Some(panic) = first_panic {
            resume_unwind(panic);
        }
        if let Some(unsettled) = unhandled {
            panic!("{unsettled}");
        }
    }

    /// Runs an effect if something that it read has changed in value.
    ///
    /// Only called by the refreshing thread, and for a new effect by the thread that makes it, so
    /// never twice at a time.
    pub(crate) fn run_effect(&self, id: NodeId) -> Result<(), Panic> {
        for _ in 0..ATTEMPTS {
            match self.settle(id) {
                Settled::Fresh => return Ok(()),
                Settled::Outdated => break,
                Settled::Raced => {}
            }
        }
        let taken = match self.lock().nodes.get_mut(&id).map(|node| &mut node.work) {
            Some(Work::Effect(run)) => run.take(),
            _ => None,
        };
        let Some(mut run) = taken else { return Ok(()) };
        let cx = Context::new(self);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _running = running::enter(id, Kind::Effect);
            run(&cx);
        }));
        let reads = cx.into_reads();

        let mut state = self.lock();
        let current = state.is_current(&reads);
        let Some(node) = state.nodes.get_mut(&id) else {
            // Stopped meanwhile. The closure is the user's, so the lock has to go first.
            drop(state);
            drop(run);
            return result;
        };
        node.work = Work::Effect(Some(run));
        node.status = if current { Status::Clean } else { Status::Check };
        if !current {
            state.pending.insert(id);
        }
        let garbage = state.install(id, reads);
        drop(state);
        drop(garbage);
        result
    }
}
