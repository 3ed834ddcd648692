//! The command line: arguments to values, values to running things, errors to exit codes.

mod args;
#[cfg(all(feature = "tls", not(target_vendor = "apple")))]
mod cert;
#[cfg(feature = "tls")]
mod keys;
#[cfg(not(feature = "tls"))]
#[path = "no_keys.rs"]
mod keys;
mod logger;
mod serve;
mod units;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Exit codes: 0 done, 1 failed, 2 wrong usage (clap's own).
pub(crate) fn run() -> ExitCode {
    match Args::parse().command {
        Command::Serve(args) => serve::run(*args),
        #[cfg(all(feature = "tls", not(target_vendor = "apple")))]
        Command::Cert(args) => cert::run(args),
    }
}
