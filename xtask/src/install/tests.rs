//! What is noticed before anything is run, with programs that stand in for the real ones.

use super::{NEEDS, install_missing};
use crate::machine::stand_in::StandIn;

/// A machine that has everything but a few programs.
fn without(programs: &[&str]) -> StandIn {
    let stand_in = StandIn::new();
    std::fs::create_dir_all(stand_in.target()).unwrap();
    for (program, _) in NEEDS.iter().map(|need| need.check) {
        stand_in.program(program, "");
    }
    for program in programs {
        stand_in.remove(program);
    }
    stand_in.program("rustup", "");
    stand_in.program("apt-get", "");
    stand_in.program("apt-cache", "");
    stand_in
}

/// What was done, apart from looking.
fn done(stand_in: &StandIn) -> Vec<String> {
    let calls = stand_in.calls().into_iter();
    let is_look = |call: &str| call.ends_with("-version") || call.contains("--print");
    calls.filter(|call| !is_look(call)).collect()
}

#[test]
fn nothing_is_done_where_nothing_is_missing() {
    let stand_in = without(&[]);
    install_missing(&stand_in.machine()).unwrap();
    assert_eq!(done(&stand_in), [""; 0]);
}

#[test]
fn root_gets_what_is_missing() {
    let stand_in = without(&["npm", "chromium", "chromedriver", "cargo-clippy"]);
    stand_in.user(0);
    install_missing(&stand_in.machine()).unwrap();
    assert_eq!(
        done(&stand_in),
        [
            "apt-get update --quiet=2",
            "apt-get install --yes --no-install-recommends npm chromium chromium-driver",
            "rustup component add clippy",
        ]
    );
}

#[test]
fn others_are_told_of_everything_at_once() {
    let stand_in = without(&["npm", "chromedriver", "clang"]);
    let error = install_missing(&stand_in.machine()).unwrap_err().to_string();
    assert!(error.contains("\n  sudo apt-get update\n"), "{error}");
    assert!(error.contains("recommends npm chromium-driver\n"), "{error}");
    assert!(error.ends_with("recommends clang-22 llvm-22"), "{error}");
    assert_eq!(done(&stand_in), [""; 0]);
}

#[test]
fn without_leave_nothing_is_installed_not_even_a_compiler_for_the_web() {
    let stand_in = without(&["chromium", "rustfmt", "llvm-ar"]);
    std::fs::remove_dir(stand_in.target()).unwrap();
    stand_in.user(0);
    let mut machine = stand_in.machine();
    machine.may_install = false;
    let error = install_missing(&machine).unwrap_err().to_string();
    for command in [
        "\n  apt-get install --yes --no-install-recommends chromium\n",
        "\n  rustup component add rustfmt\n",
        "\n  apt-get install --yes --no-install-recommends clang-22 llvm-22",
    ] {
        assert!(error.contains(command), "{error}");
    }
    assert_eq!(done(&stand_in), [""; 0]);
    stand_in.program("llvm-ar", "");
    let error = install_missing(&machine).unwrap_err().to_string();
    assert!(error.contains("\n  rustup target add wasm32-unknown-unknown\n"), "{error}");
    assert_eq!(done(&stand_in), [""; 0]);
}
