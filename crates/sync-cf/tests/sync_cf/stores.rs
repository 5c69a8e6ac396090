//! Stores that sync as they should.

use livestore::prelude::*;
use livestore::{CommitError, StoreOptions, SyncStatus, Topology};

use crate::support::*;

#[test]
fn stores_see_each_others_events_over_both_transports() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let addr = server.local_addr();
        let (one, other) = (open(ws(addr)), open(http(addr)));
        one.commit(note("a")).unwrap();
        in_step(&[&one, &other], 1).await;
        other.commit([note("b"), note("c")]).unwrap();
        in_step(&[&one, &other], 3).await;
        let late = open(ws(addr));
        in_step(&[&late, &one], 3).await;
        assert_eq!(notes(&late), 3);
        assert!(late.sync_status().unwrap().best_effort, "nobody gets a turn here");
    });
}

#[test]
fn a_group_is_confirmed_whole_and_under_its_own_id() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        for provider in [ws(server.local_addr()), http(server.local_addr())] {
            let store = open(provider);
            until(&store, livestore::SyncStatus::is_synced).await;
            let before = store.sync_status().unwrap().confirmed_head.0;
            let group: Vec<_> = (0..60).map(|n| note(format!("{before}-{n}"))).collect();
            let receipt = store.commit(group).unwrap();
            let positions = receipt.confirmed().await.unwrap();
            assert_eq!((positions.first.0, positions.last.0), (before + 1, before + 60));
            assert_eq!(store.sync_status().unwrap().rebases, 0, "its own events are no news");
        }
    });
}

#[test]
fn many_events_are_pulled_and_pushed_in_order() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let addr = server.local_addr();
        let author = open(ws(addr));
        for n in 0..1_000 {
            author.commit(note(n.to_string())).unwrap();
        }
        in_step(&[&author], 1_000).await;
        let (reader, polling) = (open(ws(addr)), open(http(addr)));
        in_step(&[&author, &reader, &polling], 1_000).await;
    });
}

#[test]
fn stores_that_commit_at_the_same_time_lose_and_double_nothing() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let addr = server.local_addr();
        let stores = [open(ws(addr)), open(ws(addr)), open(http(addr))];
        for round in 0..40 {
            for (number, store) in stores.iter().enumerate() {
                store.commit(Ticked).unwrap();
                store
                    .commit([note(format!("{number}-{round}")), note(format!("{number}+{round}"))])
                    .unwrap();
            }
            tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        }
        let [a, b, c] = &stores;
        in_step(&[a, b, c], 3 * 40 * 3).await;
        assert_eq!((ticks(a), notes(a)), (120, 240));
    });
}

#[test]
fn a_commit_that_does_not_fit_one_push_is_refused_where_it_is_made() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let store = open(ws(server.local_addr()));
        let many: Vec<_> = (0..101).map(|n| note(n.to_string())).collect();
        let error = store.commit(many).unwrap_err();
        assert!(matches!(error, CommitError::GroupTooLarge { events: 101, .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "a commit of 101 events and 108162 bytes is more than the backend takes at once (100 events, \
             898976 bytes): commit it in several parts"
        );
        let long = NoteWritten::of("long", "x".repeat(900_000));
        let error = store.commit(long).unwrap_err();
        assert!(matches!(error, CommitError::GroupTooLarge { events: 1, .. }), "{error}");
        assert_eq!(notes(&store), 0);
        // The most that fits goes through.
        store.commit(NoteWritten::of("long", "x".repeat(897_900))).unwrap();
        store.commit((0..100).map(|n| note(n.to_string())).collect::<Vec<_>>()).unwrap();
        let reader = open(http(server.local_addr()));
        in_step(&[&store, &reader], 101).await;
    });
}

#[test]
fn a_large_commit_is_cut_if_the_schema_says_so() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let server = start(folder.path()).await;
        let files = tempfile::tempdir().unwrap();
        let schema = || builder().split_large_commits().build().unwrap();
        let open = |topology| {
            let adapter = FileAdapter::new(files.path()).sync(ws(server.local_addr()));
            let options = StoreOptions::new().topology(topology);
            Store::open_with(schema(), "notes", adapter, options).unwrap()
        };
        for (topology, before) in [(Topology::Direct, 0), (Topology::Split, 350)] {
            let store = open(topology);
            until(&store, SyncStatus::is_synced).await;
            let many: Vec<_> = (0..350).map(|n| note(format!("{before}-{n}"))).collect();
            let receipt = store.commit(many).unwrap();
            assert_eq!(notes(&store), before + 350, "it is one transaction");
            receipt.persisted().await.unwrap();
            let positions = receipt.confirmed().await.unwrap();
            assert_eq!((positions.first.0, positions.last.0), (before + 301, before + 350));
            in_step(&[&store], before + 350).await;
            let groups: std::collections::BTreeSet<_> =
                store.events().map(|event| event.unwrap().group_id).collect();
            assert_eq!(groups.len() as u64, (before + 350) / 350 * 4);
            // What cannot be cut is still refused.
            let long = NoteWritten::of("long", "x".repeat(900_000));
            store.commit([note("never"), long]).unwrap_err();
            assert_eq!(notes(&store), before + 350);
            store.shutdown().unwrap();
        }
    });
}

#[test]
fn a_group_of_another_time_that_does_not_fit_becomes_a_dead_letter() {
    run(async {
        let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = start(folder.path()).await;
        // Nothing limits what is committed without a backend.
        let store = Store::open(schema(), "notes", FileAdapter::new(files.path())).unwrap();
        store.commit((0..101).map(|n| note(n.to_string())).collect::<Vec<_>>()).unwrap();
        store.commit(note("small")).unwrap();
        store.shutdown().unwrap();
        let store = open_in(files.path(), ws(server.local_addr()), StoreOptions::new());
        let status = until(&store, |status| status.is_synced() && status.dead_letters == 1).await;
        assert_eq!((status.confirmed_head.0, notes(&store)), (1, 1));
        let letters = store.dead_letters().unwrap();
        assert!(
            letters[0].reason.to_string().contains("more than the backend takes"),
            "{letters:?}"
        );
    });
}
