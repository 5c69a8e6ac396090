//! The context of one run: how a closure reads, and what it has read.
//!
//! It collects edges and nothing else; whether they are still current is judged at the end of the
//! run.

use std::cell::RefCell;
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::sync::Arc;

use crate::graph::Graph;
use crate::handle::Handle;
use crate::node::{Edge, NodeId, Seen, downcast};
use crate::source::Source;

pub(crate) mod sealed {
    use std::sync::Arc;

    use crate::handle::Handle;

    pub trait Readable {
        fn handle(&self) -> &Arc<Handle>;
    }
}

/// What has a value to read: a [`Signal`](crate::Signal) or a [`Computed`](crate::Computed).
pub trait Read: sealed::Readable {
    /// The type of the value.
    type Value: crate::Value;
}

/// Given to the closure of a computed or an effect to read with.
///
/// What is read through it becomes a dependency until the next run, and lives as long.
pub struct Context<'g> {
    graph: &'g Graph,
    reads: RefCell<Reads>,
}

/// Up to so many edges, looking at each takes no longer than looking one up.
const FEW: usize = 16;

#[derive(Default)]
struct Reads {
    edges: Vec<Edge>,
    /// What they lead to, once they are no longer few.
    ids: HashSet<NodeId>,
}

impl<'g> Context<'g> {
    pub(crate) fn new(graph: &'g Graph) -> Self {
        Self { graph, reads: RefCell::default() }
    }

    /// Returns the value, brought up to date, and depends on it.
    ///
    /// # Panics
    ///
    /// As [`Computed::get`](crate::Computed::get), and if `node` is of another graph.
    pub fn get<R: Read>(&self, node: &R) -> R::Value {
        let handle = node.handle();
        assert!(handle.graph.is(self.graph), "the node read belongs to another graph");
        match self.graph.pull(handle.id) {
            Ok(seen) => {
                let value = seen.value.clone().expect("what is readable has a value");
                self.add(handle, seen);
                downcast::<R::Value>(&value).clone()
            }
            Err((seen, panic)) => {
                // A failure is depended on as well: a change upstream may mend it.
                self.add(handle, seen);
                resume_unwind(panic)
            }
        }
    }

    /// Depends on a source.
    ///
    /// Call it before reading what the source stands for, so that a change in between counts.
    ///
    /// # Panics
    ///
    /// If `source` is of another graph.
    pub fn track(&self, source: &Source) {
        let handle = source.handle_in(self.graph);
        let seen = self.graph.lock().node(handle.id).now.clone();
        self.add(handle, seen);
    }

    /// Keeps the first read of each source: if a later one differs, the run has to be repeated.
    fn add(&self, source: &Arc<Handle>, seen: Seen) {
        let mut reads = self.reads.borrow_mut();
        let Reads { edges, ids } = &mut *reads;
        let is_new = if edges.len() < FEW {
            edges.iter().all(|edge| edge.source.id != source.id)
        } else {
            if ids.is_empty() {
                ids.extend(edges.iter().map(|edge| edge.source.id));
            }
            ids.insert(source.id)
        };
        if is_new {
            edges.push(Edge { source: Arc::clone(source), seen });
        }
    }

    pub(crate) fn into_reads(self) -> Vec<Edge> {
        self.reads.into_inner().edges
    }
}
