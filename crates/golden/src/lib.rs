//! Golden files: what was written once is what tests compare with for good.
//!
//! A file on disk or a frame on the wire outlives the code that made it. So examples of both are
//! committed, and a test that makes them anew has to come to the same bytes. Whoever changes a
//! format on purpose sets [`REGENERATE`], looks at the difference in review, and tells users.
//!
//! This crate knows nothing of what is in the files. It is for tests only and never published.

#![forbid(unsafe_code)]

#[cfg(feature = "sqlite")]
mod database;

use std::fs;
use std::path::{Path, PathBuf};

#[cfg(feature = "sqlite")]
pub use database::{dump, dump_of};

/// The environment variable that lets tests write golden files instead of comparing them.
pub const REGENERATE: &str = "LIVESTORE_REGENERATE";

/// A folder of golden files.
#[derive(Debug, Clone, Copy)]
pub struct Fixtures {
    /// The folder.
    pub folder: &'static str,
    /// What the files are examples of, such as `the storage format`.
    pub what: &'static str,
    /// The command that makes them anew, without the variable in front.
    pub command: &'static str,
}

impl Fixtures {
    /// Tells whether the files are to be made anew.
    pub fn regenerate(&self) -> bool {
        std::env::var_os(REGENERATE).is_some_and(|value| value == "1")
    }

    /// Returns where a file is.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder).join(name)
    }

    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it is not there.
    #[track_caller]
    pub fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; make it with `{}`", path.display(), self.make())
        })
    }

    /// Writes a file.
    ///
    /// # Panics
    ///
    /// If that fails.
    #[track_caller]
    pub fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        let written = fs::create_dir_all(self.folder).and_then(|()| fs::write(&path, content));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Compares a text with what a file says, or writes it there if files are made anew.
    ///
    /// # Panics
    ///
    /// If they differ: a format has changed, and the message says what to do about that.
    #[track_caller]
    pub fn check(&self, name: &str, text: &str) {
        if self.regenerate() {
            return self.write(name, text.as_bytes());
        }
        let golden = self.read(name);
        let golden = String::from_utf8_lossy(&golden).replace("\r\n", "\n");
        if golden == text {
            return;
        }
        let line = |text: &str, at: usize| text.lines().nth(at).unwrap_or("").to_owned();
        let lines = golden.lines().count().max(text.lines().count());
        let at = (0..lines).find(|at| line(&golden, *at) != line(text, *at)).unwrap_or(lines);
        panic!(
            "{what} is not what {name} says from line {} on\n  golden: {}\n     now: {}\n\
             If nobody meant to change {what}, this is a bug. If it is meant: `{}`, review the \
             difference of the files, bring docs/ up to date, and add a line to CHANGELOG.md.",
            at + 1,
            line(&golden, at),
            line(text, at),
            self.make(),
            what = self.what,
        );
    }

    fn make(&self) -> String {
        format!("{REGENERATE}=1 {}", self.command)
    }
}
