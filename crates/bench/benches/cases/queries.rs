//! Reading the state.

use livestore::prelude::*;
use livestore_bench::app::{Todo, todo};
use livestore_bench::plain::{Plain, PlainEvent};

use crate::commits::memory_store;
use crate::{Bench, Side};

const ROWS: usize = 10_000;

fn filled() -> (Store, Plain, Vec<String>) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    let mut ids = Vec::with_capacity(ROWS);
    for _ in 0..ROWS / 100 {
        let events: Vec<_> = (0..100).map(|_| todo()).collect();
        ids.extend(events.iter().map(|event| event.id.clone()));
        store.commit(events).expect("the commit succeeds");
        let events: Vec<_> = (0..100).map(|_| PlainEvent::new()).collect();
        plain.commit(&events).expect("the commit succeeds");
    }
    (store, plain, ids)
}

pub(crate) fn point(bench: &mut Bench) {
    let (store, plain, ids) = filled();
    let rows = plain.list().expect("the query runs");
    // Jump about, so that not every read finds its page where the last one left it.
    let (mut ours, mut theirs) = (0, 0);
    let step = |at: &mut usize| {
        *at = (*at + 7_919) % ROWS;
        *at
    };
    bench.compare(
        "query_point",
        "us",
        Side::new(
            || ids[step(&mut ours)].as_str(),
            |id| {
                let row = store.query(Todo::select().filter(Todo::id.eq(id)).first());
                assert!(row.expect("the query runs").is_some());
            },
        ),
        Side::new(
            || rows[step(&mut theirs)].0.as_str(),
            |id| drop(std::hint::black_box(plain.point(id).expect("the query runs"))),
        ),
    );
}

pub(crate) fn list_of_10k(bench: &mut Bench) {
    let (store, plain, _) = filled();
    bench.compare(
        "query_list_10k",
        "ms",
        Side::new(
            || (),
            |()| {
                let rows = store.query(Todo::select().order_by(Todo::id)).expect("the query runs");
                assert_eq!(rows.len(), ROWS);
            },
        ),
        Side::new(|| (), |()| assert_eq!(plain.list().expect("the query runs").len(), ROWS)),
    );
}
