//! Answers of servers that lie, are slow, or refuse.

use super::*;

/// Who answers as `response.rs` tests it is left out but for one row of a kind.
#[test]
fn an_answer_that_lies_is_an_error() {
    let swap = |from: &str, to: &str| UPGRADE.replace(from, to);
    let long = "X: ".to_owned() + &"y".repeat(70_000);
    let rows = [
        (swap("ACCEPT", "x"), "wrong Sec-WebSocket-Accept"),
        (upgrade_with("Sec-WebSocket-Protocol: x"), "protocol 'x'"),
        (upgrade_with("Sec-WebSocket-Extensions: y"), "extension 'y'"),
        (swap("websocket", "h2c"), "does not upgrade"),
        (swap(": Upgrade", ": close"), "does not upgrade"),
        (swap("1.1", "1.0"), "HTTP/1.0"),
        (swap("1.1", "2.0"), "not HTTP/1.1"),
        (upgrade_with("X"), "not HTTP/1.1"),
        (upgrade_with(&"X: y\r\n".repeat(130)), "limit of 128"),
        (upgrade_with(&long), "limit of 65536"),
        ("SSH-2.0-x\r\n".to_owned(), "begins with 'SSH-2.0-x'"),
        ("\x15\x03\x01\0\x02\x02".to_owned(), "TLS; write wss://"),
        ("HTTP/1.1 100 x\r\n\r\n".repeat(20), "8 interim answers"),
    ];
    for (answer, why) in rows {
        let peer = Peer::saying(answer);
        let why = format!("Handshake: *{why}*");
        fails(plainws::connect(&peer.url("/")), &why);
    }
    // A head without an end, too.
    let endless = plainws::connect(&Peer::endless().url("/"));
    fails(endless, "Handshake: *limit of *");
}

#[test]
fn a_server_chooses_among_the_subprotocols_offered() {
    let lines = "Sec-WebSocket-Protocol: v1\r\nSet-Cookie: a=b\r\nset-cookie: c=d";
    // What comes before the answer is skipped.
    let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    let peer = Peer::saying(early.to_owned() + &upgrade_with(lines));
    let client = client().subprotocols(["v2", "v1"]).origin("https://a.b");
    let ws = client.connect(&peer.url("/")).unwrap();
    assert_eq!(ws.subprotocol(), Some("v1"));
    let cookies = ws.response_headers();
    let cookies = cookies.filter(|(name, _)| name.eq_ignore_ascii_case("Set-Cookie"));
    let cookies: Vec<_> = cookies.map(|(_, value)| value).collect();
    assert_eq!(cookies, ["a=b", "c=d"]);
    drop(ws);
    let head = &peer.heads()[0];
    let offered = ["Sec-WebSocket-Protocol", "Origin"].map(|name| header(head, name));
    assert_eq!(offered, [Some("v2, v1"), Some("https://a.b")]);
    // It may know none of them.
    let peer = Peer::saying(UPGRADE);
    let ws = client.connect(&peer.url("/")).unwrap();
    assert_eq!(ws.subprotocol(), None);
}

/// Sends a byte now and then, for as long as the client stays.
fn drip(caller: &mut Caller, bytes: &[u8]) {
    for byte in bytes {
        if !caller.say([*byte]) || caller.0.ends_within(Duration::from_millis(5)) {
            return;
        }
    }
    caller.wait_end();
}

#[test]
fn a_head_that_drips_does_not_move_the_deadline() {
    let peer = Peer::new(|caller, _| {
        caller.answer("HTTP/1.1 101 Switching Protocols\r\nX: ");
        drip(caller, &[b'y'; 10_000]);
    });
    let start = Instant::now();
    let result = impatient().connect(&peer.url("/"));
    took_less_than(20, start);
    fails(result, "TimedOut: no answer from 127.0.0.1:* within 700ms");
}

#[track_caller]
fn refused(answer: String) -> plainws::Refused {
    match plainws::connect(&Peer::saying(answer).url("/")) {
        Err(Error::Refused(refused)) => *refused,
        other => panic!("awaited a refusal, got {other:?}"),
    }
}

#[test]
fn a_refusal_is_told_with_what_it_says() {
    const CHUNKS: &str = "5\r\nsorry\r\n6;x=y\r\n, Zoë\r\n0\r\n\r\n";
    let long = "x".repeat(10_000);
    let sized = |length: usize, body: &str| format!("Content-Length: {length}\r\n\r\n{body}");
    let coded = |coding: &str, body: &str| format!("Transfer-Encoding: {coding}\r\n\r\n{body}");
    let chunk = format!("2710\r\n{long}");
    let cases = [
        ("200 OK", sized(2, "hi, and more"), "hi"),
        ("403 No", coded("chunked", CHUNKS), "sorry, Zoë"),
        ("403 No", coded("gzip, chunked", CHUNKS), ""),
        ("403 x\r\nContent-Encoding: br", sized(3, "xyz"), ""),
        ("404 No", sized(10_000, &long), &long[..4096]),
        ("404 No", coded("chunked", &chunk), &long[..4096]),
        ("500", sized(0, ""), ""),
        ("302 Found", sized(0, ""), ""),
        ("304 x\r\nLocation: /", sized(0, ""), ""),
    ];
    for (line, rest, body) in cases {
        let refused = refused(format!("HTTP/1.1 {line}\r\n{rest}"));
        assert_eq!(refused.status.to_string(), line[..3]);
        assert_eq!((&*refused.body, refused.proxy), (body, None), "{line}");
    }
    // HTTP/1.0 may refuse, only not upgrade.
    let login = "WWW-Authenticate: Basic\r\n";
    let refused = refused(format!("HTTP/1.0 401 x\r\n{login}{}", sized(1, "?")));
    assert_eq!(refused.to_string(), "server answered HTTP 401: ?");
    let header = ("WWW-Authenticate".to_owned(), "Basic".to_owned());
    assert_eq!(refused.headers[0], header);
}

#[test]
fn a_body_that_does_not_end_holds_the_refusal_up_for_a_second() {
    // The last one comes in drops, and is cut.
    for (head, begun, drops, said) in [
        ("Content-Length: 9", "sor", 0, "sor"),
        ("Transfer-Encoding: chunked", "5\r\nsor", 0, "sor"),
        ("X: y", "sor", 0, "sor"),
        ("X: y", "x", 4000, "x*x"),
    ] {
        let peer = Peer::new(move |caller, _| {
            caller.answer(&format!("HTTP/1.1 503 No\r\n{head}\r\n\r\n{begun}"));
            drip(caller, &vec![b'x'; drops]);
        });
        let start = Instant::now();
        let result = plainws::connect(&peer.url("/"));
        took_less_than(8, start);
        let said = format!("Refused: server answered HTTP 503: {said}");
        fails(result, &said);
    }
}

#[test]
fn who_cannot_be_reached_is_told_with_the_address() {
    let (_bound, refuses) = nobody();
    let gone = Peer::gone();
    let ends = |host: &str, pattern: &str| {
        let url = format!("ws://ada:secret@{host}/");
        fails(plainws::connect(&url), &pattern.replace("HOST", host));
    };
    ends(&refuses.to_string(), "Io: cannot connect to HOST: *");
    ends("name.invalid", "Io: cannot resolve name.invalid: *");
    let closed = "Io: no answer from HOST: the connection was closed";
    ends(&gone.address.to_string(), closed);
}

#[test]
fn a_host_with_two_addresses_is_reached_by_the_one_that_answers() {
    // localhost is ::1 first, where nobody listens.
    let peer = Peer::saying(UPGRADE);
    let ws = client().connect(&format!("ws://localhost:{}/", peer.address.port()));
    let reached = ws.unwrap().peer_addr().to_string();
    assert_eq!(reached, peer.address.to_string());
}

/// All that a client sends before it has got an answer, while it waits for TLS.
#[test]
fn nothing_is_said_in_plain_text_where_tls_is_wanted() {
    type Connect = fn(&str) -> plainws::Result<Connection>;
    let ways: [(&str, Connect); 4] = [
        ("a URL", |at| {
            let client = Client::builder().basic_auth("ada", "secret");
            client.connect(&format!("wss://{at}/"))
        }),
        ("a given socket", |at| {
            let socket = TcpStream::connect(at).unwrap();
            Client::builder().connect_over("wss://localhost/", socket)
        }),
        ("a proxy", |at| {
            let client = Client::builder().proxy(&*format!("https://ada:secret@{at}"));
            client.connect("ws://server.invalid/")
        }),
        ("an upgrade by a redirect", |at| {
            let answer = redirect(&format!("https://{at}/"));
            plainws::connect(&Peer::saying(answer).url("/"))
        }),
    ];
    for (way, connect) in ways {
        let (say, said) = std::sync::mpsc::channel();
        let peer = Peer::new(move |caller, _| {
            let mut buffer = [0; 4096];
            let read = caller.0.stream.read(&mut buffer).unwrap_or(0);
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            say.send(text).unwrap();
        });
        fails(connect(&peer.address.to_string()), "*TLS*");
        let said = said.recv_timeout(PATIENCE).expect(way);
        let plain = ["GET", "CONNECT"].iter().any(|word| said.contains(word));
        assert!(!plain, "{way}: {said:?}");
    }
}
