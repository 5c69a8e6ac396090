//! The number of rows that fulfil a condition which is understood exactly.

use super::{News, View};
use crate::watch::Guard;
use crate::{SqliteError, StateRead, Value};

pub(crate) struct CountView {
    text: String,
    binds: Vec<Value>,
    guard: Guard,
    count: u64,
}

impl CountView {
    /// Makes a view, given the query that counts, and what exactly it counts.
    pub(crate) fn new(text: String, binds: Vec<Value>, guard: Guard) -> Self {
        Self { text, binds, guard, count: 0 }
    }
}

impl View<u64> for CountView {
    fn refresh(&mut self, read: StateRead<'_>, news: News) -> Result<u64, SqliteError> {
        let News::Rows(changes) = news else {
            self.count = read.run(&self.text, &self.binds, |mut rows| {
                let count: Option<i64> =
                    rows.next()?.map(|row| row.get(0, "count(*)")).transpose()?;
                Ok(count.unwrap_or(0).unsigned_abs())
            })?;
            return Ok(self.count);
        };
        for change in changes {
            let counts =
                |row: &Option<Box<[Value]>>| row.as_ref().is_some_and(|row| self.guard.admits(row));
            let (before, now) = (counts(&change.old), counts(&change.new));
            self.count = self.count + u64::from(now) - u64::from(before);
        }
        Ok(self.count)
    }
}
