//! The table of nodes and the edges between them.
//!
//! Everything here happens under the graph's lock, so nothing here runs or drops what a user
//! wrote: whatever is replaced is given back, to be dropped once the lock is released.
//!
//! Two invariants carry the rest: the dependents of a node that is not clean are not clean, and
//! an effect that is not clean is pending, in the round of a refresh, or running.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::node::{ById, Edge, Node, NodeId, Seen, Status, Work};
use crate::refresh::Unsettled;

pub(crate) type Hook = dyn Fn(&Unsettled) + Send + Sync;

#[derive(Default)]
pub(crate) struct State {
    /// Boxed, so that the table's free places take little.
    pub(crate) nodes: ById<Box<Node>>,
    /// Effects to look at, in creation order.
    pub(crate) pending: BTreeSet<NodeId>,
    /// Batches open on any thread; no effect starts while there is one.
    pub(crate) batches: usize,
    /// Whether a thread is running effects; at most one does.
    pub(crate) refreshing: bool,
    /// Whether a closure of this refresh wrote something, as opposed to another thread.
    pub(crate) echo: bool,
    pub(crate) on_unsettled: Option<Arc<Hook>>,
}

impl State {
    /// The node of a handle that is alive.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.nodes.get(&id).expect("a live handle keeps its node")
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a live handle keeps its node")
    }

    /// Marks all that is downstream of a changed node as to be checked.
    pub(crate) fn mark_dependents(&mut self, changed: NodeId) {
        let (mut stack, mut next) = (Vec::new(), Some(changed));
        while let Some(id) = next.take().or_else(|| stack.pop()) {
            let Some(node) = self.nodes.get_mut(&id) else { continue };
            // Out of the node while the table is written to; no node depends on itself.
            let dependents = std::mem::take(&mut node.dependents);
            for id in dependents.iter() {
                let dependent = self.node_mut(id);
                if dependent.status != Status::Clean {
                    continue; // and neither is what is downstream of it
                }
                dependent.status = Status::Check;
                if matches!(dependent.work, Work::Effect(_)) {
                    self.pending.insert(id);
                } else {
                    stack.push(id);
                }
            }
            self.node_mut(id).dependents = dependents;
        }
    }

    /// Whether all that was read is still as it was read.
    pub(crate) fn is_current(&self, reads: &[Edge]) -> bool {
        reads.iter().all(|edge| {
            let source = self.node(edge.source.id);
            source.status == Status::Clean && source.now.version == edge.seen.version
        })
    }

    /// Replaces the edges of a node by those of its latest run.
    pub(crate) fn install(&mut self, id: NodeId, mut reads: Vec<Edge>) -> Vec<Edge> {
        reads.shrink_to_fit();
        let old = std::mem::take(&mut self.node_mut(id).reads);
        // Mostly a run reads what the one before it read.
        if !old.iter().map(|edge| edge.source.id).eq(reads.iter().map(|edge| edge.source.id)) {
            for edge in &old {
                self.node_mut(edge.source.id).dependents.remove(id);
            }
            for edge in &reads {
                self.node_mut(edge.source.id).dependents.insert(id);
            }
        }
        self.node_mut(id).reads = reads;
        old
    }

    /// Notes that what a node read has a new version of an equal value.
    pub(crate) fn accept(&mut self, id: NodeId, source: NodeId, seen: Seen) -> Option<Seen> {
        let reads = &mut self.nodes.get_mut(&id)?.reads;
        let edge = reads.iter_mut().find(|edge| edge.source.id == source)?;
        Some(std::mem::replace(&mut edge.seen, seen))
    }

    /// Takes out a node that nobody reads, with its edges.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Box<Node>> {
        let node = self.nodes.remove(&id)?;
        self.pending.remove(&id);
        for edge in &node.reads {
            if let Some(source) = self.nodes.get_mut(&edge.source.id) {
                source.dependents.remove(id);
            }
        }
        Some(node)
    }
}
