//! What a client's driver does: disk and connection, and what the replica asks for.

use livestore::replica::UpstreamAction;
use livestore::{ConnectionState, StopReason, SyncStatus};
use livestore_core::protocol::{Authenticate, ClientMessage, GoodbyeReason, ServerMessage};

use super::BEGINNING_MS;
use crate::action::Way;
use crate::checks::{self, Doing, Violation, violation};
use crate::sometimes::Point;
use crate::world::disk::{Disk, calmly};
use crate::world::net::{Body, LinkId};
use crate::world::{Effect, World};

/// A driver looks after its replica at least this often while that waits for something.
pub(crate) const IDLE_MS: u64 = 60_000;

/// How many things a replica may ask for at once.
const MAX_ACTIONS: usize = 16;

impl World {
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
        let token = self.server.token(client.access);
        let Some(process) = &mut client.process else { return Ok(false) };
        if !std::mem::take(&mut process.is_connecting) {
            return Ok(false);
        }
        if let Err(reason) = token {
            process.replica.upstream_unauthorized(reason.into());
            process.replica.upstream_disconnected(now_ms, reason);
            self.hit(Point::SignedOut);
        } else if is_reachable && client.blocked.is_empty() {
            let serial = client.links.open();
            if let Ok(Some(token)) = token {
                let shown = ClientMessage::Authenticate(Authenticate { token }).encode();
                self.send(LinkId { client: at, serial }, Way::Up, Body::Frame(shown));
            }
            let process = self.clients[at].process.as_mut().expect("it is running");
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
        self.learn_outcomes(at, &message);
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

    /// What a message tells about groups that were pushed.
    fn learn_outcomes(&mut self, at: usize, message: &ServerMessage) {
        // A log that is published anew may turn out to be another one than the backend's at any time.
        let is_republishing = self.clients[at].is_republishing;
        let own = &mut self.clients[at].model;
        let none = std::iter::empty();
        match message {
            ServerMessage::Welcome(welcome) => {
                own.has_diverged = is_republishing;
                own.is_welcome(welcome.accepted.iter().map(|group| group.id));
            }
            ServerMessage::Goodbye(goodbye) => {
                own.has_diverged |= goodbye.reason == GoodbyeReason::HistoryDiverged;
            }
            ServerMessage::PushAccepted(accepted) => own.is_answered(accepted.request, none),
            ServerMessage::ServerAhead(ahead) => own.is_answered(ahead.request, none),
            ServerMessage::GroupRejected(rejected) => own.is_answered(rejected.request, none),
            ServerMessage::AlreadyAccepted(already) => {
                own.is_answered(already.request, already.groups.iter().map(|group| group.id));
            }
            _ => {}
        }
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
        self.carry_down(at);
        Ok(())
    }

    pub(crate) fn observe(&mut self, at: usize) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        if client.is_dead() {
            return Ok(());
        }
        let Some(process) = &mut client.process else { return Ok(()) };
        let (model, own, replica) = (&self.model, &mut client.model, &mut process.replica);
        let SyncStatus { rebases, republished, connection, .. } = replica.status();
        let was_republishing =
            std::mem::replace(&mut client.is_republishing, republished.is_some());
        if was_republishing
            && republished.is_none()
            && model.current().groups_up_to(own.head).is_some()
        {
            self.sometimes.hit(Point::Republished);
        }
        if let ConnectionState::Stopped(StopReason::NotAuthorized { .. }) = connection {
            client.was_locked_out = true;
        }
        let rebased = rebases - std::mem::replace(&mut client.rebases, rebases);
        let check = || checks::observe(model, at, own, replica, rebased > 0);
        let observed = calmly(client.disk.as_ref(), check)?;
        let told = process.wanted.iter().filter(|(ordinal, _)| replica.is_durable(*ordinal));
        if let Some((_, index)) = told.clone().find(|(_, index)| *index >= own.synced_groups()) {
            let message = format_args!("group {index} was told to be on disk, and is not");
            return violation("durability", Some(at), message);
        }
        if told.count() > 0 {
            self.sometimes.hit(Point::FullDurabilityTold);
        }
        process.wanted.retain(|(ordinal, _)| !replica.is_durable(*ordinal));
        self.counts.rebases += rebased;
        let _ = process.replica.poll_changes();
        if observed.moved || observed.rejected > 0 || observed.went_back {
            self.tell(|| format!("  client {at}: {observed:?}, {rebased} rebases"));
        }
        self.note_observed(at, observed, rebased > 0);
        self.note_shown(at)
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
        let client = &mut self.clients[at];
        if let ClientMessage::Push(push) = message {
            let process = client.process.as_ref().expect("it says something");
            let republished = process.replica.status().republished;
            if let Some(seq) = republished {
                checks::republished(&self.model, at, &client.model, seq, push)?;
                if let Some(serial) = client.links.current() {
                    self.server.anew.insert((LinkId { client: at, serial }, push.request));
                }
                self.sometimes.hit(Point::RepublishesGroups);
            } else {
                checks::push(at, &client.model, push)?;
                let ids = push.groups.iter().map(livestore_core::Group::id);
                client.model.pushes(push.request, ids);
            }
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

    pub(crate) fn close_link(&mut self, at: usize) {
        if let Some(serial) = self.clients[at].links.current() {
            let id = LinkId { client: at, serial };
            let link = self.link_mut(id).expect("it is the current one");
            link.is_open = false;
            link.down.clear();
            self.send(id, Way::Up, Body::End);
        }
    }
}
