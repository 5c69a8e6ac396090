//! What has to hold at each step, and at rest.

use std::collections::{HashMap, HashSet};

use livestore::replica::Committed;
use livestore::{BackendId, GlobalSeqNum, GroupId, Replica};
use livestore_core::{ConfirmedGroup, LogHash, LogPosition};

use super::{Net, OnTheWire};

impl Net {
    /// Puts every client into step with the backend, and checks that it is.
    pub fn converge(&mut self) {
        self.is_restored = false;
        while self.late_push_arrives() {}
        for at in 0..self.clients.len() {
            if self.replica(at).has_disk_failed() {
                self.restart(at, OnTheWire::Lost);
            }
        }
        self.clients.iter_mut().for_each(|client| client.is_reachable = true);
        self.settle();
        let (log, mut hashes) = (flat(self.backend.log()), HashSet::new());
        for at in 0..self.clients.len() {
            let status = self.status(at);
            assert!(status.is_synced(), "client {at} is not in step: {status:?}");
            assert_eq!(confirmed_log(&self.clients[at].replica), log, "client {at}'s log");
            hashes.insert(self.replica(at).state_hash().unwrap());
            self.assert_state_is_replay(at);
            self.assert_all_accounted_for(at);
        }
        assert_eq!(hashes.len(), 1, "the states differ");
    }

    /// Checks that each committed group is in the backend's log, or a dead letter, and that once.
    pub fn assert_all_accounted_for(&mut self, at: usize) {
        let mut times: HashMap<GroupId, u32> = HashMap::new();
        for id in self.backend.ids() {
            *times.entry(id).or_default() += 1;
        }
        for letter in self.replica(at).dead_letters().unwrap() {
            *times.entry(letter.group.id()).or_default() += 1;
        }
        let synced = self.clients[at].committed.iter().filter(|committed| committed.synced);
        for Committed { group_id, .. } in synced {
            let times = times.get(group_id).copied().unwrap_or(0);
            assert_eq!(times, 1, "{group_id} of client {at} is there {times} times");
        }
    }

    pub fn assert_state_is_replay(&mut self, at: usize) {
        let replica = self.replica(at);
        let (state, replay) = (replica.state_hash().unwrap(), replica.replay_hash().unwrap());
        assert_eq!(state, replay, "client {at}'s state differs from a replay of its log");
    }

    /// Checks what has to hold for a client at every moment.
    pub(super) fn check(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.fates.extend(client.replica.poll_fates());
        let (backend_id, head) = confirmed_head(&client.replica);
        let is_other_history =
            self.is_restored || backend_id.is_some_and(|id| id != self.backend.id);
        let is_prefix = is_other_history || self.backend.has(head);
        assert!(is_prefix, "client {at} is at {head:?}, which is nowhere in the log");
        let rows = "SELECT count(*), coalesce(max(seq), 0) FROM __livestore_eventlog";
        let rows: (u64, u64) = client
            .replica
            .connection()
            .system()
            .query_one(rows, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .unwrap();
        assert_eq!(rows, (head.seq.0, head.seq.0), "client {at}'s log has another length");
        assert_eq!(client.replica.status().pulled_head, head.seq);
    }
}

/// Where a replica's file says that its confirmed log ends, and whose log it is.
fn confirmed_head(replica: &Replica) -> (Option<BackendId>, LogPosition) {
    let sql = "SELECT backend_id, head, head_hash FROM __livestore_meta";
    let head = replica.connection().system().query_one(sql, [], |row| {
        let (backend_id, hash): (Option<Vec<u8>>, Vec<u8>) = (row.get(0)?, row.get(2)?);
        let hash = LogHash::from_slice(&hash).expect("the hash has 32 bytes");
        let position = LogPosition { seq: GlobalSeqNum(row.get(1)?), hash };
        Ok((backend_id.and_then(|id| BackendId::from_slice(&id)), position))
    });
    head.unwrap().unwrap()
}

/// An event with everything that is stored of it.
type FlatEvent = (u64, Vec<u8>, Vec<u8>, String, String, String, String);

/// Reads a replica's confirmed log.
pub fn confirmed_log(replica: &Replica) -> Vec<FlatEvent> {
    let sql = "SELECT seq, group_id, event_id, name, args, client_id, session_id \
               FROM __livestore_eventlog ORDER BY seq";
    replica.connection().system().query(sql, [], |row| FlatEvent::try_from(row)).unwrap()
}

/// Writes a log in the form of [`confirmed_log`].
fn flat(log: &[ConfirmedGroup]) -> Vec<FlatEvent> {
    let mut events = Vec::new();
    for ConfirmedGroup { first, group } in log {
        for (index, event) in group.events().iter().enumerate() {
            events.push((
                first.plus(index as u64).0,
                group.id().as_bytes().to_vec(),
                event.id.as_bytes().to_vec(),
                event.name.to_string(),
                event.args.as_str().to_owned(),
                group.client_id().to_string(),
                group.session_id().to_string(),
            ));
        }
    }
    events
}
