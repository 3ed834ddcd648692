//! Request heads: their limits, what is no request, and opening handshakes.

use super::*;

#[test]
fn malformed_heads_are_refused() {
    let port = site(&[]);
    let port = port.counter;
    let lines = [
        "",
        "   |Host: localhost",
        "GET /",
        "G(T / HTTP/1.1|Host: localhost",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1| Host: localhost",
        "GET / HTTP/1.1|Host: localhost|Host: localhost",
    ];
    expect(port, 400, lines.map(head));
    let first_lines = [
        "GET / HTTP/1.1x",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET localhost:80 HTTP/1.1",
        "GET * HTTP/1.1",
        "GET counter HTTP/1.1",
        "GET  HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /#zqx HTTP/1.1",
        "GET ftp://localhost/ HTTP/1.1",
        "GET http://zqx/ HTTP/1.1",
        "GET http://zqx@localhost/ HTTP/1.1",
        "GET /zqxé HTTP/1.1",
        "GET /zqx\0 HTTP/1.1",
    ];
    expect(port, 400, first_lines.map(hosted));
    let hosts = [
        "",
        "zqx b",
        "zqx@localhost",
        "localhost/zqx",
        "localhost, zqx",
        "zqx:8x",
        "[::zqx]",
    ];
    expect(
        port,
        400,
        hosts.map(|host| head(&format!("GET /counter HTTP/1.1|Host: {host}"))),
    );
    let fields = [
        "X-Zqx: a\r\n zqx",
        "X-Zqx: a\r\n\tzqx",
        "X-Zqx : a",
        ": zqx",
        "X-Zqx",
        "X(zqx: a",
        "X: zqx\0",
        "X: zqx\x1b[31m",
        "X: zqx\rY: b",
    ];
    expect(
        port,
        400,
        fields.map(|field| get("/counter", &format!("{field}\r\n"))),
    );
    let bytes: [&[u8]; 2] = [
        b"GET /zqx\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX\x80: 1\r\n\r\n",
    ];
    expect(port, 400, bytes);
    let versions = [
        "GET / HTTP/1.2",
        "GET / HTTP/0.9",
        "GET / HTTP/2.0",
        "GET / HTTP/9.9",
        "PRI * HTTP/2.0",
    ];
    expect(port, 505, versions.map(hosted));
    // A proxy that checks whether we are there may send this.
    assert_eq!(
        exchange(port, hosted("OPTIONS /counter HTTP/1.1").as_bytes()).status,
        204
    );
    let methods = ["POST", "PUT", "DELETE", "TRACE", "PATCH", "get"];
    expect(
        port,
        405,
        methods.map(|method| hosted(&format!("{method} /counter HTTP/1.1"))),
    );
    expect(
        port,
        405,
        ["CONNECT localhost:80 HTTP/1.1", "OPTIONS * HTTP/1.1"].map(hosted),
    );
}

#[test]
fn lines_that_end_without_a_carriage_return_are_refused_at_once() {
    // A wait for more would end with 408.
    let site = site(&["--open-timeout", "3s"]);
    let heads = [
        "GET / HTTP/1.1\nHost: localhost\n\n",
        "GET / HTTP/1.1\nHost: localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\nX: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\n",
        "GET / HTTP/1.1\nHost: localhost\n\r\n",
    ];
    expect(site.counter, 400, heads);
}

#[test]
fn a_head_is_limited_in_all_its_parts() {
    let site = site(&[]);
    let target = |n: usize| format!("/{}", "z".repeat(n - 1));
    let page = |n: usize| get(&target(n), "");
    // Without the end of the line.
    let line = |n: usize| get("/none", &format!("X: {}\r\n", "z".repeat(n - 3)));
    // With the Host of `get`.
    let fields = |n: usize| get("/none", &"X: 1\r\n".repeat(n - 1));
    let whole = |n: usize| {
        let filler = format!("X: {}\r\n", "z".repeat(1000)).repeat(16);
        let rest = n - get("/none", &filler).len() - "Y: \r\n".len();
        get("/none", &(filler + &format!("Y: {}\r\n", "z".repeat(rest))))
    };
    // As a browser with many of them.
    let cookies = get(
        "/none",
        &format!("Cookie: {}\r\n", "c=0123456789; ".repeat(500)),
    );
    let fits = [page(2048), cookies, line(8192), fields(64), whole(16_384)];
    assert_eq!(fits[4].len(), 16_384);
    expect(site.index, 404, fits);
    let before = site.daemon.cpu();
    expect(site.index, 414, [page(2049), page(100_000), page(1 << 20)]);
    let large = [
        line(8193),
        line(65_536),
        fields(65),
        fields(125),
        fields(3000),
        whole(16_385),
    ];
    expect(site.index, 431, large);
    expect(site.index, 431, [whole(1 << 20), line(20_000_000)]);
    let used = site.daemon.cpu() - before;
    assert!(used < Duration::from_secs(1), "refusing them took {used:?}");
    expect(site.counter, 101, [upgrade_request(&target(2048), "")]);
    expect(site.counter, 414, [upgrade_request(&target(2049), "")]);
    // RFC 9112, section 2.2: an empty line before the request is skipped.
    expect(site.index, 200, ["\r\n".to_owned() + &get("/counter", "")]);
    expect(site.index, 414, ["\r\n".to_owned() + &page(2049)]);

    // What cannot become a good head is refused before it ends.
    let head = "GET /counter HTTP/1.1\r\nHost: localhost\r\n";
    let fields = format!("X: {}\r\n", "z".repeat(90)).repeat(200);
    expect(site.counter, 400, ["z".repeat(1000)]);
    expect(site.counter, 414, [format!("GET {}", target(2049))]);
    let large = [
        format!("{head}X: {}", "z".repeat(8192)),
        format!("{head}{fields}"),
    ];
    expect(site.counter, 431, large);
}

#[test]
fn a_head_without_its_end_is_no_request() {
    let site = site(&[]);
    for head in ["G", "GET / HTTP/1.1\r\n", "GET /\r\n", ""] {
        let mut raw = Raw::connect(site.counter);
        raw.send(head.as_bytes());
        raw.stream.shutdown(std::net::Shutdown::Write).unwrap();
        if head.is_empty() {
            assert_eq!(raw.rest(), b"", "who said nothing is told nothing");
            continue;
        }
        let answer = raw.answer();
        assert_eq!(answer.status, 400, "{head:?}: {answer:?}");
        assert_eq!(blemish(&answer, false), None, "{head:?}");
    }
}

#[test]
fn a_body_is_refused_and_never_taken_for_a_second_request() {
    let site = site(&[]);
    let second = get("/healthz", "");
    let length = second.len();
    let with = |lines: &str| get("/counter", &(lines.to_owned() + "\r\n")) + &second;
    let chunked = format!("{length:x}\r\n{second}\r\n0\r\n\r\n");
    let in_chunks = |lines: &str| get("/counter", lines) + &chunked;
    // `expect` finds a second answer, as it makes the body longer than Content-Length says.
    let bodies = [
        with(&format!("Content-Length: {length}")),
        with("Content-Length: -1"),
        with("Content-Length: +0"),
        with("Content-Length: 5, 6"),
        with("Content-Length: 0\r\nContent-Length: 5"),
        in_chunks("Transfer-Encoding: chunked\r\n"),
        in_chunks("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
    ];
    expect(site.counter, 400, bodies);
    let posted = format!("POST /counter HTTP/1.1|Host: localhost|Content-Length: {length}");
    expect(site.counter, 405, [head(&posted) + &second]);
    let none = ["Content-Length: 0", "X: y", "Upgrade: websocket"];
    expect(site.counter, 200, none.map(with));
}

#[test]
fn a_request_may_arrive_in_pieces() {
    let site = site(&[]);
    let page = get("/counter", "");
    let mut socket = upgrade_request("/counter", "").into_bytes();
    socket.extend(raw::text(r#"{"action":"x"}"#));
    let mut halves = Vec::new();
    for request in [page.as_bytes(), &socket] {
        for cut in 1..request.len() {
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
        let expected = if request == socket { 101 } else { 200 };
        assert_eq!(answer.status, expected, "cut at {cut}: {answer:?}");
        while expected == 101 && !raw.message().text().contains("unknown action") {}
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
        assert_eq!(raw.answer().status, 101);
        raw.send(later);
        assert_eq!(raw.message().text(), format!("Hello {name}!"));
        assert_eq!(raw.close_frame().0, 1000);
    }
}

/// An opening request, with parts of it replaced.
fn changed(path: &str, from: &str, to: &str) -> String {
    let plain = upgrade_request(path, "");
    assert!(plain.contains(from), "{from}");
    plain.replace(from, to)
}

#[test]
fn legal_upgrades_are_accepted() {
    let site = site(&[]);
    let with = |from: &str, to: &str| changed("/counter", from, to);
    let connection = |value: &str| with("Connection: Upgrade", &format!("Connection: {value}"));
    let upgrade = |value: &str| with("Upgrade: websocket", value);
    let more = |lines: &str| upgrade_request("/counter", &(lines.to_owned() + "\r\n"));
    let deflate = "; client_max_window_bits=15".repeat(250);
    let small = with("Sec-WebSocket", "sec-websocket").replace("Upgrade:", "upgrade:");
    let mut rows: Vec<Vec<u8>> = [
        more("X: as usual"),
        connection("keep-alive\r\nConnection: Upgrade"),
        connection("keep-alive,\tUpgrade"),
        connection("upgrade,keep-alive"),
        connection(", ,Upgrade,"),
        upgrade("Upgrade: h2c, websocket"),
        upgrade("Upgrade: h2c\r\nUpgrade: websocket"),
        upgrade("UPGRADE: WebSocket"),
        small,
        with("Key: ", "Key: \t ").replace("==\r\n", "== \t\r\n"),
        with(": ", ":"),
        with("GET /counter", "GET http://localhost/counter"),
        more(&format!(
            "Sec-WebSocket-Extensions: permessage-deflate; a=\"b, \\\" c\"{deflate}"
        )),
        more("Sec-WebSocket-Protocol: chat, superchat"),
        more("Expect: 100-continue"),
        more("Content-Length: 0"),
    ]
    .map(String::into_bytes)
    .into();
    // No UTF-8.
    let mut latin = upgrade_request("/counter", "X-Name: Jos?\r\n").into_bytes();
    let at = latin.iter().position(|byte| *byte == b'?').unwrap();
    latin[at] = 0xe9;
    rows.push(latin);
    for request in &rows {
        let answer = exchange(site.counter, request);
        let request = String::from_utf8_lossy(request);
        assert_eq!(answer.status, 101, "{request}: {answer:?}");
        for (name, expected) in [
            ("Upgrade", Some("websocket")),
            ("Connection", Some("Upgrade")),
            ("Sec-WebSocket-Accept", Some(ACCEPT)),
            // What is not agreed on must not be answered.
            ("Sec-WebSocket-Extensions", None),
            ("Sec-WebSocket-Protocol", None),
        ] {
            assert_eq!(answer.header(name), expected, "{request}: {answer:?}");
        }
    }
}

#[test]
fn faulty_upgrades_get_their_status() {
    let site = site(&[]);
    // Of the counter alone: a path without a page.
    let with = |from: &str, to: &str| changed("/websocket2", from, to);
    let version = |value: &str| with("Version: 13", &format!("Version: {value}"));
    let bad_versions = [
        "8",
        "12",
        "14",
        "013",
        "13, 8",
        "13\r\nSec-WebSocket-Version: 8",
    ];
    expect(site.counter, 426, bad_versions.map(version));
    let no_upgrades = [
        get("/websocket2", ""),
        get("/websocket2", "Connection: upgrade\r\n"),
        with("Connection: Upgrade\r\n", ""),
        with("Connection: Upgrade", "Connection: keep-alive"),
        with("Upgrade: websocket\r\n", ""),
        with("Upgrade: websocket", "Upgrade: h2c"),
        with("HTTP/1.1", "HTTP/1.0"),
        with("GET", "HEAD"),
        with("Sec-WebSocket-Version: 13\r\n", ""),
    ];
    // A page would tell a client nothing whose upgrade got lost on the way.
    let lost = get(
        "/counter",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    );
    expect(site.index, 426, [lost]);
    // As a proxy that speaks HTTP/1.0 has to be told.
    assert!(
        exchange(site.counter, &no_upgrades[6])
            .body
            .contains("HTTP/1.1")
    );
    expect(site.counter, 426, no_upgrades);
    expect(site.counter, 405, [with("GET", "POST")]);
    let line = format!("Sec-WebSocket-Key: {KEY}\r\n");
    expect(
        site.counter,
        400,
        [with(&line, ""), with(&line, &line.repeat(2))],
    );
    let keys = [
        "",
        "zqx",
        "zqxzqxzqxzqxzqxzqxzq",
        "zqxzqxzqxzqxzqxzqxzqxzA=",
        &KEY[..23],
        &format!("{KEY}="),
        &"z".repeat(1000),
        "zqx!zqx!zqx!zqx!zqx!zA==",
        "zqx zqx zqx zqx zqx zA==",
    ];
    expect(site.counter, 400, keys.map(|key| with(KEY, key)));
}
