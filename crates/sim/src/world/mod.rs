//! The simulated world: machines, wires and the time. It does what a step says, and nothing else.
//!
//! The world never draws a random number to decide what happens next; that is the business of the
//! [schedule](crate::schedule), or of a recorded trace. It tells what it has set in motion
//! ([`Effect`]), so that the schedule knows what can happen next.

mod client;
mod disk;
mod net;
mod notes;
mod server;
mod settle;
mod tab;

use crate::action::{Action, Place, Step, Way};
use crate::checks::Violation;
use crate::model::Model;
use crate::plan::Sizes;
use crate::rng::Rng;
use crate::sometimes::{Point, Sometimes};
use disk::Disk;
use net::{Body, Link, Packet};
use server::Server;

pub(crate) use client::Client;
pub(crate) use net::LinkId;
pub(crate) use tab::{TABS, TabEffect};

/// Something that was set in motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A client tries to connect.
    Connecting { client: usize },
    /// A message, or the end of a connection, is on its way.
    Sent { id: LinkId, way: Way, packet: u64 },
    /// A client waits for its disk.
    Barrier { client: usize },
    /// A client wants to be woken.
    Timer { client: usize, at_ms: u64 },
    /// The server has decided on a push.
    Decided(LinkId),
    /// A client is behind the log.
    Behind(LinkId),
    /// The server waits for a client until then, and others wait for the server.
    Turn { until_ms: u64 },
    /// A client cannot trust its disk until it is started again.
    Distrust { client: usize },
    /// A client's process has ended.
    Died { client: usize },
    /// Something about a session that follows a client's leader.
    Tab { client: usize, tab: usize, what: TabEffect },
    /// The server's process has ended.
    ServerDied,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages, timers and calls.
    pub steps: u64,
    /// Events committed by clients.
    pub events: u64,
    /// Rebases.
    pub rebases: u64,
    /// Processes killed.
    pub kills: u64,
    /// Servers restored from a backup.
    pub restores: u64,
    /// Sessions that became leaders when there was none.
    pub takeovers: u64,
}

impl Counts {
    /// Adds those of another run.
    pub fn add(&mut self, other: Self) {
        self.steps += other.steps;
        self.events += other.events;
        self.rebases += other.rebases;
        self.kills += other.kills;
        self.restores += other.restores;
        self.takeovers += other.takeovers;
    }
}

/// How much of a message the story quotes.
const STORY_CHARS: usize = 400;

/// Everything there is.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) clients: Vec<Client>,
    pub(crate) server: Server,
    pub(crate) model: Model,
    pub(crate) counts: Counts,
    pub(crate) sometimes: Sometimes,
    pub(crate) effects: Vec<Effect>,
    /// What happened, in words, if somebody wants to know.
    pub(crate) story: Option<Vec<String>>,
    sizes: Sizes,
    seed: u64,
    packets: u64,
    /// Over all steps and all messages.
    hasher: blake3::Hasher,
}

impl World {
    /// A world with a server that is not running, and nobody else.
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        let mut world = Self {
            now_ms: 0,
            clients: Vec::new(),
            server: Server::new(seed, sizes),
            model: Model::new(),
            counts: Counts::default(),
            sometimes: Sometimes::default(),
            effects: Vec::new(),
            story: None,
            sizes,
            seed,
            packets: 0,
            hasher: blake3::Hasher::new(),
        };
        world.server.disk = Disk::new(world.seed_of(u64::MAX), sizes.page_bytes);
        world
    }

    /// Does a step; returns whether it did anything.
    pub(crate) fn apply(&mut self, step: &Step) -> Result<bool, Violation> {
        self.now_ms = self.now_ms.max(step.at);
        self.tell(|| format!("{:?}", step.action));
        let done = self.act(&step.action)?;
        if done {
            self.tick();
        } else {
            self.tell(|| "  nothing to do".into());
        }
        Ok(done)
    }

    /// Adds a line to the story.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9} ms  {}", self.now_ms, line()));
        }
    }

    /// Counts a step.
    pub(crate) fn tick(&mut self) {
        self.counts.steps += 1;
        self.hasher.update(&self.now_ms.to_le_bytes());
    }

    /// Returns what tells this run from every other one.
    pub(crate) fn fingerprint(&self) -> String {
        self.hasher.finalize().to_hex()[..16].to_owned()
    }

    fn act(&mut self, action: &Action) -> Result<bool, Violation> {
        if let Some(client) = client_of(action)
            && client >= self.clients.len()
        {
            return Ok(false);
        }
        if let Some(client) = client_of(action)
            && self.clients[client].is_frozen
            && needs_a_moving_client(action)
        {
            return Ok(false);
        }
        match action {
            Action::Join { memory, answer, version } => self.join(*memory, *answer, *version),
            Action::Leave { client } => {
                self.note_leave(*client);
                Ok(self.leave(*client))
            }
            Action::Commit { client, facts, full } => self.commit(*client, facts, *full),
            Action::Execute { client, intent, full } => self.execute(*client, intent, *full),
            Action::Retry { client, letter } => self.retry(*client, *letter),
            Action::Acknowledge { client, letter } => self.acknowledge(*client, *letter),
            Action::Follow { client, answer } => self.follow(*client, *answer),
            Action::Access { client, access } => {
                let before = std::mem::replace(&mut self.clients[*client].access, *access);
                Ok(before != *access)
            }
            Action::Hurry { client } => self.hurry(*client),
            Action::Read { client } => self.read(*client),
            Action::Verify { client } => self.verify(*client),
            Action::Wake { client } => self.wake(*client),
            Action::Open { client } => self.open_link(*client),
            Action::Sync { client } => self.sync(*client),
            Action::Deliver(place) => self.deliver(*place),
            Action::Drop(place) => Ok(self.lose(*place)),
            Action::Duplicate(place) => Ok(self.duplicate(*place)),
            Action::Reset { client } => self.reset(*client),
            Action::HangUp { client } => {
                if self.clients[*client].links.current().is_none() {
                    return Ok(false);
                }
                self.note_hang_up(*client);
                self.hang_up(*client, "the connection broke");
                self.finish(*client)?;
                Ok(true)
            }
            Action::Block { client, way, on } => Ok(self.block(*client, *way, *on)),
            Action::KillAfter { client, operations } => {
                let client = &mut self.clients[*client];
                let Some(disk) = client.disk.as_mut().filter(|disk| !disk.is_dead()) else {
                    return Ok(false);
                };
                disk.kill_after(*operations);
                Ok(true)
            }
            Action::Kill { client } => Ok(self.kill(*client)),
            Action::Freeze { client, on } => self.freeze(*client, *on),
            Action::Tab { client, tab, act } => self.tab_acts(*client, *tab, act),
            Action::PowerCut { client, loss } => Ok(self.power_cut(*client, *loss)),
            Action::Start { client, version, dies_after } => {
                self.start(*client, *version, *dies_after)
            }
            Action::Trouble { client: None, trouble } => {
                self.server.disk.trouble(*trouble);
                Ok(true)
            }
            Action::Trouble { client: Some(client), trouble } => {
                let Some(disk) = &mut self.clients[*client].disk else { return Ok(false) };
                disk.trouble(*trouble);
                Ok(true)
            }
            Action::Clock { client, by_ms } => self.set_clock(*client, *by_ms),
            Action::Answer { client, link } => self.answer(self.link_id(*client, *link)),
            Action::Page { client, link } => self.send_page(self.link_id(*client, *link)),
            Action::ServerWake => self.server_wakes(),
            Action::ServerKillAfter { operations } => {
                if self.server.process.is_none() {
                    return Ok(false);
                }
                self.server.disk.kill_after(*operations);
                Ok(true)
            }
            Action::ServerStop { gently } => {
                self.note_server_stop();
                Ok(self.stop_server(*gently))
            }
            Action::ServerPowerCut { loss } => {
                self.note_server_stop();
                Ok(self.cut_server(*loss))
            }
            Action::ServerStart => self.start_server(),
            Action::Revoke => self.revoke(),
            Action::Swap => Ok(self.swap()),
            Action::Backup => Ok(self.back_up()),
            Action::Restore { copies_ago } => Ok(self.restore(*copies_ago)),
            Action::Settle => {
                self.settle()?;
                Ok(true)
            }
        }
    }

    /// A seed of its own for each purpose.
    pub(crate) fn seed_of(&self, purpose: u64) -> u64 {
        Rng::new(self.seed).fork(purpose).next()
    }

    pub(crate) fn hit(&mut self, point: Point) {
        self.sometimes.hit(point);
    }

    /// A client's timer rings.
    fn wake(&mut self, client: usize) -> Result<bool, Violation> {
        let Some(process) = &self.clients[client].process else { return Ok(false) };
        if process.replica.next_timeout().is_none() {
            return Ok(false);
        }
        self.finish(client)?;
        Ok(true)
    }

    fn set_clock(&mut self, client: usize, by_ms: i64) -> Result<bool, Violation> {
        self.clients[client].clock_ms += by_ms;
        if by_ms < 0 && self.clients[client].process.is_some() && !self.clients[client].is_online()
        {
            self.hit(Point::ClockBack);
        }
        if self.clients[client].process.is_some() {
            self.finish(client)?;
        }
        Ok(true)
    }
}

/// The wires.
impl World {
    pub(crate) fn link_id(&self, client: usize, ago: u32) -> LinkId {
        LinkId { client, serial: self.clients[client].links.serial(ago) }
    }

    pub(crate) fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.clients.get_mut(id.client)?.links.get_mut(id.serial)
    }

    /// Puts something on a wire.
    fn send(&mut self, id: LinkId, way: Way, body: Body) {
        if let Body::Frame(frame) = &body {
            self.hasher.update(frame.as_bytes());
            let start: String = frame.chars().take(STORY_CHARS).collect();
            self.tell(|| format!("  {id} {way:?}: {start}"));
        }
        self.packets += 1;
        let packet = self.packets;
        if let Some(link) = self.link_mut(id) {
            link.queue_mut(way).push_back(Packet { number: packet, body });
            self.effects.push(Effect::Sent { id, way, packet });
        }
    }

    fn take(&mut self, place: Place) -> Option<(LinkId, Packet)> {
        let id = self.link_id(place.client, place.link);
        let packet = self.link_mut(id)?.queue_mut(place.way).remove(place.nth as usize)?;
        Some((id, packet))
    }

    /// A message arrives.
    fn deliver(&mut self, place: Place) -> Result<bool, Violation> {
        if self.clients[place.client].blocked.contains(&place.way) {
            return Ok(false);
        }
        let Some((id, packet)) = self.take(place) else { return Ok(false) };
        if place.nth > 0 {
            self.hit(Point::MessageReordered);
            self.link_mut(id).expect("it was there").is_damaged = true;
        }
        let link = self.link_mut(id).expect("it was there");
        match place.way {
            Way::Up if link.conversation.is_some() => {
                self.note_up(id, &packet.body);
                if !self.server_hears(id, &packet.body)? {
                    let link = self.link_mut(id).expect("it was there");
                    link.up.insert(place.nth as usize, packet);
                    return Ok(false);
                }
            }
            Way::Down if link.is_open => self.client_hears(id, &packet.body)?,
            // Nobody listens any more.
            Way::Up | Way::Down => {}
        }
        Ok(true)
    }

    /// A message is lost.
    fn lose(&mut self, place: Place) -> bool {
        let Some((id, packet)) = self.take(place) else { return false };
        self.note_lost(id, place.way, &packet.body);
        self.hit(Point::MessageDropped);
        if let Some(link) = self.link_mut(id) {
            link.is_damaged = true;
        }
        true
    }

    /// A message will arrive once more.
    fn duplicate(&mut self, place: Place) -> bool {
        let id = self.link_id(place.client, place.link);
        let number = self.packets + 1;
        let Some(link) = self.link_mut(id) else { return false };
        let queue = link.queue_mut(place.way);
        let Some(packet) = queue.get(place.nth as usize) else { return false };
        if let Body::End = packet.body {
            return false;
        }
        queue.push_back(Packet { number, body: packet.body.clone() });
        link.is_damaged = true;
        self.packets = number;
        self.effects.push(Effect::Sent { id, way: place.way, packet: number });
        self.hit(Point::MessageDuplicated);
        true
    }

    /// A connection breaks at both ends.
    fn reset(&mut self, client: usize) -> Result<bool, Violation> {
        let Some(serial) = self.clients[client].links.current() else { return Ok(false) };
        let id = LinkId { client, serial };
        for way in [Way::Up, Way::Down] {
            let lost = std::mem::take(self.link_mut(id).expect("it is there").queue_mut(way));
            for packet in &lost {
                self.note_lost(id, way, &packet.body);
            }
        }
        self.hang_up(client, "the connection broke");
        self.link_mut(id).expect("it is there").up.clear();
        self.end_conversation(id, None)?;
        self.finish(client)?;
        Ok(true)
    }

    /// Everything that waits on a wire may arrive from now on.
    fn announce_waiting(&mut self, client: usize, way: Way) {
        let waiting: Vec<_> = self.clients[client]
            .links
            .iter()
            .flat_map(|(serial, link)| {
                let id = LinkId { client, serial };
                link.queue(way).iter().map(move |packet| (id, packet.number))
            })
            .collect();
        for (id, packet) in waiting {
            self.effects.push(Effect::Sent { id, way, packet });
        }
    }

    /// Messages do not get through in one direction, or do again.
    fn block(&mut self, client: usize, way: Way, on: bool) -> bool {
        let blocked = &mut self.clients[client].blocked;
        let was_on = blocked.contains(&way);
        blocked.retain(|other| *other != way);
        if on {
            blocked.push(way);
            if blocked.len() == 1 {
                self.hit(Point::OneWayPartition);
            }
        } else {
            self.announce_waiting(client, way);
        }
        was_on != on
    }
}

/// Tells whether an action is something that a client's leader does, which it does not while it is
/// frozen.
fn needs_a_moving_client(action: &Action) -> bool {
    matches!(
        action,
        Action::Commit { .. }
            | Action::Execute { .. }
            | Action::Retry { .. }
            | Action::Acknowledge { .. }
            | Action::Follow { .. }
            | Action::Hurry { .. }
            | Action::Read { .. }
            | Action::Verify { .. }
            | Action::Wake { .. }
            | Action::Open { .. }
            | Action::Sync { .. }
            | Action::Reset { .. }
            | Action::HangUp { .. }
            | Action::Clock { .. }
            | Action::Deliver(Place { way: Way::Down, .. })
    )
}

/// Returns the client that an action is about.
fn client_of(action: &Action) -> Option<usize> {
    match action {
        Action::Leave { client }
        | Action::Commit { client, .. }
        | Action::Execute { client, .. }
        | Action::Retry { client, .. }
        | Action::Acknowledge { client, .. }
        | Action::Follow { client, .. }
        | Action::Access { client, .. }
        | Action::Hurry { client }
        | Action::Read { client }
        | Action::Verify { client }
        | Action::Wake { client }
        | Action::Open { client }
        | Action::Sync { client }
        | Action::Reset { client }
        | Action::HangUp { client }
        | Action::Block { client, .. }
        | Action::KillAfter { client, .. }
        | Action::Kill { client }
        | Action::PowerCut { client, .. }
        | Action::Start { client, .. }
        | Action::Clock { client, .. }
        | Action::Answer { client, .. }
        | Action::Page { client, .. }
        | Action::Freeze { client, .. }
        | Action::Tab { client, .. } => Some(*client),
        Action::Trouble { client, .. } => *client,
        Action::Deliver(place) | Action::Drop(place) | Action::Duplicate(place) => {
            Some(place.client)
        }
        Action::Join { .. }
        | Action::ServerWake
        | Action::ServerKillAfter { .. }
        | Action::ServerStop { .. }
        | Action::ServerPowerCut { .. }
        | Action::ServerStart
        | Action::Revoke
        | Action::Swap
        | Action::Backup
        | Action::Restore { .. }
        | Action::Settle => None,
    }
}
