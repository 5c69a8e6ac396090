//! Running other programs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Returns the root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the repository's root")
}

/// How many bytes of builds are kept: some times what one run makes.
///
/// Cargo never deletes what no build needs any more, so that they would fill the disk.
const MOST_KEPT: u64 = 24 << 30;

/// Where builds go instead of `target`, once [`keep_build_cache`] has said so.
static BUILD_CACHE: OnceLock<PathBuf> = OnceLock::new();

/// Lets CI, which works in a new clone every time, find what the last run has built.
///
/// That is the user's cache folder; elsewhere, and if a target folder is set, nothing changes.
pub(crate) fn keep_build_cache() {
    if std::env::var_os("CI").is_none() || std::env::var_os("CARGO_TARGET_DIR").is_some() {
        return;
    }
    let Some(target) = cache_folder().map(|cache| cache.join("target")) else { return };
    let size = size_of(&target).unwrap_or(0);
    if size > MOST_KEPT {
        println!("Kept builds took {} GiB and are begun anew", size >> 30);
        let _ = std::fs::remove_dir_all(&target);
    }
    if std::fs::create_dir_all(&target).is_ok() {
        println!("Builds are kept in {}", target.display());
        let _ = BUILD_CACHE.set(target);
    }
}

/// Returns how many bytes the files of a folder take, those of its folders included.
fn size_of(folder: &Path) -> std::io::Result<u64> {
    let mut size = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        size += if is_folder { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(size)
}

/// Returns our folder of the user's caches.
pub(crate) fn cache_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    cache.or_else(home).map(|cache| cache.join("livestore-rs"))
}

/// Starts a `cargo` command in the repository's root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(root());
    if let Some(target) = BUILD_CACHE.get() {
        // What rustc keeps for the next build of a crate grows by gigabytes a day, and a new clone
        // can use little of it.
        command.env("CARGO_TARGET_DIR", target).env("CARGO_INCREMENTAL", "0");
    }
    command
}

/// Returns where cargo puts what it builds.
pub(crate) fn target_dir() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let output = cargo().args(["metadata", "--no-deps", "--format-version=1"]).output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let target = metadata["target_directory"].as_str().ok_or("cargo metadata names no target")?;
    Ok(target.into())
}

/// Makes a folder, with nothing in it.
pub(crate) fn empty_folder(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(std::fs::create_dir_all(folder)?)
}

/// Puts a folder in the place of another one: what is there is one of them, or for a moment nothing, and
/// never a part.
pub(crate) fn replace_folder(from: &Path, to: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut old = to.as_os_str().to_owned();
    old.push(".old");
    let old = PathBuf::from(old);
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    if to.exists() {
        std::fs::rename(to, &old)?;
    }
    std::fs::rename(from, to)?;
    if old.exists() {
        std::fs::remove_dir_all(&old)?;
    }
    Ok(())
}

/// Whether the output of this command is JSON.
static PRINTS_JSON: AtomicBool = AtomicBool::new(false);

/// Makes all that other programs print go where errors go, so that the output is JSON and nothing else.
pub(crate) fn print_json() {
    PRINTS_JSON.store(true, Ordering::Relaxed);
}

/// Runs a command to its end; a failure of it is an error that shows it.
pub(crate) fn run(command: &mut Command) -> Result<(), Box<dyn std::error::Error>> {
    let shown = show(command);
    if PRINTS_JSON.load(Ordering::Relaxed) {
        command.stdout(std::io::stderr());
    }
    let status = command.status().map_err(|error| format!("{shown}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{shown}: {status}").into()) }
}

/// Tells whether a program is there and answers.
pub(crate) fn answers(program: &str, argument: &str) -> bool {
    succeeds(Command::new(program).arg(argument))
}

/// Tells whether a command that says nothing succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Writes a command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Calls a function every 20 ms until it gives something, at most for a while.
pub(crate) fn wait_for<T>(
    what: &str,
    at_most: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Box<dyn std::error::Error>>,
) -> Result<T, Box<dyn std::error::Error>> {
    let start = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > at_most {
            return Err(format!("{what} took more than {} s", at_most.as_secs()).into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::{replace_folder, size_of};

    #[test]
    fn a_folder_takes_the_place_of_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("engine"));
        for content in ["first", "second"] {
            std::fs::create_dir(&from).unwrap();
            std::fs::write(from.join(content), content).unwrap();
            replace_folder(&from, &to).unwrap();
            let names = std::fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(names.collect::<Vec<_>>(), [content]);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_folder_takes_what_all_the_files_in_it_take() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(size_of(folder.path()).unwrap(), 0);
        std::fs::create_dir_all(folder.path().join("debug/deps")).unwrap();
        std::fs::write(folder.path().join("CACHEDIR.TAG"), [0; 100]).unwrap();
        std::fs::write(folder.path().join("debug/deps/livestore.rlib"), [0; 10_000]).unwrap();
        assert_eq!(size_of(folder.path()).unwrap(), 10_100);
        assert!(size_of(&folder.path().join("none")).is_err());
    }
}
