//! What the live values of a store share: their instances, what concerns which, and the log.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use livestore_reactive::Signal;
use livestore_sqlite::watch::{Id, Index, Interest};
use livestore_sqlite::{Changes, Connection, RowChange, SqliteError, TableRead, Watched};

use super::definition::{Key, LiveValue, SignalDef};
use super::instance::{Info, Instance, WeakInstance};
use super::log::{Refresh, RefreshCause, RefreshLog, RefreshOutcome};
use crate::clock;

/// Texts of queries of which is known what they read.
const MAX_TEXTS: usize = 256;

type Erased = Box<dyn Any + Send + Sync>;

#[derive(Default)]
pub(crate) struct Engine {
    watched: Watched,
    watchers: Mutex<Watchers>,
    instances: Mutex<HashMap<Key, Erased>>,
    signals: Mutex<Signals>,
    texts: Mutex<HashMap<Arc<str>, Vec<TableRead>>>,
    log: Arc<RefreshLog>,
}

#[derive(Default)]
struct Watchers {
    index: Index,
    by_id: Vec<Option<Arc<Info>>>,
    free: Vec<Id>,
}

/// Signals by the address of what they began with, which stays theirs as long as the definition.
#[derive(Default)]
struct Signals {
    by_address: HashMap<usize, (Weak<dyn Any + Send + Sync>, Erased)>,
    /// How many there may be before those are looked for that nobody has any more.
    limit: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No user's code runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine {
    pub(crate) fn new(watched: Watched, log: Arc<RefreshLog>) -> Self {
        Self { watched, log, ..Self::default() }
    }

    /// Finds the instance that a definition shares.
    pub(super) fn find<T: LiveValue>(&self, key: &Key) -> Option<Instance<T>> {
        let instances = lock(&self.instances);
        instances.get(key)?.downcast_ref::<WeakInstance<T>>()?.upgrade()
    }

    /// Lets others share an instance; returns that of another thread which was quicker.
    pub(super) fn enter<T: LiveValue>(&self, key: &Key, new: Instance<T>) -> Instance<T> {
        let mut instances = lock(&self.instances);
        let found = instances.get(key).and_then(|old| old.downcast_ref::<WeakInstance<T>>());
        if let Some(found) = found.and_then(WeakInstance::upgrade) {
            drop(instances);
            return found;
        }
        let old = instances.insert(key.clone(), Box::new(new.downgrade()));
        drop(instances);
        drop(old);
        new
    }

    /// Forgets an instance that is gone, unless another has taken its place.
    pub(super) fn leave<T: LiveValue>(&self, key: &Key) {
        let mut instances = lock(&self.instances);
        let is_gone =
            |old: &Erased| old.downcast_ref::<WeakInstance<T>>().is_some_and(WeakInstance::is_gone);
        if instances.get(key).is_some_and(is_gone) {
            instances.remove(key);
        }
    }

    /// Returns the signal of a definition.
    pub(super) fn signal<T: LiveValue>(
        &self,
        def: &SignalDef<T>,
        make: impl FnOnce(T) -> Signal<T>,
    ) -> Signal<T> {
        // It is nobody else's as long as there is a reference to it, be it a weak one.
        let address = Arc::as_ptr(&def.0).cast::<()>() as usize;
        let found = |signals: &Signals| {
            let (_, signal) = signals.by_address.get(&address)?;
            signal.downcast_ref::<Signal<T>>().cloned()
        };
        if let Some(signal) = found(&lock(&self.signals)) {
            return signal;
        }
        let new = make(T::clone(&def.0));
        let mut signals = lock(&self.signals);
        if let Some(quicker) = found(&signals) {
            drop(signals);
            return quicker;
        }
        let alive: Arc<dyn Any + Send + Sync> = def.0.clone();
        let entry = (Arc::downgrade(&alive), Box::new(new.clone()) as Erased);
        signals.by_address.insert(address, entry);
        let mut gone = Vec::new();
        if signals.by_address.len() > signals.limit {
            let dead = signals.by_address.extract_if(|_, (alive, _)| alive.strong_count() == 0);
            gone.extend(dead);
            signals.limit = 2 * signals.by_address.len();
        }
        drop(signals);
        drop(gone);
        new
    }

    /// Returns a text, which all queries that have it share.
    pub(super) fn text(&self, text: &str) -> Arc<str> {
        let known = lock(&self.texts);
        known.get_key_value(text).map_or_else(|| text.into(), |(text, _)| Arc::clone(text))
    }

    /// Returns what a query reads.
    pub(super) fn reads(
        &self,
        connection: &Connection,
        text: &Arc<str>,
    ) -> Result<Vec<TableRead>, SqliteError> {
        if let Some(reads) = lock(&self.texts).get(text) {
            return Ok(reads.clone());
        }
        let reads = connection.read().reads(text)?;
        let mut texts = lock(&self.texts);
        if texts.len() >= MAX_TEXTS {
            texts.clear();
        }
        texts.insert(Arc::clone(text), reads.clone());
        Ok(reads)
    }

    /// Watches what concerns a query.
    pub(super) fn watch(&self, info: &Arc<Info>, interests: &[Arc<Interest>]) -> Id {
        let mut watchers = lock(&self.watchers);
        let id = watchers.free.pop().unwrap_or(watchers.by_id.len() as Id);
        if watchers.by_id.len() <= id as usize {
            watchers.by_id.push(None);
        }
        watchers.by_id[id as usize] = Some(Arc::clone(info));
        for interest in interests {
            self.watched.add(interest.table);
            watchers.index.insert(id, Arc::clone(interest));
        }
        id
    }

    pub(super) fn unwatch(&self, id: Id, info: &Info) {
        let plan = info.query().and_then(|query| query.plan.get());
        let mut watchers = lock(&self.watchers);
        for interest in plan.into_iter().flat_map(|plan| &plan.interests) {
            self.watched.remove(interest.table);
            watchers.index.remove(id, interest.table);
        }
        let gone = watchers.by_id[id as usize].take();
        watchers.free.push(id);
        drop(watchers);
        drop(gone);
    }

    /// Tells queries of the changes that concern them; returns those that have to be marked.
    ///
    /// Nobody may change the state between these changes and this.
    pub(crate) fn concerned(&self, connection: &Connection, changes: Changes) -> Vec<Arc<Info>> {
        let nobody_watches = {
            let watchers = lock(&self.watchers);
            watchers.by_id.len() == watchers.free.len()
        };
        if changes.is_empty() || nobody_watches {
            return Vec::new();
        }
        // Nobody begins to watch meanwhile, for which the store would have to be read.
        let tables = changes.tables().clone();
        let (rows, whole) = connection.changed_rows(changes).unwrap_or_else(|error| {
            tracing::warn!(%error, "which rows changed could not be read; all are taken to have");
            (Vec::new(), tables)
        });
        let mut watchers = lock(&self.watchers);
        let Watchers { index, by_id, .. } = &mut *watchers;
        let (mut considered, mut marked) = (0, HashMap::new());
        // Who is told is marked each time: what hinders a query from taking what it was told, such as a
        // store that is busy, must not keep it from being asked again.
        let mut tell = |id: Id, change: Option<&Arc<RowChange>>| {
            if let Some(info) = &by_id[id as usize]
                && let Some(query) = info.query()
            {
                query.tell(change);
                marked.entry(id).or_insert_with(|| Arc::clone(info));
            }
        };
        let mut counts: Vec<(usize, Option<usize>)> = Vec::new();
        for table in whole.iter() {
            let before = considered;
            index.interested_in(table, |id| {
                considered += 1;
                tell(id, None);
            });
            if considered > before {
                counts.push((table, None));
            }
        }
        for change in rows.into_iter().map(Arc::new) {
            match counts.iter_mut().find(|(table, _)| *table == change.table) {
                Some((_, Some(rows))) => *rows += 1,
                Some((_, None)) => {}
                None => counts.push((change.table, Some(1))),
            }
            considered += index.concerned(&change, |id| tell(id, Some(&change)));
        }
        drop(watchers);
        if !counts.is_empty() {
            let cause = |(table, rows): (usize, _)| {
                let table = connection.tables()[table].name().to_owned();
                RefreshCause { table, rows }
            };
            self.log.begin(Refresh {
                // Not that of the commits, which may be counted.
                at_ms: clock::now_ms(),
                causes: counts.into_iter().map(cause).collect(),
                considered,
                concerned: marked.len(),
                queries: Vec::new(),
                total: 0,
            });
        }
        marked.into_values().collect()
    }

    /// Notes that a query was brought up to date.
    pub(super) fn ran(&self, info: &Info, outcome: RefreshOutcome, changed: bool, took: Duration) {
        self.log.ran(|| info.name(), outcome, changed, took);
    }

    /// Returns what happened last, the oldest first.
    pub(crate) fn refreshes(&self) -> Vec<Refresh> {
        self.log.last(usize::MAX)
    }
}
