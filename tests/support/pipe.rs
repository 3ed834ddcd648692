//! `plainws connect`: its command, and a client in a pipe.

use std::io::Write;
use std::process::{ChildStdin, Command};

use super::process::{Daemon, plainws_command};
use super::tools::PATIENCE;

/// The command `plainws connect` with these arguments, without the proxies of whoever tests.
pub fn connect(args: &[&str]) -> Command {
    let mut command = plainws_command(&[&["connect"], args].concat());
    for scheme in ["ws", "wss", "http", "https", "all", "no"] {
        command.env_remove(format!("{scheme}_proxy"));
        command.env_remove(format!("{scheme}_proxy").to_uppercase());
    }
    command
}

/// A program with its input held open.
pub struct Pipe {
    pub daemon: Daemon,
    stdin: Option<ChildStdin>,
}

impl Pipe {
    #[track_caller]
    pub fn new(args: &[&str]) -> Pipe {
        Pipe::spawn(connect(args))
    }

    #[track_caller]
    pub fn spawn(command: Command) -> Pipe {
        let daemon = Daemon::spawn(command);
        let stdin = Some(daemon.stdin());
        Pipe { daemon, stdin }
    }

    pub fn write(&mut self, input: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().expect("the input has not ended");
        // It may have ended before it has read all.
        let _ = stdin.write_all(input.as_ref());
    }

    /// Ends the input.
    pub fn end(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end: exit code, lines of stdout and of stderr.
    #[track_caller]
    pub fn result(mut self) -> (i32, Vec<String>, Vec<String>) {
        let status = self.daemon.wait_exit(PATIENCE);
        let Some(code) = status.code() else {
            panic!("a signal ended it: {}", self.daemon.report());
        };
        (code, self.daemon.stdout_lines(), self.daemon.lines())
    }
}

/// Runs a program with this input to its end.
#[track_caller]
pub fn feed(command: Command, input: &str) -> (i32, Vec<String>, Vec<String>) {
    let mut pipe = Pipe::spawn(command);
    pipe.write(input);
    pipe.end();
    pipe.result()
}

/// Runs `plainws connect` with this input to its end.
#[track_caller]
pub fn run(args: &[&str], input: &str) -> (i32, Vec<String>, Vec<String>) {
    feed(connect(args), input)
}
