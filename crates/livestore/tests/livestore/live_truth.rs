//! The truth of live queries: whatever the schema, the query and what happens, a live value is what
//! the same query finds that is run afresh.

#[path = "live_truth/grammar.rs"]
mod grammar;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livestore::ast::{Select, Statement};
use livestore::prelude::*;
use livestore::{
    ConnectionState, DynSelect, HistoryAnswer, MaterializeError, QueryError, RefreshOutcome, Row,
    SchemaBuilder, StoreOptions, TableDef, Write,
};
use livestore_core::IdGenerator;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};

use crate::backend::{Served, fact, foreign_group};
use crate::properties::cases;
use grammar::{
    Asked, Shape, groups_of, many_rows, of_several_tables, query, shape, tables, writes, writes_to,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// How soon after a change by another thread its followers have been told.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// Writes to synced tables.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.Wrote")]
struct Wrote(Vec<Statement>);

/// Writes to the table in memory.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "Noted", client_only)]
struct Noted(Vec<Statement>);

fn schema(tables: &[TableDef]) -> Schema {
    let known: Arc<[TableDef]> = tables.into();
    let checked = move |statements: Vec<Statement>| {
        let write = |statement: Statement| Write::checked(&statement, &known);
        statements.into_iter().map(write).collect::<Result<Vec<_>, _>>()
    };
    let noted = checked.clone();
    let builder = tables.iter().cloned().fold(Schema::builder(), SchemaBuilder::table_def);
    builder
        .event(move |event: Wrote, _| checked(event.0).map_err(MaterializeError::failed))
        .event(move |event: Noted, _| noted(event.0).map_err(MaterializeError::failed))
        .build()
        .expect("the schema is valid")
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Somebody asks for a query, and maybe follows it.
    Ask {
        query: Box<Asked>,
        follows: bool,
    },
    /// Somebody has seen enough.
    Leave(prop::sample::Index),
    /// A group of events is committed here; what its tables refuse changes nothing.
    Commit(Vec<(bool, Vec<Statement>)>),
    /// A group of somebody else comes in, before what is pending here.
    Elsewhere(Vec<Statement>),
    SetDown(bool),
    /// Both at once: what is committed here is done again after what came in before it.
    Meet {
        here: Vec<(bool, Vec<Statement>)>,
        elsewhere: Vec<Statement>,
    },
    /// The backend is backed up; or set back to that, which makes it another history, for which the
    /// state is derived anew.
    BackUp,
    Restore,
}

fn step(shape: &Shape) -> BoxedStrategy<Step> {
    let event = || {
        let shape = shape.clone();
        prop::bool::weighted(0.25).prop_flat_map(move |in_memory| {
            writes(&shape, in_memory).prop_map(move |writes| (in_memory, writes))
        })
    };
    prop_oneof![
        3 => (query(shape), prop::bool::weighted(0.7))
            .prop_map(|(query, follows)| Step::Ask { query: query.into(), follows }),
        1 => any::<prop::sample::Index>().prop_map(Step::Leave),
        6 => prop::collection::vec(event(), 1..3).prop_map(Step::Commit),
        1 => writes(shape, false).prop_map(Step::Elsewhere),
        1 => any::<bool>().prop_map(Step::SetDown),
        2 => (prop::collection::vec(event(), 1..3), writes(shape, false))
            .prop_map(|(here, elsewhere)| Step::Meet { here, elsewhere }),
        1 => any::<bool>().prop_map(|restores| if restores { Step::Restore } else { Step::BackUp }),
    ]
    .boxed()
}

/// What a query finds, of whichever type it is.
#[derive(Debug, Clone, PartialEq)]
enum Found {
    Rows(Result<Vec<Row>, QueryError>),
    Count(Result<u64, QueryError>),
}

fn found(rows: Result<Rows<Row>, QueryError>) -> Found {
    Found::Rows(rows.map(|rows| rows.to_vec()))
}

/// A live query, and what its followers have.
struct Followed {
    asked: Asked,
    now: Box<dyn Fn() -> Found>,
    fresh: Box<dyn Fn(&Store) -> Found>,
    /// The values that a follower was called with.
    called: Option<Arc<Mutex<Vec<Found>>>>,
    /// The list of somebody who takes steps only.
    patched: Option<Arc<Mutex<Vec<Arc<Row>>>>>,
    _subscriptions: Vec<Subscription>,
}

fn follow<T: Clone + PartialEq + Send + Sync + 'static>(
    live: &LiveQuery<T>,
    found: impl Fn(&T) -> Found + Send + 'static,
) -> (Arc<Mutex<Vec<Found>>>, Subscription) {
    let called: Arc<Mutex<Vec<Found>>> = Arc::default();
    let calls = Arc::clone(&called);
    let subscription = live.subscribe(move |value| calls.lock().unwrap().push(found(value)));
    (called, subscription)
}

fn follow_rows(live: &LiveQuery<Rows<Row>>, asked: &Asked, follows: bool) -> Followed {
    let (mut called, mut patched, mut subscriptions) = (None, None, Vec::new());
    if follows {
        let (calls, subscription) = follow(live, |rows| found(Ok(rows.clone())));
        called = Some(calls);
        subscriptions.push(subscription);
        let list: Arc<Mutex<Vec<Arc<Row>>>> = Arc::default();
        patched = Some(Arc::clone(&list));
        subscriptions.push(live.subscribe_diff(move |diff| {
            let mut list = list.lock().unwrap();
            diff.steps.iter().for_each(|step| step.apply(&mut list));
        }));
    }
    let now = live.clone();
    Followed {
        asked: asked.clone(),
        now: Box::new(move || found(now.get())),
        fresh: Box::new(|_| unreachable!("set by the caller")),
        called,
        patched,
        _subscriptions: subscriptions,
    }
}

fn ask(store: &Store, tables: &[TableDef], asked: Asked, follows: bool) -> Option<Followed> {
    Some(match &asked {
        Asked::Rows(select) => {
            let query = DynSelect::new(select.clone(), tables).ok()?;
            let live = store.query_db(query.clone());
            let fresh = move |store: &Store| found(store.query(query.clone()));
            Followed { fresh: Box::new(fresh), ..follow_rows(&live, &asked, follows) }
        }
        Asked::Text(text) => {
            let text = *text;
            let live = store.query_db(Sql::new(text));
            let fresh = move |store: &Store| found(store.query(Sql::new(text)));
            Followed { fresh: Box::new(fresh), ..follow_rows(&live, &asked, follows) }
        }
        Asked::Count(select) => {
            let query = DynSelect::new(select.clone(), tables).ok()?.count();
            let live = store.query_db(query.clone());
            let count = |count: &u64| Found::Count(Ok(*count));
            let (called, subscription) = follows.then(|| follow(&live, count)).unzip();
            Followed {
                asked,
                now: Box::new(move || Found::Count(live.get())),
                fresh: Box::new(move |store| Found::Count(store.query(query.clone()))),
                called,
                patched: None,
                _subscriptions: subscription.into_iter().collect(),
            }
        }
    })
}

impl Followed {
    /// Compares the value, and what its followers have, with the query run afresh.
    ///
    /// Tells whether it is an error. `before` is what it was before something happened here, in one step. What another thread has
    /// brought in may be told a moment later.
    fn check(
        &self,
        store: &Store,
        before: Option<&(Found, usize)>,
        has_backend: bool,
    ) -> Result<bool, TestCaseError> {
        let asked = &self.asked;
        let fresh = (self.fresh)(store);
        let is_error = matches!(&fresh, Found::Rows(Err(_)) | Found::Count(Err(_)));
        prop_assert_eq!(&(self.now)(), &fresh, "the value of {:?}", asked);
        if is_error {
            return Ok(true);
        }
        let start = Instant::now();
        while has_backend && !self.has_been_told(&fresh) && start.elapsed() < TOLD_WITHIN {
            std::thread::sleep(Duration::from_micros(50));
        }
        if let Some(called) = &self.called {
            let called = called.lock().unwrap();
            prop_assert_eq!(called.last(), Some(&fresh), "the last call for {:?}", asked);
            if let Some((was, calls)) = before {
                let more = usize::from(*was != fresh);
                prop_assert_eq!(called.len() - calls, more, "calls for {:?}", asked);
            }
        }
        if let (Some(patched), Found::Rows(Ok(rows))) = (&self.patched, &fresh) {
            let patched: Vec<Row> =
                patched.lock().unwrap().iter().map(|row| (**row).clone()).collect();
            prop_assert_eq!(&patched, rows, "the list that takes steps for {:?}", asked);
        }
        Ok(false)
    }

    fn has_been_told(&self, fresh: &Found) -> bool {
        let called = self.called.as_ref().map(|called| called.lock().unwrap());
        let patched = self.patched.as_ref().map(|patched| patched.lock().unwrap());
        let is_patched = |list: &Vec<Arc<Row>>| match fresh {
            Found::Rows(Ok(rows)) => list.iter().map(|row| &**row).eq(rows),
            _ => true,
        };
        called.is_none_or(|called| called.last() == Some(fresh))
            && patched.is_none_or(|patched| is_patched(&patched))
    }

    fn calls(&self) -> usize {
        self.called.as_ref().map_or(0, |called| called.lock().unwrap().len())
    }
}

#[derive(Clone)]
struct Case {
    shape: Shape,
    has_backend: bool,
    /// Which of the queries that nobody follows are looked at after each step.
    looks: Vec<bool>,
    steps: Vec<Step>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, has_backend, looks, steps } = self;
        write!(f, "{shape:?}, with a backend: {has_backend}")?;
        let tables = tables(shape);
        for (step, looks) in steps.iter().zip(looks) {
            write!(f, "\n{} ", if *looks { "looks" } else { "-----" })?;
            let (name, statements): (&str, Vec<&Statement>) = match step {
                Step::Ask { query, follows } => {
                    let follows = if *follows { "follow" } else { "ask" };
                    write!(f, "{follows} {}", sql_of(query, &tables))?;
                    continue;
                }
                Step::Leave(_) | Step::SetDown(_) | Step::BackUp | Step::Restore => {
                    write!(f, "{step:?}")?;
                    continue;
                }
                Step::Commit(events) | Step::Meet { here: events, .. } => {
                    ("commit", events.iter().flat_map(|(_, statements)| statements).collect())
                }
                Step::Elsewhere(statements) => ("elsewhere", statements.iter().collect()),
            };
            f.write_str(name)?;
            for statement in statements {
                write!(f, " {:?};", Write::checked(statement, &tables))?;
            }
        }
        Ok(())
    }
}

fn sql_of(asked: &Asked, tables: &[TableDef]) -> String {
    match asked {
        Asked::Rows(select) | Asked::Count(select) => {
            let select = DynSelect::new(select.clone(), tables);
            format!("{:?}", select.map(|select| select.compile()))
        }
        Asked::Text(text) => (*text).into(),
    }
}

fn case() -> impl Strategy<Value = Case> {
    (shape(), prop::bool::weighted(0.15)).prop_flat_map(|(shape, has_backend)| {
        let steps = prop::collection::vec(step(&shape), 1..24);
        let looks = prop::collection::vec(any::<bool>(), 26);
        (steps, looks, prop::bool::weighted(0.2)).prop_map(move |(mut steps, looks, fills)| {
            if fills {
                steps.splice(0..0, filled(&shape, &["t", "u"]));
            }
            Case { shape: shape.clone(), has_backend, looks, steps }
        })
    })
}

/// Fills tables with more rows than a limit leaves, or a maintained list keeps behind it.
fn filled(shape: &Shape, tables: &[&'static str]) -> Vec<Step> {
    tables.iter().map(|table| Step::Commit(vec![(false, many_rows(shape, table))])).collect()
}

/// Many small changes of the rows of some queries of one kind.
fn case_of<S: Strategy<Value = Select> + 'static>(
    queries: impl Fn(&Shape) -> S + Clone + 'static,
    tables: &'static [&'static str],
) -> impl Strategy<Value = Case> {
    shape().prop_flat_map(move |shape| {
        let asked = queries(&shape).prop_map(|select| {
            let query = Box::new(Asked::Rows(select));
            Step::Ask { query, follows: true }
        });
        let asked = prop::collection::vec(asked, 1..5);
        let event = writes_to(&shape, tables.to_vec()).prop_map(|writes| vec![(false, writes)]);
        let commits = prop::collection::vec(event.prop_map(Step::Commit), 1..24);
        (asked, commits, prop::bool::weighted(0.3)).prop_map(move |(asked, commits, fills)| {
            let filled = if fills { filled(&shape, tables) } else { Vec::new() };
            let steps: Vec<_> = filled.into_iter().chain(asked).chain(commits).collect();
            let looks = vec![true; steps.len()];
            Case { shape: shape.clone(), has_backend: false, looks, steps }
        })
    })
}

fn wait_until_settled(store: &Store, served: &Served, is_down: bool) {
    let start = Instant::now();
    loop {
        let status = store.sync_status().unwrap();
        let is_settled = if is_down {
            status.connection != ConnectionState::Connected
        } else {
            status.is_synced() && status.confirmed_head == served.lock().end().seq
        };
        if is_settled {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "it does not settle: {status:?}");
        if !is_down && status.connection == ConnectionState::Offline {
            store.retry_now().unwrap();
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// What has happened in all cases together.
#[derive(Debug, Default)]
struct Met {
    commits: AtomicU64,
    refused: AtomicU64,
    rebases: AtomicU64,
    restores: AtomicU64,
    maintained: AtomicU64,
    /// How many of those were groups, and joins.
    groups: AtomicU64,
    joins: AtomicU64,
    /// Values that were errors.
    failed: AtomicU64,
}

impl Met {
    fn note(&self, committed: bool) {
        let count = if committed { &self.commits } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn note_end(&self, store: &Store) {
        self.rebases.fetch_add(store.sync_status().unwrap().rebases, Ordering::Relaxed);
        let refreshes = store.explain_refresh();
        let queries = refreshes.iter().flat_map(|refresh| &refresh.queries);
        let maintained = queries.filter(|query| query.outcome == RefreshOutcome::Maintained);
        for query in maintained {
            self.maintained.fetch_add(1, Ordering::Relaxed);
            let (is_grouped, is_joined) =
                (query.query.contains("GROUP BY"), query.query.contains("JOIN"));
            self.groups.fetch_add(is_grouped.into(), Ordering::Relaxed);
            self.joins.fetch_add(is_joined.into(), Ordering::Relaxed);
        }
    }

    /// Fails if something has not happened at least once in so many cases, for them to say anything.
    fn often<const N: usize>(&self, cases: u64, counts: [(&AtomicU64, u64); N]) {
        for (count, in_cases) in counts {
            let count = count.load(Ordering::Relaxed);
            assert!(count >= cases / in_cases, "{count} in {cases} cases: {self:?}");
        }
    }
}

/// Commits a group; tells whether the tables have taken it.
fn commit(store: &Store, events: Vec<(bool, Vec<Statement>)>) -> bool {
    let committed = store.commit_with(|group| {
        for (in_memory, statements) in events {
            if in_memory {
                group.commit(Noted(statements))?;
            } else {
                group.commit(Wrote(statements))?;
            }
        }
        Ok::<_, livestore::CommitError>(())
    });
    committed.is_ok()
}

fn run(case: Case, met: &Met) -> Result<(), TestCaseError> {
    let Case { shape, has_backend, looks, steps } = case;
    let tables = tables(&shape);
    let served = has_backend.then(Served::new);
    let adapter = match &served {
        Some(served) => MemoryAdapter::new().sync(served.clone()),
        None => MemoryAdapter::new(),
    };
    let options = StoreOptions::new().on_history_diverged(HistoryAnswer::RebasePending);
    let store = Store::open_with(schema(&tables), "test", adapter, options).unwrap();
    let mut backup = served.as_ref().map(|served| served.lock().clone());
    let mut author = IdGenerator::new([1; 32]);
    let (mut is_down, mut followed) = (false, Vec::<Followed>::new());
    for (step, looks) in steps.into_iter().zip(looks) {
        let before: Vec<_> =
            followed.iter().map(|one| ((one.fresh)(&store), one.calls())).collect();
        let is_here = matches!(step, Step::Commit(_));
        match step {
            Step::Ask { query, follows } => followed.extend(ask(&store, &tables, *query, follows)),
            Step::Leave(_) if followed.is_empty() => {}
            Step::Leave(index) => drop(followed.swap_remove(index.index(followed.len()))),
            Step::Commit(events) => met.note(commit(&store, events)),
            Step::Meet { here, elsewhere } => match &served {
                None => met.note(commit(&store, here)),
                Some(served) => {
                    served.set_down(true);
                    wait_until_settled(&store, served, true);
                    met.note(commit(&store, here));
                    served.elsewhere(foreign_group(&mut author, [fact(Wrote(elsewhere))]));
                    served.set_down(is_down);
                }
            },
            Step::Elsewhere(statements) => {
                if let Some(served) = &served {
                    served.elsewhere(foreign_group(&mut author, [fact(Wrote(statements))]));
                }
            }
            Step::SetDown(down) => {
                if let Some(served) = &served {
                    is_down = down;
                    served.set_down(down);
                    store.retry_now().unwrap();
                }
            }
            Step::BackUp => backup = served.as_ref().map(|served| served.lock().clone()),
            Step::Restore => {
                if let (Some(served), Some(backup)) = (&served, &backup) {
                    met.restores.fetch_add(1, Ordering::Relaxed);
                    served.set_down(true);
                    wait_until_settled(&store, served, true);
                    *served.lock() = backup.clone();
                    // Somebody else was quicker than we are.
                    let writes = Wrote(Vec::new());
                    served.elsewhere(foreign_group(&mut author, [fact(writes)]));
                    served.set_down(is_down);
                }
            }
        }
        if let Some(served) = &served {
            wait_until_settled(&store, served, is_down);
        }
        // With a backend, a step may be several changes, and one of them take back another.
        let is_one_change = is_here && served.is_none();
        for (index, one) in followed.iter().enumerate() {
            if looks || one.called.is_some() {
                let before = before.get(index).filter(|_| is_one_change);
                let is_error = one.check(&store, before, has_backend)?;
                met.failed.fetch_add(is_error.into(), Ordering::Relaxed);
            }
        }
    }
    for one in &followed {
        one.check(&store, None, has_backend)?;
    }
    met.note_end(&store);
    Ok(())
}

/// Runs so many cases, and returns their number and what they have met.
fn check(number: u32, case: impl Strategy<Value = Case>) -> (u64, Met) {
    let config = ProptestConfig { max_shrink_time: 20_000, ..cases(number) };
    let (cases, met) = (config.cases.into(), Met::default());
    let mut runner = TestRunner::new(config);
    if let Err(error) = runner.run(&case, |case| run(case, &met)) {
        panic!("{error}\n{runner}");
    }
    (cases, met)
}

#[test]
fn a_live_value_is_what_the_query_finds_that_is_run_afresh() {
    let (cases, met) = check(1_000, case());
    met.often(
        cases,
        [
            (&met.commits, 1),
            (&met.maintained, 4),
            (&met.groups, 50),
            (&met.joins, 50),
            (&met.refused, 10),
            (&met.rebases, 20),
            (&met.restores, 50),
            (&met.failed, 200),
        ],
    );
}

#[test]
fn groups_are_what_the_query_finds_that_is_run_afresh() {
    let (cases, met) = check(300, case_of(|shape| groups_of(shape, "t"), &["t"]));
    met.often(cases, [(&met.commits, 1), (&met.groups, 1), (&met.failed, 200)]);
}

#[test]
fn joins_are_what_the_query_finds_that_is_run_afresh() {
    let (cases, met) = check(300, case_of(of_several_tables, &["t", "t", "u"]));
    met.often(cases, [(&met.commits, 1), (&met.joins, 1), (&met.failed, 200)]);
}
