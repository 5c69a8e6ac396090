//! The machine that tasks run on: the programs that are there, and how those are installed that are not.

#[cfg(all(test, unix))]
pub(crate) mod stand_in;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::Outcome;
use crate::process::{cache_folder, run, succeeds};

/// Set to anything, it keeps rustup from being asked for a compiler for WebAssembly.
const WITHOUT_RUSTUP: &str = "LIVESTORE_WASM_FROM_DEBIAN";

const INSTALL: [&str; 3] = ["install", "--yes", "--no-install-recommends"];

/// A machine; tests have one of stand-ins.
pub(crate) struct Machine {
    /// Where programs are looked for; where the environment says, if that is not told.
    path: Option<OsString>,
    /// Where things are kept that take long to make.
    pub(crate) cache: Option<PathBuf>,
    /// Whether what is missing may be installed.
    pub(crate) may_install: bool,
    /// Whether rustup may be asked for a compiler for WebAssembly.
    pub(crate) may_ask_rustup: bool,
}

impl Machine {
    /// Returns the one that this runs on.
    pub(crate) fn this(may_install: bool) -> Self {
        Self {
            path: None,
            cache: cache_folder(),
            may_install,
            may_ask_rustup: std::env::var_os(WITHOUT_RUSTUP).is_none(),
        }
    }

    /// Starts a command.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    /// Tells whether a program is there and answers.
    pub(crate) fn answers(&self, program: &str, argument: &str) -> bool {
        succeeds(self.command(program).arg(argument))
    }

    pub(crate) fn is_root(&self) -> bool {
        let id = self.command("id").arg("-u").output();
        id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    }

    /// Tells whether packages of Debian's, or of a descendant of it, may be installed.
    pub(crate) fn may_install_packages(&self) -> bool {
        self.may_install && self.is_root() && self.answers("apt-get", "--version")
    }

    /// Installs packages, or says how to.
    pub(crate) fn install_packages(&self, packages: &[&str]) -> Outcome {
        if !self.may_install_packages() {
            return Err(missing(&self.typed(packages)));
        }
        eprintln!("Installing {}", packages.join(" "));
        run(self.command("apt-get").args(["update", "--quiet=2"]))?;
        let mut apt = self.command("apt-get");
        run(apt.args(INSTALL).args(packages).env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// What one types to install packages.
    pub(crate) fn typed(&self, packages: &[&str]) -> [String; 2] {
        let apt = if self.is_root() { "apt-get" } else { "sudo apt-get" };
        [format!("{apt} update"), format!("{apt} {} {}", INSTALL.join(" "), packages.join(" "))]
    }
}

/// The error that names what is to be typed.
pub(crate) fn missing(commands: &[String]) -> Box<dyn std::error::Error> {
    format!("something is missing; install it with\n  {}", commands.join("\n  ")).into()
}
