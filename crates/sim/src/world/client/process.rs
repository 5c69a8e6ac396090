//! A client's process starts and ends.

use std::rc::Rc;

use livestore::HistoryAnswer;

use super::{Client, Process};
use crate::action::{Loss, Way};
use crate::checks::{self, Doing, Violation, violation};
use crate::model::app::Version;
use crate::rng::Rng;
use crate::sometimes::Point;
use crate::world::disk::{Disk, calmly};
use crate::world::{Effect, World};

impl World {
    /// A new client appears.
    pub(crate) fn join(
        &mut self,
        memory: bool,
        answer: HistoryAnswer,
        version: Version,
    ) -> Result<bool, Violation> {
        let Ok(number) = u8::try_from(self.clients.len()) else { return Ok(false) };
        let seed = self.seed_of(u64::from(number));
        let disk = (!memory).then(|| Disk::new(seed, self.sizes.page_bytes));
        self.clients.push(Client::new(number, disk, answer, version));
        self.start(usize::from(number), version, None)
    }

    /// Starts a client that is not running.
    pub(crate) fn start(
        &mut self,
        at: usize,
        version: Version,
        dies_after: Option<u64>,
    ) -> Result<bool, Violation> {
        let lock = self.clients[at].lock();
        if self.clients[at].has_left || !lock.lets_lead(false) {
            return Ok(false);
        }
        self.start_in(at, version, dies_after, None)?;
        Ok(true)
    }

    /// Opens a client's file, in a process of its own or in that of a session.
    pub(crate) fn start_in(
        &mut self,
        at: usize,
        version: Version,
        dies_after: Option<u64>,
        host: Option<usize>,
    ) -> Result<(), Violation> {
        let now_ms = self.client_now(at);
        let client = &mut self.clients[at];
        if client.process.is_some() {
            return violation("one-writer", Some(at), "a second process opens the file");
        }
        if let Some(disk) = &mut client.disk {
            disk.revive();
            if let Some(operations) = dies_after {
                disk.kill_after(operations);
            }
        }
        client.openings += 1;
        (client.opening, client.host) = (client.openings, host);
        client.feed = Rc::default();
        let before = std::mem::replace(&mut client.model.version, version);
        client.model.ran_as_another |= before != version;
        let purpose = u64::from(client.number) << 32 | u64::from(client.openings);
        let seed = Rng::new(self.seed_of(purpose)).bytes();
        let client = &mut self.clients[at];
        let opened = client.open(seed, now_ms, self.sizes);
        if client.is_dead() {
            client.model.version = before;
            client.doing = merge_doing(&client.doing);
            self.hit(Point::KilledWhileOpening);
            self.bury(at);
            return Ok(());
        }
        let mut replica = match opened {
            Ok(replica) => replica,
            Err(_) if client.is_troubled() => {
                client.model.version = before;
                client.doing = merge_doing(&client.doing);
                self.effects.push(Effect::Died { client: at });
                self.hit(Point::OpenFailed);
                return Ok(());
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
        client.model.ran_as_another = false;
        client.doing = Doing::Nothing;
        client.is_republishing = replica.status().republished.is_some();
        client.model.has_diverged = client.is_republishing;
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
        self.finish(at)
    }

    /// The process of a client is gone.
    pub(crate) fn bury(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.process = None;
        client.is_frozen = false;
        let host = client.host.take();
        self.counts.kills += 1;
        self.close_link(at);
        self.leader_is_gone(at);
        if let Some(host) = host {
            self.bury_tab(at, host);
        }
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
        self.end_tabs(at);
        let client = &mut self.clients[at];
        client.lost_power = true;
        client.disk.as_ref().expect("it has one").power_cut(loss);
        true
    }

    /// The process of a client that leads stands still, or goes on.
    pub(crate) fn freeze(&mut self, at: usize, on: bool) -> Result<bool, Violation> {
        let since = self.elapsed();
        let client = &mut self.clients[at];
        if client.process.is_none() || client.is_frozen == on {
            return Ok(false);
        }
        (client.is_frozen, client.frozen_since) = (on, since);
        if on {
            self.hit(Point::Frozen);
            return Ok(true);
        }
        // Everything that it has missed comes now.
        let process = client.process.as_ref().expect("it is running");
        if process.is_connecting {
            self.effects.push(Effect::Connecting { client: at });
        }
        if process.barrier.is_some() {
            self.effects.push(Effect::Barrier { client: at });
        }
        self.announce_waiting(at, Way::Down);
        self.announce_bytes(at);
        self.finish(at)?;
        Ok(true)
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
        client.is_frozen = false;
        self.close_link(at);
        self.leader_is_gone(at);
        self.end_tabs(at);
        true
    }

    /// If the client's process died in the last call, it is gone now.
    pub(crate) fn has_died(&mut self, at: usize, doing: Doing) -> bool {
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
