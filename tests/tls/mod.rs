//! TLS: certificates as files, policy and faults at the server, the daemon, real peers.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use plainws::{Client, CloseCode, Closed, Connection, Error, Hub, Identity, Message, Server, Tls};
use tempfile::TempDir;

use crate::support::certificates::{Certificate, EC_PARAMETERS, Wish};
use crate::support::process::{Daemon, plainws, plainws_command, url_port};
use crate::support::python;
use crate::support::raw::{self, Raw, close, exchange, get, masked, text};
use crate::support::secure::Secure;
use crate::support::tools::{PATIENCE, require, wait_until};

const PLUS: &str = r#"{"action":"plus"}"#;
/// What a busy machine may take for what should happen at once.
const SLACK: Duration = Duration::from_secs(10);

/// For localhost, 127.0.0.1 and ::1; made once, as its tests do not change it.
static LOCALHOST: LazyLock<Certificate> = LazyLock::new(Certificate::localhost);

/// A private folder with files for TLS, removed when dropped.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::with_prefix("plainws-tls-").expect("a private directory can be made"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file that nobody else may read, over an older one as people do it.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        let mut file = file.expect("a file can be made");
        file.write_all(content.as_ref())
            .expect("a file can be written");
        path
    }
}

/// As an argument.
#[track_caller]
fn arg(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// Starts the daemon with one listener of the application, with TLS, and gives its port.
#[track_caller]
fn serve(app: &str, certificate: &Path, more: &[&str]) -> (Daemon, u16) {
    raw::serve(app, &[&["--tls-cert", arg(certificate)], more].concat())
}

/// Runs the command to its end: the exit code and the lines of stderr.
#[track_caller]
fn end_of(command: Command) -> (i32, Vec<String>) {
    let mut daemon = Daemon::spawn(command);
    let status = daemon.wait_exit(PATIENCE);
    let Some(code) = status.code() else {
        panic!("a signal ended it: {}", daemon.report());
    };
    (code, daemon.lines())
}

#[track_caller]
fn next(ws: &Connection) -> Message {
    let message = ws.recv_timeout(PATIENCE).expect("the connection is open");
    message.unwrap_or_else(|| panic!("awaited a message for {PATIENCE:?}"))
}

/// How the connection ends, past what is received before.
#[track_caller]
fn end(ws: &Connection) -> Closed {
    loop {
        match ws.recv_timeout(PATIENCE) {
            Ok(Some(_)) => {}
            Err(Error::Closed(closed)) => return *closed,
            other => panic!("awaited the end within {PATIENCE:?}, got {other:?}"),
        }
    }
}

/// The path of `openssl`; `None` when real peers are skipped.
#[track_caller]
fn openssl() -> Option<PathBuf> {
    require("openssl", "apt-get install openssl")
}

/// Runs `openssl s_client` against the port, with this as its input, until the server closes: all
/// that it printed. `None` when real peers are skipped.
#[track_caller]
fn s_client(port: u16, options: &[&str], input: &str) -> Option<String> {
    let openssl = openssl()?;
    let mut shell = Command::new("sh");
    let script = r#"input=$1; shift; printf %s "$input" | "$@" 2>&1"#;
    shell.args(["-c", script, "sh", input]).arg(openssl);
    shell.args(["s_client", "-ign_eof", "-servername", "localhost"]);
    shell.args(["-connect", &format!("127.0.0.1:{port}")]);
    let mut client = Daemon::spawn_group({
        shell.args(options);
        shell
    });
    client.wait_exit(PATIENCE);
    Some(client.stdout_lines().join("\n"))
}

mod browser;
mod daemon;
mod files;
mod peers;
mod server;
