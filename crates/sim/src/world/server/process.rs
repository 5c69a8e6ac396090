//! The server's process starts and ends; its disk is copied and put back.

use livestore_server::session::Question;
use livestore_sqlite::sim::Image;

use super::pushes::Turn;
use crate::action::{Loss, Way};
use crate::checks::{self, Violation, violation};
use crate::sometimes::Point;
use crate::world::disk::Disk;
use crate::world::net::{Body, LinkId};
use crate::world::{Client, Effect, World};

/// How many copies of the disk are kept.
const BACKUPS: usize = 4;

/// A copy of the disk.
#[derive(Debug)]
pub(super) struct Backup {
    image: Image,
    backend: u64,
    history: usize,
    groups: usize,
}

impl World {
    /// Starts the server; it then holds what the model says.
    pub(crate) fn start_server(&mut self) -> Result<bool, Violation> {
        if self.server.process.is_some() {
            return Ok(false);
        }
        self.server.disk.revive();
        match self.server.open(self.now_ms) {
            Ok(process) => self.server.process = Some(process),
            Err(_) if self.server.disk.is_troubled => {
                self.effects.push(Effect::ServerDied);
                return Ok(true);
            }
            Err(error) => return violation("server-opens", None, error),
        }
        self.check_server_log()?;
        self.hit(Point::ServerStarted);
        Ok(true)
    }

    /// After a start, the log is what was acknowledged, and perhaps what was under way.
    fn check_server_log(&mut self) -> Result<(), Violation> {
        let doubtful = self.server.doubtful.take();
        let model_end = self.model.current().end();
        let question = Question { at: vec![model_end.seq], groups: Vec::new() };
        let view = match self.server.view(&question) {
            Ok(view) => view,
            Err(_) if self.server.disk.is_troubled => {
                self.server.doubtful = doubtful;
                self.stop_server(false);
                return Ok(());
            }
            Err(error) => return violation("server-opens", None, error),
        };
        if view.hashes[0] != Some(model_end.hash) {
            let head = view.head;
            return violation("server-durability", None, format_args!("it forgot up to {head}"));
        }
        if view.head == model_end.seq {
            return Ok(());
        }
        let Some(append) = doubtful else {
            let head = view.head;
            let message = format_args!("it holds more than it ever took, up to {head}");
            return violation("server-durability", None, message);
        };
        self.hit(Point::UnansweredPushSurvived);
        checks::appended(&mut self.model, &append, None)?;
        if self.model.current().end().seq != view.head {
            return violation("server-atomicity", None, "half of a push is in the log");
        }
        Ok(())
    }

    /// Ends the server's process and all conversations.
    pub(crate) fn stop_server(&mut self, gently: bool) -> bool {
        if self.server.process.is_none() {
            return false;
        }
        self.server.disk.kill();
        self.server.process = None;
        self.server.turn = Turn::default();
        for client in 0..self.clients.len() {
            let serials: Vec<u32> = self.clients[client].links.iter().map(|(at, _)| at).collect();
            for serial in serials {
                let id = LinkId { client, serial };
                let link = self.link_mut(id).expect("it is in the list");
                if link.conversation.take().is_none() {
                    continue;
                }
                if !gently {
                    link.down.clear();
                }
                self.send(id, Way::Down, Body::End);
            }
        }
        self.effects.push(Effect::ServerDied);
        true
    }

    /// Ends the server's process and cuts its power.
    pub(crate) fn cut_server(&mut self, loss: Loss) -> bool {
        self.stop_server(false);
        self.server.disk.power_cut(loss);
        self.hit(Point::ServerPowerCut);
        true
    }

    /// Ends the server if its disk died during the last call.
    pub(super) fn bury_server(&mut self) -> bool {
        let is_dead = self.server.disk.is_dead();
        if is_dead {
            self.counts.kills += 1;
            self.hit(Point::ServerKilledInside);
            self.stop_server(false);
        }
        is_dead
    }

    /// Copies the server's disk.
    pub(crate) fn back_up(&mut self) -> bool {
        if self.server.process.is_none() || self.server.doubtful.is_some() {
            return false;
        }
        let image = self.server.disk.image();
        let (history, groups) =
            (self.model.histories.len() - 1, self.model.current().entries().len());
        let backend = self.server.backend;
        self.server.backups.push_front(Backup { image, backend, history, groups });
        self.server.backups.truncate(BACKUPS);
        true
    }

    /// Puts a copy in place of the server's disk.
    pub(crate) fn restore(&mut self, copies_ago: usize) -> bool {
        let Some(backup) = self.server.backups.get(copies_ago) else { return false };
        let (image, history, groups) = (backup.image.clone(), backup.history, backup.groups);
        let backend = backup.backend;
        self.stop_server(false);
        self.server.disk.restore(&image);
        self.server.backend = backend;
        if self.begin_history(history, groups) {
            self.hit(Point::ServerRestored);
            let offline = |client: &Client| !client.model.pending.is_empty() && !client.is_online();
            if self.clients.iter().any(offline) {
                self.hit(Point::ServerRestoredWhileClientOfflineWithPending);
            }
        }
        true
    }

    /// Puts another backend in place of the server's, with an empty log.
    pub(crate) fn swap(&mut self) -> bool {
        self.stop_server(false);
        self.server.backends += 1;
        self.server.backend = self.server.backends;
        let seed = self.seed_of(u64::MAX - self.server.backend);
        self.server.disk = Disk::new(seed, self.sizes.page_bytes);
        if self.begin_history(0, 0) {
            self.hit(Point::BackendSwapped);
        }
        true
    }

    /// The server's log is the beginning of some history from now on; tells whether groups are gone.
    fn begin_history(&mut self, history: usize, groups: usize) -> bool {
        let before = self.model.current().entries().len();
        self.server.doubtful = None;
        self.model.restore(history, groups);
        self.counts.restores += 1;
        before > groups
    }
}
