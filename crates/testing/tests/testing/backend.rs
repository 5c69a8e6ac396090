//! Real stores that sync through a backend in memory.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use livestore::{ClientId, ConnectionState, FileAdapter, MemoryAdapter, Store, Table};
use livestore_testing::{TestBackend, TestClient};

use crate::app::{Author, Todo, completed, created, schema};

fn ids(client: &TestClient) -> Vec<String> {
    let todos = client.query(Todo::select().order_by(Todo::id)).unwrap();
    todos.iter().map(|todo| todo.id.clone()).collect()
}

#[test]
fn two_clients_come_to_the_same_state() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let b = backend.client(schema());
    a.commit(created("1")).unwrap();
    b.commit(created("2")).unwrap();
    backend.settle();
    assert_eq!(ids(&a), ["1", "2"]);
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
    assert_eq!(backend.log().len(), 2);
}

#[test]
fn two_stores_with_one_client_id_end_each_others_conversations_and_both_go_on() {
    let backend = TestBackend::new();
    let open = || {
        let twin = ClientId::new("twin").unwrap();
        let opened = backend.open(|_, sync| {
            Store::open(schema(), "test", MemoryAdapter::new().sync(sync).client_id(twin))
        });
        opened.unwrap()
    };
    let (a, b) = (open(), open());
    a.commit(created("1")).unwrap();
    b.commit(created("2")).unwrap();
    let in_step = || backend.log().len() == 2 && ids(&a) == ["1", "2"] && ids(&b) == ["1", "2"];
    let has_said_so = || {
        [&a, &b].iter().any(|client| {
            let error = client.sync_status().unwrap().last_error.unwrap_or_default();
            error.contains("same client id")
        })
    };
    let (mut was_said, start) = (false, Instant::now());
    while !(in_step() && was_said) {
        was_said |= has_said_so();
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", backend.log());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn whoever_is_offline_neither_sends_nor_gets_anything() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let b = backend.client(schema());
    a.commit(created("1")).unwrap();
    backend.settle();
    a.go_offline();
    assert!(!a.is_online());
    assert_ne!(a.sync_status().unwrap().connection, ConnectionState::Connected);
    b.commit(created("2")).unwrap();
    a.commit(created("3")).unwrap();
    backend.settle();
    assert_eq!(ids(&b), ["1", "2"]);
    assert_eq!(ids(&a), ["1", "3"]);
    a.go_online();
    backend.settle();
    assert_eq!(ids(&a), ["1", "2", "3"]);
    assert_eq!(ids(&b), ["1", "2", "3"]);
    assert_eq!(a.sync_status().unwrap().rebases, 1);
}

#[test]
fn a_client_that_is_born_offline_catches_up() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let late = backend.client(schema());
    late.go_offline();
    for id in 0..600 {
        a.commit(created(&format!("{id:03}"))).unwrap();
    }
    backend.settle();
    assert_eq!(ids(&late), [""; 0]);
    late.go_online();
    backend.settle();
    assert_eq!(ids(&late).len(), 600);
}

#[test]
fn a_connection_may_break_at_any_moment() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let b = backend.client(schema());
    for round in 0..5 {
        for id in 0..40 {
            a.commit(created(&format!("a{round}-{id}"))).unwrap();
            b.commit(created(&format!("b{round}-{id}"))).unwrap();
        }
        // While pushes and pages are on their way.
        a.go_offline();
        a.go_online();
    }
    backend.settle();
    assert_eq!(ids(&a).len(), 400);
    assert_eq!(a.state_hash().unwrap(), b.state_hash().unwrap());
    assert_eq!(backend.log().len(), 400);
}

#[test]
fn refused_groups_become_dead_letters_of_their_author_alone() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let b = backend.client(schema());
    backend.refuse(|group| {
        let completes =
            group.events().iter().any(|event| event.name.as_str().contains("Completed"));
        completes.then(|| "nothing is ever done".into())
    });
    a.commit(created("1")).unwrap();
    a.commit(completed("1")).unwrap();
    backend.settle();
    let letters = a.dead_letters().unwrap();
    assert_eq!(letters.len(), 1);
    assert!(letters[0].reason.to_string().contains("nothing is ever done"), "{letters:?}");
    assert!(b.dead_letters().unwrap().is_empty());
    assert_eq!(a.query(Todo::select().filter(Todo::completed.eq(true)).count()).unwrap(), 0);

    backend.refuse_nothing();
    a.retry_dead_letter(letters[0].group.id()).unwrap();
    backend.settle();
    assert_eq!(b.query(Todo::select().filter(Todo::completed.eq(true)).count()).unwrap(), 1);
}

#[test]
fn others_can_append_events_too() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    backend.append("laptop", [created("1"), created("2")]);
    backend.settle();
    assert_eq!(ids(&a), ["1", "2"]);
    let authors = a.query(Author::select()).unwrap();
    assert!(authors.iter().all(|author| author.client == "laptop"), "{authors:?}");
    assert_eq!(backend.log()[0].group.events().len(), 2);
}

#[test]
fn clients_make_the_same_ids_in_every_run() {
    let run = || {
        let backend = TestBackend::new();
        let a = backend.client(schema());
        let b = backend.client(schema());
        a.commit(created("1")).unwrap();
        backend.settle();
        b.go_offline();
        b.commit(created("2")).unwrap();
        b.go_online();
        backend.settle();
        a.query(Author::select().order_by(Author::event)).unwrap()
    };
    let authors = run();
    assert_eq!(authors, run());
    let mut clients: Vec<_> = authors.iter().map(|author| author.client.as_str()).collect();
    clients.sort_unstable();
    assert_eq!(clients, ["client-1", "client-2"]);
}

#[test]
fn stores_in_files_take_part_and_go_on_when_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let backend = TestBackend::new();
    let open = || {
        let opened = backend.open(|_, sync| {
            Store::open(schema(), "test", FileAdapter::new(folder.path()).sync(sync))
        });
        opened.unwrap()
    };
    let file = open();
    file.go_offline();
    file.commit(created("1")).unwrap();
    drop(file);
    let file = open();
    let other = backend.client(schema());
    backend.settle();
    assert_eq!(ids(&file), ["1"]);
    assert_eq!(ids(&other), ["1"]);
}

#[test]
fn closed_clients_are_not_waited_for() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    let b = backend.client(schema());
    drop(backend.client(schema()));
    b.shutdown().unwrap();
    a.commit(created("1")).unwrap();
    backend.settle();
}

#[test]
fn what_does_not_settle_tells_where_each_client_stands() {
    let backend = TestBackend::new();
    let a = backend.client(schema());
    backend.settle();
    let held = Arc::new(Mutex::new(()));
    let gate = Arc::clone(&held);
    let closed = held.lock().unwrap();
    backend.refuse(move |_| {
        drop(gate.lock());
        None
    });
    a.commit(created("1")).unwrap();
    let unsettled = backend.settle_within(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(
        unsettled.contains("client-1: Connected, confirmed head e0, 1 pending events"),
        "{unsettled}"
    );
    drop(closed);
    backend.settle();
}
