//! Messages move, connections open and break, time passes.

use std::collections::HashSet;

use livestore::protocol::{ClientMessage, ServerMessage};
use livestore::replica::UpstreamAction;
use livestore::{GroupId, Replica};
use livestore_sqlite::rusqlite;

use super::Net;
use crate::backend::disk::read_disk;
use crate::backend::line::Line;

/// What becomes of pushes that are on the wire when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTheWire {
    Lost,
    /// They reach the backend some time later; the answer goes nowhere.
    Late,
}

impl Net {
    /// Does everything that a replica asks for now; returns whether there was anything.
    pub fn poll(&mut self, at: usize) -> bool {
        let mut moved = false;
        loop {
            let client = &mut self.clients[at];
            let action = client.replica.poll_upstream(self.now_ms).expect("polling works");
            match action {
                Some(UpstreamAction::Connect) if client.is_reachable => {
                    assert!(client.line.is_none(), "a second connection");
                    client.line = Some(Line::default());
                    client.replica.upstream_connected().expect("connecting works");
                }
                Some(UpstreamAction::Connect) => {
                    client.replica.upstream_disconnected(self.now_ms, "nobody answers");
                }
                Some(UpstreamAction::Send(message)) => {
                    if let ClientMessage::Push(push) = &message {
                        client.check_durable(push);
                        client.pushes.push(push.clone());
                    }
                    let line = client.line.as_mut().expect("a message without a connection");
                    line.up.push_back(message);
                }
                Some(UpstreamAction::Disconnect) => {
                    let reason = client.replica.status().last_error.unwrap_or_default();
                    self.hang_up(at, OnTheWire::Lost, &reason);
                }
                Some(other) => panic!("unknown action {other:?}"),
                None => {
                    if let Some(barrier) = client.replica.poll_barrier() {
                        let own = client.committed.iter().map(|own| own.group_id);
                        let mut covered: HashSet<_> = own.collect();
                        if client.replica.status().republished.is_some() {
                            covered.extend(logged_ids(&client.replica));
                        }
                        let disk = client.path.as_deref().map(read_disk);
                        client.barrier = Some((barrier, covered, disk));
                    }
                    if self.slow_disk || !self.sync(at) {
                        self.check(at);
                        return moved;
                    }
                }
            }
            moved = true;
        }
    }

    /// The backend takes the next message of a client, but does not answer a push.
    pub fn take(&mut self, at: usize) -> bool {
        let Some(line) = &mut self.clients[at].line else { return false };
        if line.decided.is_some() {
            return false;
        }
        let Some(message) = line.up.pop_front() else { return false };
        line.take(&mut self.backend, message);
        true
    }

    /// The backend answers the push that it has decided.
    pub fn answer(&mut self, at: usize) -> bool {
        self.clients[at].line.as_mut().is_some_and(|line| line.answer(&self.backend))
    }

    /// The backend takes the next message of a client and answers it.
    pub fn reach_backend(&mut self, at: usize) -> bool {
        let taken = self.take(at);
        self.answer(at) || taken
    }

    /// The backend sends the next page to a client, if it has one.
    pub fn send_page(&mut self, at: usize) -> bool {
        self.clients[at].line.as_mut().is_some_and(|line| line.send_page(&self.backend))
    }

    /// The next message of the backend reaches a client.
    pub fn reach_client(&mut self, at: usize) -> Option<ServerMessage> {
        let message = self.clients[at].line.as_mut()?.down.pop_front()?;
        self.inject(at, message.clone());
        Some(message)
    }

    /// A message reaches a client as if the backend had sent it; returns whether the client is
    /// still connected then.
    pub fn inject(&mut self, at: usize, message: ServerMessage) -> bool {
        let (client, now_ms) = (&mut self.clients[at], self.now_ms);
        // Over the wire and back, so that what is tested is what can be sent.
        let message = ServerMessage::decode(&message.encode()).unwrap_or(message);
        // What failed is told by the status, and by the disconnection that follows.
        let _ = client.replica.receive_upstream(message, now_ms);
        self.poll(at);
        self.clients[at].line.is_some()
    }

    /// The connection breaks.
    pub fn cut(&mut self, at: usize, on_the_wire: OnTheWire) {
        if self.clients[at].line.is_some() {
            self.hang_up(at, on_the_wire, "the connection broke");
            self.check(at);
        }
    }

    fn hang_up(&mut self, at: usize, on_the_wire: OnTheWire, reason: &str) {
        let client = &mut self.clients[at];
        let line = client.line.take();
        client.replica.upstream_disconnected(self.now_ms, reason);
        if on_the_wire == OnTheWire::Late {
            let pushes = line.into_iter().flat_map(|line| line.up);
            self.late.extend(pushes.filter_map(|message| match message {
                ClientMessage::Push(push) => Some(push),
                ClientMessage::Authenticate(_)
                | ClientMessage::Locate(_)
                | ClientMessage::Hello(_) => None,
            }));
        }
    }

    /// A push of a connection that is long gone arrives.
    pub fn late_push_arrives(&mut self) -> bool {
        let Some(push) = self.late.pop_front() else { return false };
        self.backend.decide(push);
        true
    }

    /// Time passes until a client's next attempt to connect.
    pub fn wait_for_retry(&mut self, at: usize) {
        self.now_ms = self.now_ms.max(self.replica(at).next_timeout().expect("it is offline"));
    }

    /// A message moves in each direction, if there is one; returns whether anything moved.
    pub fn step(&mut self, at: usize) -> bool {
        let mut moved = self.poll(at) | self.sync(at);
        moved |= self.reach_backend(at) | self.send_page(at);
        moved | self.reach_client(at).is_some()
    }

    /// Everything is delivered until nothing moves any more.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut moved = false;
            for at in 0..self.clients.len() {
                moved |= self.step(at);
            }
            if !moved {
                let waiting = self.clients.iter().filter(|client| client.is_reachable);
                let next = waiting.filter_map(|client| client.replica.next_timeout()).min();
                match next {
                    Some(next) => self.now_ms = self.now_ms.max(next),
                    None => return,
                }
            }
        }
        let statuses: Vec<_> = self.clients.iter().map(|client| client.replica.status()).collect();
        panic!("the network does not come to rest: {statuses:?}");
    }
}

/// The groups of a replica's log.
fn logged_ids(replica: &Replica) -> Vec<GroupId> {
    let sql = "SELECT group_id FROM __livestore_eventlog WHERE log_hash IS NOT NULL";
    let id = |row: &rusqlite::Row<'_>| Ok(GroupId::from_slice(row.get_ref(0)?.as_blob()?).unwrap());
    replica.connection().system().query(sql, [], id).unwrap()
}
