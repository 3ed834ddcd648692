//! The three applications, spoken to through the daemon: what they say byte for byte, to whom, and in
//! which order.

use std::thread;
use std::time::{Duration, Instant};

use chrono::{Local, NaiveDateTime};
use plainws::{CloseCode, Connection};
use serde_json::Value;

use crate::http::is_raw;
use crate::support::counter::{PLUS, state, users, value};
use crate::support::process::{Daemon, stopped, url_port};
use crate::support::raw::{self, Raw, join, masked, next_state, serve};
use crate::support::talk::{connect, end, text};
use crate::support::tools::{PATIENCE, wait_until};

const MINUS: &str = r#"{"action":"minus"}"#;

// ---- hello -----------------------------------------------------------------------------------

#[test]
fn hello_greets_whoever_sends_a_name_and_closes_with_1000() {
    let (daemon, port) = serve("hello", &[]);
    let long = "x".repeat(64 * 1024);
    let odd = ["世界 👋", "{name}!", "<b>\"&\\</b>", "a\r\nb\0"];
    for name in ["Rust", "", " ", &long].into_iter().chain(odd) {
        let ws = connect(port, "/");
        // The answer to a ping shows that the server was there, and had nothing to say.
        ws.ping().unwrap();
        wait_until("the answer to a ping", PATIENCE, || {
            assert_eq!(ws.try_recv().unwrap(), None);
            ws.latency()
        });
        ws.write(name).unwrap();
        ws.send("a second name").unwrap_or_default();
        assert_eq!(text(&ws), format!("Hello {name}!"));
        let closed = end(&ws);
        let received = closed.received.as_ref().expect("a close frame");
        assert_eq!((received.code, &*received.reason), (CloseCode::NORMAL, ""));
        assert!(closed.is_normal() && closed.received_first, "{closed}");
    }
    let ws = connect(port, "/");
    ws.send(b"Rust").unwrap();
    let received = end(&ws).received.expect("a close frame");
    assert_eq!(received.code, CloseCode::UNSUPPORTED);
    assert!(received.reason.contains("text"), "why: {received}");
    // That a client does not know the rules is no error of the server.
    assert_eq!(complaints(daemon), [""; 0]);
}

/// The lines of level WARN and ERROR of a daemon that is stopped for this.
#[track_caller]
fn complaints(daemon: Daemon) -> Vec<String> {
    let mut lines = stopped(daemon);
    lines.retain(|line| line.contains("[WARN]") || line.contains("[ERROR]"));
    lines
}

// ---- clock -----------------------------------------------------------------------------------

/// Checks one text of the clock, and gives the time it tells.
#[track_caller]
fn told(text: &str) -> NaiveDateTime {
    let time = text.strip_suffix(", sent by the server over WebSocket.");
    let time = time.unwrap_or_else(|| panic!("the clock says {text:?}"));
    let told = NaiveDateTime::parse_from_str(time, "%a %b %e %H:%M:%S %Y");
    let told = told.unwrap_or_else(|error| panic!("{time:?} is no time in ctime form: {error}"));
    // Byte for byte: parsing is lenient about spaces and the case of names.
    assert_eq!(time, told.format("%a %b %e %H:%M:%S %Y").to_string());
    told
}

#[test]
fn clock_tells_the_local_time_again_and_again_whatever_the_client_says() {
    let (_daemon, port) = serve("clock", &[]);
    let ws = connect(port, "/");
    let before = Local::now().naive_local();
    let mut last = None;
    for _ in 0..3 {
        let time = told(&text(&ws));
        let now = Local::now().naive_local();
        let off = (now - time).abs().max((time - before).abs());
        assert!(off.num_seconds() < 60, "{time} is told at {now}");
        assert!(last <= Some(time), "time goes on: {last:?}, then {time}");
        last = Some(time);
        ws.send("what time is it?").unwrap();
        ws.send(&[0, 255]).unwrap();
    }
    // If each message woke it, there would be as many texts in no time.
    let start = Instant::now();
    for _ in 0..50 {
        ws.send("now!").unwrap();
    }
    ws.ping().unwrap();
    let mut texts = 0;
    wait_until("the answer to a ping", PATIENCE, || {
        texts += usize::from(ws.try_recv().unwrap().is_some());
        ws.latency()
    });
    let paced = start.elapsed().as_millis() / 100 + 10;
    assert!((texts as u128) < paced, "{texts} texts after 50 messages");
}

/// Twelve clients leave: were their pauses slept through, not one round of a thousand would be this
/// fast. Several rounds, as a machine may be busy just now.
#[test]
fn clock_ends_at_once_when_its_client_leaves_or_vanishes() {
    const AT_ONCE: Duration = Duration::from_millis(1500);
    let (daemon, port) = serve("clock", &["-v"]);
    for (goodbye, how) in [
        (true, "received 1000"),
        (false, "closed 1006: connection lost"),
    ] {
        let round = || {
            let mut clients: Vec<Raw> = (0..12).map(|_| Raw::upgrade(port, "/")).collect();
            for raw in &mut clients {
                told(&raw.message().text());
            }
            let peers: Vec<String> = clients.iter().map(Raw::address).collect();
            let start = Instant::now();
            for mut raw in clients {
                if goodbye {
                    raw.send(&raw::close(1000, ""));
                }
            }
            for peer in peers {
                let line = daemon.wait_line(&format!("{peer} / closed"));
                assert!(line.contains(how), "{line}");
            }
            start.elapsed()
        };
        let at_once = (0..5).any(|_| round() <= AT_ONCE);
        assert!(at_once, "12 clients never end within {AT_ONCE:?}");
    }
}

// ---- counter ---------------------------------------------------------------------------------

/// A newcomer learns how many there are, then the value.
#[track_caller]
fn newcomer(port: u16, path: &str, count: u32, value: i64) -> Connection {
    let ws = connect(port, path);
    assert_eq!((text(&ws), text(&ws)), (users(count), state(value)));
    ws
}

#[test]
fn counter_tells_everyone_who_comes_and_goes_and_each_change() {
    let (daemon, port) = serve("counter", &["--listen", "127.0.0.1:0"]);
    let ada = newcomer(port, "/", 1, 0);
    ada.send(PLUS).unwrap();
    assert_eq!(text(&ada), state(1));
    let bob = newcomer(port, "/websocket2/", 2, 1);
    // The one who was there learns the number only.
    assert_eq!(text(&ada), users(2));
    for (action, value) in [(MINUS, 0), (MINUS, -1), (PLUS, 0), (PLUS, 1)] {
        bob.send(action).unwrap();
        assert_eq!((text(&ada), text(&bob)), (state(value), state(value)));
    }
    // It is one at all listeners.
    let shared = url_port(&daemon.wait_line("index at http://"));
    let eve = newcomer(shared, "/counter", 3, 1);
    assert_eq!((text(&ada), text(&bob)), (users(3), users(3)));
    eve.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!((text(&ada), text(&bob)), (users(2), users(2)));
    // A click and the goodbye in one packet: the click counts. And without a word, too.
    for goodbye in [true, false] {
        let mut dan = Raw::upgrade(port, "/");
        assert_eq!(dan.message().text(), users(3));
        assert_eq!(text(&ada), users(3));
        let close = raw::close(1000, "").repeat(usize::from(goodbye));
        dan.send(&[raw::text(PLUS), close].concat());
        assert!(value(&text(&ada)).is_some());
        if goodbye {
            assert_eq!(dan.close_frame(), (1000, String::new()));
        }
        drop(dan);
        assert_eq!(text(&ada), users(2));
    }
    let taken = [
        r#"{"action": "plus"}"#,
        "\n\t{ \"action\" :\r\n\"plus\" } ",
        r#"{"action":"plus","value":100,"type":"state"}"#,
        r#"{"by":[{"action":"minus"}],"action":"plus","x":1e400}"#,
        r#"{"\u0061ction":"pl\u0075s"}"#,
    ];
    for (action, value) in taken.into_iter().zip(4..) {
        ada.send(action).unwrap();
        assert_eq!(text(&ada), state(value), "{action}");
    }
}

/// What is no action; the counter's own tests have more of it.
fn nonsense() -> Vec<Vec<u8>> {
    let deep = |open: &str, times| format!(r#"{{"action":{}"#, open.repeat(times));
    let texts = [
        "",
        "zqx\r\n2026-11-22T10:21:09Z [ERROR] zqx",
        r#"["plus"]"#,
        r#"{"zqx":"plus"}"#,
        r#"{"action":"zqx"}"#,
        "{\"action\":\"\x1b[31mzqx\u{85}\u{2028}\u{9b}31m\u{202e}\"}",
        r#"{"action":"zqx\n[ERROR] \u001b[31m"}"#,
        &format!(r#"{{"action":"{}"}}"#, "zqx".repeat(20_000)),
        &deep("[", 60_000),
        &deep("{\"zqx\":", 6000),
    ];
    let binary = [&b""[..], PLUS.as_bytes(), b"\x1b[31m\n\xff"];
    let binary = binary.map(|bytes| masked(0x82, bytes));
    let texts = texts.map(raw::text);
    texts.into_iter().chain(binary).collect()
}

#[test]
fn nonsense_is_told_to_its_sender_alone_and_is_one_line_in_the_log() {
    let (daemon, port) = serve("counter", &[]);
    let (mut witness, _) = join(port);
    let mut peers = Vec::new();
    for (message, value) in nonsense().into_iter().zip(1..) {
        let (mut raw, _) = join(port);
        raw.send(&message);
        let mut texts = std::iter::from_fn(|| Some(raw.message().text()));
        let said = texts
            .find(|said| !said.contains("users"))
            .expect("an answer");
        let start = r#"{"type":"error","message":""#;
        assert!(said.starts_with(start), "byte for byte: {said}");
        let news: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!(news.as_object().expect("an object").len(), 2, "{said}");
        let why = news["message"].as_str().expect("a sentence");
        assert!(why.len() > 5 && why.len() < 100, "{said}");
        assert!(!why.contains("zqx") && !is_raw(why), "an echo: {said}");
        // It stays, and what it does now counts from the value before.
        raw.send(&raw::text(PLUS));
        let seen = [&mut raw, &mut witness].map(next_state);
        assert_eq!(seen, [value, value]);
        peers.push(raw.address());
    }
    // Who sends nothing else does not fill the log.
    let (mut raw, _) = join(port);
    raw.send(&raw::text(&"x".repeat(60_000)).repeat(200));
    for _ in 0..200 {
        while !raw.message().text().contains("error") {}
    }
    daemon.wait_line("not logged");
    let lines = complaints(daemon);
    for peer in &peers {
        let of_peer = |line: &&String| line.contains(&format!("{peer} "));
        let told = lines.iter().filter(of_peer).count();
        assert_eq!(told, 1, "one line each: {lines:#?}");
    }
    assert!(lines.len() < peers.len() + 30, "{} lines", lines.len());
    for line in lines {
        let whole = line.starts_with("20") && line.contains("[WARN]");
        assert!(whole && !is_raw(&line) && line.len() < 400, "{line:?}");
    }
}

/// Whoever comes sees every value from its first on, while all the others click.
#[test]
fn clients_that_come_and_count_at_once_see_each_value_once() {
    const CLIENTS: i64 = 20;
    const CLICKS: usize = 60;
    let (_daemon, port) = serve("counter", &[]);
    let count = || {
        let (mut raw, first) = join(port);
        for _ in 0..CLICKS / 10 {
            raw.send(&raw::text(PLUS).repeat(10));
            thread::yield_now();
        }
        for value in first + 1..=CLIENTS * CLICKS as i64 {
            assert_eq!(next_state(&mut raw), value, "one is missing or comes twice");
        }
    };
    thread::scope(|scope| (0..CLIENTS).for_each(|_| drop(scope.spawn(count))));
}
