//! A client's machine: the real replica, on a simulated disk, driven as the native driver does.

use livestore::replica::{Barrier, Committed, ReplicaConfig, UpstreamAction};
use livestore::{
    CommitError, ConnectionState, Durability, HistoryAnswer, OpenError, PoisonAnswer, Replica,
    SessionId,
};
use livestore_core::protocol::{ClientMessage, ServerMessage};
use livestore_core::{ClientId, GroupId};
use livestore_sqlite::Connection;

use super::disk::{Disk, calmly};
use super::net::{Body, LinkId, Links};
use super::{Effect, World};
use crate::action::{Loss, Way};
use crate::checks::{self, Doing, Violation, violation};
use crate::model::app::Version;
use crate::model::{Author, ClientModel};
use crate::plan::Sizes;
use crate::rng::Rng;
use crate::sometimes::Point;
use crate::workload::{ByKind, Fact, schema};

/// The time at which every simulation begins, in milliseconds since 1970.
const BEGINNING_MS: u64 = 1_700_000_000_000;

/// A driver looks after its replica at least this often while that waits for something.
pub(crate) const IDLE_MS: u64 = 60_000;

/// How many things a replica may ask for at once.
const MAX_ACTIONS: usize = 16;

/// The machine of a client.
#[derive(Debug)]
pub(crate) struct Client {
    number: u8,
    /// None if the store lives in memory.
    pub(crate) disk: Option<Disk>,
    pub(crate) process: Option<Process>,
    pub(crate) has_left: bool,
    /// How far its clock is from the right one.
    pub(crate) clock_ms: i64,
    openings: u32,
    pub(crate) links: Links,
    /// In which directions nothing gets through.
    pub(crate) blocked: Vec<Way>,
    pub(crate) model: ClientModel,
    /// What it was doing when its process ended.
    pub(crate) doing: Doing,
    lost_power: bool,
    /// It stops when the backend has another history.
    stops: bool,
    rebases: u64,
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
    fn new(number: u8, disk: Option<Disk>, stops: bool, version: Version) -> Self {
        let model = ClientModel::new(version, disk.is_none());
        Self {
            number,
            disk,
            process: None,
            has_left: false,
            clock_ms: 0,
            openings: 0,
            links: Links::default(),
            blocked: Vec::new(),
            model,
            doing: Doing::Following,
            lost_power: false,
            stops,
            rebases: 0,
        }
    }

    fn author(&self) -> Author {
        Author { client: self.number, opening: self.openings }
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
            has_upstream: true,
            on_poison: PoisonAnswer::Quarantine,
            on_history_diverged: if self.stops {
                HistoryAnswer::Stop
            } else {
                HistoryAnswer::RebasePending
            },
            seed,
        };
        Replica::open(connection, config, "the simulated disk", now_ms, &mut |_| ())
    }
}

/// Starting and ending.
impl World {
    /// A new client appears.
    pub(crate) fn join(
        &mut self,
        memory: bool,
        stops: bool,
        version: Version,
    ) -> Result<bool, Violation> {
        let Ok(number) = u8::try_from(self.clients.len()) else { return Ok(false) };
        let seed = self.seed_of(u64::from(number));
        let disk = (!memory).then(|| Disk::new(seed, self.sizes.page_bytes));
        self.clients.push(Client::new(number, disk, stops, version));
        self.start(usize::from(number), version, None)
    }

    /// Starts a client that is not running.
    pub(crate) fn start(
        &mut self,
        at: usize,
        version: Version,
        dies_after: Option<u64>,
    ) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        if client.process.is_some() || client.has_left {
            return Ok(false);
        }
        if let Some(disk) = &mut client.disk {
            disk.revive();
            if let Some(operations) = dies_after {
                disk.kill_after(operations);
            }
        }
        client.openings += 1;
        let before = std::mem::replace(&mut client.model.version, version);
        let purpose = u64::from(client.number) << 32 | u64::from(client.openings);
        let seed = Rng::new(self.seed_of(purpose)).bytes();
        let client = &mut self.clients[at];
        let opened = client.open(seed, now_ms, self.sizes);
        if client.is_dead() {
            client.model.version = before;
            client.doing = merge_doing(&client.doing);
            self.hit(Point::KilledWhileOpening);
            self.bury(at);
            return Ok(true);
        }
        let mut replica = match opened {
            Ok(replica) => replica,
            Err(_) if client.is_troubled() => {
                client.model.version = before;
                client.doing = merge_doing(&client.doing);
                self.effects.push(Effect::Died { client: at });
                self.hit(Point::OpenFailed);
                return Ok(true);
            }
            Err(error) => return violation("opens", Some(at), error),
        };
        let doing =
            if before == version { client.doing.clone() } else { merge_doing(&client.doing) };
        let lost_power = std::mem::take(&mut client.lost_power);
        client.model.lamps.clear();
        let (model, own) = (&mut self.model, &mut client.model);
        let check = || checks::reopened(model, at, own, &mut replica, &doing, lost_power);
        let came = calmly(client.disk.as_ref(), check)?;
        client.doing = Doing::Nothing;
        let (now, pending) = (client.model.now(), client.model.pending.len());
        client.rebases = replica.status().rebases;
        client.process = Some(Process {
            replica,
            barrier: None,
            is_connecting: false,
            wanted: Vec::new(),
            distrusts: false,
        });
        self.tell(|| format!("  client {at}: {came:?}, {pending} pending groups, {now:?}"));
        self.note_start(at, &doing, came, lost_power, before != version);
        self.verify(at)?;
        self.finish(at)?;
        Ok(true)
    }

    /// The process of a client is gone.
    pub(crate) fn bury(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.process = None;
        self.counts.kills += 1;
        self.close_link(at);
        self.effects.push(Effect::Died { client: at });
    }

    /// The process of a client is killed between two calls.
    pub(crate) fn kill(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        let Some(disk) = &mut client.disk else { return false };
        if client.process.is_none() {
            return false;
        }
        disk.kill();
        client.doing = Doing::Nothing;
        self.note_kill(at);
        self.bury(at);
        true
    }

    /// The machine of a client loses power.
    pub(crate) fn power_cut(&mut self, at: usize, loss: Loss) -> bool {
        if self.clients[at].disk.is_none() || self.clients[at].has_left {
            return false;
        }
        self.note_power_cut(at);
        self.kill(at);
        let client = &mut self.clients[at];
        client.lost_power = true;
        client.disk.as_ref().expect("it has one").power_cut(loss);
        true
    }

    /// A client goes away for ever.
    pub(crate) fn leave(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        if client.has_left {
            return false;
        }
        client.has_left = true;
        if let Some(disk) = &mut client.disk {
            disk.kill();
        }
        client.process = None;
        self.close_link(at);
        true
    }

    /// If the client's process died in the last call, it is gone now.
    fn has_died(&mut self, at: usize, doing: Doing) -> bool {
        let client = &mut self.clients[at];
        if !client.is_dead() || client.process.is_none() {
            return client.process.is_none();
        }
        client.doing = doing;
        self.note_kill(at);
        self.bury(at);
        true
    }
}

/// After a failed opening, what was under way before it may have happened, or its end.
fn merge_doing(doing: &Doing) -> Doing {
    match doing {
        Doing::Nothing => Doing::Following,
        other => other.clone(),
    }
}

/// What users and drivers do.
impl World {
    /// The user commits events.
    pub(crate) fn commit(
        &mut self,
        at: usize,
        facts: &[Fact],
        full: bool,
    ) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let events = facts.iter().map(Fact::event).collect();
        let committed = process.replica.commit(events, now_ms).map(Some);
        let done = committed.as_ref().ok().copied().flatten();
        self.committed(at, committed, facts, None)?;
        let client = &mut self.clients[at];
        if full
            && let (Some(process), Some(done)) = (&mut client.process, done)
            && done.stored
        {
            process.replica.require_full(done.ordinal);
            process.wanted.push((done.ordinal, client.model.committed.len() - 1));
        }
        self.finish(at)?;
        Ok(true)
    }

    /// Takes note of a commit, and checks that it succeeded exactly if it had to.
    fn committed(
        &mut self,
        at: usize,
        committed: Result<Option<Committed>, CommitError>,
        facts: &[Fact],
        letter: Option<GroupId>,
    ) -> Result<(), Violation> {
        let author = self.clients[at].author();
        let ByKind { synced, client_only, memory } = ByKind::of(facts);
        let is_mixed = !synced.is_empty() && !client_only.is_empty();
        // A process that dies once the commit is done may or may not have said so. What was told to
        // have happened has, even if it was the last that the process said.
        let is_told = committed.is_ok() && self.counts.steps.is_multiple_of(2);
        if (!is_told || is_mixed)
            && self.has_died(at, Doing::Commit(author, facts.to_vec(), letter))
        {
            return Ok(());
        }
        let client = &mut self.clients[at];
        let version = client.model.version;
        let mut app = client.model.local().clone();
        let expected = app
            .apply_whole(&synced, author, version)
            .and_then(|()| app.apply_whole(&client_only, author, version));
        let committed = match (committed, expected) {
            (Ok(Some(committed)), Ok(())) => committed,
            (Ok(None), _) => return violation("commit", Some(at), "the dead letter is not there"),
            (Ok(Some(_)), Err(index)) => {
                let message = format_args!("event {index} of {facts:?} does not apply");
                return violation("commit", Some(at), message);
            }
            (Err(_), Err(_)) => {
                self.hit(Point::CommitRefused);
                return Ok(());
            }
            (Err(_), Ok(())) if client.is_troubled() => {
                self.hit(Point::CommitFailed);
                return Ok(());
            }
            (Err(error), Ok(())) => return violation("commit", Some(at), error),
        };
        let mut ids = vec![committed.group_id];
        if is_mixed {
            let process = client.process.as_ref().expect("it is running");
            let newest = || checks::newest_group(at, &process.replica);
            ids.push(calmly(client.disk.as_ref(), newest)?);
        }
        let groups = [synced, client_only].into_iter().filter(|facts| !facts.is_empty());
        for (id, facts) in ids.into_iter().zip(groups) {
            if self.model.known.contains_key(&id) {
                return violation("identity", Some(at), format_args!("{id} was there before"));
            }
            let known = self.model.learn(id, author, facts);
            client.model.commit(known);
        }
        if let Some(letter) = letter {
            client.model.forget(letter);
        }
        client.model.note();
        client.model.flash(&memory);
        self.counts.events += facts.len() as u64;
        Ok(())
    }

    /// The user commits a dead letter again.
    pub(crate) fn retry(&mut self, at: usize, letter: usize) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let Some(id) = client.model.dead_letters().get(letter).copied() else { return Ok(false) };
        let committed = process.replica.retry_dead_letter(id, now_ms);
        let facts = self.model.known[&id].facts.clone();
        self.hit(Point::DeadLetterRetried);
        self.committed(at, committed, &facts, Some(id))?;
        self.finish(at)?;
        Ok(true)
    }

    /// The user forgets a dead letter.
    pub(crate) fn acknowledge(&mut self, at: usize, letter: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let Some(id) = client.model.dead_letters().get(letter).copied() else { return Ok(false) };
        let forgotten = process.replica.acknowledge_dead_letter(id);
        if self.has_died(at, Doing::Forget(id)) {
            return Ok(true);
        }
        let client = &mut self.clients[at];
        match forgotten {
            Ok(true) => {
                client.model.forget(id);
                client.model.note();
            }
            Err(_) if client.is_troubled() => {}
            other => return violation("dead-letters", Some(at), format_args!("{id}: {other:?}")),
        }
        self.finish(at)?;
        Ok(true)
    }

    /// The user follows the backend's other history.
    pub(crate) fn rebase_pending(&mut self, at: usize) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let Some(process) = &mut self.clients[at].process else { return Ok(false) };
        let went_back = process.replica.rebase_pending(now_ms);
        if self.has_died(at, Doing::Following) {
            return Ok(true);
        }
        match went_back {
            Ok(false) => return Ok(false),
            Ok(true) => self.hit(Point::HistoryFollowedLater),
            Err(_) if self.clients[at].is_troubled() => {}
            Err(error) => return violation("driver", Some(at), error),
        }
        self.finish(at)?;
        Ok(true)
    }

    /// The user does not want to wait.
    pub(crate) fn hurry(&mut self, at: usize) -> Result<bool, Violation> {
        let Some(process) = &mut self.clients[at].process else { return Ok(false) };
        process.replica.retry_now();
        self.finish(at)?;
        Ok(true)
    }

    /// The user looks at the state.
    pub(crate) fn read(&mut self, at: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &client.process else { return Ok(false) };
        let (own, replica) = (&mut client.model, &process.replica);
        let check = || checks::state(at, own, replica);
        calmly(client.disk.as_ref(), check)?;
        Ok(true)
    }

    /// Everything about a client is checked.
    pub(crate) fn verify(&mut self, at: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &client.process else { return Ok(false) };
        let (model, own, replica) = (&self.model, &mut client.model, &process.replica);
        let check = || checks::verify(model, at, own, replica);
        calmly(client.disk.as_ref(), check)?;
        Ok(true)
    }

    /// The disk has done, or failed, what a barrier asked for.
    pub(crate) fn sync(&mut self, at: usize) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        let Some(barrier) = process.barrier.take() else { return Ok(false) };
        let synced = client.disk.as_ref().map_or(Ok(()), Disk::sync);
        if self.has_died(at, Doing::Nothing) {
            self.hit(Point::KilledWhileSyncing);
            return Ok(true);
        }
        let client = &mut self.clients[at];
        match synced {
            Ok(()) => client.model.synced(),
            Err(_) if client.is_troubled() => self.hit(Point::SyncFailed),
            Err(error) => return violation("sync", Some(at), error),
        }
        let process = self.clients[at].process.as_mut().expect("it is running");
        process.replica.barrier_done(barrier, synced.is_ok());
        self.finish(at)?;
        Ok(true)
    }

    /// A client's attempt to connect is decided.
    pub(crate) fn open_link(&mut self, at: usize) -> Result<bool, Violation> {
        let now_ms = self.client_now(at);
        let is_reachable = self.server.process.is_some();
        let client = &mut self.clients[at];
        let Some(process) = &mut client.process else { return Ok(false) };
        if !std::mem::take(&mut process.is_connecting) {
            return Ok(false);
        }
        if is_reachable && client.blocked.is_empty() {
            client.links.open();
            let connected = process.replica.upstream_connected();
            if self.has_died(at, Doing::Following) {
                return Ok(true);
            }
            if let Err(error) = connected {
                if !self.clients[at].is_troubled() {
                    return violation("connects", Some(at), error);
                }
                self.hang_up(at, "the local database failed");
            }
        } else {
            process.replica.upstream_disconnected(now_ms, "nobody answers");
        }
        self.finish(at)?;
        Ok(true)
    }

    /// A message, or the end of the connection, reaches a client.
    pub(crate) fn client_hears(&mut self, id: LinkId, body: &Body) -> Result<(), Violation> {
        let at = id.client;
        let Body::Frame(frame) = body else {
            self.hang_up(at, "the backend closed the connection");
            return self.finish(at);
        };
        let message = match ServerMessage::decode(frame) {
            Ok(message) => message,
            Err(error) => return violation("protocol", Some(at), error),
        };
        let now_ms = self.client_now(at);
        self.note_message(at, &message);
        let is_damaged = self.link_mut(id).is_none_or(|link| link.is_damaged);
        let is_waiting = self.link_mut(id).is_some_and(|link| !link.down.is_empty());
        // A driver may see it, or not yet.
        let more_waits = is_waiting && self.counts.steps.is_multiple_of(6);
        let process = self.clients[at].process.as_mut().expect("an open link has a process");
        process.replica.more_messages_wait(more_waits);
        let taken = process.replica.receive_upstream(message, now_ms);
        if self.has_died(at, Doing::Following) {
            return Ok(());
        }
        let client = &self.clients[at];
        match taken {
            Ok(()) => {}
            Err(_) if client.is_troubled() => self.hit(Point::ReceiveFailed),
            Err(error) => return violation("receives", Some(at), error),
        }
        let process = self.clients[at].process.as_ref().expect("it is running");
        let status = process.replica.status();
        let nonsense = status.last_error.filter(|error| error.contains("broke the protocol"));
        if let Some(error) = nonsense
            && !is_damaged
        {
            return violation("protocol", Some(at), error);
        }
        self.finish(at)
    }

    /// What follows every call: the driver does what the replica asks for, and all is checked.
    pub(crate) fn finish(&mut self, at: usize) -> Result<(), Violation> {
        self.observe(at)?;
        self.drive(at)?;
        // Hanging up brings what was pulled into the state.
        if self.has_died(at, Doing::Following) {
            return Ok(());
        }
        let offset_ms = self.clients[at].clock_ms;
        let process = self.clients[at].process.as_mut().expect("it is running");
        if process.replica.has_disk_failed() && !std::mem::replace(&mut process.distrusts, true) {
            self.effects.push(Effect::Distrust { client: at });
        }
        if let Some(timeout_ms) = process.replica.next_timeout() {
            let at_ms = timeout_ms.saturating_sub(BEGINNING_MS).saturating_add_signed(-offset_ms);
            let at_ms = at_ms.min(self.now_ms + IDLE_MS);
            self.effects.push(Effect::Timer { client: at, at_ms });
        }
        Ok(())
    }

    fn observe(&mut self, at: usize) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        if client.is_dead() {
            return Ok(());
        }
        let Some(process) = &mut client.process else { return Ok(()) };
        let (model, own, replica) = (&self.model, &mut client.model, &mut process.replica);
        let observed = calmly(client.disk.as_ref(), || checks::observe(model, at, own, replica))?;
        let told = process.wanted.iter().filter(|(ordinal, _)| replica.is_durable(*ordinal));
        if let Some((_, index)) = told.clone().find(|(_, index)| *index >= own.synced_groups()) {
            let message = format_args!("group {index} was told to be on disk, and is not");
            return violation("durability", Some(at), message);
        }
        if told.count() > 0 {
            self.sometimes.hit(Point::FullDurabilityTold);
        }
        process.wanted.retain(|(ordinal, _)| !replica.is_durable(*ordinal));
        let rebases = replica.status().rebases;
        let rebased = rebases - std::mem::replace(&mut client.rebases, rebases);
        self.counts.rebases += rebased;
        let _ = process.replica.poll_changes();
        if observed.moved || observed.rejected > 0 || observed.went_back {
            self.tell(|| format!("  client {at}: {observed:?}, {rebased} rebases"));
        }
        self.note_observed(at, observed, rebased > 0);
        Ok(())
    }

    fn drive(&mut self, at: usize) -> Result<(), Violation> {
        for _ in 0..MAX_ACTIONS {
            let now_ms = self.client_now(at);
            let client = &mut self.clients[at];
            let is_dead = client.is_dead();
            let Some(process) = &mut client.process else { return Ok(()) };
            if is_dead {
                return Ok(());
            }
            let polled = process.replica.poll_upstream(now_ms);
            let head = process.replica.status().confirmed_head;
            if head != client.model.head.seq && !client.is_dead() {
                // Pages that were put off have been merged.
                self.observe(at)?;
            }
            let Some(process) = &mut self.clients[at].process else { return Ok(()) };
            match polled {
                Ok(None) => {
                    if let Some(barrier) = process.replica.poll_barrier() {
                        process.barrier = Some(barrier);
                        self.effects.push(Effect::Barrier { client: at });
                    }
                    return Ok(());
                }
                Ok(Some(UpstreamAction::Connect)) => {
                    process.is_connecting = true;
                    self.effects.push(Effect::Connecting { client: at });
                }
                Ok(Some(UpstreamAction::Send(message))) => self.client_says(at, &message)?,
                Ok(Some(UpstreamAction::Disconnect)) => {
                    self.hang_up(at, "disconnected");
                    self.observe(at)?;
                }
                Ok(Some(other)) => {
                    return violation("driver", Some(at), format_args!("unknown: {other:?}"));
                }
                Err(_) if self.clients[at].is_dead() => return Ok(()),
                Err(_) if self.clients[at].is_troubled() => {
                    self.hang_up(at, "the local database failed");
                    self.observe(at)?;
                }
                Err(error) => return violation("driver", Some(at), error),
            }
        }
        violation("driver", Some(at), "its driver has no rest")
    }

    fn client_says(&mut self, at: usize, message: &ClientMessage) -> Result<(), Violation> {
        let client = &self.clients[at];
        if let ClientMessage::Push(push) = message {
            checks::push(at, &client.model, push)?;
        }
        let Some(serial) = client.links.current() else {
            return violation("driver", Some(at), "a message without a connection");
        };
        self.send(LinkId { client: at, serial }, Way::Up, Body::Frame(message.encode()));
        Ok(())
    }

    /// A client closes its connection, or learns that it is closed.
    pub(crate) fn hang_up(&mut self, at: usize, reason: &str) {
        self.close_link(at);
        self.tell(|| format!("  client {at} is disconnected: {reason}"));
        let now_ms = self.client_now(at);
        if let Some(process) = &mut self.clients[at].process {
            process.is_connecting = false;
            process.replica.upstream_disconnected(now_ms, reason);
        }
    }

    fn close_link(&mut self, at: usize) {
        if let Some(serial) = self.clients[at].links.current() {
            let id = LinkId { client: at, serial };
            let link = self.link_mut(id).expect("it is the current one");
            link.is_open = false;
            link.down.clear();
            self.send(id, Way::Up, Body::End);
        }
    }

    /// The time by a client's clock, in milliseconds since 1970.
    pub(crate) fn client_now(&self, at: usize) -> u64 {
        (BEGINNING_MS + self.now_ms).saturating_add_signed(self.clients[at].clock_ms)
    }
}
