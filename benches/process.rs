//! A server of ours as a child process.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Result;
use crate::client::PATIENCE;
use crate::usage::Usage;

/// The binary of this package, which cargo has built for the benchmark.
pub(crate) const PLAINWS: &str = env!("CARGO_BIN_EXE_plainws");

/// So many of the last lines that a server printed stand in an error.
const LAST_LINES: usize = 12;

type Tail = Arc<Mutex<VecDeque<String>>>;

/// A running server; dropping it kills it.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    tail: Tail,
    /// One for each stream of the child; they end with it.
    readers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts a program and waits until it has printed where it listens.
    pub(crate) fn start(name: &'static str, program: &Path, arguments: &[&str]) -> Result<Server> {
        let mut command = Command::new(program);
        // Whoever runs the benchmark may have set up a daemon of their own.
        for (variable, _) in std::env::vars_os() {
            if variable.as_encoded_bytes().starts_with(b"PLAINWS_") {
                command.env_remove(variable);
            }
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", program.display()))?;
        let tail = Tail::default();
        let (found, port) = channel();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let mut server = Server {
            name,
            child,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            tail,
            readers: Vec::new(),
        };
        server.follow("bench-stdout", stdout, found.clone())?;
        server.follow("bench-stderr", stderr, found)?;
        match port.recv_timeout(PATIENCE) {
            Ok(port) => {
                server.address.set_port(port);
                Ok(server)
            }
            Err(error) => {
                let when = match error {
                    RecvTimeoutError::Timeout => format!("within {PATIENCE:?}"),
                    RecvTimeoutError::Disconnected => "before it closed its output".into(),
                };
                Err(server.explain(format!(
                    "the {name} server printed no http://, https:// or ws:// address of 127.0.0.1 {when}"
                )))
            }
        }
    }

    /// Reads all that the child prints: a full pipe would stop it.
    fn follow(
        &mut self,
        thread: &str,
        stream: Option<impl Read + Send + 'static>,
        found: Sender<u16>,
    ) -> Result<()> {
        let stream = stream.ok_or("a child without a pipe")?;
        let tail = Arc::clone(&self.tail);
        let reader = thread::Builder::new()
            .name(thread.into())
            .spawn(move || read_lines(stream, &tail, &found))
            .map_err(|error| format!("no thread: {error}"))?;
        self.readers.push(reader);
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid())
    }

    /// Adds to an error what has become of the server and what it printed last.
    pub(crate) fn explain(&mut self, error: String) -> String {
        let mut sentence = match self.ended() {
            Some(status) => format!("{error}; the {} server has ended ({status})", self.name),
            None => format!("{error}; the {} server still runs", self.name),
        };
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if !tail.is_empty() {
            sentence += ", it printed at last:";
        }
        for line in tail.iter() {
            sentence += "\n    ";
            sentence += &line.escape_debug().to_string();
        }
        sentence
    }

    /// Connections break a moment before the process can be waited for.
    fn ended(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + Duration::from_millis(300);
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails only for a child that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn read_lines(stream: impl Read, tail: &Tail, found: &Sender<u16>) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    let mut searching = true;
    while matches!(stream.read_until(b'\n', &mut bytes), Ok(1..)) {
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if searching && let Some(port) = port_of(&line) {
            searching = false;
            // The other stream may have been first.
            let _ = found.send(port);
        }
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == LAST_LINES {
            tail.pop_front();
        }
        tail.push_back(line);
        bytes.clear();
    }
}

/// The port of the first address in a line.
fn port_of(line: &str) -> Option<u16> {
    ["http://127.0.0.1:", "https://127.0.0.1:", "ws://127.0.0.1:"]
        .iter()
        .find_map(|start| line.split_once(start))
        .and_then(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok())
}

/// The example `echo` beside the binary, built anew if it is not there or older than its sources.
pub(crate) fn echo_example() -> Result<PathBuf> {
    let release = Path::new(PLAINWS)
        .parent()
        .ok_or("the binary has no folder")?;
    let example = release.join("examples").join("echo");
    // Not under cargo means that somebody runs the benchmark's binary by hand: take what is there.
    if let (Some(cargo), Some(target)) = (std::env::var_os("CARGO"), release.parent()) {
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--release", "--example", "echo"])
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .arg("--target-dir")
            .arg(target)
            .status();
        match built {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("cargo did not build the example echo ({status})")),
            Err(error) => return Err(format!("cargo did not start: {error}")),
        }
    }
    if !example.exists() {
        return Err(format!(
            "{} is missing: cargo build --release --example echo",
            example.display()
        ));
    }
    Ok(example)
}
