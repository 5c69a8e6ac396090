//! The conversation of a session with its leader: how it comes about, and how its bytes arrive.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;

use livestore::Replica;
use livestore::replica::read_rows;
use livestore::session::link::{Frame, Frames};
use livestore::session::{Answer, Beginning, Heard, LeaderEnd, Refused, RefusedReason, SessionEnd};
use livestore_core::GroupId;
use livestore_sqlite::SqliteError;

use super::{Slot, Tab, TabEffect};
use crate::action::Way;
use crate::checks::{Doing, Violation, violation};
use crate::model::Feed;
use crate::model::app::Version;
use crate::sometimes::Point;
use crate::world::World;

/// A conversation, until nobody cares for it any more.
#[derive(Debug)]
pub(crate) struct Line {
    up: VecDeque<u8>,
    pub(crate) down: VecDeque<u8>,
    /// The leader's end, while it is open.
    leader: Option<LeaderEnd>,
    /// What the session says, read beside the leader.
    said: Frames,
    /// Rows that are still to be sent.
    rows: Option<VecDeque<Rows>>,
    /// What the leader tells, as long as it runs.
    pub(crate) feed: Rc<RefCell<Feed>>,
    /// The leader's disk may have failed while it took in the session.
    was_troubled: bool,
    /// What the leader runs.
    version: Version,
    /// The last advance that was not this session's doing.
    pub(crate) foreign: u64,
    /// Groups of the session that its leader had when it attached.
    had: HashSet<GroupId>,
}

type Rows = (u16, Vec<u8>);

impl Line {
    fn new(feed: Rc<RefCell<Feed>>, version: Version) -> Self {
        Self {
            up: VecDeque::new(),
            down: VecDeque::new(),
            leader: Some(LeaderEnd::new(false)),
            said: Frames::default(),
            rows: None,
            feed,
            was_troubled: false,
            version,
            foreign: 0,
            had: HashSet::new(),
        }
    }

    /// Tells whether the session gets what its leader does.
    pub(crate) fn follows(&self) -> bool {
        self.leader.as_ref().is_some_and(|end| !end.waits_for_hello())
    }
}

impl World {
    /// A session without a leader looks for one, or becomes one.
    pub(super) fn seek(
        &mut self,
        at: usize,
        slot: usize,
        dies_after: Option<u64>,
    ) -> Result<bool, Violation> {
        let client = &mut self.clients[at];
        let (lock, is_there) = (client.lock(), client.process.is_some());
        let tab = client.slots[slot].tab.as_mut().expect("it is there");
        if tab.end.is_some() {
            return Ok(false);
        }
        let is_silent = std::mem::take(&mut tab.met_silence);
        if (!is_there || is_silent) && tab.candidacy.may_stand() && lock.lets_lead(is_silent) {
            let version = tab.model.version;
            let pending = !client.model.pending.is_empty();
            let is_first = tab.replica.is_none();
            self.start_in(at, version, dies_after, Some(slot))?;
            if self.clients[at].process.is_some() && !is_first {
                self.counts.takeovers += 1;
                self.hit(Point::TakenOver);
                if pending {
                    self.hit(Point::TakenOverWithPending);
                }
            }
        }
        let client = &self.clients[at];
        if client.slots[slot].tab.is_none() {
            // It has died as a leader.
            return Ok(true);
        }
        if client.process.is_none() {
            self.tab_effect(at, slot, TabEffect::Searches);
            return Ok(true);
        }
        self.connect(at, slot)?;
        Ok(true)
    }

    fn connect(&mut self, at: usize, slot: usize) -> Result<(), Violation> {
        let (now, config) = (self.elapsed(), self.tab_config(at, slot));
        let feed = Rc::clone(&self.clients[at].feed);
        let version = self.clients[at].model.version;
        let place = &mut self.clients[at].slots[slot];
        let tab = place.tab.as_mut().expect("it is there");
        let hello = match &tab.replica {
            Some(replica) => match replica.session_hello() {
                Ok(hello) => hello,
                Err(error) => return violation("session", Some(at), error),
            },
            None => Replica::first_session_hello(&config),
        };
        (tab.end, tab.since) = (Some(SessionEnd::new(&hello, now)), now);
        place.line = Some(Line::new(feed, version));
        self.tell(|| format!("  session {slot} of client {at} says hello"));
        self.carry_up(at, slot);
        Ok(())
    }

    /// What a session has to say goes on its way.
    fn carry_up(&mut self, at: usize, slot: usize) {
        let Slot { tab: Some(Tab { end: Some(end), .. }), line: Some(line), .. } =
            &mut self.clients[at].slots[slot]
        else {
            return;
        };
        let wire = end.wire();
        let bytes = wire.outgoing().len();
        self.hasher.update(wire.outgoing());
        if line.leader.is_some() {
            line.up.extend(wire.outgoing());
        }
        wire.went(bytes);
        let is_waiting = !line.up.is_empty();
        if is_waiting {
            self.tab_effect(at, slot, TabEffect::Up { old: false });
        }
    }

    /// A session says what it has to say.
    pub(super) fn tab_speaks(&mut self, at: usize, slot: usize) -> Result<(), Violation> {
        let now = self.elapsed();
        let Some(tab) = &mut self.clients[at].slots[slot].tab else { return Ok(()) };
        if let (Some(end), Some(replica)) = (&mut tab.end, &mut tab.replica)
            && let Err(error) = end.hand_out(replica, now)
        {
            return violation("link", Some(at), error);
        }
        self.carry_up(at, slot);
        Ok(())
    }

    /// What the leader has for its sessions goes on its way.
    pub(crate) fn carry_down(&mut self, at: usize) {
        for slot in 0..self.clients[at].slots.len() {
            let client = &mut self.clients[at];
            let Some(process) = &mut client.process else { return };
            let Some(line) = &mut client.slots[slot].line else { continue };
            let Some(end) = &mut line.leader else { continue };
            while let Some(rows) = line.rows.as_mut().filter(|_| end.takes_rows()) {
                let next = rows.pop_front();
                if next.is_none() {
                    line.rows = None;
                }
                end.send_rows(next);
            }
            let followed = !end.waits_for_hello();
            end.hand_out(&mut process.replica);
            let is_left_behind = followed && end.waits_for_hello();
            let wire = end.wire();
            let bytes = wire.outgoing().len();
            self.hasher.update(wire.outgoing());
            line.down.extend(wire.outgoing());
            wire.went(bytes);
            let is_waiting = !line.down.is_empty();
            if is_left_behind {
                self.hit(Point::SessionLeftBehind);
            }
            if is_waiting {
                self.tab_effect(at, slot, TabEffect::Down);
            }
        }
    }

    pub(super) fn bytes_arrive(
        &mut self,
        at: usize,
        slot: usize,
        way: Way,
        bytes: usize,
        old: bool,
    ) -> Result<bool, Violation> {
        match way {
            Way::Down => self.tab_hears(at, slot, bytes),
            Way::Up if self.clients[at].is_frozen => Ok(false),
            Way::Up => self.leader_hears(at, slot, bytes, old),
        }
    }

    /// Bytes of a session reach its leader.
    fn leader_hears(
        &mut self,
        at: usize,
        slot: usize,
        bytes: usize,
        old: bool,
    ) -> Result<bool, Violation> {
        let place = &mut self.clients[at].slots[slot];
        let mut taken = if old { place.old.pop_front() } else { place.line.take() };
        let Some(line) = &mut taken else { return Ok(false) };
        let Some(end) = line.leader.as_mut().filter(|_| !line.up.is_empty()) else {
            self.put_back(at, slot, taken, old);
            return Ok(false);
        };
        let bytes: Vec<u8> = line.up.drain(..bytes.min(line.up.len())).collect();
        end.wire().receive(&bytes);
        line.said.push(&bytes);
        let heard = self.leader_takes(at, slot, line, old);
        if old && self.clients[at].process.is_some() && line.up.is_empty() {
            // The end of it.
            let replica = &mut self.clients[at].process.as_mut().expect("it is running").replica;
            if let Some(mut end) = line.leader.take() {
                end.leave(replica);
            }
        }
        self.put_back(at, slot, taken, old);
        heard?;
        if self.clients[at].process.is_some() {
            self.finish(at)?;
        }
        Ok(true)
    }

    /// The leader's process may have ended in between, and the session's with it.
    fn put_back(&mut self, at: usize, slot: usize, line: Option<Line>, old: bool) {
        let Some(mut line) = line else { return };
        let is_running = self.clients[at].process.is_some();
        if !is_running {
            line.leader = None;
            line.up.clear();
        }
        let place = &mut self.clients[at].slots[slot];
        if old || place.tab.is_none() {
            if line.leader.is_some() {
                let is_waiting = !line.up.is_empty();
                place.old.push_front(line);
                if is_waiting {
                    self.tab_effect(at, slot, TabEffect::Up { old: true });
                }
            }
            return;
        }
        let is_waiting = !line.up.is_empty();
        place.line = Some(line);
        if is_waiting {
            self.tab_effect(at, slot, TabEffect::Up { old: false });
        }
        if !is_running {
            self.tab_effect(at, slot, TabEffect::Down);
        }
    }

    /// The leader takes every message that has come as a whole.
    fn leader_takes(
        &mut self,
        at: usize,
        slot: usize,
        line: &mut Line,
        old: bool,
    ) -> Result<(), Violation> {
        loop {
            let message = loop {
                match line.said.pop() {
                    Ok(Some(Frame::Message(message))) => break Some(message),
                    Ok(Some(_)) => {}
                    Ok(None) => break None,
                    Err(error) => return violation("link", Some(at), error),
                }
            };
            let Some(process) = &mut self.clients[at].process else { return Ok(()) };
            let Some(end) = &mut line.leader else { return Ok(()) };
            let Some(message) = message else {
                // Credit and pings.
                let none = end.hear(&mut process.replica, 0, |_| Ok(()));
                return match none {
                    Ok(None) => Ok(()),
                    other => violation("link", Some(at), format_args!("{other:?}")),
                };
            };
            let said: String = String::from_utf8_lossy(&message).chars().take(400).collect();
            self.tell(|| format!("  session {slot} of client {at}: {said}"));
            let takings = self.takings(at, &message)?;
            line.was_troubled |= self.clients[at].is_troubled();
            let now_ms = self.client_now(at);
            let process = self.clients[at].process.as_mut().expect("it was there");
            let followed = !end.waits_for_hello();
            let heard = end.hear(&mut process.replica, now_ms, |replica| {
                let mut rows = VecDeque::new();
                read_rows(replica.connection(), |number, chunk| {
                    rows.push_back((number, chunk));
                    Ok::<_, SqliteError>(())
                })?;
                Ok(rows)
            });
            let doing = match &takings {
                Some(takings) if followed => Doing::Take(takings.clone()),
                _ => Doing::Following,
            };
            if self.has_died(at, doing) {
                if takings.is_some() {
                    self.hit(Point::KilledTaking);
                }
                return Ok(());
            }
            match heard {
                Ok(Some(Heard::Follows(rows))) => {
                    line.rows = Some(rows);
                    self.attached(at, slot, line, old);
                }
                Ok(Some(Heard::Done)) => {
                    if let Some(takings) = takings.filter(|_| followed) {
                        self.took(at, line, takings)?;
                    }
                }
                Ok(None) => return violation("link", Some(at), "a frame is not there"),
                Err(_) if self.clients[at].is_troubled() => {
                    self.hit(Point::TakingFailed);
                    let process = self.clients[at].process.as_mut().expect("it was there");
                    end.leave(&mut process.replica);
                    line.leader = None;
                    line.up.clear();
                    if !old {
                        self.tab_effect(at, slot, TabEffect::Down);
                    }
                    return Ok(());
                }
                Err(error) => return violation("link", Some(at), error),
            }
        }
    }

    /// A session follows from now on, from what its leader shows now.
    fn attached(&mut self, at: usize, slot: usize, line: &mut Line, old: bool) {
        self.hit(Point::Attached);
        let client = &mut self.clients[at];
        let number = client.process.as_ref().expect("it is running").replica.advances();
        let state = client.model.local_and_left_out();
        let mut others = client.slots.iter().flat_map(|slot| slot.line.iter().chain(&slot.old));
        if !others.any(Line::follows) {
            // While nobody follows, what a leader does has no numbers.
            client.feed = Rc::default();
        }
        line.feed = Rc::clone(&client.feed);
        line.feed.borrow_mut().show(number, state);
        line.foreign = number;
        if let Some(tab) = client.slots[slot].tab.as_ref().filter(|_| !old) {
            let own = tab.model.own.iter().map(|own| &own.known);
            line.had = own.filter(|own| client.model.has(own)).map(|own| own.id).collect();
            if client.model.head != client.model.pulled {
                self.hit(Point::AttachedWhileGathering);
            }
        }
    }

    /// Bytes of the leader, or the end of the conversation, reach a session.
    fn tab_hears(&mut self, at: usize, slot: usize, bytes: usize) -> Result<bool, Violation> {
        let (now_ms, now) = (self.client_now(at), self.elapsed());
        let Slot { tab: Some(tab), line: Some(line), .. } = &mut self.clients[at].slots[slot]
        else {
            return Ok(false);
        };
        let Some(end) = &mut tab.end else { return Ok(false) };
        if line.down.is_empty() {
            if line.leader.is_some() {
                return Ok(false);
            }
            if end.wire().end().is_err() {
                self.hit(Point::LinkEndedInsideAFrame);
            }
            self.break_line(at, slot);
            return Ok(true);
        }
        tab.heard = now;
        let bytes: Vec<u8> = line.down.drain(..bytes.min(line.down.len())).collect();
        end.wire().receive(&bytes);
        let mut whole = self.counts.steps.is_multiple_of(4);
        loop {
            let Slot { tab: Some(tab), line: Some(line), .. } = &mut self.clients[at].slots[slot]
            else {
                return Ok(true);
            };
            let Some(end) = &mut tab.end else { return Ok(true) };
            if end.is_attaching() {
                match end.attach(now) {
                    Ok(None) => break,
                    Ok(Some(Answer::Begin(beginning))) => {
                        self.begin(at, slot, beginning)?;
                        whole = true;
                    }
                    Ok(Some(Answer::Refused(refused))) => {
                        self.refused(at, slot, &refused)?;
                        return Ok(true);
                    }
                    Err(error) => return violation("link", Some(at), error),
                }
                continue;
            }
            let replica = tab.replica.as_mut().expect("it follows");
            match end.follow(replica, now_ms, now) {
                Ok(true) => {
                    if let Some(seen) = replica.followed() {
                        tab.model.followed(&line.feed.borrow(), seen);
                    }
                }
                Ok(false) => break,
                Err(error) => return violation("link", Some(at), error),
            }
        }
        self.observe_tab(at, slot, whole)?;
        self.tab_speaks(at, slot)?;
        let is_waiting = self.clients[at].slots[slot]
            .line
            .as_ref()
            .is_some_and(|line| !line.down.is_empty() || line.leader.is_none());
        if is_waiting {
            self.tab_effect(at, slot, TabEffect::Down);
        }
        Ok(true)
    }

    /// A session begins with the rows of its leader, or begins anew with them.
    fn begin(&mut self, at: usize, slot: usize, beginning: Beginning) -> Result<(), Violation> {
        let (now_ms, config) = (self.client_now(at), self.tab_config(at, slot));
        let Slot { tab: Some(tab), line: Some(line), .. } = &mut self.clients[at].slots[slot]
        else {
            return Ok(());
        };
        let Beginning { answer, rows } = beginning;
        let begun = match &mut tab.replica {
            Some(replica) => {
                let begun = replica.attach_anew(&answer, rows, now_ms);
                tab.model.begins_anew(&line.had);
                if !tab.model.own.is_empty() {
                    self.sometimes.hit(Point::AttachedAnewWithOwn);
                }
                begun
            }
            None => Replica::open_session(config, &answer, rows).map(|replica| {
                tab.replica = Some(replica);
            }),
        };
        tab.feed = Some(Rc::clone(&line.feed));
        begun.or_else(|error| violation("link", Some(at), error))
    }

    /// The leader does not let a session follow.
    fn refused(&mut self, at: usize, slot: usize, refused: &Refused) -> Result<(), Violation> {
        let client = &mut self.clients[at];
        let Slot { tab: Some(tab), line: Some(line), .. } = &mut client.slots[slot] else {
            return Ok(());
        };
        let (version, is_troubled) = (line.version, line.was_troubled);
        tab.candidacy.refused(refused);
        let is_other = tab.model.version != version;
        match refused.reason {
            RefusedReason::Schema(_) if is_other => {
                self.sometimes.hit(Point::SchemaMismatch);
                let Some(replica) = &mut tab.replica else {
                    // Whoever opens it gets the error.
                    self.bury_tab(at, slot);
                    return Ok(());
                };
                replica.leader_refuses(&refused.message);
            }
            RefusedReason::Other if is_troubled => {}
            _ => {
                let message = format_args!("refused by version {version:?}: {}", refused.message);
                return violation("link", Some(at), message);
            }
        }
        self.break_line(at, slot);
        Ok(())
    }

    /// The conversation of a session ends at its own end.
    pub(super) fn break_line(&mut self, at: usize, slot: usize) -> bool {
        let Some(tab) = &mut self.clients[at].slots[slot].tab else { return false };
        if tab.end.take().is_none() {
            return false;
        }
        if let Some(replica) = &mut tab.replica {
            replica.leader_is_gone();
        }
        self.give_up_line(at, slot);
        self.tab_effect(at, slot, TabEffect::Searches);
        true
    }

    /// What a session has said on a conversation that is over may still reach its leader.
    pub(super) fn give_up_line(&mut self, at: usize, slot: usize) {
        let place = &mut self.clients[at].slots[slot];
        let Some(line) = place.line.take() else { return };
        if line.leader.is_some() {
            place.old.push_back(line);
            self.tab_effect(at, slot, TabEffect::Up { old: true });
        }
    }

    /// Bytes that wait for a leader may arrive from now on.
    pub(crate) fn announce_bytes(&mut self, at: usize) {
        for slot in 0..self.clients[at].slots.len() {
            let place = &self.clients[at].slots[slot];
            let is_waiting = place.line.as_ref().is_some_and(|line| !line.up.is_empty());
            let (old, down) = (!place.old.is_empty(), place.line.is_some());
            let effects = [
                (is_waiting, TabEffect::Up { old: false }),
                (old, TabEffect::Up { old: true }),
                (down, TabEffect::Down),
            ];
            for (_, effect) in effects.into_iter().filter(|(is_due, _)| *is_due) {
                self.tab_effect(at, slot, effect);
            }
        }
    }

    /// The leader's process is gone: what it has said still arrives, or a part of that, and then the
    /// end of it.
    pub(crate) fn leader_is_gone(&mut self, at: usize) {
        let chance = self.counts.steps.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        for slot in 0..self.clients[at].slots.len() {
            let place = &mut self.clients[at].slots[slot];
            place.old.clear();
            if let Some(line) = &mut place.line {
                line.leader = None;
                line.rows = None;
                line.up.clear();
                if chance.is_multiple_of(3) {
                    // The system has not taken more of it.
                    line.down.truncate(chance as usize % (line.down.len() + 1));
                }
                self.tab_effect(at, slot, TabEffect::Down);
            }
        }
    }
}
