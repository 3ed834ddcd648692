//! What a process has used, read from `/proc`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::Result;

/// The clock ticks of `/proc/PID/stat`: 100 a second on every Linux that Rust's standard library
/// runs on.
const TICK: Duration = Duration::from_millis(10);

/// Totals since a process began, and its memory now.
pub(crate) struct Usage {
    taken: Instant,
    /// CPU time of the whole process, counted in ticks.
    ticks: Duration,
    /// CPU time of the threads that live, to the nanosecond.
    precise: Duration,
    switches: u64,
    pub(crate) rss_kib: u64,
}

/// What happened between two readings.
pub(crate) struct Spent {
    pub(crate) elapsed: Duration,
    pub(crate) cpu: Duration,
    /// Voluntary context switches, of the threads that live.
    pub(crate) switches: u64,
}

impl Usage {
    /// Reads the totals of a process.
    pub(crate) fn of(pid: u32) -> Result<Usage> {
        let process = Path::new("/proc").join(pid.to_string());
        let taken = Instant::now();
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let mut usage = Usage {
            taken,
            ticks: ticks(&read(&process.join("stat"))?),
            precise: Duration::ZERO,
            switches: 0,
            rss_kib: field(&read(&process.join("status"))?, "VmRSS:"),
        };
        let tasks = process.join("task");
        let tasks = fs::read_dir(&tasks)
            .map_err(|error| format!("cannot read {}: {error}", tasks.display()))?;
        for task in tasks.flatten() {
            // A thread that ends meanwhile is left out.
            if let Ok(schedule) = fs::read_to_string(task.path().join("schedstat")) {
                let first = schedule.split_whitespace().next();
                let nanoseconds = first.and_then(|text| text.parse().ok()).unwrap_or(0);
                usage.precise += Duration::from_nanos(nanoseconds);
            }
            if let Ok(status) = fs::read_to_string(task.path().join("status")) {
                usage.switches += field(&status, "voluntary_ctxt_switches:");
            }
        }
        Ok(usage)
    }

    /// What was used since an earlier reading.
    pub(crate) fn since(&self, earlier: &Usage) -> Spent {
        // The threads' own counts are exact, but those of ended threads are lost; the ticks keep
        // them.
        let precise = self.precise.saturating_sub(earlier.precise);
        let ticks = self.ticks.saturating_sub(earlier.ticks);
        Spent {
            elapsed: self.taken - earlier.taken,
            cpu: if ticks > precise + 2 * TICK {
                ticks
            } else {
                precise
            },
            switches: self.switches.saturating_sub(earlier.switches),
        }
    }
}

/// `utime` and `stime`, the 14th and 15th field; the second is a name in brackets that may contain
/// anything.
fn ticks(stat: &str) -> Duration {
    let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u32 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<u32>().ok())
        .sum();
    TICK * ticks
}

/// The number after such a word at the start of a line; 0 without it.
fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// How many files a process has open.
pub(crate) fn open_files(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/fd");
    match fs::read_dir(&path) {
        Ok(entries) => Ok(entries.count() as u64),
        Err(error) => Err(format!("cannot read {path}: {error}")),
    }
}

/// How many files a process may have open.
pub(crate) fn open_files_limit(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/limits");
    let limits =
        fs::read_to_string(&path).map_err(|error| format!("cannot read {path}: {error}"))?;
    match field(&limits, "Max open files") {
        // "unlimited" is no number.
        0 => Ok(u64::MAX),
        limit => Ok(limit),
    }
}
