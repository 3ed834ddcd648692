//! Nobody waits for who reads the log.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::process::{Child, Stdio};

use super::logs::object;
use super::metrics::figures;
use super::*;

/// The daemon with a pipe as its stderr that nobody reads after its first lines.
struct Stalled {
    child: Child,
    stderr: BufReader<PipeReader>,
    port: u16,
    metrics: u16,
}

impl Stalled {
    fn start(more: &[&str]) -> Stalled {
        Stalled::over(std::io::pipe().unwrap(), more)
    }

    fn over((reader, writer): (PipeReader, PipeWriter), more: &[&str]) -> Stalled {
        let listen = [
            "serve",
            "--listen=counter=127.0.0.1:0",
            "--metrics=127.0.0.1:0",
        ];
        let mut command = plainws_command(&[&listen, more].concat());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(writer).spawn().unwrap();
        // Otherwise this process would hold the pipe open, too.
        drop(command);
        let mut stalled = Stalled {
            child,
            stderr: BufReader::with_capacity(1, reader),
            port: 0,
            metrics: 0,
        };
        stalled.metrics = url_port(&stalled.line("metrics at "));
        stalled.port = url_port(&stalled.line("counter at "));
        stalled
    }

    /// The next line, which has this in it.
    fn line(&mut self, needle: &str) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        assert!(line.contains(needle), "{line:?}");
        line
    }

    /// A client counts up, and both it and another one see every step, though each is a line.
    fn count(&self, updates: usize) {
        let (writer, watcher) = (connect(self.port, "/"), connect(self.port, "/"));
        let last = format!(r#""value":{updates}}}"#);
        for _ in 0..updates / 100 {
            for _ in 0..100 {
                writer.write(r#"{"action":"plus"}"#).unwrap();
            }
            writer.flush();
        }
        for client in [writer, watcher] {
            while !text(&client).ends_with(&last) {}
        }
    }

    fn dropped(&self) -> u64 {
        figures(self.metrics, "/metrics")["plainws_log_lines_dropped_total"]
    }

    /// The exit code after SIGTERM.
    fn stop(&mut self) -> Option<i32> {
        assert!(kill("TERM", &self.child.id().to_string()));
        let status = wait_until("the end after SIGTERM", PATIENCE, || {
            self.child.try_wait().unwrap()
        });
        status.code()
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_stderr_that_nobody_reads_holds_up_no_broadcast_and_what_was_dropped_is_told() {
    const UPDATES: usize = 5000;
    let mut daemon = Stalled::start(&["-vv"]);
    daemon.count(UPDATES);
    // Three lines an update, and the pipe and the queue have room for a few thousand.
    let dropped = daemon.dropped();
    assert!(dropped > 0, "no line was dropped");
    // Now somebody reads: all that waits comes, and how many are missing.
    let mut told = 0;
    let mut lines = 0;
    while told < dropped {
        let mut line = String::new();
        assert!(
            daemon.stderr.read_line(&mut line).unwrap() > 0,
            "{told} of {dropped}"
        );
        lines += 1;
        if let Some((_, rest)) = line.split_once("[WARN] dropped ") {
            let (count, _) = rest.split_once(" log lines").unwrap();
            told += count.parse::<u64>().unwrap();
        }
    }
    // They stand behind the lines that had waited.
    assert!(lines > 1000, "{lines} lines had waited");
    // There may have been more since, which the page below is a line of, too.
    assert!(told <= daemon.dropped(), "{told}");
    // A reader is no condition of the end either; this one has stopped again.
    assert_eq!(daemon.stop(), Some(0));
}

/// Node, for one, makes the pipes to its children so.
#[test]
fn a_pipe_that_does_not_block_gets_whole_lines_too() {
    let pipe = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&pipe.1, true).unwrap();
    let mut daemon = Stalled::over(pipe, &["-vv", "--log-format", "json"]);
    daemon.count(5000);
    let dropped = daemon.dropped();
    assert!(dropped > 0, "the pipe is full");
    let mut told = 0;
    while told < dropped {
        let mut line = String::new();
        assert!(daemon.stderr.read_line(&mut line).unwrap() > 0, "{told}");
        let message = object(&line)["message"].as_str().unwrap().to_owned();
        if let Some(rest) = message.strip_prefix("dropped ") {
            told += rest.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_stderr_that_nobody_reads_does_not_hold_up_the_end() {
    let mut daemon = Stalled::start(&["-vv", "--log-format", "json"]);
    daemon.count(5000);
    assert!(daemon.dropped() > 0, "the pipe is full");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_stderr_whose_reader_has_gone_is_harmless() {
    let mut daemon = Stalled::start(&["-vv"]);
    let (reader, _) = std::io::pipe().unwrap();
    daemon.stderr = BufReader::new(reader);
    daemon.count(500);
    assert!(daemon.dropped() > 500, "lines that nobody can read");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_closed_stderr_is_harmless() {
    let directory = directory();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"exec "$0" serve -vv --listen "$1" 2>&-"#]);
    shell
        .arg(env!("CARGO_BIN_EXE_plainws"))
        .arg(unix(&directory));
    let daemon = Daemon::spawn(shell);
    let path = socket(&directory);
    wait_healthy(&path);
    let request = upgrade_request("/hello", "").into_bytes();
    let all = [request, raw::text("Rust"), raw::close(1000, "")].concat();
    let answer = String::from_utf8_lossy(&ask(&path, &all).unwrap()).into_owned();
    assert!(answer.contains("Hello Rust!"), "{answer}");
    assert_eq!(stopped(daemon), [""; 0]);
}
