//! What one node of the graph is made of.
//!
//! Plain data, with types erased so that one table can hold every node. It knows neither the
//! other nodes nor when to run anything.

use std::any::Any;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
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

/// Hashes ids, which nobody else chooses, by one multiplication.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u64(&mut self, id: u64) {
        // 2^64 divided by the golden ratio spreads neighbours over all bits.
        self.0 = id.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

pub(crate) type ById<V> = HashMap<NodeId, V, BuildHasherDefault<IdHasher>>;

/// The nodes that read a node: mostly one.
#[derive(Debug, Default)]
pub(crate) enum Dependents {
    #[default]
    None,
    One(NodeId),
    Many(BTreeSet<NodeId>),
}

impl Dependents {
    pub(crate) fn insert(&mut self, id: NodeId) {
        match self {
            Self::None => *self = Self::One(id),
            Self::One(one) if *one == id => {}
            Self::One(one) => *self = Self::Many(BTreeSet::from([*one, id])),
            Self::Many(many) => drop(many.insert(id)),
        }
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        match self {
            Self::One(one) if *one == id => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(many) => {
                many.remove(&id);
                if many.is_empty() {
                    *self = Self::None;
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = NodeId> {
        let (one, many) = match self {
            Self::None => (None, None),
            Self::One(one) => (Some(*one), None),
            Self::Many(many) => (None, Some(many.iter().copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

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
    pub(crate) dependents: Dependents,
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
        let (reads, dependents) = (Vec::new(), Dependents::None);
        Self { work, status, now, same, reads, dependents }
    }
}

pub(crate) fn downcast<T: 'static>(value: &Erased) -> &T {
    value.downcast_ref().expect("a node's value is of its handle's type")
}

fn same<T: PartialEq + 'static>(a: &Erased, b: &Erased) -> bool {
    downcast::<T>(a) == downcast::<T>(b)
}
