//! Events with ids that are the same in every run.

use std::collections::BTreeSet;

use livestore_testing::sequence;

use crate::app::{TodoCompleted, TodoCreated};

#[test]
fn a_sequence_counts_and_makes_the_same_events_in_every_run() {
    let run = || {
        let make = |n: livestore_testing::Nth<'_>| TodoCreated {
            id: n.id(),
            text: format!("{} at {}", n.number(), n.unix_ms()),
        };
        sequence(make).take(3).map(|todo| (todo.id, todo.text)).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
    let texts: Vec<_> = run().into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, ["1 at 1735689600000", "2 at 1735689601000", "3 at 1735689602000"]);
}

#[test]
fn ids_rise_and_differ_between_events_types_and_names() {
    let ids = |name: Option<&str>| {
        let todos = sequence(|n| TodoCreated { id: n.id(), text: n.id() });
        let todos = match name {
            Some(name) => todos.named(name),
            None => todos,
        };
        todos.take(50).flat_map(|todo| [todo.id, todo.text]).collect::<Vec<_>>()
    };
    assert!(ids(None).is_sorted());
    let of_others = sequence(|n| TodoCompleted { id: n.id() }).many(50);
    let all =
        ids(None).into_iter().chain(ids(Some("b"))).chain(of_others.into_iter().map(|e| e.id));
    assert_eq!(all.collect::<BTreeSet<_>>().len(), 250);
}
