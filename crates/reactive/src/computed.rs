//! Computed values: lazy, cached, pure.
//!
//! The handle only reads; when the closure runs is decided by `pull`.

use std::marker::PhantomData;
use std::sync::{Arc, Weak};

use crate::context::Read;
use crate::context::sealed::Readable;
use crate::handle::Handle;
use crate::node::Value;

/// A value derived from others.
///
/// Clones are handles to the same computed; it is gone when the last is dropped and nobody reads it. While nobody
/// reads it, a change upstream costs it no more than a flag.
#[derive(Debug)]
pub struct Computed<T> {
    handle: Arc<Handle>,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Computed<T> {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle), value: PhantomData }
    }

    /// Returns the value, brought up to date, without making a dependency.
    ///
    /// # Panics
    ///
    /// If the closure panics, reads itself or is nested more than
    /// [`MAX_DEPTH`](crate::MAX_DEPTH) deep.
    pub fn get(&self) -> T {
        self.handle.graph.read(self.handle.id)
    }

    /// Returns a counter that grows with each change in value.
    ///
    /// The value is brought up to date first; equal versions mean equal values.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn version(&self) -> u64 {
        self.handle.graph.version(self.handle.id)
    }
}

impl<T> Clone for Computed<T> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle), value: PhantomData }
    }
}

impl<T> Clone for WeakComputed<T> {
    fn clone(&self) -> Self {
        Self { handle: Weak::clone(&self.handle), value: PhantomData }
    }
}

impl<T> Computed<T> {
    /// Returns a reference that does not keep it alive.
    pub fn downgrade(&self) -> WeakComputed<T> {
        WeakComputed { handle: Arc::downgrade(&self.handle), value: PhantomData }
    }
}

/// A reference to a [`Computed`] that does not keep it alive.
#[derive(Debug)]
pub struct WeakComputed<T> {
    handle: Weak<Handle>,
    value: PhantomData<fn() -> T>,
}

impl<T> WeakComputed<T> {
    /// Returns the computed, if it is still alive.
    pub fn upgrade(&self) -> Option<Computed<T>> {
        Some(Computed { handle: self.handle.upgrade()?, value: PhantomData })
    }

    /// Tells whether it is gone.
    pub fn is_gone(&self) -> bool {
        self.handle.strong_count() == 0
    }
}

impl<T: Value> Readable for Computed<T> {
    fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl<T: Value> Read for Computed<T> {
    type Value = T;
}
