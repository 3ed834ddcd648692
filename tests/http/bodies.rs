//! Requests with bodies, other methods than GET, and files, against a server in this process.

use std::io::{Read, Write};
use std::time::Instant;

use plainws::{Answer, Request, Response, Server, ServerBuilder};

use super::*;

const LIMIT: usize = 100;

/// Echoes bodies with their method; tells the user who has a socket.
fn builder() -> ServerBuilder {
    let echo = |request: &Request, body: Vec<u8>| {
        let said = format!("{} {}", request.method(), String::from_utf8_lossy(&body));
        Response::new(200, "text/plain", said.into_bytes())
    };
    let server = Server::builder(|ws| ws.send(ws.user().unwrap_or("nobody")));
    let server = server.route(move |request| match (request.path(), request.method()) {
        ("/user", _) => {
            Some(Answer::upgrade(|ws| ws.send(ws.user().unwrap_or("nobody"))).user("me"))
        }
        ("/page", _) => Some(Response::text(200, "a page").into()),
        ("/", "GET") => None,
        _ => Some(Answer::receive(LIMIT, echo)),
    });
    server.listen("127.0.0.1:0")
}

fn start(server: ServerBuilder) -> (Server, u16) {
    let server = server.start().unwrap();
    let port = server.local_addr().port().unwrap();
    (server, port)
}

fn request(method: &str, lines: &str, body: &str) -> String {
    hosted(&format!("{method} /x HTTP/1.1{lines}")) + body
}

fn length(method: &str, body: &str) -> String {
    request(method, &format!("|Content-Length: {}", body.len()), body)
}

fn chunked(body: &str) -> String {
    request("POST", "|Transfer-Encoding: chunked", body)
}

#[test]
fn a_body_comes_whole_or_is_refused_with_its_status() {
    let (server, port) = start(builder());
    let full = "x".repeat(LIMIT);
    let too_many = format!("{}0\r\n\r\n", "1;extension=yes\r\nx\r\n".repeat(LIMIT));
    let hex = format!("{LIMIT:x}\r\n{full}\r\n");
    let long = format!("{}\r\n", "1".repeat(17_000));
    let trailer = format!("0\r\n{}\r\n", "X: y\r\n".repeat(5000));
    let rows = [
        (length("POST", "one"), 200, "POST one"),
        (length("PUT", ""), 200, "PUT "),
        (length("PATCH", "ä"), 200, "PATCH ä"),
        (length("DELETE", "why"), 200, "DELETE why"),
        (request("DELETE", "", ""), 200, "DELETE "),
        (request("FOO", "", ""), 200, "FOO "),
        (length("POST", &full), 200, "POST xxx"),
        (
            length("POST", "one") + "GET / HTTP/1.1\r\n\r\n",
            200,
            "POST one",
        ),
        (length("POST", &format!("{full}x")), 413, "100 bytes"),
        (
            request("POST", "|Content-Length: 18446744073709551615", ""),
            400,
            "number",
        ),
        (
            request("POST", "|Content-Length: 9223372036854775807", ""),
            413,
            "100 bytes",
        ),
        (request("POST", "", "x"), 411, "Content-Length"),
        (request("PUT", "", ""), 411, "Content-Length"),
        (
            request("POST", "|Expect: magic|Content-Length: 1", "x"),
            417,
            "100-continue",
        ),
        (chunked("0\r\n\r\n"), 200, "POST "),
        (
            chunked("3\r\none\r\n2;a=b\r\n, \r\n3\r\ntwo\r\n0\r\nX: y\r\n\r\n"),
            200,
            "POST one, two",
        ),
        (chunked(&too_many), 200, "POST xxx"),
        (chunked(&format!("{hex}0\r\n\r\n")), 200, "POST xxx"),
        (
            chunked(&format!("{hex}1\r\nx\r\n0\r\n\r\n")),
            413,
            "100 bytes",
        ),
        (chunked("fffffffffffffff\r\n"), 413, "100 bytes"),
        (chunked("fffffffffffffffff\r\n"), 400, "hexadecimal"),
        (chunked("-1\r\n"), 400, "hexadecimal"),
        (chunked("x\r\n"), 400, "hexadecimal"),
        (
            chunked("3\r\nfour\r\n0\r\n\r\n"),
            400,
            "a chunk does not end",
        ),
        (chunked(&long), 400, ""),
        (chunked(&trailer), 400, "beside the chunks"),
    ];
    for (bytes, status, said) in rows {
        let answer = exchange(port, bytes.as_bytes());
        assert_eq!(answer.status, status, "{bytes:.200}: {answer:?}");
        assert!(answer.body.contains(said), "{bytes:.200}: {answer:?}");
    }
    // What has no body, and what is no socket.
    assert_eq!(
        exchange(port, hosted("POST /page HTTP/1.1").as_bytes()).status,
        200
    );
    let socket = upgrade_request("/user", "").replace("GET", "POST");
    assert_eq!(exchange(port, socket.as_bytes()).status, 405);
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn a_body_may_come_in_pieces_but_not_for_ever() {
    let (server, port) = start(builder().open_timeout(Duration::from_secs(1)));
    let bytes = chunked("3\r\none\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n").into_bytes();
    let head = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    for cut in head..bytes.len() {
        let mut raw = Raw::connect(port);
        raw.send(&bytes[..cut]);
        raw.stream.flush().unwrap();
        std::thread::yield_now();
        raw.send(&bytes[cut..]);
        assert_eq!(raw.answer().body, "POST one!", "cut at {cut}");
    }
    let begun = Instant::now();
    let mut slow = Raw::connect(port);
    slow.send(&bytes[..head + 2]);
    let mut cut = Raw::connect(port);
    cut.send(&bytes[..head + 2]);
    cut.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(cut.answer().status, 400);
    assert_eq!(slow.answer().status, 408);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn who_awaits_100_continue_gets_it_if_the_body_is_wanted() {
    let (server, port) = start(builder());
    let expect = |length: &str| {
        request(
            "PUT",
            &format!("|Expect: 100-continue|Content-Length: {length}"),
            "",
        )
    };
    let mut raw = Raw::connect(port);
    raw.send(expect("3").as_bytes());
    let mut go_on = [0; 25];
    raw.stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(b"one");
    assert_eq!(raw.answer().body, "PUT one");
    let mut large = Raw::connect(port);
    large.send(expect("101").as_bytes());
    assert_eq!(large.answer().status, 413);
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let open = start(builder());
    let shared = start(builder().origins(["https://a.example", "none"]));
    let host = |port: u16| format!("http://localhost:{port}");
    // Whether it may post: to a server without a list of origins, and to one with it.
    let rows = [
        ("", true, true),
        ("|Origin: https://a.example", false, true),
        ("|Origin: https://b.example", false, false),
        ("|Origin: null", false, false),
        ("|Origin: null|Sec-Fetch-Site: same-origin", true, false),
        ("|Origin: null|Sec-Fetch-Site: cross-site", false, false),
        ("|Origin: SELF", true, false),
        ("|Origin: SELF|Sec-Fetch-Site: same-origin", true, false),
        ("|Sec-Fetch-Site: cross-site", false, false),
        ("|Sec-Fetch-Site: same-site", false, false),
        ("|Sec-Fetch-Site: none", true, true),
        (
            "|Origin: https://a.example|Origin: https://a.example",
            false,
            false,
        ),
        (
            "|Origin: https://a.example|Sec-Fetch-Site: cross-site",
            false,
            true,
        ),
    ];
    for (lines, to_open, to_shared) in rows {
        for (port, fine) in [(open.1, to_open), (shared.1, to_shared)] {
            let lines = lines.replace("SELF", &host(port));
            let lines = format!("POST /x HTTP/1.1|Host: localhost:{port}{lines}|Content-Length: 1");
            let answer = exchange(port, (head(&lines) + "x").as_bytes());
            assert_eq!(
                answer.status,
                if fine { 200 } else { 403 },
                "{lines}: {answer:?}"
            );
            let allowed = answer.header("Access-Control-Allow-Origin");
            let named = fine && port == shared.1 && lines.contains("a.example");
            assert_eq!(allowed, named.then_some("https://a.example"), "{lines}");
        }
    }
    // The question before.
    let asks = |origin: &str| {
        let lines = "OPTIONS /x HTTP/1.1|Access-Control-Request-Method: PUT|Access-Control-Request-Headers: x-a";
        hosted(&format!("{lines}|Origin: {origin}"))
    };
    let answer = exchange(shared.1, asks("https://a.example").as_bytes());
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.header("Access-Control-Allow-Headers"), Some("x-a"));
    assert!(
        answer
            .header("Access-Control-Allow-Methods")
            .unwrap()
            .contains("PUT")
    );
    assert_eq!(
        exchange(shared.1, asks("https://b.example").as_bytes()).status,
        403
    );
    assert_eq!(
        exchange(open.1, asks("https://a.example").as_bytes()).status,
        403
    );
}

#[test]
fn a_handler_knows_whom_the_route_let_in() {
    let (server, port) = start(builder());
    for (path, user) in [("/user", "me"), ("/", "nobody")] {
        let ws = plainws::connect(&format!("ws://127.0.0.1:{port}{path}")).unwrap();
        assert_eq!(ws.recv().unwrap(), user);
        assert_eq!(ws.user(), None);
    }
    assert!(server.shutdown(PATIENCE));
}

#[test]
fn a_file_is_sent_as_long_as_it_was_or_seen_to_be_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let content = vec![b'a'; 3 << 20];
    fs::write(&path, &content).unwrap();
    let shown = path.clone();
    let server = Server::builder(|_| Ok(())).route(move |request| {
        let part = match request.query() {
            Some("part") => 10..20,
            Some("large") => 0..64 << 20,
            _ => 0..3 << 20,
        };
        let file = fs::File::open(&shown).unwrap();
        Some(Response::file("application/x-a", file, part).into())
    });
    let (server, port) = start(server.listen("127.0.0.1:0"));
    let answer = exchange(port, hosted("GET / HTTP/1.1").as_bytes());
    assert_eq!(answer.header("Content-Length"), Some("3145728"));
    assert_eq!(answer.header("Content-Type"), Some("application/x-a"));
    assert!(answer.body.as_bytes() == content);
    assert_eq!(
        exchange(port, hosted("GET /?part HTTP/1.1").as_bytes()).body,
        "a".repeat(10)
    );
    let headless = exchange(port, hosted("HEAD / HTTP/1.1").as_bytes());
    assert_eq!(
        (headless.header("Content-Length"), &*headless.body),
        (Some("3145728"), "")
    );
    // It shrinks before the rest of it is read: more than any socket takes at once stands in between.
    let whole = 64 << 20;
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(whole)
        .unwrap();
    let mut slow = Raw::connect(port);
    slow.send(hosted("GET /?large HTTP/1.1").as_bytes());
    let head = slow.until("\r\n\r\n");
    assert!(
        head.contains(&format!("Content-Length: {whole}\r\n")),
        "{head}"
    );
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(100)
        .unwrap();
    let rest = slow.rest().len() as u64;
    assert!(rest < whole, "{rest} bytes came of a file that shrank");
    assert!(server.shutdown(PATIENCE));
}
