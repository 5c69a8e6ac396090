//! The bank of the app, in plain Rust: what a command makes of it, and what becomes of a loan.
//!
//! Coins are moved and never made, so their sum stays what it was. A purse that only commands touch
//! never goes below zero, since each of them looks at what there is when it takes effect.

use std::collections::BTreeMap;

use crate::workload::{Collect, Empty, Fact, Intent, Lent, Paid, Pay};

/// How many purses there are.
pub(crate) const PURSES: u8 = 8;
/// The first of the purses that others than commands touch.
pub(crate) const FIRST_OPEN: u8 = 5;
/// What is in a purse that nobody has touched.
pub(crate) const FIRST_COINS: i64 = 20;

/// How far below zero the operator of the backend lets a purse go.
const LOWEST: i64 = -30;

/// The purses that were touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bank {
    pub(crate) purses: BTreeMap<u8, i64>,
}

impl Bank {
    fn coins(&self, purse: u8) -> i64 {
        self.purses.get(&purse).copied().unwrap_or(FIRST_COINS)
    }

    /// Applies an event, if it is one of the bank; none of them fails.
    pub(crate) fn apply(&mut self, fact: &Fact) {
        let Some((from, to, coins)) = movement(fact).filter(|(from, to, _)| from != to) else {
            return;
        };
        for (purse, by) in [(from, -coins), (to, coins)] {
            self.purses.insert(purse, self.coins(purse) + by);
        }
    }

    /// Returns the events that a command makes; none if it cannot be.
    pub(crate) fn make(&self, intent: &Intent) -> Option<Vec<Fact>> {
        match *intent {
            Intent::Pay(Pay { from, to, coins }) => {
                (self.coins(from) >= coins).then(|| vec![Paid { from, to, coins }.into()])
            }
            Intent::Empty(Empty { from, to }) => {
                let coins = self.coins(from);
                (coins > 0).then(|| vec![Paid { from, to, coins }.into()])
            }
            Intent::Collect(Collect { into, coins }) => {
                let who = (0..PURSES).filter(|from| *from != into && self.coins(*from) >= coins);
                let paid: Vec<Fact> =
                    who.map(|from| Paid { from, to: into, coins }.into()).collect();
                (!paid.is_empty()).then_some(paid)
            }
        }
    }

    /// Returns what becomes of the events of a group on a rebase, or which of them is dropped, and
    /// the group with it. All are looked at on the state before the group.
    pub(crate) fn rebase(&self, facts: &[Fact]) -> Result<Vec<Fact>, usize> {
        let one = |(index, fact): (usize, &Fact)| match *fact {
            Fact::Lent(Lent { from, to, coins }) => match self.coins(from) {
                ..1 => Err(index),
                there => Ok(Lent { from, to, coins: coins.min(there) }.into()),
            },
            _ => Ok(fact.clone()),
        };
        facts.iter().enumerate().map(one).collect()
    }
}

/// Returns which coins an event moves, if any: from, to, and how many.
pub(crate) fn movement(fact: &Fact) -> Option<(u8, u8, i64)> {
    match *fact {
        Fact::Paid(Paid { from, to, coins }) | Fact::Lent(Lent { from, to, coins }) => {
            Some((from, to, coins))
        }
        _ => None,
    }
}

/// Returns what the operator of the backend has against a group, which takes effect on this bank.
///
/// A strict one forbids more than another.
pub(crate) fn objection(bank: &mut Bank, facts: &[Fact], is_strict: bool) -> Option<&'static str> {
    for fact in facts {
        bank.apply(fact);
    }
    if facts.iter().any(|fact| fact.is_forbidden(is_strict)) {
        return Some("forbidden");
    }
    bank.purses.values().any(|coins| *coins < LOWEST).then_some("overdraft")
}
