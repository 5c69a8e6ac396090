//! Several threads on one graph.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use livestore_reactive::{Computed, Effect, Graph, Signal, Source};

use super::support::{Counter, Log, observe};

#[test]
fn everything_can_be_sent_and_shared() {
    fn check<T: Send + Sync>() {}
    check::<Graph>();
    check::<Signal<String>>();
    check::<Computed<String>>();
    check::<Source>();
    check::<Effect>();
}

#[test]
fn concurrent_updates_are_all_seen_and_an_effect_never_overlaps_itself() {
    const EACH: usize = 2_000;
    let graph = Graph::new();
    let signal = graph.signal(0);
    let doubled = graph.computed({
        let signal = signal.clone();
        move |cx| cx.get(&signal) * 2
    });
    let (busy, log) = (Arc::new(AtomicBool::new(false)), Log::new());
    let _effect = graph.effect({
        let (busy, log, doubled) = (busy.clone(), log.clone(), doubled.clone());
        move |cx| {
            assert!(!busy.swap(true, Ordering::SeqCst), "two runs at a time");
            log.push(cx.get(&doubled));
            busy.store(false, Ordering::SeqCst);
        }
    });
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    signal.update(|value| *value += 1);
                }
            });
        }
    });
    assert_eq!(signal.get(), 3 * EACH);
    let seen = log.take();
    assert_eq!(seen.last(), Some(&(6 * EACH)));
    assert!(seen.is_sorted(), "an effect went back in time");
}

#[test]
fn a_get_sees_the_sets_made_before_it_on_its_thread() {
    let graph = Graph::new();
    let signals: Vec<Signal<usize>> = (0..3).map(|_| graph.signal(0)).collect();
    let all = graph.computed({
        let signals = signals.clone();
        move |cx| signals.iter().map(|signal| cx.get(signal)).collect::<Vec<_>>()
    });
    let (_effect, log) = observe(&graph, &all);
    thread::scope(|scope| {
        for (index, signal) in signals.iter().enumerate() {
            let all = &all;
            scope.spawn(move || {
                for value in 1..=500 {
                    signal.set(value);
                    assert_eq!(all.get()[index], value);
                }
            });
        }
    });
    assert_eq!(log.take().last(), Some(&vec![500; 3]));
}

#[test]
fn a_new_effect_runs_at_once_also_while_another_thread_runs_effects() {
    let graph = Graph::new();
    let (signal, slow) = (graph.signal(0), graph.signal(0));
    let (started, has_started) = channel();
    let (end, ends) = channel::<()>();
    let _slow = graph.effect({
        let slow = slow.clone();
        move |cx| {
            if cx.get(&slow) > 0 {
                started.send(()).unwrap();
                ends.recv().unwrap();
            }
        }
    });
    thread::scope(|scope| {
        scope.spawn(|| slow.set(1));
        has_started.recv().unwrap();
        let (effect, log) = observe(&graph, &signal);
        assert_eq!(log.take(), [0], "the first run is left to nobody");
        signal.set(1);
        assert_eq!(log.take(), [], "all others are left to the thread that refreshes");
        end.send(()).unwrap();
        while log.take() != [1] {
            thread::yield_now();
        }
        drop(effect);
    });
}

#[test]
fn what_is_to_be_done_before_effects_run_is_done() {
    let graph = Graph::new();
    let source = Arc::new(graph.source());
    let is_done = Arc::new(AtomicBool::new(false));
    let log = Log::new();
    let _effect = graph.effect({
        let (source, is_done, log) = (Arc::clone(&source), Arc::clone(&is_done), log.clone());
        move |cx| {
            cx.track(&source);
            log.push(is_done.load(Ordering::Relaxed));
        }
    });
    graph.mark_changed_then([&*source], || is_done.store(true, Ordering::Relaxed));
    assert_eq!(log.take(), [false, true]);
}

#[test]
fn no_effect_sees_half_of_another_threads_batch() {
    let graph = Graph::new();
    let (a, b, unrelated) = (graph.signal(0), graph.signal(0), graph.signal(0));
    let log = Log::new();
    let _effect = graph.effect({
        let (a, b, unrelated, log) = (a.clone(), b.clone(), unrelated.clone(), log.clone());
        move |cx| {
            cx.get(&unrelated);
            log.push((cx.get(&a), cx.get(&b)));
        }
    });
    log.take();
    graph.batch(|| {
        a.set(1);
        thread::scope(|scope| {
            scope.spawn(|| unrelated.set(1));
        });
        assert_eq!(log.take(), [], "the other thread leaves the effect to the batch");
        b.set(1);
    });
    assert_eq!(log.take(), [(1, 1)]);
}

#[test]
fn a_writer_that_holds_a_lock_an_effect_waits_for_is_not_blocked() {
    let graph = Graph::new();
    let (signal, store, log) = (graph.signal(0), Arc::new(Mutex::new(())), Log::new());
    let (entered, is_entered) = channel();
    let _effect = graph.effect({
        let (signal, store, log) = (signal.clone(), store.clone(), log.clone());
        move |cx| {
            let value = cx.get(&signal);
            entered.send(()).unwrap();
            drop(store.lock().unwrap());
            log.push(value);
        }
    });
    is_entered.recv().unwrap();
    log.take();
    thread::scope(|scope| {
        let held = store.lock().unwrap();
        scope.spawn(|| signal.set(1));
        is_entered.recv().unwrap();
        signal.set(2); // while the effect waits for the lock held here
        assert_eq!(signal.get(), 2);
        drop(held);
    });
    assert_eq!(log.take(), [1, 2]);
}

#[test]
fn a_computed_disturbed_by_another_thread_runs_again_before_it_is_handed_out() {
    let graph = Graph::new();
    let (a, b) = (graph.signal(1), graph.signal(1));
    let (ready, is_ready) = channel();
    let (go_on, may_go_on) = sync_channel::<()>(0);
    let may_go_on = Mutex::new(may_go_on);
    let runs = Counter::default();
    let pair = graph.computed({
        let (a, b, runs) = (a.clone(), b.clone(), runs.clone());
        move |cx| {
            let a = cx.get(&a);
            if runs.bump() == 1 {
                ready.send(()).unwrap();
                may_go_on.lock().unwrap().recv().unwrap();
            }
            (a, cx.get(&b))
        }
    });
    thread::scope(|scope| {
        let reader = scope.spawn(|| pair.get());
        is_ready.recv().unwrap();
        graph.batch(|| {
            a.set(2);
            b.set(2);
        });
        go_on.send(()).unwrap();
        assert_eq!(reader.join().unwrap(), (2, 2));
    });
    assert_eq!(runs.get(), 2);
}

#[test]
fn a_write_during_a_run_makes_the_effect_run_again() {
    let graph = Graph::new();
    let (signal, log) = (graph.signal(0), Log::new());
    let _effect = graph.effect({
        let (signal, log) = (signal.clone(), log.clone());
        move |cx| {
            let value = cx.get(&signal);
            if value == 1 {
                thread::scope(|scope| {
                    scope.spawn(|| signal.set(2));
                });
            }
            log.push(value);
        }
    });
    signal.set(1);
    assert_eq!(log.take(), [0, 1, 2]);
}

#[test]
fn threads_that_make_read_and_drop_nodes_leave_nothing() {
    let graph = Graph::new();
    let signal = graph.signal(0_usize);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..200 {
                    let computed = graph.computed({
                        let signal = signal.clone();
                        move |cx| cx.get(&signal) + 1
                    });
                    let (effect, _log) = observe(&graph, &computed);
                    signal.set(round);
                    computed.get();
                    drop((computed, effect));
                }
            });
        }
    });
    assert_eq!((graph.node_count(), graph.edge_count()), (1, 0));
}
