//! The driver as a task of the one thread that there is.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use super::{Machine, Run, Syncing};
use crate::store::Inner;
use crate::{OpenError, runtime};

/// The running driver; dropping it ends the task.
pub(crate) struct Driver {
    stop: watch::Sender<bool>,
}

impl Driver {
    /// Starts the task, if there is a backend.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere, there may be no more threads")]
    pub(crate) fn start(inner: &Arc<Inner>, machine: Machine) -> Result<Self, OpenError> {
        let (stop, stopped) = watch::channel(false);
        if machine.provider.is_some() {
            let run = Run::new(Arc::downgrade(inner), machine, Visitors);
            drop(runtime::spawn(run.until(stopped)));
        }
        Ok(Self { stop })
    }

    /// Tells whether the caller is on the driver's own thread: there is only one.
    #[expect(clippy::unused_self, reason = "elsewhere, each driver has a thread")]
    pub(crate) fn is_this_thread(&self) -> bool {
        true
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

/// What is in memory is as safe as it will ever be.
pub(super) fn sync_disk(_: Option<PathBuf>) -> Syncing {
    runtime::spawn(async { Ok(()) })
}

/// Nobody follows a store in memory.
pub(super) struct Visitors;

#[expect(clippy::unused_self, clippy::unused_async, reason = "elsewhere, there are visitors")]
impl Visitors {
    pub(super) async fn next(&mut self) -> Infallible {
        std::future::pending().await
    }

    pub(super) fn take_in(&mut self, visit: Infallible, _: &Weak<Inner>, _: Option<&Path>) {
        match visit {}
    }

    pub(super) async fn send_away(&mut self) {}
}
