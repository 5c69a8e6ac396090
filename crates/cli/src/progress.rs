//! Showing how far a long piece of work has come, and ending it when the user asks.

use std::future::{Future as _, poll_fn};
use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use livestore::inspect::{Progress, Work};

/// The exit code of a program that was interrupted.
const INTERRUPTED: u8 = 130;

/// How often the display follows the work.
const TICK: Duration = Duration::from_millis(80);

/// Returns a progress whose work ends on Ctrl-C; once for a process.
pub(crate) fn ended_by_ctrl_c() -> Progress {
    let progress = Progress::new();
    cancel_on_ctrl_c(progress.clone());
    progress
}

/// Runs a piece of work and shows its progress, if standard error is a terminal.
pub(crate) fn watch<R>(progress: &Progress, what: &str, work: impl FnOnce() -> R) -> R {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let display = scope.spawn(|| show(what, progress, &is_done));
        let result = work();
        is_done.store(true, Ordering::Relaxed);
        display.thread().unpark();
        result
    })
}

/// Says that the work was interrupted; returns the exit code.
pub(crate) fn interrupted(consequence: &str) -> ExitCode {
    eprintln!("Interrupted; {consequence}.");
    ExitCode::from(INTERRUPTED)
}

fn show(what: &str, progress: &Progress, is_done: &AtomicBool) {
    let bar = ProgressBar::new(0);
    let mut shown = Work::Starting;
    bar.set_message(what.to_owned());
    while !is_done.load(Ordering::Relaxed) {
        let work = progress.work();
        let total = progress.total();
        let style = match (work, total) {
            (_, 0) => "{spinner} {msg} {elapsed}",
            (Work::Writing, _) => "{bar:30} {percent:>3}% {msg}",
            _ => "{bar:30} {percent:>3}% {msg} ({pos}/{len})",
        };
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        if work != shown {
            shown = work;
            bar.set_message(format!("{what}: {work}"));
        }
        bar.set_length(total.max(1));
        bar.set_position(progress.done().min(total.max(1)));
        bar.tick();
        thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}

/// Cancels the work on the first Ctrl-C, and ends the program on the second; when it returns, both
/// are listened for.
fn cancel_on_ctrl_c(progress: Progress) {
    let (listens, is_listening) = mpsc::channel();
    // Without this thread, Ctrl-C ends the program at once; what was begun is left behind then.
    let listen = move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
            return;
        };
        runtime.block_on(async {
            let mut first = pin!(tokio::signal::ctrl_c());
            // The signal is listened for from the first look on.
            let early = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await;
            drop(listens);
            let pressed = match early {
                Poll::Ready(pressed) => pressed,
                Poll::Pending => first.await,
            };
            if pressed.is_ok() {
                progress.cancel();
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(INTERRUPTED.into());
            }
        });
    };
    let _ = thread::Builder::new().name("ctrl-c".into()).spawn(listen);
    // Nothing is ever sent: the other end goes when the signal is listened for, or cannot be.
    let _: Result<(), _> = is_listening.recv();
}
