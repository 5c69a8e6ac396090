//! The engine: the Rust core as WebAssembly, with the JavaScript that calls it.

use std::path::{Path, PathBuf};

use wasm_bindgen_cli_support::Bindgen;

use super::order;
use super::toolchain::{FLAGS, SEPARATOR, TARGET, Toolchain, remapped};
use crate::Outcome;
use crate::process::{self, root, run};

/// Extensions of SQLite that a web app seldom needs, and that are left out of the default build.
const LEFT_OUT: [&str; 9] = [
    "FTS5",
    "RTREE",
    "GEOPOLY",
    "DBPAGE_VTAB",
    "DBSTAT_VTAB",
    "STMTVTAB",
    "BYTECODE_VTAB",
    "MATH_FUNCTIONS",
    "API_ARMOR",
];

/// What no statement reaches, and nothing here calls, in no build: parts of SQLite's C interface, and
/// databases in UTF-16 or that vacuum themselves, which no store is.
const UNUSED: [&str; 15] = [
    "-USQLITE_ENABLE_COLUMN_METADATA",
    "-USQLITE_ENABLE_OFFSET_SQL_FUNC",
    "-USQLITE_ENABLE_PREUPDATE_HOOK",
    "-USQLITE_ENABLE_SESSION",
    "-USQLITE_ENABLE_UNKNOWN_SQL_FUNCTION",
    "-USQLITE_ENABLE_UNLOCK_NOTIFY",
    "-DSQLITE_OMIT_AUTOVACUUM",
    "-DSQLITE_OMIT_COMPILEOPTION_DIAGS",
    "-DSQLITE_OMIT_COMPLETE",
    "-DSQLITE_OMIT_DECLTYPE",
    "-DSQLITE_OMIT_GET_TABLE",
    "-DSQLITE_OMIT_TCL_VARIABLE",
    "-DSQLITE_OMIT_TRACE",
    "-DSQLITE_OMIT_UTF16",
    "-DSQLITE_UNTESTABLE",
];

/// A build of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    Default,
    /// With full-text search.
    Fts5,
}

impl Build {
    /// Its folder, here and in the package.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "engine",
            Self::Fts5 => "engine-fts5",
        }
    }

    /// What the C compiler is told of SQLite: not to build these, nor what is unused.
    fn flags(self) -> String {
        let left_out = match self {
            Self::Default => &LEFT_OUT[..],
            Self::Fts5 => &LEFT_OUT[1..],
        };
        let left_out = left_out.iter().map(|name| format!("-USQLITE_ENABLE_{name}"));
        let options: Vec<_> = left_out.chain(UNUSED.map(str::to_owned)).collect();
        options.join(" ")
    }
}

/// Builds the engine in a folder, and returns where it is.
pub(crate) fn make(
    toolchain: &Toolchain,
    build: Build,
    folder: &Path,
) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let builds = folder.join("build");
    toolchain.settle(&builds)?;
    // Each has its own folder: in one, SQLite and all that stands on it would be built anew each time that
    // the other one is wanted.
    let target = builds.join(build.name());
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root())
        .args(["build", "--locked", "--profile", "web"])
        .args(["--target", TARGET, "--package", "livestore-web"])
        .env("CARGO_TARGET_DIR", &target)
        .env("SQLITE_WASM_RS_FLAGS", build.flags())
        .env(FLAGS, remapped(&[(root(), "/livestore")])?.join(SEPARATOR));
    run(&mut cargo)?;
    let out = folder.join(build.name());
    bind(&target.join(TARGET).join("web/livestore_web.wasm"), &out)?;
    Ok(out)
}

/// Makes the JavaScript that calls the engine, in a folder that is there when all of it is.
fn bind(wasm: &Path, out: &Path) -> Outcome {
    let begun = out.with_extension("begun");
    process::empty_folder(&begun)?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(wasm)
        .web(true)?
        .out_name("livestore")
        .typescript(true)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.generate(&begun)?;
    let wasm = begun.join("livestore_bg.wasm");
    std::fs::write(&wasm, order::alike_together(&std::fs::read(&wasm)?)?)?;
    process::replace_folder(&begun, out)
}
