//! Cuts a failing trace down to what it needs to fail.

use std::time::{Duration, Instant};

use crate::trace::Trace;

/// Drops steps as long as the trace fails the same check, for at most so long.
///
/// Larger chunks are tried first (delta debugging). A step that no longer makes sense does nothing,
/// so any subset is a trace. The result fails like the original, and if there was time enough, no
/// single step of it can be dropped.
pub fn minimise(trace: &Trace, limit: Duration) -> Trace {
    let deadline = Instant::now() + limit;
    let (run, done) = trace.run_until_violation();
    let Some(check) = run.violation.map(|violation| violation.check) else { return trace.clone() };
    let mut best = trace.clone();
    best.steps.truncate(done);
    let mut chunk = best.steps.len().div_ceil(2);
    while chunk > 0 && Instant::now() < deadline {
        let mut from = best.steps.len();
        let mut dropped = false;
        while from > 0 && Instant::now() < deadline {
            let start = from.saturating_sub(chunk);
            let mut smaller = best.clone();
            smaller.steps.drain(start..from);
            let (run, done) = smaller.run_until_violation();
            if run.violation.is_some_and(|found| found.check == check) {
                // What comes after the violation is not needed either.
                smaller.steps.truncate(done);
                best = smaller;
                dropped = true;
            }
            from = start.min(best.steps.len());
        }
        if chunk == 1 && !dropped {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    best.fails = Some(check.into());
    best
}
