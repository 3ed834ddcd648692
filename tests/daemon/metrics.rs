//! `--metrics`: the figures, where they are to be had, and their form.

use std::collections::BTreeSet;

use super::*;
use crate::support::raw::Answer;

/// Reads a page of the text format 0.0.4, strictly: values by name and labels.
#[track_caller]
pub(super) fn parse(text: &str) -> BTreeMap<String, u64> {
    let name = |text: &str| {
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        text.starts_with("plainws_") && text.chars().all(fine)
    };
    assert!(text.ends_with('\n'), "the last line ends, too");
    let mut values = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' '));
        let (family, help) = help.unwrap_or_else(|| panic!("no HELP: {line:?}"));
        assert!(name(family), "{line:?}");
        assert!(help.ends_with('.') && !help.contains('\\'), "{line:?}");
        assert!(families.insert(family.to_owned()), "twice: {family}");
        let kind = lines.next().unwrap_or_default();
        let kind = kind.strip_prefix(&format!("# TYPE {family} "));
        let kind = kind.unwrap_or_else(|| panic!("no TYPE of {family}"));
        assert!(["counter", "gauge"].contains(&kind), "{family} is a {kind}");
        // What `promtool check metrics` asks for.
        assert_eq!(kind == "counter", family.ends_with("_total"), "{family}");
        let before = values.len();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (own, labels) = match series.split_once('{') {
                Some((own, labels)) => (own, labels.strip_suffix('}').expect("closed")),
                None => (series, ""),
            };
            assert_eq!(own, family, "{line:?}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (key, value) = label.split_once('=').expect("a label");
                let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
                let value = value.expect("in quotes");
                let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
                assert!(value.chars().all(fine), "{line:?}");
                assert!(["reason", "version"].contains(&key), "{line:?}");
            }
            let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
            assert!(
                values.insert(series.to_owned(), value).is_none(),
                "{line:?}"
            );
        }
        assert!(values.len() > before, "{family} has no value");
    }
    values
}

#[track_caller]
fn page(port: u16, path: &str) -> Answer {
    let answer = exchange(port, get(path, ""));
    assert_eq!(answer.status, 200, "{answer:?}");
    let kind = answer.header("Content-Type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    answer
}

#[track_caller]
pub(super) fn figures(port: u16, path: &str) -> BTreeMap<String, u64> {
    parse(&page(port, path).body)
}

/// A daemon with figures at a listener of their own: its ports.
#[track_caller]
fn measured(app: &str, more: &[&str]) -> (Daemon, u16, u16) {
    let (daemon, port) = serve(app, &[&["--metrics", "127.0.0.1:0"], more].concat());
    let metrics = url_port(&daemon.wait_line("metrics at "));
    (daemon, port, metrics)
}

#[track_caller]
fn wait_figure(port: u16, name: &str, value: u64) {
    let what = format!("{name} to be {value}");
    wait_until(&what, PATIENCE, || {
        (figures(port, "/metrics")[name] == value).then_some(())
    });
}

fn refused(reason: &str) -> String {
    format!("plainws_connections_refused_total{{reason=\"{reason}\"}}")
}

#[test]
fn there_are_no_figures_unless_they_are_asked_for() {
    let daemon = plainws(&["serve", "--listen", "127.0.0.1:0"]);
    let port = url_port(&daemon.wait_line("index at "));
    assert_eq!(exchange(port, get("/metrics", "")).status, 404);
}

#[test]
fn figures_with_a_listener_of_their_own_are_there_only() {
    let daemon = plainws(&["serve", "--listen=127.0.0.1:0", "--metrics=127.0.0.1:0"]);
    let own = url_port(&daemon.wait_line("metrics at "));
    let port = url_port(&daemon.wait_line("index at "));
    let answer = page(own, "/metrics");
    parse(&answer.body);
    let head = exchange(own, "HEAD /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("Content-Length") > Some("0"), "{head:?}");
    let post = "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(exchange(own, post).status, 405);
    for path in ["/", "/counter", "/healthz"] {
        assert_eq!(exchange(own, get(path, "")).status, 404, "{path}");
    }
    assert_eq!(exchange(own, upgrade_request("/counter", "")).status, 404);
    assert_eq!(exchange(port, get("/metrics", "")).status, 404);
    // Looking does not change what is looked at.
    let before = figures(own, "/metrics");
    assert_eq!(before["plainws_pages_total"], 0);
    assert_eq!(before["plainws_connections_accepted_total"], 0);
    stopped(daemon);
}

#[test]
fn figures_at_a_path_are_at_all_listeners() {
    let directory = directory();
    let address = unix(&directory);
    let args = [
        "serve",
        "--listen=counter=127.0.0.1:0",
        "--metrics=/internal/figures",
    ];
    let daemon = plainws(&[&args[..], &["--listen", &address]].concat());
    let port = url_port(&daemon.wait_line("counter at "));
    figures(port, "/internal/figures");
    let answer = ask(&socket(&directory), get("/internal/figures", "").as_bytes()).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    // Whoever asks for a WebSocket there gets the page, too.
    let answer = exchange(port, upgrade_request("/internal/figures", ""));
    assert_eq!(answer.status, 200);
    // Other paths of this listener are the counter's.
    let ws = connect(port, "/internal");
    assert!(text(&ws).contains("users"));
}

#[test]
fn saving_is_counted_where_something_is_saved() {
    let directory = directory();
    let folder = directory.path().display().to_string();
    let more = ["--state-dir", &folder, "--sync", "always"];
    let (_daemon, port, metrics) = measured("counter", &more);
    let mut raw = Raw::upgrade(port, "/");
    raw.send(&raw::text(r#"{"action":"plus"}"#));
    while !raw.message().text().contains("\"value\":1}") {}
    // Saved before anybody could see it.
    let figures = figures(metrics, "/metrics");
    assert_eq!(figures["plainws_state_saves_total"], 1);
    assert_eq!(figures["plainws_state_save_failures_total"], 0);
}

#[test]
fn figures_may_be_had_at_a_unix_socket() {
    let directory = directory();
    let address = unix(&directory);
    let (daemon, _) = serve("hello", &["--metrics", &address]);
    daemon.wait_line("metrics at unix:");
    let answer = ask(&socket(&directory), get("/metrics", "").as_bytes()).unwrap();
    let text = String::from_utf8(answer).unwrap();
    parse(text.split_once("\r\n\r\n").unwrap().1);
    stopped(daemon);
    assert!(!Path::new(&socket(&directory)).exists(), "it cleans up");
}

#[test]
fn a_place_that_cannot_be_listened_on_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["serve", "--listen=127.0.0.1:0", "--metrics", &address];
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!(code, 1, "{lines:#?}");
    assert!(lines.join("\n").contains(&address), "{lines:#?}");
}

#[test]
fn connections_messages_and_bytes_are_counted_while_open_and_stay_counted() {
    let (_daemon, port, metrics) = measured("counter", &[]);
    let at = |name: &str| figures(metrics, "/metrics")[name];
    let mut raw = Raw::upgrade(port, "/");
    let other = Raw::upgrade(port, "/");
    wait_figure(metrics, "plainws_clients", 2);
    wait_figure(metrics, "plainws_connections_accepted_total", 2);
    // Both are registered, too: who came later would miss a state.
    while !raw.message().text().contains("\"count\":2}") {}
    for value in 1..=3 {
        raw.send(&raw::text(r#"{"action":"plus"}"#));
        let value = format!("\"value\":{value}}}");
        while !raw.message().text().contains(&value) {}
    }
    wait_figure(metrics, "plainws_messages_received_total", 3);
    // Users 1 and 2 to those who were there, state 0 to each newcomer, and three states.
    wait_figure(metrics, "plainws_messages_sent_total", 3 + 2 + 6);
    assert_eq!(at("plainws_broadcasts_total"), 2 + 3);
    let request = upgrade_request("/", "").len() as u64;
    let message = raw::text(r#"{"action":"plus"}"#).len() as u64;
    assert_eq!(
        at("plainws_received_bytes_total"),
        2 * request + 3 * message
    );
    let sent = at("plainws_sent_bytes_total");
    assert!(sent > 11 * 20, "{sent}");
    raw.send(&raw::close(1000, ""));
    raw.close_frame();
    drop((raw, other));
    wait_figure(metrics, "plainws_clients", 0);
    wait_until("both to be added up", PATIENCE, || {
        (at("plainws_threads") < 10).then_some(())
    });
    assert_eq!(at("plainws_messages_received_total"), 3);
    assert!(at("plainws_messages_sent_total") >= 11);
    assert!(at("plainws_sent_bytes_total") >= sent);
    assert_eq!(at("plainws_connections_accepted_total"), 2);
    assert_eq!(at("plainws_backlog_bytes"), 0);
    assert_eq!(at("plainws_slow_clients_closed_total"), 0);
    assert_eq!(exchange(port, get("/", "")).status, 200);
    wait_figure(metrics, "plainws_pages_total", 1);
}

#[test]
fn threads_are_those_of_the_process() {
    let (daemon, port, metrics) = measured("counter", &[]);
    let clients: Vec<Raw> = (0..5).map(|_| Raw::upgrade(port, "/")).collect();
    wait_until("the system's number of threads", PATIENCE, || {
        // Less one that is the answer's own.
        let told = figures(metrics, "/metrics")["plainws_threads"] - 1;
        (told == daemon.threads().len() as u64 && told > 5).then_some(())
    });
    drop(clients);
}

#[test]
fn refusals_are_counted_by_reason_and_each_by_its_own() {
    let more = [
        "--max-connections=1",
        "--open-timeout=2s",
        "--host=localhost",
        "--listen=127.0.0.1:0",
    ];
    let (daemon, port, metrics) = measured("counter", &more);
    let index = url_port(&daemon.wait_line("index at "));
    let mut only = Raw::upgrade(port, "/");
    only.message();
    let evil = upgrade_request("/", "Origin: https://evil.example\r\n");
    let old = upgrade_request("/", "").replace(": 13", ": 12");
    let rows: [(&str, u16, u16, &str); 7] = [
        ("bad_request", port, 400, "nonsense\r\n\r\n"),
        ("full", port, 503, &upgrade_request("/", "")),
        (
            "host",
            port,
            403,
            "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        ),
        ("origin", port, 403, &evil),
        ("upgrade", port, 426, &old),
        ("not_found", index, 404, &get("/nothing", "")),
        ("timeout", port, 408, "GET / HTTP/1.1\r\n"),
    ];
    // What gets no answer.
    let tls = || {
        let mut raw = Raw::connect(port);
        raw.send(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
        assert_eq!(raw.rest(), b"");
    };
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |reason: &str, times: u64, cause: &dyn Fn()| {
        (0..times).for_each(|_| cause());
        expected.insert(refused(reason), times);
        wait_figure(metrics, &refused(reason), times);
    };
    for (times, (reason, port, status, request)) in (1..).zip(rows) {
        // As often as no other one, but the slow one once.
        let times = if reason == "timeout" { 1 } else { times };
        count(reason, times, &|| {
            assert_eq!(exchange(port, request).status, status, "{reason}");
        });
    }
    count("tls", 8, &tls);
    count("gone", 9, &|| drop(Raw::connect(port)));
    let figures = figures(metrics, "/metrics");
    let family = |name: &&String| name.starts_with("plainws_connections_refused_total");
    for name in figures.keys().filter(family) {
        let times = expected.get(name).copied().unwrap_or_default();
        assert_eq!(figures[name], times, "{name}");
    }
    assert_eq!(figures["plainws_connections_accepted_total"], 1);
    drop(only);
}

#[test]
fn no_label_has_what_a_client_sent() {
    let (_daemon, port, metrics) = measured("counter", &[]);
    let names = || -> Vec<String> { figures(metrics, "/metrics").into_keys().collect() };
    let before = names();
    for nasty in [
        "\"}\n evil 1\n",
        "{reason=\"evil\"}",
        "evil\\\n# TYPE evil gauge",
    ] {
        exchange(port, format!("{nasty} / HTTP/1.1\r\nHost: h\r\n\r\n"));
        exchange(port, get(&format!("/{nasty}"), ""));
        exchange(port, upgrade_request("/", &format!("Origin: {nasty}\r\n")));
        let mut raw = Raw::upgrade(port, "/evil");
        raw.send(&raw::text(nasty));
        raw.send(&raw::close(4000, nasty));
        raw.close_frame();
    }
    assert_eq!(names(), before);
    let body = page(metrics, "/metrics").body;
    assert!(!body.contains("evil"), "{body}");
}

#[test]
fn what_waits_for_a_slow_client_is_told_and_that_it_was_closed() {
    let (_daemon, port, metrics) = measured("counter", &["--write-timeout", "1s"]);
    let at = |name: &str| figures(metrics, "/metrics")[name];
    let mut slow = Raw::connect_narrow(port).open("/");
    slow.message();
    let writer = connect(port, "/");
    let (mut value, mut waited) = (0, 0);
    wait_until("the slow client to be closed", PATIENCE, || {
        for _ in 0..1000 {
            writer.write(r#"{"action":"plus"}"#).unwrap();
        }
        writer.flush();
        value += 1000;
        let last = format!(r#""value":{value}}}"#);
        while !text(&writer).ends_with(&last) {}
        let now = figures(metrics, "/metrics");
        waited = waited.max(now["plainws_backlog_bytes"]);
        (now["plainws_slow_clients_closed_total"] == 1).then_some(())
    });
    assert!(waited > 0, "nothing was seen to wait for it");
    wait_figure(metrics, "plainws_clients", 1);
    assert_eq!(at("plainws_backlog_bytes"), 0);
    assert_eq!(at("plainws_connections_accepted_total"), 2);
    drop(slow);
}

/// All places are taken, and those of threads, too.
#[test]
fn the_figures_are_there_when_the_server_is_full() {
    let (_daemon, port, metrics) = measured("counter", &["--max-connections", "1"]);
    let _only = Raw::upgrade(port, "/");
    let _silent: Vec<Raw> = (0..140).map(|_| Raw::connect(port)).collect();
    wait_until("clients to be turned away", PATIENCE, || {
        (figures(metrics, "/metrics")[&refused("full")] >= 12).then_some(())
    });
}
