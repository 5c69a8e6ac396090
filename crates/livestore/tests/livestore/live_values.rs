//! Definitions and instances of live values, how they are followed, and how precisely changes are told.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use livestore::prelude::*;
use livestore::{
    DiffStep, LiveStream, Precision, QueryError, RefreshOutcome, RowCursor, SqliteError, Value,
    ValueError, Warning, Watch,
};

use crate::app::{Seat, SeatTaken, Todo, TodoCompleted, memory_store, todo};

fn all() -> livestore::Select<Todo> {
    Todo::select().order_by(Todo::id)
}

fn open() -> livestore::Count<livestore::Select<Todo>> {
    Todo::select().filter(Todo::completed.eq(false)).count()
}

/// A query that counts how often it runs.
#[derive(Debug, Clone)]
struct Counted(Sql, Arc<AtomicUsize>);

impl Counted {
    fn new(sql: Sql) -> (Self, Arc<AtomicUsize>) {
        let runs = Arc::default();
        (Self(sql, Arc::clone(&runs)), runs)
    }
}

impl Query for Counted {
    type Output = usize;

    fn compile(&self) -> Result<(String, Vec<Value>), ValueError> {
        self.0.compile()
    }

    fn collect(&self, rows: RowCursor<'_>) -> Result<usize, SqliteError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.collect(rows)?.len())
    }
}

impl Watch for Counted {}

fn runs(counted: &AtomicUsize) -> usize {
    counted.load(Ordering::Relaxed)
}

// Definitions

#[test]
fn equal_definitions_of_queries_share_an_instance_and_others_do_not() {
    let store = memory_store();
    let same = |a: &LiveQuery<u64>, b: &LiveQuery<u64>| {
        let before = store.explain_refresh().len();
        let _followed = (a.subscribe(|_| ()), b.subscribe(|_| ()));
        store.commit(todo(&format!("{before} more"))).unwrap();
        store.explain_refresh().last().unwrap().total == 1
    };
    assert!(same(&store.query_db(open()), &store.query_db(open())));
    let all = Todo::select().count();
    assert!(!same(&store.query_db(open()), &store.query_db(all)), "another text");
    let counted = |sql: &str| Counted::new(Sql::new(sql)).0;
    let (one, other) = (counted("SELECT * FROM todos"), counted("SELECT * FROM todos"));
    assert_ne!(query_db(one.clone()), query_db(other), "a query of one's own may hold anything");
    let def = query_db(one);
    assert_eq!(def, def.clone());
    let rows = query_db(Sql::new("SELECT id FROM todos"));
    assert_eq!(rows, query_db(Sql::new("SELECT id FROM todos")));
    let ids = query_db(query_as::<String>("SELECT id FROM todos"));
    assert_ne!(format!("{rows:?}"), format!("{ids:?}"), "the same text, and other rows");
    let defs: HashSet<_> = [query_db(open()), query_db(open())].into();
    assert_eq!(defs.len(), 1);
}

#[test]
fn closures_are_shared_by_clones_or_by_a_key_and_never_by_what_they_do() {
    let runs_of = |defs: [LiveDef<u64>; 2]| {
        let store = memory_store();
        let followed = defs.map(|def| store.live(def).subscribe(|_| ()));
        store.commit(todo("a")).unwrap();
        drop(followed);
        store
    };
    let counter = Arc::new(AtomicUsize::new(0));
    let define = || {
        let counter = Arc::clone(&counter);
        let all = query_db(Todo::select().count());
        computed(move |cx| {
            counter.fetch_add(1, Ordering::Relaxed);
            cx.get(&all)
        })
    };
    let runs_made = |defs| {
        let before = runs(&counter);
        drop(runs_of(defs));
        runs(&counter) - before
    };
    let one = define();
    assert_eq!(runs_made([one.clone(), one]), 2, "once at first, once for the change");
    assert_eq!(runs_made([define(), define()]), 4);
    assert_eq!(runs_made([define().key("all"), define().key("all")]), 2);
    assert_eq!(runs_made([define().key("one"), define().key("other")]), 4);
}

#[test]
fn a_definition_serves_many_stores_each_for_itself() {
    let (first, second) = (memory_store(), memory_store());
    let factor = signal(1);
    let read = factor.clone();
    let weighed = computed(move |cx| Ok(cx.get(&query_db(open()))? * cx.get(&read)?));
    first.commit(todo("a")).unwrap();
    first.signal(&factor).set(10);
    second.commit([todo("a"), todo("b")]).unwrap();
    let of = |store: &Store| store.live(&weighed).get().unwrap();
    assert_eq!((of(&first), of(&second)), (10, 2));
    drop(first);
    assert_eq!(of(&second), 2);
}

#[test]
fn a_signal_keeps_its_value_as_long_as_its_definition_lives() {
    let store = memory_store();
    let name = signal("nobody".to_owned());
    store.signal(&name).set("ann".into());
    assert_eq!(store.signal(&name.clone()).get(), "ann");
    drop(name);
    // Others may be given the same address; they begin with their own value.
    for index in 0..100 {
        let other = signal(index.to_string());
        assert_eq!(store.signal(&other).get(), index.to_string());
        store.signal(&other).set("changed".into());
    }
}

#[test]
fn a_query_can_be_chosen_by_signals_and_other_queries() {
    let store = memory_store();
    store.commit([todo("apple"), todo("avocado"), todo("bread")]).unwrap();
    let search = signal("a".to_owned());
    let read = search.clone();
    let chosen = Arc::new(AtomicUsize::new(0));
    let choices = Arc::clone(&chosen);
    let found = query_with(move |cx| {
        choices.fetch_add(1, Ordering::Relaxed);
        let prefix = cx.get(&read)?.to_lowercase();
        Ok(all().filter(Todo::id.like(format!("{prefix}%"))))
    })
    .label("found");
    let seen: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let (notes, live) = (Arc::clone(&seen), store.live(&found));
    let _subscription = live.subscribe(move |rows| {
        notes.lock().unwrap().push(rows.iter().map(|todo| todo.id.clone()).collect());
    });
    store.signal(&search).set("A".into());
    assert_eq!(runs(&chosen), 2, "another choice");
    store.signal(&search).set("b".into());
    store.commit(todo("butter")).unwrap();
    store.commit(todo("cheese")).unwrap();
    assert_eq!(runs(&chosen), 3, "what was chosen stays while the rows change");
    assert_eq!(
        *seen.lock().unwrap(),
        [vec!["apple", "avocado"], vec!["bread"], vec!["bread", "butter"]],
        "an equal choice and a row that is not found call nobody"
    );
    let explanation = live.explain().unwrap();
    assert_eq!(explanation.name, "found");
    assert!(explanation.to_string().contains("id LIKE 'b%'"), "{explanation}");
}

#[test]
fn an_error_goes_through_what_is_computed_of_it() {
    let store = memory_store();
    let wrong = query_db(Sql::new("SELECT absent FROM todos"));
    let length = store.live(computed(move |cx| Ok(cx.get(&wrong)?.len())));
    assert!(length.get().unwrap_err().to_string().contains("no such column: absent"));
    let other = memory_store().query_db(open());
    let foreign = store.live(computed(move |cx| cx.get(&other)));
    assert_eq!(foreign.get(), Err(QueryError::OtherStore));
}

#[test]
fn nothing_is_left_of_live_values_that_nobody_has_any_more() {
    let store = memory_store();
    let (query, counted) = Counted::new(Sql::new("SELECT * FROM todos"));
    let live = store.query_db(query);
    let twice = {
        let live = live.clone();
        store.live(computed(move |cx| Ok(2 * cx.get(&live)?)))
    };
    let subscription = twice.subscribe(|_| ());
    drop((live, twice));
    store.commit(todo("a")).unwrap();
    assert_eq!(runs(&counted), 2, "a subscriber keeps it");
    drop(subscription);
    let before = store.explain_refresh().len();
    store.commit(todo("b")).unwrap();
    assert_eq!(runs(&counted), 2);
    assert_eq!(store.explain_refresh().len(), before, "nobody watches the table any more");
}

// Following

#[test]
fn an_unchanged_row_stays_the_same_object() {
    let store = memory_store();
    store.commit([todo("a"), todo("b"), todo("c")]).unwrap();
    let raw = Sql::new("SELECT id, completed FROM todos ORDER BY id").rows_as::<(String, bool)>();
    let (live, raw) = (store.query_db(all()), store.query_db(raw));
    let (before, before_raw) = (live.get().unwrap(), raw.get().unwrap());
    store.commit(TodoCompleted { id: "b".into() }).unwrap();
    let (after, after_raw) = (live.get().unwrap(), raw.get().unwrap());
    let same: Vec<bool> = before.iter().zip(&after).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(same, [true, false, true]);
    let same_raw = before_raw.iter().zip(&after_raw).map(|(a, b)| Arc::ptr_eq(a, b));
    assert_eq!(same_raw.collect::<Vec<_>>(), [true, false, true], "also where SQL runs again");
    assert!(!before[1].completed && after[1].completed, "a snapshot that is held does not change");
}

fn describe(step: &DiffStep<Todo>) -> String {
    match step {
        DiffStep::Insert { at, row } => format!("insert {} at {at}", row.id),
        DiffStep::Remove { at } => format!("remove {at}"),
        DiffStep::Move { from, to } => format!("move {from} to {to}"),
        DiffStep::Update { at, row } => format!("update {at}: {} {}", row.id, row.completed),
    }
}

#[test]
fn a_list_is_told_as_the_steps_by_which_it_changed() {
    let store = memory_store();
    store.commit([todo("b"), todo("d")]).unwrap();
    let by_state = Todo::select().order_by(Todo::completed);
    let told: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let notes = Arc::clone(&told);
    let _subscription = store.query_db(by_state).subscribe_diff(move |diff| {
        notes.lock().unwrap().push(diff.steps.iter().map(describe).collect());
    });
    store.commit([todo("a"), todo("c")]).unwrap();
    store.commit(TodoCompleted { id: "b".into() }).unwrap();
    store.commit(TodoCompleted { id: "d".into() }).unwrap();
    let told = told.lock().unwrap();
    let expected: [&[&str]; 4] = [
        &["insert b at 0", "insert d at 1"],
        &["insert a at 0", "insert c at 2"],
        &["move 1 to 3", "update 3: b true"],
        &["move 2 to 3", "update 3: d true"],
    ];
    assert_eq!(*told, expected, "rows with equal states come in the order of their keys");
}

/// Follows a list by its steps, and describes them.
fn told(live: &LiveQuery<Rows<Todo>>) -> (Arc<Mutex<Vec<Vec<String>>>>, Subscription) {
    let told: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let notes = Arc::clone(&told);
    let subscription = live.subscribe_diff(move |diff| {
        notes.lock().unwrap().push(diff.steps.iter().map(describe).collect());
    });
    (told, subscription)
}

#[test]
fn steps_stay_few_whatever_came_before() {
    let store = memory_store();
    let (told, _subscription) = told(&store.query_db(Todo::select().order_by(Todo::completed)));
    // More at once than were there, which is read as a whole.
    store.commit((0..300).map(|index| todo(&format!("{index:03}"))).collect::<Vec<_>>()).unwrap();
    assert_eq!(told.lock().unwrap().pop().unwrap().len(), 300);
    for id in ["100", "200"] {
        store.commit(TodoCompleted { id: id.into() }).unwrap();
        let steps = told.lock().unwrap().pop().unwrap();
        assert_eq!(steps.len(), 2, "{steps:?}");
        assert!(steps[0].starts_with("move ") && steps[1].ends_with(" true"), "{steps:?}");
    }
}

#[test]
fn who_has_missed_a_snapshot_is_told_by_steps_nevertheless() {
    let store = memory_store();
    store.commit((0..100).map(|index| todo(&format!("{index:02}"))).collect::<Vec<_>>()).unwrap();
    let live = store.query_db(Todo::select().order_by(Todo::completed));
    // The first of two subscribers commits once more, before the second is called.
    let own = store.clone();
    let _first = live.subscribe(move |rows| {
        if rows.iter().filter(|todo| todo.completed).count() == 1 {
            own.commit(TodoCompleted { id: "70".into() }).unwrap();
        }
    });
    let (told, _second) = told(&live);
    store.commit(TodoCompleted { id: "10".into() }).unwrap();
    let steps = told.lock().unwrap().iter().skip(1).flatten().cloned().collect::<Vec<_>>();
    assert_eq!(
        steps,
        ["move 10 to 99", "update 99: 10 true", "move 69 to 99", "update 99: 70 true"]
    );
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_stream_gives_what_is_new_and_ends_with_the_store() {
    use futures_core::Stream;
    let store = memory_store();
    let stream: LiveStream<u64> = store.query_db(open()).stream();
    let mut stream = pin!(stream);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut poll = || stream.as_mut().poll_next(&mut context);
    assert_eq!(poll(), Poll::Ready(Some(Ok(0))));
    assert_eq!(poll(), Poll::Pending);
    store.commit(todo("a")).unwrap();
    store.commit(todo("b")).unwrap();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "once for all that it was not asked for");
    assert_eq!(poll(), Poll::Ready(Some(Ok(2))), "values in between are passed over");
    assert_eq!(poll(), Poll::Pending);
    store.commit(TodoCompleted { id: "nobody".into() }).unwrap();
    assert_eq!(poll(), Poll::Pending, "the same value is nothing new");
    store.shutdown().unwrap();
    assert_eq!(poll(), Poll::Ready(None));
}

#[test]
fn a_thousand_subscribers_cost_one_evaluation() {
    let store = memory_store();
    let (query, counted) = Counted::new(Sql::new("SELECT * FROM todos"));
    let live = store.query_db(query);
    let called = Arc::new(AtomicUsize::new(0));
    let subscribe = |_| {
        let called = Arc::clone(&called);
        live.subscribe(move |_| {
            called.fetch_add(1, Ordering::Relaxed);
        })
    };
    let _subscriptions: Vec<_> = (0..1_000).map(subscribe).collect();
    store.commit(todo("a")).unwrap();
    assert_eq!((runs(&counted), runs(&called)), (2, 2_000));
}

// Failures and misuse

#[test]
fn a_computed_value_that_panics_harms_nobody_and_is_tried_again() {
    let store = memory_store();
    let count = query_db(Todo::select().count());
    let picky = computed(move |cx| {
        let count = cx.get(&count)?;
        assert_ne!(count, 1, "a panic in a computed value");
        Ok(count)
    });
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let _followed = store.live(&picky).subscribe(move |count| notes.lock().unwrap().push(*count));
    let stream = store.live(&picky).stream();
    store.commit(todo("a")).unwrap();
    store.commit(todo("b")).unwrap();
    assert_eq!(*seen.lock().unwrap(), [0, 2]);
    drop(stream);
    store.shutdown().unwrap();
}

#[test]
fn a_computed_value_cannot_change_the_store() {
    let store = memory_store();
    let own = store.clone();
    let meddling =
        store.live(computed(move |_| Ok(own.commit(todo("a")).unwrap_err().to_string())));
    let count = store.query_db(Todo::select().count());
    let _followed = count.subscribe(|_| ());
    assert_eq!(meddling.get().unwrap(), "a computed value must not change the store");
    store.commit(todo("b")).unwrap();
    assert_eq!(count.get().unwrap(), 1, "others go on");
}

#[test]
fn a_query_that_could_not_be_answered_at_a_bad_moment_is_asked_again() {
    let slot: Arc<Mutex<Option<LiveQuery<u64>>>> = Arc::default();
    let asked = Arc::clone(&slot);
    let schema = Schema::builder()
        .table::<Todo>()
        .event(move |event: crate::app::TodoCreated, _| {
            if let Some(live) = &*asked.lock().unwrap() {
                // Nobody should. What fails of it is not to stay so.
                let _ = live.get();
            }
            Todo::insert(Todo { id: event.id, text: event.text, completed: false })
        })
        .build()
        .unwrap();
    let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
    let (fresh, told) = (store.query_db(Todo::select().count()), store.query_db(open()));
    let _followed = told.subscribe(|_| ());
    for (live, count) in [(fresh, 1), (told, 2)] {
        *slot.lock().unwrap() = Some(live.clone());
        store.commit(todo(&count.to_string())).unwrap();
        *slot.lock().unwrap() = None;
        assert_eq!(live.get().unwrap(), count);
    }
}

/// A row that is in memory only.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "cursors", scope = "memory")]
struct Cursor {
    #[column(primary_key)]
    id: i64,
    place: i64,
}

/// A cursor goes through places, in one event.
#[derive(Event, serde::Serialize, serde::Deserialize)]
#[event(name = "Went", client_only)]
struct Went(Vec<i64>);

#[test]
fn a_row_that_changes_several_times_at_once_is_one_change() {
    let schema = Schema::builder()
        .table::<Cursor>()
        .event(|Went(places): Went, _| {
            let at = |place| Cursor::insert(Cursor { id: 1, place }).or_replace();
            places.into_iter().map(at).collect::<Vec<_>>()
        })
        .build()
        .unwrap();
    let store = Store::open(schema, "test", MemoryAdapter::new()).unwrap();
    let at = |place: i64| store.query_db(Cursor::select().filter(Cursor::place.eq(place)).count());
    let (first, second, third) = (at(1), at(2), at(3));
    let _followed = [first.subscribe(|_| ()), second.subscribe(|_| ()), third.subscribe(|_| ())];
    let counts = || [&first, &second, &third].map(|live| live.get().unwrap());
    store.commit(Went(vec![1, 2, 1])).unwrap();
    assert_eq!(counts(), [1, 0, 0]);
    store.commit(Went(vec![2, 1, 3, 2, 3])).unwrap();
    assert_eq!(counts(), [0, 0, 1]);
    store.commit(Went(vec![2, 3])).unwrap();
    assert_eq!(counts(), [0, 0, 1]);
}

/// A table whose first row is what its type says, and whose others are not.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "settings")]
struct Setting {
    #[column(primary_key)]
    id: i64,
    value: Json<i64>,
}

#[derive(Event, serde::Serialize, serde::Deserialize)]
#[event(name = "v1.Set")]
struct WasSet(i64, serde_json::Value);

/// It is gone.
#[derive(Event, serde::Serialize, serde::Deserialize)]
#[event(name = "v1.Unset")]
struct Unset(i64);

fn settings() -> Schema {
    Schema::builder()
        .table::<Setting>()
        .event(|Unset(id): Unset, _| Setting::delete().filter(Setting::id.eq(id)))
        .event(|WasSet(id, value): WasSet, _| {
            let table = Setting::definition().unwrap();
            let values = [("id".into(), id.into()), ("value".into(), value.to_string().into())];
            livestore::TableWrite::insert(&table, values)
                .map_err(livestore::MaterializeError::failed)
        })
        .build()
        .unwrap()
}

#[test]
fn a_row_that_is_not_shown_may_be_unreadable() {
    let store = Store::open(settings(), "test", MemoryAdapter::new()).unwrap();
    let first = store.query_db(Setting::select().order_by(Setting::id).first());
    let all = store.query_db(Setting::select());
    let _followed = (first.subscribe(|_| ()), all.subscribe(|_| ()));
    store.commit(WasSet(2, 20.into())).unwrap();
    store.commit(WasSet(3, "no number".into())).unwrap();
    store.commit(WasSet(1, 10.into())).unwrap();
    assert_eq!(first.get().unwrap().unwrap().value, Json(10));
    assert!(all.get().is_err());
}

#[test]
fn a_list_that_failed_halfway_is_told_by_steps_that_lead_to_it() {
    let store = Store::open(settings(), "test", MemoryAdapter::new()).unwrap();
    let all = store.query_db(Setting::select());
    let patched: Arc<Mutex<Vec<Arc<Setting>>>> = Arc::default();
    let list = Arc::clone(&patched);
    let _followed = all.subscribe_diff(move |diff| {
        let mut list = list.lock().unwrap();
        diff.steps.iter().for_each(|step| step.apply(&mut list));
    });
    store.commit([WasSet(1, 10.into()), WasSet(2, 20.into())]).unwrap();
    // Of the rows that change, the first is looked at before the second turns out to be unreadable.
    store.commit([WasSet(3, 30.into()), WasSet(4, "no number".into())]).unwrap();
    assert!(all.get().is_err());
    store.commit(Unset(4)).unwrap();
    let rows = all.get().unwrap();
    assert_eq!(rows.len(), 3);
    assert!(patched.lock().unwrap().iter().eq(&rows));
}

/// Something with a text that may be any bytes.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "odds")]
struct Odd {
    #[column(primary_key)]
    id: i64,
    text: String,
}

#[derive(Event, serde::Serialize, serde::Deserialize)]
#[event(name = "v1.OddAdded")]
struct OddAdded(i64, Vec<u8>);

#[test]
fn texts_that_are_no_utf8_are_ordered_as_sqlite_does() {
    let schema = Schema::builder().table::<Odd>().event(|OddAdded(id, bytes): OddAdded, _| {
        let text = livestore::value::<Odd, _>(bytes).to_text();
        (
            Odd::insert(Odd { id, text: String::new() }),
            Odd::update().set(Odd::text, text).filter(Odd::id.eq(id)),
        )
    });
    let store = Store::open(schema.build().unwrap(), "test", MemoryAdapter::new()).unwrap();
    store.commit([OddAdded(1, "é".into()), OddAdded(2, vec![0x80])]).unwrap();
    let ids = store.query_db(Odd::select().columns(Odd::id).order_by(Odd::text));
    let _followed = ids.subscribe(|_| ());
    assert_eq!(ids.get().unwrap().to_vec(), [2, 1]);
    store.commit(OddAdded(3, "ä".into())).unwrap();
    assert_eq!(ids.get().unwrap().to_vec(), [2, 3, 1]);
}

/// Something whose key may be any bytes, joined to what has its number.
#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "strange", index(columns = [number]))]
struct Strange {
    #[column(primary_key)]
    key: String,
    number: i64,
}

#[derive(Event, serde::Serialize, serde::Deserialize)]
#[event(name = "v1.StrangeAdded")]
struct StrangeAdded(Vec<u8>, i64);

#[test]
fn a_row_whose_key_is_no_utf8_is_found_by_what_is_joined_to_it() {
    let schema = Schema::builder()
        .table::<Odd>()
        .table::<Strange>()
        .event(|OddAdded(id, _): OddAdded, _| Odd::insert(Odd { id, text: String::new() }))
        .event(|StrangeAdded(key, number): StrangeAdded, _| {
            let key = livestore::value::<Strange, _>(key).to_text();
            (
                Strange::insert(Strange { key: "new".into(), number }),
                Strange::update().set(Strange::key, key).filter(Strange::key.eq("new")),
            )
        });
    let store = Store::open(schema.build().unwrap(), "test", MemoryAdapter::new()).unwrap();
    store.commit([StrangeAdded(vec![0x80], 1), StrangeAdded("b".into(), 1)]).unwrap();
    let pairs = Strange::select().join::<Odd>(Odd::id.eq(Strange::number)).columns(Odd::id);
    let live = store.query_db(pairs.clone());
    let _followed = live.subscribe(|_| ());
    store.commit(OddAdded(1, Vec::new())).unwrap();
    assert_eq!(live.get().unwrap().to_vec(), [1, 1]);
    assert_eq!(store.query(pairs).unwrap().to_vec(), [1, 1]);
}

#[test]
fn a_batch_is_told_as_one() {
    let store = memory_store();
    let (first, second) = (signal(0), signal(0));
    let (one, other) = (first.clone(), second.clone());
    let sum = store.live(computed(move |cx| Ok(cx.get(&one)? + cx.get(&other)?)));
    let seen: Arc<Mutex<Vec<i32>>> = Arc::default();
    let notes = Arc::clone(&seen);
    let _followed = sum.subscribe(move |sum| notes.lock().unwrap().push(*sum));
    store.batch(|| {
        store.signal(&first).set(1);
        store.signal(&second).set(2);
    });
    assert_eq!(*seen.lock().unwrap(), [0, 3]);
}

// Precision

/// Explains a query as one line for each of its tables.
fn explained<Q: Watch>(store: &Store, query: Q) -> Vec<String> {
    let explanation = store.query_db(query).explain().unwrap();
    let text = explanation.to_string();
    text.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn explain_says_what_concerns_a_query() {
    let store = memory_store();
    let todos = "or id, text, completed changes";
    assert_eq!(
        explained(&store, Todo::select().filter(Todo::id.eq("a")).first()),
        [
            "run again".to_owned(),
            format!(
                "if a row of todos is concerned where id = 'a': when it comes or goes, {todos}"
            ),
        ]
    );
    assert_eq!(
        explained(&store, all().filter(Todo::completed.eq(true)).limit(10)),
        [
            "maintained row by row".to_owned(),
            format!(
                "if a row of todos is concerned where completed = 1: when it comes or goes, {todos}"
            ),
        ]
    );
    assert_eq!(
        explained(&store, Sql::new("SELECT by FROM seats WHERE by > 'a'")),
        ["run again", "if a row of seats is concerned: when it comes or goes, or by changes"]
    );
    assert_eq!(
        explained(&store, Sql::new("SELECT count(*) FROM seats")),
        ["run again", "if a row of seats is concerned"]
    );
    let joined = Seat::select().join::<Todo>(Todo::id.eq(Seat::by)).filter(Seat::by.eq("ann"));
    let explanation = store.query_db(joined).explain().unwrap();
    let conditions: Vec<_> =
        explanation.tables.iter().map(|table| table.condition.as_deref()).collect();
    assert_eq!(conditions, [Some("by = 'ann'"), Some("id = 'ann'")], "by the column that is equal");
    assert!(explanation.tables.iter().all(|table| table.precision == Precision::Predicate));
    let never = all().filter(Todo::id.is_in(Vec::<String>::new()));
    assert_eq!(
        store.query_db(never).explain().unwrap().tables[0].condition.as_deref(),
        Some("never")
    );
}

/// How a query is brought up to date when a row has changed for the second time: what is kept of groups
/// begins with the first.
fn outcome<Q: Watch>(query: Q) -> (RefreshOutcome, Q::Output) {
    let store = memory_store();
    let seat = |seat, by: &str| SeatTaken { seat, by: by.into() };
    store.commit([todo("a"), todo("b")]).unwrap();
    store.commit([seat(1, "a"), seat(2, "c")]).unwrap();
    let live = store.query_db(query);
    let _followed = live.subscribe(|_| ());
    store.commit(seat(3, "b")).unwrap();
    store.commit(todo("0")).unwrap();
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    store.commit(todo("c")).unwrap();
    let last = store.explain_refresh().pop().unwrap();
    (last.queries[0].outcome, live.get().unwrap())
}

#[test]
fn groups_and_joins_are_maintained() {
    use RefreshOutcome::{Maintained, Ran};
    let groups = || {
        let columns = (Todo::completed, count_rows(), Todo::id.max());
        Todo::select().columns(columns).group_by(Todo::completed)
    };
    let (how, rows) = outcome(groups());
    let c = || Some("c".to_owned());
    assert_eq!(rows.to_vec(), [(false, 3, c()), (true, 1, Some("a".into()))]);
    assert_eq!(how, Maintained);
    let (how, rows) = outcome(groups().having(count_rows().gt(1)));
    assert_eq!((how, rows.to_vec()), (Maintained, vec![(false, 3, c())]));
    let longest = Todo::text.length().max();
    let (how, longest) = outcome(Todo::select().columns((longest, count_rows())).first_or_error());
    assert_eq!((how, *longest), (Maintained, (Some(9), 4)));
    let (how, states) = outcome(Todo::select().columns(Todo::completed).distinct());
    assert_eq!((how, states.to_vec()), (Maintained, vec![false, true]));

    let pairs = Seat::select().join::<Todo>(Todo::id.eq(Seat::by));
    let (how, pairs) = outcome(pairs.columns((Seat::seat, Todo::id)));
    let pair = |seat, id: &str| (seat, id.to_owned());
    assert_eq!(pairs.to_vec(), [pair(1, "a"), pair(2, "c"), pair(3, "b")]);
    assert_eq!(how, Maintained);
    let free = Todo::select().left_join::<Seat>(Todo::id.eq(Seat::by)).filter(Seat::seat.is_null());
    let (how, free) = outcome(free.columns(Todo::id));
    assert_eq!((how, free.to_vec()), (Maintained, vec!["0".to_owned()]));

    // What depends on the order of the rows, or on more than the rows of these tables.
    let (how, _) = outcome(Todo::select().columns(Todo::id.group_concat(",")));
    assert_eq!(how, Ran);
    let (how, _) = outcome(Todo::select().columns((Todo::completed.to_real()).sum()));
    assert_eq!(how, Ran);
    let seats = Seat::select().columns(count_rows()).scalar();
    let (how, _) = outcome(Todo::select().columns((Todo::id, seats)));
    assert_eq!(how, Ran);
}

#[test]
fn what_does_not_concern_a_query_does_not_run_it() {
    let store = memory_store();
    store.commit([todo("a"), todo("b")]).unwrap();
    let (names, counted) = Counted::new(Sql::new("SELECT text FROM todos"));
    let _followed = store.query_db(names).subscribe(|_| ());
    let (point, other) = (store.query_db(point("a")), store.query_db(point("b")));
    let _points = (point.subscribe(|_| ()), other.subscribe(|_| ()));
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    assert_eq!(runs(&counted), 1, "it does not read that column");
    let refresh = store.explain_refresh().pop().unwrap();
    assert_eq!((refresh.considered, refresh.concerned, refresh.total), (2, 1, 1));
    assert!(refresh.queries[0].changed && refresh.queries[0].outcome == RefreshOutcome::Ran);
    assert_eq!((&*refresh.causes[0].table, refresh.causes[0].rows), ("todos", Some(1)));
    assert!(refresh.to_string().starts_with("1 row of todos: 2 considered, 1 concerned"));
    // What is as it was is no change at all.
    store.commit(TodoCompleted { id: "a".into() }).unwrap();
    assert_eq!(store.explain_refresh().pop().unwrap(), refresh);
    store.commit(SeatTaken { seat: 1, by: "ann".into() }).unwrap();
    assert_eq!(store.explain_refresh().pop().unwrap(), refresh, "nobody watches the other table");
}

fn point(id: &str) -> livestore::First<livestore::Select<Todo>> {
    Todo::select().filter(Todo::id.eq(id)).first()
}

#[test]
fn subscribers_that_never_settle_are_warned_of() {
    let store = memory_store();
    let number = signal(0);
    let (read, written) = (number.clone(), store.signal(&number));
    let followed = store.live(computed(move |cx| cx.get(&read)));
    let _subscription = followed.subscribe(move |value| written.set(value + 1));
    // That told the first value, which made the second, and so on.
    let warnings = store.warnings();
    let [Warning::SubscribersUnsettled { subscribers: 1 }] = *warnings else {
        panic!("{warnings:?}")
    };
    assert!(warnings[0].to_string().contains("keep committing in answer to each other"));
}
