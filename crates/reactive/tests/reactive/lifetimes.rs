//! Nodes go with their last handle, and take their edges along.

use std::sync::Arc;

use livestore_reactive::{Computed, Graph, Signal};

use super::support::observe;

#[test]
fn a_node_goes_with_its_last_handle() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let clone = signal.clone();
    let source = graph.source();
    assert_eq!(graph.node_count(), 2);
    drop((signal, source));
    assert_eq!((graph.node_count(), clone.get()), (1, 1));
    drop(clone);
    assert_eq!(graph.node_count(), 0);
}

#[test]
fn a_closure_keeps_alive_what_it_reads() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let computed = graph.computed({
        let signal = signal.clone();
        move |cx| cx.get(&signal) + 1
    });
    let (effect, log) = observe(&graph, &computed);
    drop(computed);
    signal.set(2);
    assert_eq!(log.take(), [2, 3]);
    assert_eq!((graph.node_count(), graph.edge_count()), (3, 2));
    drop(effect);
    assert_eq!((graph.node_count(), graph.edge_count()), (1, 0));
}

#[test]
fn what_is_read_lives_until_it_is_read_no_more() {
    let graph = Graph::new();
    let (signal, other) = (graph.signal(1), graph.signal(0));
    let mut temporary = Some(graph.signal(5));
    let slot = graph.signal(temporary.clone().map(Handle));
    let sum = graph.computed({
        let (slot, other) = (slot.clone(), other.clone());
        move |cx| {
            let base = cx.get(&other);
            slot.get().map_or(base, |handle| base + cx.get(&handle.0))
        }
    });
    assert_eq!((sum.get(), graph.edge_count()), (5, 2));
    temporary.take().unwrap().set(6);
    slot.set(None); // the last handle
    assert_eq!((graph.node_count(), graph.edge_count()), (5, 2));
    assert_eq!(sum.get(), 0, "a change that came before the drop is not forgotten");
    assert_eq!((graph.node_count(), graph.edge_count()), (4, 1));
    drop((signal, other, slot, sum));
    assert_eq!(graph.node_count(), 0);
}

/// A handle as a value.
#[derive(Clone)]
struct Handle(Signal<i32>);

impl PartialEq for Handle {
    fn eq(&self, _: &Self) -> bool {
        false
    }
}

#[test]
fn a_node_that_is_made_inside_a_run_is_followed_until_the_next() {
    let graph = Graph::new();
    let signal = graph.signal(1);
    let computed = graph.computed({
        let (graph, signal) = (graph.clone(), signal.clone());
        move |cx| {
            let signal = signal.clone();
            let inner = graph.computed(move |cx| cx.get(&signal) * 2);
            cx.get(&inner) + cx.get(&inner)
        }
    });
    for (value, twice) in [(1, 4), (2, 8), (3, 12)] {
        signal.set(value);
        assert_eq!(computed.get(), twice);
        assert_eq!((graph.node_count(), graph.edge_count()), (3, 2));
    }
    drop((computed, signal));
    assert_eq!(graph.node_count(), 0);
}

#[test]
fn replaced_values_may_own_handles() {
    let graph = Graph::new();
    let list: Signal<Vec<Item>> = graph.signal(Vec::new());
    let count = graph.computed({
        let list = list.clone();
        move |cx| cx.get(&list).iter().map(|item| cx.get(&item.value)).sum::<i32>()
    });
    let (_effect, log) = observe(&graph, &count);
    list.set((1..=3).map(|n| Item::new(&graph, n)).collect());
    list.update(|items| drop(items.remove(0)));
    list.set(Vec::new());
    assert_eq!(log.take(), [0, 6, 5, 0]);
    assert_eq!((graph.node_count(), graph.edge_count()), (3, 2));
}

#[derive(Clone)]
struct Item {
    id: Arc<i32>,
    value: Computed<i32>,
}

impl Item {
    fn new(graph: &Graph, n: i32) -> Self {
        Self { id: Arc::new(n), value: graph.computed(move |_| n) }
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.id, &other.id)
    }
}
