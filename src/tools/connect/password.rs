//! The password of `--user`: from the environment, or typed at the terminal without echo.

use std::fs::File;
use std::io;
use std::process;
use std::thread;

use plainws::Result;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use super::spawn::spawn;
use crate::escaped::Escaped;

const VARIABLE: &str = "PLAINWS_PASSWORD";

/// Fails if there is neither a variable nor a terminal.
pub(super) fn of(name: &str) -> Result<String> {
    match std::env::var(VARIABLE) {
        Ok(password) => return Ok(password),
        Err(std::env::VarError::NotUnicode(_)) => {
            return Err(format!("{VARIABLE} is no UTF-8 text").into());
        }
        Err(std::env::VarError::NotPresent) => {}
    }
    let prompt = format!("Password of {}: ", Escaped(name));
    let guard = echo_again();
    let typed = rpassword::prompt_password(prompt);
    match (&typed, guard) {
        // The signal ends the command.
        (Err(error), Ok(_)) if error.kind() == io::ErrorKind::Interrupted => loop {
            thread::park();
        },
        (_, Ok(guard)) => guard.close(),
        _ => {}
    }
    typed.map_err(|error| {
        let why = "there is no terminal to ask for the password of --user";
        format!("{why}: {error}; set {VARIABLE}").into()
    })
}

/// A signal at the prompt ends the command, with the terminal as it was: rpassword leaves it without
/// echo. Until the handle is closed.
fn echo_again() -> io::Result<Handle> {
    let terminal = File::open("/dev/tty")?;
    let modes = tcgetattr(&terminal)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT])?;
    let handle = signals.handle();
    let wait = move || {
        if let Some(signal) = signals.forever().next() {
            let _ = tcsetattr(&terminal, OptionalActions::Now, &modes);
            process::exit(128 + signal);
        }
    };
    spawn("password", wait)?;
    Ok(handle)
}
