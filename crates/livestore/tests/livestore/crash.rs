//! A real process that commits in a loop is killed at random moments.
//!
//! The test binary starts itself again as the process to be killed; an environment variable tells
//! it so. `LIVESTORE_KILLS` sets how often; the suite and the soak set it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use livestore::prelude::*;

use crate::app::{TodoCompleted, assert_state_is_replay, schema, todo};

const FOLDER: &str = "LIVESTORE_CRASH_FOLDER";
const KILLS: &str = "LIVESTORE_KILLS";
const STORE: &str = "crash";
/// Kills that one store lives through; then a new one begins, since each is checked whole.
const KILLS_OF_ONE_STORE: u32 = 10;

fn open(folder: &Path) -> Store {
    Store::open(schema(), STORE, FileAdapter::new(folder)).expect("the store opens after a kill")
}

/// Not a test of its own: the process that is killed, when the environment says so.
#[test]
fn committing_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder));
    loop {
        let id = new_id();
        // Groups of three, whose last event reads what the first has written.
        let group = (todo(&id), todo(&new_id()), TodoCompleted { id });
        let receipt = store.commit(group).expect("the commit succeeds");
        let mut out = std::io::stdout().lock();
        // One write for a whole line: a line that is there was written after its commit returned.
        let line = format!("receipt {}\n", receipt.group_id());
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Lets the process commit for a while, kills it, and returns the receipts that it gave out.
fn receipts_until_killed(folder: &Path, after: Duration) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().expect("the test binary has a path"))
        .args(["--exact", "crash::committing_process", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the test binary starts");
    let out = BufReader::new(process.stdout.take().expect("its output is piped"));
    let reader = std::thread::spawn(move || {
        let lines = out.lines().map_while(Result::ok);
        lines.filter_map(|line| line.split_once("receipt ").map(|(_, id)| id.to_owned())).collect()
    });
    std::thread::sleep(after);
    // On Unix this is SIGKILL: the process gets no say.
    process.kill().expect("the process is killed");
    process.wait().expect("the process is gone");
    reader.join().expect("the reader ends with the process")
}

#[test]
fn a_killed_process_loses_no_persisted_commit_and_its_store_always_opens() {
    let kills: u32 = std::env::var(KILLS).ok().and_then(|kills| kills.parse().ok()).unwrap_or(5);
    // A fixed generator, so that a failure can be looked at again; the moments still differ by
    // what the machine makes of them.
    let mut random = 0x9e37_79b9_u32;
    let mut folder = tempfile::tempdir().unwrap();
    let (mut receipts, mut all_receipts) = (Vec::new(), 0);
    for kill in 0..kills {
        if kill % KILLS_OF_ONE_STORE == 0 {
            folder = tempfile::tempdir().unwrap();
            receipts.clear();
        }
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let after = Duration::from_millis(20 + u64::from(random >> 16) % 180);
        let new_receipts = receipts_until_killed(folder.path(), after);
        all_receipts += new_receipts.len();
        receipts.extend(new_receipts);

        let store = open(folder.path());
        let events: Vec<_> = store.events().collect::<Result<_, _>>().unwrap();
        let logged: std::collections::HashSet<_> =
            events.iter().map(|event| event.group_id.to_string()).collect();
        let lost: Vec<_> = receipts.iter().filter(|id| !logged.contains(*id)).collect();
        assert!(lost.is_empty(), "lost after a kill at {after:?}: {lost:?}");
        assert_eq!(events.len(), 3 * logged.len(), "half a group is in the log");
        assert_state_is_replay(&store);
    }
    assert!(all_receipts > 0, "no process lived long enough to commit");
    println!("{kills} kills, {all_receipts} receipts, none lost");
}
