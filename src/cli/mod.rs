//! The command line: arguments to values, values to running things, errors to exit codes.

mod args;
#[cfg(all(feature = "tls", not(target_vendor = "apple")))]
mod cert;
mod connect;
#[cfg(feature = "tls")]
mod keys;
#[cfg(not(feature = "tls"))]
#[path = "no_keys.rs"]
mod keys;
mod limits;
mod logger;
mod metrics;
mod notify;
mod serve;
mod sockets;
mod state;
mod tools;
mod units;

use std::env;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches};

use args::{Args, Command};

/// Exit codes: 0 done, 1 failed, 2 wrong usage (clap's own); `connect` has 3, too, and `serve` 65
/// and 78 for its state.
pub(crate) fn run() -> ExitCode {
    match parse().command {
        Command::Serve(args) => serve::run(*args),
        #[cfg(all(feature = "tls", not(target_vendor = "apple")))]
        Command::Cert(args) => cert::run(args),
        Command::Connect(args) => connect::run(*args),
        Command::Completions(args) => tools::completions(&args),
        Command::Man(args) => tools::man(&args),
    }
}

/// A variable without a value is as good as none: a file of settings may have it so.
fn parse() -> Args {
    let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
    let mut command = Args::command();
    let names: Vec<String> = command
        .get_subcommands()
        .map(|c| c.get_name().to_owned())
        .collect();
    for name in names {
        command = command.mut_subcommand(name, |subcommand| {
            subcommand.mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
                true => arg.env(Resettable::Reset),
                false => arg,
            })
        });
    }
    Args::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// One sentence on stderr, of a command that is no daemon and so has no log.
fn say(sentence: &str) {
    // Where nobody reads there is nothing to say.
    let _ = writeln!(io::stderr(), "{sentence}");
}
