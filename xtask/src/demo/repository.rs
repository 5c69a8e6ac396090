//! A generated git repository, the same every time.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const COMMITS: u32 = 1_200;
const FILES: u32 = 300;
const CHANGES: u32 = 4;
const AUTHORS: [&str; 3] = ["Ada", "Grace", "Barbara"];
/// 2020-01-01, in seconds since 1970; commits follow hour by hour.
const FIRST: u32 = 1_577_836_800;

/// Generates a bare repository with about 6,000 changes, through `git fast-import`.
pub(crate) fn generate(path: &Path) -> Result<(), Box<dyn Error>> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let path = path.to_str().ok_or("the folder's name is not UTF-8")?;
    crate::process::run(&mut git(&["init", "--bare", "--initial-branch=main", path]))?;
    let mut import = git(&["-C", path, "fast-import", "--quiet"]).stdin(Stdio::piped()).spawn()?;
    let mut input = import.stdin.take().ok_or("git fast-import takes no input")?;
    input.write_all(stream().as_bytes())?;
    drop(input);
    let status = import.wait()?;
    if status.success() { Ok(()) } else { Err(format!("git fast-import: {status}").into()) }
}

fn stream() -> String {
    let mut stream = String::new();
    // A fixed linear congruential generator: chance that is the same every time.
    let mut state = 1_u32;
    let mut chance = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    for commit in 0..COMMITS {
        let author = AUTHORS[(commit % 3) as usize];
        let time = FIRST + commit * 3_600;
        let message = format!("Change number {commit}");
        let email = author.to_lowercase();
        let _ = write!(
            stream,
            "commit refs/heads/main\ncommitter {author} <{email}@example.org> {time} +0000\n\
             data {}\n{message}\n",
            message.len()
        );
        for change in 0..CHANGES {
            // Some files change much more often than others, as in life.
            let file = chance(FILES) * chance(FILES) / FILES;
            let path = format!("src/module{:02}/file{file:03}.txt", file % 20);
            if commit > 100 && chance(20) == 0 {
                let _ = writeln!(stream, "D {path}");
            } else {
                let content = format!("{commit}.{change}\n");
                let _ = write!(stream, "M 100644 inline {path}\ndata {}\n{content}", content.len());
            }
        }
        stream.push('\n');
    }
    stream.push_str("done\n");
    stream
}
