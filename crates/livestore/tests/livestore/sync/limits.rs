//! How many rows an event may change: the same everywhere, whatever comes beside it.

use livestore::prelude::*;
use livestore::replica::RebuildProgress;
use serde::{Deserialize, Serialize};

use crate::backend::{Net, fact};

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "cells")]
struct Cell {
    #[column(primary_key)]
    id: i64,
    value: i64,
}

/// Makes some cells.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.CellsMade")]
struct CellsMade {
    count: i64,
}

/// Writes to all cells, and again.
#[derive(Event, Serialize, Deserialize, Clone, Debug)]
#[event(name = "v1.CellsWritten")]
struct CellsWritten {
    times: i64,
}

fn cells(materializer_version: u64) -> Schema {
    Schema::builder()
        .table::<Cell>()
        .event(|e: CellsMade, _| {
            (0..e.count).map(|id| Cell::insert(Cell { id, value: 0 })).collect::<Vec<_>>()
        })
        .event(|e: CellsWritten, _| {
            (1..=e.times).map(|value| Cell::update().set(Cell::value, value)).collect::<Vec<_>>()
        })
        .materializer_version(materializer_version)
        .build()
        .unwrap()
}

#[test]
fn how_much_an_event_may_change_does_not_depend_on_what_comes_in_the_same_page() {
    let mut net = Net::new(cells(1), 2);
    net.elsewhere([fact(CellsMade { count: 1_000 })]);
    // Each of these is within the limit of a million changes; together they are not.
    net.elsewhere([fact(CellsWritten { times: 501 })]);
    net.elsewhere([fact(CellsWritten { times: 502 })]);
    net.clients[1].is_reachable = false;
    net.settle();
    net.backend.page_events = 1;
    net.clients[1].is_reachable = true;
    net.settle();
    for at in 0..2 {
        let status = net.status(at);
        assert_eq!((status.confirmed_head.0, status.quarantined), (3, 0), "client {at}");
        let written = Cell::select().filter(Cell::value.eq(502)).count();
        assert_eq!(
            net.replica(at).connection().read().query(&written).unwrap(),
            1_000,
            "client {at}"
        );
    }
    net.converge();
}

#[test]
fn an_event_that_changes_too_much_is_skipped_wherever_it_is_applied() {
    let mut net = Net::on_disk(cells(1), 1);
    net.elsewhere((0..1_500).map(|_| fact(CellsMade { count: 0 })));
    net.elsewhere([fact(CellsMade { count: 1_000 })]);
    net.elsewhere([fact(CellsWritten { times: 3 })]);
    net.elsewhere([fact(CellsWritten { times: 1_001 })]);
    net.elsewhere([fact(CellsWritten { times: 5 })]);
    net.settle();
    assert_eq!(net.status(0).quarantined, 1);
    let state = net.replica(0).state_hash().unwrap();
    // A rebuild does not capture what small events change, and neither does a replay. The large one
    // comes in the second batch, which begins anew then.
    net.use_schema(cells(2));
    let mut done = Vec::new();
    net.reopen(0, &mut |progress| {
        if let RebuildProgress::Derived { done: events, .. } = progress {
            done.push(events);
        }
    });
    assert_eq!(done[..3], [0, 1_000, 1_000]);
    let status = net.status(0);
    assert_eq!((status.confirmed_head.0, status.quarantined), (1_504, 1));
    assert_eq!(net.replica(0).state_hash().unwrap(), state);
    let written = Cell::select().filter(Cell::value.eq(5)).count();
    assert_eq!(net.replica(0).connection().read().query(&written).unwrap(), 1_000);
    // From then on changes can be undone.
    net.commit(0, CellsWritten { times: 7 });
    net.elsewhere([fact(CellsWritten { times: 6 })]);
    net.converge();
}
