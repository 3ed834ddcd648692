//! The forms of log lines, text and JSON, at a terminal and in the journal; and that nobody waits for
//! who reads them.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::logs::{lines_in_file, traffic};
use super::metrics::figures;
use super::*;

const FORMATS: [&str; 2] = ["text", "json"];

#[track_caller]
fn object(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Value::Object(object),
        other => panic!("no JSON object on the line {line:?}: {other:?}"),
    }
}

/// The objects of a daemon with some traffic; `more` are arguments.
#[track_caller]
fn objects_with(more: &[&str]) -> Vec<Value> {
    let args = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json"];
    let daemon = plainws(&[&args, more].concat());
    traffic(url_port(&daemon.wait_line("index at ")));
    stopped(daemon).iter().map(|line| object(line)).collect()
}

#[test]
fn json_is_one_object_a_line_with_time_level_target_thread_and_message() {
    let objects = objects_with(&["-vv"]);
    let levels: Vec<&str> = objects.iter().filter_map(|o| o["level"].as_str()).collect();
    assert!(levels.contains(&"info"), "{objects:#?}");
    assert!(levels.contains(&"debug"), "{objects:#?}");
    for object in &objects {
        let time = object["time"].as_str().expect("a time");
        // As many digits for each, so that text sorts as time does.
        assert_eq!(time.len(), "2026-11-22T10:21:09.424215Z".len(), "{time}");
        assert!(time.ends_with('Z'), "{time}");
        let time = DateTime::parse_from_rfc3339(time).expect("RFC 3339");
        let age = Utc::now().signed_duration_since(time).num_seconds();
        assert!((-1..60).contains(&age), "{age} s old: {object}");
        for key in ["level", "target", "thread", "message"] {
            let text = object[key].as_str().unwrap_or_default();
            assert!(!text.is_empty(), "no {key} in {object}");
        }
    }
    assert_eq!(objects[0]["thread"], "main");
}

#[test]
fn the_last_line_of_a_connection_has_its_figures_as_fields() {
    let more = ["--log-format", "json", "-v"];
    let (daemon, port) = serve("hello", &more);
    let ws = connect(port, "/greeter?x=y");
    let peer = ws.local_addr().to_string();
    ws.send("Rust").unwrap();
    end(&ws);
    drop(ws);
    let line = object(&daemon.wait_line(" closed "));
    assert_eq!(line["level"], "info");
    assert_eq!(line["target"], "plainws::connection");
    assert_eq!(
        line["thread"],
        format!("ws-conn-{}", line["connection"].as_u64().unwrap())
    );
    assert_eq!(line["peer"], peer);
    assert_eq!(line["path"], "/greeter");
    assert_eq!(line["code"], 1000);
    assert_eq!(
        line["reason"], "sent 1000 (OK), then received 1000 (OK)",
        "{line}"
    );
    let duration = line["duration_ms"].as_u64().expect("a duration");
    assert!(duration < PATIENCE.as_millis() as u64, "{line}");
    assert_eq!(
        (&line["messages_in"], &line["messages_out"]),
        (&1.into(), &1.into())
    );
    // With the handshake, which is longer than the messages.
    for bytes in ["bytes_in", "bytes_out"] {
        let bytes = line[bytes].as_u64().unwrap();
        assert!((100..1000).contains(&bytes), "{line}");
    }
    // The same in words.
    let message = line["message"].as_str().unwrap();
    assert!(
        message.contains("/greeter closed 1000: sent 1000 (OK)"),
        "{message}"
    );
    assert!(message.contains("messages 1 in 1 out"), "{message}");
}

#[test]
fn a_refused_handshake_is_one_line_with_its_reason() {
    let daemon = plainws(&["serve", "-v", "--log-format=json", "--listen=127.0.0.1:0"]);
    let port = url_port(&daemon.wait_line("index at "));
    let mut raw = Raw::connect(port);
    let peer = raw.address();
    raw.send(get("/nothing", "").as_bytes());
    assert_eq!(raw.answer().status, 404);
    daemon.wait_line("refused with 404");
    let lines = stopped(daemon);
    let lines: Vec<_> = lines.iter().filter(|line| line.contains(&peer)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = object(lines[0]);
    assert_eq!(line["level"], "info");
    assert_eq!(line["peer"], peer);
    assert_eq!(line["status"], 404);
    assert_eq!(line["reason"], "not_found");
}

/// All that a client can say, with line ends, terminal escapes, quotes and much of it.
#[test]
fn whatever_a_peer_says_is_one_short_line_below_error_in_each_format() {
    let nasty = "\n<3>[ERROR] forged\r\x1b[2J\0\x7f\u{9b}31m\u{202e}\u{2028}\",\"level\":\"error";
    let long = "é\x07".repeat(2000);
    for format in FORMATS {
        let (daemon, port) = serve("counter", &["-vv", "--log-format", format]);
        for text in [nasty, &long] {
            for name in [
                "Origin",
                "User-Agent",
                "X-Forwarded-For",
                "Sec-WebSocket-Protocol",
                "Cookie",
                "Host",
            ] {
                let mut raw = Raw::connect(port);
                raw.send(upgrade_request("/", &format!("{name}: {text}\r\n")).as_bytes());
                raw.answer();
            }
            for target in [
                text,
                &format!("/{text}"),
                &format!("/%0a%1b{}", "a".repeat(1500)),
            ] {
                let mut raw = Raw::connect(port);
                raw.send(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
                raw.answer();
            }
            let mut raw = Raw::upgrade(port, "/%0a%22%1b");
            raw.send(&raw::text(text));
            raw.send(&raw::text(&format!(
                r#"{{"action":"{}"}}"#,
                "\\n\\u001b[31mx"
            )));
            raw.send(&raw::masked(0x89, &text.as_bytes()[..text.len().min(100)]));
            let reason: String = text.chars().take(40).collect();
            raw.send(&raw::close(4000, &reason));
            raw.close_frame();
        }
        daemon.wait_line(" closed 4000");
        let lines = stopped(daemon);
        assert!(lines.len() > 20, "{format}: {lines:#?}");
        for line in &lines {
            let bad = |c: char| c.is_control() || "\u{202e}\u{2028}".contains(c);
            assert!(!line.contains(bad), "{format}: {line:?}");
            // Some fields of 200 bytes each, some of them twice.
            assert!(line.len() < 1500, "{format}: {} bytes: {line}", line.len());
            if format == "json" {
                let object = object(line);
                assert_ne!(object["level"], "error", "{line}");
                for (name, value) in object.as_object().unwrap() {
                    let len = value.as_str().unwrap_or_default().len();
                    assert!(name == "message" || len < 300, "{name} of {line}");
                }
            } else {
                let time = line.split(' ').next().unwrap();
                assert!(DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
                assert!(!said(line).starts_with("forged"), "{line}");
                assert!(!line.contains("Z [ERROR]"), "{line}");
            }
        }
    }
}

#[test]
fn in_the_journal_each_line_begins_with_its_priority() {
    let here = |device, inode| format!("{device}:{inode}");
    let talk = |port| {
        let ws = connect(port, "/counter");
        ws.send("nonsense").unwrap();
        while !text(&ws).contains("error") {}
    };
    let lines = lines_in_file(here, &["-vv"], talk);
    for (begin, what) in [
        ("<6>[INFO] index at ", "where it listens"),
        ("<6>[INFO] ws-conn-", "a connection"),
        ("<7>[DEBUG] ws-conn-", "a frame"),
        ("<4>[WARN] ws-conn-", "a message that is nonsense"),
        ("<6>[INFO] SIGTERM", "the end"),
    ] {
        let told = lines.iter().any(|line| line.starts_with(begin));
        assert!(told, "{what}: {lines:#?}");
    }
    let lines = lines_in_file(here, &["-vv", "--log-format", "json"], talk);
    for line in &lines {
        // The journal takes the priority off; what stays is JSON.
        let (priority, json) = line.split_at(3);
        let expected = match object(json)["level"].as_str().unwrap() {
            "warn" => "<4>",
            "info" => "<6>",
            "debug" => "<7>",
            other => panic!("level {other}: {line}"),
        };
        assert_eq!(priority, expected, "{line}");
    }
}

#[test]
fn an_error_at_the_start_has_its_priority_in_the_journal_and_is_not_lost() {
    let directory = directory();
    let file = directory.path().join("log");
    let meta = fs::File::create(&file).unwrap().metadata().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args([
        "-c",
        r#"exec "$0" serve --listen unix:/no/such/folder/s 2>>"$1""#,
    ]);
    shell.arg(env!("CARGO_BIN_EXE_plainws")).arg(&file);
    shell.env_clear();
    shell.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino()));
    assert_eq!(shell.status().unwrap().code(), Some(1));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("<3>[ERROR] "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn a_port_that_the_system_has_chosen_is_told_at_level_error_too() {
    for format in FORMATS {
        let more = [
            "--log-level",
            "error",
            "--log-format",
            format,
            "--metrics",
            "127.0.0.1:0",
        ];
        let (daemon, port) = serve("counter", &more);
        let metrics = url_port(&daemon.wait_line("metrics at "));
        drop(Raw::upgrade(port, "/"));
        assert_eq!(exchange(metrics, get("/metrics", "")).status, 200);
        let lines = stopped(daemon);
        assert_eq!(lines.len(), 2, "no more than that: {lines:#?}");
    }
}

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
