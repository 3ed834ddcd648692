//! The server's side: policy, openings that come to nothing, and messages through TLS.

use std::net::Shutdown;

use openssl::ssl::{Ssl, SslContext, SslMethod};

use super::*;
use crate::support::hubs::{registering, wait_registered};
use crate::support::raw::{unread, upgrade_request};

/// The daemon with a certificate for localhost, one listener, and `-v`.
#[track_caller]
fn daemon(app: &str, more: &[&str]) -> (Daemon, u16) {
    with(&LOCALHOST, app, more)
}

#[track_caller]
fn with(certificate: &Certificate, app: &str, more: &[&str]) -> (Daemon, u16) {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", certificate.combined());
    // It is read before the first line of the log.
    serve(app, &file, &[&["-v"], more].concat())
}

/// A server of the library, which sends every message back.
fn echo() -> (Server, u16) {
    let echo = |ws: &Connection| {
        for message in ws {
            ws.write(message?)?;
        }
        Ok(())
    };
    let server = Server::builder(echo).max_size(2 << 20).ping_interval(None);
    start(server)
}

fn start(server: plainws::ServerBuilder) -> (Server, u16) {
    let server = server.listen_tls("127.0.0.1:0", &LOCALHOST.tls());
    let server = server.start().expect("the server starts");
    let port = server.local_addr().port().expect("a port");
    (server, port)
}

/// The bytes of a ClientHello, as OpenSSL makes them.
fn client_hello() -> Vec<u8> {
    /// Keeps what is written, and has nothing to read yet.
    #[derive(Debug)]
    struct Keep(Vec<u8>);
    impl Write for Keep {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Read for Keep {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WouldBlock.into())
        }
    }
    let context = SslContext::builder(SslMethod::tls_client())
        .unwrap()
        .build();
    let ssl = Ssl::new(&context).unwrap();
    match ssl.connect(Keep(Vec::new())) {
        Err(openssl::ssl::HandshakeError::WouldBlock(waiting)) => waiting.get_ref().0.clone(),
        other => panic!("a handshake without a peer: {other:?}"),
    }
}

#[track_caller]
fn is_healthy(port: u16) {
    let mut client = Secure::connect(port);
    client.send(get("/healthz", "").as_bytes());
    let answer = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[track_caller]
fn wait_gone(daemon: &Daemon) {
    let gone = || (daemon.clients() == 0).then_some(());
    wait_until("the threads of clients to end", PATIENCE, gone);
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

// ---- Policy -----------------------------------------------------------------------------------

#[test]
fn plain_http_at_a_tls_port_is_told_of_https_in_plain_text() {
    let (daemon, port) = daemon("counter", &["--open-timeout", "1s"]);
    for request in [
        get("/", ""),
        upgrade_request("/", ""),
        "\r\n".to_owned() + &get("/", ""),
        "HEAD / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let answer = exchange(port, &request);
        assert_eq!(answer.status, 400, "{request}: {answer:?}");
        assert!(answer.body.contains("https://"), "{request}: {answer:?}");
        assert!(answer.body.contains("wss://"), "{request}: {answer:?}");
    }
    // Half a request has the same deadline as elsewhere.
    let mut half = Raw::connect(port);
    half.send(b"GET / HTTP/1.1\r\n");
    assert_eq!(half.answer().status, 408);
    wait_gone(&daemon);
}

#[test]
fn tls_at_a_plain_port_is_closed_and_told_in_the_log() {
    let (daemon, port) = raw::serve("counter", &["-v"]);
    let mut client = Raw::connect(port);
    client.send(&client_hello());
    let start = Instant::now();
    assert_eq!(client.rest(), b"", "plain text would help nobody");
    assert!(start.elapsed() < SLACK / 2, "closed at once");
    daemon.wait_line("handshake failed: TLS came to a plain port");
    let failed = Client::builder()
        .insecure()
        .connect(&format!("wss://127.0.0.1:{port}/"));
    failed.expect_err("a plain server has no TLS");
    wait_gone(&daemon);
}

// ---- Openings that come to nothing ------------------------------------------------------------

#[test]
fn openings_that_take_their_time_are_cut_at_the_deadline_and_hold_no_place() {
    const LIMIT: Duration = Duration::from_secs(3);
    let args = ["--open-timeout", "3s", "--max-connections", "1"];
    let (daemon, port) = daemon("hello", &args);
    is_healthy(port);
    wait_gone(&daemon);
    let descriptors = daemon.descriptors();
    let hello = client_hello();
    let start = Instant::now();
    let mut slow: Vec<Raw> = (0..30)
        .map(|i| {
            let mut raw = Raw::connect(port);
            // Silent, the start of a record, half a ClientHello, a whole one and nothing behind.
            raw.send(
                [
                    &b""[..],
                    b"\x16",
                    b"\x16\x03\x01\x02\0\x01",
                    &hello[..hello.len() / 2],
                    &hello,
                ][i % 5],
            );
            raw
        })
        .collect();
    let mut dripping = Raw::connect(port);
    let mut writer = dripping.stream.try_clone().expect("a second handle");
    let drip = hello.clone();
    thread::scope(|scope| {
        let dripped = scope.spawn(move || {
            // At this pace it would take longer than the deadline by far.
            drip.iter().all(|byte| {
                thread::sleep(Duration::from_millis(100));
                writer.write_all(&[*byte]).is_ok()
            })
        });
        // The one place is free for who makes it.
        let ca = Client::builder().ca(LOCALHOST.pem());
        let ws = ca.connect(&format!("wss://localhost:{port}/"));
        let ws = ws.expect("a place is free");
        ws.send("Rust").expect("the connection is open");
        assert_eq!(next(&ws), Message::from("Hello Rust!"));
        assert_eq!(end(&ws).code(), CloseCode::NORMAL);
        drop(ws);
        for (i, raw) in slow.iter_mut().enumerate() {
            let told = raw.rest();
            let elapsed = start.elapsed();
            assert!(elapsed >= LIMIT * 9 / 10, "{i}: cut after {elapsed:?}");
            assert!(elapsed < LIMIT + SLACK, "{i}: cut after {elapsed:?}");
            // What came of a whole ClientHello is the server's part of a handshake.
            assert_eq!(told.is_empty(), i % 5 != 4, "{i}: {} bytes", told.len());
        }
        dripping.rest();
        let elapsed = start.elapsed();
        assert!(elapsed < LIMIT + SLACK, "dripping: cut after {elapsed:?}");
        assert!(!dripped.join().expect("the drip"), "all was taken");
    });
    drop((slow, dripping));
    wait_gone(&daemon);
    let closed = || (daemon.descriptors() <= descriptors).then_some(());
    wait_until("the descriptors to be closed", PATIENCE, closed);
    daemon.wait_line("handshake failed: no TLS handshake in time");
    daemon.wait_line("handshake failed: TLS: it took too long");
}

/// A ClientHello of TLS 1.2 with 1000 extensions, of types that nobody knows, or all of one.
fn thousand_extensions(same: bool) -> Vec<u8> {
    const RENEGOTIATION_INFO: u16 = 0xff01;
    let extensions = (0..1000).flat_map(|i| {
        let kind = if same { RENEGOTIATION_INFO } else { 0x4000 + i };
        [&kind.to_be_bytes()[..], b"\0\x01\0"].concat()
    });
    // And those without which there is nothing to agree on: ECDSA with SHA-256, and P-256.
    let needed = b"\0\x0d\0\x04\0\x02\x04\x03\0\x0a\0\x04\0\x02\0\x17";
    let extensions: Vec<u8> = needed.iter().copied().chain(extensions).collect();
    let length = (extensions.len() as u16).to_be_bytes();
    let body = [
        &b"\x03\x03"[..],
        &[7; 32],
        // No session, one cipher, no compression.
        b"\0\0\x02\xc0\x2b\x01\0",
        &length,
        &extensions,
    ]
    .concat();
    let length = |more: usize| ((body.len() + more) as u16).to_be_bytes();
    let record = [
        b"\x16\x03\x01",
        &length(4)[..],
        b"\x01\0",
        &length(0),
        &body,
    ];
    record.concat()
}

#[test]
fn a_client_hello_with_1000_extensions_costs_little() {
    let (daemon, port) = daemon("hello", &[]);
    is_healthy(port);
    let before = daemon.cpu();
    let mut raw = Raw::connect(port);
    raw.send(&thousand_extensions(false));
    let mut answer = [0; 3];
    raw.stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, *b"\x16\x03\x03", "the handshake goes on");
    is_healthy(port);
    drop(raw);
    wait_gone(&daemon);
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_secs(1), "it took {used:?}");
}

/// First bytes that are no TLS, and what else must not cost more than a look.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let hello = client_hello();
    let mut long = b"\x16\x03\x01\xff\xff".to_vec();
    long.resize(5 + 0xffff, 0x41);
    let mut over = b"\x16\x03\x01\x48\x01".to_vec();
    over.resize(5 + 0x4801, 1);
    let mut wrong_type = hello.clone();
    wrong_type[5] = 0x99;
    let mut wrong_length = hello.clone();
    wrong_length[8] -= 1;
    let sslv2 = b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x02\x00\x80";
    vec![
        ("a record of 65535 bytes", long),
        ("a record a little too long", over),
        (
            "records of zeros",
            b"\x16\x03\x01\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".repeat(100),
        ),
        ("empty records", b"\x16\x03\x01\0\0".repeat(1000)),
        ("a message of another type", wrong_type),
        ("a message of a wrong length", wrong_length),
        ("one extension 1000 times", thousand_extensions(true)),
        ("a ClientHello of SSL 2", sslv2.to_vec()),
        ("an alert", b"\x15\x03\x01\0\x02\x02\x28".to_vec()),
        ("application data", b"\x17\x03\x03\0\x04\x1b[1m".to_vec()),
        ("SSH", b"\xffSSH-2.0-\x1b[31m\r\n".to_vec()),
        ("zeros", vec![0; 20_000]),
        ("all ones", vec![0xff; 20_000]),
    ]
}

#[test]
fn nonsense_at_a_tls_port_is_closed_at_once_and_is_a_short_line_in_the_log() {
    let (daemon, port) = daemon("hello", &["--open-timeout", "60s"]);
    is_healthy(port);
    wait_gone(&daemon);
    let before = daemon.cpu();
    for (what, bytes) in nonsense() {
        let mut raw = Raw::connect(port);
        let address = raw.address();
        raw.send(&bytes);
        assert!(raw.ends_within(SLACK), "{what}: not closed");
        drop(raw);
        let line = daemon.wait_line(&format!("{address} handshake failed: "));
        assert!(line.len() < 200, "{what}: {line}");
        let is_plain = line.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        assert!(is_plain, "{what}: {line:?}");
    }
    wait_gone(&daemon);
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_secs(2), "it took {used:?}");
    is_healthy(port);
    let errors = daemon.lines();
    let errors: Vec<_> = errors.iter().filter(|l| l.contains("[ERROR]")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn a_client_hello_in_two_halves_or_bytes_is_taken() {
    // As strange networks cut it.
    #[derive(Debug)]
    struct Halves(TcpStream, usize);
    impl Write for Halves {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.write(&bytes[..bytes.len().min(self.1)])
        }
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.flush()
        }
    }
    impl Read for Halves {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(bytes)
        }
    }
    let (_daemon, port) = daemon("hello", &[]);
    for size in [1, 2, 100] {
        let stream = Raw::connect(port).stream;
        let context = SslContext::builder(SslMethod::tls_client())
            .unwrap()
            .build();
        let ssl = Ssl::new(&context).unwrap();
        let mut stream = match ssl.connect(Halves(stream, size)) {
            Ok(stream) => stream,
            Err(error) => panic!("in pieces of {size}: {error}"),
        };
        stream
            .write_all(HEALTH.as_bytes())
            .expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("a clean end");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
}

// ---- The end ----------------------------------------------------------------------------------

/// What the log says of how a connection ended, without its name and its numbers.
#[track_caller]
fn told_end(daemon: &Daemon, address: &str) -> String {
    let opened = daemon.wait_line(&format!("{address} /"));
    assert!(opened.ends_with("opened"), "{opened}");
    let line = daemon.wait_line(&format!("{address} /counter closed"));
    let (_, said) = line.split_once("closed ").expect("found by it");
    said.split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_client_that_drops_without_close_notify_is_an_end_like_any_other() {
    let (plain, plain_port) = raw::serve("counter", &["-v"]);
    let mut raw = Raw::upgrade(plain_port, "/counter");
    raw.message();
    let address = raw.address();
    drop(raw);
    let expected = told_end(&plain, &address);
    assert!(expected.starts_with("1006"), "{expected}");

    let (daemon, port) = daemon("counter", &[]);
    let mut secure = Secure::upgrade(port, "/counter");
    secure.message();
    let address = secure.address();
    secure
        .stream
        .get_ref()
        .shutdown(Shutdown::Both)
        .expect("shutdown");
    drop(secure);
    assert_eq!(told_end(&daemon, &address), expected);

    // With it but without a close frame, too: TLS says nothing of WebSockets.
    let mut secure = Secure::upgrade(port, "/counter");
    secure.message();
    let address = secure.address();
    secure.stream.shutdown().expect("close_notify");
    drop(secure);
    assert_eq!(told_end(&daemon, &address), expected);

    let mut secure = Secure::upgrade(port, "/counter");
    secure.message();
    let address = secure.address();
    socket2::SockRef::from(secure.stream.get_ref())
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
    drop(secure);
    let reset = told_end(&daemon, &address);
    assert!(reset.starts_with("1006"), "{reset}");
    wait_gone(&daemon);
}

#[test]
fn a_damaged_record_ends_the_connection_and_is_told_in_words() {
    let (daemon, port) = daemon("counter", &[]);
    for (what, bytes) in [
        (
            "of a wrong key",
            [&b"\x17\x03\x03\0\x30"[..], &[7; 0x30]].concat(),
        ),
        (
            "too long",
            [&b"\x17\x03\x03\x50\0"[..], &[7; 0x5000]].concat(),
        ),
        ("plain text", text(PLUS)),
        ("a handshake in plain text", client_hello()),
    ] {
        let mut client = Secure::upgrade(port, "/counter");
        client.message();
        let address = client.address();
        client
            .stream
            .get_ref()
            .write_all(&bytes)
            .expect("the server reads");
        client.rest();
        let line = daemon.wait_line(&format!("{address} /counter closed "));
        assert!(
            line.contains("closed 1006: connection lost: "),
            "{what}: {line}"
        );
        for raw in ["error:", "SSL routines", ".c:"] {
            assert!(!line.contains(raw), "{what}: OpenSSL's own words: {line}");
        }
    }
    wait_gone(&daemon);
    is_healthy(port);
}

#[test]
fn the_server_ends_with_close_notify() {
    let (daemon, port) = daemon("counter", &[]);
    let ends = |mut client: Secure, what: &str| {
        client.rest();
        assert!(client.was_notified(), "{what}: no close_notify");
    };
    for (what, request) in [
        ("a page", get("/", "")),
        ("a refusal", get("/nothing", "")),
        ("no upgrade", get("/ws?", "")),
        ("no HTTP", "\u{0}\r\n\r\n".to_owned()),
    ] {
        let mut client = Secure::connect(port);
        client.send(request.as_bytes());
        ends(client, what);
    }
    let mut client = Secure::upgrade(port, "/counter");
    client.send(&close(1000, ""));
    assert_eq!(client.close_frame().0, 1000);
    ends(client, "a close frame");
    let mut client = Secure::upgrade(port, "/counter");
    client.send(&[0xff; 16]);
    let (code, reason) = client.close_frame();
    assert_eq!(code, 1002, "{reason}");
    ends(client, "a protocol error");
    wait_gone(&daemon);
}

#[test]
fn sigterm_tells_1001_over_tls_and_then_close_notify() {
    let (mut daemon, port) = daemon("counter", &[]);
    let ca = Client::builder().ca(LOCALHOST.pem());
    let ours = ca
        .connect(&format!("wss://127.0.0.1:{port}/"))
        .expect("a client");
    let mut raw = Secure::upgrade(port, "/counter");
    raw.message();
    next(&ours);
    let mut half_open = Raw::connect(port);
    half_open.send(&client_hello());
    let two = || (daemon.clients() == 3).then_some(());
    wait_until("all three to be taken", PATIENCE, two);
    thread::scope(|scope| {
        let ours = scope.spawn(|| end(&ours));
        daemon.signal("TERM");
        let (code, reason) = raw.close_frame();
        assert_eq!((code, &*reason), (1001, "server is shutting down"));
        raw.send(&close(1001, ""));
        raw.rest();
        assert!(raw.was_notified(), "close_notify behind the close frame");
        let ours = ours.join().expect("no panic");
        assert_eq!(ours.code(), CloseCode::GOING_AWAY, "{ours}");
        assert!(ours.is_normal(), "{ours}");
    });
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
}

// ---- Messages ---------------------------------------------------------------------------------

/// Sizes around every limit: of frames, of records, of buffers; some in between; the largest.
fn sizes() -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..300).chain((0..70_000).step_by(499)).collect();
    for limit in [1024, 4096, 16 << 10, 32 << 10, 48 << 10, 64 << 10] {
        // Headers of 2 to 14 bytes shift where a record ends.
        sizes.extend(limit - 20..=limit + 20);
    }
    sizes.extend([70_000, 1 << 20]);
    sizes
}

fn payload(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i % 251) as u8).collect()
}

#[test]
fn messages_of_all_sizes_go_through_both_ends() {
    let (_server, port) = echo();
    let client = Client::builder().ca(LOCALHOST.pem()).max_size(2 << 20);
    let ws = client.connect(&format!("wss://localhost:{port}/"));
    let ws = ws.expect("a client");
    for size in sizes() {
        let message = Message::from(payload(size));
        ws.send(message.clone()).expect("the connection is open");
        assert!(next(&ws) == message, "another message of {size} bytes");
    }
    // Many at once: they share records at both ends.
    for round in 0..20 {
        for size in (0..20_000).step_by(777) {
            ws.write(payload(size + round))
                .expect("the connection is open");
        }
        ws.flush();
        for size in (0..20_000).step_by(777) {
            assert!(
                next(&ws) == Message::from(payload(size + round)),
                "{size} in {round}"
            );
        }
    }
    ws.close(CloseCode::NORMAL, "").expect("a close");
    let closed = ws.closed().expect("closed");
    assert!(closed.is_normal(), "{closed}");
}

#[test]
fn messages_of_all_sizes_go_through_openssls_client() {
    let (_server, port) = echo();
    let mut client = Secure::upgrade(port, "/");
    for size in sizes() {
        let payload = payload(size);
        client.send(&masked(0x82, &payload));
        let frame = client.message();
        assert!(frame.fin && frame.opcode == 2, "{size}: {}", frame.opcode);
        assert!(frame.payload == payload, "another message of {size} bytes");
    }
    // In records of one byte each.
    let bytes = masked(0x81, b"drip");
    for byte in &bytes {
        client.send(std::slice::from_ref(byte));
    }
    assert_eq!(client.message().text(), "drip");
}

/// Reads values until the last one: how many, each larger than the one before.
#[track_caller]
fn read_values(client: &mut Secure, last: usize) -> usize {
    let (mut seen, mut newest) = (0, None);
    while newest != Some(last) {
        let text = client.message().text();
        let (number, filler) = text.split_once(' ').expect("a number and filler");
        let number = number.parse().expect("a number");
        assert!(newest < Some(number), "{number} behind {newest:?}");
        assert!(filler.bytes().all(|byte| byte == b'x'), "garbled");
        (seen, newest) = (seen + 1, Some(number));
    }
    seen
}

#[test]
fn a_tls_client_that_stops_reading_delays_nobody_and_gets_the_newest_state() {
    const VALUES: usize = 500;
    let hub = Hub::builder(()).start().unwrap();
    let (_server, port) = start(registering(&hub));
    // Some that stop within records of different kinds.
    let mut stopped: Vec<Secure> = (0..3)
        .map(|_| Secure::over(Raw::connect_narrow(port)).open("/"))
        .collect();
    let others: Vec<Secure> = (0..50).map(|_| Secure::upgrade(port, "/")).collect();
    wait_registered(&hub, 53);
    let start = Instant::now();
    thread::scope(|scope| {
        for mut client in others {
            scope.spawn(move || {
                let seen = read_values(&mut client, VALUES - 1);
                assert!(seen > 0, "values came");
            });
        }
        for number in 0..VALUES {
            // Sizes on both sides of a record's limit.
            let filler = "x".repeat([number * 37 % 5000, 20_000][usize::from(number % 10 == 9)]);
            hub.publish("value", format!("{number} {filler}"));
        }
    });
    let took = start.elapsed();
    assert!(took < PATIENCE, "50 clients got all after {took:?}");
    for client in &mut stopped {
        // What it reads first is what the kernel had taken; then comes the newest.
        let seen = read_values(client, VALUES - 1);
        assert!(
            seen < VALUES / 2,
            "{seen} values waited for who had stopped"
        );
    }
    // They are clients again.
    hub.publish("value", format!("{VALUES} "));
    for client in &mut stopped {
        assert_eq!(read_values(client, VALUES), 1);
    }
}

/// What TLS has taken and the socket has not goes out although nothing is sent behind it.
#[test]
fn the_end_of_a_record_that_did_not_fit_is_not_forgotten() {
    let hub = Hub::builder(()).start().unwrap();
    let (_server, port) = start(registering(&hub).backlog(4 << 20));
    let mut client = Secure::over(Raw::connect_narrow(port)).open("/");
    wait_registered(&hub, 1);
    // Past what the system takes of one message, in steps smaller than a record: once at least
    // it takes all but the end of the last one.
    for size in (0..200_000).step_by(2_000) {
        hub.broadcast("x".repeat(size));
        // It has been handed over by now, as the hub does one thing after the other.
        wait_registered(&hub, 1);
        assert_eq!(client.message().payload.len(), size);
    }
}

/// It reads a little now and then, so that each time another record is cut in the middle.
#[test]
fn a_tls_client_that_reads_in_gulps_gets_no_garbled_state() {
    const VALUES: usize = 3000;
    let hub = Hub::builder(()).start().unwrap();
    let (_server, port) = start(registering(&hub));
    let mut client = Secure::over(Raw::connect_narrow(port)).open("/");
    wait_registered(&hub, 1);
    let gulps = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..VALUES {
                let filler = "x".repeat(number * 97 % 5000);
                // Two states, so that one replaced stands beside one that is not.
                hub.publish(["a", "b"][number % 2], format!("{number} {filler}"));
                if number % 30 == 0 {
                    thread::yield_now();
                }
            }
        });
        let (mut newest, mut seen) = ([None, None], 0);
        while newest != [Some(VALUES - 2), Some(VALUES - 1)] {
            let text = client.message().text();
            let (number, filler) = text.split_once(' ').expect("a number and filler");
            let number: usize = number.parse().expect("a number");
            assert_eq!(
                filler.len(),
                number * 97 % 5000,
                "value {number} is garbled"
            );
            let newest = &mut newest[number % 2];
            assert!(*newest < Some(number), "{number} behind {newest:?}");
            *newest = Some(number);
            seen += 1;
            // Slower than the hub publishes.
            thread::sleep(Duration::from_millis(2));
        }
        seen
    });
    assert!(gulps < VALUES, "nothing was ever replaced");
}

#[test]
fn a_tls_client_that_stops_reading_costs_the_daemon_no_memory() {
    const UPDATES: i64 = 20_000;
    let (daemon, port) = daemon("counter", &["--backlog", "32KiB"]);
    let mut stopped = Secure::over(Raw::connect_narrow(port)).open("/counter");
    let mut busy = Secure::upgrade(port, "/counter");
    let value = |client: &mut Secure| loop {
        let news: serde_json::Value = serde_json::from_str(&client.message().text()).expect("JSON");
        if news["type"] == "state" {
            return news["value"].as_i64().expect("an integer");
        }
    };
    assert_eq!((value(&mut stopped), value(&mut busy)), (0, 0));
    let (mut before, mut reached) = (0, 0);
    while reached < UPDATES {
        busy.send(&text(PLUS).repeat(500));
        for _ in 0..500 {
            reached += 1;
            assert_eq!(value(&mut busy), reached, "who keeps up gets every value");
        }
        if reached == 500 {
            before = daemon.resident();
        }
    }
    let grown = daemon.resident() - before;
    assert!(grown < 4 * 1024, "resident memory grew by {grown} KiB");
    let (mut newest, mut seen) = (0, 0);
    while newest < UPDATES {
        let next = value(&mut stopped);
        assert!(next > newest, "{next} behind {newest}");
        (newest, seen) = (next, seen + 1);
    }
    assert!(
        seen < UPDATES / 2,
        "{seen} values waited for who had stopped"
    );
    stopped.send(&text(PLUS));
    assert_eq!(value(&mut stopped), UPDATES + 1, "it is a client again");
}

#[test]
fn a_stream_that_a_tls_client_does_not_read_ends_with_1013() {
    const MESSAGES: usize = 600;
    let hub = Hub::builder(()).start().unwrap();
    let (_server, port) = start(registering(&hub));
    let mut stopped = Secure::over(Raw::connect_narrow(port)).open("/");
    let mut other = Secure::upgrade(port, "/");
    wait_registered(&hub, 2);
    let (tell, told) = std::sync::mpsc::channel();
    let reading = thread::spawn(move || {
        for number in 0..MESSAGES {
            let text = other.message().text();
            let (got, _) = text.split_once(' ').expect("a number and filler");
            assert_eq!(got, number.to_string(), "who reads gets all");
            tell.send(number).expect("it is awaited");
        }
    });
    let filler = "x".repeat(10_000);
    for number in 0..MESSAGES {
        hub.broadcast(format!("{number} {filler}"));
        // Not faster than who reads: its backlog is as small.
        let read = told.recv_timeout(PATIENCE);
        assert_eq!(read.expect("the other reads"), number);
    }
    reading.join().expect("all messages");
    // Those that had begun come whole and in order, then the reason.
    let mut expected = 0;
    loop {
        let frame = stopped.frame().expect("a close frame before the end");
        if frame.opcode == 8 {
            let (code, reason) = frame.close();
            assert_eq!(code, 1013, "{reason}");
            assert!(reason.contains("65536 bytes"), "{reason}");
            break;
        }
        assert!(
            frame.text().starts_with(&format!("{expected} ")),
            "out of order"
        );
        expected += 1;
    }
    assert!(expected < MESSAGES, "it was no slow client");
    wait_registered(&hub, 1);
}

#[test]
fn waiting_bytes_at_the_socket_are_read_to_the_last() {
    // Plaintext that TLS holds back is not seen by poll: many messages in one record.
    let (_server, port) = echo();
    let mut client = Secure::upgrade(port, "/");
    for _ in 0..20 {
        client.send(&masked(0x81, b"abc").repeat(1000));
        for _ in 0..1000 {
            assert_eq!(client.message().text(), "abc");
        }
    }
    assert_eq!(unread(port), 0);
}
