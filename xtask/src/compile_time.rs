//! `cargo xtask compile-time`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::process::{self, root};

/// How large the app is.
const TABLES: usize = 30;
const EVENTS: usize = 100;

/// How long an incremental build may take.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often to build after a change; the fastest counts, since others may use the machine
    #[arg(long, default_value_t = 5)]
    times: usize,
    /// Builds at a time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Where to make the app and what it is built of, and to keep both
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// Makes an app of 30 tables and 100 events outside of the workspace, and measures how long a debug
/// build takes after one of its files has changed.
pub(crate) fn run(args: &Args) -> Outcome {
    let folder = match &args.keep {
        Some(folder) => Folder::Kept(std::path::absolute(folder)?),
        None => Folder::Temporary(
            std::env::temp_dir().join(format!("livestore-compile-time-{}", std::process::id())),
        ),
    };
    let app = folder.path();
    fs::create_dir_all(app.join("src"))?;
    // The versions that the workspace uses.
    fs::copy(root().join("Cargo.lock"), app.join("Cargo.lock"))?;
    fs::write(app.join("Cargo.toml"), manifest())?;
    fs::write(app.join("src/main.rs"), main_file())?;
    for table in 0..TABLES {
        fs::write(app.join(format!("src/model_{table}.rs")), model(table))?;
    }

    println!("An app of {TABLES} tables and {EVENTS} events in {}", app.display());
    let first = build(app, args.jobs)?;
    println!("first build, with all dependencies  {:>6.1} s", first.as_secs_f64());
    let touched = app.join("src/model_0.rs");
    let mut fastest = Duration::MAX;
    for change in 0..args.times.max(1) {
        // A change that the compiler cannot skip: another function.
        let text = model(0) + &format!("\npub fn changed() -> usize {{\n    {change}\n}}\n");
        fs::write(&touched, text)?;
        let time = build(app, args.jobs)?;
        fastest = fastest.min(time);
        println!("build after a change of one file    {:>6.1} s", time.as_secs_f64());
    }
    let (seconds, limit) = (fastest.as_secs_f64(), LIMIT.as_secs());
    println!("fastest                             {seconds:>6.1} s, limit {limit} s");
    if fastest <= LIMIT { Ok(()) } else { Err("the incremental build takes too long".into()) }
}

/// A folder for the app.
enum Folder {
    Temporary(PathBuf),
    Kept(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(path) | Self::Kept(path) => path,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(path) = self {
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn build(app: &Path, jobs: usize) -> Result<Duration, Box<dyn std::error::Error>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.args(["build", "--quiet", "--jobs", &jobs.to_string()]).current_dir(app);
    command.env("CARGO_TARGET_DIR", app.join("target"));
    let start = Instant::now();
    process::run(&mut command)?;
    Ok(start.elapsed())
}

fn manifest() -> String {
    // A quoted string of Rust's is one of TOML's.
    let livestore = format!("{:?}", root().join("crates/livestore").display().to_string());
    format!(
        r#"[package]
name = "app"
version = "0.0.0"
edition = "2024"

[dependencies]
livestore-rs = {{ path = {livestore} }}
serde = {{ version = "1", features = ["derive"] }}

[workspace]
"#
    )
}

fn main_file() -> String {
    let mut text = String::new();
    for table in 0..TABLES {
        let _ = writeln!(text, "mod model_{table};");
    }
    text.push_str(
        "\nuse livestore::prelude::*;\n\n\
         fn main() -> Result<(), Box<dyn std::error::Error>> {\n    \
         let mut schema = Schema::builder();\n",
    );
    for table in 0..TABLES {
        let _ = writeln!(text, "    schema = model_{table}::register(schema);");
    }
    text.push_str(
        "    let store = Store::open(schema.build()?, \"app\", MemoryAdapter::new())?;\n    \
         let mut total = 0;\n",
    );
    for table in 0..TABLES {
        let _ = writeln!(text, "    total += model_{table}::queries(&store)?;");
    }
    text.push_str("    println!(\"{total}\");\n    Ok(())\n}\n");
    text
}

/// The bodies of materializers: that of a table's first event, and those of the others.
const INSERT: &str = "
            let tags = Json(e.tags);
            let (id, title, note, position) = (e.id, e.title, e.note, e.position);
            let (weight, done, icon) = (1.0, false, Vec::new());
            Item::insert(Item { id, title, note, position, weight, done, icon, tags })
";
const UPDATE: &str = "
            Item::update()
                .set(Item::title, e.title)
                .set(Item::position, e.position)
                .filter(Item::id.eq(e.id))
";

/// One table with its events, materializers and queries.
fn model(table: usize) -> String {
    let mut text = format!(
        r#"#![allow(dead_code)]

use livestore::prelude::*;
use livestore::{{QueryError, SchemaBuilder}};
use serde::{{Deserialize, Serialize}};

#[derive(Table, Clone, Debug, PartialEq)]
#[table(name = "items_{table}")]
pub struct Item {{
    #[column(primary_key)]
    pub id: String,
    pub title: String,
    pub note: Option<String>,
    #[column(default = 0)]
    pub position: i64,
    #[column(default = 1.0)]
    pub weight: f64,
    #[column(default = false)]
    pub done: bool,
    pub icon: Vec<u8>,
    pub tags: Json<Vec<String>>,
}}
"#
    );
    let events: Vec<usize> = (0..EVENTS).filter(|event| event % TABLES == table).collect();
    for event in &events {
        let _ = write!(
            text,
            r#"
#[derive(Event, Debug, Serialize, Deserialize)]
#[event(name = "v1.Event{event}")]
#[serde(rename_all = "camelCase")]
pub struct Event{event} {{
    pub id: String,
    pub title: String,
    pub note: Option<String>,
    pub position: i64,
    pub tags: Vec<String>,
}}
"#
        );
    }
    text.push_str("\npub fn register(schema: SchemaBuilder) -> SchemaBuilder {\n    schema\n");
    text.push_str("        .table::<Item>()\n");
    for (index, event) in events.iter().enumerate() {
        let _ = write!(text, "        .event(|e: Event{event}, _| {{");
        text.push_str(if index == 0 { INSERT } else { UPDATE });
        text.push_str("        })\n");
    }
    text.push_str("}\n");
    text.push_str(
        r#"
pub fn queries(store: &Store) -> Result<usize, QueryError> {
    let open = Item::select().filter(Item::done.eq(false)).order_by(Item::position).limit(20);
    let live = store.query_db(open.clone());
    let _subscription = live.subscribe(|items| println!("{}", items.len()));
    let first = store.query(Item::select().filter(Item::title.eq("first")).first())?;
    let count = store.query(Item::select().filter(Item::position.gt(3)).count())?;
    Ok(store.query(open)?.len() + usize::from(first.is_some()) + count as usize)
}
"#,
    );
    text
}
