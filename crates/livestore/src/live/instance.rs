//! Instances: the nodes that definitions become in a store's graph.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use livestore_reactive::{Computed, Source, WeakComputed};
use livestore_sqlite::watch::{Id, Interest, News, Refreshed, View};
use livestore_sqlite::{Connection, RowChange, SqliteError, ValueError, Watch};
use web_time::Instant;

use super::definition::{Key, LiveContext, LiveDef, LiveValue, QueryKey};
use super::log::RefreshOutcome;
use crate::QueryError;
use crate::store::{Inner, upgrade};

/// Changes that a view is told of one by one; if there are more, it begins anew.
const MAX_NEWS: usize = 256;

/// A live value in a store.
pub(crate) struct Instance<T> {
    pub(super) computed: Computed<Result<T, QueryError>>,
    pub(super) info: Arc<Info>,
}

impl<T> Clone for Instance<T> {
    fn clone(&self) -> Self {
        Self { computed: self.computed.clone(), info: Arc::clone(&self.info) }
    }
}

impl<T> Instance<T> {
    pub(super) fn downgrade(&self) -> WeakInstance<T> {
        WeakInstance { computed: self.computed.downgrade(), info: Arc::downgrade(&self.info) }
    }
}

/// A reference to an instance that does not keep it alive.
pub(super) struct WeakInstance<T> {
    computed: WeakComputed<Result<T, QueryError>>,
    info: Weak<Info>,
}

impl<T> WeakInstance<T> {
    pub(super) fn is_gone(&self) -> bool {
        self.computed.is_gone()
    }

    pub(super) fn upgrade(&self) -> Option<Instance<T>> {
        Some(Instance { computed: self.computed.upgrade()?, info: self.info.upgrade()? })
    }
}

/// What is known of an instance, whatever its type.
pub(crate) struct Info {
    label: Option<Arc<str>>,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    /// Something of the store itself, such as the sync status.
    Store,
    /// The closure of a computed value.
    Closure,
    /// A closure that chooses a query, and what it chose last.
    Choice(Mutex<Weak<Info>>),
    Query(Arc<QueryInfo>),
}

/// What concerns a query, and what happened of that.
pub(super) struct QueryInfo {
    pub(super) source: Source,
    pub(super) text: Arc<str>,
    news: Mutex<Pending>,
    /// Once it has run.
    pub(super) plan: OnceLock<Plan>,
}

pub(super) struct Plan {
    pub(super) interests: Box<[Arc<Interest>]>,
    /// True if it is maintained row by row.
    pub(super) has_view: bool,
}

#[derive(Default)]
enum Pending {
    #[default]
    Nothing,
    Rows(Vec<Arc<RowChange>>),
    Anything,
}

impl Info {
    pub(super) fn new(label: Option<&Arc<str>>, kind: Kind) -> Arc<Self> {
        Arc::new(Self { label: label.cloned(), kind })
    }

    /// Returns what people call it: its label, or else its text.
    pub(super) fn name(&self) -> Arc<str> {
        let unnamed = || match &self.kind {
            Kind::Store => "status".into(),
            Kind::Closure => "computed".into(),
            Kind::Choice(chosen) => {
                let chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
                chosen.map_or_else(|| "query".into(), |chosen| chosen.name())
            }
            Kind::Query(query) => Arc::clone(&query.text),
        };
        self.label.clone().unwrap_or_else(unnamed)
    }

    /// Returns what marks it.
    pub(crate) fn source(&self) -> Option<&Source> {
        Some(&self.query()?.source)
    }

    pub(super) fn query(&self) -> Option<&QueryInfo> {
        match &self.kind {
            Kind::Query(query) => Some(query),
            _ => None,
        }
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}

impl QueryInfo {
    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a change that concerns it, if it is told which one.
    pub(super) fn tell(&self, change: Option<&Arc<RowChange>>) {
        let has_view = self.plan.get().is_some_and(|plan| plan.has_view);
        let mut pending = self.pending();
        let change = change.filter(|_| has_view);
        match (&mut *pending, change) {
            (Pending::Anything, _) => {}
            (Pending::Nothing, Some(change)) => *pending = Pending::Rows(vec![Arc::clone(change)]),
            (Pending::Rows(rows), Some(change)) if rows.len() < MAX_NEWS => {
                rows.push(Arc::clone(change));
            }
            _ => *pending = Pending::Anything,
        }
    }
}

/// A query with its text.
pub(super) struct Compiled<Q> {
    query: Q,
    /// The text and the values; shared by all that are equal, if it is of that kind.
    statement: Result<Arc<QueryKey>, Box<ValueError>>,
    pub(super) key: Option<Arc<QueryKey>>,
}

impl<Q: Watch> Compiled<Q> {
    pub(super) fn new(query: Q) -> Self {
        let kind = TypeId::of::<Q>();
        let statement = query.compile().map(|(text, binds)| {
            Arc::new(QueryKey { text: text.into(), binds: binds.into(), kind })
        });
        let statement = statement.map_err(Box::new);
        let key = statement.as_ref().ok().filter(|_| query.is_plain()).cloned();
        Self { query, statement, key }
    }
}

/// Takes an instance off the list of those that definitions can share, when it is gone.
struct Entered<T: LiveValue> {
    store: Weak<Inner>,
    key: Key,
    /// As long as the node is there, so is what is known of it.
    info: Arc<Info>,
    value: PhantomData<fn() -> T>,
}

impl<T: LiveValue> Drop for Entered<T> {
    fn drop(&mut self) {
        if let Some(store) = self.store.upgrade() {
            store.live().leave::<T>(&self.key);
        }
    }
}

impl<T: LiveValue> Entered<T> {
    fn new(store: &Arc<Inner>, def: &LiveDef<T>, info: &Arc<Info>) -> Self {
        Self {
            store: Arc::downgrade(store),
            key: def.identity().clone(),
            info: Arc::clone(info),
            value: PhantomData,
        }
    }
}

impl<T: LiveValue> Instance<T> {
    /// Makes something of the store itself live, which a source tells the changes of.
    pub(crate) fn of_store(
        store: &Arc<Inner>,
        source: Source,
        read: impl Fn(&Inner) -> Result<T, QueryError> + Send + Sync + 'static,
    ) -> Self {
        let inner = Arc::downgrade(store);
        let computed = store.graph().computed(move |context| {
            context.track(&source);
            read(&*upgrade(&inner)?)
        });
        Self { computed, info: Info::new(None, Kind::Store) }
    }

    pub(super) fn of_closure(
        store: &Arc<Inner>,
        derive: Arc<impl Fn(&LiveContext<'_>) -> Result<T, QueryError> + Send + Sync + 'static>,
        def: &LiveDef<T>,
    ) -> Self {
        let info = Info::new(def.given_label(), Kind::Closure);
        let entered = Entered::new(store, def, &info);
        let computed = store.graph().computed(move |context| {
            derive(&LiveContext { store: &upgrade(&entered.store)?, context })
        });
        Self { computed, info }
    }

    pub(super) fn of_choice<Q: Watch<Output = T>>(
        store: &Arc<Inner>,
        choose: Arc<impl Fn(&LiveContext<'_>) -> Result<Q, QueryError> + Send + Sync + 'static>,
        def: &LiveDef<T>,
    ) -> Self {
        let info = Info::new(def.given_label(), Kind::Choice(Mutex::default()));
        let (chosen, label) = (Arc::downgrade(store), def.given_label().cloned());
        let choice = store.graph().computed(move |context| {
            let store = upgrade(&chosen)?;
            let query = choose(&LiveContext { store: &store, context })?;
            let mut chosen = super::query_db(query);
            if let Some(label) = &label {
                chosen = chosen.label(Arc::clone(label));
            }
            Ok::<_, QueryError>(Chosen(chosen.instance(&store)))
        });
        let entered = Entered::new(store, def, &info);
        let computed = store.graph().computed(move |context| {
            let Chosen(instance) = context.get(&choice)?;
            if let Kind::Choice(chosen) = &entered.info.kind {
                let mut chosen = chosen.lock().unwrap_or_else(PoisonError::into_inner);
                *chosen = Arc::downgrade(&instance.info);
            }
            context.get(&instance.computed)
        });
        Self { computed, info }
    }

    pub(super) fn of_query<Q: Watch<Output = T>>(
        store: &Arc<Inner>,
        compiled: &Arc<Compiled<Q>>,
        def: &LiveDef<T>,
    ) -> Self {
        let text = compiled.statement.as_ref().map_or("", |statement| &*statement.text);
        let query = Arc::new(QueryInfo {
            source: store.graph().source(),
            text: store.live().text(text),
            news: Mutex::default(),
            plan: OnceLock::new(),
        });
        let info = Info::new(def.given_label(), Kind::Query(Arc::clone(&query)));
        let node = QueryNode {
            entered: Entered::new(store, def, &info),
            info: query,
            statement: compiled.statement.clone(),
            collector: compiled.query.collector(),
            state: Mutex::new(State {
                query: Some(Arc::clone(compiled)),
                id: None,
                view: None,
                is_view_behind: false,
                last: None,
            }),
        };
        let computed = store.graph().computed(move |context| {
            // Watched before it is read: a commit in between then counts as a change.
            context.track(&node.info.source);
            let store = upgrade(&node.entered.store)?;
            let run = store.read(|replica| node.run(&store, replica.connection()));
            let value = run.map_err(QueryError::from).and_then(|run| run.map_err(QueryError::from));
            if value.as_ref().is_err_and(QueryError::may_pass) {
                // Else nothing might ever ask it again. What is set up before is what a change looks for.
                context.track(store.retry());
                store.note_failed_query();
            }
            value
        });
        Self { computed, info }
    }
}

/// An instance as a value.
struct Chosen<T>(Instance<T>);

impl<T> Clone for Chosen<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> PartialEq for Chosen<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0.info, &other.0.info)
    }
}

/// A query in a store.
struct QueryNode<Q: Watch> {
    entered: Entered<Q::Output>,
    info: Arc<QueryInfo>,
    statement: Result<Arc<QueryKey>, Box<ValueError>>,
    collector: Q,
    state: Mutex<State<Q>>,
}

struct State<Q: Watch> {
    /// Until it is known what concerns it.
    query: Option<Arc<Compiled<Q>>>,
    /// What changes know it by.
    id: Option<Id>,
    view: Option<Box<dyn View<Q::Output>>>,
    /// True if the view has failed and knows nothing of what is now.
    is_view_behind: bool,
    last: Option<Q::Output>,
}

impl<Q: Watch> QueryNode<Q> {
    /// Brings the result up to date; nobody changes the state meanwhile.
    fn run(&self, store: &Inner, connection: &Connection) -> Result<Q::Output, SqliteError> {
        let info = &*self.info;
        let start = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let statement = self.statement.as_ref().map_err(|error| (**error).clone())?;
        if state.id.is_none() {
            self.watch(store, connection, info, &mut state)?;
            *info.pending() = Pending::Anything;
        }
        let news = std::mem::take(&mut *info.pending());
        if let (Pending::Nothing, Some(last)) = (&news, &state.last) {
            return Ok(last.clone());
        }
        // Whatever fails below, the next run begins anew.
        let before = state.last.take();
        let read = connection.read();
        let news = match news {
            Pending::Rows(rows) if before.is_some() && !state.is_view_behind => News::Rows(rows),
            _ => News::Anything,
        };
        let maintained = state.view.as_mut().map(|view| view.refresh(read, news));
        state.is_view_behind = !matches!(maintained, Some(Ok(_)));
        let refreshed = if let Some(Ok(refreshed)) = maintained {
            Ok(refreshed)
        } else {
            // A view reads rows ahead, of which one may be wrong; what the query itself says counts.
            let QueryKey { text, binds, .. } = &**statement;
            let ran = read.run(text, binds, |rows| self.collector.collect(rows));
            ran.map(|value| Refreshed { value, was_run: true })
        };
        let outcome = match &refreshed {
            Ok(Refreshed { was_run: false, .. }) => RefreshOutcome::Maintained,
            _ => RefreshOutcome::Ran,
        };
        let now = refreshed.map(|refreshed| refreshed.value);
        let now = match (now, &before) {
            // A view has done so itself.
            (Ok(now), Some(before)) if state.view.is_none() => {
                Ok(self.collector.reuse(before, now))
            }
            (now, _) => now,
        };
        let is_unchanged = matches!((&now, &before), (Ok(now), Some(before)) if now == before);
        store.live().ran(&self.entered.info, outcome, !is_unchanged, start.elapsed());
        let now = match before {
            // The very value that was handed out is soonest found equal.
            Some(before) if is_unchanged => before,
            _ => now?,
        };
        state.last = Some(now.clone());
        Ok(now)
    }

    /// Finds out what concerns the query, and watches that from now on.
    fn watch(
        &self,
        store: &Inner,
        connection: &Connection,
        info: &QueryInfo,
        state: &mut State<Q>,
    ) -> Result<(), SqliteError> {
        let Some(compiled) = &state.query else { return Ok(()) };
        let query = &compiled.query;
        let reads = store.live().reads(connection, &info.text)?;
        state.view = query.view(connection.tables());
        let interests = connection.interests(reads, query.selection());
        let interests: Box<[_]> = interests.into_iter().map(Arc::new).collect();
        let plan = Plan { interests: interests.clone(), has_view: state.view.is_some() };
        let _ = info.plan.set(plan);
        state.id = Some(store.live().watch(&self.entered.info, &interests));
        state.query = None;
        Ok(())
    }
}

impl<Q: Watch> Drop for QueryNode<Q> {
    fn drop(&mut self) {
        let id = self.state.get_mut().unwrap_or_else(PoisonError::into_inner).id;
        if let (Some(id), Some(store)) = (id, self.entered.store.upgrade()) {
            store.live().unwatch(id, &self.entered.info);
        }
    }
}
