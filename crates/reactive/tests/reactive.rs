//! The behaviour of the reactive graph, as its users see it.

mod reactive {
    mod effects;
    mod failures;
    mod lifetimes;
    mod model;
    mod propagation;
    mod shapes;
    mod support;
    mod threads;
}
