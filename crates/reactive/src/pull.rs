//! Bringing values up to date.
//!
//! A node is checked by looking at what it read, in reading order: each source is settled first,
//! and the first one that differs in value from what was read makes the node run again. Sources
//! after that one are left alone, as the new run may not read them. The walk keeps its own stack.
//! It does not start effects and does not mark anything that was not marked before.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use crate::context::Context;
use crate::graph::Graph;
use crate::node::{Erased, NodeId, Same, Seen, Status, UNSTORED, Value, Work, downcast};
use crate::running::{self, Kind};

/// How often a run is tried that another thread's writes disturb.
pub(crate) const ATTEMPTS: usize = 4;

pub(crate) type Panic = Box<dyn Any + Send>;

/// A value, or a panic to depend on and to resume.
pub(crate) type Pulled = Result<Seen, (Seen, Panic)>;

#[derive(PartialEq, Eq)]
pub(crate) enum Settled {
    /// Clean, without a run of the node itself.
    Fresh,
    /// Something it read has another value: it has to run.
    Outdated,
    /// Another thread wrote meanwhile: to be tried again.
    Raced,
}

/// What there is to do for a node on the way to settling it.
enum Step {
    Done,
    Run,
    Settle(NodeId),
    Compare { source: NodeId, same: Same, old: Erased, new: Erased, version: u64 },
}

/// The end of a computed's run.
struct Ran {
    pulled: Pulled,
    /// Whether it counts as current, so that it was stored.
    stored: bool,
}

impl Graph {
    /// Reads a node without depending on it.
    pub(crate) fn read<T: Value>(&self, id: NodeId) -> T {
        let seen = self.pull(id).unwrap_or_else(|(_, panic)| resume_unwind(panic));
        downcast::<T>(&seen.value.expect("what is readable has a value")).clone()
    }

    /// The version of a node's value, brought up to date.
    pub(crate) fn version(&self, id: NodeId) -> u64 {
        if let Err((_, panic)) = self.pull(id) {
            resume_unwind(panic);
        }
        self.lock().node(id).now.version
    }

    pub(crate) fn pull(&self, id: NodeId) -> Pulled {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let (status, seen) = {
                let state = self.lock();
                let node = state.node(id);
                (node.status, node.now.clone())
            };
            // Clean without a value means that the last run panicked, which is not cached.
            if status == Status::Clean && seen.value.is_some() {
                return Ok(seen);
            }
            running::assert_may_compute(id);
            let settled = if status == Status::Clean { Settled::Outdated } else { self.settle(id) };
            let last = attempt >= ATTEMPTS;
            if settled == Settled::Outdated || last {
                let ran = self.compute(id).expect("a live handle keeps its node");
                if ran.stored || last {
                    return ran.pulled;
                }
            }
        }
    }

    /// Makes a node clean if it can be done without running the node itself.
    pub(crate) fn settle(&self, root: NodeId) -> Settled {
        let mut path = vec![(root, 0)];
        let mut on_path = HashSet::from([root]);
        while let Some((id, at)) = path.last_mut() {
            let id = *id;
            let run = match self.look(id, at) {
                Step::Done => {
                    on_path.remove(&id);
                    path.pop();
                    false
                }
                Step::Run => true,
                Step::Settle(source) => {
                    // To meet a node again is a cycle only if the closures still read that way;
                    // running one finds out.
                    let cyclic = running::is_running(source) || !on_path.insert(source);
                    if !cyclic {
                        path.push((source, 0));
                    }
                    cyclic
                }
                Step::Compare { source, same, old, new, version } => {
                    let equal = are_equal(same, &old, &new);
                    if equal {
                        let seen = Seen { version, value: Some(new) };
                        let replaced = self.lock().accept(id, source, seen);
                        drop(replaced);
                    }
                    !equal
                }
            };
            if run && id == root {
                return Settled::Outdated;
            }
            if run && self.compute(id).is_some_and(|ran| !ran.stored) {
                return Settled::Raced;
            }
        }
        Settled::Fresh
    }

    /// Looks for the first thing that keeps a node from being clean, from edge `at` on, around.
    fn look(&self, id: NodeId, at: &mut usize) -> Step {
        let mut state = self.lock();
        let Some(node) = state.nodes.get(&id) else { return Step::Done };
        match node.status {
            Status::Clean => return Step::Done,
            Status::Dirty => return Step::Run,
            Status::Check => {}
        }
        // The edges before `at` were fine when looked at, but other threads may have been busy.
        let edges = node.reads.iter().enumerate();
        for (index, edge) in edges.clone().skip(*at).chain(edges.take(*at)) {
            let source = state.node(edge.source.id);
            if source.status != Status::Clean {
                *at = index;
                return Step::Settle(edge.source.id);
            }
            let Seen { version, value } = &source.now;
            if *version == edge.seen.version {
                continue;
            }
            // After a single change the values differ; after several they may be equal again, and so
            // may one that was read and not stored.
            let is_next = *version == edge.seen.version + 1 && edge.seen.version != UNSTORED;
            return match (&edge.seen.value, value) {
                (Some(old), Some(new)) if !is_next => Step::Compare {
                    source: edge.source.id,
                    same: source.same,
                    old: old.clone(),
                    new: new.clone(),
                    version: *version,
                },
                _ => Step::Run,
            };
        }
        state.node_mut(id).status = Status::Clean;
        Step::Done
    }

    /// Runs a computed and stores the outcome, unless what it read has changed meanwhile.
    ///
    /// `None` if the node is gone.
    fn compute(&self, id: NodeId) -> Option<Ran> {
        let (compute, before, same) = {
            let state = self.lock();
            let node = state.nodes.get(&id)?;
            let Work::Compute(compute) = &node.work else { return None };
            (compute.clone(), node.now.clone(), node.same)
        };
        let cx = Context::new(self);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _running = running::enter(id, Kind::Computed);
            let value = compute(&cx);
            let equal = before.value.as_ref().is_some_and(|old| are_equal(same, old, &value));
            (value, equal)
        }));
        let reads = cx.into_reads();

        let mut state = self.lock();
        let current = state.is_current(&reads);
        let node = state.nodes.get_mut(&id)?;
        if !current || node.now.version != before.version {
            drop(state);
            let pulled = match result {
                Ok((value, _)) => Ok(Seen { version: UNSTORED, value: Some(value) }),
                Err(panic) => Err((Seen { version: UNSTORED, value: None }, panic)),
            };
            return Some(Ran { pulled, stored: false });
        }
        let was = std::mem::replace(&mut node.status, Status::Clean);
        // `before` keeps the old value alive until the lock is released.
        let panic = match result {
            Ok((_, true)) => None,
            Ok((value, false)) => {
                node.now = Seen { version: before.version + 1, value: Some(value) };
                None
            }
            Err(panic) => {
                if before.value.is_some() || before.version == UNSTORED {
                    node.now = Seen { version: before.version + 1, value: None };
                }
                Some(panic)
            }
        };
        let now = node.now.clone();
        // Only after a panic can a clean node run again; its dependents may be clean then.
        if was == Status::Clean && now.version != before.version {
            state.mark_dependents(id);
        }
        let garbage = state.install(id, reads);
        drop(state);
        drop(garbage);
        let pulled = match panic {
            None => Ok(now),
            Some(panic) => Err((now, panic)),
        };
        Some(Ran { pulled, stored: true })
    }
}

/// A comparison that panics tells no equality, so it counts as a difference.
fn are_equal(same: Same, a: &Erased, b: &Erased) -> bool {
    catch_unwind(AssertUnwindSafe(|| same(a, b))).unwrap_or(false)
}
