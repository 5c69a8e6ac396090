//! `cargo xtask demo`: the whole system at work, on real input, with real processes.

mod client;
mod report;
mod repository;

use std::error::Error;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::client::{Client, Status};
use self::report::Report;
use crate::Outcome;
use crate::process::{self, cargo, root, wait_for};

/// Fewer events than this, and a generated repository is added.
const ENOUGH_EVENTS: u64 = 5_000;
/// Files that both clients fight over while the server is away.
const CONTESTED_FILES: u32 = 100;
/// How often a client is killed, and how many commits it may make before.
const KILLS: u32 = 3;
const COMMITS_BEFORE_KILL: [usize; KILLS as usize] = [50, 333, 120];
/// How long everything may take to get in step.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Serve the to-do list of `examples/todos-react` for a browser instead
    #[arg(long, conflicts_with_all = ["repo", "check", "keep"])]
    web: bool,
    /// The repository to turn into events, instead of this one
    #[arg(long, value_name = "PATH")]
    repo: Option<PathBuf>,
    /// Need no terminal, check everything, and print one JSON line last
    #[arg(long)]
    check: bool,
    /// The cargo profile to build with
    #[arg(long, default_value = "release")]
    profile: String,
    /// Keep the server's and clients' data in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Outcome {
    if args.web {
        return crate::web::demo::run();
    }
    let report = Demo::new(args)?.play()?;
    if args.check {
        println!("{}", report.json());
    } else {
        report.print();
    }
    match report.failure() {
        None => Ok(()),
        Some(failure) => Err(failure.into()),
    }
}

/// The running server.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

struct Demo<'a> {
    args: &'a Args,
    folder: PathBuf,
    programs: PathBuf,
}

impl Drop for Demo<'_> {
    fn drop(&mut self) {
        if self.args.keep.is_none() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl<'a> Demo<'a> {
    fn new(args: &'a Args) -> Result<Self, Box<dyn Error>> {
        let target = process::target_dir()?;
        let folder = match &args.keep {
            Some(folder) => folder.clone(),
            None => target.join(format!("demo-{}", std::process::id())),
        };
        if folder.exists() && std::fs::read_dir(&folder)?.next().is_some() {
            return Err(format!("{} is not empty; name another folder", folder.display()).into());
        }
        std::fs::create_dir_all(&folder)?;
        let folder = folder.canonicalize()?;
        let profile_folder = if args.profile == "dev" { "debug" } else { &args.profile };
        Ok(Self { args, folder, programs: target.join(profile_folder) })
    }

    fn say(&self, text: &str) {
        // With --check, standard output belongs to the JSON line.
        if self.args.check {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    fn bar(&self, of: u64, label: &str) -> ProgressBar {
        if self.args.check || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(of), ProgressDrawTarget::stderr_with_hz(20));
        let template = "  {msg:<22} {bar:36.cyan/blue} {pos:>7}/{len:<7} {per_sec:.dim}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is valid"));
        bar.set_message(label.to_owned());
        bar
    }

    fn play(&self) -> Result<Report, Box<dyn Error>> {
        self.say("Building …");
        process::run(cargo().args(["build", "--quiet", "--profile", &self.args.profile]).args([
            "--package",
            "livestore-cli",
            "--package",
            "git-history",
        ]))?;
        let start = Instant::now();
        let mut report = Report::default();

        let server = self.start_server(None)?;
        let url = server.url.clone();
        let mut a = self.start_client("a", &url)?;
        let mut b = self.start_client("b", &url)?;

        self.import(&mut a, &mut b, &mut report)?;

        self.say("\nThe server goes away; both clients keep working, on the same files.");
        drop(server);
        Self::wait_until(&mut [&mut a, &mut b], "noticing", |status| !status.connected)?;
        let a_groups = a.quarrel("Ann", CONTESTED_FILES)?;
        let b_groups = b.quarrel("Bob", CONTESTED_FILES)?;
        self.say(&format!("  Ann committed {a_groups} groups offline, Bob {b_groups}."));

        let listen = url.trim_start_matches("ws://").trim_end_matches("/sync").to_owned();
        let server = self.start_server(Some(&listen))?;
        self.say("  The server is back.");
        self.wait_until_in_step(&mut a, &mut b)?;
        report.rebased = a.status()?.rebases + b.status()?.rebases;
        self.say(&format!("  In step again, after {} rebases.", report.rebased));

        self.say("\nClient B is killed in the middle of commits, and opened again.");
        for commits in COMMITS_BEFORE_KILL {
            let receipts = b.commit_until_killed(commits)?;
            report.kills += 1;
            report.receipts_before_kill += receipts.len() as u64;
            b = self.start_client("b", &url)?;
            let present = b.count_present(&receipts)?;
            report.present_after_reopen += present;
            self.say(&format!("  {} commits had returned, {present} are there.", receipts.len()));
        }

        self.wait_until_in_step(&mut a, &mut b)?;
        let (a_state, a_replay) = a.hashes()?;
        let (b_state, b_replay) = b.hashes()?;
        let status = a.status()?;
        report.events = status.confirmed;
        report.dead_letters = status.dead_letters + b.status()?.dead_letters;
        report.quarantined = status.quarantined + b.status()?.quarantined;
        report.same_head = status.confirmed == b.status()?.confirmed;
        report.state_hash = [a_state, b_state];
        report.replay_hash = [a_replay, b_replay];
        report.top = a.top(8)?;
        report.seconds = start.elapsed().as_secs_f64();
        a.quit()?;
        b.quit()?;
        drop(server);
        Ok(report)
    }

    fn start_server(&self, listen: Option<&str>) -> Result<Server, Box<dyn Error>> {
        let mut process = Command::new(self.programs.join("livestore"))
            .args(["serve", "--json", "--listen", listen.unwrap_or("127.0.0.1:0"), "--data"])
            .arg(self.folder.join("server"))
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        let out = process.stdout.take().ok_or("the server has no output")?;
        BufReader::new(out).read_line(&mut line)?;
        let started: serde_json::Value = serde_json::from_str(&line)
            .map_err(|_| format!("the server did not start: {line:?}"))?;
        let url = started["url"].as_str().ok_or("the server told no address")?.to_owned();
        Ok(Server { process, url })
    }

    fn start_client(&self, name: &'static str, url: &str) -> Result<Client, Box<dyn Error>> {
        Client::start(name, &self.programs.join("git-history"), &self.folder.join(name), url)
    }

    fn import(
        &self,
        a: &mut Client,
        b: &mut Client,
        report: &mut Report,
    ) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        let repository = self.args.repo.as_deref().unwrap_or(root());
        self.say(&format!("\nClient A turns {} into events.", describe(repository)));
        let mut events = self.import_one(a, repository)?;
        if events < ENOUGH_EVENTS {
            self.say(&format!(
                "  That gave {events} events, fewer than {ENOUGH_EVENTS}: \
                 adding a repository generated with git fast-import."
            ));
            let generated = self.folder.join("generated.git");
            repository::generate(&generated)?;
            events += self.import_one(a, &generated)?;
        }
        report.imported = events;
        report.commit_seconds = start.elapsed().as_secs_f64();
        let bar = self.bar(events, "B follows live");
        wait_for("the first sync", PATIENCE, || {
            let (here, there) = (a.status()?, b.status()?);
            bar.set_position(there.confirmed.min(events));
            let done = here.synced && there.synced && there.confirmed == here.confirmed;
            Ok(done.then_some(()))
        })?;
        bar.finish();
        report.sync_seconds = start.elapsed().as_secs_f64();
        self.say(&format!("  {events} events: committed, synced, and applied by client B."));
        Ok(())
    }

    fn import_one(&self, client: &mut Client, repository: &Path) -> Result<u64, Box<dyn Error>> {
        let bar = self.bar(0, "A commits");
        let events = client.import(repository, |commits, of| {
            bar.set_length(of);
            bar.set_position(commits);
        })?;
        bar.finish();
        Ok(events)
    }

    fn wait_until(
        clients: &mut [&mut Client],
        what: &str,
        is_so: impl Fn(&Status) -> bool,
    ) -> Result<(), Box<dyn Error>> {
        wait_for(what, PATIENCE, || {
            for client in &mut *clients {
                if !is_so(&client.status()?) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    }

    fn wait_until_in_step(&self, a: &mut Client, b: &mut Client) -> Result<(), Box<dyn Error>> {
        let bar = self.bar(0, "getting in step");
        wait_for("getting in step", PATIENCE, || {
            let (here, there) = (a.status()?, b.status()?);
            let of = here.confirmed.max(there.confirmed) + here.pending + there.pending;
            bar.set_length(of);
            bar.set_position(here.confirmed.min(there.confirmed));
            let done = here.synced && there.synced && here.confirmed == there.confirmed;
            Ok(done.then_some(()))
        })?;
        bar.finish();
        Ok(())
    }
}

fn describe(repository: &Path) -> String {
    let name = repository.canonicalize().ok();
    let name = name.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    name.map_or_else(|| repository.display().to_string(), |name| format!("the repository {name:?}"))
}
