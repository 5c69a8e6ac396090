//! The server's machine: the real log and the real conversation rules, on a simulated disk.
//!
//! What the real server does with tasks and permits is done here in the order in which the steps
//! say so. The rule of fair turns is that of the server's `turn` module.

use std::collections::VecDeque;

use livestore_core::protocol::{
    ClientMessage, Goodbye, GroupRejected, Page, RejectReason, ServerMessage,
};
use livestore_core::{Group, GroupId, StoreId};
use livestore_server::session::{self, Answer, Introduction, Opening, Session};
use livestore_server::{
    AppendOutcome, AppendRequest, LogReader, LogStorage, LogView, SqliteStorage, StorageError,
};
use livestore_sqlite::sim::{Image, SimDisk};

use super::disk::Disk;
use super::net::{Body, LinkId};
use super::{Effect, World};
use crate::action::{Loss, Way};
use crate::checks::{self, Violation, violation};
use crate::plan::Sizes;
use crate::sometimes::Point;

/// How long a client that lost a race may keep the others waiting.
const TURN_MS: u64 = 1000;

/// How many copies of the disk are kept.
const BACKUPS: usize = 4;

/// The machine of the server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) disk: Disk,
    pub(crate) process: Option<Process>,
    pub(crate) store_id: StoreId,
    /// Groups at which a page is cut, below the limits of the protocol.
    page_groups: usize,
    turn: Turn,
    backups: VecDeque<Backup>,
    /// What an append that failed may have left in the log.
    pub(crate) doubtful: Option<AppendRequest>,
    seed: u64,
}

/// The running server.
pub(crate) struct Process {
    pub(crate) storage: SqliteStorage,
    pub(crate) reader: Box<dyn LogReader>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

/// A copy of the disk.
#[derive(Debug)]
struct Backup {
    image: Image,
    history: usize,
    groups: usize,
}

/// Whose push is decided next.
#[derive(Debug, Default)]
struct Turn {
    holder: Option<Holder>,
    queue: VecDeque<LinkId>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    link: LinkId,
    /// Until when the server waits for its next push; none while one is under way.
    until_ms: Option<u64>,
}

/// The server's end of a connection.
#[derive(Debug, Default)]
pub(crate) struct Conversation {
    introduction: Introduction,
    pub(crate) session: Option<Session>,
    pub(crate) pushing: Option<Pushing>,
    /// A request that arrived meanwhile; nothing is read while there is one.
    next: Option<(u64, AppendRequest)>,
}

/// A push that is under way.
#[derive(Debug)]
pub(crate) struct Pushing {
    request: u64,
    append: AppendRequest,
    pub(crate) decision: Option<Decision>,
}

/// What is decided about a push.
#[derive(Debug)]
pub(crate) enum Decision {
    /// By the rules of the backend's operator, before the log is asked.
    Refused(GroupId),
    /// By the log.
    Stored(AppendOutcome),
}

impl Server {
    pub(crate) fn new(seed: u64, sizes: Sizes) -> Self {
        Self {
            disk: Disk::new(seed, sizes.page_bytes),
            process: None,
            store_id: StoreId::new("sim").expect("the name is valid"),
            page_groups: sizes.page_groups,
            turn: Turn::default(),
            backups: VecDeque::new(),
            doubtful: None,
            seed,
        }
    }

    /// Returns when a turn ends that others wait for.
    pub(crate) fn turn_ends_ms(&self) -> Option<u64> {
        let until_ms = self.turn.holder.and_then(|holder| holder.until_ms);
        until_ms.filter(|_| !self.turn.queue.is_empty())
    }

    fn open(&mut self, now_ms: u64) -> Result<Process, StorageError> {
        let (path, vfs) = (self.disk.path(), SimDisk::vfs());
        let storage = SqliteStorage::open_in_vfs(&path, vfs, self.seed_bytes(), now_ms)?;
        let reader = storage.reader()?;
        Ok(Process { storage, reader })
    }

    fn seed_bytes(&self) -> [u8; 32] {
        crate::rng::Rng::new(self.seed).bytes()
    }

    fn view(&mut self, question: &session::Question) -> Result<LogView, StorageError> {
        let process = self.process.as_mut().expect("only a running server is asked");
        process.reader.view(&self.store_id, &question.at, &question.groups)
    }

    /// Reads the page after a position, cut where the simulation wants it to be.
    fn page(&mut self, after: livestore_core::GlobalSeqNum) -> Result<Option<Page>, StorageError> {
        let process = self.process.as_mut().expect("only a running server is asked");
        let Some(mut page) = process.reader.page(&self.store_id, after)? else { return Ok(None) };
        if page.groups.len() > self.page_groups {
            page.groups.truncate(self.page_groups);
            let last = page.groups.last().expect("a page has a group").last();
            let view = process.reader.view(&self.store_id, &[last], &[])?;
            page.end.seq = last;
            page.end.hash = view.hashes[0].expect("a group ends there");
        }
        Ok(Some(page))
    }
}

/// Starting and ending.
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
        let question = session::Question { at: vec![model_end.seq], groups: Vec::new() };
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
    fn bury_server(&mut self) -> bool {
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
        self.server.backups.push_front(Backup { image, history, groups });
        self.server.backups.truncate(BACKUPS);
        true
    }

    /// Puts a copy in place of the server's disk.
    pub(crate) fn restore(&mut self, copies_ago: usize) -> bool {
        let Some(backup) = self.server.backups.get(copies_ago) else { return false };
        let (image, history, groups) = (backup.image.clone(), backup.history, backup.groups);
        let before = self.model.current().entries().len();
        self.stop_server(false);
        self.server.disk.restore(&image);
        self.server.doubtful = None;
        self.model.restore(history, groups);
        let lost = before.saturating_sub(groups);
        self.counts.restores += 1;
        if lost > 0 {
            self.hit(Point::ServerRestored);
            let offline =
                |client: &super::Client| !client.model.pending.is_empty() && !client.is_online();
            if self.clients.iter().any(offline) {
                self.hit(Point::ServerRestoredWhileClientOfflineWithPending);
            }
        }
        true
    }
}

/// Conversations.
impl World {
    /// A message, or the end of the connection, reaches the server.
    ///
    /// Returns false if it is not read now.
    pub(crate) fn server_hears(&mut self, id: LinkId, body: &Body) -> Result<bool, Violation> {
        let Body::Frame(frame) = body else {
            self.end_conversation(id, None)?;
            return Ok(true);
        };
        let conversation = self.conversation_mut(id).expect("somebody listens");
        if conversation.next.is_some() {
            return Ok(false);
        }
        let heard = ClientMessage::decode(frame).map_err(session::protocol_error);
        let outcome = match heard {
            Err(goodbye) => Err(goodbye),
            Ok(message) => self.server_takes(id, message)?,
        };
        if let Err(goodbye) = outcome {
            self.end_conversation(id, Some(goodbye))?;
        }
        Ok(true)
    }

    fn server_takes(
        &mut self,
        id: LinkId,
        message: ClientMessage,
    ) -> Result<Result<(), Goodbye>, Violation> {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        if let Some(session) = conversation.session {
            let push = match session.hear(message) {
                Ok(push) => push,
                Err(goodbye) => return Ok(Err(goodbye)),
            };
            let request = push.request;
            let append = match session.push(&self.server.store_id, push) {
                Ok(append) => append,
                Err(goodbye) => return Ok(Err(goodbye)),
            };
            let conversation = self.conversation_mut(id).expect("somebody listens");
            if conversation.pushing.is_some() {
                conversation.next = Some((request, append));
                return Ok(Ok(()));
            }
            return self.begin_push(id, request, append).map(Ok);
        }
        let opening = match conversation.introduction.hear(message) {
            Ok(opening) => opening,
            Err(goodbye) => return Ok(Err(goodbye)),
        };
        self.introduce(id, &opening)
    }

    fn introduce(
        &mut self,
        id: LinkId,
        opening: &Opening,
    ) -> Result<Result<(), Goodbye>, Violation> {
        let question = match opening {
            Opening::Locate(locate) => Introduction::question(locate),
            Opening::Hello(hello) => Session::question(hello),
        };
        let Ok(view) = self.server.view(&question) else {
            return Ok(Err(session::storage_failed()));
        };
        let backend_id = self.server.process.as_ref().expect("it is running").storage.backend_id();
        let message = match opening {
            Opening::Locate(locate) => match Introduction::locate(locate, backend_id, &view) {
                Ok(located) => ServerMessage::Located(located),
                Err(goodbye) => return Ok(Err(goodbye)),
            },
            Opening::Hello(hello) => match Session::open(hello, backend_id, &view) {
                Ok((session, welcome)) => {
                    checks::welcome(&self.model, hello, &welcome)?;
                    let conversation = self.conversation_mut(id).expect("somebody listens");
                    conversation.session = Some(session);
                    self.note_welcome(id, &welcome);
                    ServerMessage::Welcome(welcome)
                }
                Err(goodbye) => {
                    checks::refused(&self.model, hello, &goodbye)?;
                    return Ok(Err(goodbye));
                }
            },
        };
        self.say(id, &message);
        self.tell_behind(id);
        Ok(Ok(()))
    }

    fn begin_push(
        &mut self,
        id: LinkId,
        request: u64,
        append: AppendRequest,
    ) -> Result<(), Violation> {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        conversation.pushing = Some(Pushing { request, append, decision: None });
        let turn = &mut self.server.turn;
        match turn.holder {
            Some(holder) if holder.link != id || holder.until_ms.is_none() => {
                turn.queue.push_back(id);
                if let Some(until_ms) = holder.until_ms {
                    self.effects.push(Effect::Turn { until_ms });
                }
                self.hit(Point::PushWaitsForATurn);
                Ok(())
            }
            held => {
                if held.is_some() {
                    self.hit(Point::PushInItsTurn);
                }
                self.decide(id)
            }
        }
    }

    /// The storage decides on the push of a conversation, which now has the turn.
    fn decide(&mut self, id: LinkId) -> Result<(), Violation> {
        self.server.turn.holder = Some(Holder { link: id, until_ms: None });
        let conversation = self.conversation_mut(id).expect("somebody listens");
        let append = conversation.pushing.as_ref().expect("there is a push").append.clone();
        if let Some(group) = self.forbidden(&append) {
            self.hit(Point::RefusedByRule);
            if append.groups.last().is_some_and(|last| last.id() != group) {
                self.hit(Point::RefusedWithOthersBehind);
            }
            self.decided(id, Decision::Refused(group));
            return Ok(());
        }
        let process = self.server.process.as_mut().expect("it is running");
        let decided = process.storage.append(std::slice::from_ref(&append));
        if self.bury_server() {
            self.server.doubtful = Some(append);
            return Ok(());
        }
        let outcome = match decided {
            Ok(mut outcomes) => outcomes.remove(0),
            Err(error) if self.server.disk.is_troubled => {
                let _ = error;
                self.hit(Point::AppendFailed);
                self.server.doubtful = Some(append);
                return self.end_conversation(id, Some(session::storage_failed()));
            }
            Err(error) => return violation("server-append", None, error),
        };
        if let AppendOutcome::Appended { .. } = outcome {
            self.server.doubtful = None;
        }
        checks::outcome(&mut self.model, &append, &outcome)?;
        self.note_outcome(id, &append, &outcome);
        self.decided(id, Decision::Stored(outcome));
        self.spread_growth();
        Ok(())
    }

    /// Finds the first group of a push that the rules of the backend's operator forbid.
    fn forbidden(&self, append: &AppendRequest) -> Option<GroupId> {
        let mut ids = append.groups.iter().map(Group::id);
        ids.find(|id| self.model.known.get(id).is_some_and(|known| known.is_forbidden()))
    }

    fn decided(&mut self, id: LinkId, decision: Decision) {
        let conversation = self.conversation_mut(id).expect("somebody listens");
        conversation.pushing.as_mut().expect("there is a push").decision = Some(decision);
        self.effects.push(Effect::Decided(id));
    }

    /// Lets all conversations know how far the log reaches.
    fn spread_growth(&mut self) {
        let head = self.model.current().end().seq;
        for client in 0..self.clients.len() {
            let links = self.clients[client].links.iter_mut();
            let mut behind = Vec::new();
            for (serial, link) in links {
                if let Some(session) = link
                    .conversation
                    .as_mut()
                    .and_then(|conversation| conversation.session.as_mut())
                {
                    session.grown(head);
                    behind.push(serial);
                }
            }
            for serial in behind {
                self.tell_behind(LinkId { client, serial });
            }
        }
    }

    fn tell_behind(&mut self, id: LinkId) {
        let session = self.conversation_mut(id).and_then(|conversation| conversation.session);
        if session.is_some_and(|session| session.wants_page().is_some()) {
            self.effects.push(Effect::Behind(id));
        }
    }

    /// The server answers a push that it has decided.
    pub(crate) fn answer(&mut self, id: LinkId) -> Result<bool, Violation> {
        let Some(conversation) = self.conversation_mut(id) else { return Ok(false) };
        let Some(session) = conversation.session else { return Ok(false) };
        let is_decided = |pushing: &mut Pushing| pushing.decision.is_some();
        let Some(pushing) = conversation.pushing.take_if(is_decided) else { return Ok(false) };
        let Pushing { request, decision, .. } = pushing;
        let mut session = session;
        let mut is_late = false;
        let answer = match decision.expect("it is decided") {
            Decision::Stored(outcome) => session.answer(request, outcome),
            Decision::Refused(group) => {
                let reason = RejectReason::Refused { message: "not this one".into() };
                let rejected = GroupRejected { request, group, reason };
                Answer::Send(ServerMessage::GroupRejected(rejected))
            }
        };
        let message = match answer {
            Answer::Send(message) => message,
            Answer::Ahead => {
                is_late = true;
                let page = match session.wants_page() {
                    None => {
                        self.hit(Point::PushCrossedAPage);
                        None
                    }
                    Some(after) => {
                        if let Ok(page) = self.server.page(after) {
                            page
                        } else {
                            self.end_conversation(id, Some(session::storage_failed()))?;
                            return Ok(true);
                        }
                    }
                };
                session.ahead(request, page)
            }
        };
        self.conversation_mut(id).expect("somebody listens").session = Some(session);
        self.say(id, &message);
        self.tell_behind(id);
        if is_late {
            let until_ms = self.now_ms + TURN_MS;
            self.server.turn.holder = Some(Holder { link: id, until_ms: Some(until_ms) });
            self.effects.push(Effect::Turn { until_ms });
        } else {
            self.pass_turn()?;
        }
        let next = self.conversation_mut(id).and_then(|conversation| conversation.next.take());
        if let Some((request, append)) = next {
            self.begin_push(id, request, append)?;
        }
        Ok(true)
    }

    /// Nobody has the turn any more: the next one in the queue gets it.
    fn pass_turn(&mut self) -> Result<(), Violation> {
        self.server.turn.holder = None;
        while self.server.turn.holder.is_none()
            && self.server.process.is_some()
            && let Some(next) = self.server.turn.queue.pop_front()
        {
            self.decide(next)?;
        }
        Ok(())
    }

    /// The server looks at its clock.
    pub(crate) fn server_wakes(&mut self) -> Result<bool, Violation> {
        let holder = self.server.turn.holder;
        let is_over = |until_ms: u64| until_ms <= self.now_ms;
        if holder.and_then(|holder| holder.until_ms).is_some_and(is_over) {
            if !self.server.turn.queue.is_empty() {
                self.hit(Point::TurnRevoked);
            }
            self.pass_turn()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// The server sends a page, if the client is behind.
    pub(crate) fn send_page(&mut self, id: LinkId) -> Result<bool, Violation> {
        let Some(conversation) = self.conversation_mut(id) else { return Ok(false) };
        let is_pushing = conversation.pushing.is_some();
        let Some(session) = conversation.session else { return Ok(false) };
        let Some(after) = session.wants_page() else { return Ok(false) };
        let page = match self.server.page(after) {
            Ok(Some(page)) => page,
            Ok(None) => return violation("server-page", None, "the log ends before its head"),
            Err(_) => {
                self.end_conversation(id, Some(session::storage_failed()))?;
                return Ok(true);
            }
        };
        checks::page(&self.model, &page)?;
        if is_pushing {
            self.hit(Point::PageBeforeAnswer);
        }
        let mut session = session;
        let message = session.page(page);
        self.conversation_mut(id).expect("somebody listens").session = Some(session);
        self.say(id, &message);
        self.tell_behind(id);
        Ok(true)
    }

    /// Ends a conversation at the server's end, with a last word if it has one.
    pub(crate) fn end_conversation(
        &mut self,
        id: LinkId,
        goodbye: Option<Goodbye>,
    ) -> Result<(), Violation> {
        let is_damaged = self.link_mut(id).is_none_or(|link| link.is_damaged);
        if let Some(goodbye) = goodbye {
            checks::goodbye(&goodbye, is_damaged)?;
            self.say(id, &ServerMessage::Goodbye(goodbye));
        }
        if let Some(link) = self.link_mut(id)
            && link.conversation.take().is_some()
        {
            self.send(id, Way::Down, Body::End);
        }
        let turn = &mut self.server.turn;
        turn.queue.retain(|waiting| *waiting != id);
        if turn.holder.is_some_and(|holder| holder.link == id) {
            self.pass_turn()?;
        }
        Ok(())
    }

    fn say(&mut self, id: LinkId, message: &ServerMessage) {
        self.send(id, Way::Down, Body::Frame(message.encode()));
    }

    pub(crate) fn conversation_mut(&mut self, id: LinkId) -> Option<&mut Conversation> {
        self.link_mut(id)?.conversation.as_mut()
    }
}
