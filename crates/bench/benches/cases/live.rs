//! Live queries: what a change costs by how much is watched.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use livestore::prelude::*;
use livestore::{DiffStep, Watch, alias};
use livestore_bench::app::{Item, ItemMoved, item_schema};

use crate::{Bench, Side};

/// Rows of the table whose points and ranges are watched.
const ROWS: i64 = 100_000;
const SORTED: i64 = 100_000;

fn filled(rows: i64) -> Store {
    let store = Store::open(item_schema(), "bench", MemoryAdapter::new()).expect("it opens");
    for from in (0..rows).step_by(1_000) {
        let events: Vec<_> = (from..rows.min(from + 1_000)).map(ItemMoved::first).collect();
        store.commit(events).expect("the commit succeeds");
    }
    store
}

/// A store with so many live point queries, each of another row, and the one that changes is among
/// them.
fn with_points(count: i64) -> (Store, Vec<Subscription>, Arc<AtomicUsize>) {
    let store = filled(ROWS);
    let calls = Arc::new(AtomicUsize::new(0));
    let subscriptions = (0..count).map(|id| {
        let calls = Arc::clone(&calls);
        let live = store.query_db(Item::select().filter(Item::id.eq(id)).first());
        live.subscribe(move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
        })
    });
    let subscriptions = subscriptions.collect();
    (store, subscriptions, calls)
}

fn move_one(place: &mut i64) -> ItemMoved {
    *place += 1;
    ItemMoved { id: 0, place: *place }
}

fn points(bench: &mut Bench, name: &'static str, count: i64) {
    let (many, _kept, calls) = with_points(count);
    let (one, _kept_too, _) = with_points(1);
    let (mut place, mut other) = (ROWS, ROWS);
    let before = calls.load(Ordering::Relaxed);
    let made = std::cell::Cell::new(0);
    bench.compare(
        name,
        "us",
        Side::new(
            || move_one(&mut place),
            |event| {
                made.set(made.get() + 1);
                drop(many.commit(event).expect("the commit succeeds"));
            },
        ),
        Side::new(
            || move_one(&mut other),
            |event| drop(one.commit(event).expect("the commit succeeds")),
        ),
    );
    assert_eq!(calls.load(Ordering::Relaxed) - before, made.get(), "one of them is called");
}

pub(crate) fn point_1000(bench: &mut Bench) {
    points(bench, "live_point_1000", 1_000);
}

pub(crate) fn point_100000(bench: &mut Bench) {
    points(bench, "live_point_100000", 100_000);
}

/// A thousand ranges of places, of which the row that moves is within five; beside one point.
pub(crate) fn range_1000(bench: &mut Bench) {
    let ranged = filled(ROWS);
    let calls = Arc::new(AtomicUsize::new(0));
    // The row moves within the first five, and the others lie where no row is.
    let ranges = (0..1_000).map(|index| {
        let low = if index < 5 { 1 << 40 } else { -index * 100 };
        let high = if index < 5 { (1 << 41) + index } else { low + 99 };
        let select = Item::select().filter(Item::place.between(low, high));
        let calls = Arc::clone(&calls);
        let live = ranged.query_db(select);
        live.subscribe(move |_| {
            calls.fetch_add(1, Ordering::Relaxed);
        })
    });
    let _kept: Vec<_> = ranges.collect();
    let (one, _kept_too, _) = with_points(1);
    let (mut place, mut other) = (1 << 40, ROWS);
    ranged.commit(move_one(&mut place)).expect("the commit succeeds");
    let before = calls.load(Ordering::Relaxed);
    let made = std::cell::Cell::new(0);
    bench.compare(
        "live_range_1000",
        "us",
        Side::new(
            || move_one(&mut place),
            |event| {
                made.set(made.get() + 1);
                drop(ranged.commit(event).expect("the commit succeeds"));
            },
        ),
        Side::new(
            || move_one(&mut other),
            |event| drop(one.commit(event).expect("the commit succeeds")),
        ),
    );
    assert_eq!(calls.load(Ordering::Relaxed) - before, 5 * made.get(), "five of them are called");
}

/// One row of a sorted list of 100,000 moves, and somebody takes the steps of it; beside the same
/// commit that nobody watches.
pub(crate) fn sorted_100k_update(bench: &mut Bench) {
    let watched = filled(SORTED);
    let steps: Arc<Mutex<Vec<DiffStep<Item>>>> = Arc::default();
    let taken = Arc::clone(&steps);
    let live = watched.query_db(Item::select().order_by(Item::place));
    let _subscription = live.subscribe_diff(move |diff| {
        taken.lock().expect("nobody panics with it").extend(diff.steps.iter().cloned());
    });
    let plain = filled(SORTED);
    let spread = |step: &mut i64| {
        *step += 1;
        ItemMoved { id: (*step * 7_919) % SORTED, place: (*step * 104_729) % SORTED }
    };
    let (mut step, mut other) = (0, 0);
    bench.compare(
        "live_sorted_100k_update",
        "us",
        Side::new(
            || spread(&mut step),
            |event| drop(watched.commit(event).expect("the commit succeeds")),
        ),
        Side::new(
            || spread(&mut other),
            |event| drop(plain.commit(event).expect("the commit succeeds")),
        ),
    );
    let mut patched = Vec::new();
    steps.lock().expect("nobody panics with it").iter().for_each(|step| step.apply(&mut patched));
    let fresh = watched.query(Item::select().order_by(Item::place)).expect("the query runs");
    assert!(patched.iter().eq(fresh.iter()), "the list that takes steps is the list");
}

/// A thousand subscribers of one query, beside one subscriber.
pub(crate) fn subscribers_1000(bench: &mut Bench) {
    let subscribed = |count: usize| {
        let store = filled(ROWS);
        let live = store.query_db(Item::select().filter(Item::place.lt(10)).order_by(Item::place));
        let subscriptions: Vec<_> = (0..count).map(|_| live.subscribe(|_| ())).collect();
        (store, subscriptions)
    };
    let ((many, _kept), (one, _kept_too)) = (subscribed(1_000), subscribed(1));
    let event = |step: &mut i64| {
        *step += 1;
        ItemMoved { id: 0, place: *step % 2 }
    };
    let (mut step, mut other) = (0, 0);
    bench.compare(
        "live_subscribers_1000",
        "us",
        Side::new(|| event(&mut step), |event| drop(many.commit(event).expect("it succeeds"))),
        Side::new(|| event(&mut other), |event| drop(one.commit(event).expect("it succeeds"))),
    );
    let evaluations = many.explain_refresh().iter().map(|refresh| refresh.total).max();
    assert_eq!(evaluations, Some(1), "one evaluation for all");
}

/// A query over a table of 100,000 rows of which one changes, beside the same commit that nobody
/// watches.
fn followed<T>(bench: &mut Bench, name: &'static str, query: impl Watch<Output = T>)
where
    T: Clone + PartialEq + Send + Sync + 'static,
{
    let (watched, plain) = (filled(ROWS), filled(ROWS));
    let live = watched.query_db(query.clone());
    let _followed = live.subscribe(|_| ());
    let event = |step: &mut i64| {
        *step += 1;
        ItemMoved { id: 7, place: *step % 40_000 }
    };
    let (mut step, mut other) = (0, 0);
    bench.compare(
        name,
        "us",
        Side::new(|| event(&mut step), |event| drop(watched.commit(event).expect("it succeeds"))),
        Side::new(|| event(&mut other), |event| drop(plain.commit(event).expect("it succeeds"))),
    );
    let fresh = watched.query(query).expect("the query runs");
    assert!(live.get().is_ok_and(|live| live == fresh), "it is what the query finds");
}

/// Groups, as a selection, which is maintained.
pub(crate) fn grouped_100k(bench: &mut Bench) {
    let thousand = || Item::place / 1_000;
    let sums = (thousand(), count_rows(), Item::place.sum(), Item::id.max());
    followed(bench, "live_grouped_100k", Item::select().columns(sums).group_by(thousand()));
}

/// Groups, as text, which is run again.
pub(crate) fn grouped_text_100k(bench: &mut Bench) {
    let sql = "SELECT place / 1000, count(*), sum(place), max(id) FROM items GROUP BY 1";
    followed(bench, "live_grouped_text_100k", Sql::new(sql));
}

alias!(struct Other = Item);

/// A join by key of which 50 rows are asked for.
pub(crate) fn joined_50(bench: &mut Bench) {
    let pairs = Item::select().join::<Other>(Item::place.eq(Item::id.of::<Other>()));
    let pairs = pairs.columns((Item::id, Item::text.of::<Other>()));
    followed(bench, "live_joined_50", pairs.filter(Item::id.lt(50)));
}

/// A join by key of which 10,000 rows are asked for.
pub(crate) fn joined_10k(bench: &mut Bench) {
    let pairs = Item::select().join::<Other>(Item::place.eq(Item::id.of::<Other>()));
    let pairs = pairs.columns((Item::id, Item::text.of::<Other>()));
    followed(bench, "live_joined_10k", pairs.filter(Item::id.lt(10_000)).order_by(Item::id));
}
