//! What takes long, or never comes: silent backends, rebuilds that are cut short, events that
//! nobody can apply yet.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use livestore::replica::{RebuildProgress, UpstreamAction};
use livestore::{Durability, PoisonAnswer, StoreOptions};

use super::*;
use crate::app::wait_until;
use crate::backend::{Served, fact, foreign_group};

#[test]
fn a_backend_that_never_answers_is_given_up_after_a_while() {
    let mut net = clients(1);
    net.commit(0, todo("a"));
    net.poll(0);
    let timeout = net.replica(0).next_timeout().expect("an answer is awaited");
    assert_eq!(timeout, net.now_ms + 30_000);
    net.now_ms = timeout;
    net.poll(0);
    assert!(!net.is_connected(0));
    assert_eq!(net.status(0).last_error.as_deref(), Some("the backend does not answer"));
    net.converge();
}

#[test]
fn a_clock_that_is_set_back_keeps_nobody_waiting() {
    let mut net = clients(1);
    go_offline(&mut net, 0);
    net.now_ms -= 900_000;
    net.clients[0].is_reachable = true;
    assert!(net.poll(0), "it connects at once");
    net.now_ms -= 90_000;
    net.settle();
    assert!(net.is_connected(0));
}

#[test]
fn a_rebuild_that_was_cut_short_goes_on_where_it_was() {
    let mut net = Net::on_disk(schema(), 1);
    net.settle();
    for id in 0..25 {
        net.elsewhere((0..100).map(|n| fact(todo(&format!("{id:02}.{n:02}")))));
    }
    net.settle();
    net.commit(0, todo("pending"));
    let hash = net.replica(0).state_hash().unwrap();
    net.use_schema(later_schema(failed));
    let mut told = Vec::new();
    let cut = catch_unwind(AssertUnwindSafe(|| {
        net.reopen(0, &mut |progress| {
            told.push(progress);
            assert!(told.len() < 4, "the process ends here");
        });
    }));
    assert!(cut.is_err());
    let derived = |done| RebuildProgress::Derived { done, total: 2500 };
    assert_eq!(told, [RebuildProgress::Begins, derived(0), derived(1000), derived(2000)]);
    told.clear();
    net.reopen(0, &mut |progress| told.push(progress));
    let expected = [RebuildProgress::Begins, derived(2000)];
    assert_eq!(told[..2], expected, "what was done is not done again");
    assert_eq!(net.replica(0).state_hash().unwrap(), hash);
    net.converge();
}

#[test]
fn merging_pages_that_waited_does_not_forgive_the_answer_to_a_push() {
    let mut net = clients(1);
    // As many events are gathered as the tail is long.
    for number in 0..5 {
        net.commit(0, todo(&format!("mine-{number}")));
    }
    net.poll(0);
    // The push is on its way, and two pages come first.
    net.backend.page_events = 1;
    net.elsewhere([fact(todo("theirs"))]);
    net.elsewhere([fact(todo("theirs too"))]);
    assert!(net.send_page(0) && net.send_page(0));
    net.now_ms += 1_000;
    net.replica(0).more_messages_wait(true);
    assert!(net.reach_client(0).is_some());
    assert!(net.reach_client(0).is_some());
    let count =
        |net: &mut Net| net.replica(0).connection().read().query(&Todo::select().count()).unwrap();
    assert_eq!(count(&mut net), 5, "the pages are not merged yet");
    net.replica(0).more_messages_wait(false);
    net.poll(0);
    assert_eq!(count(&mut net), 7);
    let timeout = net.replica(0).next_timeout().expect("an answer is still awaited");
    assert!(timeout <= net.now_ms + 30_000);
    net.now_ms = timeout;
    net.poll(0);
    assert!(!net.is_connected(0), "the backend does not answer");
    net.converge();
}

#[test]
fn pages_that_waited_and_cannot_be_merged_end_the_conversation_at_once() {
    let mut net = clients(1);
    for number in 0..5 {
        net.commit(0, todo(&format!("mine-{number}")));
    }
    net.poll(0);
    net.backend.page_events = 1;
    net.elsewhere([fact(todo("theirs"))]);
    net.elsewhere([fact(failing("panic"))]);
    net.replica(0).more_messages_wait(true);
    assert!(net.send_page(0) && net.send_page(0));
    assert!(net.reach_client(0).is_some() && net.reach_client(0).is_some());
    assert!(net.is_connected(0), "the pages are not merged yet");
    net.replica(0).more_messages_wait(false);
    let now_ms = net.now_ms;
    let action = net.replica(0).poll_upstream(now_ms).unwrap();
    assert!(matches!(action, Some(UpstreamAction::Disconnect)), "{action:?}");
    let status = net.status(0);
    let is_told = matches!(
        status.connection,
        ConnectionState::Stopped(StopReason::MaterializerPanicked { .. })
    );
    assert!(is_told, "{status:?}");
    // What had come before the driver hung up changes nothing any more.
    net.elsewhere([fact(todo("late"))]);
    let late = net.backend.page_after(status.pulled_head).unwrap();
    net.replica(0).receive_upstream(ServerMessage::Page(late), now_ms).unwrap();
    assert_eq!(net.status(0), status);
}

#[test]
fn a_page_that_waits_to_be_merged_may_bring_what_a_push_repeats() {
    let mut net = clients(1);
    // As many events are gathered as the tail is long.
    for number in 0..5 {
        net.commit(0, todo(&format!("mine-{number}")));
    }
    net.poll(0);
    // Somebody else publishes a log anew that has one of them.
    net.backend.page_events = 1;
    net.elsewhere([fact(todo("theirs"))]);
    let group = net.clients[0].pushes[0].groups[2].clone();
    net.backend.append(group);
    assert!(net.send_page(0) && net.send_page(0));
    net.replica(0).more_messages_wait(true);
    assert!(net.reach_client(0).is_some() && net.reach_client(0).is_some());
    assert_eq!(net.status(0).pending_groups, 5, "the pages are not merged yet");
    net.reach_backend(0);
    let answer = net.reach_client(0).unwrap();
    assert!(matches!(answer, ServerMessage::AlreadyAccepted(_)), "{answer:?}");
    assert!(net.is_connected(0), "{:?}", net.status(0).last_error);
    net.replica(0).more_messages_wait(false);
    net.settle();
    net.converge();
}

fn poisoned(options: StoreOptions) -> (Served, Store) {
    let backend = Served::new();
    let adapter = MemoryAdapter::new().sync(backend.clone());
    let store = Store::open_with(schema(), "test", adapter, options).unwrap();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    let facts = [fact(todo("before")), fact(failing("error")), fact(todo("behind"))];
    for event in facts {
        backend.elsewhere(foreign_group(&mut ids, [event]));
    }
    (backend, store)
}

#[test]
fn an_event_that_cannot_be_applied_is_skipped_noted_and_listed() {
    let (_backend, store) = poisoned(StoreOptions::new());
    wait_until(&store, |status| status.confirmed_head.0 == 3);
    let skipped = store.quarantined().unwrap();
    assert_eq!((skipped.len(), skipped[0].seq.to_string()), (1, "e2".into()));
    assert!(skipped[0].reason.contains("own error") && !skipped[0].unknown);
    assert_eq!(store.query(Todo::select().count()).unwrap(), 2);
}

#[test]
fn on_request_it_stops_syncing_instead_and_the_app_goes_on() {
    let (_backend, store) = poisoned(StoreOptions::new().on_poison(PoisonAnswer::Stop));
    let is_stopped = |status: &livestore::SyncStatus| {
        matches!(status.connection, ConnectionState::Stopped(StopReason::PoisonEvent { .. }))
    };
    wait_until(&store, is_stopped);
    assert!(store.sync_status().unwrap().last_error.unwrap().contains("v1.Failed"));
    store.commit(todo("offline")).unwrap();
    assert_eq!(store.quarantined().unwrap(), []);
}

#[test]
fn an_event_that_nobody_knew_is_applied_once_the_schema_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Served::new();
    let mut ids = livestore_core::IdGenerator::new([3; 32]);
    backend.elsewhere(foreign_group(&mut ids, [fact(todo("later"))]));
    let open = |schema| {
        let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
        Store::open(schema, "test", adapter).unwrap()
    };
    let tables = || Schema::builder().table::<Todo>();
    let store = open(tables().build().unwrap());
    wait_until(&store, |status| status.quarantined == 1);
    assert!(store.quarantined().unwrap()[0].unknown);
    let version = store.schema().state_version();
    drop(store);

    let builder = tables()
        .event(|e: TodoCreated, _| Todo::insert(Todo { id: e.id, text: e.text, completed: false }));
    let store = open(builder.build().unwrap());
    assert_eq!(store.schema().state_version(), version, "a new event alone is no new version");
    assert_eq!(store.query(Todo::select().count()).unwrap(), 1);
    assert_eq!(store.quarantined().unwrap(), []);
}

#[test]
fn a_stream_of_full_commits_does_not_hold_up_syncing() {
    let (backend, folder) = (Served::new(), tempfile::tempdir().unwrap());
    let adapter = FileAdapter::new(folder.path()).sync(backend.clone());
    let options = StoreOptions::new().durability(Durability::Full);
    let store = Store::open_with(schema(), "test", adapter, options).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (store_ref, is_over_ref) = (&store, &is_over);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0.. {
                    if is_over_ref.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                    drop(store_ref.commit(todo(&format!("{thread}-{number}"))).unwrap());
                }
            });
        }
        let synced = catch_unwind(AssertUnwindSafe(|| {
            wait_until(&store, |status| status.confirmed_head.0 > 300);
        }));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        synced.unwrap();
    });
}

#[test]
fn the_time_that_a_step_of_ours_takes_is_not_counted_as_the_backend_s_silence() {
    let mut net = clients(1);
    net.commit(0, todo("a"));
    net.poll(0);
    let timeout = net.replica(0).next_timeout().expect("an answer is awaited");
    net.replica(0).step_took(Duration::from_secs(10));
    assert_eq!(net.replica(0).next_timeout(), Some(timeout + 10_000));
}

#[test]
fn the_status_tells_how_long_the_last_rebase_took() {
    let mut net = clients(1);
    net.commit(0, todo("mine"));
    net.elsewhere([fact(todo("theirs"))]);
    net.replica(0).step_took(Duration::from_secs(7));
    assert_eq!(net.status(0).last_rebase, None);
    deliver_page(&mut net, 0);
    assert_eq!(net.status(0).rebases, 1);
    net.replica(0).step_took(Duration::from_millis(30));
    net.replica(0).step_took(Duration::from_millis(1));
    assert_eq!(net.status(0).last_rebase, Some(Duration::from_millis(30)));
}
