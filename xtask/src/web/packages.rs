//! The npm packages: the engine put into its package, TypeScript compiled, and their tests.

use std::error::Error;
use std::path::Path;

use super::engine::{self, Build};
use super::toolchain::Toolchain;
use crate::Outcome;
use crate::npm::{install, tool};
use crate::process::{self, cargo, root, run};

/// What TypeScript knows of the engine.
const TYPES: &str = "livestore.d.ts";

/// Builds the packages with some builds of the engine; what they have of others, which may be of another
/// time, goes.
pub(crate) fn make(toolchain: &Toolchain, builds: &[Build]) -> Outcome {
    let folder = process::target_dir()?.join("web");
    for build in builds {
        engine::make(toolchain, *build, &folder)?;
    }
    for build in [Build::Default, Build::Fts5] {
        let package = root().join("packages/adapter-web").join(build.name());
        let begun = package.with_extension("begun");
        process::empty_folder(&begun)?;
        if builds.contains(&build) {
            copy(&folder.join(build.name()), &begun)?;
        } else {
            // All have the same types, which the compiler wants to see of one that was not built as well.
            let types = folder.join(builds[0].name()).join(TYPES);
            std::fs::copy(types, begun.join(TYPES))?;
        }
        process::replace_folder(&begun, &package)?;
    }
    install(root())?;
    run(tool("tsc")?.args(["--build", "packages"]))
}

/// Copies all files of a folder into another one.
fn copy(from: &Path, to: &Path) -> Outcome {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let there = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir(&there)?;
            copy(&entry.path(), &there)?;
        } else {
            std::fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}

/// Runs the packages' tests: their types, themselves, their behaviour beside LiveStore's, what documents
/// show, and the example in a browser.
pub(crate) fn test() -> Outcome {
    install(&root().join("tests/interop"))?;
    run(tool("node")?.arg("packages/tests/extract.mjs"))?;
    let projects = [
        "packages/tsconfig.tests.json",
        "packages/tsconfig.plain.json",
        "examples/todos-react",
        "tests/behaviour",
        "tests/behaviour/tsconfig.livestore.json",
    ];
    for project in projects {
        run(tool("tsc")?.args(["--project", project]))?;
    }
    run(tool("vitest")?.arg("run").env("LIVESTORE_CLI", server()?))
}

/// Builds the program that serves stores, and returns where it is.
pub(crate) fn server() -> Result<std::path::PathBuf, Box<dyn Error>> {
    run(cargo().args(["build", "--locked", "--package", "livestore-cli"]))?;
    let program = format!("debug/livestore{}", std::env::consts::EXE_SUFFIX);
    Ok(process::target_dir()?.join(program))
}
