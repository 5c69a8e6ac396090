//! How safe a commit is, and how to find out later.

use std::time::Duration;

use livestore::prelude::*;
use livestore::{Durability, ReceiptError, StoreOptions, Unavailable};

use crate::app::{SeatTaken, block_on, schema, todo};
use crate::backend::{Served, fact, foreign_group};

fn open(folder: &tempfile::TempDir, options: StoreOptions) -> Store {
    Store::open_with(schema(), "safe", FileAdapter::new(folder.path()), options).unwrap()
}

#[test]
fn a_commit_can_ask_for_a_sync_of_the_disk_and_wait_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, StoreOptions::new());
    let normal = store.commit(todo("a")).unwrap();
    let full = store.commit_at(Durability::Full, todo("b")).unwrap();
    assert_eq!(block_on(full.persisted()).unwrap(), Durability::Full);
    assert_eq!(block_on(normal.persisted()).unwrap(), Durability::Normal, "nobody asked for more");
}

#[test]
fn a_store_can_ask_for_it_for_all_commits() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, StoreOptions::new().durability(Durability::Full));
    let receipts: Vec<_> =
        (0..100).map(|id| store.commit(todo(&id.to_string())).unwrap()).collect();
    for receipt in &receipts {
        assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Full);
    }
    let normal = store.commit_at(Durability::Normal, todo("quick")).unwrap();
    assert_eq!(block_on(normal.persisted()).unwrap(), Durability::Normal);
}

#[test]
fn what_lives_in_memory_says_so_whatever_was_asked_for() {
    let options = StoreOptions::new().durability(Durability::Full);
    let store = Store::open_with(schema(), "m", MemoryAdapter::new(), options).unwrap();
    let receipt = store.commit(todo("a")).unwrap();
    assert_eq!(block_on(receipt.persisted()).unwrap(), Durability::Memory);
}

#[test]
fn a_receipt_is_found_again_by_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, StoreOptions::new());
    let group = store.commit(todo("a")).unwrap().group_id();
    drop(store);

    let backend = Served::new();
    let adapter = FileAdapter::new(folder.path()).sync(backend);
    let store = Store::open(schema(), "safe", adapter).unwrap();
    let receipt = store.receipt(group).unwrap().expect("it is pending");
    assert_eq!(receipt.group_id(), group);
    assert_eq!(block_on(receipt.confirmed()).unwrap().first.0, 1);
    let again = store.receipt(group).unwrap().expect("it is confirmed");
    assert_eq!(block_on(again.confirmed()).unwrap().first.0, 1);
    let nobodys = livestore::GroupId::from_bytes([7; 16]);
    assert!(store.receipt(nobodys).unwrap().is_none());
}

#[test]
fn those_who_wait_are_told_when_the_store_closes() {
    let backend = Served::new();
    backend.set_down(true);
    let store = Store::open(schema(), "m", MemoryAdapter::new().sync(backend)).unwrap();
    let receipt = store.commit(todo("a")).unwrap();
    let waiting = std::thread::spawn(move || block_on(receipt.confirmed()));
    std::thread::sleep(Duration::from_millis(20));
    store.shutdown().unwrap();
    assert_eq!(waiting.join().unwrap().unwrap_err(), ReceiptError::from(Unavailable::Closed));
}

#[test]
fn the_status_and_the_dead_letters_are_live() {
    let backend = Served::new();
    backend.set_down(true);
    let store = Store::open(schema(), "m", MemoryAdapter::new().sync(backend.clone())).unwrap();
    let (status, letters) = (store.live_sync_status(), store.live_dead_letters());
    let (sender, seen) = std::sync::mpsc::channel();
    let told = sender.clone();
    let _status = status.subscribe(move |status| {
        _ = told.send((status.pending_groups, status.dead_letters));
    });
    let taken = SeatTaken { seat: 1, by: "ann".into() };
    let receipt = store.commit(taken.clone()).unwrap();
    let mut ids = livestore_core::IdGenerator::new([5; 32]);
    let other = SeatTaken { seat: 1, by: "bob".into() };
    backend.elsewhere(foreign_group(&mut ids, [fact(other)]));
    backend.set_down(false);
    store.retry_now().unwrap();
    let error = block_on(receipt.confirmed()).unwrap_err();
    assert!(matches!(error, ReceiptError::Rejected { .. }), "{error}");
    let is_seen = |what| seen.iter().any(|seen| seen == what);
    assert!(is_seen((1, 0)) && is_seen((0, 1)), "every change is told");
    let letter = letters.get().unwrap()[0].group.id();
    assert_eq!(letter, receipt.group_id());
    assert!(store.retry_dead_letter(letter).is_err(), "the seat is still taken");
    assert_eq!(letters.get().unwrap().len(), 1);
    assert!(store.acknowledge_dead_letter(letter).unwrap());
    assert!(!store.acknowledge_dead_letter(letter).unwrap());
    assert_eq!(letters.get().unwrap(), []);
    assert!(store.retry_dead_letter(letter).unwrap().is_none());
}
