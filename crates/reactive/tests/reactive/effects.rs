//! When effects run, in which order, and what they may do.

use std::sync::{Arc, Mutex};

use livestore_reactive::{Graph, MAX_ROUNDS, Unsettled};

use super::support::{Counter, Log, observe, panic_message};

#[test]
fn effects_run_in_creation_order() {
    let graph = Graph::new();
    let (signal, log) = (graph.signal(0), Log::new());
    let _effects: Vec<_> = (0..5)
        .map(|n| {
            let (signal, log) = (signal.clone(), log.clone());
            graph.effect(move |cx| {
                cx.get(&signal);
                log.push(n);
            })
        })
        .collect();
    log.take();
    signal.set(1);
    assert_eq!(log.take(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_dropped_effect_stops() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let (effect, log) = observe(&graph, &signal);
    drop(effect);
    signal.set(1);
    assert_eq!(log.take(), [0]);
}

#[test]
fn an_effect_can_stop_itself_while_it_runs() {
    let graph = Graph::new();
    let (signal, runs) = (graph.signal(0), Counter::default());
    let slot = Arc::new(Mutex::new(None));
    let effect = graph.effect({
        let (signal, runs, slot) = (signal.clone(), runs.clone(), slot.clone());
        move |cx| {
            runs.bump();
            if cx.get(&signal) == 1 {
                let own = slot.lock().unwrap().take();
                drop(own);
            }
        }
    });
    *slot.lock().unwrap() = Some(effect);
    signal.set(1);
    signal.set(2);
    assert_eq!(runs.get(), 2);
    assert_eq!((graph.node_count(), graph.edge_count()), (1, 0));
}

#[test]
fn an_effect_stopped_by_an_earlier_one_does_not_run_any_more() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let slot = Arc::new(Mutex::new(None));
    let _first = graph.effect({
        let (signal, slot) = (signal.clone(), slot.clone());
        move |cx| {
            if cx.get(&signal) == 1 {
                let other = slot.lock().unwrap().take();
                drop(other);
            }
        }
    });
    let (second, log) = observe(&graph, &signal);
    *slot.lock().unwrap() = Some(second);
    signal.set(1);
    assert_eq!(log.take(), [0]);
}

#[test]
fn an_effect_can_start_another_that_runs_in_the_same_refresh() {
    let graph = Graph::new();
    let (signal, log) = (graph.signal(0), Log::new());
    let children = Arc::new(Mutex::new(Vec::new()));
    let parent = graph.effect({
        let (graph, signal, log) = (graph.clone(), signal.clone(), log.clone());
        let children = children.clone();
        move |cx| {
            let value = cx.get(&signal);
            let log = log.clone();
            let child = graph.effect(move |_| log.push(value));
            children.lock().unwrap().push(child);
        }
    });
    signal.set(1);
    assert_eq!(log.take(), [0, 1]);
    drop(parent);
    children.lock().unwrap().clear();
    assert_eq!(graph.node_count(), 1);
}

#[test]
fn a_set_inside_an_effect_is_followed_until_stable() {
    let graph = Graph::new();
    let (count, log) = (graph.signal(0), Log::new());
    let _clamp = graph.effect({
        let count = count.clone();
        move |cx| {
            let value = cx.get(&count);
            if value % 10 != 0 {
                count.set(value + 1);
            }
        }
    });
    let _seen = graph.effect({
        let (count, log) = (count.clone(), log.clone());
        move |cx| log.push(cx.get(&count))
    });
    count.set(8);
    assert_eq!(count.get(), 10);
    assert_eq!(log.take().last(), Some(&10));
}

#[test]
fn an_effect_that_reads_after_its_own_write_is_not_run_again() {
    let graph = Graph::new();
    let (input, copy, runs) = (graph.signal(1), graph.signal(0), Counter::default());
    let _effect = graph.effect({
        let (input, copy, runs) = (input.clone(), copy.clone(), runs.clone());
        move |cx| {
            runs.bump();
            copy.set(cx.get(&input));
            assert_eq!(cx.get(&copy), cx.get(&input));
        }
    });
    input.set(2);
    assert_eq!(runs.get(), 2);
}

#[test]
fn a_batch_runs_each_effect_once() {
    let graph = Graph::new();
    let (a, b) = (graph.signal(1), graph.signal(1));
    let sum = graph.computed({
        let (a, b) = (a.clone(), b.clone());
        move |cx| cx.get(&a) + cx.get(&b)
    });
    let (_effect, log) = observe(&graph, &sum);
    let sum_inside = graph.batch(|| {
        a.set(10);
        b.set(20);
        sum.get()
    });
    assert_eq!(sum_inside, 30);
    assert_eq!(log.take(), [2, 30]);
}

#[test]
fn a_nested_batch_waits_for_the_outermost() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let (_effect, log) = observe(&graph, &signal);
    graph.batch(|| {
        graph.batch(|| signal.set(1));
        assert_eq!(log.take(), [0]);
        signal.set(2);
    });
    assert_eq!(log.take(), [2]);
}

#[test]
fn an_effect_made_in_a_batch_first_runs_at_its_end() {
    let graph = Graph::new();
    let signal = graph.signal(0);
    let (_effect, log) = graph.batch(|| {
        let observed = observe(&graph, &signal);
        signal.set(1);
        assert_eq!(observed.1.take(), []);
        observed
    });
    assert_eq!(log.take(), [1]);
}

#[test]
fn effects_that_never_settle_are_reported_to_the_hook_and_stay_queued() {
    let graph = Graph::new();
    let (going, count, reports) = (graph.signal(false), graph.signal(0), Log::new());
    graph.on_unsettled({
        let reports = reports.clone();
        move |report: &Unsettled| reports.push(report.clone())
    });
    let _endless = graph.effect({
        let (going, count) = (going.clone(), count.clone());
        move |cx| {
            let value = cx.get(&count);
            if cx.get(&going) {
                count.set(value + 1);
            }
        }
    });
    let (_other, log) = observe(&graph, &going);
    going.set(true);
    let seen = reports.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].effects, 1);
    assert_eq!(count.get(), MAX_ROUNDS);
    assert_eq!(log.take(), [false, true], "the others ran");
    going.set(false);
    assert_eq!(reports.take(), []);
    assert_eq!(count.get(), MAX_ROUNDS, "the rest ran in the next refresh");
}

#[test]
fn without_a_hook_effects_that_never_settle_panic() {
    let graph = Graph::new();
    let (start, ping, pong) = (graph.signal(0), graph.signal(0), graph.signal(0));
    let _one = graph.effect({
        let (start, ping, pong) = (start.clone(), ping.clone(), pong.clone());
        move |cx| pong.set(cx.get(&ping) + cx.get(&start))
    });
    let _two = graph.effect(move |cx| ping.set(cx.get(&pong)));
    let message = panic_message(|| start.set(1));
    assert!(message.contains("did not settle"), "{message}");
}

#[test]
fn effects_that_breed_effects_without_end_are_stopped() {
    fn breed(graph: &Graph, keep: &Log<Arc<livestore_reactive::Effect>>) {
        let effect = graph.effect({
            let (graph, keep) = (graph.clone(), keep.clone());
            move |_| breed(&graph, &keep)
        });
        keep.push(Arc::new(effect));
    }
    let (graph, keep, reports) = (Graph::new(), Log::new(), Counter::default());
    graph.on_unsettled({
        let reports = reports.clone();
        move |_| {
            reports.bump();
        }
    });
    breed(&graph, &keep);
    assert_eq!(reports.get(), 1);
    keep.take();
    assert_eq!(graph.node_count(), 0);
}
