//! `cargo xtask demo --web`: the example in a browser, with a server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::{make_packages, packages};
use crate::Outcome;
use crate::{npm, process};

/// A process that ends with its owner.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program that says in its first line, as JSON, under which address it is found.
fn start(command: &mut Command) -> Result<(Running, String), Box<dyn std::error::Error>> {
    let shown = process::show(command);
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let output = child.stdout.take().ok_or("it has no output")?;
    let running = Running(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let said: serde_json::Value =
        serde_json::from_str(&line).map_err(|_| format!("{shown} has not started"))?;
    let url = said["url"].as_str().ok_or("it has no address")?;
    Ok((running, url.to_owned()))
}

/// Serves the example and prints its address, until it is ended.
pub(crate) fn run() -> Outcome {
    println!("Building …");
    make_packages()?;
    // One of its own, in case that there is another one; whoever ends this ends it by Ctrl-C, so that it is left.
    let data = process::target_dir()?.join(format!("demo-web-{}", std::process::id()));
    process::empty_folder(&data)?;
    let listen = ["serve", "--json", "--listen", "127.0.0.1:0", "--data"];
    let (_server, sync) = start(Command::new(packages::server()?).args(listen).arg(&data))?;
    let (mut page, url) = start(npm::tool("node")?.arg("examples/todos-react/preview.mjs"))?;
    println!("Two clients and a server: {url}?sync={sync}");
    println!("Ctrl-C ends it.");
    Err(format!("the page is served no more: {}", page.0.wait()?).into())
}
