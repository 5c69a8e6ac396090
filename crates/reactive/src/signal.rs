//! Signals: values set from outside.
//!
//! A write that changes nothing does nothing. A signal does not know who reads it.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::context::Read;
use crate::context::sealed::Readable;
use crate::handle::Handle;
use crate::node::{Erased, Value, downcast};

/// A value that is set from outside.
///
/// Clones are handles to the same signal; it is gone when the last is dropped
/// and nobody reads it.
#[derive(Clone, Debug)]
pub struct Signal<T> {
    handle: Arc<Handle>,
    value: PhantomData<fn() -> T>,
}

impl<T: Value> Signal<T> {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle: Arc::new(handle), value: PhantomData }
    }

    /// Returns the value, without making a dependency.
    pub fn get(&self) -> T {
        self.handle.graph.read(self.handle.id)
    }

    /// Sets the value; an equal one is ignored.
    ///
    /// Outside a batch, the affected effects have run when this returns.
    ///
    /// # Panics
    ///
    /// If an effect panics, or inside a computed.
    pub fn set(&self, value: T) {
        let value: Erased = Arc::new(value);
        self.handle.graph.replace(self.handle.id, |old| {
            (downcast::<T>(old) != downcast::<T>(&value)).then(|| value.clone())
        });
    }

    /// Changes the value in place; an equal outcome is ignored.
    ///
    /// No update is lost: `f` starts again from the newest value if another write came in
    /// between. So it must not write to this signal itself.
    ///
    /// # Panics
    ///
    /// If `f` or an effect panics, or inside a computed.
    pub fn update(&self, mut f: impl FnMut(&mut T)) {
        self.handle.graph.replace(self.handle.id, |old| {
            let old = downcast::<T>(old);
            let mut new = old.clone();
            f(&mut new);
            (new != *old).then(|| Arc::new(new) as Erased)
        });
    }
}

impl<T: Value> Readable for Signal<T> {
    fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }
}

impl<T: Value> Read for Signal<T> {
    type Value = T;
}
