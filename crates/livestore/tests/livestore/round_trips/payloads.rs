//! Any JSON that a payload can hold.

use livestore_core::canonical::MAX_SAFE_INTEGER;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;

/// Doubles of all magnitudes.
pub fn any_real() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000..1000_i32).prop_map(|quarters| f64::from(quarters) / 4.0),
    ]
    // In JSON, and in a column of SQLite, zero has no sign.
    .prop_filter("it is finite, and not -0.0", |real| {
        real.is_finite() && real.to_bits() != (-0.0_f64).to_bits()
    })
}

/// Any JSON without integers that other languages would round.
pub fn any_json() -> impl Strategy<Value = Value> {
    json_of(any_real().boxed())
}

/// Any JSON that can be decoded without a type and encoded again.
///
/// A whole real beyond 2⁵³ reads back as an integer then, which is refused as one that somebody
/// meant to be exact.
pub fn any_untyped_json() -> impl Strategy<Value = Value> {
    let is_integer = |real: &f64| real.fract() == 0.0 && real.abs() > MAX_SAFE_INTEGER as f64;
    let reals = any_real().prop_filter("it stays a real", move |real| !is_integer(real));
    json_of(reals.boxed())
}

fn json_of(reals: BoxedStrategy<f64>) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-MAX_SAFE_INTEGER..=MAX_SAFE_INTEGER).prop_map(Value::from),
        prop::sample::select(vec![-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER]).prop_map(Value::from),
        reals.prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Tells whether two values are the same JSON; 1 and 1.0 are one number.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| is_same(a, b)))
        }
        _ => a == b,
    }
}
