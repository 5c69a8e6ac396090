//! A client's process and its disk: barriers, restarts, power cuts.

use std::path::Path;

use livestore::Durability;
use livestore::protocol::Push;
use livestore::replica::{GroupState, RebuildProgress};

use super::{Client, Net, OnTheWire};
use crate::backend::disk::{Disk, read_disk, wal, write_disk};

impl Net {
    /// Finishes the barrier that a replica waits for, if there is one.
    pub fn sync(&mut self, at: usize) -> bool {
        let client = &mut self.clients[at];
        let Some((barrier, covered, disk)) = client.barrier.take() else { return false };
        client.durable.extend(covered);
        client.disk = disk.or(client.disk.take());
        client.replica.barrier_done(barrier, true);
        true
    }

    /// Everything moves from the write-ahead log into the database; the log is emptied, or left
    /// to be begun anew.
    pub fn checkpoint(&mut self, at: usize, empties: bool) {
        let client = &mut self.clients[at];
        let pragma = if empties {
            "PRAGMA wal_checkpoint(TRUNCATE)"
        } else {
            "PRAGMA wal_checkpoint(PASSIVE)"
        };
        client.replica.connection().system().query(pragma, [], |_| Ok(())).unwrap();
        client.disk = client.path.as_deref().map(read_disk);
    }

    /// Counts the commits of a client that a barrier has made durable.
    pub fn durable_commits(&self, at: usize) -> usize {
        let Client { committed, durable, .. } = &self.clients[at];
        committed.iter().filter(|own| durable.contains(&own.group_id)).count()
    }

    /// Returns what a client's files hold as its process sees them, and what of that is safe.
    pub fn disks(&self, at: usize) -> (Disk, Disk) {
        let Client { path, disk, .. } = &self.clients[at];
        let path = path.as_deref().expect("the client is on files");
        (read_disk(path), disk.clone().expect("it has been written"))
    }

    /// The disk fails the barrier that a replica waits for, if there is one.
    pub fn fail_sync(&mut self, at: usize) -> bool {
        let Some((barrier, ..)) = self.clients[at].barrier.take() else { return false };
        self.replica(at).barrier_done(barrier, false);
        true
    }

    /// A client's process was killed and starts again; tells how the state is derived.
    pub fn reopen(&mut self, at: usize, progress: &mut dyn FnMut(RebuildProgress)) {
        self.cut(at, OnTheWire::Lost);
        let path = self.clients[at].path.clone().expect("it has a file");
        let replica = self.open_with(Some(&path), at, progress);
        self.clients[at].replica = replica;
        self.clients[at].barrier = None;
        self.clients[at].durable.clear();
    }

    /// A client's process ends and starts again on the same file.
    pub fn restart(&mut self, at: usize, on_the_wire: OnTheWire) {
        let Some(path) = self.clients[at].path.clone() else { return };
        self.cut(at, on_the_wire);
        let replica = self.open(Some(&path), at);
        let client = &mut self.clients[at];
        client.replica = replica;
        client.barrier = None;
        client.fates.clear();
        client.pushes.clear();
        client.durable.clear();
        self.check(at);
        self.assert_state_is_replay(at);
    }

    /// A client's process ends; returns what is in its file then.
    pub fn into_file(mut self, at: usize) -> Vec<u8> {
        self.cut(at, OnTheWire::Lost);
        let Client { replica, path, .. } = self.clients.remove(at);
        drop(replica);
        let path = path.expect("the client is on a file");
        assert!(!wal(&path).exists(), "closing moves everything into the database");
        std::fs::read(path).unwrap()
    }

    /// Power fails at a client: what no barrier has covered is gone, all else is there.
    pub fn power_cut(&mut self, at: usize, on_the_wire: OnTheWire) {
        let Some(disk) = self.clients[at].disk.clone() else { return };
        self.cut(at, on_the_wire);
        let path = self.folder.as_ref().expect("files are in a folder").path();
        let path = path.join(format!("{at}-{}.db", self.seeds));
        write_disk(&path, &disk);
        self.clients[at].path = Some(path);
        self.restart(at, OnTheWire::Lost);
        for committed in std::mem::take(&mut self.clients[at].committed) {
            let id = committed.group_id;
            if self.replica(at).group_state(id).unwrap() != GroupState::Unknown {
                self.clients[at].committed.push(committed);
                continue;
            }
            let is_late = |push: &Push| push.groups.iter().any(|group| group.id() == id);
            assert!(!self.late.iter().any(is_late), "a lost group is on the wire");
            assert_eq!(self.backend.position_of(id), None, "the backend has a lost group");
        }
    }
}

impl Client {
    /// The file of a client that has one.
    pub fn file(&self) -> &Path {
        self.path.as_deref().expect("the client is on disk")
    }

    pub(super) fn check_durable(&self, push: &Push) {
        if self.replica.durability() == Durability::Memory {
            return;
        }
        for group in &push.groups {
            let is_durable = self.durable.contains(&group.id());
            assert!(is_durable, "group {} leaves before its barrier is done", group.id());
        }
    }
}
