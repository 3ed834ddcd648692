//! The binary `plainws`: the daemon and its tools, made with the library's public interface only.

mod apps;
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
