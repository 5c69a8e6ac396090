//! Shapes of graphs that naive propagation gets wrong or slow.

use livestore_reactive::{Computed, Graph, MAX_DEPTH, Signal};

use super::support::{Counter, observe, panic_message};

fn chain(graph: &Graph, first: &Signal<i64>, length: usize) -> Vec<Computed<i64>> {
    let first = first.clone();
    let mut chain = vec![graph.computed(move |cx| cx.get(&first) + 1)];
    for _ in 1..length {
        let previous = chain[chain.len() - 1].clone();
        previous.get();
        chain.push(graph.computed(move |cx| cx.get(&previous) + 1));
    }
    chain
}

#[test]
fn a_diamond_runs_its_end_once_and_never_sees_half_a_change() {
    let graph = Graph::new();
    let top = graph.signal(1);
    let sides: Vec<_> = (0..2)
        .map(|side| {
            let top = top.clone();
            graph.computed(move |cx| cx.get(&top) + side)
        })
        .collect();
    let end = graph.computed({
        let top = top.clone();
        move |cx| {
            let sides: Vec<i32> = sides.iter().map(|side| cx.get(side)).collect();
            (cx.get(&top), sides)
        }
    });
    let (_effect, log) = observe(&graph, &end);
    top.set(5);
    top.set(7);
    assert_eq!(log.take(), [(1, vec![1, 2]), (5, vec![5, 6]), (7, vec![7, 8])]);
}

#[test]
fn a_broad_graph_runs_each_branch_once_per_change() {
    let graph = Graph::new();
    let root = graph.signal(0);
    let runs = Counter::default();
    let branches: Vec<Computed<usize>> = (0..1_000)
        .map(|n| {
            let (root, runs) = (root.clone(), runs.clone());
            graph.computed(move |cx| {
                runs.bump();
                cx.get(&root) + n
            })
        })
        .collect();
    let sum = graph.computed(move |cx| branches.iter().map(|branch| cx.get(branch)).sum::<usize>());
    let (_effect, log) = observe(&graph, &sum);
    root.set(1);
    assert_eq!(log.take(), [499_500, 500_500]);
    assert_eq!(runs.get(), 2_000);
}

#[test]
fn a_deep_chain_is_marked_pulled_and_dropped_without_overflowing_the_stack() {
    let graph = Graph::new();
    let first = graph.signal(0);
    let mut chain = chain(&graph, &first, 10_000);
    let last = chain.pop().unwrap();
    drop(chain);
    let (effect, log) = observe(&graph, &last);
    first.set(5);
    assert_eq!(log.take(), [10_000, 10_005]);
    assert_eq!(graph.node_count(), 10_002);
    drop((last, effect));
    assert_eq!((graph.node_count(), graph.edge_count()), (1, 0));
}

#[test]
fn nesting_up_to_the_documented_depth_works_and_beyond_it_panics() {
    let graph = Graph::new();
    let first = graph.signal(0);
    let lazy_chain = |length| {
        let first = first.clone();
        let mut last = graph.computed(move |cx| cx.get(&first));
        for _ in 1..length {
            last = graph.computed(move |cx| cx.get(&last));
        }
        last
    };
    assert_eq!(lazy_chain(MAX_DEPTH).get(), 0);
    let deeper = lazy_chain(MAX_DEPTH + 1);
    let message = panic_message(|| deeper.get());
    assert!(message.contains("deep"), "{message}");
}

#[test]
fn repeated_reads_make_one_edge_and_one_run() {
    let graph = Graph::new();
    let signal = graph.signal(2);
    let runs = Counter::default();
    let double = graph.computed({
        let (signal, runs) = (signal.clone(), runs.clone());
        move |cx| {
            runs.bump();
            (0..10).map(|_| cx.get(&signal)).sum::<i32>()
        }
    });
    assert_eq!((double.get(), double.get()), (20, 20));
    assert_eq!((runs.get(), graph.edge_count()), (1, 1));
    signal.set(3);
    assert_eq!((double.get(), double.get()), (30, 30));
    assert_eq!((runs.get(), graph.edge_count()), (2, 1));
}
