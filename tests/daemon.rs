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
use plainws::{Client, CloseCode, Closed, Connection, Error, Message};
use tempfile::TempDir;

use crate::support::process::{Daemon, plainws, plainws_command, url_port};
use crate::support::raw::{self, Raw, exchange, get, serve, upgrade_request};
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

/// Runs the command to its end: the exit code and the lines of stderr.
#[track_caller]
fn end_of(command: Command) -> (i32, Vec<String>) {
    let mut daemon = Daemon::spawn(command);
    let status = daemon.wait_exit(PATIENCE);
    assert_eq!(daemon.stdout_lines(), [""; 0], "errors go to stderr");
    let Some(code) = status.code() else {
        panic!("a signal ended it: {}", daemon.report());
    };
    (code, daemon.lines())
}

/// Stops the daemon: all its lines.
#[track_caller]
fn stopped(mut daemon: Daemon) -> Vec<String> {
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    daemon.lines()
}

#[track_caller]
fn connect(port: u16, path: &str) -> Connection {
    plainws::connect(&format!("ws://127.0.0.1:{port}{path}")).expect("the daemon takes a client")
}

#[track_caller]
fn text(ws: &Connection) -> String {
    match ws.recv_timeout(PATIENCE) {
        Ok(Some(Message::Text(text))) => text,
        other => panic!("awaited a text within {PATIENCE:?}, got {other:?}"),
    }
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

// ---- Listeners -------------------------------------------------------------------------------

#[test]
fn start_up_tells_each_listener_as_the_readme_shows() {
    let readme = include_str!("../README.md");
    let shown = readme.lines().filter_map(|line| {
        let (_time, said) = line.split_once(" [INFO] ")?;
        said.split_once(" at ")
    });
    let shown: Vec<(&str, &str)> = shown.collect();
    assert_eq!(shown.len(), 3, "the README shows the three listeners");
    let listen = shown.iter().flat_map(|(app, _)| {
        let address = format!("{app}=127.0.0.1:0");
        ["--listen".to_owned(), address]
    });
    let args: Vec<String> = ["serve".to_owned()].into_iter().chain(listen).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let daemon = plainws(&args);
    for (app, url) in &shown {
        let line = daemon.wait_line(&format!("{app} at "));
        let port = url_port(&line);
        let expected = format!("{app} at {url}");
        let with_port = expected.replace(&url_port(url).to_string(), &port.to_string());
        assert_eq!(said(&line), with_port);
        let page = exchange(port, get("/", ""));
        assert_eq!(page.status, 200);
        assert!(
            page.body
                .to_lowercase()
                .contains(&format!("<h1>{app}</h1>"))
        );
    }
    assert_eq!(stopped(daemon).len(), 4, "a line each, and one for the end");
}

#[test]
fn start_up_tells_what_is_no_tcp_port_of_this_host_too() {
    let directory = directory();
    let address = format!("hello={}", unix(&directory));
    let daemon = plainws(&["serve", "--listen", "127.0.0.1:0", "--listen", &address]);
    let index = daemon.wait_line("index at ");
    let port = url_port(&index);
    assert_eq!(said(&index), format!("index at http://127.0.0.1:{port}/"));
    let hello = daemon.wait_line("hello at ");
    assert_eq!(said(&hello), format!("hello at {}", unix(&directory)));
}

#[test]
fn a_colon_and_a_port_is_both_families() {
    let daemon = plainws(&["serve", "-v", "--listen", "hello=:0"]);
    let line = daemon.wait_line("hello at ");
    let port = url_port(&line);
    let all = format!("hello at http://localhost:{port}/ and all addresses of this host");
    assert_eq!(said(&line), all);
    let mut hosts = vec!["127.0.0.1"];
    if has_ipv6() {
        hosts.push("[::1]");
    } else {
        eprintln!("only IPv4 was tried, as this machine has no IPv6");
    }
    for host in hosts {
        let ws = plainws::connect(&format!("ws://{host}:{port}/")).unwrap();
        ws.send("Rust").unwrap();
        assert_eq!(text(&ws), "Hello Rust!");
        // As people write it, not ::ffff:127.0.0.1.
        daemon.wait_line(&format!(" {} / opened", ws.local_addr()));
    }
}

#[test]
fn an_ipv6_address_stands_in_brackets() {
    if !has_ipv6() {
        return eprintln!("skipped: this machine has no IPv6");
    }
    let daemon = plainws(&["serve", "--listen", "hello=[::1]:0"]);
    let line = daemon.wait_line("hello at ");
    let port = url_port(&line);
    assert_eq!(said(&line), format!("hello at http://[::1]:{port}/"));
    let ws = plainws::connect(&format!("ws://[::1]:{port}/")).unwrap();
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
    let v4 = TcpStream::connect(("127.0.0.1", port));
    assert!(v4.is_err(), "one address is one address");
}

#[test]
fn a_name_is_all_its_addresses_at_one_port() {
    let daemon = plainws(&["serve", "--listen", "hello=localhost:0"]);
    let port = url_port(&daemon.wait_line("hello at "));
    let ws = plainws::connect(&format!("ws://localhost:{port}/")).unwrap();
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
    for line in &stopped(daemon)[..] {
        let other = line.contains(" at ") && url_port(line) != port;
        assert!(!other, "another port than {port}: {line}");
    }
}

#[test]
fn a_unix_socket_serves_pages_and_sockets_and_is_removed_at_the_end() {
    for signal in ["TERM", "INT"] {
        let directory = directory();
        let (address, path) = (unix(&directory), socket(&directory));
        let mut daemon = plainws(&["serve", "--listen", &format!("hello={address}")]);
        daemon.wait_line(&address);
        assert!(is_healthy(&path));
        let page = ask(&path, get("/", "").as_bytes()).unwrap();
        assert!(String::from_utf8_lossy(&page).contains("<h1>Hello</h1>"));
        // The whole life of a WebSocket: name and close frame are on their way already.
        let request = upgrade_request("/", "").into_bytes();
        let name = [request, raw::text("Rust"), raw::close(1000, "")].concat();
        let answer = ask(&path, &name).unwrap();
        let frames = b"\r\n\r\n\x81\x0bHello Rust!\x88\x02\x03\xe8";
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
        assert!(answer.ends_with(frames), "{answer:?}");
        daemon.signal(signal);
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
        assert!(!Path::new(&path).exists(), "removed after SIG{signal}");
    }
}

#[test]
fn a_unix_socket_of_a_killed_daemon_is_replaced() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    let mut killed = plainws(&args);
    killed.wait_line(&address);
    killed.signal("KILL");
    killed.wait_exit(PATIENCE);
    assert!(Path::new(&path).exists(), "left behind");
    let daemon = plainws(&args);
    daemon.wait_line(&address);
    assert!(is_healthy(&path));
}

#[test]
fn a_unix_socket_of_a_live_daemon_is_refused_and_left_to_it() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    let first = plainws(&args);
    first.wait_line(&address);
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!(code, 1);
    assert_eq!(lines.len(), 1, "one line: {lines:#?}");
    assert!(lines[0].contains(&address), "{lines:#?}");
    assert!(is_healthy(&path), "the first one serves on");
    assert!(first.is_running());
}

#[test]
fn a_file_in_the_place_of_a_unix_socket_is_left_alone() {
    let directory = directory();
    let (address, path) = (unix(&directory), socket(&directory));
    let args = ["serve", "--listen", &address];
    fs::write(&path, "precious").unwrap();
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains(&address), "{lines:#?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    // At the end, too, if somebody has put another one there meanwhile.
    fs::remove_file(&path).unwrap();
    let daemon = plainws(&args);
    daemon.wait_line(&address);
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    stopped(daemon);
    assert!(Path::new(&path).exists(), "the socket of another program");
}

#[test]
fn a_port_in_use_is_one_clear_line_and_exit_code_1_within_a_second() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = directory();
    let args = [
        "serve".to_owned(),
        format!("--listen={}", unix(&directory)),
        format!("--listen=counter={address}"),
    ];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    // The best of some, as a machine may be busy just now.
    let best = (0..5).map(|_| {
        let start = Instant::now();
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!(code, 1);
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains("[ERROR]"), "{lines:#?}");
        assert!(lines[0].contains(&address), "{lines:#?}");
        assert!(lines[0].contains("in use"), "{lines:#?}");
        let file = Path::new(&socket(&directory)).exists();
        assert!(!file, "the listener before it is given up, too");
        start.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
fn an_address_that_is_not_ours_or_cannot_be_is_one_line_and_exit_code_1() {
    let long = format!("unix:/{}", "x".repeat(200));
    // TEST-NET-1 of RFC 5737, which no host has.
    for address in ["192.0.2.1:0", "unix:/no/such/folder/socket", &long] {
        let (code, lines) = end_of(plainws_command(&["serve", "--listen", address]));
        assert_eq!(code, 1, "{address}");
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains(address), "{lines:#?}");
        assert!(lines[0].contains("cannot listen on"), "{lines:#?}");
    }
}

#[test]
fn it_is_ready_soon_and_its_health_is_ok() {
    // The best of some, as a machine may be busy just now; the debug build is slower.
    let best = (0..5).map(|_| {
        let directory = directory();
        let start = Instant::now();
        let _daemon = plainws(&["serve", "--listen", &unix(&directory)]);
        wait_healthy(&socket(&directory));
        start.elapsed()
    });
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });
    let best = best.min().unwrap();
    assert!(best < limit, "ready after {best:?}");
}

#[test]
fn it_takes_at_most_6_mib_when_idle() {
    if cfg!(debug_assertions) {
        return eprintln!("skipped: only the release build counts");
    }
    let (daemon, port) = serve("counter", &[]);
    assert_eq!(exchange(port, get("/", "")).status, 200);
    drop(connect(port, "/"));
    let resident = daemon.resident();
    assert!(resident <= 6 * 1024, "{resident} KiB");
}

// ---- Arguments and variables -----------------------------------------------------------------

/// What is told of one option, in the README's table or by `serve --help`.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    value: String,
    variable: String,
    default: String,
}

/// The texts between backticks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of the README's table, by flag, and the cells of the defaults as they are.
fn readme() -> BTreeMap<String, (Told, String)> {
    let rows = include_str!("../README.md").lines();
    let rows = rows.filter(|line| line.starts_with("| `-")).map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (flag, value) = code(cells[1])[0]
            .split_once(' ')
            .unwrap_or((code(cells[1])[0], ""));
        // Several of one option stand there as several; a default in words is for people.
        let default = code(cells[3]).join(",");
        let told = Told {
            value: value.to_owned(),
            variable: code(cells[2]).concat(),
            default,
        };
        (flag.to_owned(), (told, cells[3].replace('`', "")))
    });
    rows.collect()
}

/// The options of `serve --help`, by flag, and their texts.
fn help() -> BTreeMap<String, (Told, String)> {
    let mut plainws = plainws(&["serve", "--help"]);
    assert!(
        plainws.wait_exit(PATIENCE).success(),
        "{}",
        plainws.report()
    );
    let help = plainws.stdout_lines().join("\n");
    let (_, options) = help.split_once("Options:\n").expect("a list of options");
    // A long text may go on on the next line.
    let mut entries: Vec<String> = Vec::new();
    for line in options.lines().map(str::trim) {
        match entries.last_mut() {
            Some(last) if !line.starts_with('-') => *last += &format!(" {line}"),
            _ => entries.push(line.to_owned()),
        }
    }
    let bracket = |entry: &str, name: &str| {
        let (_, rest) = entry.split_once(&format!("[{name}: "))?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let parsed = entries.into_iter().map(|entry| {
        let flag = entry.split([' ', ',']).next().unwrap().to_owned();
        let value = entry.split(" <").nth(1).filter(|_| !flag.starts_with("-v"));
        let value = value.and_then(|v| v.split_once('>')).map_or("", |(v, _)| v);
        let variable = bracket(&entry, "env").unwrap_or_default();
        let told = Told {
            value: value.to_owned(),
            variable: variable.trim_end_matches('=').to_owned(),
            default: bracket(&entry, "default").unwrap_or_default(),
        };
        (flag, (told, entry))
    });
    parsed.filter(|(flag, _)| flag != "-h").collect()
}

#[test]
fn the_readme_and_the_help_tell_the_same_options() {
    let (readme, help) = (readme(), help());
    let flags = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<Vec<_>>();
    assert_eq!(flags(&readme), flags(&help));
    assert!(readme.len() > 10, "the table was found: {readme:#?}");
    for (flag, (told, entry)) in &help {
        let (row, cell) = &readme[flag];
        assert_eq!(row.value, told.value, "the value of {flag}");
        assert_eq!(row.variable, told.variable, "the variable of {flag}");
        if !told.default.is_empty() {
            assert_eq!(row.default, told.default, "the default of {flag}");
            continue;
        }
        // In words: each of them stands in the help's text.
        for word in cell.split([',', ' ']).filter(|word| !word.is_empty()) {
            let found = ["same"].contains(&word) || entry.to_lowercase().contains(word);
            assert!(
                found,
                "the README's default {cell:?} of {flag} is not in {entry:?}"
            );
        }
    }
}

#[test]
fn each_limit_has_a_variable_of_its_name_and_a_default_in_the_help() {
    let help = help();
    for flag in [
        "max-connections",
        "max-size",
        "open-timeout",
        "ping-interval",
        "ping-timeout",
        "close-timeout",
        "backlog",
    ] {
        let (told, entry) = &help[&format!("--{flag}")];
        let variable = format!("PLAINWS_{}", flag.to_uppercase().replace('-', "_"));
        assert_eq!(told.variable, variable);
        assert!(!told.default.is_empty(), "{entry}");
    }
}

#[test]
fn the_default_listeners_are_the_tutorials() {
    let help = help();
    let default = "hello=127.0.0.1:8765,clock=127.0.0.1:5678,counter=127.0.0.1:6789";
    assert_eq!(help["--listen"].0.default, default);
}

#[test]
fn each_variable_of_the_readme_is_read() {
    // A value that nothing can mean is refused, by its name; every name could be a host's.
    for (flag, (told, _)) in readme() {
        if told.variable.is_empty() || flag == "--host" {
            continue;
        }
        let mut command = plainws_command(&["serve"]);
        command.env("PLAINWS_LISTEN", "127.0.0.1:0");
        command.env(&told.variable, "/no?such thing");
        let (code, lines) = end_of(command);
        let lines = lines.join("\n");
        assert!(
            code == 2 || (flag == "--html-dir" && code == 1),
            "{flag}: {lines}"
        );
        assert!(lines.contains("/no?such thing"), "{flag}: {lines}");
    }
}

#[test]
fn variables_do_what_the_flags_do() {
    let mut command = plainws_command(&["serve"]);
    command.envs([
        ("PLAINWS_LISTEN", "counter=127.0.0.1:0,hello=127.0.0.1:0"),
        ("PLAINWS_MAX_CONNECTIONS", "1"),
        ("PLAINWS_MAX_SIZE", "20"),
        ("PLAINWS_HOST", "127.0.0.1,app.example"),
        ("PLAINWS_ORIGIN", "none,https://app.example"),
        ("PLAINWS_OPEN_TIMEOUT", "300ms"),
        ("PLAINWS_PING_INTERVAL", "50ms"),
        ("PLAINWS_LOG_LEVEL", "debug"),
    ]);
    let daemon = Daemon::spawn(command);
    let counter = url_port(&daemon.wait_line("counter at "));
    let hello = url_port(&daemon.wait_line("hello at "));

    let host = |name: &str| format!("GET /healthz HTTP/1.1\r\nHost: {name}\r\n\r\n");
    assert_eq!(exchange(counter, host("app.example")).status, 200);
    assert_eq!(exchange(counter, host("localhost")).status, 403);

    // Half a request, and then nothing.
    assert_eq!(exchange(hello, "GET / HTTP/1.1\r\n").status, 408);

    let mut only = Raw::connect(counter);
    let request = upgrade_request("/", "Origin: https://app.example\r\n");
    only.send(request.replace("localhost", "app.example").as_bytes());
    assert_eq!(only.answer().status, 101);
    let second = plainws::connect(&format!("ws://127.0.0.1:{hello}/"));
    let refused = second.expect_err("there is one place for all listeners");
    assert!(
        matches!(refused, Error::Refused(ref r) if r.status == 503),
        "{refused}"
    );
    while only.frame().expect("a ping comes soon").opcode != 9 {}
    only.send(&raw::text("more than twenty bytes"));
    assert_eq!(only.close_frame().0, 1009);
    drop(only);

    let origin = Client::builder().header("Origin", "https://evil.example");
    let url = format!("ws://127.0.0.1:{hello}/");
    let refused = origin
        .connect(&url)
        .expect_err("an origin that is not listed");
    assert!(
        matches!(refused, Error::Refused(ref r) if r.status == 403),
        "{refused}"
    );
    daemon.wait_line("[DEBUG]");
}

#[test]
fn a_flag_beats_its_variable() {
    let mut command = plainws_command(&[
        "serve",
        "--listen=hello=127.0.0.1:0",
        "--max-size=1KiB",
        "--html-dir=html",
    ]);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("PLAINWS_LISTEN", "counter=127.0.0.1:0");
    command.env("PLAINWS_MAX_SIZE", "10");
    command.env("PLAINWS_HTML_DIR", "/no/such/folder");
    let daemon = Daemon::spawn(command);
    let port = url_port(&daemon.wait_line("hello at "));
    let ws = connect(port, "/");
    ws.send("x".repeat(1024)).unwrap();
    assert_eq!(text(&ws).len(), 1024 + 7);
    let lines = stopped(daemon).join("\n");
    assert!(!lines.contains("counter at "), "{lines}");
}

#[test]
fn wrong_usage_is_a_sentence_and_exit_code_2() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage"),
        (&["server"], "unrecognized subcommand"),
        (&["serve", "--listen=chat=:0"], "hello, clock or counter"),
        (&["serve", "--listen="], "HOST:PORT"),
        (&["serve", "--listen=hello="], "HOST:PORT"),
        (&["serve", "--listen=127.0.0.1"], "HOST:PORT"),
        (&["serve", "--listen=127.0.0.1:"], "HOST:PORT"),
        (&["serve", "--listen=127.0.0.1:65536"], "HOST:PORT"),
        (&["serve", "--listen=127.0.0.1:-1"], "HOST:PORT"),
        (&["serve", "--listen=unix:"], "unix:/path"),
        (&["serve", "--listen=unix:relative"], "unix:/path"),
        (&["serve", "--max-size=64 parsecs"], "64KiB"),
        (&["serve", "--max-size=0"], "64KiB"),
        (&["serve", "--max-size=1.5MiB"], "64KiB"),
        (&["serve", "--max-size=off"], "64KiB"),
        (&["serve", "--backlog=99999999999999999999"], "64KiB"),
        (&["serve", "--open-timeout=10"], "10s"),
        (&["serve", "--open-timeout=off"], "10s"),
        (&["serve", "--close-timeout=off"], "10s"),
        (&["serve", "--close-timeout=0s"], "more than nothing"),
        (&["serve", "--ping-interval=soon"], "or off"),
        (&["serve", "--ping-timeout=-1s"], "or off"),
        (&["serve", "--write-timeout="], "or off"),
        (&["serve", "--max-connections=0"], "above 0"),
        (&["serve", "--max-connections=many"], "above 0"),
        (&["serve", "--origin=app.example"], "SCHEME://HOST"),
        (
            &["serve", "--origin=https://app.example/path"],
            "SCHEME://HOST",
        ),
        (&["serve", "--origin=*"], "SCHEME://HOST"),
        (&["serve", "--log-level=loud"], "loud"),
        (&["serve", "--no-such-option"], "--no-such-option"),
        (&["serve", "counter"], "counter"),
    ];
    for (args, hint) in cases {
        let mut command = plainws_command(args);
        // Were it taken for right, the default ports would be opened.
        command.env("PLAINWS_LISTEN", "127.0.0.1:0");
        let (code, lines) = end_of(command);
        let lines = lines.join("\n");
        assert_eq!(code, 2, "{args:?}: {lines}");
        assert!(
            lines.contains(hint),
            "{args:?} should say {hint:?}: {lines}"
        );
        assert!(!lines.contains("panicked"), "{args:?}: {lines}");
    }
}

#[test]
fn an_ipv6_address_without_brackets_is_wrong_usage() {
    // It was cut at its last colon, and found to be nothing only when bound.
    let (code, lines) = end_of(plainws_command(&["serve", "--listen", "::1"]));
    assert!(lines.join("\n").contains("HOST:PORT"), "{lines:#?}");
    assert_eq!(code, 2, "{lines:#?}");
}

#[test]
fn off_is_for_what_may_never_happen() {
    let never = [
        "--write-timeout=off",
        "--ping-interval=off",
        "--ping-timeout=off",
    ];
    let (_daemon, port) = serve("hello", &never);
    let ws = connect(port, "/");
    ws.send("Rust").unwrap();
    assert_eq!(text(&ws), "Hello Rust!");
}

#[test]
fn it_tells_its_version_and_its_commands() {
    let output = |arg: &str| {
        let mut plainws = plainws(&[arg]);
        assert!(
            plainws.wait_exit(PATIENCE).success(),
            "{}",
            plainws.report()
        );
        plainws.stdout_lines().join("\n")
    };
    let version = concat!("plainws ", env!("CARGO_PKG_VERSION"));
    assert_eq!(output("--version"), version);
    assert!(output("--help").contains("serve"));
}

// ---- Pages of a folder -----------------------------------------------------------------------

#[test]
fn a_folder_serves_edited_pages_and_bundled_ones_for_the_missing() {
    let folder = directory();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("counter.html", "<title>mine</title><script>let a;</script>");
    write("index.html", "<p>my index");
    write("secret.html", "not a page");
    let dir = folder.path().to_str().unwrap();
    let args = ["serve", "--html-dir", dir, "--listen", "127.0.0.1:0"];
    let daemon = plainws(&args);
    let port = url_port(&daemon.wait_line("index at "));
    let page = |path: &str| exchange(port, get(path, ""));

    let counter = page("/counter");
    assert_eq!(counter.body, "<title>mine</title><script>let a;</script>");
    // The edited script may run: the policy is that of the page as it is.
    let policy = counter
        .header("Content-Security-Policy")
        .unwrap_or_default();
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
    assert_eq!(page("/").body, "<p>my index");
    assert!(page("/clock").body.contains("<h1>Clock</h1>"));
    for other in [
        "/secret.html",
        "/counter.html",
        "/../secret.html",
        "/%2e%2e/",
    ] {
        assert_eq!(page(other).status, 404, "{other}");
    }
    // An edit shows at once, and so does taking it back.
    write("counter.html", "<p>mine, second edition");
    assert_eq!(page("/counter").body, "<p>mine, second edition");
    fs::remove_file(folder.path().join("counter.html")).unwrap();
    assert!(page("/counter").body.contains("<h1>Counter</h1>"));
    // And the socket is at the same address, whatever the page.
    assert!(text(&connect(port, "/counter")).contains("users"));
}

#[test]
fn a_page_that_cannot_be_read_is_served_as_bundled_and_logged() {
    let folder = directory();
    fs::create_dir(folder.path().join("clock.html")).unwrap();
    fs::write(folder.path().join("hello.html"), b"\xff\xfe").unwrap();
    let dir = folder.path().to_str().unwrap();
    let args = ["serve", "--html-dir", dir, "--listen", "127.0.0.1:0"];
    let daemon = plainws(&args);
    let port = url_port(&daemon.wait_line("index at "));
    for (path, name) in [("/clock", "clock.html"), ("/hello", "hello.html")] {
        let page = exchange(port, get(path, ""));
        assert_eq!(page.status, 200);
        assert!(page.body.contains("<h1>"), "{}", page.body);
        let line = daemon.wait_line(name);
        assert!(line.contains("[WARN]"), "{line}");
    }
}

#[test]
fn a_folder_that_is_not_there_is_one_line_and_exit_code_1() {
    let file = directory();
    let file = file.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in ["/no/such/folder", file.to_str().unwrap()] {
        let args = ["serve", "--listen=127.0.0.1:0", "--html-dir", folder];
        let (code, lines) = end_of(plainws_command(&args));
        assert_eq!(code, 1, "{lines:#?}");
        assert_eq!(lines.len(), 1, "one line: {lines:#?}");
        assert!(lines[0].contains(folder), "{lines:#?}");
    }
}

// ---- Signals ---------------------------------------------------------------------------------

#[test]
fn a_signal_closes_everyone_with_1001_and_exits_with_0() {
    for signal in ["TERM", "INT"] {
        let (mut daemon, port) = serve("counter", &["--listen", "127.0.0.1:0"]);
        let shared = url_port(&daemon.wait_line("index at "));
        let clients = [
            connect(port, "/"),
            connect(shared, "/clock"),
            connect(shared, "/hello"),
        ];
        // A client that only looks: it is in its handshake, and stays there.
        let _idle = Raw::connect(port);
        thread::scope(|scope| {
            let ends = clients.each_ref().map(|ws| scope.spawn(move || end(ws)));
            daemon.signal(signal);
            for end in ends {
                let closed = end.join().unwrap();
                assert_eq!(closed.code(), CloseCode::GOING_AWAY, "{closed}");
                assert!(closed.received_first && closed.is_normal(), "{closed}");
            }
        });
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
        let line = daemon.wait_line(&format!("SIG{signal}"));
        assert!(line.contains("closing 3 connections"), "{line}");
    }
}

#[test]
fn a_signal_without_clients_exits_with_0_at_once() {
    let (mut daemon, _port) = serve("clock", &["--close-timeout", "1m"]);
    daemon.signal("TERM");
    // Half the time limit would be too long already.
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
}

/// A client of the counter, of which the daemon has taken notice.
#[track_caller]
fn counting(port: u16) -> Raw {
    let mut raw = Raw::upgrade(port, "/");
    assert!(raw.message().text().contains("users"));
    raw
}

#[test]
fn a_client_that_does_not_answer_is_cut_within_the_close_timeout() {
    let (mut daemon, port) = serve("counter", &["--close-timeout", "1s"]);
    let mut silent = counting(port);
    let start = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(500),
        "cut after {took:?} already"
    );
    assert_eq!(silent.close_frame().0, 1001);
}

#[test]
fn a_second_signal_ends_at_once() {
    for (second, code) in [("TERM", 143), ("INT", 130)] {
        let directory = directory();
        let address = unix(&directory);
        let args = ["--close-timeout", "5m", "--listen", &address];
        let (mut daemon, port) = serve("counter", &args);
        let mut silent = counting(port);
        daemon.signal("TERM");
        assert_eq!(silent.close_frame().0, 1001);
        wait_until("the listener to be closed", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).err()
        });
        assert!(daemon.is_running(), "{}", daemon.report());
        // Again and again: what comes together with the first one is the first one.
        wait_until("the end after a second signal", PATIENCE, || {
            // Until it is known to have ended, its id is nobody else's.
            if daemon.is_running() {
                kill(second, &daemon.pid().to_string());
                return None;
            }
            Some(())
        });
        // As a shell tells of a program that a signal has ended.
        assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(code));
        assert!(
            !Path::new(&socket(&directory)).exists(),
            "the file is removed"
        );
    }
}

#[test]
fn signals_that_come_together_are_one() {
    // timeout(1) signals the process, and then its group. Not the same signal twice here, as the
    // system itself makes one of these. Again, as this shell may be stopped between the two.
    let one = || {
        let (mut daemon, port) = serve("counter", &["--close-timeout", "500ms"]);
        let _silent = counting(port);
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s TERM $0; kill -s INT $0"]);
        let sent = shell.arg(daemon.pid().to_string()).status();
        assert!(sent.unwrap().success(), "{}", daemon.report());
        daemon.wait_exit(PATIENCE).code() == Some(0)
    };
    assert!(
        (0..10).any(|_| one()),
        "the second signal ended it each time"
    );
}

#[test]
fn the_port_is_free_again_for_the_next_daemon() {
    let (first, port) = serve("hello", &[]);
    let ws = connect(port, "/");
    ws.send("Rust").unwrap();
    assert_eq!(end(&ws).code(), CloseCode::NORMAL);
    stopped(first);
    let address = format!("hello=127.0.0.1:{port}");
    let next = plainws(&["serve", "--listen", &address]);
    next.wait_line("hello at ");
}

// ---- Logs ------------------------------------------------------------------------------------

/// Talks to all three applications, with a refusal in between.
#[track_caller]
fn traffic(port: u16) {
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
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(lines[0].contains("index at http://"), "{lines:#?}");
    assert!(lines[1].contains("SIGTERM"), "{lines:#?}");
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
/// of that file's device and inode.
#[track_caller]
fn lines_in_file(journal: impl Fn(u64, u64) -> String) -> Vec<String> {
    let directory = directory();
    let file = directory.path().join("log");
    let meta = fs::File::create(&file).unwrap().metadata().unwrap();
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#"exec "$0" serve --listen 127.0.0.1:0 2>>"$1""#]);
    shell.arg(env!("CARGO_BIN_EXE_plainws")).arg(&file);
    shell.env_clear();
    shell.env("JOURNAL_STREAM", journal(meta.dev(), meta.ino()));
    let daemon = Daemon::spawn(shell);
    let lines = || -> Vec<String> {
        let text = fs::read_to_string(&file).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    wait_until("the start-up line in the file", PATIENCE, || {
        lines()
            .iter()
            .any(|line| line.contains("index at "))
            .then_some(())
    });
    stopped(daemon);
    lines()
}

#[test]
fn a_line_has_no_timestamp_in_the_journal() {
    let lines = lines_in_file(|device, inode| format!("{device}:{inode}"));
    assert_eq!(lines.len(), 2, "{lines:#?}");
    assert!(
        lines[0].starts_with("[INFO] index at http://127.0.0.1:"),
        "{lines:#?}"
    );
    assert!(lines[1].starts_with("[INFO] SIGTERM"), "{lines:#?}");
}

#[test]
fn a_line_has_a_timestamp_elsewhere_also_below_the_journal() {
    // A daemon that a service starts inherits the variable; its stderr need not be the journal.
    for journal in ["", "1:2", "nonsense"] {
        let lines = lines_in_file(|_, _| journal.to_owned());
        assert_eq!(lines.len(), 2, "{lines:#?}");
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
