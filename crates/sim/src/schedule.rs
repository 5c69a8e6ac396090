//! Makes up what happens: a queue of things that can happen, by virtual time, and chance.
//!
//! What comes out are explicit [`Step`]s. Nothing else decides about a run, so a recorded list of
//! steps does the same again, whatever becomes of this generator.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use livestore::HistoryAnswer;

use crate::action::{Access, Action, DiskTrouble, Loss, Place, Step, TabAction, Way};
use crate::model::app::Version;
use crate::plan::{Fault, Plan};
use crate::rng::Rng;
use crate::workload;
use crate::world::{Effect, LinkId, TABS, TabEffect, World};

/// How a user goes on with a backend that has another history.
const FOLLOWING: [HistoryAnswer; 4] = [
    HistoryAnswer::RebasePending,
    HistoryAnswer::RebasePending,
    HistoryAnswer::Republish,
    HistoryAnswer::Discard,
];

/// Something that will happen at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pending {
    /// The user of a client does something.
    User {
        client: usize,
    },
    /// A connection attempt reaches the server.
    Open {
        client: usize,
    },
    /// A timer rings.
    Wake {
        client: usize,
    },
    /// A disk is done.
    Sync {
        client: usize,
    },
    /// A message arrives.
    Arrive {
        id: LinkId,
        way: Way,
        packet: u64,
    },
    /// A message is lost where it is.
    Lose {
        id: LinkId,
        way: Way,
        packet: u64,
    },
    Answer(LinkId),
    Page(LinkId),
    ServerWake,
    StartServer,
    Start {
        client: usize,
    },
    Kill {
        client: usize,
    },
    /// A fault ends.
    Unblock {
        client: usize,
        way: Way,
    },
    Mend {
        client: Option<usize>,
    },
    LetIn {
        client: usize,
    },
    /// A process goes on that was frozen.
    Thaw {
        client: usize,
    },
    /// Something about a session.
    Tab {
        client: usize,
        tab: usize,
        what: TabPending,
    },
    Backup,
}

/// Something that will happen to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TabPending {
    Open,
    User,
    Seek,
    Wake,
    Up { old: bool },
    Down,
}

/// What will happen, and when.
#[derive(Debug)]
pub(crate) struct Schedule {
    plan: Plan,
    rng: Rng,
    now_ms: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Pending)>>,
    /// Keeps things of one moment in order.
    order: u64,
    /// When the last message of a connection arrives, so that the next one is not earlier.
    arrivals: Vec<(LinkId, Way, u64)>,
    /// Pages and timers that are planned already.
    planned: BTreeSet<Pending>,
    /// Clients that have not joined yet.
    to_join: u64,
    /// When each client is woken next.
    wakes: Vec<u64>,
}

impl Schedule {
    pub(crate) fn new(plan: Plan, rng: Rng) -> Self {
        let to_join = plan.clients;
        let mut schedule = Self {
            plan,
            rng,
            now_ms: 0,
            queue: BinaryHeap::new(),
            order: 0,
            arrivals: Vec::new(),
            planned: BTreeSet::new(),
            to_join,
            wakes: Vec::new(),
        };
        schedule.after(0, Pending::StartServer);
        if schedule.plan.has(Fault::ServerRestore) {
            schedule.after(schedule.plan.commit_gap_ms, Pending::Backup);
        }
        schedule
    }

    fn after(&mut self, delay_ms: u64, pending: Pending) {
        self.order += 1;
        self.queue.push(Reverse((self.now_ms + delay_ms, self.order, pending)));
    }

    fn latency_ms(&mut self) -> u64 {
        let (low, high) = self.plan.latency_ms;
        self.rng.between(low, high)
    }

    /// Draws one that is running.
    fn someone(&mut self, world: &World) -> Option<usize> {
        let running = |at: &usize| world.clients[*at].process.is_some();
        let running: Vec<usize> = (0..world.clients.len()).filter(running).collect();
        if running.is_empty() { None } else { Some(*self.rng.pick(&running)) }
    }

    /// Draws one whose process is going to end: often one that waits for an answer to a push, since
    /// what its end leaves open is the hardest to put right.
    fn victim(&mut self, world: &World) -> Option<usize> {
        let waiting = |at: &usize| world.has_push_in_flight(*at);
        let waiting: Vec<usize> = (0..world.clients.len()).filter(waiting).collect();
        if waiting.is_empty() || self.rng.chance(500) {
            return self.someone(world);
        }
        Some(*self.rng.pick(&waiting))
    }

    /// Returns what happens next.
    pub(crate) fn next(&mut self, world: &World) -> Option<Step> {
        if self.to_join > 0 {
            self.to_join -= 1;
            return Some(Step { at: self.now_ms, action: self.join(world) });
        }
        if self.rng.below(self.plan.fault_gap) == 0
            && let Some(fault) = self.plan.draw_fault(&mut self.rng)
            && let Some(action) = self.strike(world, fault)
        {
            return Some(Step { at: self.now_ms, action });
        }
        loop {
            let Reverse((at, _, pending)) = self.queue.pop()?;
            self.now_ms = at;
            self.planned.remove(&pending);
            if let Some(action) = self.decide(world, pending) {
                return Some(Step { at, action });
            }
        }
    }

    fn join(&mut self, world: &World) -> Action {
        let client = world.clients.len();
        self.after(1, Pending::User { client });
        for tab in 0..self.plan.tabs.min(TABS) {
            let pause_ms = self.rng.around(self.plan.commit_gap_ms * 4) + 2;
            self.after(pause_ms, Pending::Tab { client, tab, what: TabPending::Open });
        }
        let memory = self.rng.chance(self.plan.in_memory);
        let answer = *self.rng.pick(self.plan.answers);
        let version =
            if self.rng.chance(self.plan.second_version) { Version::Two } else { Version::One };
        Action::Join { memory, answer, version }
    }

    /// Takes note of what a step has set in motion.
    pub(crate) fn take_in(&mut self, effects: &[Effect]) {
        for effect in effects {
            match *effect {
                Effect::Connecting { client } => {
                    let latency_ms = self.latency_ms();
                    self.after(latency_ms, Pending::Open { client });
                }
                Effect::Sent { id, way, packet } => self.plan_arrival(id, way, packet),
                Effect::Barrier { client } => {
                    let sync_ms = self.rng.below(self.plan.sync_ms * 2 + 1);
                    self.after(sync_ms, Pending::Sync { client });
                }
                Effect::Timer { client, at_ms } => {
                    if self.wakes.len() <= client {
                        self.wakes.resize(client + 1, 0);
                    }
                    let planned_ms = self.wakes[client];
                    if planned_ms <= self.now_ms || at_ms < planned_ms {
                        self.wakes[client] = at_ms.max(self.now_ms + 1);
                        let delay_ms = self.wakes[client] - self.now_ms;
                        self.after(delay_ms, Pending::Wake { client });
                    }
                }
                Effect::Distrust { client } => {
                    let pause_ms = self.plan.latency_ms.1 * self.rng.between(1, 20);
                    self.after(pause_ms, Pending::Kill { client });
                }
                Effect::Decided(id) => {
                    let delay_ms = if self.rng.chance(200) { self.latency_ms() } else { 0 };
                    self.after(delay_ms, Pending::Answer(id));
                }
                Effect::Behind(id) => {
                    let delay_ms = if self.rng.chance(200) { self.latency_ms() } else { 1 };
                    self.plan_once(delay_ms, Pending::Page(id));
                }
                Effect::Turn { until_ms } => {
                    self.plan_once(until_ms.saturating_sub(self.now_ms), Pending::ServerWake);
                }
                Effect::Died { client } => {
                    let pause_ms = self.plan.latency_ms.1 * self.rng.between(1, 20);
                    self.after(pause_ms, Pending::Start { client });
                }
                Effect::Tab { client, tab, what } => self.plan_tab(client, tab, what),
                Effect::ServerDied => {
                    let pause_ms = self.plan.latency_ms.1 * self.rng.between(1, 10);
                    self.after(pause_ms, Pending::StartServer);
                }
            }
        }
    }

    /// On one machine everything is quick.
    fn plan_tab(&mut self, client: usize, tab: usize, what: TabEffect) {
        let quick =
            |rng: &mut Rng| if rng.chance(150) { rng.between(1, 300) } else { rng.below(3) };
        let (delay_ms, what) = match what {
            TabEffect::Opened => {
                let wake_ms = self.rng.around(self.plan.commit_gap_ms) + 1000;
                self.plan_once(wake_ms, Pending::Tab { client, tab, what: TabPending::Wake });
                (1, TabPending::User)
            }
            TabEffect::Searches => (self.rng.between(5, 250), TabPending::Seek),
            TabEffect::Up { old } => (quick(&mut self.rng), TabPending::Up { old }),
            TabEffect::Down => (quick(&mut self.rng), TabPending::Down),
            TabEffect::Died => (self.rng.around(self.plan.commit_gap_ms * 2) + 1, TabPending::Open),
        };
        self.plan_once(delay_ms, Pending::Tab { client, tab, what });
    }

    /// Says what happens to a session now that its time has come.
    fn decide_tab(
        &mut self,
        world: &World,
        client: usize,
        tab: usize,
        what: TabPending,
    ) -> Option<Action> {
        if world.clients[client].has_left {
            return None;
        }
        let act = |act| Some(Action::Tab { client, tab, act });
        let pending = Pending::Tab { client, tab, what };
        let is_there = world.clients[client].slots[tab].tab.is_some();
        match what {
            TabPending::Open => {
                let machine = &world.clients[client];
                if machine.process.is_none() || machine.is_frozen {
                    // It is opened by somebody who has a little patience.
                    let pause_ms = self.rng.around(self.plan.commit_gap_ms) + 1;
                    self.plan_once(pause_ms, pending);
                    return None;
                }
                let is_other = self.plan.second_version > 0 && self.rng.chance(150);
                let version = if is_other { Version::Two } else { machine.model.version };
                act(TabAction::Open { version })
            }
            TabPending::Seek => {
                let is_doomed = self.plan.has(Fault::KillInside) && self.rng.chance(100);
                let dies_after = is_doomed.then(|| self.rng.around(60));
                act(TabAction::Seek { dies_after })
            }
            TabPending::Wake => {
                if !is_there {
                    return None;
                }
                let gap_ms = self.rng.around(self.plan.commit_gap_ms * 4) + 1000;
                self.plan_once(gap_ms, pending);
                act(TabAction::Wake)
            }
            TabPending::Up { old } => {
                let bytes = self.bytes();
                act(TabAction::Bytes { way: Way::Up, bytes, old })
            }
            TabPending::Down => {
                let bytes = self.bytes();
                act(TabAction::Bytes { way: Way::Down, bytes, old: false })
            }
            TabPending::User => {
                if !is_there {
                    return None;
                }
                let gap_ms = self.rng.around(self.plan.commit_gap_ms) + 1;
                self.plan_once(gap_ms, pending);
                self.tab_user(world, client, tab)
            }
        }
    }

    /// Draws how many bytes arrive at once: often all.
    fn bytes(&mut self) -> usize {
        if self.rng.chance(300) { self.rng.around(400) as usize + 1 } else { 1 << 20 }
    }

    fn tab_user(&mut self, world: &World, client: usize, tab: usize) -> Option<Action> {
        let session = world.clients[client].slots[tab].tab.as_ref()?;
        let is_patient = session.model.own.len() >= self.plan.max_pending
            || world.clients[client].model.pending.len() >= self.plan.max_pending;
        let act = match self.rng.below(100) {
            0..8 => TabAction::Read,
            8..12 => TabAction::Retry { letter: self.rng.below(3) as usize },
            12..15 => TabAction::Acknowledge { letter: self.rng.below(3) as usize },
            15..16 => TabAction::Hurry,
            16..18 => TabAction::Follow { answer: *self.rng.pick(&FOLLOWING) },
            _ if is_patient => return None,
            _ if self.rng.chance(self.plan.commands) => {
                let intent = workload::intent(&mut self.rng);
                TabAction::Execute { intent, full: self.rng.chance(50) }
            }
            _ => {
                let facts = workload::group(&mut self.rng, self.plan.skewed);
                TabAction::Commit { facts, full: self.rng.chance(50) }
            }
        };
        Some(Action::Tab { client, tab, act })
    }

    /// Draws a session that is running.
    fn some_tab(&mut self, world: &World) -> Option<(usize, usize)> {
        let clients = world.clients.iter().enumerate();
        let tabs = clients.flat_map(|(client, machine)| {
            let there = (0..TABS).filter(|tab| machine.slots[*tab].tab.is_some());
            there.map(move |tab| (client, tab))
        });
        let tabs: Vec<_> = tabs.collect();
        if tabs.is_empty() { None } else { Some(*self.rng.pick(&tabs)) }
    }

    fn plan_once(&mut self, delay_ms: u64, pending: Pending) {
        if self.planned.insert(pending) {
            self.after(delay_ms, pending);
        }
    }

    fn plan_arrival(&mut self, id: LinkId, way: Way, packet: u64) {
        let mut at_ms = self.now_ms + self.latency_ms();
        if self.plan.has(Fault::Delay) && self.rng.chance(20) {
            at_ms += self.plan.latency_ms.1 * self.rng.between(2, 20);
        }
        let is_overtaking = self.plan.has(Fault::Reorder) && self.rng.chance(15);
        let last = self.arrivals.iter_mut().find(|last| (last.0, last.1) == (id, way));
        match last {
            Some(_) if is_overtaking => {}
            Some(last) => {
                at_ms = at_ms.max(last.2);
                last.2 = at_ms;
            }
            None => {
                // Only the newest connections matter.
                let is_old = |last: &(LinkId, Way, u64)| {
                    last.0.client == id.client && last.0.serial + 2 < id.serial
                };
                self.arrivals.retain(|last| !is_old(last));
                self.arrivals.push((id, way, at_ms));
            }
        }
        let is_lost = self.plan.has(Fault::Drop) && self.rng.chance(10);
        let pending = if is_lost {
            Pending::Lose { id, way, packet }
        } else {
            Pending::Arrive { id, way, packet }
        };
        self.after(at_ms - self.now_ms, pending);
    }

    /// Says what happens now that its time has come; nothing if it makes no sense any more.
    fn decide(&mut self, world: &World, pending: Pending) -> Option<Action> {
        match pending {
            Pending::User { client } => {
                let gap_ms = self.rng.around(self.plan.commit_gap_ms) + 1;
                if world.clients[client].has_left {
                    return None;
                }
                self.after(gap_ms, pending);
                world.clients[client].process.as_ref()?;
                if let Some(host) = world.clients[client].host {
                    return self.tab_user(world, client, host);
                }
                let is_patient = world.clients[client].model.pending.len() >= self.plan.max_pending;
                let letters = world.clients[client].model.dead_letters().len() as u64;
                Some(match self.rng.below(100) {
                    0..8 => Action::Read { client },
                    8..11 if letters > 0 => {
                        Action::Retry { client, letter: self.rng.below(letters) as usize }
                    }
                    11..14 if letters > 0 => {
                        Action::Acknowledge { client, letter: self.rng.below(letters) as usize }
                    }
                    14..15 => Action::Hurry { client },
                    15..16 => Action::Verify { client },
                    16..18 => Action::Follow { client, answer: *self.rng.pick(&FOLLOWING) },
                    _ if is_patient => return None,
                    _ if self.rng.chance(self.plan.commands) => {
                        let intent = workload::intent(&mut self.rng);
                        Action::Execute { client, intent, full: self.rng.chance(50) }
                    }
                    _ => {
                        let facts = workload::group(&mut self.rng, self.plan.skewed);
                        Action::Commit { client, facts, full: self.rng.chance(50) }
                    }
                })
            }
            Pending::Open { client } => Some(Action::Open { client }),
            Pending::Wake { client } => Some(Action::Wake { client }),
            Pending::Sync { client } => Some(Action::Sync { client }),
            Pending::Arrive { id, way, packet } => {
                let place = place_of(world, id, way, packet)?;
                if self.plan.has(Fault::Duplicate) && self.rng.chance(10) {
                    // The original comes right after its copy was made.
                    self.after(0, pending);
                    return Some(Action::Duplicate(place));
                }
                Some(Action::Deliver(place))
            }
            Pending::Lose { id, way, packet } => place_of(world, id, way, packet).map(Action::Drop),
            Pending::Answer(LinkId { client, serial }) => {
                let link = world.clients[client].links.ago(serial);
                Some(Action::Answer { client, link })
            }
            Pending::Page(LinkId { client, serial }) => {
                let link = world.clients[client].links.ago(serial);
                Some(Action::Page { client, link })
            }
            Pending::ServerWake => Some(Action::ServerWake),
            Pending::StartServer => Some(Action::ServerStart),
            Pending::Start { client } if world.clients[client].process.is_some() => {
                // A session has taken the lead: whoever comes back follows.
                let machine = &world.clients[client];
                let tab = machine.slots.iter().position(|slot| slot.tab.is_none())?;
                let act = TabAction::Open { version: machine.model.version };
                (self.plan.tabs > 0).then_some(Action::Tab { client, tab, act })
            }
            Pending::Start { client } => {
                let now = world.clients[client].model.version;
                let skews = self.plan.has(Fault::VersionSkew) && self.rng.chance(500);
                let version = match (skews, now) {
                    (false, version) => version,
                    (true, Version::One) => Version::Two,
                    (true, Version::Two) => Version::One,
                };
                let is_doomed = self.plan.has(Fault::KillInside) && self.rng.chance(150);
                let dies_after = is_doomed.then(|| self.rng.around(60));
                Some(Action::Start { client, version, dies_after })
            }
            Pending::Kill { client } => Some(Action::Kill { client }),
            Pending::Unblock { client, way } => Some(Action::Block { client, way, on: false }),
            Pending::Mend { client } => {
                Some(Action::Trouble { client, trouble: DiskTrouble::default() })
            }
            Pending::Thaw { client } => Some(Action::Freeze { client, on: false }),
            Pending::Tab { client, tab, what } => self.decide_tab(world, client, tab, what),
            Pending::LetIn { client } => Some(Action::Access { client, access: Access::Granted }),
            Pending::Backup => {
                let gap_ms = self.rng.around(self.plan.commit_gap_ms * 40) + 1;
                self.after(gap_ms, pending);
                Some(Action::Backup)
            }
        }
    }

    fn strike(&mut self, world: &World, fault: Fault) -> Option<Action> {
        let lasts_ms = self.plan.latency_ms.1 * self.rng.between(1, 15);
        let loss = *self.rng.pick(&[Loss::Nothing, Loss::Unsynced, Loss::Random, Loss::Random]);
        Some(match fault {
            Fault::Reset => Action::Reset { client: self.someone(world)? },
            Fault::HangUp => Action::HangUp { client: self.someone(world)? },
            Fault::OneWay => {
                let client = self.someone(world)?;
                let way = *self.rng.pick(&[Way::Up, Way::Down]);
                self.after(lasts_ms, Pending::Unblock { client, way });
                Action::Block { client, way, on: true }
            }
            Fault::KillInside => {
                let client = self.someone(world)?;
                Action::KillAfter { client, operations: self.rng.around(12) }
            }
            Fault::Kill | Fault::VersionSkew => Action::Kill { client: self.victim(world)? },
            Fault::PowerCut => Action::PowerCut { client: self.victim(world)?, loss },
            Fault::DiskError => self.trouble(
                self.rng.clone().below(120) as u16 + 1,
                |per_mille| DiskTrouble { io_error_per_mille: per_mille, ..Default::default() },
                world,
                lasts_ms,
            )?,
            Fault::SyncError => self.trouble(
                500,
                |per_mille| DiskTrouble { sync_error_per_mille: per_mille, ..Default::default() },
                world,
                lasts_ms,
            )?,
            Fault::DiskFull => {
                let client = self.someone(world)?;
                self.after(lasts_ms, Pending::Mend { client: Some(client) });
                let full_after_bytes = Some(self.rng.below(40_000));
                let trouble = DiskTrouble { full_after_bytes, ..Default::default() };
                Action::Trouble { client: Some(client), trouble }
            }
            Fault::Clock => {
                let client = self.someone(world)?;
                let by_ms = *self.rng.pick(&[-3_600_000, -5000, -100, 100, 5000, 86_400_000]);
                Action::Clock { client, by_ms }
            }
            Fault::ServerStop => Action::ServerStop { gently: self.rng.chance(500) },
            Fault::ServerKillInside => Action::ServerKillAfter { operations: self.rng.around(10) },
            Fault::ServerPowerCut => Action::ServerPowerCut { loss },
            Fault::ServerDisk => {
                self.after(lasts_ms, Pending::Mend { client: None });
                let trouble = match self.rng.below(3) {
                    0 => DiskTrouble { io_error_per_mille: 30, ..Default::default() },
                    1 => DiskTrouble { sync_error_per_mille: 400, ..Default::default() },
                    _ => DiskTrouble {
                        full_after_bytes: Some(self.rng.below(30_000)),
                        ..Default::default()
                    },
                };
                Action::Trouble { client: None, trouble }
            }
            Fault::ServerRestore => Action::Restore { copies_ago: self.rng.below(3) as usize },
            Fault::Swap => Action::Swap,
            Fault::Revoke => Action::Revoke,
            Fault::LockOut => {
                let client = self.someone(world)?;
                let access = [Access::Expired, Access::Unknown, Access::SignedOut];
                self.after(lasts_ms, Pending::LetIn { client });
                Action::Access { client, access: *self.rng.pick(&access) }
            }
            Fault::Freeze => {
                let (client, _) = self.some_tab(world)?;
                let lasts_ms = self.rng.between(100, 15_000);
                self.after(lasts_ms, Pending::Thaw { client });
                for tab in 0..self.plan.tabs.min(TABS) {
                    let wake_ms = self.rng.between(2_100, 4_000);
                    self.after(wake_ms, Pending::Tab { client, tab, what: TabPending::Wake });
                }
                Action::Freeze { client, on: true }
            }
            Fault::TabBreak => {
                let (client, tab) = self.some_tab(world)?;
                Action::Tab { client, tab, act: TabAction::Break }
            }
            Fault::TabKill => {
                let (client, tab) = self.some_tab(world)?;
                Action::Tab { client, tab, act: TabAction::Kill }
            }
            Fault::Join => {
                if world.clients.len() >= 16 {
                    return None;
                }
                self.join(world)
            }
            Fault::Leave => {
                let staying = world.clients.iter().filter(|client| !client.has_left).count();
                if staying <= 2 {
                    return None;
                }
                Action::Leave { client: self.someone(world)? }
            }
            Fault::Drop | Fault::Duplicate | Fault::Reorder | Fault::Delay => return None,
        })
    }

    fn trouble(
        &mut self,
        per_mille: u16,
        trouble: impl FnOnce(u16) -> DiskTrouble,
        world: &World,
        lasts_ms: u64,
    ) -> Option<Action> {
        let client = self.someone(world)?;
        self.after(lasts_ms, Pending::Mend { client: Some(client) });
        Some(Action::Trouble { client: Some(client), trouble: trouble(per_mille) })
    }
}

/// Finds a message among those that are on their way.
fn place_of(world: &World, id: LinkId, way: Way, packet: u64) -> Option<Place> {
    let links = &world.clients[id.client].links;
    let queue = links.get(id.serial)?.queue(way);
    let nth = queue.iter().position(|other| other.number == packet)? as u32;
    Some(Place { client: id.client, link: links.ago(id.serial), way, nth })
}
