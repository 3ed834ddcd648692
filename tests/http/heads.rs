//! Request heads: their limits, and what is no request.

use super::*;

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
