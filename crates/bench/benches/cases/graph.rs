//! Shapes of the reactive graph, beside leptos' `reactive_graph`.
//!
//! The shapes are those by which reactive libraries are compared with each other. A call changes what is
//! at the top, and the effects at the bottom have run when it is over: ours by themselves, theirs by
//! their executor, which is polled.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use any_spawner::Executor;
use livestore_reactive::{Computed, Effect, Graph, Signal};
use reactive_graph::computed::Memo;
use reactive_graph::effect::Effect as LeptosEffect;
use reactive_graph::owner::{LocalStorage, Owner};
use reactive_graph::prelude::*;
use reactive_graph::signal::RwSignal;

use crate::{Bench, Side};

/// What both graphs can do.
trait Library: 'static {
    type Signal: Clone + 'static;
    type Computed: Clone + Send + Sync + 'static;
    type Effect: 'static;

    fn new() -> Self;
    fn signal(&self, value: i64) -> Self::Signal;
    fn set(signal: &Self::Signal, value: i64);
    /// A value over the signal.
    fn over_signal(
        &self,
        signal: &Self::Signal,
        compute: impl Fn(i64) -> i64 + Send + Sync + 'static,
    ) -> Self::Computed;
    /// A value over others.
    fn over(
        &self,
        others: &[Self::Computed],
        compute: impl Fn(&mut dyn Iterator<Item = i64>) -> i64 + Send + Sync + 'static,
    ) -> Self::Computed;
    fn effect(&self, of: &Self::Computed, seen: Arc<AtomicI64>) -> Self::Effect;
    /// Runs the effects.
    fn settle();
}

impl Library for Graph {
    type Signal = Signal<i64>;
    type Computed = Computed<i64>;
    type Effect = Effect;

    fn new() -> Self {
        Self::new()
    }

    fn signal(&self, value: i64) -> Signal<i64> {
        self.signal(value)
    }

    fn set(signal: &Signal<i64>, value: i64) {
        signal.set(value);
    }

    fn over_signal(
        &self,
        signal: &Signal<i64>,
        compute: impl Fn(i64) -> i64 + Send + Sync + 'static,
    ) -> Computed<i64> {
        let signal = signal.clone();
        self.computed(move |cx| compute(cx.get(&signal)))
    }

    fn over(
        &self,
        others: &[Computed<i64>],
        compute: impl Fn(&mut dyn Iterator<Item = i64>) -> i64 + Send + Sync + 'static,
    ) -> Computed<i64> {
        let others = others.to_vec();
        self.computed(move |cx| compute(&mut others.iter().map(|other| cx.get(other))))
    }

    fn effect(&self, of: &Computed<i64>, seen: Arc<AtomicI64>) -> Effect {
        let of = of.clone();
        self.effect(move |cx| seen.store(cx.get(&of), Ordering::Relaxed))
    }

    fn settle() {}
}

/// Leptos' graph, whose nodes belong to an owner.
struct Leptos(Owner);

impl Library for Leptos {
    type Signal = RwSignal<i64>;
    type Computed = Memo<i64>;
    type Effect = LeptosEffect<LocalStorage>;

    fn new() -> Self {
        // There is one for the process, and the cases share it.
        let _ = Executor::init_futures_executor();
        let owner = Owner::new();
        owner.set();
        Self(owner)
    }

    fn signal(&self, value: i64) -> RwSignal<i64> {
        self.0.with(|| RwSignal::new(value))
    }

    fn set(signal: &RwSignal<i64>, value: i64) {
        signal.set(value);
    }

    fn over_signal(
        &self,
        signal: &RwSignal<i64>,
        compute: impl Fn(i64) -> i64 + Send + Sync + 'static,
    ) -> Memo<i64> {
        let signal = *signal;
        self.0.with(|| Memo::new(move |_| compute(signal.get())))
    }

    fn over(
        &self,
        others: &[Memo<i64>],
        compute: impl Fn(&mut dyn Iterator<Item = i64>) -> i64 + Send + Sync + 'static,
    ) -> Memo<i64> {
        let others = others.to_vec();
        self.0.with(|| Memo::new(move |_| compute(&mut others.iter().map(|other| other.get()))))
    }

    fn effect(&self, of: &Memo<i64>, seen: Arc<AtomicI64>) -> Self::Effect {
        let of = *of;
        self.0.with(|| LeptosEffect::new(move || seen.store(of.get(), Ordering::Relaxed)))
    }

    fn settle() {
        Executor::poll_local();
    }
}

/// A shape that is kept, and its top.
struct Built<L: Library> {
    library: L,
    top: L::Signal,
    _effects: Vec<L::Effect>,
    /// What the effects have seen last.
    seen: Vec<Arc<AtomicI64>>,
    value: i64,
}

impl<L: Library> Built<L> {
    fn new(build: impl FnOnce(&L, &L::Signal) -> Vec<L::Computed>) -> Self {
        let library = L::new();
        let top = library.signal(0);
        let ends = build(&library, &top);
        let seen: Vec<Arc<AtomicI64>> = ends.iter().map(|_| Arc::default()).collect();
        let pairs = ends.iter().zip(&seen);
        let effects = pairs.map(|(end, seen)| library.effect(end, Arc::clone(seen))).collect();
        L::settle();
        Self { library, top, _effects: effects, seen, value: 0 }
    }

    fn step(&mut self) {
        let _ = &self.library;
        self.value += 1;
        L::set(&self.top, self.value);
        L::settle();
    }
}

fn sum(values: &mut dyn Iterator<Item = i64>) -> i64 {
    values.sum()
}

fn next<L: Library>(library: &L, before: &L::Computed) -> L::Computed {
    library.over(std::slice::from_ref(before), |values| sum(values) + 1)
}

/// Fifty values, one over the other.
fn deep<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let mut last = library.over_signal(top, |value| value + 1);
    for _ in 1..50 {
        last = next(library, &last);
    }
    vec![last]
}

/// Fifty values over one, each with another and an effect.
fn broad<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let pair = |index| {
        let first = library.over_signal(top, move |value| value + index);
        next(library, &first)
    };
    (0..50).map(pair).collect()
}

/// Five values over one, and one over these.
fn diamond<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let side = |index| library.over_signal(top, move |value| value + index);
    let sides: Vec<_> = (0..5).map(side).collect();
    vec![library.over(&sides, sum)]
}

/// Ten values, one over the other, and one over all of them.
fn triangle<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let mut all = vec![library.over_signal(top, |value| value)];
    for index in 1..10 {
        let last = next(library, &all[index - 1]);
        all.push(last);
    }
    vec![library.over(&all, sum)]
}

/// A value that reads another one thirty times.
fn repeated<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let one = library.over_signal(top, |value| value);
    vec![library.over(&vec![one; 30], sum)]
}

/// A value that does not change with the top, and others over it.
fn avoidable<L: Library>(library: &L, top: &L::Signal) -> Vec<L::Computed> {
    let first = library.over_signal(top, |value| value);
    let same = library.over(&[first], |values| sum(values).min(0));
    let mut last = same;
    for _ in 0..3 {
        last = next(library, &last);
    }
    vec![last]
}

macro_rules! shape {
    ($case:ident, $name:literal, $build:ident) => {
        pub(crate) fn $case(bench: &mut Bench) {
            let mut ours = Built::<Graph>::new($build);
            let mut theirs = Built::<Leptos>::new($build);
            bench.compare(
                $name,
                "us",
                Side::new(|| (), |()| ours.step()),
                Side::new(|| (), |()| theirs.step()),
            );
            // Both have come to the same, so both have done the work.
            let seen = |seen: &[Arc<AtomicI64>]| -> Vec<i64> {
                seen.iter().map(|seen| seen.load(Ordering::Relaxed)).collect()
            };
            let last = ours.value.max(theirs.value) + 1;
            (ours.value, theirs.value) = (last, last);
            ours.step();
            theirs.step();
            assert_eq!(seen(&ours.seen), seen(&theirs.seen));
        }
    };
}
shape!(graph_deep, "graph_deep", deep);
shape!(graph_broad, "graph_broad", broad);
shape!(graph_diamond, "graph_diamond", diamond);
shape!(graph_triangle, "graph_triangle", triangle);
shape!(graph_repeated, "graph_repeated", repeated);
shape!(graph_avoidable, "graph_avoidable", avoidable);
