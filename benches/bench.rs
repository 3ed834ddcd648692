//! `cargo bench`: what this package's own servers cost on this machine.
//!
//! Each scenario starts a release build of a server as a child process, loads it from this process
//! (one thread, epoll, frames made by hand), and reads CPU time, memory and context switches of the
//! child from `/proc`. Every scenario runs for some rounds, each with a fresh server; the table
//! shows the medians. `cargo bench -- --help` lists the scenarios.
//!
//! In reading order: [`options`], [`scenario`] and what it measures with: [`process`], [`usage`]
//! and [`meter`] on the server's side, [`crowd`], [`client`], [`frame`] and [`latencies`] on the
//! clients'; then [`table`] and [`machine`].
//!
//! It compares with nothing: figures of two runs are comparable only if both ran on the same quiet
//! machine.

mod client;
mod crowd;
mod frame;
mod latencies;
mod machine;
mod meter;
mod options;
mod process;
mod scenario;
mod table;
mod usage;

use std::process::ExitCode;

use options::{Command, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// An error is a sentence for the person at the terminal.
pub(crate) type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    match options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{}", options::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(options)) => run(&options),
        Err(sentence) => {
            eprintln!("{sentence} (`cargo bench -- --help` shows what there is)");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    raise_open_files_limit();
    println!("{}", machine::line());
    println!(
        "medians of {} rounds of {} s, each with a fresh server; latencies in microseconds\n",
        options.rounds,
        options.seconds.as_secs_f64()
    );
    println!("{}", table::head());
    let mut failed = false;
    for scenario in &options.scenarios {
        let rounds: Result<Vec<_>> = (0..options.rounds)
            .map(|_| scenario.run(options.seconds))
            .collect();
        match rounds {
            Ok(rounds) => table::medians(rounds)
                .iter()
                .for_each(|row| println!("{row}")),
            Err(sentence) => {
                failed = true;
                println!("{:<10} failed: {sentence}", scenario.name());
            }
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Takes all the open files that the hard limit allows; the servers inherit the limit.
fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        eprintln!("the limit of open files stays as it was: {error}");
    }
}
