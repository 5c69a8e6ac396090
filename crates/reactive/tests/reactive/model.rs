//! Random graphs and writes against evaluation from scratch.

use std::sync::{Arc, Mutex};

use livestore_reactive::{Computed, Context, Effect, Graph, Signal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::support::Log;

#[derive(Clone, Debug)]
enum Formula {
    Sum(Vec<Index>),
    /// Loses information, so that changes often stop here.
    Parity(Index),
    /// Changes what it reads.
    If(Index, Index, Index),
}

#[derive(Clone, Debug)]
enum Op {
    Set(Index, i64),
    Update(Index, i64),
    /// Writes, each followed by a read of the node given with it.
    Batch(Vec<(Index, i64, Option<Index>)>),
    Read(Index),
    StopEffect(Index),
}

#[derive(Clone, Debug)]
struct Plan {
    signals: Vec<i64>,
    formulas: Vec<Formula>,
    effects: Vec<Vec<Index>>,
    ops: Vec<Op>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let index = any::<Index>;
    let formula = prop_oneof![
        vec(index(), 1..4).prop_map(Formula::Sum),
        index().prop_map(Formula::Parity),
        (index(), index(), index()).prop_map(|(c, a, b)| Formula::If(c, a, b)),
    ];
    let op = prop_oneof![
        4 => (index(), 0..4_i64).prop_map(|(signal, value)| Op::Set(signal, value)),
        2 => (index(), 0..3_i64).prop_map(|(signal, by)| Op::Update(signal, by)),
        4 => vec((index(), 0..4_i64, proptest::option::of(index())), 0..5).prop_map(Op::Batch),
        2 => index().prop_map(Op::Read),
        1 => index().prop_map(Op::StopEffect),
    ];
    let parts =
        (vec(0..4_i64, 1..6), vec(formula, 0..14), vec(vec(index(), 1..4), 0..5), vec(op, 1..25));
    parts.prop_map(|(signals, formulas, effects, ops)| Plan { signals, formulas, effects, ops })
}

/// A formula over the nodes before it, given a way to read them.
fn apply(formula: &Formula, before: usize, mut read: impl FnMut(usize) -> i64) -> i64 {
    match formula {
        Formula::Sum(terms) => terms.iter().map(|term| read(term.index(before))).sum::<i64>() % 100,
        Formula::Parity(of) => read(of.index(before)) % 2,
        Formula::If(condition, a, b) => {
            let taken = if read(condition.index(before)) % 2 == 0 { a } else { b };
            read(taken.index(before))
        }
    }
}

/// Every node's value, from the signals' values alone.
fn from_scratch(signals: &[i64], formulas: &[Formula]) -> Vec<i64> {
    let mut values = signals.to_vec();
    for formula in formulas {
        let value = apply(formula, values.len(), |node| values[node]);
        values.push(value);
    }
    values
}

#[derive(Clone)]
enum Node {
    Signal(Signal<i64>),
    Computed(Computed<i64>),
}

impl Node {
    fn get(&self) -> i64 {
        match self {
            Self::Signal(signal) => signal.get(),
            Self::Computed(computed) => computed.get(),
        }
    }

    fn get_in(&self, cx: &Context<'_>) -> i64 {
        match self {
            Self::Signal(signal) => cx.get(signal),
            Self::Computed(computed) => cx.get(computed),
        }
    }
}

struct Watcher {
    _effect: Effect,
    reads: Vec<usize>,
    log: Log<Vec<i64>>,
    last: Vec<i64>,
}

fn build(plan: &Plan, graph: &Graph) -> (Vec<Signal<i64>>, Vec<Node>) {
    let signals: Vec<_> = plan.signals.iter().map(|value| graph.signal(*value)).collect();
    let mut nodes: Vec<Node> = signals.iter().cloned().map(Node::Signal).collect();
    for formula in &plan.formulas {
        let (before, formula) = (nodes.clone(), formula.clone());
        nodes.push(Node::Computed(
            graph.computed(move |cx| apply(&formula, before.len(), |node| before[node].get_in(cx))),
        ));
    }
    (signals, nodes)
}

fn run(plan: &Plan) {
    let graph = Graph::new();
    let (signals, nodes) = build(plan, &graph);
    let model = Arc::new(Mutex::new(plan.signals.clone()));
    let expect = {
        let (model, formulas) = (model.clone(), plan.formulas.clone());
        move || from_scratch(&model.lock().unwrap(), &formulas)
    };
    let mut watchers: Vec<Watcher> = Vec::new();
    for watched in &plan.effects {
        let reads: Vec<usize> = watched.iter().map(|index| index.index(nodes.len())).collect();
        let log = Log::new();
        let effect = graph.effect({
            let (nodes, reads, log, expect) =
                (nodes.clone(), reads.clone(), log.clone(), expect.clone());
            move |cx| {
                let seen: Vec<i64> = reads.iter().map(|node| nodes[*node].get_in(cx)).collect();
                let expected = expect();
                let expected: Vec<i64> = reads.iter().map(|node| expected[*node]).collect();
                assert_eq!(seen, expected, "an effect saw a mix");
                log.push(seen);
            }
        });
        let first = log.take();
        assert_eq!(first.len(), 1);
        watchers.push(Watcher { _effect: effect, reads, log, last: first[0].clone() });
    }

    let write = |signal: &Index, value: &dyn Fn(i64) -> i64| {
        let at = signal.index(signals.len());
        let mut model = model.lock().unwrap();
        model[at] = value(model[at]);
        (at, model[at])
    };
    for op in &plan.ops {
        match op {
            Op::Set(signal, value) => {
                let (at, value) = write(signal, &|_| *value);
                signals[at].set(value);
            }
            Op::Update(signal, by) => {
                let (at, _) = write(signal, &|old| old + by);
                signals[at].update(|value| *value += by);
            }
            Op::Batch(writes) => graph.batch(|| {
                for (signal, value, read) in writes {
                    let (at, value) = write(signal, &|_| *value);
                    signals[at].set(value);
                    if let Some(read) = read {
                        let at = read.index(nodes.len());
                        assert_eq!(nodes[at].get(), expect()[at]);
                    }
                }
            }),
            Op::Read(node) => {
                let at = node.index(nodes.len());
                assert_eq!(nodes[at].get(), expect()[at]);
            }
            Op::StopEffect(index) => {
                if !watchers.is_empty() {
                    watchers.remove(index.index(watchers.len()));
                }
            }
        }
        let values = expect();
        for watcher in &mut watchers {
            let now: Vec<i64> = watcher.reads.iter().map(|node| values[*node]).collect();
            let expected = if now == watcher.last { vec![] } else { vec![now.clone()] };
            assert_eq!(watcher.log.take(), expected, "after {op:?}");
            watcher.last = now;
        }
    }
    let values: Vec<i64> = nodes.iter().map(Node::get).collect();
    assert_eq!(values, expect());

    drop((watchers, nodes, signals));
    assert_eq!((graph.node_count(), graph.edge_count()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_equal_a_fresh_evaluation_and_effects_run_exactly_on_changes(plan in plan()) {
        run(&plan);
    }
}
