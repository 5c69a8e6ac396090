//! What ends a statement that runs for too long: a budget of steps of SQLite's machine, and a
//! question that is asked while it runs.
//!
//! SQLite has one progress handler for a connection. It is installed once, and both are its
//! business.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::ffi;

/// Steps of SQLite's machine between two looks at whether to go on.
const STEPS_BETWEEN_LOOKS: i32 = 2_000;

/// What running a statement counts for besides its steps, and preparing one: about as many steps as
/// take the same time. SQLite itself counts nothing of a statement that is done in a moment.
const STEPS_OF_RUNNING: i64 = 100;
const STEPS_OF_PREPARING: i64 = 1_000;

/// What is left of a budget if there is none.
const UNLIMITED: i64 = i64::MAX;

type Check = Box<dyn FnMut() -> bool + Send>;

/// The limits of one connection.
#[derive(Clone, Default)]
pub(crate) struct Steps(Arc<Limits>);

struct Limits {
    /// Steps that may still be taken.
    left: AtomicI64,
    /// Says whether to end what runs.
    check: Mutex<Option<Check>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { left: AtomicI64::new(UNLIMITED), check: Mutex::default() }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steps").field("left", &self.0.left).finish_non_exhaustive()
    }
}

impl Steps {
    /// Watches over a connection from now on.
    pub(crate) fn install(connection: &mut rusqlite::Connection) -> rusqlite::Result<Self> {
        let steps = Self::default();
        let watched = steps.clone();
        let ends = move || watched.spend(STEPS_BETWEEN_LOOKS.into()) || watched.is_told_to_end();
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(ends))?;
        Ok(steps)
    }

    /// Sets what is asked while statements run; they end when it says so.
    pub(crate) fn interrupt_when(&self, check: impl FnMut() -> bool + Send + 'static) {
        let mut known = self.0.check.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Box::new(check));
    }

    fn is_told_to_end(&self) -> bool {
        let mut check = self.0.check.lock().unwrap_or_else(PoisonError::into_inner);
        check.as_mut().is_some_and(|check| check())
    }

    /// Runs a closure within a budget, and within what is left of the one around it; tells also
    /// whether it took more.
    pub(crate) fn within<R>(&self, steps: u64, run: impl FnOnce() -> R) -> (R, bool) {
        let left = &self.0.left;
        let before = left.load(Ordering::Relaxed);
        let given = i64::try_from(steps).unwrap_or(UNLIMITED).min(UNLIMITED - 1).min(before);
        left.store(given, Ordering::Relaxed);
        let _restore = Restore { left, before, given };
        let result = run();
        (result, self.are_used_up())
    }

    /// Tells whether too many were taken of the budget.
    pub(crate) fn are_used_up(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) < 0
    }

    /// Counts a statement that is about to run.
    pub(crate) fn count_run(&self) -> rusqlite::Result<()> {
        self.count(STEPS_OF_RUNNING)
    }

    /// Counts a statement that had to be prepared.
    pub(crate) fn count_prepared(&self) -> rusqlite::Result<()> {
        self.count(STEPS_OF_PREPARING)
    }

    fn count(&self, steps: i64) -> rusqlite::Result<()> {
        if !self.spend(steps) {
            return Ok(());
        }
        let error = ffi::Error::new(ffi::SQLITE_INTERRUPT);
        Err(rusqlite::Error::SqliteFailure(error, Some("the budget of steps is used up".into())))
    }

    /// Takes steps from the budget, if there is one; tells whether they were too many.
    fn spend(&self, steps: i64) -> bool {
        let left = &self.0.left;
        match left.load(Ordering::Relaxed) {
            UNLIMITED => false,
            before => {
                let now = before.saturating_sub(steps);
                left.store(now, Ordering::Relaxed);
                now < 0
            }
        }
    }
}

/// Gives the budget around a closure back, less what it took, however it ends.
struct Restore<'a> {
    left: &'a AtomicI64,
    before: i64,
    given: i64,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        let Self { left, before, given } = *self;
        let after = match before {
            UNLIMITED => UNLIMITED,
            _ => before.saturating_sub(given.saturating_sub(left.load(Ordering::Relaxed))),
        };
        left.store(after, Ordering::Relaxed);
    }
}
