//! The last test: no other has left a thread, a socket or a process behind.
//!
//! The harness starts tests in the order of their names, so when this one runs all others have begun; it
//! waits until they have ended. With a filter it does not run, and nothing is checked.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::support::tools::poll;

/// As long as the longest of the other tests may still take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The names of all threads but the harness's own and this one's. A thread without a name of its own has
/// that of the test that made it.
fn threads() -> io::Result<Vec<String>> {
    // The path ends with the thread's id.
    let thread = fs::read_link("/proc/thread-self")?;
    let process = fs::read_link("/proc/self")?;
    let own = [process.as_os_str(), thread.file_name().unwrap_or_default()];
    let mut names = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        if !own.contains(&&*task.file_name()) {
            names.push(
                fs::read_to_string(task.path().join("comm"))?
                    .trim()
                    .to_owned(),
            );
        }
    }
    Ok(names)
}

/// What is open beyond what this process was started with, which its parent has, too.
fn files() -> io::Result<Vec<String>> {
    let open = |folder: String| -> io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?;
        let links = entries.map(|entry| fs::read_link(entry?.path()));
        let names = links.filter_map(|link| Some(link.ok()?.display().to_string()));
        Ok(names.collect())
    };
    let inherited = open(format!("/proc/{}/fd", std::os::unix::process::parent_id()))?;
    let mut own = open("/proc/self/fd".to_owned())?;
    own.retain(|name| !inherited.contains(name) && !name.starts_with("/proc/"));
    // The harness's own, and a file of a profile.
    own.retain(|name| {
        name.starts_with("socket:") || name.starts_with("pipe:") || !Path::new(name).exists()
    });
    Ok(own)
}

/// The ids of all children, of every thread.
fn children() -> io::Result<Vec<String>> {
    let mut ids = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let children = fs::read_to_string(task?.path().join("children"))?;
        ids.extend(children.split_whitespace().map(str::to_owned));
    }
    Ok(ids)
}

#[test]
fn nothing_is_left() {
    let mut left = Vec::new();
    let nothing = || {
        // A thread may end while it is looked at: then once more.
        left = [threads().ok()?, files().ok()?, children().ok()?].concat();
        left.is_empty().then_some(())
    };
    let ended = poll(PATIENCE, nothing).is_some();
    assert!(
        ended,
        "threads, files or processes that tests have left: {left:#?}"
    );
}
