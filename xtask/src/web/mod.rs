//! Builds what browsers and Node load, and tries it.

mod toolchain;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Serialize;
use wasm_bindgen_cli_support::Bindgen;

use toolchain::First;

use crate::Outcome;
use crate::process::{self, root, run};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the sizes as JSON
    #[arg(long)]
    json: bool,
    /// Run the tests of the engine in Node, and build no more than they need
    #[arg(long, conflicts_with = "json")]
    test: bool,
}

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

/// A build of the engine.
struct Build {
    name: &'static str,
    /// What the C compiler is told of SQLite.
    flags: String,
}

/// What a file weighs, in bytes.
#[derive(Debug, Serialize)]
struct Size {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

#[derive(Debug, Serialize)]
struct Sizes {
    total_gzip: usize,
    files: std::collections::BTreeMap<String, Size>,
}

/// What the C compiler is told not to build, of these.
fn without(extensions: &[&str]) -> String {
    let options: Vec<_> = extensions.iter().map(|name| format!("-USQLITE_ENABLE_{name}")).collect();
    options.join(" ")
}

/// Builds the default engine and runs its tests in Node.
pub(crate) fn test() -> Outcome {
    let toolchain = toolchain::ready(First::Debian)?;
    let folder = process::target_dir()?.join("web");
    let build = Build { name: "engine", flags: without(&LEFT_OUT) };
    let out = folder.join(build.name);
    make(&toolchain, &build, &folder, &out)?;
    let mut node = Command::new("node");
    node.current_dir(root())
        .args(["--test", "crates/web/tests/engine.test.mjs"])
        .env("LIVESTORE_ENGINE", &out);
    run(&mut node)
}

pub(crate) fn run_all(args: &Args) -> Outcome {
    if args.test {
        return test();
    }
    let toolchain = toolchain::ready(First::Rustup)?;
    let builds = [
        Build { name: "engine", flags: without(&LEFT_OUT) },
        Build { name: "engine-fts5", flags: without(&LEFT_OUT[1..]) },
    ];
    let folder = process::target_dir()?.join("web");
    let mut files = std::collections::BTreeMap::new();
    for build in &builds {
        let out = folder.join(build.name);
        make(&toolchain, build, &folder, &out)?;
        for name in ["livestore.js", "livestore_bg.wasm"] {
            let path = out.join(name);
            files.insert(format!("{}/{name}", build.name), weigh(&path)?);
        }
    }
    let total =
        |size: (&String, &Size)| if size.0.starts_with("engine/") { size.1.gzip } else { 0 };
    let sizes = Sizes { total_gzip: files.iter().map(total).sum(), files };
    if args.json {
        println!("{}", serde_json::to_string(&sizes)?);
        return Ok(());
    }
    println!("{:<32} {:>10} {:>10} {:>10}", "bytes", "raw", "gzip", "brotli");
    for (name, Size { raw, gzip, brotli }) in &sizes.files {
        println!("{name:<32} {raw:>10} {gzip:>10} {brotli:>10}");
    }
    println!(
        "The default build: {} bytes with gzip. It is in {}",
        sizes.total_gzip,
        folder.display()
    );
    Ok(())
}

/// Builds the engine, and the JavaScript that calls it.
fn make(toolchain: &toolchain::Toolchain, build: &Build, folder: &Path, out: &Path) -> Outcome {
    // Each has its own folder: cargo does not see that SQLite's flags are others.
    let target = folder.join("build").join(build.name);
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--profile", "web"])
        .args(["--target", toolchain::TARGET, "--package", "livestore-web"])
        .env("CARGO_TARGET_DIR", &target)
        .env("SQLITE_WASM_RS_FLAGS", &build.flags)
        // The bytes do not depend on the folder.
        .env("RUSTFLAGS", format!("--remap-path-prefix={}=/livestore", root().display()));
    run(&mut cargo)?;
    let wasm = target.join(toolchain::TARGET).join("web/livestore_web.wasm");
    std::fs::create_dir_all(out)?;
    let mut bindgen = Bindgen::new();
    bindgen
        .input_path(wasm)
        .web(true)?
        .out_name("livestore")
        .typescript(true)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true);
    bindgen.generate(out)?;
    Ok(())
}

fn weigh(path: &PathBuf) -> Result<Size, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&bytes)?;
    let mut brotli = Vec::new();
    let parameters =
        brotli::enc::BrotliEncoderParams { quality: 11, lgwin: 24, ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut brotli, &parameters)?;
    Ok(Size { raw: bytes.len(), gzip: gzip.finish()?.len(), brotli: brotli.len() })
}
