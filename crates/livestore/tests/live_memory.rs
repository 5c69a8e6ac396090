//! What live queries take of memory.
//!
//! A process of its own, whose allocations are counted.

#![allow(missing_docs)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use livestore::prelude::*;
use serde::{Deserialize, Serialize};

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// Counts the bytes that are allocated.
struct Counting;

// SAFETY: everything is left to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps what this function's contract asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocated() -> usize {
    ALLOCATED.load(Ordering::Relaxed)
}

/// Most bytes that a live point query takes whose subscriber waits.
const PER_QUERY: usize = 2_048;
const QUERIES: i64 = 20_000;
/// Subscriptions that begin and end, unless `LIVESTORE_CYCLES` says how many.
const CYCLES: usize = 20_000;
/// What caches and tables may differ by, in bytes.
const SLACK: usize = 16_384;

#[derive(Event, Serialize, Deserialize, Debug)]
#[event(name = "v1.ItemMoved")]
struct ItemMoved {
    id: i64,
    place: i64,
}

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "items")]
struct Item {
    #[column(primary_key)]
    id: i64,
    place: i64,
    text: String,
}

fn store() -> Store {
    let schema = Schema::builder()
        .table::<Item>()
        .event(|ItemMoved { id, place }: ItemMoved, _| {
            Item::insert(Item { id, place, text: "milk, bread and radishes".into() }).or_replace()
        })
        .build()
        .expect("the schema is valid");
    let store = Store::open(schema, "memory", MemoryAdapter::new()).expect("it opens");
    for id in 0..1_000 {
        drop(store.commit(ItemMoved { id, place: id }).expect("it succeeds"));
    }
    store
}

fn point(store: &Store, id: i64) -> LiveQuery<Option<std::sync::Arc<Item>>> {
    store.query_db(Item::select().filter(Item::id.eq(id)).first())
}

/// One test, since what others allocate at the same time would be counted too.
#[test]
fn live_queries_take_little_memory_and_give_all_of_it_back() {
    let store = store();
    let commit = |place: i64| {
        drop(store.commit(ItemMoved { id: place % 1_000, place }).expect("it succeeds"));
    };
    // Tables that grow by doubling have grown before, and the log of refreshes is full.
    let cycle = |count: usize| {
        for index in 0..count as i64 {
            let live = point(&store, index % 997);
            let list = store.query_db(Item::select().filter(Item::place.lt(index % 50)));
            let subscriptions = [live.subscribe(|_| ()), list.subscribe(|_| ())];
            if index % 64 == 0 {
                commit(index);
            }
            drop(subscriptions);
        }
    };
    cycle(8_000);

    let before = allocated();
    let kept: Vec<Subscription> =
        (0..QUERIES).map(|id| point(&store, id).subscribe(|_| ())).collect();
    let per_query = (allocated() - before) / kept.len();
    println!("{per_query} bytes for a live point query");
    assert!(per_query <= PER_QUERY, "{per_query} bytes for a live point query");
    drop(kept);
    // The tables that grew stay as long as they are; they serve the next.
    let settled = allocated();

    let cycles = std::env::var("LIVESTORE_CYCLES").ok();
    let cycles = cycles.map_or(CYCLES, |cycles| cycles.parse().expect("a number"));
    cycle(cycles);
    // What a commit leaves in the log is SQLite's, which is not counted here.
    let gained = allocated().saturating_sub(settled);
    println!("{gained} bytes gained in {cycles} cycles");
    assert!(gained <= SLACK, "{gained} bytes gained in {cycles} cycles");
}
