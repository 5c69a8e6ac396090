//! Installing what a fresh machine lacks.

use std::process::Command;

use crate::Outcome;
use crate::process::{answers, run};

/// Something that has to be there, and how to get it.
struct Need {
    what: &'static str,
    check: (&'static str, &'static str),
    /// Debian's package.
    package: Option<&'static str>,
    /// rustup's component.
    component: Option<&'static str>,
}

const NEEDS: &[Need] = &[
    Need {
        what: "a C compiler (SQLite is built from source)",
        check: ("cc", "--version"),
        package: Some("gcc libc6-dev"),
        component: None,
    },
    Need {
        what: "git (the demo generates a repository)",
        check: ("git", "--version"),
        package: Some("git"),
        component: None,
    },
    Need {
        what: "npm (LiveStore's own client is tried with ours)",
        check: ("npm", "--version"),
        package: Some("npm"),
        component: None,
    },
    Need {
        what: "rustfmt",
        check: ("rustfmt", "--version"),
        package: None,
        component: Some("rustfmt"),
    },
    Need {
        what: "clippy",
        check: ("cargo-clippy", "--version"),
        package: None,
        component: Some("clippy"),
    },
];

/// Installs what is missing, or prints how to if it may not or cannot.
pub(crate) fn install_missing(may_install: bool) -> Outcome {
    let mut left = Vec::new();
    for need in NEEDS.iter().filter(|need| !answers(need.check.0, need.check.1)) {
        for words in commands(need) {
            let shown = words.join(" ");
            if may_install && has_rights(need) {
                println!("Missing: {}. Installing it: {shown}", need.what);
                run(Command::new(&words[0]).args(&words[1..]))?;
            } else {
                left.push(format!("  {shown}    # {}", need.what));
            }
        }
    }
    if left.is_empty() {
        return Ok(());
    }
    Err(format!("something is missing; install it with\n{}", left.join("\n")).into())
}

fn commands(need: &Need) -> Vec<Vec<String>> {
    let words = |text: String| text.split(' ').map(str::to_owned).collect();
    let mut commands = Vec::new();
    if let Some(package) = need.package {
        let sudo = if is_root() { "" } else { "sudo " };
        commands.push(words(format!("{sudo}apt-get update")));
        commands.push(words(format!("{sudo}apt-get install --yes {package}")));
    }
    if let Some(component) = need.component {
        commands.push(words(format!("rustup component add {component}")));
    }
    commands
}

/// Packages need root, components do not.
fn has_rights(need: &Need) -> bool {
    need.package.is_none() || (is_root() && answers("apt-get", "--version"))
}

pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
