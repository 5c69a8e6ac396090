//! Which closures this thread is in the middle of.
//!
//! It finds cycles, bounds nesting and keeps computed values pure. It is kept per thread, across
//! graphs, because it is the thread's stack that a cycle would overflow.

use std::cell::RefCell;

use crate::node::NodeId;

/// How many closures may be nested in one another on one thread.
///
/// Reading a computed that would exceed it panics. Even in a debug build this many take less than
/// half of the default stack of a thread; what the closures themselves put there comes on top.
pub const MAX_DEPTH: usize = 256;

thread_local! {
    static STACK: RefCell<Vec<(NodeId, Kind)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Computed,
    Effect,
}

/// Ends the run when dropped.
pub(crate) struct Running(());

impl Drop for Running {
    fn drop(&mut self) {
        STACK.with_borrow_mut(Vec::pop);
    }
}

pub(crate) fn enter(id: NodeId, kind: Kind) -> Running {
    STACK.with_borrow_mut(|stack| stack.push((id, kind)));
    Running(())
}

pub(crate) fn is_running(id: NodeId) -> bool {
    STACK.with_borrow(|stack| stack.iter().any(|(running, _)| *running == id))
}

/// Whether this thread is inside a closure of any graph.
pub(crate) fn is_inside() -> bool {
    STACK.with_borrow(|stack| !stack.is_empty())
}

pub(crate) fn assert_may_compute(id: NodeId) {
    assert!(!is_running(id), "cycle: a computed value reads itself");
    assert!(
        STACK.with_borrow(Vec::len) < MAX_DEPTH,
        "computed values are nested more than {MAX_DEPTH} deep; read the inner ones first"
    );
}

/// Tells whether this thread is inside the closure of a computed value, which must not write.
pub fn is_computing() -> bool {
    STACK.with_borrow(|stack| stack.last().is_some_and(|s| s.1 == Kind::Computed))
}

pub(crate) fn assert_may_write() {
    assert!(
        !is_computing(),
        "a computed value must not write to a graph, open a batch or start an effect"
    );
}
