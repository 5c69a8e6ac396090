//! What the demo found out.

use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) imported: u64,
    pub(crate) commit_seconds: f64,
    pub(crate) sync_seconds: f64,
    pub(crate) events: u64,
    pub(crate) rebased: u64,
    pub(crate) kills: u64,
    pub(crate) receipts_before_kill: u64,
    pub(crate) present_after_reopen: u64,
    pub(crate) dead_letters: u64,
    pub(crate) quarantined: u64,
    pub(crate) same_head: bool,
    pub(crate) state_hash: [String; 2],
    pub(crate) replay_hash: [String; 2],
    pub(crate) top: Vec<(String, i64)>,
    pub(crate) seconds: f64,
}

impl Report {
    fn converged(&self) -> bool {
        let [a, b] = &self.state_hash;
        self.same_head && !a.is_empty() && a == b && self.replay_hash == self.state_hash
    }

    /// Says what is wrong, if something is.
    pub(crate) fn failure(&self) -> Option<String> {
        let Self { receipts_before_kill, present_after_reopen, .. } = self;
        if !self.converged() {
            Some("the clients did not converge on one state that is a replay of the log".into())
        } else if receipts_before_kill != present_after_reopen {
            let lost = receipts_before_kill - present_after_reopen;
            Some(format!("{lost} commits that had returned were lost in a kill"))
        } else if self.kills == 0 || self.rebased == 0 || *receipts_before_kill == 0 {
            Some("nothing was proved: no kill, no receipt before one, or no rebase".into())
        } else if self.dead_letters + self.quarantined > 0 {
            Some("there are dead letters or quarantined events, and there should be none".into())
        } else {
            None
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "events": self.events,
            "clients": 2,
            "rebased": self.rebased,
            "kills": self.kills,
            "receipts_before_kill": self.receipts_before_kill,
            "present_after_reopen": self.present_after_reopen,
            "state_hash": self.state_hash,
            "replay_hash": self.replay_hash[0],
            "converged": self.converged() && self.failure().is_none(),
            "seconds": (self.seconds * 10.0).round() / 10.0,
        })
    }

    pub(crate) fn print(&self) {
        let rate = |seconds: f64| self.imported as f64 / seconds.max(1e-9);
        let hash = |hash: &str| hash.get(..16).unwrap_or(hash).to_owned();
        let [a, b] = &self.state_hash;
        println!("\nReport");
        println!("  events in the log      {:>8}", self.events);
        println!("  read and committed     {:>8.0} events/s", rate(self.commit_seconds));
        println!("  … until B had them     {:>8.0} events/s", rate(self.sync_seconds));
        println!("  rebases                {:>8}", self.rebased);
        println!(
            "  kills                  {:>8}   {} of {} returned commits still there",
            self.kills, self.present_after_reopen, self.receipts_before_kill
        );
        println!("  state of A             {}…", hash(a));
        println!(
            "  state of B             {}…   {}",
            hash(b),
            if a == b { "the same" } else { "DIFFERENT" }
        );
        println!("  replay of the log      {}…", hash(&self.replay_hash[0]));
        println!("  seconds                {:>8.1}", self.seconds);
        println!("\nMost changed files");
        let most = self.top.first().map_or(1, |(_, changes)| (*changes).max(1));
        for (path, changes) in &self.top {
            let bar = "█".repeat(usize::try_from(changes * 24 / most).unwrap_or(0).max(1));
            println!("  {changes:>6}  {bar:<24}  {path}");
        }
        match self.failure() {
            None => println!("\nEverything that was committed is in one order, on both sides."),
            Some(failure) => println!("\nFAILED: {failure}"),
        }
    }
}
