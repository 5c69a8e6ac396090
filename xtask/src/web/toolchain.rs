//! A compiler for WebAssembly.
//!
//! On an ordinary machine rustup has the target. Where rustup has no network, Debian's packages have a
//! compiler with the same back-end, and the source of the standard library, which is built once; the
//! C compiler for SQLite is clang in any case.

#[cfg(all(test, unix))]
mod tests;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;

use crate::Outcome;
use crate::machine::Machine;
use crate::process::{run, succeeds};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

const HOST: &str = "x86_64-unknown-linux-gnu";

/// Is there when a compiler was made to the end; named anew whenever it is made in another way.
pub(crate) const DONE: &str = "done-2";

/// The version of LLVM that Debian's `rustc-web` is linked with.
const LLVM: &str = "22";

/// What builds for WebAssembly.
pub(crate) struct Toolchain {
    /// The folder with Debian's compiler; none if the usual one has the target.
    folder: Option<PathBuf>,
    clang: String,
    archiver: String,
}

impl Toolchain {
    /// Starts a cargo command.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = match &self.folder {
            None => Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into())),
            Some(folder) => {
                let bin = folder.join("bin");
                let mut cargo = Command::new(bin.join("cargo"));
                cargo.env("RUSTC", bin.join("rustc"));
                // `cargo clippy` is found by its name.
                let path = std::env::var_os("PATH").unwrap_or_default();
                let all = std::iter::once(bin).chain(std::env::split_paths(&path));
                if let Ok(path) = std::env::join_paths(all) {
                    cargo.env("PATH", path);
                }
                // What the usual toolchain has set for its own commands.
                for name in ["CARGO", "RUSTUP_TOOLCHAIN", "RUSTDOC"] {
                    cargo.env_remove(name);
                }
                cargo
            }
        };
        let variable = TARGET.replace('-', "_");
        cargo.env(format!("CC_{variable}"), &self.clang);
        cargo.env(format!("AR_{variable}"), &self.archiver);
        cargo
    }

    /// Empties the folder of its builds if another toolchain has built there.
    ///
    /// Cargo knows a compiler by its version, and one that was made anew has another standard library,
    /// without which nothing that was built before is found.
    pub(crate) fn settle(&self, builds: &Path) -> Outcome {
        let name = match &self.folder {
            None => "the usual one".to_owned(),
            Some(folder) => {
                let made = std::fs::metadata(folder.join(DONE))?.modified()?;
                format!("{} of {:?}", folder.display(), made.duration_since(UNIX_EPOCH)?)
            }
        };
        let mark = builds.join("toolchain");
        if std::fs::read_to_string(&mark).is_ok_and(|settled| settled == name) {
            return Ok(());
        }
        if builds.exists() {
            std::fs::remove_dir_all(builds)?;
        }
        std::fs::create_dir_all(builds)?;
        Ok(std::fs::write(mark, name)?)
    }
}

/// What cargo hands to the compiler, each flag apart from the next: paths may have spaces in them.
pub(crate) const FLAGS: &str = "CARGO_ENCODED_RUSTFLAGS";
pub(crate) const SEPARATOR: &str = "\x1f";

/// Flags by which no path of this machine gets into what is built, in which its bytes would depend on
/// it; the folders that are named are called otherwise there.
pub(crate) fn remapped(
    folders: &[(&Path, &str)],
) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home =
        home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).ok_or("there is no HOME")?;
    // The last one that fits counts.
    let all = std::iter::once((home.as_path(), "/cargo")).chain(folders.iter().copied());
    Ok(all.map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect())
}

/// Who is asked first for a compiler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First {
    Rustup,
    /// Its packages are there wherever the other things are that tests need.
    Debian,
}

/// Finds a toolchain, or installs one.
pub(crate) fn ready(first: First) -> Result<Toolchain, Box<dyn std::error::Error>> {
    ready_on(&Machine::this(true), first)
}

pub(crate) fn ready_on(
    machine: &Machine,
    first: First,
) -> Result<Toolchain, Box<dyn std::error::Error>> {
    let (clang, archiver) = clang(machine)?;
    Ok(Toolchain { folder: compiler(machine, first)?, clang, archiver })
}

/// Finds a compiler, or installs one; returns its folder if it is not the usual one.
fn compiler(
    machine: &Machine,
    first: First,
) -> Result<Option<PathBuf>, Box<dyn std::error::Error>> {
    let folder = machine.cache.as_ref().ok_or("there is no HOME")?.join("wasm-toolchain");
    if has_target(machine)? {
        return Ok(None);
    }
    if is_made(&folder) {
        return Ok(Some(folder));
    }
    // One that was made in an older way is made anew.
    let first = if folder.is_dir() { First::Debian } else { first };
    if first == First::Rustup && ask_rustup(machine)? {
        return Ok(None);
    }
    if has_packages(machine) {
        make(machine, &folder)?;
        return Ok(Some(folder));
    }
    if first == First::Debian && ask_rustup(machine)? {
        return Ok(None);
    }
    let what = format!("there is no compiler for {TARGET}; install it with");
    let other = "or, as root on Debian, with\n  cargo xtask web";
    Err(format!("{what}\n  rustup target add {TARGET}\n{other}").into())
}

/// Tells whether the usual compiler has the target.
fn has_target(machine: &Machine) -> Result<bool, Box<dyn std::error::Error>> {
    let sysroot = machine.command("rustc").args(["--print", "sysroot"]).output()?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    Ok(Path::new(&sysroot).join("lib/rustlib").join(TARGET).is_dir())
}

/// Lets rustup add the target, where it can; tells whether it is there then.
fn ask_rustup(machine: &Machine) -> Result<bool, Box<dyn std::error::Error>> {
    let may_ask = machine.may_install && machine.may_ask_rustup;
    if !may_ask || !machine.answers("rustup", "--version") {
        return Ok(false);
    }
    eprintln!("Missing: the target {TARGET}. Installing it: rustup target add {TARGET}");
    // Without a network that fails, and Debian is asked.
    let _ = run(machine.command("rustup").args(["target", "add", TARGET]));
    has_target(machine)
}

/// Tells whether packages of the compiler are there and may be installed.
fn has_packages(machine: &Machine) -> bool {
    // A new machine does not know its packages yet.
    let update = || run(machine.command("apt-get").args(["update", "--quiet=2"])).is_ok();
    let knows = || knows(machine, "rustc-web");
    cfg!(target_arch = "x86_64")
        && machine.may_install_packages()
        && (knows() || update() && knows())
}

/// Tells whether apt knows a package.
fn knows(machine: &Machine, package: &str) -> bool {
    succeeds(machine.command("apt-cache").args(["show", package]))
}

/// Finds a C compiler for WebAssembly and its archiver, or installs them.
fn clang(machine: &Machine) -> Result<(String, String), Box<dyn std::error::Error>> {
    let find = || {
        let versions = [LLVM, "21", "20", "19", "18", "17", "16"];
        let names =
            versions.map(|version| (format!("clang-{version}"), format!("llvm-ar-{version}")));
        let unversioned = ("clang".to_owned(), "llvm-ar".to_owned());
        std::iter::once(unversioned).chain(names).find(|(clang, archiver)| {
            let targets = machine.command(clang).arg("--print-targets").output();
            let knows = targets
                .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("wasm32"));
            knows && machine.answers(archiver, "--version")
        })
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let installed = machine.install_packages(&[&format!("clang-{LLVM}"), &format!("llvm-{LLVM}")]);
    installed.map_err(|error| format!("no clang from 16 on knows wasm32: {error}"))?;
    find().ok_or_else(|| "there is no clang that knows wasm32; install clang and llvm".into())
}

/// Tells whether the compiler that Debian's packages make is there.
fn is_made(folder: &Path) -> bool {
    let answers = || succeeds(Command::new(folder.join("bin/rustc")).arg("--version"));
    folder.join(DONE).is_file() && answers()
}

/// Makes a compiler of Debian's packages, which are unpacked and not installed.
fn make(machine: &Machine, folder: &Path) -> Outcome {
    eprintln!("Making a compiler for {TARGET} of Debian's packages in {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    let work = folder.join("work");
    std::fs::create_dir_all(&work)?;
    unpack(machine, &work)?;
    assemble(&work, folder)?;
    build_std(&work, folder)?;
    std::fs::remove_dir_all(&work)?;
    std::fs::write(folder.join(DONE), "")?;
    Ok(())
}

/// Downloads and unpacks the packages, which apt verifies as for an installation.
fn unpack(machine: &Machine, work: &Path) -> Outcome {
    let linked = format!("libllvm{LLVM}");
    let lld = format!("lld-{LLVM}");
    machine.install_packages(&["gcc", "libc6-dev", &linked, &lld])?;
    let packages = [
        "rustc-web",
        "cargo-web",
        "libstd-rust-web-dev",
        "rust-web-clippy",
        "rust-web-src",
        // Libraries of cargo's own.
        "libgit2-1.5",
        "libssh2-1",
        "libhttp-parser2.9",
        "libmbedcrypto7",
        "libmbedtls14",
        "libmbedx509-1",
    ];
    // The compiler itself is a library, in a package that is named after its version.
    let shown = machine.command("apt-cache").args(["depends", "libstd-rust-web-dev"]).output()?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let depends = shown.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let library = depends.filter(|name| name.starts_with("libstd-rust-web-"));
    let words = packages.into_iter().chain(library);
    let mut apt = machine.command("apt-get");
    run(apt.args(["download", "--quiet=2"]).args(words).current_dir(work))?;
    for entry in std::fs::read_dir(work)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&path).arg(work.join("root")))?;
        }
    }
    Ok(())
}

/// Puts the parts where a compiler looks for them.
fn assemble(work: &Path, folder: &Path) -> Outcome {
    let usr = work.join("root/usr");
    let libraries = usr.join("lib/x86_64-linux-gnu");
    let lib = folder.join("lib");
    std::fs::create_dir_all(folder.join("bin"))?;
    std::fs::create_dir_all(lib.join("rustlib").join(HOST).join("bin"))?;
    for entry in std::fs::read_dir(&libraries)? {
        let path = entry?.path();
        if path.to_string_lossy().contains(".so") {
            copy(&path, &lib)?;
        }
    }
    copy(&usr.join("lib/rustlib").join(HOST).join("lib"), &lib.join("rustlib").join(HOST))?;
    // rustc looks for its own linker there; Debian's is the same program.
    let linker = format!("/usr/bin/lld-{LLVM}");
    std::os::unix::fs::symlink(linker, lib.join("rustlib").join(HOST).join("bin/rust-lld"))?;
    for program in ["rustc", "rustdoc", "cargo", "cargo-clippy"] {
        wrap(&usr.join("bin").join(program), &lib, &folder.join("bin").join(program))?;
    }
    // `cargo clippy` runs what lies beside its own program.
    wrap(&usr.join("bin/clippy-driver"), &lib, &lib.join("clippy-driver"))?;
    Ok(())
}

/// Puts a program among the libraries, which lie in no folder that the system knows, and a script
/// elsewhere that runs it with them.
fn wrap(program: &Path, lib: &Path, script: &Path) -> Outcome {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let real = lib.join(format!("{name}.real"));
    std::fs::copy(program, &real)?;
    let lines = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH=\"{lib}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}\" exec \"{real}\" \"$@\"\n",
        lib = lib.display(),
        real = real.display(),
    );
    std::fs::write(script, lines)?;
    run(Command::new("chmod").arg("+x").arg(script))
}

fn copy(from: &Path, into: &Path) -> Outcome {
    run(Command::new("cp").arg("-a").arg(from).arg(into))
}

/// Builds the standard library from Debian's source of it.
fn build_std(work: &Path, folder: &Path) -> Outcome {
    let sources = std::fs::read_dir(work.join("root/usr/src"))?;
    let source = sources.filter_map(Result::ok).map(|entry| entry.path().join("library"));
    let source =
        source.into_iter().find(|path| path.is_dir()).ok_or("there is no source of std")?;
    let toolchain = Toolchain {
        folder: Some(folder.to_owned()),
        clang: String::new(),
        archiver: String::new(),
    };
    let target = work.join("target");
    let mut cargo = toolchain.cargo();
    // std's crates are unstable to everybody else, and link-time optimisation needs their bitcode.
    let flags = ["-Zforce-unstable-if-unmarked", "-Cembed-bitcode=yes"].map(str::to_owned);
    let remapped = remapped(&[(&source, "/rustc/library")])?;
    cargo
        .args(["build", "--release", "--target", TARGET, "--manifest-path"])
        .arg(source.join("sysroot/Cargo.toml"))
        .current_dir(&source)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_BOOTSTRAP", "1")
        .env(FLAGS, flags.into_iter().chain(remapped).collect::<Vec<_>>().join(SEPARATOR));
    run(&mut cargo)?;
    let out = folder.join("lib/rustlib").join(TARGET).join("lib");
    std::fs::create_dir_all(&out)?;
    for entry in std::fs::read_dir(target.join(TARGET).join("release/deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_owned();
        let is_library = path.extension().is_some_and(|extension| extension == "rlib");
        // That is only the package which pulls in the others.
        if is_library && !name.to_string_lossy().starts_with("libsysroot-") {
            std::fs::copy(&path, out.join(name))?;
        }
    }
    Ok(())
}
