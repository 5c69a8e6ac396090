//! The number of rows that fulfil a condition which is understood exactly.

use super::{News, Refreshed, View};
use crate::watch::Guard;
use crate::{SqliteError, StateRead, Value, WrittenRow};

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

impl CountView {
    fn run(&mut self, read: StateRead<'_>) -> Result<Refreshed<u64>, SqliteError> {
        self.count = read.run(&self.text, &self.binds, |mut rows| {
            let count: Option<i64> = rows.next()?.map(|row| row.get(0, "count(*)")).transpose()?;
            Ok(count.unwrap_or(0).unsigned_abs())
        })?;
        Ok(Refreshed { value: self.count, was_run: true })
    }
}

impl View<u64> for CountView {
    fn refresh(&mut self, read: StateRead<'_>, news: News) -> Result<Refreshed<u64>, SqliteError> {
        let News::Rows(changes) = news else { return self.run(read) };
        for change in changes {
            let counts =
                |row: &Option<WrittenRow>| row.as_ref().is_some_and(|row| self.guard.admits(row));
            let count = match (counts(&change.old), counts(&change.new)) {
                (false, true) => self.count.checked_add(1),
                (true, false) => self.count.checked_sub(1),
                _ => Some(self.count),
            };
            let Some(count) = count else { return self.run(read) };
            self.count = count;
        }
        Ok(Refreshed { value: self.count, was_run: false })
    }
}
