//! Sessions of a client that follow its leader, each in a process of its own.
//!
//! A session lives in memory, and dies with its process. Its conversation with the leader is bytes that
//! arrive in pieces of any length; the ends are those of the product, and only what carries the bytes is
//! simulated. If nobody leads, a session opens the file in its own process, and follows that.

mod line;
mod take;
mod user;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use livestore::replica::ReplicaConfig;
use livestore::session::{Candidacy, SILENCE, SessionEnd};
use livestore::{Durability, HistoryAnswer, PoisonAnswer, Replica, SessionId};
use livestore_core::ClientId;

use super::{Effect, World};
use crate::action::TabAction;
use crate::checks::{self, Violation};
use crate::model::app::Version;
use crate::model::{Author, Feed, TabModel};
use crate::rng::Rng;
use crate::sometimes::Point;
use crate::workload::schema;

pub(crate) use line::Line;

/// How many sessions of a client can follow it.
pub(crate) const TABS: usize = 3;

/// How long a session waits for the answer to its hello.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a session can be, and what is left of those that were there.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    pub(crate) tab: Option<Tab>,
    /// Its conversation.
    pub(crate) line: Option<Line>,
    /// Conversations that sessions have given up, and of which bytes may still reach the leader.
    pub(crate) old: VecDeque<Line>,
}

/// A session.
#[derive(Debug)]
pub(crate) struct Tab {
    pub(crate) model: TabModel,
    /// None until it has attached for the first time.
    pub(crate) replica: Option<Replica>,
    /// Its end of the conversation.
    pub(crate) end: Option<SessionEnd>,
    /// What the leader tells that it has followed last.
    feed: Option<Rc<RefCell<Feed>>>,
    candidacy: Candidacy,
    /// When it has begun the conversation, and heard of its leader last.
    since: Duration,
    heard: Duration,
    /// Its leader was there and did not answer.
    met_silence: bool,
}

/// What was set in motion for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TabEffect {
    /// It was opened.
    Opened,
    /// It has no leader.
    Searches,
    /// Bytes are on their way to its leader; old ones if it has given up the conversation.
    Up { old: bool },
    /// Bytes are on their way to it.
    Down,
    /// Its process has ended.
    Died,
}

impl World {
    /// The time since the simulation began.
    pub(crate) fn elapsed(&self) -> Duration {
        Duration::from_millis(self.now_ms)
    }

    pub(super) fn tab_effect(&mut self, client: usize, tab: usize, what: TabEffect) {
        self.effects.push(Effect::Tab { client, tab, what });
    }

    /// Something happens to a session.
    pub(crate) fn tab_acts(
        &mut self,
        client: usize,
        tab: usize,
        act: &TabAction,
    ) -> Result<bool, Violation> {
        let machine = &self.clients[client];
        if tab >= TABS || machine.disk.is_none() || machine.has_left {
            return Ok(false);
        }
        if machine.is_frozen && machine.host == Some(tab) && *act != TabAction::Kill {
            return Ok(false);
        }
        match act {
            TabAction::Open { version } => return self.open_tab(client, tab, *version),
            TabAction::Bytes { way, bytes, old } => {
                return self.bytes_arrive(client, tab, *way, *bytes, *old);
            }
            TabAction::Kill => return Ok(self.kill_tab(client, tab)),
            _ if machine.slots[tab].tab.is_none() => return Ok(false),
            _ => {}
        }
        match act {
            TabAction::Seek { dies_after } => self.seek(client, tab, *dies_after),
            TabAction::Break => Ok(self.break_line(client, tab)),
            TabAction::Wake => self.wake_tab(client, tab),
            _ => self.tab_user(client, tab, act),
        }
    }

    fn open_tab(&mut self, at: usize, slot: usize, version: Version) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        if client.slots[slot].tab.is_some() {
            return Ok(false);
        }
        client.openings += 1;
        let author = Author { client: client.number, opening: client.openings };
        client.slots[slot].tab = Some(Tab {
            model: TabModel::new(author, version),
            replica: None,
            end: None,
            feed: None,
            heard: Duration::ZERO,
            candidacy: Candidacy::default(),
            since: Duration::ZERO,
            met_silence: false,
        });
        self.tab_effect(at, slot, TabEffect::Opened);
        self.seek(at, slot, None)?;
        Ok(true)
    }

    fn tab_config(&self, at: usize, slot: usize) -> ReplicaConfig {
        let model = &self.clients[at].slots[slot].tab.as_ref().expect("it is there").model;
        let Author { client, opening } = model.author;
        let purpose = u64::from(client) << 32 | u64::from(opening);
        ReplicaConfig {
            schema: schema(model.version),
            store_id: livestore_core::StoreId::new("sim").expect("it is an id"),
            client_id: ClientId::new("whoever").expect("it is an id"),
            session_id: SessionId::new(model.author.session_name()).expect("it is an id"),
            durability: Durability::Memory,
            upstream: None,
            on_poison: PoisonAnswer::Quarantine,
            on_history_diverged: HistoryAnswer::Stop,
            seed: Rng::new(self.seed_of(purpose)).bytes(),
        }
    }

    /// The timer of a session rings.
    fn wake_tab(&mut self, at: usize, slot: usize) -> Result<bool, Violation> {
        let now = self.elapsed();
        let tab = self.clients[at].slots[slot].tab.as_mut().expect("it is there");
        let Some(end) = &tab.end else { return Ok(false) };
        if end.is_attaching() {
            if now < tab.since + PATIENCE {
                return Ok(false);
            }
            tab.met_silence = true;
            self.break_line(at, slot);
            return Ok(true);
        }
        self.tab_speaks(at, slot)?;
        let client = &self.clients[at];
        let tab = client.slots[slot].tab.as_ref().expect("it is there");
        // What it has said before may still be on the way.
        let is_quiet = client.slots[slot].line.as_ref().is_some_and(|line| line.down.is_empty());
        if let Some(replica) = tab.replica.as_ref().filter(|_| is_quiet && client.is_frozen)
            && now > client.frozen_since.max(tab.heard) + SILENCE
        {
            checks::unresponsive(at, replica)?;
            self.hit(Point::FrozenLeaderReported);
        }
        Ok(true)
    }

    /// The process of a session is killed, and the leader with it that it may have.
    pub(crate) fn kill_tab(&mut self, at: usize, slot: usize) -> bool {
        if self.clients[at].slots[slot].tab.is_none() {
            return false;
        }
        if self.clients[at].host == Some(slot) {
            return self.kill(at);
        }
        self.bury_tab(at, slot);
        true
    }

    /// The process of a session is gone.
    pub(super) fn bury_tab(&mut self, at: usize, slot: usize) {
        let place = &mut self.clients[at].slots[slot];
        let Some(tab) = place.tab.take() else { return };
        if !tab.model.own.is_empty() {
            self.sometimes.hit(Point::SessionDiedWithOwn);
        }
        self.give_up_line(at, slot);
        self.tab_effect(at, slot, TabEffect::Died);
    }

    /// All sessions of a client end.
    pub(crate) fn end_tabs(&mut self, at: usize) {
        for slot in 0..TABS {
            self.bury_tab(at, slot);
            self.clients[at].slots[slot].old.clear();
        }
    }

    /// Whatever a session was told is so, and what it shows is what its leader has shown.
    pub(crate) fn observe_tab(
        &mut self,
        at: usize,
        slot: usize,
        whole: bool,
    ) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        let Slot { tab: Some(tab), .. } = &mut client.slots[slot] else { return Ok(()) };
        let Some(replica) = &mut tab.replica else { return Ok(()) };
        let _ = replica.poll_changes();
        let (model, leader) = (&self.model, &client.model);
        let full = checks::observe_tab(model, at, leader, &mut tab.model, replica)?;
        if full > 0 {
            self.sometimes.hit(Point::SessionToldOnDisk);
        }
        let (Some(feed), Some(seen)) = (&tab.feed, replica.followed()) else { return Ok(()) };
        let feed = feed.borrow();
        tab.model.followed(&feed, seen);
        if whole { checks::tab_state(at, &feed, &tab.model, replica) } else { Ok(()) }
    }
}
