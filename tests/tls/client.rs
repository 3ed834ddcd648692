//! Our client with servers that it should not trust or cannot speak with.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::thread::JoinHandle;

use openssl::ssl::{
    HandshakeError, NameType, SslAcceptor, SslAcceptorBuilder, SslMethod, SslVersion,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::*;

/// A TLS server for one connection; gives what `then` makes of it, or the failure of the handshake.
struct Fake<T> {
    port: u16,
    thread: JoinHandle<Result<T, String>>,
}

type Stream = openssl::ssl::SslStream<TcpStream>;

impl<T: Send + 'static> Fake<T> {
    fn new(
        certificate: &Certificate,
        tune: impl FnOnce(&mut SslAcceptorBuilder),
        then: impl FnOnce(Stream) -> T + Send + 'static,
    ) -> Fake<T> {
        let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        acceptor.set_certificate(&certificate.x509).unwrap();
        acceptor.set_private_key(&certificate.key).unwrap();
        tune(&mut acceptor);
        let acceptor = acceptor.build();
        let (listener, port) = listener();
        let thread = thread::spawn(move || {
            let stream = accept(&listener);
            match acceptor.accept(stream) {
                Ok(stream) => Ok(then(stream)),
                Err(HandshakeError::Failure(failed)) => {
                    // Its alert must not be lost to a reset.
                    let mut stream = failed.get_ref();
                    let _ = stream.shutdown(Shutdown::Write);
                    while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
                    Err(failed.error().to_string())
                }
                Err(other) => Err(other.to_string()),
            }
        });
        Fake { port, thread }
    }

    #[track_caller]
    fn join(self) -> Result<T, String> {
        self.thread.join().expect("no panic in the fake server")
    }
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    // It holds for accepting, too.
    let socket = socket2::SockRef::from(&listener);
    socket.set_read_timeout(Some(PATIENCE)).expect("timeout");
    (listener, port)
}

#[track_caller]
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("a client in time");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// Why our client does not connect, in one line.
#[track_caller]
fn failed(client: &plainws::ClientBuilder, url: &str) -> (Error, String) {
    let error = client.connect(url).map(drop).expect_err(url);
    let told = error.to_string();
    assert!(!told.contains('\n'), "more than one line: {told}");
    for raw in ["error:", "SSL routines", ".c:", "0A0"] {
        assert!(!told.contains(raw), "OpenSSL's own words: {told}");
    }
    (error, told)
}

/// That our client does not trust the certificate, and in which words.
#[track_caller]
fn distrusts(certificate: &Certificate, client: &plainws::ClientBuilder, host: &str, why: &str) {
    let fake = Fake::new(certificate, |_| {}, drop);
    let (error, told) = failed(client, &format!("wss://{host}:{}/", fake.port));
    assert!(matches!(error, Error::Tls { .. }), "another kind: {told}");
    // Behind it may stand a way out.
    let expected = format!("TLS with {host}:{} failed: {why}", fake.port);
    assert!(told.starts_with(&expected), "{expected}: {told}");
    // It breaks the handshake off: nothing is sent to a server that is not trusted.
    fake.join()
        .expect_err("the handshake fails at the server, too");
}

#[test]
fn each_fault_of_a_certificate_has_its_own_sentence() {
    let ca = Client::builder().ca(LOCALHOST.pem());
    let system = Client::builder();
    let named = |names| {
        Certificate::new(&Wish {
            names,
            ..Wish::default()
        })
    };
    let expired = Certificate::new(&Wish {
        days: -1,
        ..Wish::default()
    });
    let trusting = |certificate: &Certificate| Client::builder().ca(certificate.pem());
    let sentence = "its certificate has expired";
    distrusts(&expired, &trusting(&expired), "localhost", sentence);

    let sentence = "its certificate is self-signed";
    distrusts(&LOCALHOST, &system, "localhost", sentence);
    distrusts(&Certificate::localhost(), &ca, "localhost", sentence);

    let (issuer, _) = client_certificate();
    let issued = Certificate::new(&Wish {
        issuer: Some(&issuer),
        ..Wish::default()
    });
    let sentence = "its certificate has an unknown issuer";
    distrusts(&issued, &system, "localhost", sentence);
    distrusts(&issued, &ca, "localhost", sentence);

    let other = named(&["example.org", "10.0.0.1"]);
    let sentence = "its certificate is not for localhost";
    distrusts(&other, &trusting(&other), "localhost", sentence);
    let sentence = "its certificate is not for 127.0.0.1";
    distrusts(&other, &trusting(&other), "127.0.0.1", sentence);
    // A name that looks like the address is not one (RFC 6125), and a name does not do for it.
    let name = named(&["localhost"]);
    distrusts(&name, &trusting(&name), "127.0.0.1", sentence);
    let subdomain = named(&["*.localhost"]);
    let sentence = "its certificate is not for localhost";
    distrusts(&subdomain, &trusting(&subdomain), "localhost", sentence);
}

#[test]
fn a_peer_that_speaks_no_tls_is_told_as_such() {
    let client = Client::builder().insecure();
    // Pages, greetings of other protocols, and what looks like a record of another version.
    for greeting in [
        "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "220 mail.example ESMTP\r\n",
    ] {
        let (listener, port) = listener();
        let peer = thread::spawn(move || {
            let mut stream = accept(&listener);
            let mut hello = [0; 16 * 1024];
            let n = stream.read(&mut hello).expect("a ClientHello");
            assert!(n > 0 && hello[0] == 0x16, "no ClientHello");
            stream
                .write_all(greeting.as_bytes())
                .expect("the client reads");
        });
        let (error, told) = failed(&client, &format!("wss://localhost:{port}/"));
        assert!(matches!(error, Error::Tls { .. }), "another kind: {told}");
        assert_eq!(
            told,
            format!("TLS with localhost:{port} failed: it does not speak TLS"),
            "{greeting}"
        );
        peer.join().expect("the peer");
    }
}

#[test]
fn a_peer_that_closes_during_the_handshake_is_told_as_such() {
    let client = Client::builder().insecure();
    for resets in [false, true] {
        let (listener, port) = listener();
        let peer = thread::spawn(move || {
            let mut stream = accept(&listener);
            if resets {
                // Unread bytes would do it, too, but not for certain.
                let no_time = Some(Duration::ZERO);
                socket2::SockRef::from(&stream)
                    .set_linger(no_time)
                    .expect("linger");
            }
            let n = stream.read(&mut [0; 16 * 1024]).expect("a ClientHello");
            assert!(n > 0, "no ClientHello");
        });
        let (error, told) = failed(&client, &format!("wss://localhost:{port}/"));
        // Of this kind, as it may be worth another try.
        assert!(matches!(error, Error::Io { .. }), "another kind: {told}");
        let closed = format!("TLS with localhost:{port}: the connection was closed");
        assert!(told.starts_with(&closed), "{told}");
        peer.join().expect("the peer");
    }
    // Our own server does so at a port without TLS.
    let server = Server::builder(|_| Ok(())).listen("127.0.0.1:0").start();
    let server = server.expect("the server starts");
    let (_, told) = failed(&client, &format!("wss://{}/", server.local_addr()));
    let closed = format!(
        "TLS with {}: the connection was closed",
        server.local_addr()
    );
    assert!(told.starts_with(&closed), "{told}");
}

#[test]
fn a_silent_peer_is_given_up_at_the_open_timeout() {
    let limit = Duration::from_secs(1);
    let client = Client::builder().insecure().open_timeout(limit);
    // Says nothing; says a byte now and then, each the start of nothing; or ends after TLS.
    for drips in [false, true] {
        let (listener, port) = listener();
        let peer = thread::spawn(move || {
            let mut stream = accept(&listener);
            let record = [&b"\x16\x03\x03\x40\0\x02\0\x3f\xfc"[..], &[0; 4000]].concat();
            if drips {
                for byte in record {
                    if stream.write_all(&[byte]).is_err() {
                        break;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
            }
            // Until the client has gone.
            while stream.read(&mut [0; 16 * 1024]).is_ok_and(|n| n > 0) {}
        });
        let start = Instant::now();
        let (error, told) = failed(&client, &format!("wss://localhost:{port}/"));
        let took = start.elapsed();
        assert!(
            matches!(error, Error::TimedOut { .. }),
            "another kind: {told}"
        );
        assert!(told.contains("no answer to TLS with localhost"), "{told}");
        assert!(took >= limit * 9 / 10 && took < limit + SLACK, "{took:?}");
        peer.join().expect("the peer");
    }
    // The same deadline goes on behind the handshake.
    let fake = Fake::new(
        &LOCALHOST,
        |_| {},
        |mut stream: Stream| {
            while stream.read(&mut [0; 1024]).is_ok_and(|n| n > 0) {}
        },
    );
    let start = Instant::now();
    let (error, told) = failed(&client, &format!("wss://localhost:{}/", fake.port));
    assert!(
        matches!(error, Error::TimedOut { .. }),
        "another kind: {told}"
    );
    assert!(told.contains("no answer from"), "{told}");
    assert!(start.elapsed() < limit + SLACK, "{:?}", start.elapsed());
    fake.join().expect("the handshake was made");
}

#[test]
fn a_server_with_old_tls_only_is_refused() {
    for (version, name) in [(SslVersion::TLS1_1, "1.1"), (SslVersion::TLS1, "1.0")] {
        let tune = |acceptor: &mut SslAcceptorBuilder| {
            acceptor.clear_options(openssl::ssl::SslOptions::NO_TLSV1);
            acceptor.clear_options(openssl::ssl::SslOptions::NO_TLSV1_1);
            acceptor.set_min_proto_version(None).unwrap();
            acceptor.set_max_proto_version(Some(version)).unwrap();
            acceptor.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        };
        let fake = Fake::new(&LOCALHOST, tune, drop);
        let client = Client::builder().ca(LOCALHOST.pem());
        let (error, told) = failed(&client, &format!("wss://localhost:{}/", fake.port));
        assert!(matches!(error, Error::Tls { .. }), "another kind: {told}");
        assert!(told.contains("TLS version"), "{name}: {told}");
        fake.join().expect_err("no version in common");

        // That server does speak the old version with who wants it.
        let fake = Fake::new(&LOCALHOST, tune, |stream: Stream| {
            stream.ssl().version_str().to_owned()
        });
        let mut old = openssl::ssl::SslConnector::builder(SslMethod::tls_client()).unwrap();
        old.set_verify(openssl::ssl::SslVerifyMode::NONE);
        old.set_min_proto_version(None).unwrap();
        old.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
        let stream = TcpStream::connect(("127.0.0.1", fake.port)).expect("connect");
        let old = old.build().connect("localhost", stream).map(drop);
        old.expect("an old client gets through");
        let spoken = fake.join().expect("a handshake");
        assert_eq!(
            spoken.replace("TLSv1.1", "1.1").replace("TLSv1", "1.0"),
            name
        );
    }
}

/// In TLS 1.3 the client learns of it when the handshake is over for it.
#[test]
fn a_server_that_wants_a_certificate_is_told_as_such() {
    use openssl::ssl::SslVerifyMode;
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let tune = |acceptor: &mut SslAcceptorBuilder| {
            acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
            acceptor.set_max_proto_version(Some(version)).unwrap();
        };
        let fake = Fake::new(&LOCALHOST, tune, drop);
        let client = Client::builder().ca(LOCALHOST.pem());
        let (_, told) = failed(&client, &format!("wss://localhost:{}/", fake.port));
        fake.join().expect_err("no certificate");
        // Before TLS 1.3 there is no alert of its own for it.
        let alert = "alert handshake failure";
        let alone = version == SslVersion::TLS1_2 && told.contains(alert);
        assert!(
            alone || told.contains("certificate of the client"),
            "{told}"
        );
    }
}

// ---- Names and addresses ----------------------------------------------------------------------

#[test]
fn names_are_indicated_and_addresses_are_not() {
    for (host, expected) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let fake = Fake::new(
            &LOCALHOST,
            |_| {},
            |stream: Stream| {
                let name = stream.ssl().servername(NameType::HOST_NAME);
                name.map(str::to_owned)
            },
        );
        let client = Client::builder().ca(LOCALHOST.pem());
        let error = client.connect(&format!("wss://{host}:{}/", fake.port));
        error.map(drop).expect_err("it closes behind the handshake");
        assert_eq!(fake.join().expect("a handshake").as_deref(), expected);
    }
}

#[test]
fn addresses_in_urls_are_checked_against_those_of_the_certificate() {
    let mut hosts = vec!["127.0.0.1"];
    if TcpListener::bind("[::1]:0").is_ok() {
        hosts.push("[::1]");
    } else {
        eprintln!("only IPv4 was tried, as this machine has no IPv6");
    }
    for host in hosts {
        let server = Server::builder(|ws| ws.send("hi"));
        let server = server
            .listen_tls(format!("{host}:0"), &LOCALHOST.tls())
            .start();
        let server = server.expect("the server starts");
        let url = format!("wss://{}/", server.local_addr());
        assert!(url.starts_with(&format!("wss://{host}:")), "{url}");
        let ws = Client::builder().ca(LOCALHOST.pem()).connect(&url);
        assert_eq!(next(&ws.expect(host)), Message::from("hi"));
        // By the name it is the same certificate, by another address it is not.
        let other = Certificate::new(&Wish {
            names: &["localhost", "127.0.0.2", "::2"],
            ..Wish::default()
        });
        let server = Server::builder(|ws| ws.send("hi"));
        let server = server.listen_tls(format!("{host}:0"), &other.tls()).start();
        let server = server.expect("the server starts");
        let client = Client::builder().ca(other.pem());
        let (_, told) = failed(&client, &format!("wss://{}/", server.local_addr()));
        let plain = host.trim_matches(['[', ']']);
        assert!(
            told.ends_with(&format!("its certificate is not for {plain}")),
            "{told}"
        );
    }
}

#[test]
fn wss_without_a_port_is_port_443() {
    // An address that nothing else of this host listens at.
    let listener = match TcpListener::bind("127.0.0.43:443") {
        Ok(listener) => listener,
        Err(why) => return eprintln!("skipped: cannot listen on port 443: {why}"),
    };
    let certificate = Certificate::new(&Wish {
        names: &["127.0.0.43"],
        ..Wish::default()
    });
    let listener = plainws::Listener::try_from(listener).expect("a listener");
    let server = Server::builder(|ws| ws.send(ws.request().header("Host").unwrap_or("none")));
    let server = server.listen_tls(listener, &certificate.tls()).start();
    let _server = server.expect("the server starts");
    for url in [
        "wss://127.0.0.43",
        "wss://127.0.0.43/",
        "wss://127.0.0.43:443/",
    ] {
        let ws = Client::builder().ca(certificate.pem()).connect(url);
        let ws = ws.unwrap_or_else(|why| panic!("{url}: {why}"));
        assert_eq!(next(&ws), Message::from("127.0.0.43"), "{url}");
    }
}

#[test]
fn what_is_given_as_the_ca_must_have_a_certificate() {
    for ca in ["", "no PEM", &LOCALHOST.key_pem(), &LOCALHOST.pem()[..300]] {
        let client = Client::builder().ca(ca);
        let fake = TcpListener::bind("127.0.0.1:0").expect("bind");
        let port = fake.local_addr().expect("an address").port();
        let (error, told) = failed(&client, &format!("wss://localhost:{port}/"));
        assert!(
            matches!(error, Error::Invalid { .. }),
            "another kind: {told}"
        );
        assert!(told.contains("BEGIN CERTIFICATE"), "{told}");
    }
}

/// Moves what there is in one direction; false when nothing could move.
fn carry(from: &mut impl Read, to: &mut impl Write, held: &mut Vec<u8>) -> io::Result<bool> {
    if held.is_empty() {
        let mut buffer = [0; 8192];
        let read = match from.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => read?,
        };
        held.extend_from_slice(&buffer[..read]);
    }
    match to.write(held) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        written => Ok(held.drain(..written?).len() > 0),
    }
}

/// Is an HTTP proxy to that port, until one of the two ends.
fn tunnel(mut client: Stream, port: u16) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let wanted = format!("CONNECT localhost:{port} HTTP/1.1\r\n");
    assert!(head.starts_with(wanted.as_bytes()), "{head:?}");
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.get_ref().set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    loop {
        let moved = carry(&mut client, &mut server, &mut up)?;
        if carry(&mut server, &mut client, &mut down)? || moved {
            continue;
        }
        // Reads go on when what was read before has left, writes when something waits.
        let flags = |read: &Vec<u8>, stuck: &Vec<u8>| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, read.is_empty());
            flags.set(PollFlags::OUT, !stuck.is_empty());
            flags
        };
        let mut fds = [
            PollFd::new(client.get_ref(), flags(&up, &down)),
            PollFd::new(&server, flags(&down, &up)),
        ];
        let patience = Timespec::try_from(PATIENCE).expect("a time");
        assert_ne!(poll(&mut fds, Some(&patience))?, 0, "nothing moves");
    }
}

/// TLS to the server goes through TLS to the proxy. More than any socket takes at once goes both ways.
#[test]
fn a_server_is_reached_by_tls_through_a_proxy_by_tls() {
    const SIZE: usize = 8 * 1024 * 1024;
    let server = Server::builder(|ws| {
        let all = ws.recv()?;
        ws.send(all)
    });
    let server = server
        .max_size(SIZE)
        .listen_tls("127.0.0.1:0", &LOCALHOST.tls());
    let server = server.start().expect("the server starts");
    let port = server.local_addr().port().expect("a port");
    let proxy = Fake::new(&LOCALHOST, |_| {}, move |stream| tunnel(stream, port));
    let client = Client::builder()
        .ca(LOCALHOST.pem())
        .max_size(SIZE)
        .proxy(&*format!("https://localhost:{}", proxy.port));
    let ws = client.connect(&format!("wss://localhost:{port}/"));
    let ws = ws.expect("a connection through the proxy");
    let message = Message::from(vec![7; SIZE]);
    ws.send(message.clone()).expect("sent");
    assert!(next(&ws) == message, "another message comes back");
    drop(ws);
    let ended = proxy.join().expect("a handshake with the proxy");
    assert_eq!(ended.expect_err("an end").kind(), ErrorKind::UnexpectedEof);
}
