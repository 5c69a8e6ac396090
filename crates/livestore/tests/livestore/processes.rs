//! Real processes on one folder, killed and frozen at random moments.
//!
//! The test binary starts itself again as the processes; an environment variable tells it so.
//! `LIVESTORE_ROUNDS` sets how many rounds there are; the suite and the soak set it.

#![cfg(unix)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use livestore::prelude::*;
use livestore::{LeaderLink, OpenError, Tier};

use crate::app::{TodoCompleted, assert_state_is_replay, block_on, schema, todo};

const FOLDER: &str = "LIVESTORE_FAMILY_FOLDER";
const ROUNDS: &str = "LIVESTORE_ROUNDS";
const STORE: &str = "family";
const PROCESSES: usize = 3;

fn open(folder: &Path) -> Store {
    loop {
        match Store::open(schema(), STORE, FileAdapter::new(folder)) {
            Ok(store) => return store,
            // The one that has the file is frozen.
            Err(OpenError::InUse { .. }) => {}
            Err(error) => panic!("the store does not open: {error}"),
        }
    }
}

/// Not a test of its own: one of the processes, when the environment says so.
#[test]
fn sharing_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    loop {
        let id = new_id();
        // Groups of three, whose last event reads what others have written.
        let group = (todo(&id), todo(&new_id()), TodoCompleted { id });
        let receipt = store.commit(group).expect("the commit succeeds");
        block_on(receipt.persisted()).expect("somebody leads before long");
        let line = format!("receipt {}\n", receipt.group_id());
        let mut out = std::io::stdout().lock();
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

struct Process {
    child: Child,
    receipts: Option<JoinHandle<Vec<String>>>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Also when a test fails, and also if it is frozen.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("the test binary has a path"))
            .args(["--exact", "processes::sharing_process", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the test binary starts");
        let out = BufReader::new(child.stdout.take().expect("its output is piped"));
        let receipts = std::thread::spawn(move || {
            let lines = out.lines().map_while(Result::ok);
            lines
                .filter_map(|line| line.split_once("receipt ").map(|(_, id)| id.to_owned()))
                .collect()
        });
        Self { child, receipts: Some(receipts) }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("the process is killed");
        self.child.wait().expect("the process is gone");
        let receipts = self.receipts.take().expect("it is killed once");
        receipts.join().expect("the reader ends with the process")
    }
}

#[test]
fn processes_that_share_a_store_lose_nothing_when_some_are_killed_or_frozen() {
    let rounds: u32 = std::env::var(ROUNDS).ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let mut random = 0x2545_f491_u32;
    let mut chance = move |below: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % below
    };
    let (mut kills, mut freezes, mut all) = (0, 0, 0);
    for round in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let mut processes: Vec<_> = (0..PROCESSES).map(|_| Process::start(folder.path())).collect();
        let mut receipts = Vec::new();
        let until = Instant::now() + Duration::from_millis(900);
        while Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20 + u64::from(chance(120))));
            let at = chance(PROCESSES as u32) as usize;
            if chance(3) == 0 {
                freezes += 1;
                processes[at].signal("-STOP");
                std::thread::sleep(Duration::from_millis(u64::from(chance(250))));
                if chance(3) > 0 {
                    processes[at].signal("-CONT");
                    continue;
                }
            }
            // Also one that is frozen.
            kills += 1;
            let process = std::mem::replace(&mut processes[at], Process::start(folder.path()));
            receipts.extend(process.kill());
        }
        for process in processes {
            receipts.extend(process.kill());
        }
        all += receipts.len();

        let store = open(folder.path());
        let events: Vec<_> = store.events().collect::<Result<_, _>>().unwrap();
        let logged: HashSet<_> = events.iter().map(|event| event.group_id.to_string()).collect();
        let lost: Vec<_> = receipts.iter().filter(|id| !logged.contains(*id)).collect();
        assert!(lost.is_empty(), "round {round} has lost {lost:?}");
        assert_eq!(events.len(), 3 * logged.len(), "half a group is in the log, or one twice");
        assert_state_is_replay(&store);
    }
    assert!(all > 0, "no process lived long enough to commit");
    println!("{rounds} rounds, {kills} kills, {freezes} freezes, {all} receipts, none lost");
}

#[test]
fn a_frozen_leader_is_reported_and_not_robbed_and_what_is_committed_meanwhile_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut leader = Process::start(folder.path());
    let store = loop {
        // The other process may not have come to lead yet.
        let store = open(folder.path());
        if matches!(store.sync_status().unwrap().tier, Tier::Session { .. }) {
            break store;
        }
        drop(store);
        std::thread::sleep(Duration::from_millis(20));
    };
    let link = || match store.sync_status().unwrap().tier {
        Tier::Session { leader, commits_not_handed_over, .. } => (leader, commits_not_handed_over),
        tier => panic!("{tier:?}"),
    };
    let wait_for = |expected: LeaderLink| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while link().0 != expected {
            assert!(Instant::now() < deadline, "{:?}", link());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(LeaderLink::Following);
    leader.signal("-STOP");
    wait_for(LeaderLink::Unresponsive);
    let receipt = store.commit(todo("meanwhile")).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(link(), (LeaderLink::Unresponsive, 1), "nobody else leads");
    leader.signal("-CONT");
    block_on(receipt.persisted()).unwrap();
    wait_for(LeaderLink::Following);
    assert!(leader.child.try_wait().unwrap().is_none());
    drop(leader.kill());
    // With the leader gone for good, this store leads.
    block_on(store.commit(todo("afterwards")).unwrap().persisted()).unwrap();
    drop(store);
    assert_state_is_replay(&open(folder.path()));
}
