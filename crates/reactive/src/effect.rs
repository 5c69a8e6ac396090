//! Effects: closures that follow what they read.
//!
//! The handle only keeps the effect going; when it runs is decided by `refresh`.

use crate::handle::Handle;

/// A running effect; dropping it stops it.
///
/// It may be dropped anywhere, also inside its own closure. A run in progress goes on to its end,
/// and none follows.
#[derive(Debug)]
#[must_use = "dropping an effect stops it"]
pub struct Effect {
    _handle: Handle,
}

impl Effect {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { _handle: handle }
    }
}
