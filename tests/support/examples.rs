//! The examples as programs.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::Folder;
use super::process::Daemon;
use super::tools::{PATIENCE, poll};

/// The example as a program, with its address or URL as the argument.
///
/// `cargo test` builds the examples, too; `cargo test --test all` does not.
#[track_caller]
pub fn command(name: &str, address: &str) -> Command {
    // Beside the daemon, in the folder of the same profile.
    let plainws = Path::new(env!("CARGO_BIN_EXE_plainws"));
    let program = plainws.with_file_name("examples").join(name);
    let modified = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let (built, written) = (modified(&program), modified(&source(name)));
    assert!(
        built.is_some() && built >= written,
        "{} is missing or older than its source: run `cargo test`, or first `cargo build --examples` \
         with the same profile",
        program.display()
    );
    let mut command = Command::new(program);
    command.arg(address);
    command
}

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

pub fn source(name: &str) -> PathBuf {
    let folder = match name {
        "package" => folder().with_file_name("systemd"),
        _ => folder(),
    };
    folder.join(name).with_extension("rs")
}

/// A file that goes into the package: the manual, or the completions of a shell.
#[track_caller]
pub fn packaged(name: &str) -> String {
    let folder = Folder::new();
    let made = command("package", &folder.arg("")).status();
    assert!(made.expect("it can be started").success());
    fs::read_to_string(folder.path(name)).expect("it was made")
}

/// Starts a server, and gives its port.
///
/// The examples do not tell the port that the system chooses for 0. So one that is free just now,
/// and another if somebody takes it in between.
#[track_caller]
pub fn start(name: &str) -> (Daemon, u16) {
    start_with(name, &[])
}

/// The same with more arguments behind the address.
#[track_caller]
pub fn start_with(name: &str, more: &[&str]) -> (Daemon, u16) {
    for _ in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = command(name, &format!("127.0.0.1:{port}"));
        command.args(more);
        let daemon = Daemon::spawn(command);
        let ready = poll(PATIENCE, || {
            let ready = TcpStream::connect(("127.0.0.1", port)).is_ok();
            (ready || !daemon.is_running()).then_some(ready)
        });
        let report = daemon.report();
        match ready {
            Some(true) => return (daemon, port),
            Some(false) if report.contains("in use") => {}
            Some(false) => panic!("the example {name} ended: {report}"),
            None => panic!("the example {name} takes no client within {PATIENCE:?}: {report}"),
        }
    }
    panic!("for the example {name} no port stays free");
}
