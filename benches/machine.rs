//! The line that says where the figures come from.

use std::fs;
use std::thread::available_parallelism;

/// Cores, processor, kernel and memory.
pub(crate) fn line() -> String {
    let cores = available_parallelism().map_or(0, usize::from);
    let processor = value("/proc/cpuinfo", "model name")
        .or_else(|| value("/proc/cpuinfo", "Model"))
        .unwrap_or_else(|| "an unnamed processor".into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = value("/proc/meminfo", "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok())
        .map_or(0.0, |kib| kib / 1024.0 / 1024.0);
    format!(
        "{cores} cores of {processor}, Linux {}, {memory:.1} GiB",
        kernel.trim_end()
    )
}

/// What stands after `name` and a colon.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.trim_end() == name)
        .map(|(_, value)| value.trim().to_owned())
}
