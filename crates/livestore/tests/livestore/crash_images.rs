//! What a power cut can leave of a store's files, and what a store makes of it.
//!
//! A store lives through a short history on real files. Between any two syncs, a disk may have
//! written any of the 512-byte sectors that were asked of it, in any order, and a file may be as
//! long as it was or as it is. Of all that can result, every end of a frame and a seeded sample of
//! the rest is laid out as files again. Each such image has to be the store as one of its
//! transactions left it, not older than the last barrier.
//!
//! `LIVESTORE_CRASH_IMAGES` sets how many random images are tried for each moment.

use std::path::{Path, PathBuf};

use livestore::replica::GroupState;
use livestore_golden::dump;
use livestore_sqlite::rusqlite;

use crate::backend::{Disk, Net, OnTheWire, fact, write_disk};
use crate::family::{NoteDeleted, SeatFreed, SeatPinned, draft, note, schema, seat};
use crate::oracle::assert_state_is_replay;

const SECTOR: usize = 512;
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// A seeded generator, so that a failure comes back.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }

    /// Overlays some of the sectors in which `new` differs from `old`: all up to a random one,
    /// which is lost, and about half of the others. The file is as long as the last one needs it.
    fn tear(&mut self, old: &[u8], new: &[u8]) -> Vec<u8> {
        let sectors = (0..new.len()).step_by(SECTOR).map(|at| at..new.len().min(at + SECTOR));
        let written: Vec<_> =
            sectors.filter(|range| old.get(range.clone()) != Some(&new[range.clone()])).collect();
        let lost = self.next(written.len());
        let mut torn = old.to_vec();
        for (index, range) in written.into_iter().enumerate() {
            if index < lost || index > lost && self.next(2) == 0 {
                torn.resize(torn.len().max(range.end), 0);
                torn[range.clone()].copy_from_slice(&new[range]);
            }
        }
        torn
    }
}

/// Ends of the frames of a write-ahead log, each with whether its transaction ends there.
fn frame_ends(wal: &[u8]) -> Vec<(usize, bool)> {
    let Some(header) = wal.get(..WAL_HEADER) else { return Vec::new() };
    let page = u32::from_be_bytes(header[8..12].try_into().unwrap()) as usize;
    let starts = (WAL_HEADER..).step_by(FRAME_HEADER + page);
    let frames = starts.map_while(|start| {
        let frame = wal.get(start..start + FRAME_HEADER + page)?;
        // What an earlier use of the file left behind has other salts.
        (frame[8..16] == header[16..24]).then_some((start + frame.len(), frame[4..8] != [0; 4]))
    });
    frames.collect()
}

/// A moment in the life of a store's files: the database and the write-ahead log.
struct Moment {
    now: Files,
    /// What no power cut takes.
    safe: Files,
    /// What there was before, if this was a checkpoint.
    checkpointed: Option<Files>,
    /// The first commits, as far as they are safe.
    safe_commits: usize,
}

type Files = [Vec<u8>; 2];

fn files(disk: Disk) -> Files {
    disk.map(Option::unwrap_or_default)
}

/// A client and the moments that it has lived through.
struct Recorder {
    net: Net,
    moments: Vec<Moment>,
}

impl Recorder {
    fn new() -> Self {
        let mut net = Net::new(schema(), 0);
        net.slow_disk = true;
        net.backend.page_events = 2;
        net.add_client(true);
        let now = files(net.disks(0).0);
        // Of a new store, SQLite has synced the database alone, which says that there is a log.
        let safe = [now[0].clone(), Vec::new()];
        let first = Moment { now, safe, checkpointed: None, safe_commits: 0 };
        Self { net, moments: vec![first] }
    }

    fn last(&self) -> &Moment {
        self.moments.last().expect("there is a first one")
    }

    /// Does something and looks at the files.
    fn then(&mut self, act: impl FnOnce(&mut Net)) -> &mut Self {
        act(&mut self.net);
        let now = files(self.net.disks(0).0);
        if now != self.last().now {
            let (safe, safe_commits) = (self.last().safe.clone(), self.last().safe_commits);
            self.moments.push(Moment { now, safe, checkpointed: None, safe_commits });
        }
        self
    }

    /// Finishes the barrier that was asked for, if there is one.
    fn sync(&mut self) -> &mut Self {
        if self.net.sync(0) {
            let (now, safe) = self.net.disks(0);
            let safe_commits = self.net.durable_commits(0);
            let (now, safe) = (files(now), files(safe));
            self.moments.push(Moment { now, safe, checkpointed: None, safe_commits });
        }
        self
    }

    fn checkpoint(&mut self, empties: bool) -> &mut Self {
        self.net.checkpoint(0, empties);
        let (now, safe) = self.net.disks(0);
        let checkpointed = Some(self.last().now.clone());
        let safe_commits = self.net.clients[0].committed.len();
        self.moments.push(Moment {
            now: files(now),
            safe: files(safe),
            checkpointed,
            safe_commits,
        });
        self
    }

    /// Moves messages, one at a time.
    fn flow(&mut self, steps: usize) -> &mut Self {
        for _ in 0..steps {
            self.then(|net| _ = net.poll(0)).sync();
            self.then(|net| _ = net.reach_backend(0));
            self.then(|net| _ = net.send_page(0));
            self.then(|net| _ = net.reach_client(0));
        }
        self
    }

    /// A life with everything that changes the files.
    fn of_a_life() -> Self {
        let mut life = Self::new();
        life.then(|net| _ = net.commit(0, note("a", "before the first contact")))
            .then(|net| _ = net.commit(0, (draft("d", "one"), note("b", &"long ".repeat(2_000)))))
            .flow(3)
            .then(|net| _ = net.elsewhere([fact(seat(1, "them")), fact(note("c", ""))]))
            .then(|net| _ = net.commit(0, seat(1, "me")))
            .then(|net| {
                _ = net.commit(0, (seat(2, "you"), SeatPinned { seat: 2 }, draft("d", "2")));
            })
            // A rebase, with a dead letter; then what is left is pushed and confirmed.
            .flow(6)
            .then(|net| _ = net.commit(0, NoteDeleted { id: "b".into() }))
            .checkpoint(false)
            .then(|net| _ = net.commit(0, note("e", "begins the log anew")))
            .checkpoint(true)
            .then(|net| _ = net.commit(0, note("e", "begins the log anew, in an empty file")))
            .then(|net| net.cut(0, OnTheWire::Lost))
            .then(|net| {
                for round in 0..4 {
                    net.commit(0, (note("f", &round.to_string()), draft("g", "offline")));
                }
            });
        // Pages are gathered, and merged in one step.
        for round in 0..3 {
            life.net.elsewhere([fact(note("h", &round.to_string())), fact(SeatFreed { seat: 1 })]);
        }
        life.net.wait_for_retry(0);
        life.flow(8).then(|net| _ = net.commit(0, draft("d", "settles at once"))).flow(2);
        life
    }
}

/// Removes the files of an image.
fn clear(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
}

/// What an image holds, and what a store makes of it.
struct Checker {
    net: Net,
    folder: tempfile::TempDir,
    images: usize,
    /// The content that each transaction has left, oldest first.
    states: Vec<String>,
}

impl Checker {
    fn lay_out(&mut self, [database, wal]: [&[u8]; 2]) -> PathBuf {
        self.images += 1;
        let path = self.folder.path().join(format!("{}.db", self.images));
        write_disk(&path, &[Some(database.into()), Some(wal.into())]);
        path
    }

    /// Reads the content of an image.
    fn content(&mut self, image: [&[u8]; 2]) -> String {
        let path = self.lay_out(image);
        let content = dump(&rusqlite::Connection::open(&path).unwrap());
        clear(&path);
        content.unwrap_or_else(|error| panic!("image {}: {error}", self.images))
    }

    /// Checks that an image holds what a transaction has left, and not an older one than `floor`.
    #[track_caller]
    fn check_content(&mut self, what: &str, floor: usize, image: [&[u8]; 2]) {
        let content = self.content(image);
        let found = self.states.iter().rposition(|state| *state == content);
        assert!(found.is_some(), "{what}: no transaction has left this:\n{content}");
        assert!(found >= Some(floor), "{what}: state {found:?} is older than {floor}");
    }

    /// Checks that a store opens on an image, has the first commits, and goes on.
    fn check_store(&mut self, safe_commits: usize, image: [&[u8]; 2]) {
        let path = self.lay_out(image);
        let mut replica = self.net.open(Some(&path), 0);
        assert_state_is_replay(&replica);
        let state = |id| replica.group_state(id).unwrap();
        let committed = self.net.clients[0].committed.iter().filter(|committed| committed.stored);
        let is_there: Vec<_> =
            committed.map(|committed| state(committed.group_id) != GroupState::Unknown).collect();
        let there = is_there.iter().take_while(|is_there| **is_there).count();
        assert!(!is_there[there..].contains(&true), "not the first commits: {is_there:?}");
        assert!(there >= safe_commits, "{there} commits, but {safe_commits} are safe");
        assert!(self.net.backend.has(replica.head()), "{:?} is nowhere", replica.head());
        let event = livestore::NewEvent::new("v1.NoteDeleted", &NoteDeleted { id: "a".into() });
        replica.commit(vec![event.unwrap()], 1).unwrap();
        assert_state_is_replay(&replica);
        drop(replica);
        clear(&path);
    }
}

fn random_images() -> usize {
    let set = std::env::var("LIVESTORE_CRASH_IMAGES").ok();
    set.and_then(|images| images.parse().ok()).unwrap_or(3)
}

#[test]
fn whatever_a_power_cut_leaves_is_the_store_as_of_a_transaction_behind_the_last_barrier() {
    let Recorder { net, moments } = Recorder::of_a_life();
    let mut random = Random(1);
    let folder = tempfile::tempdir().unwrap();
    let mut checker = Checker { net, folder, images: 0, states: Vec::new() };
    let first = checker.content(moments[0].safe.each_ref().map(Vec::as_slice));
    checker.states.push(first);
    let mut looked_at: &[u8] = &[];
    let (mut frames, mut restarts, mut checkpoints) = (0, 0, 0);
    for moment in &moments {
        let Moment { now: [_, wal], safe: [safe_database, safe_wal], safe_commits, .. } = moment;
        let header = |wal: &[u8]| wal.get(..WAL_HEADER).map(<[u8]>::to_vec);
        let same_log = header(looked_at) == header(wal);
        let from = if same_log { frame_ends(looked_at).last().map_or(0, |end| end.0) } else { 0 };
        restarts += usize::from(!same_log && !wal.is_empty());
        looked_at = wal;

        // Every end of a frame, and a point in each frame.
        let mut last_end = from;
        for (end, is_commit) in frame_ends(wal).into_iter().filter(|(end, _)| *end > from) {
            let newest = checker.states.len() - 1;
            let inside = last_end + random.next(end - last_end);
            checker.check_content("a part of a frame", newest, [safe_database, &wal[..inside]]);
            let image: [&[u8]; 2] = [safe_database, &wal[..end]];
            if is_commit {
                let content = checker.content(image);
                checker.states.push(content);
                checker.check_store(*safe_commits, image);
            } else {
                checker.check_content("an end of a frame", newest, image);
            }
            (last_end, frames) = (end, frames + 1);
        }

        // What was written since the last sync is there in part.
        let floor = checker.content([safe_database, safe_wal]);
        let floor = checker.states.iter().rposition(|state| *state == floor);
        let floor = floor.expect("what is safe is what a transaction left");
        let mut old_wal = safe_wal.clone();
        if let (Some(old), Some(new)) = (old_wal.get_mut(..WAL_HEADER), wal.get(..WAL_HEADER)) {
            // SQLite syncs the header of a log that begins anew before it writes frames.
            old.copy_from_slice(new);
        }
        for _ in 0..random_images() {
            let torn = random.tear(&old_wal, wal);
            checker.check_content("a torn log", floor, [safe_database, &torn]);
            if random.next(4) == 0 {
                checker.check_store(*safe_commits, [safe_database, &torn]);
            }
        }

        // A checkpoint begins with a sync of the log and goes on to one of the database; then the
        // log is begun anew or emptied.
        let Some([database, wal]) = &moment.checkpointed else { continue };
        checkpoints += 1;
        for database in [database, safe_database] {
            checker.check_store(*safe_commits, [database, wal]);
        }
        for _ in 0..2 * random_images() {
            let torn = random.tear(database, safe_database);
            checker.check_content("a torn database", floor, [&torn, wal]);
        }
    }
    let transactions = checker.states.len();
    println!(
        "{} images of {} moments: {transactions} transactions, {frames} frames, {restarts} logs \
         begun anew, {checkpoints} checkpoints",
        checker.images,
        moments.len()
    );
    assert!(transactions > 20 && restarts > 2 && checkpoints > 1);
}

#[test]
fn a_checkpoint_after_a_failed_sync_leaves_nothing_to_the_sectors_that_were_lost() {
    let mut life = Recorder::new();
    for id in 0..3 {
        life.then(|net| _ = net.commit(0, note(&id.to_string(), "safe")));
    }
    life.flow(3);
    for id in 0..6 {
        life.then(|net| _ = net.commit(0, note(&id.to_string(), &"new ".repeat(500))));
    }
    let Moment { now: [_, wal], safe: [_, safe_wal], .. } = life.last();
    let (wal, safe_wal) = (wal.clone(), safe_wal.clone());
    // The system drops a part of what it could not write, and calls the rest clean.
    life.net.poll(0);
    assert!(life.net.fail_sync(0), "no barrier was asked for");
    life.checkpoint(true);
    let Moment { now: [_, wal_now], safe: [database, _], safe_commits, .. } = life.last();
    let (database, safe_commits, wal_now) = (database.clone(), *safe_commits, wal_now.clone());
    let Recorder { net, .. } = life;
    let folder = tempfile::tempdir().unwrap();
    let mut checker = Checker { net, folder, images: 0, states: Vec::new() };
    let content = checker.content([&database, &wal_now]);
    checker.states.push(content);
    let mut random = Random(2);
    for _ in 0..10 {
        let mut on_disk = random.tear(&safe_wal, &wal);
        on_disk.truncate(wal_now.len());
        checker.check_content("a log with lost sectors", 0, [&database, &on_disk]);
        checker.check_store(safe_commits, [&database, &on_disk]);
    }
}
