//! Ownership of one node.
//!
//! The public handles share one of these; when the last goes, the node goes, with its edges. It
//! does not know what kind of node it owns.

use std::cell::RefCell;
use std::fmt;

use crate::graph::Graph;
use crate::node::{Node, NodeId};

pub struct Handle {
    pub(crate) id: NodeId,
    pub(crate) graph: Graph,
}

impl Handle {
    pub(crate) fn new(graph: &Graph, node: Node) -> Self {
        let id = NodeId::next();
        graph.lock().nodes.insert(id, Box::new(node));
        Self { id, graph: graph.clone() }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let removed = self.graph.lock().remove(self.id);
        removed.map(|node| *node).into_iter().for_each(bury);
    }
}

thread_local! {
    /// What is still to be dropped, while this thread is dropping a node.
    static GRAVE: RefCell<Option<Vec<Node>>> = const { RefCell::new(None) };
}

/// Drops a removed node without nesting.
///
/// A closure and its edges own the handles of what it reads, so dropping the end of a long chain frees the
/// whole chain; done naively, that would overflow the stack.
fn bury(removed: Node) {
    let mut removed = Some(removed);
    let outermost = GRAVE.try_with(|grave| {
        let mut grave = grave.borrow_mut();
        if let Some(waiting) = grave.as_mut() {
            waiting.extend(removed.take());
            return false;
        }
        *grave = Some(Vec::new());
        true
    });
    // An error means that the thread is ending and its storage is gone: `removed` just drops.
    if outermost == Ok(true) {
        let _fill = Fill;
        drop(removed.take());
        while let Some(next) = GRAVE.with_borrow_mut(|grave| grave.as_mut()?.pop()) {
            drop(next);
        }
    }
}

/// Closes the grave, also when a user's `Drop` panicked.
struct Fill;

impl Drop for Fill {
    fn drop(&mut self) {
        let rest = GRAVE.with_borrow_mut(Option::take);
        drop(rest);
    }
}
