//! Panics, cycles and other misuse leave a usable graph.

use std::sync::{Arc, OnceLock};

use livestore_reactive::{Computed, Graph};

use super::support::{Counter, Log, observe, panic_message};

#[test]
fn a_panic_in_a_computed_reaches_the_reader_and_is_not_cached() {
    let graph = Graph::new();
    let (signal, runs) = (graph.signal(0), Counter::default());
    let inverse = graph.computed({
        let (signal, runs) = (signal.clone(), runs.clone());
        move |cx| {
            let divisor = cx.get(&signal);
            runs.bump();
            assert_ne!(divisor, 0, "division by zero");
            100 / divisor
        }
    });
    for expected in 1..=2 {
        assert!(panic_message(|| inverse.get()).contains("division by zero"));
        assert_eq!(runs.get(), expected);
    }
    signal.set(4);
    assert_eq!(inverse.get(), 25);
}

#[test]
fn an_effect_recovers_when_the_computed_it_reads_does() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let inverse = graph.computed({
        let signal = signal.clone();
        move |cx| {
            let divisor = cx.get(&signal);
            assert_ne!(divisor, 0, "division by zero");
            100 / divisor
        }
    });
    let (_effect, log) = observe(&graph, &inverse);
    assert!(panic_message(|| signal.set(0)).contains("division by zero"));
    assert!(panic_message(|| inverse.get()).contains("division by zero"));
    signal.set(1);
    signal.set(2);
    assert_eq!(log.take(), [100, 100, 50]);
}

#[test]
fn effects_after_a_panicking_one_still_run_and_the_first_panic_resumes() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let _failing: Vec<_> = ["first", "second"]
        .map(|name| {
            let signal = signal.clone();
            graph.effect(move |cx| assert_ne!(cx.get(&signal), 1, "{name} failed"))
        })
        .into();
    let (_effect, log) = observe(&graph, &signal);
    assert!(panic_message(|| signal.set(1)).contains("first failed"));
    assert_eq!(log.take(), [0, 1]);
    signal.set(2);
    assert_eq!(log.take(), [2]);
    assert!(panic_message(|| signal.set(1)).contains("first failed"), "it is still alive");
}

#[test]
fn an_effect_whose_first_run_panics_is_gone() {
    let graph = Graph::new();
    let message = panic_message(|| graph.effect(|_| panic!("at once")));
    assert_eq!((message.as_str(), graph.node_count()), ("at once", 0));
}

#[test]
fn a_panic_in_a_batch_keeps_its_writes_and_runs_their_effects() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let (_effect, log) = observe(&graph, &signal);
    let message = panic_message(|| {
        graph.batch(|| {
            signal.set(1);
            panic!("half way");
        })
    });
    assert_eq!(message, "half way");
    signal.set(2);
    assert_eq!(log.take(), [0, 1, 2]);
}

#[test]
fn a_panic_in_an_update_changes_nothing() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let message = panic_message(|| {
        signal.update(|value| {
            *value = 2;
            panic!("half way");
        });
    });
    assert_eq!((message.as_str(), signal.get()), ("half way", 1));
}

/// Cannot be compared while it is `Bad`.
#[derive(Clone, Debug)]
enum Awkward {
    Good(u8),
    Bad,
}

impl PartialEq for Awkward {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Good(a), Self::Good(b)) => a == b,
            _ => panic!("not comparable"),
        }
    }
}

#[test]
fn a_comparison_that_panics_counts_as_a_difference() {
    let graph = Graph::new();
    let (bad, number) = (graph.signal(false), graph.signal(0));
    let awkward = graph.computed({
        let (bad, number) = (bad.clone(), number.clone());
        move |cx| if cx.get(&bad) { Awkward::Bad } else { Awkward::Good(cx.get(&number)) }
    });
    let text = graph.computed(move |cx| format!("{:?}", cx.get(&awkward)));
    let (_effect, log) = observe(&graph, &text);
    bad.set(true);
    bad.set(false);
    number.set(1);
    assert_eq!(log.take(), ["Good(0)", "Bad", "Good(0)", "Good(1)"]);
}

#[test]
fn a_set_whose_comparison_panics_changes_nothing() {
    let graph = Graph::new();
    let signal = graph.signal(Awkward::Good(1));
    assert!(panic_message(|| signal.set(Awkward::Bad)).contains("not comparable"));
    signal.set(Awkward::Good(2));
    assert!(matches!(signal.get(), Awkward::Good(2)));
}

#[test]
fn a_computed_that_reads_itself_panics_and_recovers() {
    let graph = Graph::new();
    let cyclic = graph.signal(true);
    let own: Arc<OnceLock<Computed<i32>>> = Arc::default();
    let computed = graph.computed({
        let (cyclic, own) = (cyclic.clone(), Arc::downgrade(&own));
        move |cx| {
            let own = own.upgrade().unwrap();
            if cx.get(&cyclic) { cx.get(own.get().unwrap()) + 1 } else { 7 }
        }
    });
    own.set(computed.clone()).unwrap();
    assert!(panic_message(|| computed.get()).contains("cycle"));
    cyclic.set(false);
    assert_eq!(computed.get(), 7);
    cyclic.set(true);
    assert!(panic_message(|| computed.get()).contains("cycle"));
}

#[test]
fn a_cycle_through_several_and_through_untracked_reads_panics() {
    let graph = Graph::new();
    let slot: Arc<OnceLock<Computed<i32>>> = Arc::default();
    let first = graph.computed({
        let slot = slot.clone();
        move |_| slot.get().unwrap().get()
    });
    let second = graph.computed(move |cx| cx.get(&first));
    slot.set(second.clone()).unwrap();
    assert!(panic_message(|| second.get()).contains("cycle"));
}

#[test]
fn dependencies_that_turn_around_are_no_cycle() {
    let graph = Graph::new();
    let forward = graph.signal(true);
    let slot: Arc<OnceLock<Computed<i32>>> = Arc::default();
    let a = graph.computed({
        let (forward, slot) = (forward.clone(), slot.clone());
        move |cx| if cx.get(&forward) { 1 } else { cx.get(slot.get().unwrap()) + 1 }
    });
    let b = graph.computed({
        let (forward, a) = (forward.clone(), a.clone());
        move |cx| if cx.get(&forward) { cx.get(&a) + 1 } else { 10 }
    });
    slot.set(b.clone()).unwrap();
    let (_effect, log) = observe(&graph, &a);
    assert_eq!((a.get(), b.get()), (1, 2));
    forward.set(false);
    assert_eq!((b.get(), a.get()), (10, 11));
    forward.set(true);
    assert_eq!((a.get(), b.get()), (1, 2));
    assert_eq!(log.take(), [1, 11, 1]);
}

type Writer = Box<dyn Fn() + Send + Sync>;

#[test]
fn a_computed_that_writes_panics() {
    let graph = Graph::new();
    let (signal, source) = (graph.signal(0), graph.source());
    let writers: [(&str, Writer); 4] = [
        ("set", Box::new(move || signal.set(1))),
        ("mark", Box::new(move || source.mark_changed())),
        ("batch", {
            let graph = graph.clone();
            Box::new(move || graph.batch(|| ()))
        }),
        ("effect", {
            let graph = graph.clone();
            Box::new(move || drop(graph.effect(|_| ())))
        }),
    ];
    for (name, write) in writers {
        let writer = graph.computed(move |_| write());
        let message = panic_message(|| writer.get());
        assert!(message.contains("must not write"), "{name}: {message}");
    }
    assert_eq!(graph.node_count(), 0);
}

#[test]
fn nodes_of_another_graph_are_refused() {
    let (graph, other) = (Graph::new(), Graph::new());
    let (signal, source) = (other.signal(0), other.source());
    assert!(panic_message(|| graph.mark_changed([&source])).contains("another graph"));
    let reader = graph.computed(move |cx| cx.get(&signal));
    assert!(panic_message(|| reader.get()).contains("another graph"));
}

#[test]
fn effects_may_write_across_graphs() {
    let (here, there) = (Graph::new(), Graph::new());
    let (from, to, log) = (here.signal(1), there.signal(0), Log::new());
    let _mirror = here.effect({
        let (from, to) = (from.clone(), to.clone());
        move |cx| to.set(cx.get(&from))
    });
    let _seen = there.effect({
        let log = log.clone();
        move |cx| log.push(cx.get(&to))
    });
    from.set(2);
    assert_eq!(log.take(), [1, 2]);
}
