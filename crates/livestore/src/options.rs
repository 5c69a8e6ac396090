//! How a store behaves where there is a choice.

use livestore_sqlite::Durability;

use crate::boot::{BootListeners, BootStatus, BootStatuses, InitialSync};
use crate::replica::{HistoryAnswer, PoisonAnswer};

/// How a store is opened; the defaults are right for most apps.
///
/// ```
/// use livestore::{Durability, StoreOptions};
///
/// let options = StoreOptions::new().durability(Durability::Full);
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until `Store::open_with`"]
pub struct StoreOptions {
    pub(crate) durability: Durability,
    pub(crate) on_poison: PoisonAnswer,
    pub(crate) on_history_diverged: HistoryAnswer,
    pub(crate) reproducible: Option<u64>,
    pub(crate) initial_sync: InitialSync,
    pub(crate) boot: BootListeners,
    pub(crate) check_materializers: bool,
    pub(crate) topology: Topology,
}

/// How the sessions of a client share a store in a file: several windows, several processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Topology {
    /// Whoever opens the store first uses the file directly and lets others follow; whoever comes later
    /// follows, with the state in memory.
    #[default]
    Auto,
    /// The file is used directly and by this store alone: whoever comes later gets
    /// [`OpenError::InUse`](crate::OpenError::InUse).
    Direct,
    /// The state is in memory, also if nobody else has the store open: then a leader of its own uses the
    /// file on another thread, so that no commit waits for the disk.
    Split,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Normal,
            on_poison: PoisonAnswer::default(),
            on_history_diverged: HistoryAnswer::default(),
            reproducible: None,
            initial_sync: InitialSync::default(),
            boot: BootListeners::default(),
            check_materializers: cfg!(debug_assertions),
            topology: Topology::default(),
        }
    }
}

impl StoreOptions {
    /// Starts with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what commits survive that do not say it themselves; `Normal` by default.
    ///
    /// With `Full`, [`CommitReceipt::persisted`](crate::CommitReceipt::persisted) waits for a sync
    /// of the disk; the commit itself does not.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how the store is shared with other sessions of the client; `Auto` by default.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// Sets what to do with a confirmed event that cannot be materialized.
    pub fn on_poison(mut self, answer: PoisonAnswer) -> Self {
        self.on_poison = answer;
        self
    }

    /// Sets what to do when the backend's log turns out to be another history.
    pub fn on_history_diverged(mut self, answer: HistoryAnswer) -> Self {
        self.on_history_diverged = answer;
        self
    }

    /// Makes what the store draws from chance and the clock the same in every run, for tests.
    ///
    /// The ids of clients, sessions, groups and events follow from the seed, and commits are a
    /// millisecond apart, beginning with the year 2025. Two stores with one seed make the same ids,
    /// so give each its own, and never one to a store whose data you want to keep.
    pub fn reproducible(mut self, seed: u64) -> Self {
        self.reproducible = Some(seed);
        self
    }

    /// Sets whether opening waits for the first pull; it does not by default.
    pub fn initial_sync(mut self, initial_sync: InitialSync) -> Self {
        self.initial_sync = initial_sync;
        self
    }

    /// Calls a function with how far the opening has come; it must be quick, as opening waits.
    pub fn on_boot_status(mut self, listen: impl Fn(&BootStatus) + Send + Sync + 'static) -> Self {
        self.boot.add(listen);
        self
    }

    /// Returns, beside the options, a stream of how far the opening has come.
    ///
    /// It can be read before the store is open, on another thread or task.
    pub fn boot_statuses(mut self) -> (Self, BootStatuses) {
        let statuses = self.boot.channel();
        (self, statuses)
    }

    /// Sets whether the state of a store that was there before is compared with a replay of its
    /// log; by default in debug builds alone.
    ///
    /// It notices that a materializer does something else than before although no version was
    /// raised: an error is logged, and [`Warning::StateDiffersFromReplay`](crate::Warning) is among
    /// the store's warnings. It happens after the store is open, in the background, for logs of up
    /// to 2,000 events; whoever uses the store meanwhile waits for it.
    pub fn check_materializers(mut self, check: bool) -> Self {
        self.check_materializers = check;
        self
    }
}
