//! Definitions of live values: what is followed, independent of any store.

use std::any::TypeId;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use livestore_reactive::{Context, Signal};
use livestore_sqlite::{Value, Watch};

use super::LiveQuery;
use super::instance::{Compiled, Instance};
use crate::QueryError;
use crate::store::{Inner, Store};

/// What a live value can hold.
pub(crate) trait LiveValue: Clone + PartialEq + Send + Sync + 'static {}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveValue for T {}

/// What makes two definitions one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// The same query of the same type.
    Query(Arc<QueryKey>),
    /// The same closure.
    Closure(u64),
    /// The same name, for values of the same type.
    Named(Arc<str>, TypeId),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueryKey {
    pub(crate) text: Box<str>,
    pub(crate) binds: Box<[Value]>,
    pub(crate) kind: TypeId,
}

impl Hash for QueryKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
        self.binds.hash(state);
    }
}

impl Key {
    fn closure() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self::Closure(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

type Make<T> = dyn Fn(&Arc<Inner>, &LiveDef<T>) -> Instance<T> + Send + Sync;

/// The definition of a live value, which stores make instances of: [`Store::live`].
///
/// On one store, equal definitions share one instance, whose label is that of the first. Those of queries are equal if they have the same
/// text, values and type of rows; those of closures, if they are clones of one, or were given the same
/// [`key`](Self::key). What a closure does is never compared.
pub struct LiveDef<T> {
    key: Key,
    label: Option<Arc<str>>,
    make: Arc<Make<T>>,
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveDef<T> {
    /// Gives it a name, for people.
    #[must_use]
    pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Makes it equal to all that have the same key and hold the same type.
    ///
    /// It is for the app to see to it that they mean the same; the first that a store meets is the one
    /// that counts there, as long as somebody has it.
    #[must_use]
    pub fn key(mut self, key: impl Into<Arc<str>>) -> Self {
        self.key = Key::Named(key.into(), TypeId::of::<T>());
        self
    }

    pub(super) fn identity(&self) -> &Key {
        &self.key
    }

    pub(super) fn given_label(&self) -> Option<&Arc<str>> {
        self.label.as_ref()
    }

    /// Returns the instance of a store.
    pub(crate) fn instance(&self, store: &Arc<Inner>) -> Instance<T> {
        if let Some(instance) = store.live().find(&self.key) {
            return instance;
        }
        let new = (self.make)(store, self);
        store.live().enter(&self.key, new)
    }
}

impl<T> Clone for LiveDef<T> {
    fn clone(&self) -> Self {
        let Self { key, label, make } = self;
        Self { key: key.clone(), label: label.clone(), make: Arc::clone(make) }
    }
}

impl<T> fmt::Debug for LiveDef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveDef")
            .field("key", &self.key)
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl<T> PartialEq for LiveDef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for LiveDef<T> {}

impl<T> Hash for LiveDef<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// Defines the live result of a query.
///
/// ```
/// # use livestore::prelude::*;
/// # #[derive(Table, PartialEq)]
/// # #[table(name = "todos")]
/// # struct Todo { #[column(primary_key)] id: String, completed: bool }
/// let open = query_db(Todo::select().filter(Todo::completed.eq(false))).label("open");
/// let busiest = query_db(Sql::new("SELECT count(*) FROM todos WHERE id > ?").bind("m"));
/// ```
pub fn query_db<Q: Watch>(query: Q) -> LiveDef<Q::Output> {
    let compiled = Arc::new(Compiled::new(query));
    let key = compiled.key.clone().map_or_else(Key::closure, Key::Query);
    let make = move |store: &Arc<Inner>, def: &LiveDef<Q::Output>| {
        Instance::of_query(store, &compiled, def)
    };
    LiveDef { key, label: None, make: Arc::new(make) }
}

/// Defines the live result of a query that depends on signals and other live values.
///
/// The closure has to be a function of what it reads through its context. When that has changed, it runs
/// again, and if it returns an equal query, that is all.
///
/// ```
/// # use livestore::prelude::*;
/// # #[derive(Table, PartialEq)]
/// # #[table(name = "todos")]
/// # struct Todo { #[column(primary_key)] id: String, text: String }
/// let search = signal(String::new());
/// let found = query_with({
///     let search = search.clone();
///     move |cx| Ok(Todo::select().filter(Todo::text.like(format!("{}%", cx.get(&search)?))))
/// });
/// ```
pub fn query_with<Q: Watch>(
    choose: impl Fn(&LiveContext<'_>) -> Result<Q, QueryError> + Send + Sync + 'static,
) -> LiveDef<Q::Output> {
    let choose = Arc::new(choose);
    let make = move |store: &Arc<Inner>, def: &LiveDef<Q::Output>| {
        Instance::of_choice(store, Arc::clone(&choose), def)
    };
    LiveDef { key: Key::closure(), label: None, make: Arc::new(make) }
}

/// Defines a value that is derived from other live values.
///
/// The closure has to be a function of what it reads through its context. It runs again when that has
/// changed, and only if somebody wants to know.
///
/// ```
/// # use livestore::prelude::*;
/// # #[derive(Table, PartialEq)]
/// # #[table(name = "todos")]
/// # struct Todo { #[column(primary_key)] id: String }
/// let all = query_db(Todo::select().count());
/// let done = signal(0);
/// let left = computed(move |cx| Ok(cx.get(&all)? - cx.get(&done)?));
/// ```
pub fn computed<T: Clone + PartialEq + Send + Sync + 'static>(
    derive: impl Fn(&LiveContext<'_>) -> Result<T, QueryError> + Send + Sync + 'static,
) -> LiveDef<T> {
    let derive = Arc::new(derive);
    let make = move |store: &Arc<Inner>, def: &LiveDef<T>| {
        Instance::of_closure(store, Arc::clone(&derive), def)
    };
    LiveDef { key: Key::closure(), label: None, make: Arc::new(make) }
}

/// Defines a value that the app sets, in each store for itself: [`Store::signal`].
///
/// It is neither stored nor synced; for what is to be kept there are client documents.
pub fn signal<T: Clone + PartialEq + Send + Sync + 'static>(initial: T) -> SignalDef<T> {
    SignalDef(Arc::new(initial))
}

/// The definition of a value that the app sets; clones are the same definition.
#[derive(Debug)]
pub struct SignalDef<T>(pub(super) Arc<T>);

impl<T: Clone + PartialEq + Send + Sync + 'static> SignalDef<T> {
    pub(crate) fn instance(&self, store: &Arc<Inner>) -> Signal<T> {
        store.live().signal(self, |initial| store.graph().signal(initial))
    }
}

impl<T> Clone for SignalDef<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What a store makes a live value of: a definition, or simply a query.
pub trait IntoLive {
    /// The type of its value.
    type Value;

    /// Turns it into a definition.
    fn into_live(self) -> LiveDef<Self::Value>;
}

impl<Q: Watch> IntoLive for Q {
    type Value = Q::Output;

    fn into_live(self) -> LiveDef<Q::Output> {
        query_db(self)
    }
}

impl<T> IntoLive for LiveDef<T> {
    type Value = T;

    fn into_live(self) -> Self {
        self
    }
}

impl<T> IntoLive for &LiveDef<T> {
    type Value = T;

    fn into_live(self) -> LiveDef<T> {
        self.clone()
    }
}

/// Given to the closure of a definition to read with.
///
/// What is read through it becomes a dependency until the next run.
pub struct LiveContext<'a> {
    pub(super) store: &'a Arc<Inner>,
    pub(super) context: &'a Context<'a>,
}

impl LiveContext<'_> {
    /// Returns the value of a definition in this store, brought up to date, and depends on it.
    pub fn get<R: LiveRead>(&self, what: &R) -> Result<R::Value, QueryError> {
        what.read_in(self)
    }
}

impl fmt::Debug for LiveContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveContext")
    }
}

/// What the closures of definitions can read: definitions of any kind, and the live values of their own
/// store.
pub trait LiveRead: sealed::Sealed {
    /// The type of its value.
    type Value;

    /// Reads it, and depends on it.
    #[doc(hidden)]
    fn read_in(&self, context: &LiveContext<'_>) -> Result<Self::Value, QueryError>;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::LiveDef<T> {}
    impl<T> Sealed for super::SignalDef<T> {}
    impl<T> Sealed for super::LiveQuery<T> {}
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveRead for LiveDef<T> {
    type Value = T;

    fn read_in(&self, context: &LiveContext<'_>) -> Result<T, QueryError> {
        context.context.get(&self.instance(context.store).computed)
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveRead for SignalDef<T> {
    type Value = T;

    fn read_in(&self, context: &LiveContext<'_>) -> Result<T, QueryError> {
        Ok(context.context.get(&self.instance(context.store)))
    }
}

impl<T: Clone + PartialEq + Send + Sync + 'static> LiveRead for LiveQuery<T> {
    type Value = T;

    fn read_in(&self, context: &LiveContext<'_>) -> Result<T, QueryError> {
        if !Weak::ptr_eq(&self.store, &Arc::downgrade(context.store)) {
            return Err(QueryError::OtherStore);
        }
        context.context.get(&self.instance.computed)
    }
}

impl Store {
    /// Makes a live value of a definition, or shares the one that there is.
    pub fn live<T: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        definition: impl IntoLive<Value = T>,
    ) -> LiveQuery<T> {
        let store = self.inner();
        LiveQuery::new(store, definition.into_live().instance(store))
    }

    /// Makes a query live: its value follows the state.
    ///
    /// Short for [`Store::live`] of [`query_db`]. Its subscribers are called when its result has
    /// changed, and it is looked at when a change concerns it. It runs when it is first asked for.
    pub fn query_db<Q: Watch>(&self, query: Q) -> LiveQuery<Q::Output> {
        self.live(query)
    }

    /// Groups what a closure does to signals, and what it commits: those who follow live values are called
    /// once for all of it, when the outermost such closure is over.
    ///
    /// Nobody is called meanwhile, on any thread.
    pub fn batch<R>(&self, run: impl FnOnce() -> R) -> R {
        self.inner().graph().batch(run)
    }

    /// Returns this store's signal of a definition: what it holds here, until the store is closed or the
    /// definition and all its clones are gone.
    pub fn signal<T: Clone + PartialEq + Send + Sync + 'static>(
        &self,
        definition: &SignalDef<T>,
    ) -> Signal<T> {
        definition.instance(self.inner())
    }
}
