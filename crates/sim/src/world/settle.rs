//! Rest: no more faults, everybody runs and talks, until nothing moves; then all must agree.
//!
//! The rest is part of the simulation: it is bounded in steps and in time, and a run that does not
//! come to rest within both is as wrong as one that loses something.

use std::collections::BTreeMap;
use std::rc::Rc;

use livestore::{ConnectionState, StopReason};

use super::World;
use super::client::IDLE_MS;
use super::net::LinkId;
use super::tab::{TABS, Tab};
use crate::action::{Access, DiskTrouble, Place, TabAction, Way};
use crate::checks::{self, Violation, violation};
use crate::model::Known;

/// How long a rest may take by the clock of the simulation.
const MAX_REST_MS: u64 = 180_000;

impl World {
    /// Ends all faults, lets everything come to rest, and checks that it has.
    pub(crate) fn settle(&mut self) -> Result<(), Violation> {
        self.end_faults()?;
        let (bound, began_ms) = (self.counts.steps + self.allowance(), self.now_ms);
        loop {
            while self.move_all()? {
                if self.counts.steps > bound {
                    return violation("convergence", None, self.who_is_behind());
                }
            }
            let Some(next_ms) = self.next_timer_ms() else { break };
            if next_ms > began_ms + MAX_REST_MS {
                let message =
                    format!("{} ms of waiting: {}", next_ms - began_ms, self.who_is_behind());
                return violation("convergence", None, message);
            }
            self.now_ms = self.now_ms.max(next_ms);
            self.server_wakes()?;
            for client in 0..self.clients.len() {
                self.wake(client)?;
            }
            self.tick();
        }
        self.check_rest()?;
        self.effects.clear();
        Ok(())
    }

    /// Everything that is broken is mended, and what is on its way somewhere arrives or is lost.
    fn end_faults(&mut self) -> Result<(), Violation> {
        self.server.disk.trouble(DiskTrouble::default());
        if self.server.process.is_some() {
            self.server.disk.revive();
        }
        self.start_server()?;
        for client in 0..self.clients.len() {
            self.clients[client].blocked.clear();
            if let Some(disk) = &mut self.clients[client].disk {
                disk.trouble(DiskTrouble::default());
                if self.clients[client].process.is_some() {
                    self.clients[client].disk.as_mut().expect("it has one").revive();
                }
            }
            if self.clients[client].distrusts() {
                self.kill(client);
            }
            self.freeze(client, false)?;
            let version = self.clients[client].model.version;
            self.start(client, version, None)?;
            self.end_other_tabs(client);
            self.clients[client].access = Access::Granted;
            self.end_old_links(client)?;
        }
        Ok(())
    }

    /// What is on connections that the client has given up reaches the server; connections on
    /// which a message was lost break, as the silence on them would make them.
    fn end_old_links(&mut self, client: usize) -> Result<(), Violation> {
        let current = self.clients[client].links.current();
        let serials: Vec<u32> = self.clients[client].links.iter().map(|(at, _)| at).collect();
        for serial in serials.into_iter().filter(|serial| Some(*serial) != current) {
            let id = LinkId { client, serial };
            let link = self.clients[client].links.ago(serial);
            let place = Place { client, link, way: Way::Up, nth: 0 };
            loop {
                while self.deliver(place)? {
                    self.tick();
                }
                if !self.answer(id)? {
                    break;
                }
            }
            self.end_conversation(id, None)?;
        }
        if let Some(serial) = current
            && self.clients[client].links.get(serial).is_some_and(|link| link.is_damaged)
        {
            self.reset(client)?;
        }
        Ok(())
    }

    /// How many steps the rest may take: some for each client, and a few for each group that has
    /// to go somewhere.
    fn allowance(&self) -> u64 {
        let log = self.model.current();
        // What a client on a history that is gone has in its log becomes pending again.
        let has_to_go_up = |own: &&Rc<Known>| !own.is_rejected.get() && log.find(own.id).is_none();
        let to_go_up =
            |at: usize| self.clients[at].model.committed.iter().filter(has_to_go_up).count();
        let going_up: usize = self.active().map(to_go_up).sum();
        let end = log.entries().len() + going_up;
        let behind = |at: usize| {
            let head = self.clients[at].model.head;
            end - log.groups_up_to(head).unwrap_or(0)
        };
        let tabs = self.clients.iter().flat_map(|client| &client.slots);
        let in_tabs: usize =
            tabs.filter_map(|slot| slot.tab.as_ref()).map(|tab| 20 + tab.model.own.len()).sum();
        let going_down: usize = self.active().map(behind).sum();
        let clients = self.clients.len() as u64;
        // A client may publish the whole log anew before it goes on.
        let longest = self.model.histories.iter().map(|log| log.entries().len()).max();
        let anew = longest.unwrap_or(0);
        200 + 60 * clients + 8 * (going_up + going_down + anew + in_tabs) as u64
    }

    fn active(&self) -> impl Iterator<Item = usize> {
        (0..self.clients.len()).filter(|at| !self.clients[*at].has_left)
    }

    /// Everything moves by one; returns whether anything did.
    fn move_all(&mut self) -> Result<bool, Violation> {
        let mut moved = false;
        for client in 0..self.clients.len() {
            if self.clients[client].has_left {
                continue;
            }
            moved |= self.move_one(client)?;
        }
        Ok(moved)
    }

    fn move_one(&mut self, client: usize) -> Result<bool, Violation> {
        let steps = self.counts.steps;
        let step = |world: &mut Self, done: bool| {
            if done {
                world.tick();
            }
        };
        let opened = self.open_link(client)?;
        step(self, opened);
        let synced = self.sync(client)?;
        step(self, synced);
        let place = |way| Place { client, link: 0, way, nth: 0 };
        let up = self.deliver(place(Way::Up))?;
        step(self, up);
        let id = self.link_id(client, 0);
        let answered = self.answer(id)?;
        step(self, answered);
        let sent = self.send_page(id)?;
        step(self, sent);
        let down = self.deliver(place(Way::Down))?;
        step(self, down);
        for slot in 0..TABS {
            self.move_tab(client, slot)?;
        }
        // What was on the way may have been said without the token that its app has by now.
        let status = self.clients[client].process.as_ref().map(|process| process.replica.status());
        if let Some(ConnectionState::Stopped(StopReason::NotAuthorized { .. })) =
            status.map(|status| status.connection)
        {
            let hurried = self.hurry(client)?;
            step(self, hurried);
        }
        Ok(self.counts.steps > steps)
    }

    /// Sessions of another version than their leader's have to end before it can be at rest.
    fn end_other_tabs(&mut self, client: usize) {
        for slot in 0..TABS {
            let machine = &self.clients[client];
            let version = machine.model.version;
            let is_other = |tab: &Tab| tab.model.version != version;
            if machine.slots[slot].tab.as_ref().is_some_and(is_other) {
                self.kill_tab(client, slot);
            }
        }
    }

    fn move_tab(&mut self, client: usize, tab: usize) -> Result<(), Violation> {
        let bytes = |way, old| TabAction::Bytes { way, bytes: usize::MAX, old };
        let acts = [
            TabAction::Seek { dies_after: None },
            bytes(Way::Up, true),
            bytes(Way::Up, false),
            bytes(Way::Down, false),
        ];
        for act in acts {
            if self.tab_acts(client, tab, &act)? {
                self.tick();
            }
        }
        Ok(())
    }

    /// When the next timer rings, of a client or of the server.
    fn next_timer_ms(&self) -> Option<u64> {
        let client_timer = |at: usize| {
            let timeout_ms = self.clients[at].process.as_ref()?.replica.next_timeout()?;
            let pause_ms = timeout_ms.saturating_sub(self.client_now(at));
            Some(self.now_ms + pause_ms.min(IDLE_MS))
        };
        let clients = self.active().filter_map(client_timer);
        clients.chain(self.server.turn_ends_ms()).min()
    }

    fn who_is_behind(&self) -> String {
        let head = self.model.current().end().seq;
        let status = |at: usize| {
            let status = self.clients[at].process.as_ref().map(|process| process.replica.status());
            (status.as_ref().is_none_or(|status| !status.is_synced()), at, status)
        };
        let behind: Vec<_> = self.active().map(status).filter(|(behind, ..)| *behind).collect();
        format!("the log is at {head}; not in step: {behind:?}")
    }

    /// Everybody agrees, and everything is accounted for.
    fn check_rest(&mut self) -> Result<(), Violation> {
        let mut hashes = BTreeMap::new();
        let mut replayed = Vec::new();
        for at in self.active().collect::<Vec<_>>() {
            self.verify(at)?;
            let client = &self.clients[at];
            let Some(process) = &client.process else {
                return violation("opens", Some(at), "it is not running");
            };
            let status = process.replica.status();
            match status.connection {
                // That it had to is checked when it is told to; the log may have got the same
                // groups again since then.
                ConnectionState::Stopped(StopReason::HistoryDiverged(_)) => continue,
                ConnectionState::Stopped(StopReason::NotRepublished { .. })
                    if client.was_not_republished =>
                {
                    continue;
                }
                _ => {}
            }
            if !status.is_synced() || client.model.head != self.model.current().end() {
                return violation("convergence", Some(at), format_args!("at rest: {status:?}"));
            }
            let hash = match process.replica.state_hash() {
                Ok(hash) => hash,
                Err(error) => return violation("readable", Some(at), error),
            };
            let version = client.model.version;
            if *hashes.entry(version).or_insert(hash) != hash {
                return violation("determinism", Some(at), "its state differs from another's");
            }
            // One replay for each version, and not each time: the others have the same log and the
            // same state, and the model has derived that in its own way.
            if self.seed.is_multiple_of(4) && !replayed.contains(&version) {
                replayed.push(version);
                match process.replica.replay_hash() {
                    Ok(replay) if replay == hash => {}
                    Ok(_) => return violation("replay", Some(at), "its state is no replay"),
                    Err(error) => return violation("replay", Some(at), error),
                }
            }
            checks::accounted(&self.model, at, &client.model)?;
            for tab in self.clients[at].slots.iter().filter_map(|slot| slot.tab.as_ref()) {
                let Some(replica) = &tab.replica else {
                    return violation("convergence", Some(at), "a session does not open");
                };
                checks::tab_at_rest(&self.model, at, &tab.model, replica, &process.replica)?;
            }
        }
        Ok(())
    }
}
