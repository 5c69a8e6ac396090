//! What kind of run a seed is: how many clients, how fast a network, which faults.
//!
//! Each seed has a random subset of the faults, so that some runs meet one kind alone and get far,
//! and others meet all of them at once.

use livestore::HistoryAnswer;
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Drop,
    Duplicate,
    Reorder,
    Delay,
    Reset,
    HangUp,
    OneWay,
    KillInside,
    Kill,
    PowerCut,
    DiskError,
    SyncError,
    DiskFull,
    Clock,
    VersionSkew,
    ServerStop,
    ServerKillInside,
    ServerPowerCut,
    ServerDisk,
    ServerRestore,
    Swap,
    Revoke,
    LockOut,
    Freeze,
    TabBreak,
    TabKill,
    Join,
    Leave,
}

impl Fault {
    const ALL: [Self; 28] = [
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::Reset,
        Self::HangUp,
        Self::OneWay,
        Self::KillInside,
        Self::Kill,
        Self::PowerCut,
        Self::DiskError,
        Self::SyncError,
        Self::DiskFull,
        Self::Clock,
        Self::VersionSkew,
        Self::ServerStop,
        Self::ServerKillInside,
        Self::ServerPowerCut,
        Self::ServerDisk,
        Self::ServerRestore,
        Self::Swap,
        Self::Revoke,
        Self::LockOut,
        Self::Freeze,
        Self::TabBreak,
        Self::TabKill,
        Self::Join,
        Self::Leave,
    ];

    /// Tells whether it befalls single messages, so that it needs no time of its own.
    pub(crate) fn is_of_messages(self) -> bool {
        matches!(self, Self::Drop | Self::Duplicate | Self::Reorder | Self::Delay)
    }

    /// How often it strikes, relative to others; those that cost much time are rare.
    fn weight(self) -> u64 {
        match self {
            Self::Reset | Self::HangUp | Self::KillInside | Self::OneWay => 6,
            Self::Clock | Self::ServerStop | Self::ServerKillInside => 3,
            Self::VersionSkew => 4,
            Self::Join | Self::Leave | Self::ServerRestore | Self::Swap => 1,
            _ => 2,
        }
    }
}

/// How large what is stored and sent is; part of every recorded run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sizes {
    /// Groups at which the server cuts a page of the log.
    pub page_groups: usize,
    /// Pages of a write-ahead log after which it is written back to its database.
    #[serde(default = "usual_checkpoint_pages")]
    pub checkpoint_pages: i32,
    /// The bytes of a page of a database.
    #[serde(default = "usual_page_bytes")]
    pub page_bytes: u32,
    /// Pages that a client's connection keeps in memory; with a few, its disk may fail anywhere.
    #[serde(default = "usual_cache_pages")]
    pub cache_pages: u32,
    /// Pending events of a client after which it brings its tail's index up to date.
    #[serde(default = "usual_index_events")]
    pub index_events: u32,
    /// Bytes of what a leader has done that it keeps for sessions that are slow.
    #[serde(default = "usual_kept_bytes")]
    pub kept_bytes: usize,
}

/// So many that nobody is left behind.
fn usual_kept_bytes() -> usize {
    16 << 20
}

/// What is longer than nearly every tail here.
fn usual_index_events() -> u32 {
    256
}

/// SQLite's own choice.
fn usual_checkpoint_pages() -> i32 {
    1000
}

/// SQLite's own choice.
fn usual_page_bytes() -> u32 {
    4096
}

/// So many that none is given back.
fn usual_cache_pages() -> u32 {
    10_000
}

/// What the clients of a run do when the backend has another history: most runs have clients of one
/// mind, since only these come to know each way well.
const ANSWERS: [&[HistoryAnswer]; 5] = {
    use HistoryAnswer::{Discard, RebasePending, Republish, Stop};
    [
        &[RebasePending],
        &[Stop],
        &[Republish],
        &[RebasePending, RebasePending, Stop],
        &[RebasePending, RebasePending, Stop, Republish, Republish, Discard],
    ]
};

/// The parameters of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// How many clients there are at the beginning.
    pub(crate) clients: u64,
    /// How many of a thousand clients live in memory.
    pub(crate) in_memory: u64,
    /// How many sessions can follow each client.
    pub(crate) tabs: usize,
    /// What clients do when the backend has another history; each draws one of these.
    pub(crate) answers: &'static [HistoryAnswer],
    /// How many of a thousand clients start with the second version.
    pub(crate) second_version: u64,
    /// How many of a thousand events fail in one version of the schema only.
    pub(crate) skewed: u64,
    /// How many steps are made up, before the rest.
    pub(crate) steps: u64,
    /// How large what is stored and sent is.
    pub(crate) sizes: Sizes,
    /// The least and the greatest time that a message takes.
    pub(crate) latency_ms: (u64, u64),
    /// How many of a thousand commits are commands.
    pub(crate) commands: u64,
    /// The mean time between two commits of a client.
    pub(crate) commit_gap_ms: u64,
    /// How many groups a client has pending before its user waits.
    pub(crate) max_pending: usize,
    /// How long a disk takes to sync.
    pub(crate) sync_ms: u64,
    /// What goes wrong.
    pub(crate) faults: Vec<Fault>,
    /// The mean number of steps between two faults.
    pub(crate) fault_gap: u64,
}

impl Plan {
    /// Draws a plan.
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let clients = match rng.below(20) {
            0..8 => 2,
            8..13 => 3,
            13..17 => rng.between(4, 5),
            17..19 => rng.between(6, 8),
            _ => rng.between(9, 16),
        };
        let latency_ms = *rng.pick(&[(1, 5), (5, 50), (20, 300)]);
        // A third of all runs have hardly any faults, so that long peaceful histories come up too.
        let share = *rng.pick(&[80, 250, 500]);
        let faults = Fault::ALL.into_iter().filter(|_| rng.chance(share)).collect();
        let commit_gap_ms = latency_ms.1 * *rng.pick(&[2, 8, 16, 40, 40]);
        let plan = Self {
            clients,
            in_memory: *rng.pick(&[0, 0, 0, 300]),
            tabs: *rng.pick(&[0, 0, 1, 2, 3]),
            answers: *rng.pick(&ANSWERS),
            second_version: *rng.pick(&[0, 0, 400]),
            skewed: *rng.pick(&[0, 0, 0, 250]),
            steps: match rng.below(10) {
                0..2 => rng.between(200, 800),
                2..8 => rng.between(800, 2000),
                _ => rng.between(2000, 4000),
            },
            sizes: Sizes {
                page_groups: *rng.pick(&[1, 2, 3, 8, 256]),
                checkpoint_pages: *rng.pick(&[15, 60, 60, 1000]),
                page_bytes: *rng.pick(&[512, 1024, 1024, 4096]),
                cache_pages: *rng.pick(&[12, 10_000, 10_000, 10_000]),
                index_events: *rng.pick(&[1, 2, 5, 256]),
                kept_bytes: *rng.pick(&[1, 2000, 16 << 20, 16 << 20]),
            },
            latency_ms,
            commands: *rng.pick(&[0, 200, 200, 600]),
            commit_gap_ms,
            max_pending: *rng.pick(&[2, 4, 4, 8, 30]),
            sync_ms: *rng.pick(&[0, 2, 20]),
            faults,
            fault_gap: *rng.pick(&[40, 100, 100, 250]),
        };
        if rng.below(6) == 0 { plan.with_upgrades(rng) } else { plan }
    }

    /// Makes it a run in which clients change versions all the time, with several groups pushed and
    /// not answered, and small pages: what a group means changes while nobody knows where it is.
    fn with_upgrades(self, rng: &mut Rng) -> Self {
        let mut faults = self.faults;
        faults.retain(|fault| *fault != Fault::VersionSkew);
        faults.push(Fault::VersionSkew);
        let commit_gap_ms = self.latency_ms.1 * *rng.pick(&[2, 8]);
        let sizes = Sizes { page_groups: *rng.pick(&[1, 1, 2]), ..self.sizes };
        Self { skewed: 300, max_pending: 8, fault_gap: 40, faults, commit_gap_ms, sizes, ..self }
    }

    /// Draws the next fault that is none of single messages, if there are any.
    pub(crate) fn draw_fault(&self, rng: &mut Rng) -> Option<Fault> {
        let striking = self.faults.iter().copied().filter(|fault| !fault.is_of_messages());
        let total: u64 = striking.clone().map(Fault::weight).sum();
        let mut left = rng.below(total.max(1));
        striking.into_iter().find(|fault| {
            let is_it = left < fault.weight();
            left = left.saturating_sub(fault.weight());
            is_it
        })
    }

    /// Tells whether a kind of fault happens at all.
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }
}
