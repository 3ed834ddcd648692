//! What stands after `cargo bench --`.

use std::time::Duration;

use crate::Result;
use crate::scenario::Scenario;

/// What to do.
pub(crate) enum Command {
    Help,
    Run(Options),
}

/// How to measure.
pub(crate) struct Options {
    /// In the order of the table. Defaults to all.
    pub(crate) scenarios: Vec<Scenario>,
    /// Defaults to 3.
    pub(crate) rounds: usize,
    /// Duration of the measured part of a round. Defaults to 3 s.
    pub(crate) seconds: Duration,
}

/// Reads the arguments; cargo's own `--bench` is ignored.
pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Command> {
    let mut arguments = arguments;
    let mut options = Options {
        scenarios: Vec::new(),
        rounds: 3,
        seconds: Duration::from_secs(3),
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--help" | "-h" => return Ok(Command::Help),
            "--rounds" => options.rounds = rounds(&value(&argument, &mut arguments)?)?,
            "--seconds" => options.seconds = seconds(&value(&argument, &mut arguments)?)?,
            name => match Scenario::ALL.iter().find(|one| one.name() == name) {
                Some(scenario) => options.scenarios.push(*scenario),
                None => return Err(format!("there is no scenario or option {name:?}")),
            },
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = Scenario::ALL.to_vec();
    }
    Ok(Command::Run(options))
}

fn value(option: &str, arguments: &mut impl Iterator<Item = String>) -> Result<String> {
    arguments
        .next()
        .ok_or_else(|| format!("{option} needs a value"))
}

fn rounds(text: &str) -> Result<usize> {
    text.parse()
        .ok()
        .filter(|rounds| (1..=1000).contains(rounds))
        .ok_or_else(|| format!("--rounds takes a number from 1 to 1000, not {text:?}"))
}

fn seconds(text: &str) -> Result<Duration> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| format!("--seconds takes a number from 0.1 to 3600, not {text:?}"))
}

/// The text of `--help`.
pub(crate) fn help() -> String {
    let scenarios: String = Scenario::ALL
        .iter()
        .map(|scenario| format!("  {:<6}  {}\n", scenario.name(), scenario.about()))
        .collect();
    format!(
        "\
usage: cargo bench -- [SCENARIO...] [--rounds N] [--seconds S]

Measures this package's servers from one thread of clients on this machine.

Scenarios (all, if none is named):
{scenarios}
Options:
  --rounds N   rounds of each scenario, whose medians are shown [3]
  --seconds S  duration of the measured part of a round [3]

Columns:
  messages/s   messages that arrived at the clients, all together
  us CPU/msg   CPU time of the server, user and kernel, for one of these
  p50 to max   microseconds from sending until the answer is there (echo, pipe), or until the last
               of all clients has the update (fan, flood), counted from when it was due (slow), or
               from the spawn of the process until /healthz has answered (start)
  RSS KiB      memory of the server at the end of the measured part
  KiB/client   what that is more than before the first client, for each client
  switches/s   voluntary context switches of the server
  load %       what the load generator used of one core: near 100, it is the limit"
    )
}
