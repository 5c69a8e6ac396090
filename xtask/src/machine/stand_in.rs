//! A machine of stand-ins: programs that write down how they are called, and do nothing else unless told.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::Machine;
use crate::web::toolchain::{DONE, TARGET};

/// A program that is being written cannot be started, and a process that another thread is starting has the
/// file open for a moment: so there is one such machine at a time.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) struct StandIn {
    folder: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl StandIn {
    /// A user's machine, with a compiler that lacks the target, and with clang.
    pub(crate) fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Self { folder: tempfile::tempdir().unwrap(), _alone: alone };
        fs::create_dir(this.path("bin")).unwrap();
        this.program("rustc", &format!("echo '{}'", this.path("sysroot").display()));
        this.program("clang", "echo wasm32");
        this.program("llvm-ar", "");
        this.user(1000);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets what a program does, in the shell's own words, since nothing else is there.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let log = self.path("calls");
        let note = format!("echo \"{name} $*\" >> '{}'", log.display());
        write(&self.path("bin").join(name), &format!("{note}\n{script}"));
    }

    pub(crate) fn remove(&self, program: &str) {
        fs::remove_file(self.path("bin").join(program)).unwrap();
    }

    /// Sets who runs tasks; root is 0. That this is asked is not written down.
    pub(crate) fn user(&self, id: u32) {
        write(&self.path("bin/id"), &format!("echo {id}"));
    }

    /// Has rustup add the target when it is asked to.
    pub(crate) fn rustup(&self) {
        let add = format!("[ \"$1\" != target ] || /bin/mkdir -p '{}'", self.target().display());
        self.program("rustup", &add);
    }

    /// The folder of the target in the usual compiler.
    pub(crate) fn target(&self) -> PathBuf {
        self.path("sysroot/lib/rustlib").join(TARGET)
    }

    /// Has a compiler that was made of Debian's packages; returns its folder.
    pub(crate) fn made(&self) -> PathBuf {
        let folder = self.path("cache/wasm-toolchain");
        fs::create_dir_all(folder.join("bin")).unwrap();
        write(&folder.join("bin/rustc"), "");
        fs::write(folder.join(DONE), "").unwrap();
        folder
    }

    /// The machine, on which everything may be installed.
    pub(crate) fn machine(&self) -> Machine {
        Machine {
            path: Some(self.path("bin").into()),
            cache: Some(self.path("cache")),
            may_install: true,
            may_ask_rustup: true,
        }
    }

    /// What was called since this was asked last.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.path("calls"));
        calls.lines().map(|call| call.trim_end().to_owned()).collect()
    }
}

/// Writes a program.
fn write(path: &Path, script: &str) {
    fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
