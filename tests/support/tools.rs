//! Programs of the machine that tests use, and waiting with a deadline.
//!
//! A missing program is a failure, not a skip: a test that quietly does nothing looks like one that
//! passes.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, thread};

/// How long a wait lasts before it fails. Generous, as only a test that fails anyway pays it in
/// full, and two slow cores may be shared with a whole build.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two probes of a wait: short next to anything that a test measures, long enough
/// to leave the core to the process that is waited for.
const PAUSE: Duration = Duration::from_millis(10);

/// Finds the program `tool`, a name on `PATH` or an absolute path.
///
/// # Panics
///
/// When the program is missing, with the command `install` that brings it.
#[track_caller]
pub fn require(tool: &str, install: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    // Joining an absolute path replaces the directory, so one search serves both kinds of name.
    let found = env::split_paths(&path)
        .map(|directory| directory.join(tool))
        .find(|program| {
            // A broken link or a file that is only data is no program.
            let meta = program.metadata();
            meta.is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        });
    found.unwrap_or_else(|| {
        panic!("this test needs {tool}, which is not installed: run `{install}`")
    })
}

/// Polls `probe` until it gives a value; `None` once `deadline` has passed.
///
/// For a caller that has more to say about the failure than [`wait_until`]. The last probe comes
/// after the deadline: a thread that was not scheduled for long still sees what happened meanwhile.
pub fn poll<T>(deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let late = start.elapsed() >= deadline;
        let value = probe();
        if value.is_some() || late {
            return value;
        }
        thread::sleep(PAUSE);
    }
}

/// Polls `probe` until it gives a value, which is returned.
///
/// # Panics
///
/// When `deadline` passes first, with `what`: a noun phrase that says what was awaited, and of whom.
#[track_caller]
pub fn wait_until<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    let Some(value) = poll(deadline, probe) else {
        panic!("awaited {what} for {deadline:?}, and it did not happen");
    };
    value
}

/// Whether a text is this one, in which each `*` stands for any text.
pub fn is_like(text: &str, pattern: &str) -> bool {
    let Some((start, more)) = pattern.split_once('*') else {
        return text == pattern;
    };
    let rest = text.strip_prefix(start);
    let mut ends = rest
        .into_iter()
        .flat_map(|rest| (0..=rest.len()).map(|at| rest.get(at..)));
    ends.any(|end| end.is_some_and(|end| is_like(end, more)))
}

/// Waits until it is so, as [`wait_until`] does.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    wait_until(what, PATIENCE, || is_so().then_some(()));
}

/// Sends the signal `name` to `target`, a process id or `-` and the id of a group, and tells
/// whether that worked.
///
/// By the shell's own `kill`: std has none, and the program of that name is not on every machine.
pub fn kill(name: &str, target: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"kill -s "$1" -- "$2" 2>&-"#, "sh", name, target]);
    shell.status().is_ok_and(|status| status.success())
}
