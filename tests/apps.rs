//! The three applications, spoken to by our own client through the daemon: what they say byte for
//! byte, to whom, and in which order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{Local, NaiveDateTime};
use plainws::{CloseCode, Closed, Connection, Error, Message};
use serde_json::Value;

use crate::support::process::{Daemon, plainws, url_port};
use crate::support::raw::{self, Raw};
use crate::support::tools::{PATIENCE, wait_until};

const PLUS: &str = r#"{"action":"plus"}"#;
const MINUS: &str = r#"{"action":"minus"}"#;

/// A daemon with one listener, `app` at every path of it, and its port.
#[track_caller]
fn serve(app: &str, more: &[&str]) -> (Daemon, u16) {
    let listen = format!("{app}=127.0.0.1:0");
    let daemon = plainws(&[&["serve", "--listen", &listen], more].concat());
    let port = url_port(&daemon.wait_line(&format!("{app} at http://")));
    (daemon, port)
}

#[track_caller]
fn connect(port: u16) -> Connection {
    plainws::connect(&format!("ws://127.0.0.1:{port}/")).expect("the daemon takes a client")
}

/// The next message, which has to be a text.
#[track_caller]
fn text(ws: &Connection) -> String {
    match ws.recv_timeout(PATIENCE) {
        Ok(Some(Message::Text(text))) => text,
        Ok(None) => panic!("awaited a text of {} for {PATIENCE:?}", ws.peer_addr()),
        other => panic!("awaited a text of {}, got {other:?}", ws.peer_addr()),
    }
}

/// How the connection ends, which has to be the next thing that happens.
#[track_caller]
fn end(ws: &Connection) -> Closed {
    match ws.recv_timeout(PATIENCE) {
        Err(Error::Closed(closed)) => *closed,
        Ok(None) => panic!("{} has not closed within {PATIENCE:?}", ws.peer_addr()),
        other => panic!("awaited the end of {}, got {other:?}", ws.peer_addr()),
    }
}

/// The peer's code and reason.
#[track_caller]
fn received(closed: &Closed) -> (CloseCode, &str) {
    let Some(frame) = &closed.received else {
        panic!("the daemon sent no close frame: {closed}");
    };
    (frame.code, &frame.reason)
}

fn users(count: usize) -> String {
    format!(r#"{{"type":"users","count":{count}}}"#)
}

fn state(value: i64) -> String {
    format!(r#"{{"type":"state","value":{value}}}"#)
}

/// The value of a state, `None` for another message.
fn value(text: &str) -> Option<i64> {
    let text = text.strip_prefix(r#"{"type":"state","value":"#)?;
    text.strip_suffix('}')?.parse().ok()
}

/// Joins the counter: a newcomer learns how many there are, then the value.
#[track_caller]
fn join(port: u16, count: usize, value: i64) -> Connection {
    let ws = connect(port);
    assert_eq!(text(&ws), users(count), "the first message of a newcomer");
    assert_eq!(text(&ws), state(value), "the second message of a newcomer");
    ws
}

// ---- hello -----------------------------------------------------------------------------------

#[test]
fn hello_greets_whoever_sends_a_name_and_closes_with_1000() {
    let (_daemon, port) = serve("hello", &[]);
    let long = "x".repeat(64 * 1024);
    let names = [
        "Rust",
        "",
        " ",
        "世界 👋",
        "{name}!",
        "<b>\"&\\</b>",
        "a\r\nb\0",
        &long,
    ];
    for name in names {
        let ws = connect(port);
        ws.send(name).unwrap();
        assert_eq!(text(&ws), format!("Hello {name}!"));
        let closed = end(&ws);
        assert_eq!(received(&closed), (CloseCode::NORMAL, ""), "{name:.20}");
        assert!(closed.is_normal() && closed.received_first, "{closed}");
    }
}

#[test]
fn hello_waits_for_a_name_and_says_nothing_before() {
    let (_daemon, port) = serve("hello", &[]);
    let ws = connect(port);
    // The answer to a ping shows that the server was there, and had nothing to say.
    ws.ping().unwrap();
    wait_until("the answer to a ping", PATIENCE, || {
        assert_eq!(ws.try_recv().unwrap(), None);
        ws.latency()
    });
    ws.send("late").unwrap();
    assert_eq!(text(&ws), "Hello late!");
}

#[test]
fn hello_answers_the_first_name_only() {
    let (_daemon, port) = serve("hello", &[]);
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&[raw::text("Ada"), raw::text("Bob")].concat());
    assert_eq!(raw.message().text(), "Hello Ada!");
    assert_eq!(raw.message().close(), (1000, String::new()));
}

#[test]
fn hello_closes_a_binary_name_with_1003() {
    let (daemon, port) = serve("hello", &[]);
    let ws = connect(port);
    ws.send(b"Rust").unwrap();
    let closed = end(&ws);
    let (code, reason) = received(&closed);
    assert_eq!(code, CloseCode::UNSUPPORTED);
    assert!(reason.contains("text"), "the reason says why: {reason:?}");
    // That a client does not know the rules is no error of the server.
    assert!(complaints(daemon).is_empty());
}

/// The lines of level WARN and ERROR of a daemon that is stopped for this.
#[track_caller]
fn complaints(mut daemon: Daemon) -> Vec<String> {
    daemon.signal("TERM");
    assert!(daemon.wait_exit(PATIENCE).success(), "{}", daemon.report());
    let lines = daemon.lines().into_iter();
    lines
        .filter(|line| line.contains("[WARN]") || line.contains("[ERROR]"))
        .collect()
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
fn clock_tells_the_local_time_again_and_again() {
    let (_daemon, port) = serve("clock", &[]);
    let ws = connect(port);
    let before = Local::now().naive_local();
    let mut last = None;
    for _ in 0..3 {
        let time = told(&text(&ws));
        let now = Local::now().naive_local();
        let off = (now - time).abs().max((time - before).abs());
        assert!(off.num_seconds() < 60, "{time} is told at {now}");
        assert!(last <= Some(time), "time goes on: {last:?}, then {time}");
        last = Some(time);
    }
}

#[test]
fn clock_goes_on_whatever_the_client_says() {
    let (_daemon, port) = serve("clock", &[]);
    let ws = connect(port);
    told(&text(&ws));
    ws.send("what time is it?").unwrap();
    ws.send("").unwrap();
    ws.send(&[0, 255]).unwrap();
    told(&text(&ws));
    ws.send("thanks").unwrap();
    told(&text(&ws));
}

#[test]
fn clock_does_not_answer_what_the_client_says() {
    let (_daemon, port) = serve("clock", &[]);
    let ws = connect(port);
    told(&text(&ws));
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

#[test]
fn clock_ends_at_once_when_its_client_leaves() {
    ends_at_once("received 1000", |ws| {
        ws.close(CloseCode::NORMAL, "").unwrap();
    });
}

#[test]
fn clock_ends_at_once_when_its_client_vanishes() {
    let (daemon, port) = serve("clock", &["-v"]);
    at_once(|| {
        let mut clients: Vec<Raw> = (0..12).map(|_| Raw::upgrade(port, "/")).collect();
        clients.iter_mut().for_each(|raw| {
            told(&raw.message().text());
        });
        let peers: Vec<String> = clients
            .iter()
            .map(|raw| raw.stream.local_addr().unwrap().to_string())
            .collect();
        let start = Instant::now();
        drop(clients);
        wait_closed(&daemon, &peers, "closed 1006: connection lost");
        start.elapsed()
    });
}

fn ends_at_once(how: &str, leave: impl Fn(&Connection)) {
    let (daemon, port) = serve("clock", &["-v"]);
    at_once(|| {
        let clients: Vec<Connection> = (0..12).map(|_| connect(port)).collect();
        clients.iter().for_each(|ws| {
            told(&text(ws));
        });
        let local = |ws: &Connection| ws.local_addr().to_string();
        let peers: Vec<String> = clients.iter().map(local).collect();
        let start = Instant::now();
        clients.iter().for_each(&leave);
        wait_closed(&daemon, &peers, how);
        start.elapsed()
    });
}

/// Waits until the log says of all peers that they have ended, and how.
#[track_caller]
fn wait_closed(daemon: &Daemon, peers: &[String], how: &str) {
    wait_until("the end of all clients in the log", PATIENCE, || {
        let lines = daemon.lines();
        let closed = |peer: &String| {
            let told = |line: &&String| line.contains(&format!(" {peer} ")) && line.contains(how);
            lines
                .iter()
                .find(told)
                .is_some_and(|l| l.contains(" closed "))
        };
        peers.iter().all(closed).then_some(())
    });
}

/// Twelve clients leave: were their pauses slept through, not one round of a thousand would be this
/// fast. Several rounds, as a machine may be busy just now.
#[track_caller]
fn at_once(mut round: impl FnMut() -> Duration) {
    const AT_ONCE: Duration = Duration::from_millis(1500);
    let rounds: Vec<Duration> = (0..5)
        .map(|_| round())
        .take_while(|d| *d > AT_ONCE)
        .collect();
    assert!(rounds.len() < 5, "12 clients took {rounds:?} to end");
}

// ---- counter ---------------------------------------------------------------------------------

#[test]
fn counter_tells_a_newcomer_how_many_there_are_and_then_the_value() {
    let (_daemon, port) = serve("counter", &[]);
    let ada = join(port, 1, 0);
    ada.send(PLUS).unwrap();
    assert_eq!(text(&ada), state(1));
    let bob = join(port, 2, 1);
    // The one who was there learns the number only.
    assert_eq!(text(&ada), users(2));
    bob.send(MINUS).unwrap();
    assert_eq!(text(&ada), state(0));
    assert_eq!(text(&bob), state(0));
}

#[test]
fn counter_tells_everyone_a_change_and_counts_below_nothing() {
    let (_daemon, port) = serve("counter", &[]);
    let ada = join(port, 1, 0);
    let bob = join(port, 2, 0);
    assert_eq!(text(&ada), users(2));
    for (action, value) in [(PLUS, 1), (PLUS, 2), (MINUS, 1), (MINUS, 0), (MINUS, -1)] {
        bob.send(action).unwrap();
        assert_eq!(text(&ada), state(value));
        assert_eq!(text(&bob), state(value));
    }
}

#[test]
fn counter_tells_those_who_stay_that_somebody_left() {
    let (_daemon, port) = serve("counter", &[]);
    let ada = join(port, 1, 0);
    let bob = join(port, 2, 0);
    assert_eq!(text(&ada), users(2));
    bob.close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(text(&ada), users(1));
    // Without a word, too.
    let mut eve = Raw::upgrade(port, "/");
    assert_eq!(eve.message().text(), users(2));
    assert_eq!(text(&ada), users(2));
    drop(eve);
    assert_eq!(text(&ada), users(1));
}

#[test]
fn counter_keeps_its_value_while_clients_come_and_go() {
    let (_daemon, port) = serve("counter", &[]);
    for round in 0..5 {
        let ws = wait_until("a counter without the last client", PATIENCE, || {
            // Who leaves is counted until its thread has ended.
            let ws = connect(port);
            (text(&ws) == users(1)).then_some(ws)
        });
        assert_eq!(text(&ws), state(round));
        ws.send(PLUS).unwrap();
        assert_eq!(text(&ws), state(round + 1));
    }
}

#[test]
fn counter_is_one_at_all_listeners_and_paths() {
    let args = ["--listen", "127.0.0.1:0"];
    let (daemon, own) = serve("counter", &args);
    let shared = url_port(&daemon.wait_line("index at http://"));
    let ada = join(own, 1, 0);
    let bob = plainws::connect(&format!("ws://127.0.0.1:{shared}/counter")).unwrap();
    assert_eq!((text(&bob), text(&bob)), (users(2), state(0)));
    assert_eq!(text(&ada), users(2));
    let eve = plainws::connect(&format!("ws://127.0.0.1:{own}/websocket2/")).unwrap();
    assert_eq!((text(&eve), text(&eve)), (users(3), state(0)));
    eve.send(PLUS).unwrap();
    assert_eq!((text(&ada), text(&ada)), (users(3), state(1)));
    assert_eq!((text(&bob), text(&bob)), (users(3), state(1)));
    assert_eq!(text(&eve), state(1));
}

#[test]
fn counter_takes_an_action_with_spaces_and_fields_it_does_not_know() {
    let (_daemon, port) = serve("counter", &[]);
    let ws = join(port, 1, 0);
    let taken = [
        r#"{"action": "plus"}"#,
        "\n\t{ \"action\" :\r\n\"plus\" } ",
        r#"{"action":"plus","value":100,"type":"state"}"#,
        r#"{"by":[{"action":"minus"}],"action":"plus","x":{"action":"minus"}}"#,
        r#"{"\u0061ction":"pl\u0075s"}"#,
    ];
    for (action, value) in taken.into_iter().zip(1..) {
        ws.send(action).unwrap();
        assert_eq!(text(&ws), state(value), "{action}");
    }
}

/// Everything that is not an action; fewer than the log takes of one client.
fn nonsense() -> Vec<Message> {
    let texts = [
        "",
        "plus",
        "{",
        r#"{"action":"plus""#,
        r#"{"action":"plus"}{"action":"plus"}"#,
        "null",
        "1",
        r#""plus""#,
        "[]",
        r#"["plus"]"#,
        r#"[{"action":"plus"}]"#,
        "{}",
        r#"{"Action":"plus"}"#,
        r#"{"action":"multiply"}"#,
        r#"{"action":null}"#,
        r#"{"action":["plus"]}"#,
        r#"{"action":"plus","action":"plus"}"#,
        "{\"action\":\"plus\n[ERROR] forged\"}",
    ];
    let texts = texts.map(Message::from).into_iter();
    texts.chain([Message::from(PLUS.as_bytes())]).collect()
}

#[test]
fn counter_tells_an_error_to_its_sender_alone_who_stays() {
    let (_daemon, port) = serve("counter", &[]);
    let ada = join(port, 1, 0);
    let bob = join(port, 2, 0);
    assert_eq!(text(&ada), users(2));
    for message in nonsense() {
        ada.send(message.clone()).unwrap();
        let answer = text(&ada);
        let said: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(said["type"], "error", "{message} is answered {answer}");
        let why = said["message"].as_str().unwrap();
        assert!(why.len() > 5, "{message} is answered {answer}");
        assert!(
            !why.contains("forged") && !why.contains("multiply"),
            "what was sent is not repeated: {answer}"
        );
        assert_eq!(said.as_object().unwrap().len(), 2, "{answer}");
    }
    // Nothing had changed, and the other one had heard nothing.
    ada.send(PLUS).unwrap();
    assert_eq!(text(&ada), state(1));
    assert_eq!(text(&bob), state(1));
}

#[test]
fn counter_writes_an_error_as_documented() {
    let (_daemon, port) = serve("counter", &[]);
    let ws = join(port, 1, 0);
    ws.send("plus").unwrap();
    let answer = text(&ws);
    let start = r#"{"type":"error","message":""#;
    assert!(
        answer.starts_with(start) && answer.ends_with(r#""}"#),
        "byte for byte {start}...\"}}, not {answer}"
    );
}

#[test]
fn counter_logs_nonsense_once_with_the_peer_and_on_one_line() {
    let (daemon, port) = serve("counter", &[]);
    let ws = join(port, 1, 0);
    let nonsense = nonsense();
    for message in &nonsense {
        ws.send(message.clone()).unwrap();
        text(&ws);
    }
    let peer = format!(" {} ", ws.local_addr());
    drop(ws);
    let lines = complaints(daemon);
    assert_eq!(lines.len(), nonsense.len(), "{lines:#?}");
    for line in &lines {
        assert!(line.contains("[WARN]"), "the server did not fail: {line}");
        assert!(line.contains(&peer), "who was it? {line}");
        assert!(line.len() < 300, "{line}");
    }
}

#[test]
fn counter_does_not_let_one_client_fill_the_log() {
    let (daemon, port) = serve("counter", &[]);
    for _ in 0..2 {
        let ws = connect(port);
        let long = "x".repeat(60_000);
        for _ in 0..50 {
            ws.send(long.as_str()).unwrap();
        }
        let errors = (0..).map(|_| text(&ws)).filter(|t| t.contains("error"));
        assert_eq!(errors.take(50).count(), 50, "each one is answered");
    }
    let lines = complaints(daemon);
    let sum: usize = lines.iter().map(String::len).sum();
    assert!(sum < 16 * 1024, "{sum} bytes of log for two clients");
    let last = lines.iter().filter(|line| line.contains("not logged"));
    assert_eq!(last.count(), 2, "the last line of each says so: {lines:#?}");
}

#[test]
fn counter_shows_all_clients_all_values_in_one_order() {
    const CLIENTS: usize = 4;
    const CLICKS: usize = 60;
    let (_daemon, port) = serve("counter", &[]);
    let clients: Vec<Connection> = (1..=CLIENTS).map(|count| join(port, count, 0)).collect();
    for (joined, ws) in (1..).zip(&clients) {
        for count in joined + 1..=CLIENTS {
            assert_eq!(text(ws), users(count));
        }
    }
    let seen: Vec<Vec<String>> = thread::scope(|scope| {
        for (number, ws) in clients.iter().enumerate() {
            scope.spawn(move || {
                for click in 0..CLICKS {
                    let minus = (click + number) % 3 == 0;
                    ws.send(if minus { MINUS } else { PLUS }).unwrap();
                }
            });
        }
        let receive = |ws| move || (0..CLIENTS * CLICKS).map(|_| text(ws)).collect();
        let threads: Vec<_> = clients.iter().map(|ws| scope.spawn(receive(ws))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for other in &seen[1..] {
        assert!(other == &seen[0], "two clients saw two orders");
    }
    let values: Vec<i64> = seen[0].iter().map(|text| value(text).unwrap()).collect();
    let mut last = 0;
    for value in &values {
        assert_eq!((value - last).abs(), 1, "from {last} to {value}");
        last = *value;
    }
    // A third of the clicks was minus.
    assert_eq!(last, (CLIENTS * CLICKS / 3) as i64);
    let distinct: HashSet<_> = values.iter().collect();
    assert!(distinct.len() > CLICKS / 3, "the clicks did not mix");
}

#[test]
fn counter_shows_a_newcomer_every_value_from_its_first_on() {
    /// Stops the clicks also when the test fails: the scope waits for them.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let (_daemon, port) = serve("counter", &[]);
    let clicker = join(port, 1, 0);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                clicker.send(PLUS).unwrap();
                while value(&text(&clicker)).is_none() {}
            }
        });
        let _stop = Stop(&stop);
        for _ in 0..10 {
            let ws = connect(port);
            // The last newcomer may be counted still.
            let first = text(&ws);
            assert!(first.starts_with(r#"{"type":"users","#), "{first}");
            let second = text(&ws);
            let mut last = value(&second).expect("the second message is the state");
            let mut states = 0;
            while states < 20 {
                let text = text(&ws);
                if let Some(next) = value(&text) {
                    assert_eq!(next, last + 1, "one is missing or comes twice");
                    last = next;
                    states += 1;
                }
            }
        }
    });
}

#[test]
fn counter_tells_the_last_value_to_who_leaves_while_others_click() {
    let (_daemon, port) = serve("counter", &[]);
    let ada = join(port, 1, 0);
    let mut bob = Raw::upgrade(port, "/");
    assert_eq!(bob.message().text(), users(2));
    assert_eq!(bob.message().text(), state(0));
    assert_eq!(text(&ada), users(2));
    // A click and the goodbye in one packet: the click counts.
    bob.send(&[raw::text(PLUS), raw::close(1000, "")].concat());
    assert_eq!(text(&ada), state(1));
    assert_eq!(text(&ada), users(1));
    assert_eq!(bob.close_frame(), (1000, String::new()));
}
