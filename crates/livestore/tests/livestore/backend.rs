//! A backend in memory, and a network in which nothing moves unless a test says so.
//!
//! [`Backend`] is `docs/protocol.md`'s server, word by word: one log, four rules for a push, pages.
//! [`Net`] holds it together with any number of replicas. Time stands still, messages wait in
//! queues, and every step checks that each replica's confirmed log is a prefix of the backend's,
//! and that no push leaves before the barrier that makes it durable. [`Served`] gives the same
//! backend to a real store, with its driver, its thread and its live queries.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use livestore::protocol::{
    AlreadyAccepted, ClientMessage, Goodbye, GoodbyeReason, GroupPosition, GroupRejected, Hello,
    Located, Page, Push, PushAccepted, RejectReason, ServerAhead, ServerMessage, Welcome,
};
use livestore::replica::{
    Barrier, Committed, GroupState, RebuildProgress, ReplicaConfig, UpstreamAction,
};
use livestore::sync_provider::{BoxFuture, Link};
use livestore::{
    BackendId, CanonicalJson, ClientId, ConnectionState, Durability, Event, EventName, Fate,
    GlobalSeqNum, GroupId, HistoryAnswer, IntoGroup, PoisonAnswer, Replica, Schema, SessionId,
    StoreId, SyncError, SyncProvider, SyncStatus,
};
use livestore_core::{
    ConfirmedGroup, Event as StoredEvent, Group, IdGenerator, LogHash, LogPosition,
};
use livestore_sqlite::Connection;
use proptest::prelude::ProptestConfig;
use tokio::sync::Notify;

/// So many cases of a property, or `PROPTEST_CASES` for a soak.
pub fn cases(cases: u32) -> ProptestConfig {
    let default = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default,
        None => ProptestConfig { cases, ..default },
    }
}

/// The reference backend: one log, in memory. A clone is a backup of it.
#[derive(Debug, Clone)]
pub struct Backend {
    pub id: BackendId,
    /// Events at which a page is cut; a group is never cut.
    pub page_events: u64,
    /// Groups that the operator's rules forbid.
    pub refused: HashSet<GroupId>,
    /// True while it serves no store.
    pub is_down: bool,
    log: Vec<ConfirmedGroup>,
    /// Where the log stands after each group.
    ends: Vec<LogPosition>,
}

/// How a push is decided.
#[derive(Debug)]
enum Decision {
    Rejected(GroupId, RejectReason),
    Already(Vec<GroupPosition>),
    Ahead,
    Appended { first: GlobalSeqNum, end: LogPosition },
}

impl Backend {
    pub fn new(id: u8) -> Self {
        Self {
            id: BackendId::from_bytes([id; 16]),
            page_events: 100,
            refused: HashSet::new(),
            is_down: false,
            log: Vec::new(),
            ends: Vec::new(),
        }
    }

    pub fn log(&self) -> &[ConfirmedGroup] {
        &self.log
    }

    pub fn ids(&self) -> Vec<GroupId> {
        self.log.iter().map(|confirmed| confirmed.group.id()).collect()
    }

    pub fn end(&self) -> LogPosition {
        self.ends.last().copied().unwrap_or(LogPosition::ROOT)
    }

    /// Tells whether this is the end of a group here, under the same hash.
    pub fn has(&self, position: LogPosition) -> bool {
        position == LogPosition::ROOT || self.ends.contains(&position)
    }

    pub fn position_of(&self, id: GroupId) -> Option<GroupPosition> {
        let found = self.log.iter().find(|confirmed| confirmed.group.id() == id)?;
        Some(GroupPosition { id, first: found.first })
    }

    /// Appends a group, whoever made it.
    pub fn append(&mut self, group: Group) {
        let LogPosition { seq, hash } = self.end();
        let hash = hash.extend(group.content_hash());
        let confirmed = ConfirmedGroup { first: seq.next(), group };
        self.ends.push(LogPosition { seq: confirmed.last(), hash });
        self.log.push(confirmed);
    }

    /// The groups after a position, cut at the first that reaches the limit.
    pub fn page_after(&self, after: GlobalSeqNum) -> Option<Page> {
        let from = self.log.iter().position(|confirmed| confirmed.first > after)?;
        let full = after.plus(self.page_events);
        let rest = &self.ends[from..];
        let count = rest.iter().position(|end| end.seq >= full).map_or(rest.len(), |at| at + 1);
        let groups = self.log[from..from + count].to_vec();
        Some(Page { groups, end: rest[count - 1], head: self.end().seq })
    }

    fn welcome(&self, hello: &Hello) -> Result<Welcome, Goodbye> {
        if let Some(cursor) = hello.cursor
            && (cursor.backend_id != self.id || !self.has(cursor.position))
        {
            let message = "the cursor is not on this log".into();
            return Err(Goodbye { reason: GoodbyeReason::HistoryDiverged, message });
        }
        let accepted = hello.attempted.iter().filter_map(|id| self.position_of(*id)).collect();
        Ok(Welcome { version: 0, backend_id: self.id, head: self.end().seq, accepted })
    }

    /// The four rules, in their order.
    fn decide(&mut self, push: Push) -> Decision {
        for group in &push.groups {
            let known = self.log.iter().find(|confirmed| confirmed.group.id() == group.id());
            if known.is_some_and(|known| known.group != *group) {
                return Decision::Rejected(group.id(), RejectReason::EventIdConflict);
            }
            if self.refused.contains(&group.id()) {
                let message = "not on a Sunday".into();
                return Decision::Rejected(group.id(), RejectReason::Refused { message });
            }
        }
        let known: Vec<_> = push.groups.iter().filter_map(|g| self.position_of(g.id())).collect();
        if !known.is_empty() {
            return Decision::Already(known);
        }
        if push.base != self.end().seq {
            return Decision::Ahead;
        }
        push.groups.into_iter().for_each(|group| self.append(group));
        Decision::Appended { first: push.base.next(), end: self.end() }
    }
}

/// An open connection: what is on the wire, and what the backend knows of this client.
#[derive(Debug, Default)]
struct Line {
    up: VecDeque<ClientMessage>,
    down: VecDeque<ServerMessage>,
    /// Up to where the client has been sent the log; none before its hello.
    sent: Option<GlobalSeqNum>,
    /// A push that is decided, but not answered yet.
    decided: Option<(u64, Decision)>,
}

impl Line {
    /// The backend takes one message; an answer to a push waits for [`Self::answer`].
    fn take(&mut self, backend: &mut Backend, message: ClientMessage) {
        match message {
            ClientMessage::Locate(locate) => {
                let common = locate.positions.iter().rfind(|at| backend.has(**at));
                self.down.push_back(ServerMessage::Located(Located {
                    backend_id: backend.id,
                    common: common.map_or(GlobalSeqNum::ROOT, |position| position.seq),
                    head: backend.end().seq,
                }));
            }
            ClientMessage::Hello(hello) => match backend.welcome(&hello) {
                Ok(welcome) => {
                    self.sent = Some(hello.cursor.map_or(GlobalSeqNum::ROOT, |c| c.position.seq));
                    self.down.push_back(ServerMessage::Welcome(welcome));
                }
                Err(goodbye) => self.down.push_back(ServerMessage::Goodbye(goodbye)),
            },
            ClientMessage::Push(push) => {
                assert!(self.decided.is_none(), "a push before the last one was answered");
                self.decided = Some((push.request, backend.decide(push)));
            }
        }
    }

    fn answer(&mut self, backend: &Backend) -> bool {
        let Some((request, decision)) = self.decided.take() else { return false };
        let sent = self.sent.expect("a push comes after the hello");
        self.down.push_back(match decision {
            Decision::Rejected(group, reason) => {
                ServerMessage::GroupRejected(GroupRejected { request, group, reason })
            }
            Decision::Already(groups) => {
                ServerMessage::AlreadyAccepted(AlreadyAccepted { request, groups })
            }
            Decision::Ahead => {
                let missing = backend.page_after(sent);
                self.sent = Some(missing.as_ref().map_or(sent, |page| page.end.seq));
                ServerMessage::ServerAhead(ServerAhead { request, missing })
            }
            Decision::Appended { first, end } => {
                // If own groups were sent in a page already, the pages go on from there.
                if first == sent.next() {
                    self.sent = Some(end.seq);
                }
                ServerMessage::PushAccepted(PushAccepted { request, first, end })
            }
        });
        true
    }

    fn send_page(&mut self, backend: &Backend) -> bool {
        let page = self.sent.and_then(|sent| backend.page_after(sent));
        let Some(page) = page else { return false };
        self.sent = Some(page.end.seq);
        self.down.push_back(ServerMessage::Page(page));
        true
    }
}

/// A backend for real stores, in the same process.
#[derive(Debug, Clone)]
pub struct Served(Arc<Mutex<Backend>>, Arc<Notify>);

impl Served {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Backend::new(1))), Arc::default())
    }

    pub fn lock(&self) -> MutexGuard<'_, Backend> {
        self.0.lock().unwrap()
    }

    /// Appends a group of somebody else; returns the end of the log.
    pub fn elsewhere(&self, group: Group) -> GlobalSeqNum {
        let mut backend = self.lock();
        backend.append(group);
        self.1.notify_waiters();
        backend.end().seq
    }

    /// Ends all conversations and begins none, or serves again.
    pub fn set_down(&self, is_down: bool) {
        self.lock().is_down = is_down;
        self.1.notify_waiters();
    }

    async fn converse(&self, link: Link) -> Result<(), SyncError> {
        let offline = || {
            let (backend, reason) = (self.describe(), "it is down".into());
            Err(SyncError::Offline { backend, reason })
        };
        let (mut outgoing, delivery) = link.split();
        let mut line = Line::default();
        if self.lock().is_down {
            return offline();
        }
        if delivery.opened().await.is_err() {
            return Ok(());
        }
        loop {
            // Before the first look at the log, so that nothing is appended unnoticed.
            let news = self.1.notified();
            if self.lock().is_down {
                return offline();
            }
            while line.send_page(&self.lock()) {}
            while let Some(message) = line.down.pop_front() {
                if delivery.deliver(message).await.is_err() {
                    return Ok(());
                }
            }
            tokio::select! {
                message = outgoing.next() => {
                    let Some(message) = message else { return Ok(()) };
                    let mut backend = self.lock();
                    line.take(&mut backend, message);
                    line.answer(&backend);
                    self.1.notify_waiters();
                }
                () = news => {}
            }
        }
    }
}

impl SyncProvider for Served {
    fn connect(&self, link: Link) -> BoxFuture<'_, Result<(), SyncError>> {
        Box::pin(self.converse(link))
    }

    fn describe(&self) -> String {
        "the reference backend".into()
    }
}

/// What becomes of pushes that are on the wire when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTheWire {
    Lost,
    /// They reach the backend some time later; the answer goes nowhere.
    Late,
}

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

/// The content of a store's database and of its write-ahead log.
pub type Disk = [Option<Vec<u8>>; 2];

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

/// An event for a group of somebody who is not simulated.
pub type Fact = (&'static str, CanonicalJson);

pub fn fact<E: Event>(event: E) -> Fact {
    (E::NAME, CanonicalJson::encode(&event).unwrap())
}

/// Makes a group of somebody who is not simulated.
pub fn foreign_group(ids: &mut IdGenerator, facts: impl IntoIterator<Item = Fact>) -> Group {
    let group_id = ids.group_id(0);
    let event = |(name, args)| {
        let name = EventName::new(name).unwrap();
        StoredEvent { id: ids.event_id(0), name, args }
    };
    let events = facts.into_iter().map(event).collect();
    let client_id = ClientId::new("elsewhere").unwrap();
    Group::new(group_id, client_id, SessionId::new("s").unwrap(), events).unwrap()
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

    /// A client's process was killed and starts again; tells how the state is derived.
    pub fn reopen(&mut self, at: usize, progress: &mut dyn FnMut(RebuildProgress)) {
        self.cut(at, OnTheWire::Lost);
        let path = self.clients[at].path.clone().expect("it has a file");
        let replica = self.open_with(Some(&path), at, progress);
        self.clients[at].replica = replica;
        self.clients[at].barrier = None;
        self.clients[at].durable.clear();
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
            has_upstream: true,
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

    /// Makes a group of somebody who is not simulated.
    pub fn foreign_group(&mut self, facts: impl IntoIterator<Item = Fact>) -> Group {
        let (ids, now_ms) = (&mut self.elsewhere, self.now_ms);
        let group_id = ids.group_id(now_ms);
        let event = |(name, args)| StoredEvent {
            id: ids.event_id(now_ms),
            name: EventName::new(name).unwrap(),
            args,
        };
        let events = facts.into_iter().map(event).collect();
        let client_id = ClientId::new("elsewhere").unwrap();
        Group::new(group_id, client_id, SessionId::new("s").unwrap(), events).unwrap()
    }

    /// Puts a group of somebody who is not simulated into the backend's log.
    pub fn elsewhere(&mut self, facts: impl IntoIterator<Item = Fact>) -> GroupId {
        let group = self.foreign_group(facts);
        let id = group.id();
        self.backend.append(group);
        id
    }

    /// The operator forbids the first group that a client has on the wire, if it is a new one.
    pub fn refuse_what_is_pushed(&mut self, at: usize) {
        let Some(line) = &self.clients[at].line else { return };
        let pushed = line.up.iter().find_map(|message| match message {
            ClientMessage::Push(push) => push.groups.first(),
            ClientMessage::Locate(_) | ClientMessage::Hello(_) => None,
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
        let mut restored = Backend::new(self.backend.id.as_bytes()[0].wrapping_add(1));
        restored.page_events = self.backend.page_events;
        restored.refused.clone_from(&self.backend.refused);
        let log = std::mem::take(&mut self.backend.log);
        let kept = log.len().saturating_sub(lost_groups);
        log.into_iter().take(kept).for_each(|confirmed| restored.append(confirmed.group));
        self.backend = restored;
    }

    /// Does everything that a replica asks for now; returns whether there was anything.
    pub fn poll(&mut self, at: usize) -> bool {
        let mut moved = false;
        loop {
            let client = &mut self.clients[at];
            let action = client.replica.poll_upstream(self.now_ms).expect("polling works");
            match action {
                Some(UpstreamAction::Connect) if client.is_reachable => {
                    assert!(client.line.is_none(), "a second connection");
                    client.line = Some(Line::default());
                    client.replica.upstream_connected().expect("connecting works");
                }
                Some(UpstreamAction::Connect) => {
                    client.replica.upstream_disconnected(self.now_ms, "nobody answers");
                }
                Some(UpstreamAction::Send(message)) => {
                    if let ClientMessage::Push(push) = &message {
                        client.check_durable(push);
                        client.pushes.push(push.clone());
                    }
                    let line = client.line.as_mut().expect("a message without a connection");
                    line.up.push_back(message);
                }
                Some(UpstreamAction::Disconnect) => {
                    let reason = client.replica.status().last_error.unwrap_or_default();
                    self.hang_up(at, OnTheWire::Lost, &reason);
                }
                Some(other) => panic!("unknown action {other:?}"),
                None => {
                    if let Some(barrier) = client.replica.poll_barrier() {
                        let covered = client.committed.iter().map(|own| own.group_id).collect();
                        let disk = client.path.as_deref().map(read_disk);
                        client.barrier = Some((barrier, covered, disk));
                    }
                    if self.slow_disk || !self.sync(at) {
                        self.check(at);
                        return moved;
                    }
                }
            }
            moved = true;
        }
    }

    /// Finishes the barrier that a replica waits for, if there is one.
    pub fn sync(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        let Some((barrier, covered, disk)) = client.barrier.take() else { return false };
        client.durable.extend(covered);
        client.disk = disk.or(client.disk.take());
        client.replica.barrier_done(barrier, true);
        true
    }

    /// Everything moves from the write-ahead log into the database; the log is emptied, or left
    /// to be begun anew.
    pub fn checkpoint(&mut self, at: usize, empties: bool) {
        let client = &mut self.clients[at];
        let pragma = if empties {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        client.replica.connection().system().query(pragma, [], |_| Ok(())).unwrap();
        client.disk = client.path.as_deref().map(read_disk);
    }

    /// Counts the commits of a client that a barrier has made durable.
    pub fn durable_commits(&self, at: usize) -> usize {
        let Client { committed, durable, .. } = &self.clients[at];
        committed.iter().filter(|own| durable.contains(&own.group_id)).count()
    }

    /// Returns what a client's files hold as its process sees them, and what of that is safe.
    pub fn disks(&self, at: usize) -> (Disk, Disk) {
        let Client { path, disk, .. } = &self.clients[at];
        let path = path.as_deref().expect("the client is on files");
        (read_disk(path), disk.clone().expect("it has been written"))
    }

    /// The disk fails the barrier that a replica waits for, if there is one.
    pub fn fail_sync(&mut self, at: usize) -> bool {
        let Some((barrier, ..)) = self.clients[at].barrier.take() else { return false };
        self.replica(at).barrier_done(barrier, false);
        true
    }

    /// The backend takes the next message of a client, but does not answer a push.
    pub fn take(&mut self, at: usize) -> bool {
        let Some(line) = &mut self.clients[at].line else { return false };
        if line.decided.is_some() {
            return false;
        }
        let Some(message) = line.up.pop_front() else { return false };
        line.take(&mut self.backend, message);
        true
    }

    /// The backend answers the push that it has decided.
    pub fn answer(&mut self, at: usize) -> bool {
        self.clients[at].line.as_mut().is_some_and(|line| line.answer(&self.backend))
    }

    /// The backend takes the next message of a client and answers it.
    pub fn reach_backend(&mut self, at: usize) -> bool {
        let taken = self.take(at);
        self.answer(at) || taken
    }

    /// The backend sends the next page to a client, if it has one.
    pub fn send_page(&mut self, at: usize) -> bool {
        self.clients[at].line.as_mut().is_some_and(|line| line.send_page(&self.backend))
    }

    /// The next message of the backend reaches a client.
    pub fn reach_client(&mut self, at: usize) -> Option<ServerMessage> {
        let message = self.clients[at].line.as_mut()?.down.pop_front()?;
        self.inject(at, message.clone());
        Some(message)
    }

    /// A message reaches a client as if the backend had sent it; returns whether the client is
    /// still connected then.
    pub fn inject(&mut self, at: usize, message: ServerMessage) -> bool {
        let (client, now_ms) = (&mut self.clients[at], self.now_ms);
        // Over the wire and back, so that what is tested is what can be sent.
        let message = ServerMessage::decode(&message.encode()).unwrap_or(message);
        // What failed is told by the status, and by the disconnection that follows.
        let _ = client.replica.receive_upstream(message, now_ms);
        self.poll(at);
        self.clients[at].line.is_some()
    }

    /// The connection breaks.
    pub fn cut(&mut self, at: usize, on_the_wire: OnTheWire) {
        if self.clients[at].line.is_some() {
            self.hang_up(at, on_the_wire, "the connection broke");
            self.check(at);
        }
    }

    fn hang_up(&mut self, at: usize, on_the_wire: OnTheWire, reason: &str) {
        let client = &mut self.clients[at];
        let line = client.line.take();
        client.replica.upstream_disconnected(self.now_ms, reason);
        if on_the_wire == OnTheWire::Late {
            let pushes = line.into_iter().flat_map(|line| line.up);
            self.late.extend(pushes.filter_map(|message| match message {
                ClientMessage::Push(push) => Some(push),
                ClientMessage::Locate(_) | ClientMessage::Hello(_) => None,
            }));
        }
    }

    /// A push of a connection that is long gone arrives.
    pub fn late_push_arrives(&mut self) -> bool {
        let Some(push) = self.late.pop_front() else { return false };
        self.backend.decide(push);
        true
    }

    /// Time passes until a client's next attempt to connect.
    pub fn wait_for_retry(&mut self, at: usize) {
        self.now_ms = self.now_ms.max(self.replica(at).next_timeout().expect("it is offline"));
    }

    /// A client's process ends and starts again on the same file.
    pub fn restart(&mut self, at: usize, on_the_wire: OnTheWire) {
        let Some(path) = self.clients[at].path.clone() else { return };
        self.cut(at, on_the_wire);
        let replica = self.open(Some(&path), at);
        let client = &mut self.clients[at];
        client.replica = replica;
        client.barrier = None;
        client.fates.clear();
        client.pushes.clear();
        client.durable.clear();
        self.check(at);
        self.assert_state_is_replay(at);
    }

    /// A client's process ends; returns what is in its file then.
    pub fn into_file(mut self, at: usize) -> Vec<u8> {
        self.cut(at, OnTheWire::Lost);
        let Client { replica, path, .. } = self.clients.remove(at);
        drop(replica);
        let path = path.expect("the client is on a file");
        assert!(!wal(&path).exists(), "closing moves everything into the database");
        std::fs::read(path).unwrap()
    }

    /// Power fails at a client: what no barrier has covered is gone, all else is there.
    pub fn power_cut(&mut self, at: usize, on_the_wire: OnTheWire) {
        let Some(disk) = self.clients[at].disk.clone() else { return };
        self.cut(at, on_the_wire);
        let path = self.folder.as_ref().expect("files are in a folder").path();
        let path = path.join(format!("{at}-{}.db", self.seeds));
        write_disk(&path, &disk);
        self.clients[at].path = Some(path);
        self.restart(at, OnTheWire::Lost);
        for committed in std::mem::take(&mut self.clients[at].committed) {
            let id = committed.group_id;
            if self.replica(at).group_state(id).unwrap() != GroupState::Unknown {
                self.clients[at].committed.push(committed);
                continue;
            }
            let is_late = |push: &Push| push.groups.iter().any(|group| group.id() == id);
            assert!(!self.late.iter().any(is_late), "a lost group is on the wire");
            assert_eq!(self.backend.position_of(id), None, "the backend has a lost group");
        }
    }

    /// A message moves in each direction, if there is one; returns whether anything moved.
    pub fn step(&mut self, at: usize) -> bool {
        let mut moved = self.poll(at) | self.sync(at);
        moved |= self.reach_backend(at) | self.send_page(at);
        moved | self.reach_client(at).is_some()
    }

    /// Everything is delivered until nothing moves any more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for at in 0..self.clients.len() {
                moved |= self.step(at);
            }
            if !moved {
                let waiting = self.clients.iter().filter(|client| client.is_reachable);
                let next = waiting.filter_map(|client| client.replica.next_timeout()).min();
                match next {
                    Some(next) => self.now_ms = self.now_ms.max(next),
                    None => return,
                }
            }
        }
        panic!("the network does not come to rest: {:?}", self.clients);
    }

    /// Puts every client into step with the backend, and checks that it is.
    pub fn converge(&mut self) {
        self.is_restored = false;
        while self.late_push_arrives() {}
        for at in 0..self.clients.len() {
            if self.replica(at).has_disk_failed() {
                self.restart(at, OnTheWire::Lost);
            }
        }
        self.clients.iter_mut().for_each(|client| client.is_reachable = true);
        self.settle();
        let (log, mut hashes) = (flat(self.backend.log()), HashSet::new());
        for at in 0..self.clients.len() {
            let status = self.status(at);
            assert!(status.is_synced(), "client {at} is not in step: {status:?}");
            assert_eq!(confirmed_log(&self.clients[at].replica), log, "client {at}'s log");
            hashes.insert(self.replica(at).state_hash().unwrap());
            self.assert_state_is_replay(at);
            self.assert_all_accounted_for(at);
        }
        assert_eq!(hashes.len(), 1, "the states differ");
    }

    /// Checks that each committed group is in the backend's log, or a dead letter, and that once.
    pub fn assert_all_accounted_for(&mut self, at: usize) {
        let mut times: HashMap<GroupId, u32> = HashMap::new();
        for id in self.backend.ids() {
            *times.entry(id).or_default() += 1;
        }
        for letter in self.replica(at).dead_letters().unwrap() {
            *times.entry(letter.group.id()).or_default() += 1;
        }
        let synced = self.clients[at].committed.iter().filter(|committed| committed.synced);
        for Committed { group_id, .. } in synced {
            let times = times.get(group_id).copied().unwrap_or(0);
            assert_eq!(times, 1, "{group_id} of client {at} is there {times} times");
        }
    }

    pub fn assert_state_is_replay(&mut self, at: usize) {
        let replica = self.replica(at);
        let (state, replay) = (replica.state_hash().unwrap(), replica.replay_hash().unwrap());
        assert_eq!(state, replay, "client {at}'s state differs from a replay of its log");
    }

    pub fn is_connected(&self, at: usize) -> bool {
        self.status(at).connection == ConnectionState::Connected
    }

    /// Checks what has to hold for a client at every moment.
    fn check(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.fates.extend(client.replica.poll_fates());
        let (backend_id, head) = confirmed_head(&client.replica);
        let is_other_history =
            self.is_restored || backend_id.is_some_and(|id| id != self.backend.id);
        let is_prefix = is_other_history || self.backend.has(head);
        assert!(is_prefix, "client {at} is at {head:?}, which is nowhere in the log");
        let rows = "SELECT count(*), coalesce(max(seq), 0) FROM __livestore_eventlog";
        let rows: (u64, u64) = client
            .replica
            .connection()
            .system()
            .query_one(rows, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .unwrap();
        assert_eq!(rows, (head.seq.0, head.seq.0), "client {at}'s log has another length");
        assert_eq!(client.replica.status().pulled_head, head.seq);
    }
}

impl Client {
    /// The file of a client that has one.
    pub fn file(&self) -> &Path {
        self.path.as_deref().expect("the client is on disk")
    }

    fn check_durable(&self, push: &Push) {
        if self.replica.durability() == Durability::Memory {
            return;
        }
        for group in &push.groups {
            let is_durable = self.durable.contains(&group.id());
            assert!(is_durable, "group {} leaves before its barrier is done", group.id());
        }
    }
}

fn read_disk(path: &Path) -> Disk {
    [path.to_owned(), wal(path)].map(|file| std::fs::read(file).ok())
}

pub fn write_disk(path: &Path, disk: &Disk) {
    for (file, content) in [path.to_owned(), wal(path)].iter().zip(disk) {
        if let Some(content) = content {
            std::fs::write(file, content).unwrap();
        }
    }
}

fn wal(path: &Path) -> PathBuf {
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    wal.into()
}

/// Where a replica's file says that its confirmed log ends, and whose log it is.
fn confirmed_head(replica: &Replica) -> (Option<BackendId>, LogPosition) {
    let sql = "SELECT backend_id, head, head_hash FROM __livestore_meta";
    let head = replica.connection().system().query_one(sql, [], |row| {
        let (backend_id, hash): (Option<Vec<u8>>, Vec<u8>) = (row.get(0)?, row.get(2)?);
        let hash = LogHash::from_slice(&hash).expect("the hash has 32 bytes");
        let position = LogPosition { seq: GlobalSeqNum(row.get(1)?), hash };
        Ok((backend_id.and_then(|id| BackendId::from_slice(&id)), position))
    });
    head.unwrap().unwrap()
}

/// An event with everything that is stored of it.
type FlatEvent = (u64, Vec<u8>, Vec<u8>, String, String, String, String);

/// Reads a replica's confirmed log.
pub fn confirmed_log(replica: &Replica) -> Vec<FlatEvent> {
    let sql = "SELECT seq, group_id, event_id, name, args, client_id, session_id \
               FROM __livestore_eventlog ORDER BY seq";
    let row = |row: &livestore_sqlite::rusqlite::Row<'_>| {
        Ok((
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get(5)?,
            row.get(6)?,
        ))
    };
    replica.connection().system().query(sql, [], row).unwrap()
}

/// Writes a log in the form of [`confirmed_log`].
pub fn flat(log: &[ConfirmedGroup]) -> Vec<FlatEvent> {
    let mut events = Vec::new();
    for ConfirmedGroup { first, group } in log {
        for (index, event) in group.events().iter().enumerate() {
            events.push((
                first.plus(index as u64).0,
                group.id().as_bytes().to_vec(),
                event.id.as_bytes().to_vec(),
                event.name.to_string(),
                event.args.as_str().to_owned(),
                group.client_id().to_string(),
                group.session_id().to_string(),
            ));
        }
    }
    events
}
