//! Answers of servers that lie, are slow, or refuse.

use super::*;

#[test]
fn an_answer_that_lies_is_an_error() {
    let with = |more: &str| format!("{UPGRADE}{more}\r\n");
    let cases = [
        (
            with("").replace("ACCEPT", "x"),
            "wrong Sec-WebSocket-Accept",
        ),
        (
            with("").replace("Sec-WebSocket-Accept", "X"),
            "wrong Sec-WebSocket-Accept",
        ),
        (
            with("Sec-WebSocket-Accept: ACCEPT\r\n"),
            "more than one Sec-WebSocket-Accept",
        ),
        (
            with("Sec-WebSocket-Protocol: chat\r\n"),
            "subprotocol 'chat', which was not offered",
        ),
        (
            with("Sec-WebSocket-Extensions: x-a\r\n"),
            "extension 'x-a', which was not offered",
        ),
        (with("").replace("websocket", "h2c"), "does not upgrade"),
        (
            with("").replace("Connection: Upgrade", "Connection: close"),
            "does not upgrade",
        ),
        (with("").replace("1.1", "1.0"), "HTTP/1.0"),
        (with("").replace("1.1", "2.0"), "not HTTP/1.1"),
        (with("X\r\n"), "not HTTP/1.1"),
        (
            with(&"X: y\r\n".repeat(130)),
            "more headers than the limit of 128",
        ),
        (
            with(&format!("X: {}\r\n", "y".repeat(70_000))),
            "limit of 65536 bytes",
        ),
        (
            "SSH-2.0-OpenSSH\r\n".to_owned(),
            "begins with 'SSH-2.0-OpenSSH'",
        ),
        ("\x15\x03\x01\0\x02\x02\x16".to_owned(), "TLS; write wss://"),
        (
            "HTTP/1.1 100 Continue\r\n\r\n".repeat(20),
            "8 interim answers",
        ),
    ];
    for (answer, why) in cases {
        let peer = Peer::saying(answer);
        let error = fails(plainws::connect(&peer.url("/")));
        assert!(matches!(error, Error::Handshake { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}, not: {why}");
    }
}

#[test]
fn answers_that_come_before_the_answer_are_skipped() {
    let peer = Peer::saying(format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{UPGRADE}\r\n\u{1}"
    ));
    drop(plainws::connect(&peer.url("/")).unwrap());
}

#[test]
fn a_server_chooses_among_the_subprotocols_offered() {
    let more = "Sec-WebSocket-Protocol: chat.v1\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n";
    let peer = Peer::saying(format!("{UPGRADE}{more}\r\n\u{88}"));
    let client = Client::builder().subprotocols(["chat.v2", "chat.v1"]);
    let client = client.close_timeout(Duration::ZERO);
    let ws = client.origin("https://app.example").connect(&peer.url("/"));
    let ws = ws.unwrap();
    assert_eq!(ws.subprotocol(), Some("chat.v1"));
    let cookies = ws.response_headers();
    let cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"));
    assert_eq!(
        cookies.map(|(_, value)| value).collect::<Vec<_>>(),
        ["a=b", "c=d"]
    );
    drop(ws);
    let head = &peer.heads()[0];
    assert_eq!(
        header(head, "Sec-WebSocket-Protocol"),
        Some("chat.v2, chat.v1")
    );
    assert_eq!(header(head, "Origin"), Some("https://app.example"));

    // It may know none of them.
    let peer = Peer::saying(format!("{UPGRADE}\r\n"));
    let ws = client_of_chat().connect(&peer.url("/")).unwrap();
    assert_eq!(ws.subprotocol(), None);
}

fn client_of_chat() -> ClientBuilder {
    let client = Client::builder().subprotocols(vec!["chat".to_owned()]);
    client.close_timeout(Duration::ZERO)
}

#[test]
fn a_server_that_closes_without_an_answer_is_an_error_of_the_system() {
    let peer = Peer::new(|caller, _| drop(caller.head()));
    let error = fails(plainws::connect(&peer.url("/")));
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let text = format!("no answer from {}: the connection was closed", peer.address);
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_head_without_an_end_is_cut() {
    let peer = Peer::new(|caller, _| {
        caller.head();
        caller.say("HTTP/1.1 101 Switching Protocols\r\n");
        // Until the client has enough of it.
        while caller.say("X: y\r\n".repeat(100)) {}
    });
    let error = fails(plainws::connect(&peer.url("/")));
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
    let limits = ["limit of 65536 bytes", "limit of 128"];
    assert!(
        limits.iter().any(|limit| error.to_string().contains(limit)),
        "{error}"
    );
}

/// Sends a byte now and then, for as long as the client stays.
fn drip(caller: &mut Caller, bytes: impl IntoIterator<Item = u8>) {
    for byte in bytes {
        if !caller.say([byte]) || caller.is_gone_within(Duration::from_millis(5)) {
            return;
        }
    }
    caller.wait_end();
}

#[test]
fn a_head_that_drips_does_not_move_the_deadline() {
    let peer = Peer::new(|caller, _| {
        caller.head();
        drip(
            caller,
            b"HTTP/1.1 101 Switching Protocols\r\nX: "
                .iter()
                .copied()
                .chain([b'y'; 10_000]),
        );
    });
    let start = Instant::now();
    let client = Client::builder().open_timeout(Duration::from_millis(700));
    let error = fails(client.connect(&peer.url("/")));
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    let text = format!("no answer from {} within 700ms", peer.address);
    assert_eq!(error.to_string(), text);
}

#[track_caller]
fn refused(result: plainws::Result<Connection>) -> plainws::Refused {
    match fails(result) {
        Error::Refused(refused) => *refused,
        error => panic!("awaited a refusal, got {error}"),
    }
}

#[test]
fn a_refusal_is_told_with_what_it_says() {
    let long = "x".repeat(10_000);
    let chunks = "5\r\nsorry\r\n6;x=y\r\n, Zoë\r\n0\r\n\r\n";
    let cases = [
        (
            "200 OK\r\nContent-Length: 2\r\n\r\nhi, and more".to_owned(),
            200,
            "hi",
        ),
        (
            "403 No\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + chunks,
            403,
            "sorry, Zoë",
        ),
        (
            "403 No\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned() + chunks,
            403,
            "",
        ),
        (
            "403 No\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nxyz".to_owned(),
            403,
            "",
        ),
        (
            format!("404 No\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n{long}"),
            404,
            &long[..4096],
        ),
        (
            format!("404 No\r\nContent-Length: 10000\r\n\r\n{long}"),
            404,
            &long[..4096],
        ),
        ("500\r\nContent-Length: 0\r\n\r\n".to_owned(), 500, ""),
        ("302 Found\r\nContent-Length: 0\r\n\r\n".to_owned(), 302, ""),
        (
            "304 x\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(),
            304,
            "",
        ),
    ];
    for (answer, status, body) in cases {
        let peer = Peer::saying(format!("HTTP/1.1 {answer}"));
        let refused = refused(plainws::connect(&peer.url("/")));
        assert_eq!(
            (refused.status, &*refused.body),
            (status, body),
            "{answer:.80}"
        );
        assert_eq!(refused.proxy, None);
    }
    // HTTP/1.0 may refuse, only not upgrade.
    let peer =
        Peer::saying("HTTP/1.0 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 1\r\n\r\n?");
    let refused = refused(plainws::connect(&peer.url("/")));
    assert_eq!(refused.to_string(), "server answered HTTP 401: ?");
    let header = ("WWW-Authenticate".to_owned(), "Basic".to_owned());
    assert_eq!(refused.headers[0], header);
}

#[test]
fn a_body_that_does_not_end_holds_the_refusal_up_for_a_second() {
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked", "X: y"] {
        let peer = Peer::new(move |caller, _| {
            caller.head();
            caller.say(format!("HTTP/1.1 503 No\r\n{head}\r\n\r\n5\r\nsor"));
            drip(caller, [0; 0]);
        });
        let start = Instant::now();
        let refused = refused(plainws::connect(&peer.url("/")));
        assert!(
            start.elapsed() < Duration::from_secs(8),
            "{:?}",
            start.elapsed()
        );
        assert!(
            refused.status == 503 && refused.body.ends_with("sor"),
            "{refused:?}"
        );
    }
    // One that comes in drops is cut as well.
    let peer = Peer::new(|caller, _| {
        caller.head();
        caller.say("HTTP/1.1 503 No\r\n\r\n");
        drip(caller, [b'x'; 4000]);
    });
    let start = Instant::now();
    let body = refused(plainws::connect(&peer.url("/"))).body;
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    assert!(
        !body.is_empty() && body.len() < 4000,
        "{} bytes",
        body.len()
    );
}

#[test]
fn nobody_at_the_address_is_told_with_the_address() {
    // Bound, so that nobody else takes the port, and without a queue, so that it refuses.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
        .unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let error = fails(plainws::connect(&format!("ws://ada:secret@{address}/")));
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("cannot connect to {address}: ")),
        "{text}"
    );
    let error = fails(plainws::connect("ws://ada:secret@name.invalid/")).to_string();
    assert!(
        error.starts_with("cannot resolve name.invalid: "),
        "{error}"
    );
}

#[test]
fn a_host_with_two_addresses_is_reached_by_the_one_that_answers() {
    // localhost is ::1 first, where nobody listens.
    let peer = Peer::saying(format!("{UPGRADE}\r\n"));
    let client = Client::builder().close_timeout(Duration::ZERO);
    let ws = client.connect(&format!("ws://localhost:{}/", peer.address.port()));
    assert_eq!(
        ws.unwrap().peer_addr().to_string(),
        peer.address.to_string()
    );
}

/// All that a client sends before it has got an answer, while it waits for TLS.
#[track_caller]
fn said_without_tls(connect: impl FnOnce(&str) -> plainws::Result<Connection>) -> String {
    let (say, said) = std::sync::mpsc::channel();
    let peer = Peer::new(move |caller, _| {
        let mut buffer = [0; 4096];
        let read = caller.stream.read(&mut buffer).unwrap_or(0);
        say.send(String::from_utf8_lossy(&buffer[..read]).into_owned())
            .unwrap();
    });
    let error = fails(connect(&peer.address.to_string())).to_string();
    assert!(error.contains("TLS"), "{error}");
    said.recv_timeout(PATIENCE).expect("a connection")
}

#[test]
fn nothing_is_said_in_plain_text_where_tls_is_wanted() {
    let said = said_without_tls(|address| {
        let client = Client::builder().basic_auth("ada", "secret");
        client.connect(&format!("wss://{address}/"))
    });
    assert!(!said.contains("GET"), "{said:?}");
    let said = said_without_tls(|address| {
        let socket = TcpStream::connect(address).unwrap();
        Client::builder().connect_over("wss://localhost/", socket)
    });
    assert!(!said.contains("GET"), "{said:?}");
    let said = said_without_tls(|address| {
        let client = Client::builder().proxy(&*format!("https://ada:secret@{address}"));
        client.connect("ws://server.invalid/")
    });
    assert!(!said.contains("CONNECT"), "{said:?}");
    // An upgrade by a redirect.
    let said = said_without_tls(|address| {
        let location = format!("https://{address}/");
        let answer = format!("HTTP/1.1 301 x\r\nLocation: {location}\r\n\r\n");
        plainws::connect(&Peer::saying(answer).url("/"))
    });
    assert!(!said.contains("GET"), "{said:?}");
}
