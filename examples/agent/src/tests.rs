//! The agent and a person on one list, as two sessions of a store.

use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{SyncStatus, Tier};
use tempfile::TempDir;
use todos::model::{Delete, Happened, Todo, schema};

use crate::work::{next, work};

fn open(folder: &TempDir) -> Store {
    Store::open(schema(), "todos", FileAdapter::new(folder.path())).unwrap()
}

fn add(store: &Store, id: &str, title: &str, done: bool) {
    let (id, title) = (id.into(), title.into());
    store.commit(Happened::Added { id, title, done }).unwrap();
}

fn todos(store: &Store) -> Rows<Todo> {
    store.query(Todo::select().order_by(Todo::id)).unwrap()
}

#[track_caller]
fn wait_until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < deadline, "it never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The person has the list open first; then the agent comes.
fn both(folder: &TempDir) -> (Store, Store) {
    let (person, agent) = (open(folder), open(folder));
    let SyncStatus { tier, .. } = agent.sync_status().unwrap();
    assert!(matches!(tier, Tier::Session { .. }), "{tier:?}");
    (person, agent)
}

/// Does what is left to the agent, until nothing is.
fn work_off(agent: &Store) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(todo) = next(&todos(agent)) {
        said.push(work(agent, &todo).unwrap().0);
    }
    said
}

#[test]
fn what_is_left_to_the_agent_is_done_and_the_person_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agent) = both(&folder);
    add(&person, "1", "Buy milk", true);
    add(&person, "2", "@agent count", false);
    add(&person, "3", "@agent sing", false);
    add(&person, "4", "@agents are not meant", false);
    wait_until(|| todos(&agent).len() == 4);
    assert_eq!(work_off(&agent), ["4 todos, 1 of them done", "this agent can count and sort out"]);
    wait_until(|| todos(&person)[1].done && !todos(&person)[2].note.is_empty());
    assert_eq!(todos(&person)[1].note, "4 todos, 1 of them done");
    assert!(!todos(&person)[2].done, "what it cannot do is left as it is");
}

#[test]
fn sorting_out_deletes_what_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agent) = both(&folder);
    for id in ["1", "2"] {
        add(&person, id, "Buy milk", true);
    }
    add(&person, "3", "@agent sort out", false);
    wait_until(|| todos(&agent).len() == 3);
    assert_eq!(work_off(&agent), ["2 todos deleted that were done"]);
    wait_until(|| todos(&person).len() == 1 && todos(&person)[0].done);
}

#[test]
fn what_a_person_has_deleted_meanwhile_is_not_brought_back() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agent) = both(&folder);
    add(&person, "1", "@agent count", false);
    wait_until(|| todos(&agent).len() == 1);
    let seen = next(&todos(&agent)).unwrap();
    person.execute(Delete { id: "1".into(), title: seen.title.clone() }).unwrap();
    // The agent may know of it by now or not: it says so at once, or its commands become dead letters.
    drop(work(&agent, &seen).unwrap());
    wait_until(|| todos(&agent).is_empty());
    assert!(todos(&person).is_empty());
}

#[test]
fn the_agent_goes_on_when_the_person_closes_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let (person, agent) = both(&folder);
    add(&person, "1", "@agent count", false);
    wait_until(|| todos(&agent).len() == 1);
    drop(person);
    assert_eq!(work_off(&agent), ["1 todos, 0 of them done"]);
    drop(agent);
    assert!(todos(&open(&folder))[0].done);
}
