//! Packages of npm, in this repository's folders.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::machine::Machine;
use crate::process::{root, run};

/// Starts a program of npm's packages, with the Node that they bring.
pub(crate) fn tool(name: &str) -> Result<Command, Box<dyn Error>> {
    let programs = root().join("node_modules/.bin");
    let mut paths = vec![programs.clone()];
    paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path: OsString = std::env::join_paths(paths)?;
    let mut command = Command::new(programs.join(name));
    command.current_dir(root()).env("PATH", path);
    Ok(command)
}

/// Installs what `package-lock.json` of a folder names, unless that is there.
pub(crate) fn install(folder: &Path) -> Outcome {
    let installed = folder.join("node_modules/.installed");
    let wanted = std::fs::read(folder.join("package-lock.json"))?;
    if std::fs::read(&installed).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    let machine = Machine::this(true);
    if !machine.answers("npm", "--version") {
        machine.install_packages(&["npm"])?;
    }
    let mut npm = machine.command("npm");
    run(npm.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]).current_dir(folder))?;
    Ok(std::fs::write(installed, wanted)?)
}
