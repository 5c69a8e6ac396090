//! What is kept of the values of a group, so that functions of them are known without reading them.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::Value;
use crate::ast::AggregateFunction;
use crate::watch::kind::kind_of_value;

/// What an aggregate is taken of, and what has to be kept of it for that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The name of the type that its values have, if that counts.
    pub(super) kind: Option<&'static str>,
    /// True if each different value is kept.
    pub(super) values: bool,
}

/// The values that one expression has in the rows of a group, nulls apart.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: u64,
    /// The sums of positive and of negative integers.
    positive: i128,
    negative: i128,
    /// How often there is which value, if they are kept.
    values: BTreeMap<Sorted, u64>,
    /// Values of another type than it has by its nature, and negative zeros, which equal positive ones.
    misfits: u64,
}

/// A value in the order of one type.
#[derive(Debug)]
struct Sorted(Value);

impl Ord for Sorted {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Sorted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sorted {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sorted {}

impl Kept {
    /// Tells whether a value is of the type, and equal only to itself.
    pub(super) fn fits(self, value: &Value) -> bool {
        let is_negative_zero = matches!(value, Value::Real(real) if real.to_bits() == 1 << 63);
        self.kind.is_none() || (kind_of_value(value) == self.kind && !is_negative_zero)
    }
}

impl Tally {
    /// Returns the number of values that are kept.
    pub(super) fn kept(&self) -> usize {
        self.values.len()
    }

    pub(super) fn add(&mut self, kept: Kept, value: Value) {
        if value == Value::Null {
            return;
        }
        self.count += 1;
        if !kept.fits(&value) {
            self.misfits += 1;
            return;
        }
        if let Value::Integer(number) = value {
            *self.sum_of(number) += i128::from(number);
        }
        if kept.values {
            *self.values.entry(Sorted(value)).or_default() += 1;
        }
    }

    /// Takes a value away; false if it was not there.
    pub(super) fn remove(&mut self, kept: Kept, value: Value) -> bool {
        if value == Value::Null {
            return true;
        }
        let less = |count: &mut u64| count.checked_sub(1).map(|less| *count = less).is_some();
        if !kept.fits(&value) {
            return less(&mut self.count) && less(&mut self.misfits);
        }
        if let Value::Integer(number) = value {
            *self.sum_of(number) -= i128::from(number);
        }
        if kept.values {
            let value = Sorted(value);
            let Some(times) = self.values.get_mut(&value) else { return false };
            *times -= 1;
            if *times == 0 {
                self.values.remove(&value);
            }
        }
        less(&mut self.count)
    }

    fn sum_of(&mut self, number: i64) -> &mut i128 {
        if number < 0 { &mut self.negative } else { &mut self.positive }
    }

    /// Returns what a function of the values is; none if that depends on their order.
    pub(super) fn of(&self, function: AggregateFunction, distinct: bool) -> Option<Value> {
        let is_all_known = self.misfits == 0;
        match function {
            AggregateFunction::Count if !distinct => Some(count(self.count)),
            _ if !is_all_known => None,
            AggregateFunction::Count => Some(count(self.values.len() as u64)),
            AggregateFunction::Min => Some(
                self.values.first_key_value().map_or(Value::Null, |(least, _)| least.0.clone()),
            ),
            AggregateFunction::Max => {
                let greatest = self.values.last_key_value();
                Some(greatest.map_or(Value::Null, |(greatest, _)| greatest.0.clone()))
            }
            AggregateFunction::Sum | AggregateFunction::Avg if self.count == 0 => Some(Value::Null),
            AggregateFunction::Sum => self.sum().map(Value::Integer),
            AggregateFunction::Total => self.sum().map(|sum| Value::Real(sum as f64)),
            AggregateFunction::Avg => {
                self.sum().map(|sum| Value::Real(sum as f64 / self.count as f64))
            }
            AggregateFunction::GroupConcat => None,
        }
    }

    /// Returns the sum, if it overflows in no order in which the values may be added.
    fn sum(&self) -> Option<i64> {
        let fits = |sum: i128| i64::try_from(sum).is_ok();
        let is_safe = fits(self.positive) && fits(self.negative);
        is_safe.then(|| i64::try_from(self.positive + self.negative).ok()).flatten()
    }
}

pub(super) fn count(count: u64) -> Value {
    Value::Integer(count.try_into().unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REALS: Kept = Kept { kind: Some("REAL"), values: true };

    #[test]
    fn the_sign_of_a_zero_is_not_decided_here() {
        let mut tally = Tally::default();
        tally.add(REALS, Value::Real(0.0));
        assert_eq!(tally.of(AggregateFunction::Min, false), Some(Value::Real(0.0)));
        tally.add(REALS, Value::Real(-0.0));
        assert_eq!(tally.of(AggregateFunction::Min, false), None);
        assert!(tally.remove(REALS, Value::Real(-0.0)));
        assert_eq!(tally.of(AggregateFunction::Min, false), Some(Value::Real(0.0)));
    }

    #[test]
    fn what_was_not_there_cannot_be_taken_away() {
        let mut tally = Tally::default();
        tally.add(REALS, Value::Real(1.0));
        assert!(!tally.remove(REALS, Value::Real(2.0)));
        assert!(!Tally::default().remove(REALS, Value::Integer(2)));
    }
}
