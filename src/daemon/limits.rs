//! What the system lets the daemon have: open files and tasks, against what `--max-connections`
//! takes at worst.
//!
//! Runs once at the start. Raises the soft limit of open files to the hard one, as a daemon that
//! uses no select(2) may; nothing else is changed.

use std::fs;
use std::path::Path;

use plainws::Result;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond the connections: clients in their handshake, pages, health checks, and those who are told
/// that the server is full. The library has as many threads for them.
const GUESTS: u64 = 128;
/// Open files of a process at rest: the standard ones, bells, signals, log, certificates, state.
const FILES_AT_REST: u64 = 32;
/// Each listener has its socket and its bell.
const FILES_A_LISTENER: u64 = 3;
/// Threads at rest, beside one a client. While a client is upgraded it has two: where they do not
/// suffice, it gets a 503 and may come again, which is no reason not to start.
/// They are: main, signals, notification, hubs, caretaker, shutdown.
const TASKS_AT_REST: u64 = 16;

/// Raises what may be raised, and refuses more connections than the limits carry.
/// `metrics` is whether there is a listener for figures, which has guests of its own.
pub(super) fn prepare(max_connections: usize, listeners: usize, metrics: bool) -> Result<()> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let tasks = tasks(&cgroups, Path::new("/sys/fs/cgroup"));
    let tasks = tasks.into_iter().chain(own_tasks()).min();
    let guests = if metrics { 2 * GUESTS } else { GUESTS };
    let listeners = listeners as u64 + u64::from(metrics);
    let max = max_connections as u64;
    Ok(check(max, guests, listeners, raise_open_files(), tasks)?)
}

/// Whether there are as many open files and tasks as are needed at worst; `None` is without a limit.
fn check(
    connections: u64,
    guests: u64,
    listeners: u64,
    files: Option<u64>,
    tasks: Option<u64>,
) -> std::result::Result<(), String> {
    let clients = connections.saturating_add(guests);
    let needed = clients.saturating_add(FILES_AT_REST + FILES_A_LISTENER * listeners);
    let way_out = "ulimit -n, or LimitNOFILE= of the service";
    is_enough(connections, needed, files, "open files", way_out)?;
    let needed = clients.saturating_add(TASKS_AT_REST + listeners);
    let way_out = "TasksMax= of the service, pids.max of its cgroup, ulimit -u";
    is_enough(connections, needed, tasks, "threads", way_out)
}

fn is_enough(
    connections: u64,
    needed: u64,
    limit: Option<u64>,
    what: &str,
    way_out: &str,
) -> std::result::Result<(), String> {
    match limit {
        Some(limit) if limit < needed => Err(format!(
            "--max-connections {connections} needs {needed} {what}, and the limit is {limit}: \
             raise it ({way_out}), or allow {} connections",
            limit.saturating_sub(needed - connections)
        )),
        _ => Ok(()),
    }
}

/// What this user may have (ulimit -u), which does not hold for root.
fn own_tasks() -> Option<u64> {
    let limit = getrlimit(Resource::Nproc).current;
    limit.filter(|_| !rustix::process::geteuid().is_root())
}

/// The limit of open files, raised as far as it goes.
fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    // Refused where the hard limit is more than the kernel's own (fs.nr_open).
    match limit.current == limit.maximum || setrlimit(Resource::Nofile, raised).is_ok() {
        true => limit.maximum,
        false => limit.current,
    }
}

/// The lowest pids.max of the cgroup (version 2) that /proc/self/cgroup tells, and of those above it.
fn tasks(cgroups: &str, root: &Path) -> Option<u64> {
    let group = cgroups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = root.join(group);
    let groups = group
        .ancestors()
        .take_while(|group| group.starts_with(root));
    let limits = groups.filter_map(|group| {
        let max = fs::read_to_string(group.join("pids.max")).ok()?;
        // `max` is no number, and no limit.
        max.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_limits_do_not_carry_is_refused_with_both_numbers() {
        assert_eq!(check(u64::MAX, GUESTS, 3, None, None), Ok(()));
        assert_eq!(check(1000, GUESTS, 3, Some(1169), Some(1147)), Ok(()));
        let why = check(1000, GUESTS, 3, Some(1168), None).expect_err("a file too few");
        for part in ["1000 needs 1169 open files", "limit is 1168", "allow 999 "] {
            assert!(why.contains(part), "{why}");
        }
        let why = check(1000, GUESTS, 3, None, Some(1146)).expect_err("a thread too few");
        for part in ["1000 needs 1147 threads", "limit is 1146", "allow 999 "] {
            assert!(why.contains(part), "{why}");
        }
        let why = check(1000, GUESTS, 3, Some(64), None).expect_err("too few for any");
        assert!(why.contains("allow 0 connections"), "{why}");
    }

    #[test]
    fn the_lowest_limit_of_the_cgroups_above_counts() {
        let root = tempfile::tempdir().expect("a folder");
        let limit = |group: &str, max: &str| {
            let group = root.path().join(group);
            fs::create_dir_all(&group).expect("a group");
            fs::write(group.join("pids.max"), max).expect("a limit");
        };
        let of = |cgroups: &str| tasks(cgroups, root.path());
        assert_eq!(of("0::/a/b\n"), None);
        limit("a/b", "max\n");
        assert_eq!(of("0::/a/b\n"), None);
        limit("a", "700\n");
        assert_eq!(of("0::/a/b\n"), Some(700));
        limit("a/b", "900\n");
        assert_eq!(of("0::/a/b\n"), Some(700));
        assert_eq!(of("7:memory:/c\n0::/a\n"), Some(700));
        assert_eq!(of("7:memory:/c\nnonsense\n"), None);
    }
}
