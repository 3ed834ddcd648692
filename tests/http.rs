//! Raw bytes against the daemon: request heads, pages, refusals, Origin and Host.

use std::fs;
use std::time::Duration;

use crate::support::process::{Daemon, plainws, url_port};
use crate::support::raw::{self, ACCEPT, Answer, Raw, exchange, get, upgrade_request};
use crate::support::tools::{PATIENCE, wait_until};

/// Stands in what requests bring, to be looked for where nothing of them may come back.
const MARK: &str = "zqx";

/// A daemon with a listener of each kind: of no application, and of the counter.
struct Site {
    daemon: Daemon,
    index: u16,
    counter: u16,
}

#[track_caller]
fn site(more: &[&str]) -> Site {
    let listen = ["serve", "--listen", "127.0.0.1:0"];
    let own = ["--listen", "counter=127.0.0.1:0"];
    let daemon = plainws(&[&listen[..], &own, more].concat());
    Site {
        index: url_port(&daemon.wait_line("index at ")),
        counter: url_port(&daemon.wait_line("counter at ")),
        daemon,
    }
}

/// What is wrong with an answer, whatever the request was; `headless` is the answer to HEAD.
pub(crate) fn blemish(answer: &Answer, headless: bool) -> Option<String> {
    let is = |name: &str, value: &str| answer.header(name) == Some(value);
    let has = |name: &str, part: &str| answer.header(name).is_some_and(|v| v.contains(part));
    let length = answer.body.len().to_string();
    let status = answer.status;
    let checks = [
        (headless || is("Content-Length", &length), "Content-Length"),
        (!headless || answer.body.is_empty(), "a body after HEAD"),
        (is("Connection", "close"), "Connection"),
        (is("X-Content-Type-Options", "nosniff"), "nosniff"),
        (is("Referrer-Policy", "no-referrer"), "Referrer-Policy"),
        (has("Content-Security-Policy", "default-src 'none'"), "CSP"),
        (
            has("Content-Security-Policy", "frame-ancestors 'none'"),
            "frame-ancestors",
        ),
        (answer.header("Date").is_some(), "Date"),
        (answer.header("Server").is_none(), "Server"),
        (!answer.head.contains(MARK), "an echo in the head"),
        (!answer.body.contains(MARK), "an echo in the body"),
        (
            status < 400 || is("Content-Type", "text/plain; charset=utf-8"),
            "Content-Type",
        ),
        (
            status < 400 || headless || answer.body.trim_end().len() > 5,
            "a sentence that says why",
        ),
        (status != 405 || is("Allow", "GET, HEAD"), "Allow"),
        (status != 426 || is("Upgrade", "websocket"), "Upgrade"),
        (
            status != 426 || answer.head.contains("\r\nConnection: Upgrade\r\n"),
            "Connection: Upgrade",
        ),
        (
            status != 426 || is("Sec-WebSocket-Version", "13"),
            "Sec-WebSocket-Version",
        ),
        (status != 503 || has("Retry-After", ""), "Retry-After"),
    ];
    let wrong = checks.iter().find(|(fine, _)| !fine)?;
    Some(format!("{} is not right in {answer:?}", wrong.1))
}

/// Sends each request and compares the status; tells all rows that are wrong at once.
#[track_caller]
fn expect(port: u16, rows: &[(&str, Vec<u8>, u16)]) {
    let mut wrong = String::new();
    for (name, request, status) in rows {
        let answer = exchange(port, request);
        let blemish = match answer.status {
            101 => None,
            _ => blemish(&answer, request.starts_with(b"HEAD")),
        };
        if answer.status != *status {
            let (got, body) = (answer.status, answer.body.trim());
            wrong += &format!("\n  {name}: awaited {status}, got {got} {body:.100}");
        } else if let Some(blemish) = blemish {
            wrong += &format!("\n  {name}: {blemish}");
        }
    }
    assert!(wrong.is_empty(), "answers that are not right:{wrong}");
}

/// A row of a table of requests.
fn row(name: &str, request: impl Into<Vec<u8>>, status: u16) -> (&str, Vec<u8>, u16) {
    (name, request.into(), status)
}

// ---- Request heads ----------------------------------------------------------------------------

#[test]
fn malformed_heads_are_refused() {
    let site = site(&[]);
    let head = |line: &str| format!("{line}\r\nHost: localhost\r\n\r\n");
    let field = |field: &str| get("/counter", &format!("{field}\r\n"));
    let host = |lines: &str| format!("GET /counter HTTP/1.1\r\n{lines}\r\n");
    let mut high_name = get("/counter", "X").into_bytes();
    high_name.splice(high_name.len() - 2.., *b"\x80: 1\r\n\r\n");
    expect(
        site.counter,
        &[
            row("an unknown long method", "A".repeat(10_000) + " / HT", 400),
            row("a method that is no token", head("G(T / HTTP/1.1"), 400),
            row("no request line", "\r\n\r\n", 400),
            row("only spaces", head("   "), 400),
            row("HTTP/0.9", "GET /\r\n\r\n", 400),
            row("HTTP/1.2", head("GET / HTTP/1.2"), 505),
            row("HTTP/0.9 by name", head("GET / HTTP/0.9"), 505),
            row("HTTP/2.0", head("GET / HTTP/2.0"), 505),
            row("HTTP/9.9", head("GET / HTTP/9.9"), 505),
            row("HTTP/1.1x", head("GET / HTTP/1.1x"), 400),
            row("HTTP/11", head("GET / HTTP/11"), 400),
            row("http/1.1", head("GET / http/1.1"), 400),
            row(
                "the preface of HTTP/2",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                505,
            ),
            row("authority form", head("GET localhost:80 HTTP/1.1"), 400),
            row("asterisk form", head("GET * HTTP/1.1"), 400),
            row("no slash", head("GET counter HTTP/1.1"), 400),
            row("no target", head("GET  HTTP/1.1"), 400),
            row("two spaces", head("GET  / HTTP/1.1"), 400),
            row("a fragment", head("GET /#zqx HTTP/1.1"), 400),
            row("another scheme", head("GET ftp://localhost/ HTTP/1.1"), 400),
            row(
                "another host in the target",
                head("GET http://zqx/ HTTP/1.1"),
                400,
            ),
            row(
                "a user in the target",
                head("GET http://zqx@localhost/ HTTP/1.1"),
                400,
            ),
            row("UTF-8 in the target", head("GET /zqxé HTTP/1.1"), 400),
            row(
                "Latin-1 in the target",
                b"GET /zqx\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n".as_slice(),
                400,
            ),
            row("NUL in the target", head("GET /zqx\0 HTTP/1.1"), 400),
            row("no Host", host(""), 400),
            row(
                "two Hosts",
                host("Host: localhost\r\nHost: localhost\r\n"),
                400,
            ),
            row("an empty Host", host("Host:\r\n"), 400),
            row("a Host with a space", host("Host: zqx b\r\n"), 400),
            row("a Host with a user", host("Host: zqx@localhost\r\n"), 400),
            row("a Host with a path", host("Host: localhost/zqx\r\n"), 400),
            row("a Host list", host("Host: localhost, zqx\r\n"), 400),
            row("a Host with a wrong port", host("Host: zqx:8x\r\n"), 400),
            row("a Host with a broken v6", host("Host: [::zqx]\r\n"), 400),
            row("a folded line", field("X-Zqx: a\r\n zqx"), 400),
            row("a folded line with a tab", field("X-Zqx: a\r\n\tzqx"), 400),
            row(
                "a space before the first field",
                "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
                400,
            ),
            row("a space before the colon", field("X-Zqx : a"), 400),
            row("no name", field(": zqx"), 400),
            row("no colon", field("X-Zqx"), 400),
            row("a parenthesis in a name", field("X(zqx: a"), 400),
            row("a high byte in a name", high_name, 400),
            row("NUL in a value", field("X: zqx\0"), 400),
            row("ESC in a value", field("X: zqx\x1b[31m"), 400),
            row("CR in a value", field("X: zqx\rY: b"), 400),
        ],
    );
}

#[test]
fn lines_that_end_without_a_carriage_return_are_refused_at_once() {
    // A wait for more would end with 408.
    let site = site(&["--open-timeout", "3s"]);
    expect(
        site.counter,
        &[
            row("all", "GET / HTTP/1.1\nHost: localhost\n\n", 400),
            row("the first", "GET / HTTP/1.1\nHost: localhost\r\n\r\n", 400),
            row(
                "one",
                "GET / HTTP/1.1\r\nHost: localhost\nX: 1\r\n\r\n",
                400,
            ),
            row("the last", "GET / HTTP/1.1\r\nHost: localhost\r\n\n", 400),
            row(
                "all but the last",
                "GET / HTTP/1.1\nHost: localhost\n\r\n",
                400,
            ),
        ],
    );
}

#[test]
fn only_get_and_head_are_allowed() {
    let site = site(&[]);
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let rows: Vec<_> = ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "get"]
        .into_iter()
        .map(|method| row(method, request(&format!("{method} /counter")), 405))
        .chain([
            row("CONNECT", request("CONNECT localhost:80"), 405),
            row("OPTIONS for the server", request("OPTIONS *"), 405),
        ])
        .collect();
    expect(site.counter, &rows);
}

#[test]
fn a_head_is_limited_in_all_its_parts() {
    let site = site(&[]);
    let target = |n: usize| get(&format!("/{}", "z".repeat(n - 1)), "");
    // Without the end of the line.
    let line = |n: usize| get("/none", &format!("X: {}\r\n", "z".repeat(n - 3)));
    // With the Host of `get`.
    let fields = |n: usize| get("/none", &"X: 1\r\n".repeat(n - 1));
    let head = |n: usize| {
        let filler = format!("X: {}\r\n", "z".repeat(1000)).repeat(16);
        let rest = n - get("/none", &filler).len() - "Y: \r\n".len();
        get("/none", &(filler + &format!("Y: {}\r\n", "z".repeat(rest))))
    };
    let cookies = format!("Cookie: {}\r\n", "c=0123456789; ".repeat(500));
    expect(
        site.index,
        &[
            row("target of 2048 bytes", target(2048), 404),
            row("target of 2049 bytes", target(2049), 414),
            row("target of 100 000 bytes", target(100_000), 414),
            row("target of 1 MiB", target(1 << 20), 414),
            row("cookies of a browser", get("/none", &cookies), 404),
            row("line just below 8 KiB", line(8191), 404),
            row("line above 8 KiB", line(8193), 431),
            row("line of 64 KiB", line(65_536), 431),
            row("line of 20 MB", line(20_000_000), 431),
            row("64 headers", fields(64), 404),
            row("65 headers", fields(65), 431),
            row("125 headers", fields(125), 431),
            row("3000 headers", fields(3000), 431),
            row("head just below 16 KiB", head(16_383), 404),
            row("head above 16 KiB", head(16_385), 431),
            row("head of 1 MiB", head(1 << 20), 431),
        ],
    );
    let target = |n: usize| upgrade_request(&format!("/{}", "z".repeat(n - 1)), "");
    expect(
        site.counter,
        &[
            row("socket with a target of 2048 bytes", target(2048), 101),
            row("socket with a target of 2049 bytes", target(2049), 414),
        ],
    );
}

#[test]
fn the_largest_line_and_head_that_the_refusal_names_are_accepted() {
    let site = site(&[]);
    let line = get("/none", &format!("X: {}\r\n", "z".repeat(8192 - 3)));
    let filler = format!("X: {}\r\n", "z".repeat(1000)).repeat(16);
    let rest = 16_384 - get("/none", &filler).len() - "Y: \r\n".len();
    let head = get("/none", &(filler + &format!("Y: {}\r\n", "z".repeat(rest))));
    assert_eq!(head.len(), 16_384);
    expect(
        site.index,
        &[
            row("line of 8192 bytes", line, 404),
            row("head of 16 384 bytes", head, 404),
        ],
    );
}

#[test]
fn what_cannot_become_a_good_head_is_refused_before_it_ends() {
    let site = site(&[]);
    let head = "GET /counter HTTP/1.1\r\nHost: localhost\r\n";
    let fields = format!("X: {}\r\n", "z".repeat(90)).repeat(200);
    expect(
        site.counter,
        &[
            row("a method", "z".repeat(1000), 400),
            row("a target", format!("GET /{}", "z".repeat(2048)), 414),
            row("a header", format!("{head}X: {}", "z".repeat(8192)), 431),
            row("headers", format!("{head}{fields}"), 431),
        ],
    );
}

#[test]
fn a_head_without_its_end_is_no_request() {
    let site = site(&[]);
    for head in ["G", "GET / HTTP/1.1\r\n", "GET /\r\n"] {
        let mut raw = Raw::connect(site.counter);
        raw.send(head.as_bytes());
        raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = raw.answer();
        assert_eq!(answer.status, 400, "{head:?}: {answer:?}");
        assert_eq!(blemish(&answer, false), None, "{head:?}");
    }
    let mut nothing = Raw::connect(site.counter);
    nothing.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(nothing.rest(), b"", "who said nothing is told nothing");
}

#[test]
fn an_empty_line_before_the_request_is_skipped() {
    let site = site(&[]);
    // RFC 9112, section 2.2.
    let request = |path: &str| format!("\r\n{}", get(path, ""));
    let long = format!("/{}", "z".repeat(2048));
    expect(
        site.index,
        &[
            row("a page", request("/counter"), 200),
            row("the limit of the target holds", request(&long), 414),
        ],
    );
}

#[test]
fn a_header_of_20_mb_costs_no_time() {
    let site = site(&[]);
    let request = get("/", &format!("X: {}\r\n", "z".repeat(20_000_000)));
    let before = site.daemon.cpu();
    assert_eq!(exchange(site.counter, request).status, 431);
    let used = site.daemon.cpu() - before;
    assert!(used < Duration::from_millis(500), "it took {used:?}");
}

#[test]
fn a_body_is_refused_and_never_taken_for_a_second_request() {
    let site = site(&[]);
    let second = get("/healthz", "");
    let length = second.len();
    let with = |lines: &str| get("/counter", lines) + &second;
    let chunked = format!("{length:x}\r\n{second}\r\n0\r\n\r\n");
    let posted = format!(
        "POST /counter HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{second}"
    );
    // `expect` finds a second answer, as it makes the body longer than Content-Length says.
    expect(
        site.counter,
        &[
            row(
                "a length",
                with(&format!("Content-Length: {length}\r\n")),
                400,
            ),
            row("a negative length", with("Content-Length: -1\r\n"), 400),
            row("a length with a sign", with("Content-Length: +0\r\n"), 400),
            row("two lengths in one", with("Content-Length: 5, 6\r\n"), 400),
            row(
                "two lengths",
                with("Content-Length: 0\r\nContent-Length: 5\r\n"),
                400,
            ),
            row(
                "a chunked body",
                get("/counter", "Transfer-Encoding: chunked\r\n") + &chunked,
                400,
            ),
            row(
                "a length and chunks",
                get(
                    "/counter",
                    "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                ) + &chunked,
                400,
            ),
            row("a POST", posted, 405),
            row("a length of 0", with("Content-Length: 0\r\n"), 200),
            row("a second request", with(""), 200),
            row("an upgrade refused", with("Upgrade: websocket\r\n"), 200),
        ],
    );
}

#[test]
fn a_request_may_arrive_in_pieces() {
    let site = site(&[]);
    let page = get("/counter", "");
    let mut socket = upgrade_request("/counter", "").into_bytes();
    socket.extend(raw::text(r#"{"action":"x"}"#));
    let cuts = |request: &[u8]| 1..request.len();
    let mut halves = Vec::new();
    for request in [page.as_bytes(), &socket] {
        for cut in cuts(request) {
            let mut raw = Raw::connect(site.counter);
            raw.send(&request[..cut]);
            halves.push((raw, request, cut));
        }
    }
    // Only then have they been read, each by its thread.
    let read = || (raw::unread(site.counter) == 0).then_some(());
    wait_until("the daemon to read the first pieces", PATIENCE, read);
    for (raw, request, cut) in &mut halves {
        raw.send(&request[*cut..]);
    }
    for (mut raw, request, cut) in halves {
        let answer = raw.answer();
        if request == socket {
            assert_eq!(answer.status, 101, "cut at {cut}: {answer:?}");
            let error = loop {
                let text = raw.message().text();
                if text.contains("error") {
                    break text;
                }
            };
            assert!(error.contains("unknown action"), "cut at {cut}: {error}");
        } else {
            assert_eq!(answer.status, 200, "cut at {cut}: {answer:?}");
        }
    }
}

#[test]
fn bytes_sent_right_behind_the_handshake_are_delivered() {
    let (_daemon, port) = raw::serve("hello", &[]);
    let upgrade = upgrade_request("/hello", "").into_bytes();
    let name = "Ada".repeat(1000);
    for (name, split) in [("Ada", 9), ("Ada", 1), (&name, 8), (&name, 2000)] {
        let frame = raw::text(name);
        let (at_once, later) = frame.split_at(split);
        let mut raw = Raw::connect(port);
        raw.send(&[&upgrade, at_once].concat());
        let answer = raw.answer();
        assert_eq!(answer.status, 101, "{answer:?}");
        raw.send(later);
        assert_eq!(raw.message().text(), format!("Hello {name}!"));
        assert_eq!(raw.close_frame().0, 1000);
    }
}

#[test]
fn tls_on_a_plain_port_is_closed_without_an_answer() {
    let site = site(&["-v"]);
    // The start of a ClientHello.
    let mut raw = Raw::connect(site.counter);
    raw.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    assert_eq!(raw.rest(), b"");
    let line = site.daemon.wait_line(&raw.address());
    assert!(line.contains("TLS"), "{line}");
}

// ---- Opening handshakes -----------------------------------------------------------------------

#[test]
fn legal_upgrades_are_accepted() {
    let site = site(&[]);
    let plain = upgrade_request("/counter", "");
    let with = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    let connection = |value: &str| with("Connection: Upgrade", value);
    let upgrade = |value: &str| with("Upgrade: websocket", value);
    let more = |lines: &str| upgrade_request("/counter", lines);
    let deflate = format!(
        "Sec-WebSocket-Extensions: permessage-deflate; a=\"b, \\\" c\"{}\r\n",
        "; client_max_window_bits=15".repeat(250)
    );
    let latin = [
        &plain.as_bytes()[..plain.len() - 2],
        b"X-Name: Jos\xe9\r\nX-Other: \xc3\xa9\xff\r\n\r\n",
    ]
    .concat();
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("as usual", plain.clone().into()),
        (
            "two Connection lines",
            connection("Connection: keep-alive\r\nConnection: Upgrade").into(),
        ),
        (
            "a tab in the list",
            connection("Connection: keep-alive,\tUpgrade").into(),
        ),
        (
            "a list without spaces",
            connection("Connection: upgrade,keep-alive").into(),
        ),
        (
            "empty members of a list",
            connection("Connection: , ,Upgrade,").into(),
        ),
        (
            "other protocols before it",
            upgrade("Upgrade: h2c, websocket").into(),
        ),
        (
            "two Upgrade lines",
            upgrade("Upgrade: h2c\r\nUpgrade: websocket").into(),
        ),
        ("capitals", upgrade("UPGRADE: WebSocket").into()),
        (
            "small letters",
            plain
                .replace("Sec-WebSocket", "sec-websocket")
                .replace("Upgrade:", "upgrade:")
                .into(),
        ),
        (
            "spaces around the values",
            with("Key: ", "Key: \t ")
                .replace("==\r\n", "== \t\r\n")
                .into(),
        ),
        ("no space behind the colon", plain.replace(": ", ":").into()),
        (
            "absolute form",
            with("GET /counter", "GET http://localhost/counter").into(),
        ),
        ("extensions", more(&deflate).into()),
        (
            "subprotocols",
            more("Sec-WebSocket-Protocol: chat, superchat\r\n").into(),
        ),
        ("Expect", more("Expect: 100-continue\r\n").into()),
        ("Content-Length: 0", more("Content-Length: 0\r\n").into()),
        ("bytes that are not UTF-8", latin),
    ];
    let mut wrong = String::new();
    for (name, request) in &rows {
        let answer = exchange(site.counter, request);
        let is = |header: &str, value: &str| answer.header(header) == Some(value);
        let fine = answer.status == 101
            && is("Upgrade", "websocket")
            && is("Connection", "Upgrade")
            && is("Sec-WebSocket-Accept", ACCEPT)
            // What is not agreed on must not be answered.
            && answer.header("Sec-WebSocket-Extensions").is_none()
            && answer.header("Sec-WebSocket-Protocol").is_none();
        if !fine {
            wrong += &format!("\n  {name}: {answer:?}");
        }
    }
    assert!(wrong.is_empty(), "legal, but not accepted:{wrong}");
}

#[test]
fn faulty_upgrades_get_their_status() {
    let site = site(&[]);
    // Of the counter alone: a path without a page.
    let plain = upgrade_request("/websocket2", "");
    let with = |from: &str, to: &str| {
        assert!(plain.contains(from), "{from}");
        plain.replace(from, to)
    };
    let connection = |value: &str| with("Connection: Upgrade", value);
    let version = |lines: &str| with("Sec-WebSocket-Version: 13\r\n", lines);
    let key = |lines: &str| with(&format!("Sec-WebSocket-Key: {}\r\n", raw::KEY), lines);
    let again = format!("Sec-WebSocket-Key: {}\r\n", raw::KEY);
    let key_of = |value: &str| key(&format!("Sec-WebSocket-Key: {value}\r\n"));
    expect(
        site.counter,
        &[
            row("no upgrade", get("/websocket2", ""), 426),
            row(
                "Connection: upgrade alone",
                get("/websocket2", "Connection: upgrade\r\n"),
                426,
            ),
            row("no Connection", with("Connection: Upgrade\r\n", ""), 426),
            row(
                "no upgrade in Connection",
                connection("Connection: keep-alive"),
                426,
            ),
            row("no Upgrade", with("Upgrade: websocket\r\n", ""), 426),
            row(
                "another protocol",
                with("Upgrade: websocket", "Upgrade: h2c"),
                426,
            ),
            row("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), 426),
            row("HEAD", with("GET", "HEAD"), 426),
            row("POST", with("GET", "POST"), 405),
            row("no version", version(""), 426),
            row("version 8", version("Sec-WebSocket-Version: 8\r\n"), 426),
            row("version 12", version("Sec-WebSocket-Version: 12\r\n"), 426),
            row("version 14", version("Sec-WebSocket-Version: 14\r\n"), 426),
            row(
                "version 013",
                version("Sec-WebSocket-Version: 013\r\n"),
                426,
            ),
            row("a list", version("Sec-WebSocket-Version: 13, 8\r\n"), 426),
            row(
                "two versions",
                version("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8\r\n"),
                426,
            ),
            row("no key", key(""), 400),
            row("an empty key", key_of(""), 400),
            row("two keys", key(&again.repeat(2)), 400),
            row("a short key", key_of("zqx"), 400),
            row("a key of 15 bytes", key_of("zqxzqxzqxzqxzqxzqxzq"), 400),
            row("a key of 17 bytes", key_of("zqxzqxzqxzqxzqxzqxzqxzA="), 400),
            row("a key of 23 letters", key_of(&raw::KEY[..23]), 400),
            row(
                "a key of 25 letters",
                key_of(&format!("{}=", raw::KEY)),
                400,
            ),
            row("a key of 1000 letters", key_of(&"z".repeat(1000)), 400),
            row(
                "a key that is no base64",
                key_of("zqx!zqx!zqx!zqx!zqx!zA=="),
                400,
            ),
            row(
                "a key with a space in it",
                key_of("zqx zqx zqx zqx zqx zA=="),
                400,
            ),
        ],
    );
}

#[test]
fn a_proxy_that_speaks_http_1_0_is_told_so() {
    let site = site(&[]);
    let request = upgrade_request("/counter", "").replace("HTTP/1.1", "HTTP/1.0");
    let answer = exchange(site.counter, request);
    assert_eq!(answer.status, 426);
    assert!(answer.body.contains("HTTP/1.1"), "{answer:?}");
}

// ---- Paths and pages --------------------------------------------------------------------------

/// What a path leads to: a GET without upgrade, and one with.
fn leads_to(port: u16, path: &str) -> (u16, u16) {
    let page = exchange(port, get(path, ""));
    assert_eq!(blemish(&page, false), None, "{path}");
    let socket = exchange(port, upgrade_request(path, ""));
    (page.status, socket.status)
}

#[test]
fn one_url_is_page_and_socket() {
    let site = site(&[]);
    let title = |answer: &Answer| {
        let (_, rest) = answer.body.split_once("<title>").expect("a title");
        let (title, _) = rest.split_once("</title>").expect("its end");
        title.to_lowercase()
    };
    for port in [site.index, site.counter] {
        for app in ["hello", "clock", "counter"] {
            let path = format!("/{app}");
            // nginx sends this where the browser asked for no upgrade.
            for more in ["", "Connection: upgrade\r\n", "Upgrade: h2c\r\n"] {
                let page = exchange(port, get(&path, more));
                assert_eq!(page.status, 200, "{path} {more:?}");
                assert_eq!(
                    page.header("Content-Type"),
                    Some("text/html; charset=utf-8")
                );
                assert!(title(&page).contains(app), "{path}: {:?}", title(&page));
            }
            let mut socket = Raw::upgrade(port, &path);
            let first = match app {
                "hello" => {
                    socket.send(&raw::text("Ada"));
                    socket.message().text()
                }
                _ => socket.message().text(),
            };
            let expected = match app {
                "hello" => "Hello Ada!",
                "clock" => ", sent by the server over WebSocket.",
                _ => r#"{"type":"users","count":"#,
            };
            assert!(first.contains(expected), "{path}: {first}");
        }
    }
}

#[test]
fn paths_of_a_listener_without_an_application() {
    let site = site(&[]);
    let rows = [
        ("/", 200, 404),
        ("/?counter", 200, 404),
        ("/counter", 200, 101),
        ("/counter?x=/hello", 200, 101),
        ("/healthz", 200, 200),
        ("/counter/", 404, 404),
        ("/Counter", 404, 404),
        ("/counter.html", 404, 404),
        ("/index.html", 404, 404),
        ("/INDEX.HTML", 404, 404),
        ("/index.html/", 404, 404),
        ("/zqx", 404, 404),
        ("/zqx/", 404, 404),
        ("/favicon.ico", 404, 404),
        ("/hello/counter", 404, 404),
        ("/%63ounter", 404, 404),
        ("//counter", 404, 404),
    ];
    for (path, page, socket) in rows {
        assert_eq!(leads_to(site.index, path), (page, socket), "{path}");
    }
    let query = format!("/?{}", "a=1&".repeat(500));
    assert_eq!(leads_to(site.index, &query), (200, 404), "a long query");
}

#[test]
fn paths_of_a_listener_with_an_application() {
    let site = site(&[]);
    let rows = [
        ("/", 200, 101),
        ("/websocket2", 426, 101),
        ("/websocket2/", 200, 101),
        ("/websocket2?x", 426, 101),
        ("/websocket2/?x", 200, 101),
        ("/a/b/c", 426, 101),
        ("/a/b/c/", 200, 101),
        ("/counter", 200, 101),
        ("/hello", 200, 101),
        ("/clock", 200, 101),
        ("/healthz", 200, 200),
        ("/index.html", 426, 101),
        ("/%2e%2e%2fetc", 426, 101),
    ];
    for (path, page, socket) in rows {
        assert_eq!(leads_to(site.counter, path), (page, socket), "{path}");
    }
    let page = exchange(site.counter, get("/websocket2/", "")).body;
    assert_eq!(page, exchange(site.index, get("/counter", "")).body);
    let mut socket = Raw::upgrade(site.counter, "/websocket2");
    assert!(socket.message().text().contains("users"));
}

#[test]
fn absolute_form_is_a_path_of_that_host() {
    let site = site(&[]);
    let absolute = |url: &str| get("/", "").replace("GET /", &format!("GET {url}"));
    expect(
        site.index,
        &[
            row("a page", absolute("http://localhost/counter"), 200),
            row("in capitals", absolute("HTTP://LOCALHOST/counter"), 200),
            row("no path", absolute("http://localhost"), 200),
            row("a query only", absolute("http://localhost?x"), 200),
            row("an unknown path", absolute("http://localhost/zqx"), 404),
        ],
    );
}

/// Ways out of a folder of pages, were there a file system behind the paths.
const TRAVERSALS: [&str; 18] = [
    "/../secret.txt",
    "/../../../../../../etc/passwd",
    "/hello/../../secret.txt",
    "//etc/passwd",
    "/./secret.txt",
    "/.",
    "/..",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/%252e%252e/secret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/hello%00.html",
    "/%zz",
    "/%",
    "/hello;x=y",
    "/hello.html",
];

#[test]
fn a_folder_of_pages_is_four_files_and_no_other_path() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("pages");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(folder.join("sub")).unwrap();
    let secret = "the secret";
    for path in ["secret.txt", "pages/secret.txt", "pages/sub/index.html"] {
        fs::write(outer.path().join(path), secret).unwrap();
    }
    fs::write(folder.join("index.html"), "<p>my index").unwrap();
    fs::write(folder.join("counter.html"), "<p>my counter").unwrap();
    fs::write(folder.join("clock.html"), b"<p>\xff").unwrap();
    let site = site(&["--html-dir", folder.to_str().unwrap()]);

    let page = |port: u16, path: &str| exchange(port, get(path, ""));
    assert_eq!(page(site.index, "/").body, "<p>my index");
    assert_eq!(page(site.index, "/counter").body, "<p>my counter");
    assert_eq!(page(site.counter, "/any/").body, "<p>my counter");
    for app in ["hello", "clock"] {
        let bundled = page(site.index, &format!("/{app}"));
        assert_eq!(bundled.status, 200, "{app}");
        assert!(bundled.body.len() > 1000, "{app} is the bundled page");
    }
    site.daemon.wait_line("clock.html");

    let plain = ["/secret.txt", "/sub/", "/sub/index.html", "/pages/"];
    for path in plain.iter().chain(&TRAVERSALS) {
        let answer = page(site.index, path);
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
        assert_eq!(blemish(&answer, false), None, "{path}");
        let answer = page(site.counter, path);
        assert!(
            matches!(answer.status, 200 | 400 | 426),
            "{path}: {answer:?}"
        );
        if answer.status == 200 {
            assert_eq!(answer.body, "<p>my counter", "{path}");
        }
    }

    fs::write(folder.join("counter.html"), "<p>edited").unwrap();
    assert_eq!(page(site.index, "/counter").body, "<p>edited");
    fs::remove_file(folder.join("counter.html")).unwrap();
    assert!(page(site.index, "/counter").body.len() > 1000, "bundled");
}

#[test]
fn traversals_lead_nowhere() {
    let site = site(&[]);
    let rows: Vec<_> = TRAVERSALS.map(|path| row(path, get(path, ""), 404)).into();
    expect(site.index, &rows);
}

#[test]
fn pages_forbid_what_they_do_not_need() {
    let site = site(&[]);
    for path in ["/", "/hello", "/clock", "/counter"] {
        let page = exchange(site.index, get(path, ""));
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(blemish(&page, false), None, "{path}");
        assert_eq!(page.header("Cache-Control"), Some("no-cache"), "{path}");
        let policy = page.header("Content-Security-Policy").expect("a policy");
        for part in [
            "style-src 'sha256-",
            "connect-src ws: wss:",
            "base-uri 'none'",
            "form-action 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        if path != "/" {
            assert!(policy.contains("script-src 'sha256-"), "{path}: {policy}");
        }
    }
}

#[test]
fn head_is_get_without_the_body() {
    let site = site(&[]);
    for path in ["/", "/counter", "/healthz", "/none", "/websocket2"] {
        for port in [site.index, site.counter] {
            let get = get(path, "");
            let with = exchange(port, &get);
            let without = exchange(port, get.replace("GET", "HEAD"));
            assert_eq!(without.body, "", "{path}");
            assert_eq!(blemish(&without, true), None, "{path}");
            // They may have been made in two different seconds.
            let head = |answer: &Answer| {
                let lines = answer
                    .head
                    .lines()
                    .filter(|line| !line.starts_with("Date:"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(head(&with), head(&without), "{path}");
        }
    }
}

#[test]
fn http_1_0_gets_pages() {
    let site = site(&[]);
    let old = |lines: &str| format!("GET /counter HTTP/1.0\r\n{lines}\r\n");
    expect(
        site.index,
        &[
            row("without Host", old(""), 200),
            row("with Host", old("Host: localhost\r\n"), 200),
            row("kept alive", old("Connection: keep-alive\r\n"), 200),
        ],
    );
}

#[test]
fn a_health_check_is_answered_at_every_listener() {
    let site = site(&[]);
    for port in [site.index, site.counter] {
        for path in ["/healthz", "/healthz?x"] {
            let answer = exchange(port, get(path, ""));
            assert_eq!((answer.status, &*answer.body), (200, "ok"), "{path}");
            assert_eq!(blemish(&answer, false), None, "{path}");
        }
    }
}

// ---- Who may connect --------------------------------------------------------------------------

/// The statuses of opening requests with these `Host` and `Origin` lines.
#[track_caller]
fn expect_origins(port: u16, host: &str, rows: &[(&str, u16)]) {
    let mut wrong = String::new();
    for (lines, status) in rows {
        let request = upgrade_request("/counter", lines);
        let request = request.replace("Host: localhost", &format!("Host: {host}"));
        let answer = exchange(port, request);
        if answer.status != *status {
            let got = answer.status;
            wrong += &format!("\n  {lines:?}: awaited {status}, got {got}");
        }
        if answer.status != 101 {
            assert_eq!(blemish(&answer, false), None, "{lines}");
        }
    }
    assert!(wrong.is_empty(), "with Host {host}:{wrong}");
}

#[test]
fn by_default_pages_of_the_same_host_may_connect() {
    let site = site(&[]);
    let port = site.counter;
    expect_origins(
        port,
        "app.example",
        &[
            ("", 101),
            ("Origin: null\r\n", 101),
            ("Origin: http://app.example\r\n", 101),
            ("Origin: https://app.example\r\n", 101),
            ("Origin: HTTPS://APP.EXAMPLE\r\n", 101),
            ("Origin: https://app.example:443\r\n", 101),
            ("Origin: http://app.example:80\r\n", 101),
            ("Origin:\r\n", 403),
            ("Origin: https://evil.zqx\r\n", 403),
            ("Origin: https://app.example.zqx\r\n", 403),
            ("Origin: https://zqxapp.example\r\n", 403),
            ("Origin: https://app.exampl\r\n", 403),
            ("Origin: https://app.example:444\r\n", 403),
            ("Origin: https://app.example@zqx\r\n", 403),
            ("Origin: https://zqx@app.example\r\n", 403),
            ("Origin: https://app.example/\r\n", 403),
            ("Origin: https://app.example/zqx\r\n", 403),
            ("Origin: https://app.example?zqx\r\n", 403),
            ("Origin: https://app.example, https://zqx\r\n", 403),
            ("Origin: https://app.example https://zqx\r\n", 403),
            ("Origin: app.example\r\n", 403),
            ("Origin: //app.example\r\n", 403),
            ("Origin: https://\r\n", 403),
            ("Origin: file://\r\n", 403),
            ("Origin: Null\r\n", 403),
            ("Origin: *\r\n", 403),
            // Cyrillic а, in UTF-8 and as browsers write it.
            ("Origin: https://\u{430}pp.example\r\n", 403),
            ("Origin: https://xn--pp-7kc.example\r\n", 403),
            (
                "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
                403,
            ),
            (
                "Origin: https://app.example\r\nOrigin: https://zqx\r\n",
                403,
            ),
            ("Origin: null\r\nOrigin: https://zqx\r\n", 403),
            // What a proxy adds changes nothing.
            (
                "Origin: https://zqx\r\nX-Forwarded-Host: zqx\r\nForwarded: host=zqx\r\n",
                403,
            ),
        ],
    );
    expect_origins(
        port,
        "app.example:8080",
        &[
            ("Origin: http://app.example:8080\r\n", 101),
            ("Origin: https://app.example:8080\r\n", 101),
            ("Origin: http://app.example\r\n", 403),
            ("Origin: http://app.example:80\r\n", 403),
            ("Origin: http://app.example:8081\r\n", 403),
            ("Origin: http://app.example:80800\r\n", 403),
        ],
    );
    expect_origins(
        port,
        "[::1]:8080",
        &[
            ("Origin: http://[::1]:8080\r\n", 101),
            ("Origin: http://[::1]\r\n", 403),
            ("Origin: http://[::2]:8080\r\n", 403),
        ],
    );
}

#[test]
fn a_list_of_origins_replaces_the_default() {
    let args = [
        "--origin",
        "https://app.example",
        "--origin",
        "http://localhost:8080",
    ];
    let site = site(&args);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("Origin: https://app.example\r\n", 101),
            ("Origin: HTTPS://APP.EXAMPLE\r\n", 101),
            ("Origin: https://app.example:443\r\n", 101),
            ("Origin: http://localhost:8080\r\n", 101),
            ("", 403),
            ("Origin:\r\n", 403),
            ("Origin: null\r\n", 403),
            ("Origin: none\r\n", 403),
            ("Origin: http://localhost\r\n", 403),
            ("Origin: https://localhost:8080\r\n", 403),
            ("Origin: http://app.example\r\n", 403),
            ("Origin: http://app.example:443\r\n", 403),
            ("Origin: https://app.example:444\r\n", 403),
            ("Origin: https://app.example:4433\r\n", 403),
            ("Origin: https://app.example.zqx\r\n", 403),
            ("Origin: https://app.exampl\r\n", 403),
            ("Origin: https://app.example/\r\n", 403),
            ("Origin: https://app.example@zqx\r\n", 403),
            (
                "Origin: https://app.example\r\nOrigin: https://app.example\r\n",
                403,
            ),
        ],
    );
    let page = exchange(site.counter, get("/counter", "Origin: https://zqx\r\n"));
    assert_eq!(page.status, 200, "a page is for everybody");
}

#[test]
fn a_list_of_origins_may_name_no_origin_and_null() {
    let site = site(&["--origin", "none", "--origin", "null"]);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("", 101),
            ("Origin: null\r\n", 101),
            ("Origin: http://localhost\r\n", 403),
            ("Origin:\r\n", 403),
        ],
    );
}

#[test]
fn a_port_of_an_origin_is_digits() {
    let site = site(&["--origin", "https://app.example:444"]);
    expect_origins(
        site.counter,
        "localhost",
        &[
            ("Origin: https://app.example:444\r\n", 101),
            ("Origin: https://app.example:+444\r\n", 403),
            ("Origin: https://app.example:0444\r\n", 403),
        ],
    );
}

#[test]
fn a_list_of_hosts_is_for_pages_and_sockets() {
    let site = site(&["--host", "app.example", "--host", "[::1]"]);
    let rows = [
        ("app.example", true),
        ("APP.example", true),
        ("app.example:8080", true),
        ("[::1]", true),
        ("[::1]:8080", true),
        ("localhost", false),
        ("127.0.0.1", false),
        ("zqx.example", false),
        ("app.example.zqx", false),
        ("zqxapp.example", false),
        ("app.exampl", false),
        ("[::2]", false),
    ];
    for (host, served) in rows {
        let to = |request: String| request.replace("Host: localhost", &format!("Host: {host}"));
        for port in [site.index, site.counter] {
            let page = exchange(port, to(get("/counter", "")));
            assert_eq!(page.status, if served { 200 } else { 403 }, "{host}");
            assert_eq!(blemish(&page, false), None, "{host}");
            // As a page of a name that was made to resolve to us.
            let same = format!("Origin: http://{host}\r\n");
            let socket = exchange(port, to(upgrade_request("/counter", &same)));
            assert_eq!(socket.status, if served { 101 } else { 403 }, "{host}");
        }
    }
    let old = exchange(site.counter, "GET /counter HTTP/1.0\r\n\r\n");
    assert_eq!(old.status, 403, "no Host is none of them");
    let absolute = "GET http://zqx/counter HTTP/1.1\r\nHost: zqx\r\n\r\n";
    assert_eq!(exchange(site.counter, absolute).status, 403);
}

// ---- The log ----------------------------------------------------------------------------------

/// Whether a line could move a cursor, or stand for more than one line.
pub(crate) fn is_raw(line: &str) -> bool {
    let bad =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    line.chars().any(bad)
}

#[test]
fn requests_are_logged_on_one_short_line_without_control_characters() {
    let site = site(&["-vv"]);
    let nasty = [
        "/a%0d%0a[ERROR]%20zqx",
        "/%1b[31m",
        "/<script>alert(1)</script>",
        "/\"quoted\"'and'|piped|",
        "/\\r\\n\\x1b",
    ];
    let long = format!("/{}", "z".repeat(2000));
    let values = [
        "Origin: https://\u{202e}zqx\u{85}\r\n",
        "User-Agent: zqx\u{9b}31m\r\n",
        "X-Forwarded-For: zqx\u{2028}zqx\r\n",
        "Sec-WebSocket-Protocol: \u{2066}zqx\r\n",
    ];
    for path in nasty.iter().copied().chain([&*long]) {
        exchange(site.index, get(path, ""));
        drop(Raw::upgrade(site.counter, path));
        for value in values {
            exchange(site.counter, upgrade_request(path, value));
        }
    }
    exchange(site.counter, "GET /\u{1b}[31m\r\n\r\n");
    exchange(site.counter, "GET /\u{9b}31m HTTP/1.1\r\n\r\n");
    exchange(site.counter, "\u{7}\r\n\r\n");
    // The end of the last connection is told after its answer.
    let seen = || {
        let lines = site.daemon.lines();
        let ends = lines
            .iter()
            .filter(|line| line.contains("handshake refused"));
        (ends.count() >= nasty.len() + 1 + 3).then_some(lines)
    };
    let lines = wait_until("the lines of all refusals", PATIENCE, seen);
    for line in &lines {
        assert!(!is_raw(line), "{line:?}");
        assert!(line.len() < 500, "a line of {} bytes: {line}", line.len());
        let level = ["[INFO]", "[DEBUG]"]
            .iter()
            .any(|level| line.contains(level));
        assert!(level && !line.contains("[ERROR]\u{20}zqx"), "{line:?}");
    }
}
