//! The server's side: policy, openings that come to nothing, and how connections end.

use std::net::Shutdown;

use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslVersion};

use super::*;
use crate::support::hubs::{hub, registering, wait_registered};
use crate::support::raw::{unread, upgrade_request};
use crate::support::secure::connector;
use crate::support::servers::{echo, port};

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

fn start(server: plainws::ServerBuilder) -> (Server, u16) {
    let server = server.listen_tls("127.0.0.1:0", &LOCALHOST.tls());
    let server = server.start().expect("the server starts");
    let port = port(&server);
    (server, port)
}

/// A stream that takes at most so many bytes at once, as strange networks cut it; with none below it keeps
/// what is written, and has nothing to read yet.
#[derive(Debug)]
struct Pieces(Option<TcpStream>, usize, Vec<u8>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let piece = &bytes[..bytes.len().min(self.1)];
        match &mut self.0 {
            Some(stream) => stream.write(piece),
            None => self.2.write(piece),
        }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.0 {
            Some(stream) => stream.read(bytes),
            None => Err(std::io::ErrorKind::WouldBlock.into()),
        }
    }
}

fn client_ssl() -> Ssl {
    let context = SslContext::builder(SslMethod::tls_client()).unwrap();
    Ssl::new(&context.build()).unwrap()
}

/// The bytes of a ClientHello, as OpenSSL makes them.
fn client_hello() -> Vec<u8> {
    match client_ssl().connect(Pieces(None, usize::MAX, Vec::new())) {
        Err(HandshakeError::WouldBlock(waiting)) => waiting.get_ref().2.clone(),
        other => panic!("a handshake without a peer: {other:?}"),
    }
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[track_caller]
fn is_healthy(port: u16) {
    let mut client = Secure::connect(port);
    client.send(HEALTH.as_bytes());
    assert_eq!(client.answer().status, 200);
}

// ---- Policy -----------------------------------------------------------------------------------

/// What a handshake comes to by this version and cipher: both as they were agreed on, or the error.
fn agreed(port: u16, version: SslVersion, cipher: &str) -> Result<String, String> {
    let mut connector = connector();
    connector.set_min_proto_version(Some(version)).unwrap();
    connector.set_max_proto_version(Some(version)).unwrap();
    // This client would, also what is too weak.
    connector
        .set_cipher_list(&format!("{cipher}:@SECLEVEL=0"))
        .unwrap();
    let stream = connector
        .build()
        .connect("localhost", Raw::connect(port).stream);
    let stream = stream.map_err(|error| error.to_string())?;
    let ssl = stream.ssl();
    Ok(format!(
        "{} {}",
        ssl.version_str(),
        ssl.current_cipher().unwrap().name()
    ))
}

#[test]
fn only_new_versions_and_ciphers_with_forward_secrecy_are_taken() {
    let rsa = Certificate::new(&Wish {
        rsa: true,
        ..Wish::default()
    });
    for (certificate, fine, refused) in [
        (
            &*LOCALHOST,
            "ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 \
             ECDHE-ECDSA-CHACHA20-POLY1305",
            "ECDHE-ECDSA-AES128-SHA256 ECDHE-ECDSA-AES256-SHA",
        ),
        (
            &rsa,
            "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-CHACHA20-POLY1305",
            // Static RSA with and without authenticated encryption, CBC, and no encryption.
            "AES128-GCM-SHA256 AES256-GCM-SHA384 AES128-SHA256 AES128-SHA \
             ECDHE-RSA-AES128-SHA256 ECDHE-RSA-AES256-SHA DHE-RSA-AES128-SHA NULL-SHA256",
        ),
    ] {
        let (daemon, port) = with(certificate, "hello", &[]);
        let newest = agreed(port, SslVersion::TLS1_3, "ALL").unwrap();
        assert!(newest.starts_with("TLSv1.3 "), "{newest}");
        for cipher in fine.split_whitespace() {
            let told = agreed(port, SslVersion::TLS1_2, cipher);
            assert_eq!(told, Ok(format!("TLSv1.2 {cipher}")));
        }
        // The server's alerts: it is not this client that cannot.
        for cipher in refused.split_whitespace() {
            let told = agreed(port, SslVersion::TLS1_2, cipher).expect_err(cipher);
            assert!(told.contains("alert handshake failure"), "{cipher}: {told}");
        }
        daemon.wait_line("no cipher with forward secrecy");
        for old in [SslVersion::TLS1_1, SslVersion::TLS1] {
            let told = agreed(port, old, "ALL").expect_err("an old version");
            assert!(told.contains("alert protocol version"), "{told}");
        }
        daemon.wait_line("handshake failed: TLS: the client speaks no TLS newer than 1.1");
        is_healthy(port);
    }
}

#[test]
fn plain_text_at_a_tls_port_and_tls_at_a_plain_port_are_told_apart() {
    let (daemon, port) = daemon("counter", &["--open-timeout", "1s"]);
    for request in [
        get("/", ""),
        upgrade_request("/", ""),
        "\r\n".to_owned() + &get("/", ""),
        "HEAD / HTTP/1.0\r\n\r\n".to_owned(),
    ] {
        let answer = exchange(port, &request);
        assert_eq!(answer.status, 400, "{request}: {answer:?}");
        for scheme in ["https://", "wss://"] {
            assert!(answer.body.contains(scheme), "{request}: {answer:?}");
        }
    }
    // Half a request has the same deadline as elsewhere.
    assert_eq!(exchange(port, "GET / HTTP/1.1\r\n").status, 408);
    daemon.wait_clients(0);

    let (daemon, port) = raw::serve("counter", &["-v"]);
    for hello in [
        &client_hello()[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut client = Raw::connect(port);
        client.send(hello);
        let start = Instant::now();
        assert_eq!(client.rest(), b"", "plain text would help nobody");
        assert!(start.elapsed() < SLACK / 2, "closed at once");
        let line = daemon.wait_line(&client.address());
        assert!(
            line.contains("handshake failed: TLS came to a plain port"),
            "{line}"
        );
    }
    let failed = Client::builder()
        .insecure()
        .connect(&format!("wss://127.0.0.1:{port}/"));
    failed.expect_err("a plain server has no TLS");
    daemon.wait_clients(0);
}

// ---- Openings that come to nothing ------------------------------------------------------------

#[test]
fn openings_that_take_their_time_are_cut_at_the_deadline_and_hold_no_place() {
    const LIMIT: Duration = Duration::from_secs(3);
    let args = ["--open-timeout", "3s", "--max-connections", "1"];
    let (daemon, port) = daemon("hello", &args);
    is_healthy(port);
    daemon.wait_clients(0);
    let descriptors = daemon.descriptors();
    let hello = client_hello();
    let start = Instant::now();
    // Silent, the start of a record, half a ClientHello, a whole one and nothing behind.
    let starts: [&[u8]; 5] = [
        b"",
        b"\x16",
        b"\x16\x03\x01\x02\0\x01",
        &hello[..hello.len() / 2],
        &hello,
    ];
    let slow = |i: usize| {
        let mut raw = Raw::connect(port);
        raw.send(starts[i % 5]);
        raw
    };
    let mut slow: Vec<Raw> = (0..30).map(slow).collect();
    let mut dripping = Raw::connect(port);
    let mut writer = dripping.stream.try_clone().expect("a second handle");
    thread::scope(|scope| {
        let dripped = scope.spawn(|| {
            // At this pace it would take longer than the deadline by far.
            hello.iter().all(|byte| {
                thread::sleep(Duration::from_millis(100));
                writer.write_all(&[*byte]).is_ok()
            })
        });
        // The one place is free for who makes it.
        greets(port, &LOCALHOST);
        for (i, raw) in slow.iter_mut().enumerate() {
            let told = raw.rest();
            let elapsed = start.elapsed();
            assert!(elapsed >= LIMIT * 9 / 10, "{i}: cut after {elapsed:?}");
            assert!(elapsed < LIMIT + SLACK, "{i}: cut after {elapsed:?}");
            // What came of a whole ClientHello is the server's part of a handshake.
            assert_eq!(told.is_empty(), i % 5 != 4, "{i}: {} bytes", told.len());
        }
        dripping.rest();
        assert!(!dripped.join().expect("the drip"), "all was taken");
    });
    drop((slow, dripping));
    daemon.wait_clients(0);
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
    // No session, one cipher, no compression.
    let fixed = b"\0\0\x02\xc0\x2b\x01\0";
    let body = [&b"\x03\x03"[..], &[7; 32], fixed, &length, &extensions].concat();
    let length = |more: usize| ((body.len() + more) as u16).to_be_bytes();
    [
        b"\x16\x03\x01",
        &length(4)[..],
        b"\x01\0",
        &length(0),
        &body,
    ]
    .concat()
}

#[test]
fn nonsense_at_a_tls_port_is_closed_at_once_and_is_a_short_line_in_the_log() {
    let (daemon, port) = daemon("hello", &["--open-timeout", "60s"]);
    is_healthy(port);
    daemon.wait_clients(0);
    let before = daemon.cpu();
    let hello = client_hello();
    let changed = |at: usize, to: fn(u8) -> u8| {
        let mut hello = hello.clone();
        hello[at] = to(hello[at]);
        hello
    };
    let record = |length: u16, fill: u8| {
        let head = [b"\x16\x03\x01", &length.to_be_bytes()[..]].concat();
        [head, vec![fill; length.into()]].concat()
    };
    let rows = [
        ("a record of 65535 bytes", record(0xffff, 0x41)),
        ("a record a little too long", record(0x4801, 1)),
        ("records of zeros", record(16, 0).repeat(100)),
        ("empty records", record(0, 0).repeat(1000)),
        ("a message of another type", changed(5, |_| 0x99)),
        (
            "a message of a wrong length",
            changed(8, |length| length - 1),
        ),
        ("one extension 1000 times", thousand_extensions(true)),
        ("an alert", b"\x15\x03\x01\0\x02\x02\x28".to_vec()),
        ("application data", b"\x17\x03\x03\0\x04\x1b[1m".to_vec()),
        ("SSH", b"\xffSSH-2.0-\x1b[31m\r\n".to_vec()),
        ("zeros", vec![0; 20_000]),
        ("all ones", vec![0xff; 20_000]),
    ];
    for (what, bytes) in rows {
        let mut raw = Raw::connect(port);
        let address = raw.address();
        raw.send(&bytes);
        assert!(raw.ends_within(SLACK), "{what}: not closed");
        let line = daemon.wait_line(&format!("{address} handshake failed: "));
        let is_plain = line.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        assert!(is_plain && line.len() < 200, "{what}: {line:?}");
    }
    // With extensions of many kinds the handshake goes on.
    let mut raw = Raw::connect(port);
    raw.send(&thousand_extensions(false));
    let mut answer = [0; 3];
    raw.stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, *b"\x16\x03\x03");
    drop(raw);
    daemon.wait_clients(0);
    let used = daemon.cpu() - before;
    assert!(used < Duration::from_secs(2), "it took {used:?}");
    is_healthy(port);
    assert!(
        !daemon.lines().iter().any(|l| l.contains("[ERROR]")),
        "{}",
        daemon.report()
    );
}

#[test]
fn a_client_hello_in_two_halves_or_bytes_is_taken() {
    let (_daemon, port) = daemon("hello", &[]);
    for size in [1, 2, 100] {
        let pieces = Pieces(Some(Raw::connect(port).stream), size, Vec::new());
        let mut stream = match client_ssl().connect(pieces) {
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
    type End = fn(&mut Secure);
    let ends: [(&str, End); 3] = [
        ("none", |secure| {
            secure.stream.get_ref().shutdown(Shutdown::Both).unwrap()
        }),
        // With it but without a close frame, too: TLS says nothing of WebSockets.
        ("close_notify", |secure| {
            secure.stream.shutdown().unwrap();
        }),
        ("a reset", |secure| {
            let socket = socket2::SockRef::from(secure.stream.get_ref());
            socket.set_linger(Some(Duration::ZERO)).unwrap();
        }),
    ];
    for (what, end) in ends {
        let mut secure = Secure::upgrade(port, "/counter");
        secure.message();
        let address = secure.address();
        end(&mut secure);
        drop(secure);
        let told = told_end(&daemon, &address);
        let fine = told == expected || (what == "a reset" && told.starts_with("1006"));
        assert!(fine, "{what}: {told}");
    }
    daemon.wait_clients(0);
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
        let told = told_end(&daemon, &address);
        assert!(
            told.starts_with("1006: connection lost: "),
            "{what}: {told}"
        );
        for raw in ["error:", "SSL routines", ".c:"] {
            assert!(!told.contains(raw), "{what}: OpenSSL's own words: {told}");
        }
    }
    daemon.wait_clients(0);
    is_healthy(port);
}

#[test]
fn the_server_ends_with_close_notify() {
    let (mut daemon, port) = daemon("counter", &[]);
    let ends = |mut client: Secure, what: &str| {
        client.rest();
        assert!(client.was_notified(), "{what}: no close_notify");
    };
    // A page, a refusal, no upgrade, and no HTTP.
    for request in [
        get("/", ""),
        get("/nothing", ""),
        get("/ws?", ""),
        "\0\r\n\r\n".to_owned(),
    ] {
        let mut client = Secure::connect(port);
        client.send(request.as_bytes());
        ends(client, &request);
    }
    for (bytes, expected) in [(close(1000, ""), 1000), (vec![0xff; 16], 1002)] {
        let mut client = Secure::upgrade(port, "/counter");
        client.send(&bytes);
        assert_eq!(client.close_frame().0, expected);
        ends(client, "a close frame");
    }
    // And when it stops.
    daemon.wait_clients(0);
    let ca = Client::builder().ca(LOCALHOST.pem());
    let ours = ca
        .connect(&format!("wss://127.0.0.1:{port}/"))
        .expect("a client");
    next(&ours);
    let mut raw = Secure::upgrade(port, "/counter");
    raw.message();
    let mut half_open = Raw::connect(port);
    half_open.send(&client_hello());
    daemon.wait_clients(3);
    thread::scope(|scope| {
        let ours = scope.spawn(|| end(&ours));
        daemon.signal("TERM");
        assert_eq!(raw.close_frame(), (1001, "server is shutting down".into()));
        raw.send(&close(1001, ""));
        ends(raw, "the end of the daemon");
        let ours = ours.join().expect("no panic");
        assert!(
            ours.is_normal() && ours.code() == CloseCode::GOING_AWAY,
            "{ours}"
        );
    });
    assert_eq!(daemon.wait_exit(PATIENCE).code(), Some(0));
}

// ---- Messages ---------------------------------------------------------------------------------

/// What TLS has taken and the socket has not goes out although nothing is sent behind it.
#[test]
fn the_end_of_a_record_that_did_not_fit_is_not_forgotten() {
    let hub = hub(());
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

/// Plaintext that TLS holds back is not seen by poll: many messages in one record, and one in many.
#[test]
fn waiting_bytes_at_the_socket_are_read_to_the_last() {
    let (_server, port) = start(Server::builder(echo));
    let mut client = Secure::upgrade(port, "/");
    for _ in 0..20 {
        client.send(&masked(0x81, b"abc").repeat(1000));
        for _ in 0..1000 {
            assert_eq!(client.message().text(), "abc");
        }
    }
    for byte in masked(0x81, b"drip") {
        client.send(&[byte]);
    }
    assert_eq!(client.message().text(), "drip");
    assert_eq!(unread(port), 0);
}
