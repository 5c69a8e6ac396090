//! Recorded runs: what was made up, written down such that it can be repeated and cut down.

use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Step};
use crate::checks::{Violation, violation};
use crate::plan::{Plan, Sizes};
use crate::rng::Rng;
use crate::schedule::Schedule;
use crate::sometimes::Sometimes;
use crate::world::{Counts, World};

/// Everything that decides about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    /// The check that this trace fails, or failed before the bug was fixed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fails: Option<String>,
    /// What the bug was, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Where ids and disks get their randomness from.
    pub seed: u64,
    /// How large what is stored and sent is.
    #[serde(flatten)]
    pub sizes: Sizes,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it came to.
    pub counts: Counts,
    /// Which situations came up.
    pub sometimes: Sometimes,
    /// Tells this run from every other one.
    pub fingerprint: String,
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
}

impl Run {
    fn new(world: World, violation: Option<Violation>) -> Self {
        let fingerprint = world.fingerprint();
        Self { counts: world.counts, sometimes: world.sometimes, fingerprint, violation }
    }
}

/// Takes a step; that it panics is a violation like any other.
fn apply(world: &mut World, step: &Step) -> Result<bool, Violation> {
    // The world ends with a violation, so nobody sees what a panic has left half done.
    panic::catch_unwind(AssertUnwindSafe(|| world.apply(step))).unwrap_or_else(|panicked| {
        let message = panicked.downcast_ref::<String>().map(String::as_str);
        let message = message.or_else(|| panicked.downcast_ref::<&str>().copied());
        violation("panic", None, message.unwrap_or("a step panicked"))
    })
}

/// Runs a seed to its end, or to the first violation; returns what was made up as well.
pub fn run_seed(seed: u64) -> (Trace, Run) {
    let rng = Rng::new(seed);
    let plan = Plan::draw(&mut rng.fork(1));
    let mut trace = Trace { fails: None, about: None, seed, sizes: plan.sizes, steps: Vec::new() };
    let mut world = trace.world();
    let limit = plan.steps;
    let mut schedule = Schedule::new(plan, rng.fork(2));
    let mut violation = None;
    while world.counts.steps < limit && violation.is_none() {
        let Some(step) = schedule.next(&world) else { break };
        let done = apply(&mut world, &step);
        trace.steps.push(step);
        match done {
            Ok(_) => schedule.take_in(&std::mem::take(&mut world.effects)),
            Err(found) => violation = Some(found),
        }
    }
    if violation.is_none() {
        let step = Step { at: world.now_ms, action: Action::Settle };
        violation = apply(&mut world, &step).err();
        trace.steps.push(step);
    }
    trace.fails = violation.as_ref().map(|violation| violation.check.into());
    (trace, Run::new(world, violation))
}

impl Trace {
    /// Runs the trace to its end, or to the first violation.
    pub fn run(&self) -> Run {
        self.run_until_violation().0
    }

    /// Runs the trace and tells what happens, a line for each step and message.
    pub fn tell(&self) -> (Run, Vec<String>) {
        let mut world = self.world();
        world.story = Some(Vec::new());
        let (violation, _) = self.run_in(&mut world);
        let story = world.story.take().unwrap_or_default();
        (Run::new(world, violation), story)
    }

    /// The world before the first step.
    fn world(&self) -> World {
        World::new(self.seed, self.sizes)
    }

    /// Runs the trace, and tells how many steps were done before its end or a violation.
    pub(crate) fn run_until_violation(&self) -> (Run, usize) {
        let mut world = self.world();
        let (violation, done) = self.run_in(&mut world);
        (Run::new(world, violation), done)
    }

    fn run_in(&self, world: &mut World) -> (Option<Violation>, usize) {
        for (index, step) in self.steps.iter().enumerate() {
            let done = apply(world, step);
            world.effects.clear();
            if let Err(violation) = done {
                return (Some(violation), index + 1);
            }
        }
        (None, self.steps.len())
    }

    /// Reads a trace from a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no trace.
    pub fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_str(&fs::read_to_string(path)?).map_err(io::Error::other)
    }

    /// Writes the trace to a file, a line for each step.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    ///
    /// # Panics
    ///
    /// Never: the steps are the last member.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let head = serde_json::to_string(&Self { steps: Vec::new(), ..self.clone() })?;
        let head = head.strip_suffix("]}").expect("the steps come last");
        let steps = self.steps.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        fs::write(path, format!("{head}\n{}\n]}}\n", steps.join(",\n")))
    }
}
