//! `plainws completions` and `plainws man`: made of the same description as `--help`, printed on
//! stdout.

use std::io::{self, Write};
use std::process::ExitCode;

use clap_mangen::Man;

use super::say::say;
use crate::escaped::Escaped;

const NAME: &str = "plainws";

/// Print the completions of a shell, to be read by it at its start
#[derive(clap::Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// Print the man page: plainws man | man -l -
#[derive(clap::Args)]
pub(crate) struct Manual {
    /// The command to print the page of. Default: all of them on one page
    pub(crate) command: Option<String>,
}

/// What clap_mangen calls EXTRA is how to use the command.
const USE: &str = "\n.SH USE";

pub(crate) fn completions(args: &Completions, mut plainws: clap::Command) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut plainws, NAME, &mut script);
    print(&script)
}

pub(crate) fn man(args: &Manual, plainws: clap::Command) -> ExitCode {
    let mut plainws = plainws.disable_help_subcommand(true);
    plainws.build();
    let page = match args.command.as_deref() {
        None => whole(&plainws),
        Some(name) => match plainws.find_subcommand(name) {
            Some(command) => page(command),
            None => {
                let known: Vec<&str> = plainws.get_subcommands().map(|c| c.get_name()).collect();
                let name = Escaped(name);
                let known = known.join(", ");
                say(&format!("there is no command {name}; there are {known}"));
                return ExitCode::from(2);
            }
        },
    };
    match page {
        Ok(page) => print(&page),
        Err(error) => {
            say(&format!("cannot make the man page: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn page(command: &clap::Command) -> io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    Man::new(command.clone()).render(&mut roff)?;
    let roff = String::from_utf8_lossy(&roff).replace("\n.SH EXTRA", USE);
    Ok(roff.into_bytes())
}

/// The main page, and behind it what each command is and takes.
fn whole(plainws: &clap::Command) -> io::Result<Vec<u8>> {
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

fn print(text: &[u8]) -> ExitCode {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("cannot write to stdout: {error}"));
            ExitCode::FAILURE
        }
    }
}
