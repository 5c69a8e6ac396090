//! Installing what a fresh machine lacks.

#[cfg(all(test, unix))]
mod tests;

use crate::Outcome;
use crate::machine::{Machine, missing};
use crate::process::run;
use crate::web::toolchain::{self, First};

/// Something that has to be there, and how to get it.
struct Need {
    what: &'static str,
    check: (&'static str, &'static str),
    /// Debian's packages.
    packages: &'static [&'static str],
    /// rustup's component.
    component: Option<&'static str>,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler (SQLite is built from source)",
        check: ("cc", "--version"),
        packages: &["gcc", "libc6-dev"],
        component: None,
    },
    Need {
        what: "git (the demo generates a repository)",
        check: ("git", "--version"),
        packages: &["git"],
        component: None,
    },
    Need {
        what: "npm (LiveStore's own client is tried with ours)",
        check: ("npm", "--version"),
        packages: &["npm"],
        component: None,
    },
    Need {
        what: "Chromium (pages are tried in it)",
        check: ("chromium", "--version"),
        packages: &["chromium"],
        component: None,
    },
    Need {
        what: "chromedriver (it has Chromium do what tests want)",
        check: ("chromedriver", "--version"),
        packages: &["chromium-driver"],
        component: None,
    },
    Need {
        what: "rustfmt",
        check: ("rustfmt", "--version"),
        packages: &[],
        component: Some("rustfmt"),
    },
    Need {
        what: "clippy",
        check: ("cargo-clippy", "--version"),
        packages: &[],
        component: Some("clippy"),
    },
];

/// Installs what is missing, or says how to if it may not or cannot.
pub(crate) fn install_missing(machine: &Machine) -> Outcome {
    let needs = NEEDS.iter().filter(|need| !machine.answers(need.check.0, need.check.1));
    let needs: Vec<_> = needs.inspect(|need| println!("Missing: {}", need.what)).collect();
    let mut left = Vec::new();
    let packages: Vec<_> = needs.iter().flat_map(|need| need.packages).copied().collect();
    if !packages.is_empty() {
        if machine.may_install_packages() {
            machine.install_packages(&packages)?;
        } else {
            left.extend(machine.typed(&packages));
        }
    }
    for component in needs.iter().filter_map(|need| need.component) {
        let words = ["component", "add", component];
        if machine.may_install {
            run(machine.command("rustup").args(words))?;
        } else {
            left.push(format!("rustup {}", words.join(" ")));
        }
    }
    // Last, since it may take minutes.
    let toolchain = toolchain::ready_on(machine, First::Debian).map(drop);
    match (left.is_empty(), toolchain) {
        (true, toolchain) => toolchain,
        (false, Ok(())) => Err(missing(&left)),
        (false, Err(also)) => Err(format!("{}\n{also}", missing(&left)).into()),
    }
}
