//! The binary `plainws`: the daemon and its tools, made with the library's public interface only.

// The reading order. A `use` points down this list, never up: tests/architecture.rs holds that.
// (rustfmt sorts modules that have no blank line between them.)

mod args;

// Neither of these two uses the other.
mod daemon;
mod tools;

mod apps;

// What they stand on. All but `units` are files of the library, compiled once more: they are no
// part of its interface.
mod units;

mod percent;

mod file;

mod escaped;

#[allow(dead_code, reason = "the library uses more of it")]
mod lock;

#[allow(dead_code, reason = "the library uses more of it")]
mod deadline;

mod complaint;

use std::process::ExitCode;

use args::Command;

/// Exit codes: 0 done, 1 failed, 2 wrong usage (clap's own); `connect` has 3, too, and `serve` 65
/// and 78 for its state.
fn main() -> ExitCode {
    match args::parse().command {
        Command::Serve(args) => daemon::serve(*args),
        #[cfg(feature = "tls")]
        Command::Cert(args) => tools::cert::run(args),
        Command::Connect(args) => tools::connect::run(*args),
        Command::Token(args) => tools::token::run(args),
    }
}
