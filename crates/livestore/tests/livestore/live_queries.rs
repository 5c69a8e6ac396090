//! Live queries: always true, whole, and quiet when nothing has changed.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{QueryError, Row, SyncStatus, Unavailable};
use livestore_core::IdGenerator;
use proptest::prelude::*;

use crate::app::{Counter, Failed, Seat, SeatTaken, Todo, TodoCompleted, memory_store, todo};
use crate::backend::{Fact, Served, fact, foreign_group};
use crate::properties::cases;
use crate::sync::schedules::{What, what};
use crate::sync::schema;

const PATIENCE: Duration = Duration::from_secs(20);

fn all_todos() -> livestore::Select<Todo> {
    Todo::select().order_by(Todo::id)
}

fn ids(todos: &Rows<Todo>) -> Vec<String> {
    todos.iter().map(|todo| todo.id.clone()).collect()
}

/// What a subscriber was called with.
#[derive(Debug, Clone)]
struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T: Clone + PartialEq + fmt::Debug + Send + 'static> Seen<T> {
    /// Subscribes something that only takes notes.
    fn by<V: Clone + PartialEq + Send + Sync + 'static>(
        live: &LiveQuery<V>,
        note: impl Fn(&V) -> T + Send + 'static,
    ) -> (Self, Subscription) {
        let seen = Self(Arc::default());
        let notes = seen.clone();
        let subscription = live.subscribe(move |value| notes.lock().push(note(value)));
        (seen, subscription)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap()
    }

    /// Waits until the last value is this one, if another thread makes the change.
    #[track_caller]
    fn wait_for(&self, value: &T) {
        let start = Instant::now();
        while self.lock().last() != Some(value) {
            let seen = self.lock().clone();
            assert!(start.elapsed() < PATIENCE, "{value:?} was not seen, but {seen:?}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[test]
fn a_subscriber_is_called_at_once_and_when_the_result_has_changed() {
    let store = memory_store();
    store.commit(todo("a")).unwrap();
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), ids);
    assert_eq!(*seen.lock(), [vec!["a"]], "at once, before anything has changed");
    store.commit(todo("b")).unwrap();
    assert_eq!(seen.lock().last().unwrap(), &["a", "b"], "before the commit returns");
    assert_eq!(seen.lock().len(), 2);
}

#[test]
fn a_subscriber_is_not_called_when_the_result_is_the_same() {
    let store = memory_store();
    store.commit([todo("a"), todo("b")]).unwrap();
    let open = Todo::select().filter(Todo::completed.eq(false)).count();
    let (seen, _subscription) = Seen::by(&store.query_db(open), |count| *count);
    // Another table; a row that the query does not count; a write of what is there already.
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    store.commit(TodoCompleted { id: "nobody".into() }).unwrap();
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    // What is written and taken back within one group.
    store.commit((todo("c"), TodoCompleted { id: "c".into() })).unwrap();
    assert_eq!(*seen.lock(), [2, 1]);
}

#[test]
fn a_subscriber_never_sees_half_a_group() {
    let store = memory_store();
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), Rows::len);
    store.commit([todo("a"), todo("b"), todo("c")]).unwrap();
    store.commit([todo("d"), todo("e"), todo("a")]).unwrap_err();
    store.commit((todo("d"), Failed { how: "error".into() })).unwrap_err();
    store.commit([todo("d"), todo("e")]).unwrap();
    assert_eq!(*seen.lock(), [0, 3, 5], "a failed commit is no change");
}

#[test]
fn a_subscription_ends_when_it_is_dropped() {
    let store = memory_store();
    let live = store.query_db(all_todos());
    let (seen, subscription) = Seen::by(&live, Rows::len);
    drop(subscription);
    store.commit(todo("a")).unwrap();
    assert_eq!(*seen.lock(), [0]);
    assert_eq!(live.get().unwrap().len(), 1, "the live query itself goes on");
}

#[test]
fn a_subscriber_may_commit() {
    let store = memory_store();
    let depth = Arc::new(AtomicUsize::new(0));
    let (inside, own) = (Arc::clone(&depth), store.clone());
    let subscription = store.query_db(all_todos()).subscribe(move |todos| {
        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0, "a call inside the last one");
        let id = format!("reaction {}", todos.len());
        if !todos.is_empty() && todos.len() < 4 {
            own.commit(todo(&id)).unwrap();
            assert_eq!(own.query(Todo::select().count()).unwrap(), todos.len() as u64 + 1);
        }
        inside.fetch_sub(1, Ordering::Relaxed);
    });
    let (seen, _other) = Seen::by(&store.query_db(all_todos()), Rows::len);
    store.commit(todo("action")).unwrap();
    assert_eq!(store.query(Todo::select().count()).unwrap(), 4, "all of it before the return");
    let seen = seen.lock();
    assert_eq!((seen[0], seen[seen.len() - 1]), (0, 4));
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    drop(subscription);
}

#[test]
fn a_subscriber_that_panics_harms_nobody_and_is_called_again() {
    let store = memory_store();
    let live = store.query_db(all_todos());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let _panicking = live.subscribe(move |todos| {
        counted.fetch_add(1, Ordering::Relaxed);
        assert!(todos.is_empty(), "a panic in a subscriber");
    });
    let (seen, _subscription) = Seen::by(&live, Rows::len);
    store.commit(todo("a")).unwrap();
    store.commit(todo("b")).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    assert_eq!(*seen.lock(), [0, 1, 2]);
    assert_eq!(live.get().unwrap().len(), 2);
}

#[test]
fn a_subscriber_may_drop_its_own_subscription() {
    let store = memory_store();
    let slot: Arc<Mutex<Option<Subscription>>> = Arc::default();
    let (own, calls) = (Arc::clone(&slot), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&calls);
    let subscription = store.query_db(all_todos()).subscribe(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        drop(own.lock().unwrap().take());
    });
    *slot.lock().unwrap() = Some(subscription);
    store.commit(todo("a")).unwrap();
    store.commit(todo("b")).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[test]
fn a_value_can_be_computed_from_live_queries_and_signals() {
    let store = memory_store();
    let todos = store.query_db(all_todos());
    let done = query_db(Todo::select().filter(Todo::completed.eq(true)).count());
    let prefix = signal(String::new());
    let runs = Arc::new(AtomicUsize::new(0));
    let (counted, read) = (Arc::clone(&runs), prefix.clone());
    let summary = store.live(computed(move |cx| {
        counted.fetch_add(1, Ordering::Relaxed);
        let (todos, done) = (cx.get(&todos)?, cx.get(&done)?);
        let prefix = cx.get(&read)?;
        let found = todos.iter().filter(|todo| todo.id.starts_with(&prefix)).count();
        Ok(format!("{done} of {found}"))
    }));
    assert_eq!(summary.get().unwrap(), "0 of 0");
    store.commit([todo("a1"), todo("a2"), todo("b1")]).unwrap();
    store.commit(TodoCompleted { id: "a1".into() }).unwrap();
    assert_eq!(summary.get().unwrap(), "1 of 3");
    store.signal(&prefix).set("a".into());
    assert_eq!(summary.get().unwrap(), "1 of 2");
    let before = runs.load(Ordering::Relaxed);
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    assert_eq!(summary.get().unwrap(), "1 of 2");
    assert_eq!(runs.load(Ordering::Relaxed), before, "nothing that it reads has changed");
}

/// Who sits where, and what else is to be done by them: two tables in one statement.
fn join() -> Sql {
    Sql::new(
        "SELECT seats.seat, seats.by, todos.completed FROM seats \
         LEFT JOIN todos ON todos.id = seats.by WHERE seats.seat < ? ORDER BY seats.seat",
    )
    .bind(100)
}

#[test]
fn a_raw_query_follows_every_table_that_it_reads() {
    let store = memory_store();
    let render = |rows: &Rows<Row>| -> Vec<String> {
        let cell = |row: &Arc<Row>| {
            let (by, done) = (row.get::<String>("by"), row.get::<Option<bool>>("completed"));
            format!("{} {:?}", by.unwrap(), done.unwrap())
        };
        rows.iter().map(cell).collect()
    };
    let (seen, _subscription) = Seen::by(&store.query_db(join()), render);
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    store.commit(todo("ann")).unwrap();
    store.commit(todo("bob")).unwrap();
    store.commit(TodoCompleted { id: "ann".into() }).unwrap();
    let expected: [&[&str]; 4] = [&[], &["ann None"], &["ann Some(false)"], &["ann Some(true)"]];
    assert_eq!(*seen.lock(), expected);
}

#[test]
fn a_live_query_that_is_wrong_says_so_and_harms_nobody() {
    let store = memory_store();
    let wrong = [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELECT absent FROM todos", "no such column: absent"),
        ("SELEKT", "syntax error"),
        ("DELETE FROM todos", "not allowed"),
        ("SELECT * FROM __livestore_meta", "not allowed"),
    ];
    for (sql, message) in wrong {
        let live = store.query_db(Sql::new(sql));
        let error = live.get().unwrap_err();
        assert!(error.to_string().contains(message), "{sql}: {error}");
        let (seen, _subscription) = Seen::by(&live, Rows::len);
        store.commit(todo(sql)).unwrap();
        assert!(seen.lock().is_empty(), "{sql}");
        assert_eq!(live.get().unwrap_err(), error);
    }
    assert_eq!(store.query(Todo::select().count()).unwrap(), wrong.len() as u64);
}

#[test]
fn a_live_query_after_shutdown_keeps_its_last_value_or_says_that_the_store_is_closed() {
    let store = memory_store();
    store.commit(todo("a")).unwrap();
    let (read, unread) = (store.query_db(all_todos()), store.query_db(Todo::select().count()));
    let (seen, subscription) = Seen::by(&read, Rows::len);
    store.shutdown().unwrap();
    let closed = QueryError::Store(Unavailable::Closed);
    for _ in 0..2 {
        assert_eq!(read.get().unwrap().len(), 1);
        assert_eq!(unread.get(), Err(closed.clone()));
    }
    assert_eq!(store.query_db(Todo::select().first()).get(), Err(closed));
    drop(store);
    assert_eq!(read.get().unwrap().len(), 1);
    drop(subscription);
    assert_eq!(*seen.lock(), [1]);
}

#[test]
fn many_threads_commit_and_every_subscriber_ends_with_the_truth() {
    let store = memory_store();
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), Rows::len);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for index in 0..50 {
                    let pair = [0, 1].map(|part| todo(&format!("{thread} {index} {part}")));
                    store.commit(pair).unwrap();
                }
            });
        }
    });
    let seen = seen.lock();
    assert_eq!(seen.last(), Some(&400));
    assert!(seen.iter().all(|count| count % 2 == 0), "half a group was seen");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "called without a change");
}

#[test]
fn a_live_query_is_never_older_than_a_query_that_was_run_before() {
    let store = memory_store();
    let live = store.query_db(Todo::select().count());
    let _subscription = live.subscribe(|_| ());
    std::thread::scope(|scope| {
        let committing = scope.spawn(|| {
            for index in 0..300 {
                store.commit(todo(&index.to_string())).unwrap();
            }
        });
        while !committing.is_finished() {
            let before = store.query(Todo::select().count()).unwrap();
            let now = live.get().unwrap();
            assert!(now >= before, "{now} after {before}");
        }
    });
}

// With a backend

fn synced_store(served: &Served) -> Store {
    Store::open(schema(), "test", MemoryAdapter::new().sync(served.clone())).unwrap()
}

#[track_caller]
fn wait_until(store: &Store, is_so: impl Fn(&SyncStatus) -> bool) {
    let start = Instant::now();
    while !is_so(&store.sync_status().unwrap()) {
        let status = store.sync_status();
        assert!(start.elapsed() < PATIENCE, "it does not happen: {status:?}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Waits until the store has everything and the backend has everything; nothing moves then.
fn wait_until_in_step(store: &Store, served: &Served) {
    wait_until(store, |status| {
        status.is_synced() && status.confirmed_head == served.lock().end().seq
    });
}

#[test]
fn a_subscriber_sees_a_page_as_one_change() {
    let served = Served::new();
    let store = synced_store(&served);
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), Rows::len);
    wait_until_in_step(&store, &served);
    let mut author = IdGenerator::new([1; 32]);
    served.elsewhere(foreign_group(&mut author, ["a", "b", "c"].map(|id| fact(todo(id)))));
    seen.wait_for(&3);
    assert_eq!(*seen.lock(), [0, 3]);
}

#[test]
fn a_subscriber_sees_a_long_pull_by_slices_and_not_by_events() {
    const GROUPS: usize = 400;
    const EACH: usize = 50;
    let served = Served::new();
    let mut author = IdGenerator::new([1; 32]);
    for group in 0..GROUPS {
        let facts = (0..EACH).map(|index| fact(todo(&format!("{group:03} {index:02}"))));
        served.elsewhere(foreign_group(&mut author, facts.collect::<Vec<_>>()));
    }
    served.set_down(true);
    let store = synced_store(&served);
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), Rows::len);
    let (counts, _other) = Seen::by(&store.query_db(Todo::select().count()), |count| *count);
    served.set_down(false);
    store.retry_now().unwrap();
    seen.wait_for(&(GROUPS * EACH));
    counts.wait_for(&((GROUPS * EACH) as u64));
    let calls = seen.lock().len();
    assert!(calls <= GROUPS, "{calls} calls for {GROUPS} groups of {EACH} events");
    assert!(seen.lock().is_sorted());
}

#[test]
fn a_subscriber_sees_a_rebase_as_one_change_and_never_misses_its_own_writes() {
    let served = Served::new();
    served.set_down(true);
    let store = synced_store(&served);
    let mut author = IdGenerator::new([1; 32]);
    store.commit(todo("mine")).unwrap();
    store.commit(TodoCompleted { id: "mine".into() }).unwrap();
    served.elsewhere(foreign_group(&mut author, [fact(todo("t1")), fact(todo("t2"))]));
    served.elsewhere(foreign_group(&mut author, [fact(TodoCompleted { id: "t1".into() })]));
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), ids);
    let count = Counter::select().first();
    let (counts, _other) = Seen::by(&store.query_db(count), |row| row.as_ref().unwrap().value);
    served.set_down(false);
    store.retry_now().unwrap();
    wait_until_in_step(&store, &served);
    assert_eq!(store.sync_status().unwrap().rebases, 1);
    counts.wait_for(&2);
    assert_eq!(*seen.lock(), [vec!["mine"], vec!["mine", "t1", "t2"]]);
    assert_eq!(*counts.lock(), [1, 2], "neither undone nor counted twice on the way");
}

#[test]
fn a_confirmation_in_place_calls_nobody() {
    let served = Served::new();
    let store = synced_store(&served);
    let (seen, _subscription) = Seen::by(&store.query_db(all_todos()), Rows::len);
    store.commit(todo("a")).unwrap();
    wait_until_in_step(&store, &served);
    assert_eq!(*seen.lock(), [0, 1]);
}

/// One thing that happens to a store with live queries.
#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<What>),
    Elsewhere(Vec<What>),
    SetDown(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let whats = || prop::collection::vec(what(), 1..4);
    prop_oneof![
        4 => whats().prop_map(Step::Commit),
        3 => whats().prop_map(Step::Elsewhere),
        1 => any::<bool>().prop_map(Step::SetDown),
    ]
}

proptest! {
    #![proptest_config(cases(40))]

    /// After every commit, page and rebase, a live query's value is that of the same query run
    /// afresh, its subscriber has seen it, and was called for changes only.
    #[test]
    fn a_live_query_always_tells_the_truth(
        page_events in 1..5_u64,
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let served = Served::new();
        served.lock().page_events = page_events;
        let store = synced_store(&served);
        let mut author = IdGenerator::new([1; 32]);
        let todos = store.query_db(all_todos());
        let seats = store.query_db(Seat::select().filter(Seat::seat.gt(0)).order_by(Seat::seat));
        let done = store.query_db(Todo::select().filter(Todo::completed.eq(true)).count());
        let first = store.query_db(Counter::select().first());
        let raw = store.query_db(join());
        let (seen, _subscription) = Seen::by(&raw, Clone::clone);
        let mut is_down = false;
        for step in steps {
            match step {
                Step::Commit(whats) => {
                    let events: Vec<_> = whats.iter().map(What::event).collect();
                    let _ = store.commit(events);
                }
                Step::Elsewhere(whats) => {
                    let facts: Vec<Fact> = whats.iter().map(What::fact).collect();
                    served.elsewhere(foreign_group(&mut author, facts));
                }
                Step::SetDown(down) => {
                    is_down = down;
                    served.set_down(down);
                    store.retry_now().unwrap();
                }
            }
            if is_down {
                wait_until(&store, |status| !status.is_synced());
            } else {
                store.retry_now().unwrap();
                wait_until_in_step(&store, &served);
            }
            prop_assert_eq!(ids(&todos.get().unwrap()), ids(&store.query(all_todos()).unwrap()));
            prop_assert!(todos.get().unwrap() == store.query(all_todos()).unwrap());
            let query = Seat::select().filter(Seat::seat.gt(0)).order_by(Seat::seat);
            prop_assert!(seats.get().unwrap() == store.query(query).unwrap());
            let query = Todo::select().filter(Todo::completed.eq(true)).count();
            prop_assert_eq!(done.get().unwrap(), store.query(query).unwrap());
            prop_assert_eq!(first.get().unwrap(), store.query(Counter::select().first()).unwrap());
            let fresh = store.query(join()).unwrap();
            prop_assert_eq!(&raw.get().unwrap(), &fresh);
            seen.wait_for(&fresh);
            let seen = seen.lock();
            prop_assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
        }
    }
}
