//! Committing.

use std::time::Instant;

use livestore::prelude::*;
use livestore_bench::app::{schema, todo};
use livestore_bench::plain::{Plain, PlainEvent};
use livestore_bench::report::median;

use crate::{Bench, Side};

const COMMITS: usize = 10_000;

pub(crate) fn memory_store() -> Store {
    Store::open(schema(), "bench", MemoryAdapter::new()).expect("a memory store opens")
}

pub(crate) fn one_in_memory(bench: &mut Bench) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    bench.compare(
        "commit_one_memory",
        "us",
        Side::new(todo, |event| drop(store.commit(event).expect("the commit succeeds"))),
        Side::new(PlainEvent::new, |event| plain.commit(&[event]).expect("the commit succeeds")),
    );
}

pub(crate) fn one_in_a_file(bench: &mut Bench) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let adapter = FileAdapter::new(folder.path());
    let store = Store::open(schema(), "bench", adapter).expect("a file store opens");
    let mut plain = Plain::file(&folder.path().join("plain.db")).expect("a database opens");
    bench.compare(
        "commit_one_file_normal",
        "us",
        Side::new(todo, |event| drop(store.commit(event).expect("the commit succeeds"))),
        Side::new(PlainEvent::new, |event| plain.commit(&[event]).expect("the commit succeeds")),
    );
}

pub(crate) fn batch_of_1000(bench: &mut Bench) {
    let store = memory_store();
    let mut plain = Plain::memory().expect("a memory database opens");
    bench.compare(
        "commit_batch_1000",
        "ms",
        Side::new(
            || (0..1_000).map(|_| todo()).collect::<Vec<_>>(),
            |events| drop(store.commit(events).expect("the commit succeeds")),
        ),
        Side::new(
            || (0..1_000).map(|_| PlainEvent::new()).collect::<Vec<_>>(),
            |events| plain.commit(&events).expect("the commit succeeds"),
        ),
    );
}

/// The last tenth of a loop of commits, beside its first: a commit must not get slower by what is
/// pending already.
pub(crate) fn growth_over_10k(bench: &mut Bench) {
    let loops = if bench.quick { 10 } else { 40 };
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for _ in 0..loops {
        let store = memory_store();
        for commit in 0..COMMITS {
            let event = todo();
            let start = Instant::now();
            drop(store.commit(event).expect("the commit succeeds"));
            let time = start.elapsed();
            match commit * 10 / COMMITS {
                0 => first.push(time),
                9 => last.push(time),
                _ => {}
            }
        }
    }
    bench.report.add("commit_loop_10k_growth", median(last), "us", median(first));
}
