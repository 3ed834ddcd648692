//! `plainws` as a process: arguments and variables, listeners, logs, signals, exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use plainws::{Client, CloseCode, Connection, Error};
use tempfile::TempDir;

use crate::support::process::{Daemon, end_of, plainws, plainws_command, stopped, url_port};
use crate::support::raw::{self, Raw, exchange, get, serve, upgrade_request};
use crate::support::talk::{connect, end, text};
use crate::support::tools::{PATIENCE, kill, wait_until};

/// A private directory, removed when dropped.
fn directory() -> TempDir {
    TempDir::with_prefix("plainws-daemon-").expect("a private directory can be made")
}

/// `unix:` and a path in the directory.
fn unix(directory: &TempDir) -> String {
    format!("unix:{}", socket(directory))
}

fn socket(directory: &TempDir) -> String {
    directory.path().join("socket").display().to_string()
}

/// Sends a request to a Unix socket and reads all that comes back.
fn ask(path: &str, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn is_healthy(path: &str) -> bool {
    let answer = ask(path, get("/healthz", "").as_bytes()).unwrap_or_default();
    answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(b"\r\n\r\nok")
}

#[track_caller]
fn wait_healthy(path: &str) {
    let what = format!("an answer to /healthz at {path}");
    wait_until(&what, PATIENCE, || is_healthy(path).then_some(()));
}

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// What stands behind the level of a line.
#[track_caller]
fn said(line: &str) -> &str {
    let said = line.split_once("] ").map(|(_, said)| said);
    said.unwrap_or_else(|| panic!("a line without a level: {line:?}"))
}

mod arguments;
#[cfg(feature = "tls")]
mod cert;
mod listeners;
mod logs;
mod manager;
mod metrics;
mod scarcity;
mod signals;
mod stalled;
mod state;
