//! Those of tokio, on a thread that the store has to itself.

pub(crate) use tokio::task::{JoinHandle as Task, spawn, yield_now};
pub(crate) use tokio::time::{Instant, sleep_until, timeout};

/// True if nobody else waits for the thread.
pub(crate) const HAS_OWN_THREAD: bool = true;
