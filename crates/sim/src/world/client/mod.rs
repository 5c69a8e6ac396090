//! A client's machine: the real replica, on a simulated disk, driven as the native driver does.

mod driver;
mod process;
mod user;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use livestore::replica::{Barrier, Capabilities, ReplicaConfig};
use livestore::session::Lock;
use livestore::{
    ConnectionState, Durability, HistoryAnswer, OpenError, PoisonAnswer, Replica, SessionId,
};
use livestore_core::ClientId;
use livestore_sqlite::Connection;

use super::World;
use super::disk::Disk;
use super::net::Links;
use super::tab::{Slot, TABS};
use crate::action::{Access, Way};
use crate::checks::Doing;
use crate::model::app::Version;
use crate::model::{Author, ClientModel, Feed};
use crate::plan::Sizes;
use crate::workload::schema;

pub(crate) use driver::IDLE_MS;

/// The time at which every simulation begins, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// The machine of a client.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that may be so")]
pub(crate) struct Client {
    pub(super) number: u8,
    /// None if the store lives in memory.
    pub(crate) disk: Option<Disk>,
    pub(crate) process: Option<Process>,
    pub(crate) has_left: bool,
    /// How far its clock is from the right one.
    pub(crate) clock_ms: i64,
    /// How many sessions were opened, and which of them leads.
    pub(super) openings: u32,
    opening: u32,
    /// In the process of which session it leads, if it is not in one of its own.
    pub(crate) host: Option<usize>,
    /// The process that leads stands still, since when.
    pub(crate) is_frozen: bool,
    pub(crate) frozen_since: Duration,
    pub(crate) slots: [Slot; TABS],
    /// What the process that leads tells its sessions.
    pub(super) feed: Rc<RefCell<Feed>>,
    pub(crate) links: Links,
    /// In which directions nothing gets through.
    pub(crate) blocked: Vec<Way>,
    pub(crate) model: ClientModel,
    /// What it was doing when its process ended.
    pub(crate) doing: Doing,
    lost_power: bool,
    /// What it does when the backend has another history.
    answer: HistoryAnswer,
    /// What its app has to show to the server.
    pub(crate) access: Access,
    rebases: u64,
    /// It publishes its log anew.
    pub(crate) is_republishing: bool,
    /// A backend has refused a piece of the log that it publishes.
    pub(crate) was_not_republished: bool,
    /// It has stopped, since the server does not let it in.
    pub(crate) was_locked_out: bool,
}

/// The running process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) replica: Replica,
    pub(crate) barrier: Option<Barrier>,
    pub(crate) is_connecting: bool,
    /// Commits that somebody wants to be safe from a power cut: ordinal, and place in the model.
    wanted: Vec<(i64, usize)>,
    /// It has told that its disk cannot be trusted.
    distrusts: bool,
}

impl Client {
    fn new(number: u8, disk: Option<Disk>, answer: HistoryAnswer, version: Version) -> Self {
        let mut model = ClientModel::new(version, disk.is_none());
        model.may_discard = answer == HistoryAnswer::Discard;
        Self {
            number,
            disk,
            process: None,
            has_left: false,
            clock_ms: 0,
            openings: 0,
            opening: 0,
            host: None,
            is_frozen: false,
            frozen_since: Duration::ZERO,
            slots: Default::default(),
            feed: Rc::default(),
            links: Links::default(),
            blocked: Vec::new(),
            model,
            doing: Doing::Following,
            lost_power: false,
            answer,
            access: Access::default(),
            rebases: 0,
            is_republishing: false,
            was_not_republished: false,
            was_locked_out: false,
        }
    }

    fn author(&self) -> Author {
        Author { client: self.number, opening: self.opening }
    }

    /// Returns what becomes of an attempt to take the lock of its file.
    pub(crate) fn lock(&self) -> Lock {
        if self.process.is_some() { Lock::Held } else { Lock::Taken }
    }

    fn is_dead(&self) -> bool {
        self.disk.as_ref().is_some_and(Disk::is_dead)
    }

    /// Tells whether its disk may fail without its process being killed.
    pub(crate) fn is_troubled(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.is_troubled)
    }

    /// Tells whether it cannot trust its disk until it is started again.
    pub(crate) fn distrusts(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.replica.has_disk_failed())
    }

    /// Tells whether it is connected and introduced.
    pub(crate) fn is_online(&self) -> bool {
        let state = self.process.as_ref().map(|process| process.replica.status().connection);
        state == Some(ConnectionState::Connected)
    }

    fn open(&self, seed: [u8; 32], now_ms: u64, sizes: Sizes) -> Result<Replica, OpenError> {
        let (mut connection, durability) = match &self.disk {
            None => (Connection::open_memory()?, Durability::Memory),
            Some(disk) => (disk.open()?, Durability::Normal),
        };
        connection.set_wal_limit(sizes.checkpoint_pages);
        let cache = format!("PRAGMA cache_size={}", sizes.cache_pages);
        connection.system().execute_batch(&cache)?;
        let author = self.author();
        let config = ReplicaConfig {
            schema: schema(self.model.version),
            store_id: livestore_core::StoreId::new("sim")?,
            client_id: ClientId::new(author.client_name())?,
            session_id: SessionId::new(author.session_name())?,
            durability,
            upstream: Some(Capabilities::OURS),
            on_poison: PoisonAnswer::Quarantine,
            on_history_diverged: self.answer,
            seed,
        };
        let path = "the simulated disk";
        let mut replica = Replica::open(connection, config, path, now_ms, &mut |_| ())?;
        replica.set_index_events(sizes.index_events);
        replica.set_kept_bytes(sizes.kept_bytes);
        Ok(replica)
    }
}

impl World {
    /// The time by a client's clock, in milliseconds since 1970.
    pub(crate) fn client_now(&self, at: usize) -> u64 {
        (BEGINNING_MS + self.now_ms).saturating_add_signed(self.clients[at].clock_ms)
    }
}
