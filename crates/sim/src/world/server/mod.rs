//! The server's machine: the real log and the real conversation rules, on a simulated disk.
//!
//! What the real server does with tasks and permits is done here in the order in which the steps
//! say so. The rule of fair turns is that of the server's `turn` module.

mod conversation;
mod operator;
mod process;
mod pushes;

use std::collections::{HashSet, VecDeque};

use livestore_core::protocol::Page;
use livestore_core::{GlobalSeqNum, StoreId};
use livestore_server::session::Question;
use livestore_server::{LogReader, LogStorage, LogView, SqliteStorage, StorageError};
use livestore_sqlite::sim::SimDisk;

use super::disk::Disk;
use super::net::LinkId;
use crate::checks::Append;
use crate::plan::Sizes;
use crate::rng::Rng;
use operator::OperatorRules;
use process::Backup;
use pushes::Turn;

pub(crate) use conversation::Conversation;

/// The machine of the server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    pub(crate) store_id: StoreId,
    /// Groups at which a page is cut, below the limits of the protocol.
    page_groups: usize,
    turn: Turn,
    backups: VecDeque<Backup>,
    /// Which backend it is; each has a log of its own.
    backend: u64,
    /// How many others there have been after the first.
    backends: u64,
    /// Which pushes are pieces of a log that is published anew: connection and request.
    pub(crate) anew: HashSet<(LinkId, u64)>,
    /// The number of the first token that is taken; none is asked for while it is 0.
    tokens: u64,
    /// What an append that failed may have left in the log.
    pub(crate) doubtful: Option<Append>,
    seed: u64,
}

/// The running server.
pub(crate) struct Process {
    pub(crate) storage: SqliteStorage,
    pub(crate) reader: Box<dyn LogReader>,
    pub(super) rules: OperatorRules,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

impl Server {
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        Self {
            disk: Disk::new(seed, sizes.page_bytes),
            process: None,
            store_id: StoreId::new("sim").expect("the name is valid"),
            page_groups: sizes.page_groups,
            turn: Turn::default(),
            backups: VecDeque::new(),
            backend: 0,
            backends: 0,
            anew: HashSet::new(),
            tokens: 0,
            doubtful: None,
            seed,
        }
    }

    fn open(&mut self, now_ms: u64) -> Result<Process, StorageError> {
        let (path, vfs) = (self.disk.path(), SimDisk::vfs());
        let seed = Rng::new(self.seed.wrapping_add(self.backend)).bytes();
        let storage = SqliteStorage::open_in_vfs(&path, vfs, seed, now_ms)?;
        let reader = storage.reader()?;
        let rules = OperatorRules::new(self.is_strict());
        Ok(Process { storage, reader, rules })
    }

    fn view(&mut self, question: &Question) -> Result<LogView, StorageError> {
        let process = self.process.as_mut().expect("only a running server is asked");
        process.reader.view(&self.store_id, &question.at, &question.groups)
    }

    /// Reads the page after a position, cut where the simulation wants it to be.
    fn page(&mut self, after: GlobalSeqNum) -> Result<Option<Page>, StorageError> {
        let process = self.process.as_mut().expect("only a running server is asked");
        let Some(mut page) = process.reader.page(&self.store_id, after)? else { return Ok(None) };
        if page.groups.len() > self.page_groups {
            page.groups.truncate(self.page_groups);
            let last = page.groups.last().expect("a page has a group").last();
            let view = process.reader.view(&self.store_id, &[last], &[])?;
            page.end.seq = last;
            page.end.hash = view.hashes[0].expect("a group ends there");
        }
        Ok(Some(page))
    }
}
