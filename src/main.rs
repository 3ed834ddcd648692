//! The binary `plainws`: the daemon and its tools, made with the library's public interface only.

mod cli;

mod apps;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
