//! What one node of the graph is made of.
//!
//! Plain data, with types erased so that one table can hold every node. It knows neither the
//! other nodes nor when to run anything.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::context::Context;
use crate::handle::Handle;

/// What a signal or a computed can hold.
///
/// Implemented for every type with these bounds. Values are cloned out, so a large one is best
/// kept behind an `Arc`.
pub trait Value: Clone + PartialEq + Send + Sync + 'static {}

impl<T: Clone + PartialEq + Send + Sync + 'static> Value for T {}

pub(crate) type Erased = Arc<dyn Any + Send + Sync>;
pub(crate) type Same = fn(&Erased, &Erased) -> bool;
pub(crate) type Compute = dyn Fn(&Context<'_>) -> Erased + Send + Sync;
pub(crate) type Run = dyn FnMut(&Context<'_>) + Send;

/// Unique in the process and ascending, so that ids also tell the creation order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u64);

impl NodeId {
    pub(crate) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Every source is clean, and of the version that was read.
    Clean,
    /// Something upstream changed; whether a source changed in value is not known yet.
    Check,
    /// To be run without looking at the sources.
    Dirty,
}

pub(crate) enum Work {
    /// A signal or a source: changed from outside, always clean.
    Input,
    Compute(Arc<Compute>),
    /// The closure is out of its slot while it runs.
    Effect(Option<Box<Run>>),
}

/// A value as it was read.
#[derive(Clone)]
pub(crate) struct Seen {
    /// Grows by one with each change in value, so neighbouring versions differ in value.
    pub(crate) version: u64,
    /// `None` for a source, for an effect, and for a computed that never ran or panicked.
    pub(crate) value: Option<Erased>,
}

/// The version of what was read but not stored; no stored value has it.
pub(crate) const UNSTORED: u64 = 0;

/// A dependency; it keeps what was read alive.
pub(crate) struct Edge {
    pub(crate) source: Arc<Handle>,
    pub(crate) seen: Seen,
}

pub(crate) struct Node {
    pub(crate) work: Work,
    pub(crate) status: Status,
    pub(crate) now: Seen,
    pub(crate) same: Same,
    /// In reading order, each source once.
    pub(crate) reads: Vec<Edge>,
    pub(crate) dependents: BTreeSet<NodeId>,
}

impl Node {
    pub(crate) fn signal<T: Value>(value: T) -> Self {
        let now = Seen { version: 1, value: Some(Arc::new(value)) };
        Self::new(Work::Input, Status::Clean, now, same::<T>)
    }

    pub(crate) fn source() -> Self {
        let now = Seen { version: 1, value: None };
        Self::new(Work::Input, Status::Clean, now, |_, _| false)
    }

    pub(crate) fn computed<T: Value>(compute: Arc<Compute>) -> Self {
        let now = Seen { version: UNSTORED, value: None };
        Self::new(Work::Compute(compute), Status::Dirty, now, same::<T>)
    }

    pub(crate) fn effect(run: Box<Run>) -> Self {
        let now = Seen { version: UNSTORED, value: None };
        Self::new(Work::Effect(Some(run)), Status::Dirty, now, |_, _| false)
    }

    fn new(work: Work, status: Status, now: Seen, same: Same) -> Self {
        let (reads, dependents) = (Vec::new(), BTreeSet::new());
        Self { work, status, now, same, reads, dependents }
    }
}

pub(crate) fn downcast<T: 'static>(value: &Erased) -> &T {
    value.downcast_ref().expect("a node's value is of its handle's type")
}

fn same<T: PartialEq + 'static>(a: &Erased, b: &Erased) -> bool {
    downcast::<T>(a) == downcast::<T>(b)
}
