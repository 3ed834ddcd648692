//! What stands in the log.

use super::*;

/// Talks to all three applications, with a refusal in between.
#[track_caller]
pub(super) fn traffic(port: u16) {
    let ws = connect(port, "/hello");
    ws.send("Rust").unwrap();
    end(&ws);
    drop(connect(port, "/counter"));
    drop(connect(port, "/clock"));
    assert_eq!(exchange(port, get("/nothing", "")).status, 404);
    assert_eq!(exchange(port, get("/counter", "")).status, 200);
    Raw::connect(port).send(b"nonsense\r\n\r\n");
    // After all that, this one has been served as well.
    wait_until("all clients to have left", PATIENCE, || {
        let ws = connect(port, "/counter");
        text(&ws).contains(r#""count":1}"#).then_some(())
    });
}

/// The lines of a daemon with such traffic.
#[track_caller]
fn lines_with(more: &[&str]) -> Vec<String> {
    let args = [&["serve", "--listen", "127.0.0.1:0"], more].concat();
    let daemon = plainws(&args);
    traffic(url_port(&daemon.wait_line("index at ")));
    stopped(daemon)
}

#[test]
fn without_v_only_start_and_end_are_logged() {
    let lines = lines_with(&[]);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("index at http://"), "{lines:#?}");
    assert!(lines[1].contains("SIGTERM"), "{lines:#?}");
    assert!(lines[2].contains("ended"), "{lines:#?}");
}

#[test]
fn v_logs_a_connection_with_peer_path_code_duration_and_messages() {
    let (daemon, port) = serve("hello", &["-v"]);
    let ws = connect(port, "/greeter?x=y");
    let peer = ws.local_addr().to_string();
    let opened = daemon.wait_line(" opened");
    ws.send("Rust").unwrap();
    end(&ws);
    drop(ws);
    let closed = daemon.wait_line(" closed ");
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
    let unit = &duration[number.len()..];
    assert!(number.parse::<f64>().is_ok(), "no duration in {closed}");
    assert!(["s", "ms", "µs"].contains(&unit), "no duration in {closed}");
}

#[test]
fn v_logs_failed_handshakes_and_no_frames() {
    let lines = lines_with(&["-v"]);
    assert!(
        lines.iter().all(|line| line.contains("[INFO]")),
        "{lines:#?}"
    );
    let refused = lines
        .iter()
        .filter(|l| l.contains("handshake refused with"));
    let refused: Vec<&String> = refused.collect();
    assert!(refused.iter().any(|l| l.contains("404")), "{lines:#?}");
    assert!(refused.iter().any(|l| l.contains("400")), "{lines:#?}");
    let opened = lines.iter().filter(|line| line.contains(" opened"));
    let closed = lines.iter().filter(|line| line.contains(" closed "));
    assert_eq!(opened.count(), closed.count(), "{lines:#?}");
}

#[test]
fn vv_logs_each_frame_on_one_short_line() {
    let (daemon, port) = serve("hello", &["-vv"]);
    let mut raw = Raw::upgrade(port, "/");
    let name = format!("first\nsecond\r\x1b[31m\u{202e}{}", "é".repeat(5000));

    raw.send(&raw::text(&name));
    assert_eq!(raw.message().text(), format!("Hello {name}!"));
    assert_eq!(raw.message().close().0, 1000);
    raw.send(&raw::close(1000, "bye\n[ERROR] forged"));
    drop(raw);
    daemon.wait_line(" closed ");
    let lines = stopped(daemon);
    for line in &lines {
        let plain = |c: char| !c.is_control() && c != '\u{202e}';
        assert!(line.chars().all(plain), "{line:?}");
        assert!(line.len() < 400, "{line}");
    }
    let (kinds, frames) = frames(&lines);
    assert_eq!(
        kinds,
        ["< TEXT", "> TEXT", "> CLOSE", "< CLOSE"],
        "{frames:#?}"
    );
    let bytes = format!("[{} bytes]", name.len());
    assert!(
        frames[0].contains(r#""first\nsecond\r\x1b[31m"#),
        "{}",
        frames[0]
    );
    assert!(frames[0].ends_with(&bytes), "{}", frames[0]);
}

/// Of the frames in the log, direction and kind, and the whole lines.
fn frames(lines: &[String]) -> (Vec<String>, Vec<&str>) {
    let frames = lines.iter().filter(|line| line.contains("[DEBUG]"));
    let frames: Vec<&str> = frames.map(|line| said(line)).collect();
    let kind = |frame: &&str| {
        let words: Vec<&str> = frame.split(' ').collect();
        format!("{} {}", words[1], words[2].to_uppercase())
    };
    (frames.iter().map(kind).collect(), frames)
}

#[test]
fn vv_logs_pings_and_pongs_in_both_directions() {
    let (daemon, port) = serve("hello", &["-vv", "--ping-interval=off"]);
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&raw::masked(0x89, b"are\nyou there?"));
    assert_eq!(raw.frame().expect("a pong").opcode, 10);
    raw.send(&[raw::masked(0x8a, b"unasked"), raw::close(1000, "")].concat());
    assert_eq!(raw.close_frame().0, 1000);
    drop(raw);
    daemon.wait_line(" closed ");
    let lines = stopped(daemon);
    let (kinds, frames) = frames(&lines);
    let expected = ["< PING", "> PONG", "< PONG", "< CLOSE", "> CLOSE"];
    assert_eq!(kinds, expected, "{frames:#?}");
}

#[test]
fn vv_shows_a_binary_message_as_numbers() {
    let (daemon, port) = serve("counter", &["-vv"]);
    let ws = connect(port, "/");
    ws.send(b"\x00\x1b\xffab").unwrap();
    let line = daemon.wait_line(" < BINARY");
    assert!(line.contains("00 1b ff 61 62"), "{line}");
    assert!(line.ends_with("[5 bytes]"), "{line}");
    drop(ws);
}

#[test]
fn a_peer_writes_no_line_of_its_own() {
    let (daemon, port) = serve("counter", &["-vv"]);
    let forged = "\n[ERROR] forged\r\x1b[2J";
    let ws = connect(port, "/%0a[ERROR]/");
    ws.send(forged).unwrap();

    // Users, state, and the error, which may come before the hub has taken notice of the newcomer.
    while !text(&ws).contains("error") {}

    ws.close(CloseCode(4000), forged).unwrap();
    Raw::connect(port).send(format!("GET /{forged} HTTP/1.1\r\n\r\n").as_bytes());
    exchange(port, get("/nothing", &format!("X: {}\r\n", "\u{9b}31m")));
    daemon.wait_line("handshake refused with 400");
    for line in stopped(daemon) {
        let time = line.split(' ').next().unwrap();
        assert!(DateTime::parse_from_rfc3339(time).is_ok(), "{line}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!said(&line).starts_with("forged"), "{line}");
    }
}

#[test]
fn log_level_is_exact() {
    // Without the line that tells a port, so at a path.
    let lines = |level: &str, more: &[&str]| {
        let directory = directory();
        let address = unix(&directory);
        let args = ["serve", "--log-level", level, "--listen", &address];
        let daemon = plainws(&[&args, more].concat());
        let path = socket(&directory);
        wait_healthy(&path);
        let request = upgrade_request("/counter", "").into_bytes();
        let nonsense = [request, raw::text("nonsense"), raw::close(1000, "")].concat();
        ask(&path, &nonsense).unwrap();
        stopped(daemon)
    };
    let has = |lines: &[String], level: &str| lines.iter().any(|line| line.contains(level));
    assert_eq!(lines("off", &[]), [""; 0]);
    assert_eq!(lines("error", &[]), [""; 0]);
    let warn = lines("warn", &[]);
    assert!(has(&warn, "[WARN]") && !has(&warn, "[INFO]"), "{warn:#?}");
    let info = lines("info", &[]);
    assert!(has(&info, " opened") && !has(&info, "[DEBUG]"), "{info:#?}");
    let debug = lines("debug", &[]);
    assert!(has(&debug, " < TEXT"), "{debug:#?}");
    // tungstenite's own lines have raw bytes in them.
    let trace = lines("trace", &[]);
    assert!(
        has(&trace, " < TEXT") && !has(&trace, "[TRACE]"),
        "{trace:#?}"
    );
}

/// The lines of a daemon whose stderr is a file, and whose `JOURNAL_STREAM` is what `journal` makes
/// of that file's device and inode. `more` are arguments; `talk` is given its port.
#[track_caller]
pub(super) fn lines_in_file(
    journal: impl Fn(u64, u64) -> String,
    more: &[&str],
    talk: impl Fn(u16),
) -> Vec<String> {
    let directory = directory();
    let file = directory.path().join("log");
    let meta = fs::File::create(&file).unwrap().metadata().unwrap();
    let mut shell = Command::new("/bin/sh");
    let script = r#"log=$1; shift; exec "$0" serve --listen 127.0.0.1:0 "$@" 2>>"$log""#;
    shell.args(["-c", script, env!("CARGO_BIN_EXE_plainws")]);
    shell.arg(&file).args(more);
    shell.env_clear();
    shell.env("JOURNAL_STREAM", journal(meta.dev(), meta.ino()));
    let daemon = Daemon::spawn(shell);
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let place = wait_until("the start-up line in the file", PATIENCE, || {
        let mut lines = lines().into_iter();
        lines.find(|line| line.contains("index at ") && line.contains("127.0.0.1:"))
    });
    talk(url_port(&place));
    stopped(daemon);
    lines()
}

#[test]
fn a_line_has_a_priority_and_no_timestamp_in_the_journal() {
    let lines = lines_in_file(|device, inode| format!("{device}:{inode}"), &[], |_| {});
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("<6>[INFO] index at http://127.0.0.1:"),
        "{lines:#?}"
    );
    assert!(lines[1].starts_with("<6>[INFO] SIGTERM"), "{lines:#?}");
    assert_eq!(lines[2], "<6>[INFO] ended");
}

#[test]
fn a_line_has_a_timestamp_elsewhere_also_below_the_journal() {
    // A daemon that a service starts inherits the variable; its stderr need not be the journal.
    for journal in ["", "1:2", "nonsense"] {
        let lines = lines_in_file(|_, _| journal.to_owned(), &[], |_| {});
        assert_eq!(lines.len(), 3, "{lines:#?}");
        for line in lines {
            let time = line.split(' ').next().unwrap();
            let Ok(time) = DateTime::parse_from_rfc3339(time) else {
                panic!("no RFC 3339 timestamp: {line}");
            };
            let age = Utc::now().signed_duration_since(time).num_seconds();
            assert!((-1..60).contains(&age), "{age} s old: {line}");
        }
    }
}

/// A level in an environment file must not keep anybody from looking closer.
#[test]
fn v_goes_before_a_level_in_the_environment() {
    let mut command = plainws_command(&["serve", "-v", "--listen", "counter=127.0.0.1:0"]);
    command.env("PLAINWS_LOG_LEVEL", "error");
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("counter at"));
    drop(Raw::upgrade(port, "/"));
    daemon.wait_line("closed 1006");
}
