//! Who is asked for a compiler, with programs of a machine that stand in for the real ones.

use super::{DONE, First, TARGET, ready_on};
use crate::machine::Machine;
use crate::machine::stand_in::StandIn;

/// Finding clang, and looking for the target.
const LOOKS: [&str; 3] = ["clang --print-targets", "llvm-ar --version", "rustc --print sysroot"];
const LOOKS_AGAIN: &str = "rustc --print sysroot";
const FINDS_RUSTUP: &str = "rustup --version";
const ADDS: &str = "rustup target add wasm32-unknown-unknown";
/// Looking for Debian's packages.
const FINDS_APT: &str = "apt-get --version";
const KNOWS: &str = "apt-cache show rustc-web";
const UPDATES: &str = "apt-get update --quiet=2";

/// Gets ready; returns the folder of the compiler, none for the usual one, or what the error says.
fn ready(machine: &Machine, first: First) -> Result<Option<std::path::PathBuf>, String> {
    ready_on(machine, first).map(|toolchain| toolchain.folder).map_err(|error| error.to_string())
}

/// What was called after the first look.
fn calls(stand_in: &StandIn) -> Vec<String> {
    let calls = stand_in.calls();
    let (looks, calls) = calls.split_at(LOOKS.len());
    assert_eq!(looks, LOOKS);
    calls.to_vec()
}

fn debian() -> StandIn {
    let stand_in = StandIn::new();
    stand_in.user(0);
    stand_in.program("apt-get", "");
    stand_in.program("apt-cache", "");
    stand_in
}

#[test]
fn a_target_that_is_there_is_used_and_nobody_is_asked() {
    let stand_in = debian();
    stand_in.rustup();
    std::fs::create_dir_all(stand_in.target()).unwrap();
    for first in [First::Rustup, First::Debian] {
        assert_eq!(ready(&stand_in.machine(), first), Ok(None));
        assert_eq!(calls(&stand_in), [""; 0]);
    }
}

#[test]
fn a_missing_target_is_added_by_rustup() {
    let stand_in = StandIn::new();
    stand_in.rustup();
    let toolchain = ready_on(&stand_in.machine(), First::Rustup).unwrap();
    assert_eq!(calls(&stand_in), [FINDS_RUSTUP, ADDS, LOOKS_AGAIN]);
    assert_eq!(toolchain.folder, None);
    let cargo = toolchain.cargo();
    let given = |name: &str| cargo.get_envs().find(|(key, _)| *key == name).unwrap().1.unwrap();
    assert_eq!(given("CC_wasm32_unknown_unknown"), "clang");
    assert_eq!(given("AR_wasm32_unknown_unknown"), "llvm-ar");
    assert!(!cargo.get_envs().any(|(name, _)| name == "RUSTC"), "the usual compiler is meant");
    // The next time it is there.
    assert_eq!(ready(&stand_in.machine(), First::Rustup), Ok(None));
    assert_eq!(calls(&stand_in), [""; 0]);
}

#[test]
fn without_packages_rustup_is_asked_in_any_case() {
    for user in [0, 1000] {
        let stand_in = StandIn::new();
        stand_in.user(user);
        stand_in.rustup();
        assert_eq!(ready(&stand_in.machine(), First::Debian), Ok(None));
        assert_eq!(calls(&stand_in), [FINDS_RUSTUP, ADDS, LOOKS_AGAIN]);
    }
}

#[test]
fn if_rustup_cannot_add_it_the_error_says_what_to_do() {
    for rustup in [Some("exit 1"), Some("[ \"$1\" = --version ]"), Some(""), None] {
        let stand_in = StandIn::new();
        if let Some(script) = rustup {
            stand_in.program("rustup", script);
        }
        let error = ready(&stand_in.machine(), First::Rustup).unwrap_err();
        assert!(error.contains("there is no compiler for wasm32-unknown-unknown"), "{error}");
        assert!(error.contains("\n  rustup target add wasm32-unknown-unknown\n"), "{error}");
        let expected: &[&str] = match rustup {
            None => &[],
            Some("exit 1") => &[FINDS_RUSTUP],
            Some(_) => &[FINDS_RUSTUP, ADDS, LOOKS_AGAIN],
        };
        assert_eq!(calls(&stand_in), expected, "{rustup:?}");
        assert!(!stand_in.machine().cache.unwrap().exists(), "nothing was begun");
    }
}

#[test]
fn if_rustup_cannot_add_it_debian_is_asked() {
    let stand_in = debian();
    stand_in.program("rustup", "[ \"$1\" = --version ]");
    stand_in.program("apt-get", "[ \"$1\" != install ]");
    let error = ready(&stand_in.machine(), First::Rustup).unwrap_err();
    assert!(error.starts_with("apt-get install "), "{error}");
    let called = calls(&stand_in);
    assert_eq!(called[..3], [FINDS_RUSTUP, ADDS, LOOKS_AGAIN]);
    assert_eq!(called[3..7], [FINDS_APT, KNOWS, FINDS_APT, UPDATES]);
    assert!(called[7].starts_with("apt-get install "), "{called:?}");
    assert_eq!(called.len(), 8);
}

#[test]
fn where_debian_comes_first_rustup_is_not_asked() {
    let stand_in = debian();
    stand_in.rustup();
    stand_in.program("apt-get", "[ \"$1\" != install ]");
    ready(&stand_in.machine(), First::Debian).unwrap_err();
    let called = calls(&stand_in);
    assert!(!called.iter().any(|call| call.starts_with("rustup")), "{called:?}");
}

#[test]
fn a_debian_that_knows_no_such_package_looks_for_news_and_then_asks_rustup() {
    let stand_in = debian();
    stand_in.rustup();
    stand_in.program("apt-cache", "[ \"$1\" = --version ]");
    assert_eq!(ready(&stand_in.machine(), First::Debian), Ok(None));
    assert_eq!(
        calls(&stand_in),
        [FINDS_APT, KNOWS, UPDATES, KNOWS, FINDS_RUSTUP, ADDS, LOOKS_AGAIN]
    );
}

#[test]
fn without_rustup_is_what_the_variable_says() {
    let stand_in = StandIn::new();
    stand_in.rustup();
    let mut machine = stand_in.machine();
    machine.may_ask_rustup = false;
    assert!(ready(&machine, First::Rustup).unwrap_err().contains("there is no compiler"));
    assert_eq!(calls(&stand_in), [""; 0]);
}

#[test]
fn a_compiler_that_was_made_is_used_and_nobody_is_asked() {
    for first in [First::Rustup, First::Debian] {
        let stand_in = debian();
        stand_in.rustup();
        let made = stand_in.made();
        let toolchain = ready_on(&stand_in.machine(), first).unwrap();
        assert_eq!(calls(&stand_in), [""; 0]);
        assert_eq!(toolchain.cargo().get_program(), made.join("bin/cargo"));
        assert_eq!(toolchain.folder, Some(made));
    }
}

#[test]
fn a_compiler_that_was_made_in_an_older_way_is_made_anew() {
    let stand_in = debian();
    stand_in.rustup();
    stand_in.program("apt-get", "[ \"$1\" != install ]");
    std::fs::remove_file(stand_in.made().join(DONE)).unwrap();
    ready(&stand_in.machine(), First::Rustup).unwrap_err();
    let called = calls(&stand_in);
    assert!(!called.iter().any(|call| call.starts_with("rustup")), "{called:?}");
    assert!(called.last().unwrap().starts_with("apt-get install "), "{called:?}");
}

#[test]
fn if_nothing_may_be_installed_nothing_is() {
    let stand_in = debian();
    stand_in.rustup();
    let mut machine = stand_in.machine();
    machine.may_install = false;
    let error = ready(&machine, First::Rustup).unwrap_err();
    assert!(error.contains("rustup target add wasm32-unknown-unknown"), "{error}");
    assert_eq!(calls(&stand_in), [""; 0]);
    assert!(!stand_in.target().exists());
}

#[test]
fn a_missing_clang_is_named_before_anything_else_is_done() {
    for without in ["clang", "llvm-ar"] {
        let stand_in = StandIn::new();
        stand_in.rustup();
        stand_in.remove(without);
        let error = ready(&stand_in.machine(), First::Rustup).unwrap_err();
        let install = "\n  sudo apt-get install --yes --no-install-recommends clang-22 llvm-22";
        assert!(error.ends_with(install), "{error}");
        assert!(!stand_in.target().exists());
    }
}

#[test]
fn a_clang_with_a_version_in_its_name_will_do() {
    let stand_in = StandIn::new();
    std::fs::create_dir_all(stand_in.target()).unwrap();
    stand_in.program("clang", "echo x86-64");
    stand_in.program("clang-19", "echo wasm32");
    stand_in.program("llvm-ar-19", "");
    let toolchain = ready_on(&stand_in.machine(), First::Rustup).unwrap();
    assert_eq!((toolchain.clang.as_str(), toolchain.archiver.as_str()), ("clang-19", "llvm-ar-19"));
    assert!(stand_in.target().ends_with(TARGET));
}

#[test]
fn what_another_compiler_has_built_is_not_used() {
    let stand_in = debian();
    let done = stand_in.made().join(DONE);
    let builds = stand_in.machine().cache.unwrap().join("builds");
    let built = builds.join("engine/libcore.rlib");
    let settle = || ready_on(&stand_in.machine(), First::Debian).unwrap().settle(&builds).unwrap();
    let build = || {
        std::fs::create_dir_all(built.parent().unwrap()).unwrap();
        std::fs::write(&built, "").unwrap();
    };
    let make_anew = |age| {
        let file = std::fs::File::options().write(true).open(&done).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + age).unwrap();
    };
    make_anew(std::time::Duration::from_nanos(1));
    // Nobody knows who has built it.
    build();
    settle();
    assert!(!built.exists());
    build();
    settle();
    assert!(built.exists());
    make_anew(std::time::Duration::from_nanos(1_000_001));
    settle();
    assert!(!built.exists());
}
