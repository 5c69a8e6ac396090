//! When computed values run, and when they do not.

use livestore_reactive::Graph;

use super::support::{Counter, observe};

#[test]
fn a_computed_is_lazy_and_cached() {
    let graph = Graph::new();
    let (signal, runs) = (graph.signal(1), Counter::default());
    let computed = graph.computed({
        let (signal, runs) = (signal.clone(), runs.clone());
        move |cx| {
            runs.bump();
            cx.get(&signal)
        }
    });
    assert_eq!(runs.get(), 0);
    computed.get();
    computed.get();
    assert_eq!(runs.get(), 1);
    signal.set(2);
    signal.set(3);
    assert_eq!(runs.get(), 1, "a write does not run what nobody watches");
    assert_eq!(computed.get(), 3);
    assert_eq!(runs.get(), 2);
}

#[test]
fn setting_an_equal_value_does_nothing() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let (_effect, log) = observe(&graph, &signal);
    signal.set(1);
    signal.update(|value| *value += 0);
    assert_eq!(log.take(), [1]);
}

#[test]
fn an_equal_outcome_stops_the_propagation() {
    let graph = Graph::new();
    let (signal, runs) = (graph.signal(1), Counter::default());
    let parity = graph.computed({
        let signal = signal.clone();
        move |cx| cx.get(&signal) % 2
    });
    let downstream = graph.computed({
        let (parity, runs) = (parity.clone(), runs.clone());
        move |cx| {
            runs.bump();
            cx.get(&parity) == 1
        }
    });
    let (_effect, log) = observe(&graph, &downstream);
    signal.set(3);
    signal.set(5);
    assert_eq!((runs.get(), log.take()), (1, vec![true]));
    signal.set(6);
    assert_eq!((runs.get(), log.take()), (2, vec![false]));
}

#[test]
fn a_value_that_changes_and_changes_back_in_a_batch_runs_nothing() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let computed = graph.computed({
        let signal = signal.clone();
        move |cx| cx.get(&signal) * 10
    });
    let (_direct, direct) = observe(&graph, &signal);
    let (_derived, derived) = observe(&graph, &computed);
    graph.batch(|| {
        signal.set(2);
        assert_eq!(computed.get(), 20, "a read inside a batch sees its writes");
        signal.set(1);
    });
    assert_eq!((direct.take(), derived.take()), (vec![1], vec![10]));
}

#[test]
fn switching_a_branch_replaces_its_edges() {
    let graph = Graph::new();
    let (left, a, b) = (graph.signal(true), graph.signal(1), graph.signal(10));
    let runs = Counter::default();
    let chosen = graph.computed({
        let (left, a, b, runs) = (left.clone(), a.clone(), b.clone(), runs.clone());
        move |cx| {
            runs.bump();
            if cx.get(&left) { cx.get(&a) } else { cx.get(&b) }
        }
    });
    let (_effect, log) = observe(&graph, &chosen);
    assert_eq!(graph.edge_count(), 3);
    b.set(11);
    assert_eq!(runs.get(), 1, "the branch not taken is no dependency");
    left.set(false);
    assert_eq!(graph.edge_count(), 3);
    a.set(2);
    assert_eq!(runs.get(), 2, "nor is the branch left");
    b.set(12);
    assert_eq!(log.take(), [1, 11, 12]);
}

#[test]
fn a_source_guarded_by_another_is_not_run_once_the_guard_closes() {
    let graph = Graph::new();
    let divisor = graph.signal(2);
    let quotient = graph.computed({
        let divisor = divisor.clone();
        move |cx| 100 / cx.get(&divisor)
    });
    let guarded = graph.computed({
        let divisor = divisor.clone();
        move |cx| if cx.get(&divisor) == 0 { None } else { Some(cx.get(&quotient)) }
    });
    let (_effect, log) = observe(&graph, &guarded);
    divisor.set(0);
    divisor.set(5);
    assert_eq!(log.take(), [Some(50), None, Some(20)]);
}

#[test]
fn reading_through_the_handle_makes_no_dependency() {
    let graph = Graph::new();
    let (tracked, untracked) = (graph.signal(1), graph.signal(1));
    let sum = graph.computed({
        let (tracked, untracked) = (tracked.clone(), untracked.clone());
        move |cx| cx.get(&tracked) + untracked.get()
    });
    assert_eq!((sum.get(), graph.edge_count()), (2, 1));
    untracked.set(10);
    assert_eq!(sum.get(), 2);
    tracked.set(2);
    assert_eq!(sum.get(), 12);
}

#[test]
fn marking_sources_together_refreshes_once() {
    let graph = Graph::new();
    let tables = [graph.source(), graph.source(), graph.source()];
    let rows = Counter::default();
    let query = graph.computed({
        let (tables, rows) = (tables.clone(), rows.clone());
        move |cx| {
            cx.track(&tables[0]);
            cx.track(&tables[1]);
            rows.bump()
        }
    });
    let (_effect, log) = observe(&graph, &query);
    graph.mark_changed(&tables);
    tables[0].mark_changed();
    tables[2].mark_changed();
    assert_eq!(log.take(), [1, 2, 3]);
}

#[test]
fn marking_a_source_runs_no_computed_that_nobody_watches() {
    let graph = Graph::new();
    let (table, runs) = (graph.source(), Counter::default());
    let query = graph.computed({
        let (table, runs) = (table.clone(), runs.clone());
        move |cx| {
            cx.track(&table);
            runs.bump();
        }
    });
    query.get();
    for _ in 0..10 {
        table.mark_changed();
    }
    assert_eq!(runs.get(), 1);
    query.get();
    assert_eq!(runs.get(), 2);
}

#[test]
fn a_version_grows_exactly_with_the_value() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let parity = graph.computed({
        let signal = signal.clone();
        move |cx| cx.get(&signal) % 2
    });
    let first = parity.version();
    signal.set(3);
    assert_eq!(parity.version(), first);
    signal.set(4);
    let second = parity.version();
    assert!(second > first);
    signal.set(5);
    assert!(parity.version() > second, "an old value that comes back is a new version");
}
