//! Every example, run as its header says, and checked for what it shows.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use chrono::NaiveDateTime;
use plainws::{Client, CloseCode, Connection, Message};

use crate::support::counter::{PLUS, state, users};
use crate::support::examples::{command, folder, start};
use crate::support::process::{Daemon, url_port};
use crate::support::raw::{exchange, get};
use crate::support::servers;
use crate::support::talk::{connect, end, next, text};
use crate::support::tools::{PATIENCE, until};

/// The end of a connection that the example closes because its handler has returned.
#[track_caller]
fn ends_normally(ws: &Connection) {
    let closed = end(ws);
    assert!(closed.received_first, "the example closes: {closed}");
    assert_eq!(closed.code(), CloseCode::NORMAL, "{closed}");
}

// ---- All of them -----------------------------------------------------------------------------

/// The names of all examples, with their sources.
fn all() -> Vec<(String, String)> {
    let files = fs::read_dir(folder()).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    // The folders beside them are no programs of ours: nginx, Django.
    let is_program = |path: &PathBuf| path.extension().is_some_and(|name| name == "rs");
    paths.filter(is_program).map(read).collect()
}

#[test]
fn every_example_is_short_tested_named_and_has_its_two_commands_on_top() {
    let tests = include_str!("examples.rs");
    let page = include_str!("../docs/library.md");
    for (name, source) in all() {
        let lines = source.lines().count();
        assert!((15..=40).contains(&lines), "{name} has {lines} lines");
        let widest = source.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{name}: {widest:?} characters wide");
        let header = source.lines().map_while(|line| line.strip_prefix("//!"));
        let header: Vec<&str> = header.collect();
        assert!(header[0].ends_with(['.', ':']), "a sentence first: {name}");
        let commands = header.iter().filter_map(|line| line.strip_prefix("     "));
        let commands: Vec<&str> = commands.collect();
        let runs = |command: &&str| format!("{command} ").contains(&format!("--example {name} "));
        let mut own = commands.iter().filter(|c| c.starts_with("cargo run "));
        let two = commands.len() == 2 && own.any(runs);
        assert!(two, "{name}: {commands:#?}");
        let calls = ["start", "start_with", "command"];
        let called = |call: &&str| tests.contains(&format!("{call}(\"{name}\""));
        assert!(calls.iter().any(called), "no test runs {name}");
        // The one for the compliance suite is no example of how to use the crate.
        let named = page.contains(&format!("(../examples/{name}.rs)"));
        assert!(named || name == "autobahn_client", "no page names {name}");
    }
}

// ---- Each of them ----------------------------------------------------------------------------

#[test]
fn hello_server_greets_and_closes_and_hello_client_asks_for_a_name() {
    let (example, port) = start("hello_server");
    for name in ["Rust", "", "Zoë"] {
        let ws = connect(port, "/");
        ws.send(name).unwrap();
        assert_eq!(text(&ws), format!("Hello {name}!"));
        ends_normally(&ws);
        example.wait_line(&format!("> Hello {name}!"));
    }
    let lines = example.stdout_lines();
    assert_eq!(lines[..2], ["< Rust", "> Hello Rust!"], "{lines:?}");
    greets(&command("hello_client", &format!("ws://127.0.0.1:{port}")));
}

#[test]
#[cfg(feature = "tls")]
fn secure_server_and_secure_client_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let pem = folder.path().join("localhost.pem").display().to_string();
    let mut cert = crate::support::process::plainws(&["cert", "--out", &pem]);
    assert!(cert.wait_exit(PATIENCE).success(), "{}", cert.report());
    let (_server, port) = crate::support::examples::start_with("secure_server", &[&pem]);
    let mut client = command("secure_client", &format!("wss://127.0.0.1:{port}"));
    greets(client.arg(pem.replace(".pem", ".crt")));
}

/// A client that asks for a name: a line is typed, and then nothing more.
#[track_caller]
fn greets(client: &Command) {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"{ echo Rust; cat; } | "$0" "$@""#]);
    shell.arg(client.get_program()).args(client.get_args());
    let client = Daemon::spawn_group(shell);
    client.wait_line("< Hello Rust!");
    let lines = client.stdout_lines();
    assert_eq!(lines, ["What's your name? > Rust", "< Hello Rust!"]);
}

#[test]
fn hello_client_says_what_is_wrong_when_there_is_no_server() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut client = Daemon::spawn(command("hello_client", &format!("ws://{address}")));
    assert_eq!(client.wait_exit(PATIENCE).code(), Some(1));
    let lines = client.lines().join("\n");
    let told = lines.contains(&address.to_string()) && lines.contains("refused");
    assert!(told, "{lines}");
}

#[test]
fn clock_tells_the_time_again_and_again() {
    let (_example, port) = start("clock");
    let ws = connect(port, "/");
    for _ in 0..2 {
        let time = text(&ws);
        let form = "%a %b %e %H:%M:%S %Y";
        let told = NaiveDateTime::parse_from_str(&time, form).expect("a time in ctime form");
        let age = chrono::Local::now().naive_local() - told;
        assert!((-1..60).contains(&age.num_seconds()), "{time}");
    }
}

#[test]
fn counter_is_shared_by_all_clients() {
    let (_example, port) = start("counter");
    let ada = connect(port, "/");
    assert_eq!((text(&ada), text(&ada)), (users(1), state(0)));
    let bob = connect(port, "/");
    assert_eq!((text(&bob), text(&bob)), (users(2), state(0)));
    assert_eq!(text(&ada), users(2));
    for (action, value) in [("plus", 1), ("plus", 2), ("minus", 1)] {
        bob.send(format!(r#"{{"action":"{action}"}}"#)).unwrap();
        assert_eq!((text(&ada), text(&bob)), (state(value), state(value)));
    }
    // Nonsense changes nothing, and its sender stays.
    for sent in ["nonsense", "[]", "{}", r#"{"action":"multiply"}"#, PLUS] {
        bob.send(sent).unwrap();
    }
    until("the next value", || {
        let said = text(&ada);
        assert!(said == state(1) || said == state(2), "{said}");
        said == state(2)
    });
    drop(bob);
    assert_eq!(text(&ada), users(1));
}

#[test]
fn consumer_takes_message_after_message() {
    let (example, port) = start("consumer");
    let ws = connect(port, "/");
    for message in ["one".into(), Message::from(&[0, 255]), "three".into()] {
        ws.send(message).unwrap();
    }
    example.wait_line("three");
    let lines = example.stdout_lines();
    assert_eq!(lines, ["one", "(binary) 00 ff [2 bytes]", "three"]);
    // A client that leaves ends its handler, not the program.
    drop(ws);
    connect(port, "/").send("four").unwrap();
    example.wait_line("four");
    assert_eq!(example.lines(), [""; 0]);
}

#[test]
fn producer_sends_message_after_message_to_each_client() {
    let (example, port) = start("producer");
    let clients = [connect(port, "/"), connect(port, "/")];
    for ws in &clients {
        for number in 1..=3 {
            assert_eq!(text(ws), format!("message {number}"));
        }
    }
    drop(clients);
    assert_eq!(text(&connect(port, "/")), "message 1");
    assert!(example.is_running());
}

#[test]
fn both_receives_and_sends_at_once() {
    let (example, port) = start("both");
    let ws = connect(port, "/");
    ws.send("first").unwrap();
    for number in 1..=5 {
        assert_eq!(text(&ws), format!("message {number}"));
        // One direction does not wait for the other.
        ws.send(format!("heard {number}")).unwrap();
        example.wait_line(&format!("heard {number}"));
    }
    assert_eq!(example.stdout_lines()[0], "first");
    drop(ws);
    assert_eq!(text(&connect(port, "/")), "message 1");
}

#[test]
fn registration_says_hello_to_everyone_who_is_connected() {
    let (_example, port) = start("registration");
    let ada = connect(port, "/");
    assert_eq!(text(&ada), "Hello!");
    let bob = connect(port, "/");
    assert_eq!((text(&ada), text(&bob)), ("Hello!".into(), "Hello!".into()));
    // A word ends the handler, and the registration.
    bob.send("bye").unwrap();
    ends_normally(&bob);
    let eve = connect(port, "/");
    assert_eq!((text(&ada), text(&eve)), ("Hello!".into(), "Hello!".into()));
    ada.send("bye").unwrap();
    ends_normally(&ada);
}

#[test]
fn extra_argument_is_handed_over_and_pages_serves_its_page_and_shouts() {
    let (_example, port) = start("extra_argument");
    let ws = connect(port, "/");
    assert_eq!(text(&ws), "spam");
    ends_normally(&ws);
    let (_example, port) = start("pages");
    let page = exchange(port, get("/", ""));
    assert_eq!(page.status, 200);
    assert!(page.body.contains("<title>Shout</title>"), "{}", page.body);
    assert_eq!(exchange(port, get("/elsewhere", "")).status, 404);
    let ws = connect(port, "/");
    ws.send("say it").unwrap();
    assert_eq!(text(&ws), "SAY IT");
}

#[test]
fn echo_sends_everything_back() {
    // It tells its port, so the system may choose it.
    let example = Daemon::spawn(command("echo", "127.0.0.1:0"));
    let line = example.wait_line("echo at ws://127.0.0.1:");
    let url = format!("ws://127.0.0.1:{}/", url_port(&line));
    let client = Client::builder().max_size(16 << 20);
    let ws = client.connect(&url).unwrap();
    let texts = ["Rust", "", &"é".repeat(40_000)].map(Message::from);
    let binary = [vec![], vec![0, 255], vec![7; 16 << 20]].map(Message::from);
    for message in texts.into_iter().chain(binary) {
        ws.send(message.clone()).unwrap();
        assert!(next(&ws) == message, "another message than {message:.40}");
    }
    // Many that arrive together, answered in order.
    for number in 0..1000 {
        ws.write(number.to_string()).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(text(&ws), number.to_string());
    }
    ws.send(vec![7; (16 << 20) + 1]).ok();
    assert_eq!(end(&ws).code(), CloseCode::TOO_BIG);
}

#[test]
fn autobahn_client_takes_each_case_and_asks_for_the_report() {
    // In the place of Autobahn's server: two cases, one of them a broken connection.
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let server = servers::start(move |ws| {
        let target = ws.request().target().to_owned();
        log.lock().unwrap().push(target.clone());
        if target.starts_with("/getCaseCount") {
            ws.send("2")?;
        } else if target.starts_with("/runCase?case=1&") {
            ws.close(CloseCode::PROTOCOL_ERROR, "as an error")?;
        } else if target.starts_with("/runCase") {
            for message in [Message::from("text"), Message::from(&[0, 255])] {
                ws.send(message.clone())?;
                assert_eq!(ws.recv()?, message);
            }
        }
        Ok(())
    });
    let mut example = Daemon::spawn(command("autobahn_client", &servers::url(&server)));
    let status = example.wait_exit(PATIENCE);
    assert!(status.success(), "{}", example.report());
    let expected = [
        "/getCaseCount",
        "/runCase?case=1&agent=plainws",
        "/runCase?case=2&agent=plainws",
        "/updateReports?agent=plainws",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    // The broken case is told, the other not.
    let lines = example.lines();
    let told = lines.len() == 1 && lines[0].starts_with("case 1 of 2: ");
    assert!(told, "{lines:#?}");
}
