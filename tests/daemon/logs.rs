//! What stands in the log, in both forms, at a terminal and in the journal.

use serde_json::Value;

use super::*;

pub(super) const FORMATS: [&str; 2] = ["text", "json"];

#[track_caller]
pub(super) fn object(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Value::Object(object),
        other => panic!("no JSON object on the line {line:?}: {other:?}"),
    }
}

/// Checks that a time is one of now.
#[track_caller]
fn is_now(time: &str) {
    let Ok(parsed) = DateTime::parse_from_rfc3339(time) else {
        panic!("no RFC 3339 timestamp: {time}");
    };
    let age = Utc::now().signed_duration_since(parsed).num_seconds();
    assert!((-1..60).contains(&age), "{age} s old: {time}");
}

/// The lines of a daemon that talks to all three applications, with a refusal in between.
#[track_caller]
fn lines_with(more: &[&str]) -> Vec<String> {
    let daemon = plainws(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
    let port = url_port(&daemon.wait_line("index at "));
    let ws = connect(port, "/hello");
    ws.send("Rust").unwrap();
    end(&ws);
    drop((ws, connect(port, "/counter"), connect(port, "/clock")));
    assert_eq!(exchange(port, get("/nothing", "")).status, 404);
    assert_eq!(exchange(port, get("/counter", "")).status, 200);
    Raw::connect(port).send(b"nonsense\r\n\r\n");
    // After all that, this one has been served as well.
    wait_until("all clients to have left", PATIENCE, || {
        let ws = connect(port, "/counter");
        text(&ws).contains(r#""count":1}"#).then_some(())
    });
    stopped(daemon)
}

fn count(lines: &[String], what: &str) -> usize {
    lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn each_level_tells_what_it_should() {
    let lines = lines_with(&[]);
    let starts = ["index at http://", "SIGTERM", "ended"];
    assert_eq!(lines.len(), 3, "only start and end: {lines:#?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(said(line).starts_with(start), "{lines:#?}");
        is_now(line.split(' ').next().unwrap());
    }
    let lines = lines_with(&["-v"]);
    assert_eq!(count(&lines, "[INFO]"), lines.len(), "{lines:#?}");
    for status in ["404", "400"] {
        assert!(
            count(&lines, &format!("handshake refused with {status}")) > 0,
            "{lines:#?}"
        );
    }
    assert!(count(&lines, " opened") > 3, "{lines:#?}");
    assert_eq!(
        count(&lines, " opened"),
        count(&lines, " closed "),
        "{lines:#?}"
    );

    // Without the line that tells a port, so at a path.
    let lines = |level: &str| {
        let directory = directory();
        let address = unix(&directory);
        let daemon = plainws(&["serve", "--log-level", level, "--listen", &address]);
        let path = socket(&directory);
        wait_healthy(&path);
        let request = upgrade_request("/counter", "").into_bytes();
        let nonsense = [request, raw::text("nonsense"), raw::close(1000, "")].concat();
        ask(&path, &nonsense).unwrap();
        stopped(daemon)
    };
    for (level, there, not) in [
        ("warn", "[WARN]", "[INFO]"),
        ("info", " opened", "[DEBUG]"),
        ("debug", " < TEXT", "[TRACE]"),
        // tungstenite's own lines have raw bytes in them.
        ("trace", " < TEXT", "[TRACE]"),
    ] {
        let lines = lines(level);
        assert!(
            count(&lines, there) > 0 && count(&lines, not) == 0,
            "{lines:#?}"
        );
    }
    for level in ["off", "error"] {
        assert_eq!(lines(level), [""; 0]);
    }
    // A level in an environment file must not keep anybody from looking closer.
    let mut command = plainws_command(&["serve", "-v", "--listen", "counter=127.0.0.1:0"]);
    command.env("PLAINWS_LOG_LEVEL", "error");
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at"));
    drop(Raw::upgrade(port, "/"));
    daemon.wait_line("closed 1006");
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

#[test]
fn a_connection_is_told_with_peer_path_code_duration_and_messages() {
    for format in FORMATS {
        let (daemon, port) = serve("hello", &["-v", "--log-format", format]);
        let ws = connect(port, "/greeter?x=y");
        let peer = ws.local_addr().to_string();
        let opened = daemon.wait_line(" opened");
        ws.send("Rust").unwrap();
        end(&ws);
        drop(ws);
        let closed = daemon.wait_line(" closed ");
        if format == "json" {
            let line = object(&closed);
            let id = line["connection"].as_u64().unwrap();
            for (key, expected) in [
                ("level", Value::from("info")),
                ("target", "plainws::connection".into()),
                ("thread", format!("ws-conn-{id}").into()),
                ("peer", peer.into()),
                ("path", "/greeter".into()),
                ("code", 1000.into()),
                ("reason", "sent 1000 (OK), then received 1000 (OK)".into()),
                ("messages_in", 1.into()),
                ("messages_out", 1.into()),
            ] {
                assert_eq!(line[key], expected, "{key}: {line}");
            }
            let duration = line["duration_ms"].as_u64().expect("a duration");
            assert!(duration < PATIENCE.as_millis() as u64, "{line}");
            // With the handshake, which is longer than the messages.
            for bytes in ["bytes_in", "bytes_out"] {
                let bytes = line[bytes].as_u64().unwrap();
                assert!((100..1000).contains(&bytes), "{line}");
            }
            let message = line["message"].as_str().unwrap();
            assert!(
                message.contains("/greeter closed 1000: sent 1000 (OK)"),
                "{message}"
            );
            continue;
        }
        for line in [&opened, &closed] {
            assert!(line.contains("[INFO] ws-conn-"), "{line}");
            assert!(line.contains(&format!(" {peer} /greeter ")), "{line}");
        }
        let id = |line: &str| said(line).split(' ').next().unwrap().to_owned();
        assert_eq!(id(&opened), id(&closed), "one name for one connection");
        assert!(closed.contains(" closed 1000: "), "{closed}");
        assert!(closed.contains("messages 1 in 1 out"), "{closed}");
        let duration = closed
            .split("; ")
            .nth(1)
            .and_then(|rest| rest.split(',').next());
        let duration = duration.unwrap_or_default();
        let number = duration.trim_end_matches(|c: char| !c.is_ascii_digit());
        assert!(number.parse::<f64>().is_ok(), "no duration in {closed}");
        assert!(
            ["s", "ms", "µs"].contains(&&duration[number.len()..]),
            "{closed}"
        );
    }
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
    let mut lines = stopped(daemon);
    lines.retain(|line| line.contains(&peer));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let line = object(&lines[0]);
    assert_eq!(
        (&line["level"], &line["status"]),
        (&"info".into(), &404.into())
    );
    assert_eq!(
        (&line["peer"], &line["reason"]),
        (&peer.into(), &"not_found".into())
    );
}

#[test]
fn vv_logs_each_frame_with_its_direction_kind_and_size() {
    let (daemon, port) = serve("hello", &["-vv", "--ping-interval=off"]);
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&raw::masked(0x89, b"are\nyou there?"));
    raw.send(&raw::masked(0x8a, b"unasked"));
    let name = format!("first\nsecond\r\x1b[31m{}", "é".repeat(5000));
    raw.send(&raw::text(&name));
    assert_eq!(raw.message().opcode, 10);
    assert_eq!(raw.message().text(), format!("Hello {name}!"));
    assert_eq!(raw.close_frame().0, 1000);
    raw.send(&raw::close(1000, "bye\n[ERROR] forged"));
    drop(raw);
    daemon.wait_line(" closed ");
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&raw::masked(0x82, b"\x00\x1b\xffab"));
    let line = daemon.wait_line(" < BINARY");
    assert!(
        line.contains("00 1b ff 61 62") && line.ends_with("[5 bytes]"),
        "{line}"
    );
    let lines = stopped(daemon);
    let frames = lines.iter().filter(|line| line.contains("[DEBUG]"));
    let frames: Vec<&str> = frames.map(|line| said(line)).collect();
    let kind = |frame: &&str| {
        frame
            .split(' ')
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
            .to_uppercase()
    };
    let kinds: Vec<String> = frames.iter().map(kind).take(7).collect();
    let expected = [
        "< PING", "> PONG", "< PONG", "< TEXT", "> TEXT", "> CLOSE", "< CLOSE",
    ];
    assert_eq!(kinds, expected, "{frames:#?}");
    assert!(
        frames[3].contains(r#""first\nsecond\r\x1b[31m"#),
        "{}",
        frames[3]
    );
    assert!(
        frames[3].ends_with(&format!("[{} bytes]", name.len())),
        "{}",
        frames[3]
    );
}

/// All that a client can say, with line ends, terminal escapes, quotes and much of it.
#[test]
fn whatever_a_peer_says_is_one_short_line_below_error_in_each_format() {
    let nasty = "\n<3>[ERROR] forged\r\x1b[2J\0\x7f\u{85}\u{9b}31m\u{202e}\u{2066}\u{2028}\",\"level\":\"error";
    let long = "é\x07".repeat(2000);
    let names = "Origin User-Agent X-Forwarded-For Sec-WebSocket-Protocol Cookie Host".split(' ');
    let targets = [
        "/a%0d%0a[ERROR]%20forged",
        "/<script>alert(1)</script>",
        "/\"quoted\"'and'|piped|",
        "/\\r\\n\\x1b",
        &format!("/%0a%1b{}", "a".repeat(1500)),
    ];
    for format in FORMATS {
        let (daemon, port) = serve("counter", &["-vv", "--log-format", format]);
        for text in [nasty, &long] {
            for name in names.clone() {
                let line = format!("{name}: {text}\r\n");
                exchange_any(port, &upgrade_request("/", &line));
            }
            for target in targets.into_iter().chain([text, &format!("/{text}")]) {
                exchange_any(port, &get(target, ""));
            }
            let mut raw = Raw::upgrade(port, "/%0a%22%1b");
            raw.send(&raw::text(text));
            raw.send(&raw::text(r#"{"action":"\n\u001b[31mx"}"#));
            raw.send(&raw::masked(0x82, text.as_bytes()));
            raw.send(&raw::masked(0x89, &text.as_bytes()[..text.len().min(100)]));
            let reason: String = text.chars().take(30).collect();
            raw.send(&raw::close(4000, &reason));
            raw.close_frame();
            let mut raw = Raw::upgrade(port, "/");
            raw.send(&raw::masked(0x81, b"\xff\x1b[31m\n"));
            raw.close_frame();
        }
        daemon.wait_line(" closed 4000");
        let lines = stopped(daemon);
        assert!(lines.len() > 20, "{format}: {lines:#?}");
        for line in &lines {
            assert!(!crate::http::is_raw(line), "{format}: {line:?}");
            // Some fields of 200 bytes each, some of them twice.
            assert!(line.len() < 1500, "{format}: {} bytes: {line}", line.len());
            if format == "text" {
                is_now(line.split(' ').next().unwrap());
                assert!(!said(line).starts_with("forged"), "{line}");
                assert!(!line.contains("Z [ERROR]"), "{line}");
                continue;
            }
            let object = object(line);
            assert_ne!(object["level"], "error", "{line}");
            let time = object["time"].as_str().expect("a time");
            // As many digits for each, so that text sorts as time does.
            assert_eq!(time.len(), "2026-11-22T10:21:09.424215Z".len(), "{time}");
            is_now(time);
            for (name, value) in object.as_object().unwrap() {
                let len = value.as_str().unwrap_or_default().len();
                assert!(name == "message" || len < 300, "{name} of {line}");
            }
            for key in ["level", "target", "thread", "message"] {
                let text = object[key].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "no {key} in {object}");
            }
        }
    }
}

/// Sends a request, and waits until it is answered, however.
fn exchange_any(port: u16, request: &str) {
    let mut raw = Raw::connect(port);
    raw.send(request.as_bytes());
    raw.answer();
}

/// The lines of a daemon whose stderr is a file, and whose `JOURNAL_STREAM` is what `journal` makes
/// of that file's device and inode. `more` are arguments.
#[track_caller]
fn lines_in_file(journal: impl Fn(u64, u64) -> String, more: &[&str]) -> Vec<String> {
    let directory = directory();
    let file = directory.path().join("log");
    let meta = fs::File::create(&file).unwrap().metadata().unwrap();
    let mut shell = Command::new("/bin/sh");
    let script = r#"log=$1; shift; exec "$0" serve --listen 127.0.0.1:0 "$@" 2>>"$log""#;
    shell.args(["-c", script, env!("CARGO_BIN_EXE_plainws")]);
    shell.arg(&file).args(more).env_clear();
    shell.env("JOURNAL_STREAM", journal(meta.dev(), meta.ino()));
    let mut daemon = Daemon::spawn(shell);
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let place = wait_until("the start-up line in the file", PATIENCE, || {
        let lines = lines();
        let place = lines.iter().find(|line| line.contains("127.0.0.1:"));
        place.cloned().or((!daemon.is_running()).then(String::new))
    });
    if place.is_empty() {
        assert_eq!(
            daemon.wait_exit(PATIENCE).code(),
            Some(1),
            "{}",
            daemon.report()
        );
        return lines();
    }
    let ws = connect(url_port(&place), "/counter");
    ws.send("nonsense").unwrap();
    while !text(&ws).contains("error") {}
    drop(ws);
    stopped(daemon);
    lines()
}

#[test]
fn in_the_journal_each_line_begins_with_its_priority_instead_of_a_time() {
    let here = |device, inode| format!("{device}:{inode}");
    let lines = lines_in_file(here, &["-vv"]);
    for begin in [
        "<6>[INFO] index at http://127.0.0.1:",
        "<6>[INFO] ws-conn-",
        "<7>[DEBUG] ws-conn-",
        "<4>[WARN] ws-conn-",
        "<6>[INFO] SIGTERM",
        "<6>[INFO] ended",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(begin)),
            "{begin}: {lines:#?}"
        );
    }
    for line in lines_in_file(here, &["-vv", "--log-format", "json"]) {
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
    // An error at the start is not lost.
    let lines = lines_in_file(here, &["--listen", "unix:/no/such/folder/s"]);
    let failed = lines.iter().find(|line| line.contains("/no/such/folder"));
    assert!(
        failed.is_some_and(|line| line.starts_with("<3>[ERROR] ")),
        "{lines:#?}"
    );
    // A daemon that a service starts inherits the variable; its stderr need not be the journal.
    for journal in ["", "1:2", "nonsense"] {
        for line in lines_in_file(|_, _| journal.to_owned(), &[]) {
            is_now(line.split(' ').next().unwrap());
        }
    }
}
