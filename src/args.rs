//! The command line: which commands there are. What each one takes is for its own file.

use std::env;
use std::ffi::OsStr;

use clap::builder::Resettable;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::daemon::Serve;
#[cfg(feature = "tls")]
use crate::tools::cert::Cert;
use crate::tools::connect::Connect;
use crate::tools::token::Token;

/// WebSocket server and client for live pages on small machines.
#[derive(Parser)]
#[command(name = "plainws", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Serve(Box<Serve>),
    #[cfg(feature = "tls")]
    Cert(Cert),
    Connect(Box<Connect>),
    Token(Token),
}

/// A variable without a value is as good as none: a file of settings may have it so.
pub(crate) fn parse() -> Args {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
