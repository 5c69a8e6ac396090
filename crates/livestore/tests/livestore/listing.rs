//! Listing the log: each event once, in order, however much there is and whatever happens meanwhile.

use std::collections::{HashMap, HashSet};

use livestore::inspect::Inspector;
use livestore::prelude::*;
use livestore::{GlobalSeqNum, LoggedEvent};

use crate::app::todo;
use crate::backend::{Net, OnTheWire, fact};
use crate::health::sample::{noted, schema};

/// More than is read at a time.
const MANY: usize = 700;

#[test]
fn a_tail_longer_than_a_page_is_numbered_in_one_go() {
    let store = Store::open(schema(), "test", MemoryAdapter::new()).unwrap();
    let mut expected = Vec::new();
    let mut global = 0;
    // Client-only groups behind synced ones; groups that no page holds whole.
    for number in 0..MANY / 7 {
        let synced = (0..5).map(|part| todo(&format!("{number}-{part}"))).collect::<Vec<_>>();
        store.commit(synced).unwrap();
        store.commit([noted("a"), noted("b")]).unwrap();
        expected.extend((1..=5).map(|part| format!("e{}", global + part)));
        global += 5;
        expected.extend([format!("e{global}.1"), format!("e{global}.2")]);
    }
    let seqs = |store: &Store| -> Vec<String> {
        store.events().map(|event| event.unwrap().seq.to_string()).collect()
    };
    assert_eq!(seqs(&store), expected);
    let since = store.events().since(GlobalSeqNum(3));
    assert_eq!(since.count(), MANY, "all of it is pending");
}

#[test]
fn what_is_committed_meanwhile_is_not_chased() {
    let store = Store::open(schema(), "test", MemoryAdapter::new()).unwrap();
    for number in 0..MANY {
        store.commit(todo(&format!("{number}"))).unwrap();
    }
    let listed = store.events().inspect(|_| drop(store.commit(todo("one more")).unwrap())).count();
    assert_eq!(listed, MANY);
    assert_eq!(store.events().count(), 2 * MANY);
}

#[test]
fn a_tail_that_is_confirmed_meanwhile_is_listed_once_and_by_its_final_places() {
    let mut net = Net::on_disk(schema(), 1);
    net.commit(0, todo("first"));
    net.settle();
    net.clients[0].is_reachable = false;
    net.cut(0, OnTheWire::Lost);
    for number in 0..MANY / 5 {
        // Some of these groups begin on one page and end on the next.
        net.commit(0, [0, 1, 2, 3, 4].map(|part| todo(&format!("{number}-{part}"))));
    }
    let inspector = Inspector::open_file(net.clients[0].file()).unwrap();
    let mut listed: Vec<LoggedEvent> = Vec::new();
    let each = |event: LoggedEvent| {
        listed.push(event);
        if listed.len() == 300 {
            net.elsewhere([fact(todo("theirs"))]);
            net.clients[0].is_reachable = true;
            net.settle();
            net.commit(0, todo("newer"));
        }
        true
    };
    inspector.for_each_event(GlobalSeqNum::ROOT, each).unwrap();
    let ids: HashSet<_> = listed.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), listed.len(), "an event was listed twice");
    let log = net.backend.log();
    let mut places = HashMap::new();
    for confirmed in log {
        let seqs = (confirmed.first.0..).map(GlobalSeqNum);
        places.extend(confirmed.group.events().iter().map(|event| event.id).zip(seqs));
    }
    assert_eq!(places.len(), MANY + 2);
    let missing = places.keys().filter(|id| !ids.contains(id)).count();
    assert_eq!(missing, 0, "events were left out");
    let (mut confirmed, mut pending) = (0, 0);
    for event in &listed {
        if event.confirmed {
            confirmed += 1;
            assert_eq!(event.seq.global, places[&event.id]);
        } else {
            pending += 1;
            // It was pending when it was listed, and is not what came afterwards.
            assert!(places.contains_key(&event.id) && event.seq.global.0 <= MANY as u64 + 1);
        }
    }
    assert_eq!(confirmed + pending, MANY + 2);
    assert!(
        confirmed > MANY / 4,
        "{confirmed} events, since no more than a page is read at a time"
    );
}
