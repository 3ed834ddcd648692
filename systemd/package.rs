//! Makes the man page and the completions, of the same description as `--help`:
//!
//!     cargo run --example package -- DIR
//!
//! writes `plainws.1`, `plainws.bash`, `_plainws` and `plainws.fish` there. For `package.sh`, and for
//! whoever installs the binary by other means; so the binary itself need not know how.

#![allow(
    dead_code,
    unused_imports,
    reason = "the binary's own files, of which only the arguments are used"
)]

#[path = "../src/apps/mod.rs"]
mod apps;
#[path = "../src/args.rs"]
mod args;
#[path = "../src/complaint.rs"]
mod complaint;
#[path = "../src/daemon/mod.rs"]
mod daemon;
#[path = "../src/deadline.rs"]
mod deadline;
#[path = "../src/escaped.rs"]
mod escaped;
#[path = "../src/file.rs"]
mod file;
#[path = "../src/lock.rs"]
mod lock;
#[path = "../src/percent.rs"]
mod percent;
#[path = "../src/tools/mod.rs"]
mod tools;
#[path = "../src/units.rs"]
mod units;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

/// What clap_mangen calls EXTRA is how to use the command.
const USE: &str = "\n.SH USE";

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("name the folder to write to"))?;
    fs::create_dir_all(&folder)?;
    let mut plainws = args::Args::command();
    for (shell, name) in [
        (Shell::Bash, "plainws.bash"),
        (Shell::Zsh, "_plainws"),
        (Shell::Fish, "plainws.fish"),
    ] {
        let mut file = File::create(folder.join(name))?;
        clap_complete::generate(shell, &mut plainws, "plainws", &mut file);
    }
    let mut plainws = args::Args::command().disable_help_subcommand(true);
    plainws.build();
    fs::write(folder.join("plainws.1"), manual(&plainws)?)
}

/// The main page, and behind it what each command is and takes.
fn manual(plainws: &Command) -> io::Result<Vec<u8>> {
    let main = Man::new(plainws.clone());
    let mut roff = Vec::new();
    main.render_title(&mut roff)?;
    main.render_name_section(&mut roff)?;
    main.render_synopsis_section(&mut roff)?;
    main.render_description_section(&mut roff)?;
    for command in plainws.get_subcommands() {
        let name = command.get_name().to_uppercase();
        writeln!(roff, ".SH \"PLAINWS {name}\"")?;
        let man = Man::new(command.clone());
        let mut part = Vec::new();
        man.render_synopsis_section(&mut part)?;
        man.render_description_section(&mut part)?;
        man.render_options_section(&mut part)?;
        if command.get_after_long_help().is_some() {
            man.render_extra_section(&mut part)?;
        }
        // Sections of a section.
        let part = String::from_utf8_lossy(&part)
            .replace("\n.SH EXTRA", USE)
            .replace("\n.SH ", "\n.SS ");
        let part = match part.strip_prefix(".SH ") {
            Some(rest) => format!(".SS {rest}"),
            None => part,
        };
        roff.write_all(part.as_bytes())?;
    }
    main.render_version_section(&mut roff)?;
    Ok(roff)
}
