//! A client process of the git-history example, driven over its standard input.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

pub(crate) struct Client {
    name: &'static str,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a client says of itself.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) confirmed: u64,
    pub(crate) pending: u64,
    pub(crate) rebases: u64,
    pub(crate) dead_letters: u64,
    pub(crate) quarantined: u64,
    pub(crate) connected: bool,
    pub(crate) synced: bool,
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Client {
    pub(crate) fn start(
        name: &'static str,
        program: &Path,
        data: &Path,
        server: &str,
    ) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(program)
            .args(["remote", "--server", server, "--data"])
            .arg(data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().ok_or("a client has no input")?;
        let output = BufReader::new(process.stdout.take().ok_or("a client has no output")?);
        let mut client = Self { name, process, input, output };
        client.expect("ready")?;
        Ok(client)
    }

    fn ask(&mut self, request: &Value) -> Result<(), Box<dyn Error>> {
        writeln!(self.input, "{request}")?;
        self.input.flush()?;
        Ok(())
    }

    fn answer(&mut self) -> Result<Value, Box<dyn Error>> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            return Err(format!("client {} ended: {}", self.name, self.process.wait()?).into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    fn expect(&mut self, kind: &str) -> Result<Value, Box<dyn Error>> {
        let answer = self.answer()?;
        if answer["is"] == kind {
            return Ok(answer);
        }
        Err(format!("client {} answered {answer} instead of {kind}", self.name).into())
    }

    pub(crate) fn import(
        &mut self,
        repository: &Path,
        mut on_progress: impl FnMut(u64, u64),
    ) -> Result<u64, Box<dyn Error>> {
        self.ask(&json!({"do": "import", "repository": repository}))?;
        loop {
            let answer = self.answer()?;
            let number = |name: &str| answer[name].as_u64().unwrap_or(0);
            match answer["is"].as_str() {
                Some("progress") => on_progress(number("commits"), number("of")),
                Some("imported") => {
                    on_progress(number("commits"), number("commits"));
                    return Ok(number("events"));
                }
                _ => return Err(format!("client {} answered {answer}", self.name).into()),
            }
        }
    }

    pub(crate) fn status(&mut self) -> Result<Status, Box<dyn Error>> {
        self.ask(&json!({"do": "status"}))?;
        Ok(serde_json::from_value(self.expect("status")?)?)
    }

    pub(crate) fn quarrel(&mut self, owner: &str, files: u32) -> Result<u64, Box<dyn Error>> {
        self.ask(&json!({"do": "quarrel", "owner": owner, "files": files}))?;
        Ok(self.expect("committed")?["groups"].as_u64().unwrap_or(0))
    }

    /// Lets the client commit in a loop, kills it after so many receipts, and returns all
    /// receipts that it gave out.
    pub(crate) fn commit_until_killed(
        &mut self,
        commits: usize,
    ) -> Result<Vec<String>, Box<dyn Error>> {
        self.ask(&json!({"do": "commitForever"}))?;
        let mut receipts = Vec::new();
        while receipts.len() < commits {
            let group = self.expect("receipt")?["group"].as_str().map(str::to_owned);
            receipts.push(group.ok_or("a receipt without a group")?);
        }
        self.process.kill()?;
        self.process.wait()?;
        // What it had said before it died counts too; a last line may be cut.
        for line in self.output.by_ref().lines() {
            let answer: Option<Value> = serde_json::from_str(&line?).ok();
            let group = answer.and_then(|answer| answer["group"].as_str().map(str::to_owned));
            receipts.extend(group);
        }
        Ok(receipts)
    }

    pub(crate) fn count_present(&mut self, groups: &[String]) -> Result<u64, Box<dyn Error>> {
        self.ask(&json!({"do": "countPresent", "groups": groups}))?;
        Ok(self.expect("present")?["count"].as_u64().unwrap_or(0))
    }

    /// Returns the hash of the state, and that of a replay of the log.
    pub(crate) fn hashes(&mut self) -> Result<(String, String), Box<dyn Error>> {
        self.ask(&json!({"do": "hashes"}))?;
        let answer = self.expect("hashes")?;
        let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
        Ok((text("state"), text("replay")))
    }

    pub(crate) fn top(&mut self, files: u32) -> Result<Vec<(String, i64)>, Box<dyn Error>> {
        self.ask(&json!({"do": "top", "files": files}))?;
        Ok(serde_json::from_value(self.expect("top")?["files"].take())?)
    }

    pub(crate) fn quit(mut self) -> Result<(), Box<dyn Error>> {
        self.ask(&json!({"do": "quit"}))?;
        let status = self.process.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("client {}: {status}", self.name).into())
        }
    }
}
