//! One backend and its clients.

mod checks;
mod delivery;
mod machine;
mod moves;

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};

use livestore::protocol::{ClientMessage, Push};
use livestore::replica::{Barrier, Capabilities, Committed, RebuildProgress, ReplicaConfig};
use livestore::{
    CanonicalJson, ClientId, Command, ConnectionState, Durability, ExecuteError, Fate, GroupId,
    HistoryAnswer, IntoGroup, PoisonAnswer, Replica, Schema, SessionId, StoreId, SyncStatus,
};
use livestore_core::{Group, IdGenerator};
use livestore_sqlite::Connection;

use super::disk::{Disk, read_disk};
use super::foreign::{Fact, foreign_group_at};
use super::line::Line;
use super::log::Backend;

pub use checks::confirmed_log;
pub use delivery::OnTheWire;
pub use moves::{Move, wire};

/// A client and its end of the line.
#[derive(Debug)]
pub struct Client {
    pub replica: Replica,
    /// False while the backend cannot be reached.
    pub is_reachable: bool,
    /// Everything that was ever committed here and can still be known.
    pub committed: Vec<Committed>,
    /// Fates in the order in which they were reported, since the last opening.
    pub fates: Vec<(GroupId, Fate)>,
    /// Every push that left, since the last opening.
    pub pushes: Vec<Push>,
    line: Option<Line>,
    barrier: Option<(Barrier, HashSet<GroupId>, Option<Disk>)>,
    /// Groups that a barrier has made durable, since the last opening.
    durable: HashSet<GroupId>,
    /// What a power cut leaves behind.
    disk: Option<Disk>,
    path: Option<PathBuf>,
}

/// One backend, its clients, and the time.
#[derive(Debug)]
pub struct Net {
    pub backend: Backend,
    pub clients: Vec<Client>,
    pub now_ms: u64,
    /// What the next openings answer when the backend has another history.
    pub on_history_diverged: HistoryAnswer,
    /// True while the backend may have another history than some client.
    pub is_restored: bool,
    /// If set, barriers are done by [`Net::sync`] only.
    pub slow_disk: bool,
    late: VecDeque<Push>,
    schema: Schema,
    seeds: u16,
    elsewhere: IdGenerator,
    folder: Option<tempfile::TempDir>,
}

impl Net {
    /// Replicas in memory, not connected yet.
    pub fn new(schema: Schema, clients: usize) -> Self {
        let mut net = Self {
            backend: Backend::new(1),
            clients: Vec::new(),
            now_ms: 1_000_000,
            on_history_diverged: HistoryAnswer::Stop,
            is_restored: false,
            slow_disk: false,
            late: VecDeque::new(),
            schema,
            seeds: 0,
            elsewhere: IdGenerator::new([99; 32]),
            folder: None,
        };
        (0..clients).for_each(|_| net.add_client(false));
        net
    }

    /// Replicas on files.
    pub fn on_disk(schema: Schema, clients: usize) -> Self {
        let mut net = Self::new(schema, 0);
        (0..clients).for_each(|_| net.add_client(true));
        net
    }

    pub fn add_client(&mut self, on_disk: bool) {
        let folder = self.folder.get_or_insert_with(|| tempfile::tempdir().unwrap());
        let path = on_disk.then(|| folder.path().join(format!("{}.db", self.clients.len())));
        let replica = self.open(path.as_deref(), self.clients.len());
        let disk = path.as_deref().map(read_disk);
        self.clients.push(Client {
            replica,
            is_reachable: true,
            committed: Vec::new(),
            fates: Vec::new(),
            pushes: Vec::new(),
            line: None,
            barrier: None,
            durable: HashSet::new(),
            disk,
            path,
        });
    }

    /// Opens a replica as a client does, on a file or in memory.
    pub fn open(&mut self, path: Option<&Path>, at: usize) -> Replica {
        self.open_with(path, at, &mut |_| ())
    }

    fn open_with(
        &mut self,
        path: Option<&Path>,
        at: usize,
        progress: &mut dyn FnMut(RebuildProgress),
    ) -> Replica {
        self.seeds += 1;
        let [high, low] = self.seeds.to_be_bytes();
        let mut seed = [low; 32];
        seed[0] ^= high;
        let (connection, durability) = match path {
            None => (Connection::open_memory(), Durability::Memory),
            Some(path) => (Connection::open_file(path), Durability::Normal),
        };
        let config = ReplicaConfig {
            schema: self.schema.clone(),
            store_id: StoreId::new("test").unwrap(),
            client_id: ClientId::new(format!("client-{at}")).unwrap(),
            session_id: SessionId::new(format!("opening-{}", self.seeds)).unwrap(),
            durability,
            upstream: Some(Capabilities::OURS),
            on_poison: PoisonAnswer::Quarantine,
            on_history_diverged: self.on_history_diverged,
            seed,
        };
        Replica::open(connection.unwrap(), config, "test", self.now_ms, progress).unwrap()
    }

    /// The next restarts run other code.
    pub fn use_schema(&mut self, schema: Schema) {
        self.schema = schema;
    }

    pub fn status(&self, at: usize) -> SyncStatus {
        self.clients[at].replica.status()
    }

    pub fn replica(&mut self, at: usize) -> &mut Replica {
        &mut self.clients[at].replica
    }

    /// Commits; fails the test if that fails.
    pub fn commit<Kind>(&mut self, at: usize, events: impl IntoGroup<Kind>) -> Committed {
        self.try_commit(at, events).expect("the commit is valid on the client's own state")
    }

    pub fn try_commit<Kind>(
        &mut self,
        at: usize,
        events: impl IntoGroup<Kind>,
    ) -> Result<Committed, livestore::CommitError> {
        let client = &mut self.clients[at];
        let committed = client.replica.commit(events.into_events()?, self.now_ms)?;
        client.committed.push(committed);
        Ok(committed)
    }

    /// Executes a command; fails the test if that fails.
    pub fn execute<C: Command>(&mut self, at: usize, command: &C) -> Committed {
        self.try_execute(at, command).expect("the command is possible on the client's own state")
    }

    pub fn try_execute<C: Command>(
        &mut self,
        at: usize,
        command: &C,
    ) -> Result<Committed, ExecuteError<serde_json::Value>> {
        let args = CanonicalJson::encode(command).unwrap();
        let client = &mut self.clients[at];
        let committed = client.replica.execute(C::NAME.into(), args, self.now_ms)?;
        client.committed.push(committed);
        Ok(committed)
    }

    /// Makes a group of somebody who is not simulated.
    pub fn foreign_group(&mut self, facts: impl IntoIterator<Item = Fact>) -> Group {
        foreign_group_at(&mut self.elsewhere, self.now_ms, facts)
    }

    /// Puts a group of somebody who is not simulated into the backend's log.
    pub fn elsewhere(&mut self, facts: impl IntoIterator<Item = Fact>) -> GroupId {
        let group = self.foreign_group(facts);
        let id = group.id();
        self.backend.append(group);
        id
    }

    /// The operator forbids one of the groups that a client has on the wire, if it is a new one.
    pub fn refuse_nth_pushed(&mut self, at: usize, nth: usize) {
        let Some(line) = &self.clients[at].line else { return };
        let pushed = line.up.iter().find_map(|message| match message {
            ClientMessage::Push(push) => push.groups.get(nth),
            ClientMessage::Authenticate(_) | ClientMessage::Locate(_) | ClientMessage::Hello(_) => {
                None
            }
        });
        if let Some(group) = pushed
            && self.backend.position_of(group.id()).is_none()
        {
            self.backend.refused.insert(group.id());
        }
    }

    /// The backend is made anew from a backup without its last groups; all connections break.
    pub fn restore_backend(&mut self, lost_groups: usize) {
        for at in 0..self.clients.len() {
            self.cut(at, OnTheWire::Late);
        }
        self.backend = self.backend.made_anew(lost_groups);
    }

    pub fn is_connected(&self, at: usize) -> bool {
        self.status(at).connection == ConnectionState::Connected
    }
}
