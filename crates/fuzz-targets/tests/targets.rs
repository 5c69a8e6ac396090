//! Every target, with its committed corpus and with mutations of it.
//!
//! `LIVESTORE_FUZZ_RUNS` sets how many mutated inputs each target gets. An input that fails is
//! written to `target/fuzz-failures`; put it into `fuzz/corpus` once it is fixed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use livestore_fuzz_targets::{Outcome, TARGETS, Target};

/// How long one input may take; the slowest takes some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// Texts that make a difference where they are put in.
const TOKENS: [&[u8]; 16] = [
    b"null",
    b"[",
    b"]",
    b"{",
    b"}",
    b"\"",
    b",",
    b":",
    b"-0",
    b"1e400",
    b"18446744073709551615",
    b"9223372036854775807",
    b"\\u0000",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\0",
    b"\xf0\x9f\x98\x80",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn corpus(target: Target) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// A seeded generator, so that the suite runs the same inputs everywhere.
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

    fn mutated(&mut self, corpus: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut input = corpus[self.next(corpus.len())].1.clone();
        for _ in 0..=self.next(3) {
            let at = self.next(input.len() + 1);
            // Text stays text in most cases, so that what is behind UTF-8 is reached.
            let byte = if self.next(8) == 0 { self.next(256) } else { 32 + self.next(95) } as u8;
            match self.next(7) {
                0 if at < input.len() => input[at] = byte,
                1 if at < input.len() => input[at] ^= 1 << (byte % 7),
                2 => input.insert(at, byte),
                3 => {
                    let end = input.len().min(at + 1 + usize::from(byte % 16));
                    input.drain(at.min(end)..end);
                }
                4 => {
                    let token = TOKENS[usize::from(byte) % TOKENS.len()];
                    input.splice(at..at, token.iter().copied());
                }
                5 => {
                    let other = &corpus[self.next(corpus.len())].1;
                    input.truncate(at);
                    input.extend_from_slice(&other[other.len().min(at)..]);
                }
                _ => {
                    let end = input.len().min(at + 8);
                    let repeated = input[at..end].to_vec();
                    input.splice(at..at, repeated);
                }
            }
        }
        input
    }
}

/// Runs one input; if it fails or hangs, keeps it and tells where.
fn run(target: Target, input: &[u8]) -> Outcome {
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || tell.send((target.run)(input)));
        told.recv_timeout(PATIENCE).unwrap_or_else(|error| {
            let name =
                input.iter().fold(0_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(*byte));
            let folder = root().join("target/fuzz-failures").join(target.name);
            let path = folder.join(format!("{name:08x}"));
            fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)).unwrap();
            let what = match error {
                mpsc::RecvTimeoutError::Timeout => "does not come to an end",
                mpsc::RecvTimeoutError::Disconnected => "panics",
            };
            eprintln!("target {} {what} on {}", target.name, path.display());
            if error == mpsc::RecvTimeoutError::Timeout {
                // The thread cannot be ended, and would be waited for.
                std::process::abort();
            }
            panic!("target {} {what} on {}", target.name, path.display());
        })
    })
}

fn fuzz(name: &str) {
    let target = *TARGETS.iter().find(|target| target.name == name).unwrap();
    let runs = std::env::var("LIVESTORE_FUZZ_RUNS").ok().and_then(|runs| runs.parse().ok());
    let corpus = corpus(target);
    let mut outcomes: BTreeMap<Outcome, (u32, Vec<u8>)> = BTreeMap::new();
    let mut note = |outcome, input: &[u8]| {
        let (times, shortest) = outcomes.entry(outcome).or_insert((0, input.to_vec()));
        *times += 1;
        if input.len() < shortest.len() {
            *shortest = input.to_vec();
        }
    };
    for (_, input) in &corpus {
        note(run(target, input), input);
    }
    let mut random = Random(1);
    for _ in 0..runs.unwrap_or(300) {
        let input = random.mutated(&corpus);
        note(run(target, &input), &input);
    }
    for (outcome, (times, shortest)) in &outcomes {
        println!("{times:>6} {outcome:?}, such as {:?}", String::from_utf8_lossy(shortest));
        if std::env::var_os("LIVESTORE_FUZZ_KEEP").is_some() {
            let folder = root().join("target/fuzz-kept").join(target.name);
            let name: String =
                format!("{outcome:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "_");
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(name), shortest).unwrap();
        }
    }
    let is_met = |is: fn(&Outcome) -> bool| outcomes.keys().any(is);
    assert!(is_met(|outcome| matches!(outcome, Outcome::Accepted(_))), "nothing is accepted");
    assert!(is_met(|outcome| matches!(outcome, Outcome::Refused(_))), "nothing is refused");
}

#[test]
fn events_with_odd_payloads() {
    fuzz("event");
}

#[test]
fn frames() {
    fuzz("frame");
}

#[test]
fn links_between_sessions() {
    fuzz("link");
}

#[test]
fn what_livestore_s_clients_and_backends_say() {
    fuzz("livestore");
}

#[test]
fn payloads() {
    fuzz("payload");
}

#[test]
fn stored_files() {
    fuzz("stored_file");
}

#[test]
fn undo_data() {
    fuzz("undo");
}

#[test]
fn each_corpus_is_one_of_a_target() {
    let folders = fs::read_dir(root().join("fuzz/corpus")).unwrap();
    let mut names: Vec<_> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|target| target.name));
}
