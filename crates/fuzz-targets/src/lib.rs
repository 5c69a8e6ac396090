//! Entry points for fuzzing: each takes any bytes and says what became of them.
//!
//! Whatever the bytes are, nothing here may panic, hang or take memory without bound. What is not
//! as it should be is refused by a typed error; what is accepted has to keep its promises, which
//! each target checks.
//!
//! The suite runs them with a committed corpus and some hundred mutated inputs (`tests/targets.rs`);
//! `fuzz/` runs the same functions under libFuzzer for as long as one likes. This crate knows
//! nothing of how inputs are made.

#![forbid(unsafe_code)]

#[path = "../../livestore/tests/livestore/family.rs"]
#[allow(missing_docs, dead_code, unreachable_pub, reason = "it is the app of the store's tests")]
mod family;

mod event;
mod frame;
mod link;
mod livestore_frames;
mod payload;
mod replica;
mod stored_file;
mod undo;

/// What became of an input.
///
/// The text is a class of outcomes, not the one at hand, so that a corpus can hold one input of
/// each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It was refused by a typed error.
    Refused(String),
    /// It was accepted, and something of it was reported as damaged later.
    Reported(String),
    /// It was accepted and keeps all promises.
    Accepted(&'static str),
}

/// Something that takes any bytes.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, which is that of its corpus folder as well.
    pub name: &'static str,
    /// Runs it once.
    ///
    /// # Panics
    ///
    /// If a promise is broken: that is what fuzzing looks for.
    pub run: fn(&[u8]) -> Outcome,
}

/// Everything that is fuzzed.
pub const TARGETS: [Target; 7] = [
    Target { name: "event", run: event::run },
    Target { name: "frame", run: frame::run },
    Target { name: "link", run: link::run },
    Target { name: "livestore", run: livestore_frames::run },
    Target { name: "payload", run: payload::run },
    Target { name: "stored_file", run: stored_file::run },
    Target { name: "undo", run: undo::run },
];

/// Runs the target of a name, for the binaries in `fuzz/`.
///
/// # Panics
///
/// If there is no such target, or if a promise is broken.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.expect("the target exists").run)(input);
}

/// Returns the name of an error's variant, which is its class.
fn class(error: &impl std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    text[..end].to_owned()
}
