//! Real peers over TLS, and our client with servers that it should not trust or cannot speak with.

use std::net::Shutdown;
use std::thread::JoinHandle;

use openssl::ssl::{
    HandshakeError, NameType, SslAcceptor, SslAcceptorBuilder, SslMethod, SslVersion,
};

use super::*;

// ---- Python -----------------------------------------------------------------------------------

/// Section 3 of the tutorial; new are `asyncio.run` and the port, which comes as an argument.
const TUTORIAL_CLIENT: &str = r#"
import asyncio
import pathlib
import ssl
import sys
import websockets

ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
localhost_pem = pathlib.Path(__file__).with_name("localhost.pem")
ssl_context.load_verify_locations(localhost_pem)

async def hello():
    uri = f"wss://localhost:{sys.argv[1]}"
    async with websockets.connect(
        uri, ssl=ssl_context
    ) as websocket:
        name = input("What's your name? ")

        await websocket.send(name)
        print(f"> {name}")

        greeting = await websocket.recv()
        print(f"< {greeting}")

asyncio.run(hello())
"#;

/// As above; new are the handler's missing `path`, `asyncio.run`, and port 0, which it tells.
const TUTORIAL_SERVER: &str = r#"
import asyncio
import pathlib
import ssl
import websockets

async def hello(websocket):
    name = await websocket.recv()
    print(f"< {name}")

    greeting = f"Hello {name}!"

    await websocket.send(greeting)
    print(f"> {greeting}")

ssl_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
localhost_pem = pathlib.Path(__file__).with_name("localhost.pem")
ssl_context.load_cert_chain(localhost_pem)

async def main():
    async with websockets.serve(hello, "127.0.0.1", 0, ssl=ssl_context) as server:
        print(f"wss://localhost:{server.sockets[0].getsockname()[1]}/")
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

#[test]
fn the_tutorials_client_talks_with_the_daemon_with_one_file_for_both() {
    let Some(python) = python::python() else {
        return;
    };
    for certificate in [
        Certificate::localhost(),
        Certificate::new(&Wish {
            rsa: true,
            ..Wish::default()
        }),
    ] {
        let folder = Folder::new();
        let file = folder.write("localhost.pem", certificate.combined());
        let script = folder.write("client.py", TUTORIAL_CLIENT);
        let (_daemon, port) = serve("hello", &file, &[]);
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"echo Rust | "$@""#, "sh"]).arg(&python);
        shell.args(["-I", "-u"]).arg(script).arg(port.to_string());
        let mut client = Daemon::spawn_group(shell);
        assert!(client.wait_exit(PATIENCE).success(), "{}", client.report());
        let lines = client.stdout_lines();
        assert_eq!(lines, ["What's your name? > Rust", "< Hello Rust!"]);
    }
}

#[test]
fn our_client_talks_with_the_tutorials_server_with_the_same_file() {
    let Some(python) = python::python() else {
        return;
    };
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let script = folder.write("server.py", TUTORIAL_SERVER);
    let mut command = Command::new(python);
    command.args(["-I", "-u"]).arg(script);
    let server = Daemon::spawn(command);
    let url = server.wait_line("wss://");
    // The key in it does not disturb who looks for certificates.
    let client = Client::builder().ca(fs::read(file).expect("the file"));
    let ws = client.connect(&url).expect("the server takes a client");
    ws.send("Rust").expect("the connection is open");
    assert_eq!(next(&ws), Message::from("Hello Rust!"));
    let closed = end(&ws);
    assert!(closed.is_normal() && closed.received_first, "{closed}");
    server.wait_line("< Rust");
    server.wait_line("> Hello Rust!");
    let untrusted = plainws::connect(&url).expect_err("the system does not trust it");
    let told = untrusted.to_string();
    assert!(told.contains("its certificate is self-signed"), "{told}");
}

const PYTHON_CLIENT: &str = r#"
import ssl, sys
from websockets.sync.client import connect

context = ssl.create_default_context(cafile=sys.argv[2])
if sys.argv[3] == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
with connect(sys.argv[1], ssl=context, max_size=2**21) as websocket:
    for size in [0, 1, 125, 126, 16383, 16384, 16385, 65535, 65536, 70000, 2**20]:
        for message in (bytes(i % 251 for i in range(size)), "\u00e9" * (size // 2)):
            websocket.send(message)
            assert websocket.recv(timeout=20) == message, size
    # Many at once.
    for number in range(1000):
        websocket.send(str(number))
    assert [websocket.recv(timeout=20) for _ in range(1000)] == [str(n) for n in range(1000)]
    print(websocket.socket.version())
print(websocket.close_code)
"#;

#[test]
fn python_echoes_through_our_server_by_both_versions() {
    let echo = |ws: &Connection| {
        for message in ws {
            ws.write(message?)?;
        }
        Ok(())
    };
    let server = Server::builder(echo).max_size(2 << 20);
    let server = server.listen_tls("127.0.0.1:0", &LOCALHOST.tls()).start();
    let server = server.expect("the server starts");
    let folder = Folder::new();
    let ca = folder.write("ca.pem", LOCALHOST.pem());
    let url = format!("wss://{}/", server.local_addr());
    for version in ["1.2", "1.3"] {
        let args = [&*url, arg(&ca), version];
        let Some(told) = python::run(PYTHON_CLIENT, &args) else {
            return;
        };
        assert_eq!(told, format!("TLSv{version}\n1000"));
    }
}

const PYTHON_SERVER: &str = r#"
import asyncio, ssl, sys
import websockets

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
if sys.argv[2] == "1.2":
    context.maximum_version = ssl.TLSVersion.TLSv1_2
if len(sys.argv) > 3:
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(sys.argv[3])

async def handler(websocket):
    tls = websocket.transport.get_extra_info("ssl_object")
    subject = dict(name for (name,) in (tls.getpeercert() or {}).get("subject", ()))
    await websocket.send(f"{tls.version()} {subject.get('commonName')}")
    async for message in websocket:
        await websocket.send(message)

async def main():
    async with websockets.serve(handler, "127.0.0.1", 0, ssl=context, max_size=2**21) as server:
        print(f"wss://localhost:{server.sockets[0].getsockname()[1]}/")
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"#;

/// A server of Python's with this certificate, and its URL; `None` when real peers are skipped.
#[track_caller]
fn python_server(
    folder: &Folder,
    certificate: &Certificate,
    more: &[&str],
) -> Option<(Daemon, String)> {
    let file = folder.write("server.pem", certificate.combined());
    let args = [&[arg(&file)], more].concat();
    let server = python::spawn(PYTHON_SERVER, &args)?;
    let url = server.wait_line("wss://");
    Some((server, url))
}

#[test]
fn our_client_echoes_through_pythons_server_by_both_versions() {
    for version in ["1.2", "1.3"] {
        let folder = Folder::new();
        let Some((_server, url)) = python_server(&folder, &LOCALHOST, &[version]) else {
            return;
        };
        let client = Client::builder().ca(LOCALHOST.pem()).max_size(2 << 20);
        let ws = client.connect(&url).expect("a client");
        assert_eq!(next(&ws), Message::from(format!("TLSv{version} None")));
        for size in [
            0,
            1,
            125,
            126,
            16_383,
            16_384,
            16_385,
            65_535,
            65_536,
            70_000,
            1 << 20,
        ] {
            let message = Message::from(vec![b'x'; size]);
            ws.send(message.clone()).expect("the connection is open");
            assert!(next(&ws) == message, "another message of {size} bytes");
        }
        for number in 0..1000 {
            ws.write(number.to_string())
                .expect("the connection is open");
        }
        ws.flush();
        for number in 0..1000 {
            assert_eq!(next(&ws), Message::from(number.to_string()));
        }
        ws.close(CloseCode::NORMAL, "").expect("a close");
        let closed = ws.closed().expect("closed");
        assert!(closed.is_normal(), "{closed}");
    }
}

/// Who is shown to servers that ask: an issuer, and a certificate for `client` that it has made.
fn client_certificate() -> (Certificate, Certificate) {
    let issuer = Certificate::new(&Wish {
        names: &["Clients"],
        is_issuer: true,
        ..Wish::default()
    });
    let client = Certificate::new(&Wish {
        names: &["client"],
        issuer: Some(&issuer),
        ..Wish::default()
    });
    (issuer, client)
}

#[test]
fn our_client_shows_its_certificate_to_pythons_server() {
    let (issuer, own) = client_certificate();
    for version in ["1.2", "1.3"] {
        let folder = Folder::new();
        let clients = folder.write("clients.pem", issuer.pem());
        let more = [version, arg(&clients)];
        let Some((_server, url)) = python_server(&folder, &LOCALHOST, &more) else {
            return;
        };
        let client = Client::builder().ca(LOCALHOST.pem());
        let shown = client.clone().identity(&own.identity()).connect(&url);
        let ws = shown.expect("the server knows the issuer");
        assert_eq!(next(&ws), Message::from(format!("TLSv{version} client")));
        // Keys in all forms, also those that native-tls would not take.
        let sec1 = Identity::from_pem(own.pem().as_bytes(), own.sec1_pem().as_bytes());
        let ws = client
            .clone()
            .identity(&sec1.expect("an identity"))
            .connect(&url);
        assert_eq!(
            next(&ws.expect("a client")),
            Message::from(format!("TLSv{version} client"))
        );
        client.connect(&url).expect_err("without one");
        let stranger = client.identity(&LOCALHOST.identity()).connect(&url);
        stranger.expect_err("one of another issuer");
    }
}

#[test]
fn our_client_shows_its_certificate_to_openssls_server() {
    let Some(openssl) = openssl() else { return };
    let (issuer, own) = client_certificate();
    let folder = Folder::new();
    let server = folder.write("server.pem", LOCALHOST.combined());
    let clients = folder.write("clients.pem", issuer.pem());
    let mut command = Command::new(openssl);
    command.args(["s_server", "-accept", "127.0.0.1:0", "-cert", arg(&server)]);
    command.args([
        "-Verify",
        "1",
        "-verify_return_error",
        "-CAfile",
        arg(&clients),
    ]);
    let server = Daemon::spawn(command);
    let line = server.wait_line("ACCEPT 127.0.0.1:");
    let port = line.rsplit(':').next().expect("a port").to_owned();
    let url = format!("wss://localhost:{port}/from-our-client");
    let client = Client::builder().ca(LOCALHOST.pem());
    let client = client.open_timeout(PATIENCE).identity(&own.identity());
    thread::scope(|scope| {
        // It answers nothing to the request, so this fails when the server is gone.
        let connecting = scope.spawn(|| client.connect(&url));
        server.wait_line("subject=CN = client");
        server.wait_line("GET /from-our-client HTTP/1.1");
        server.signal("KILL");
        connecting
            .join()
            .expect("no panic")
            .expect_err("no WebSocket");
    });
}

// ---- Servers that our client should not trust, or cannot speak with ---------------------------

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
fn insecure_takes_any_certificate_and_only_then() {
    let folder = Folder::new();
    let expired = Certificate::new(&Wish {
        names: &["example.org"],
        days: -1,
        ..Wish::default()
    });
    let Some((_server, url)) = python_server(&folder, &expired, &["1.3"]) else {
        return;
    };
    let client = Client::builder();
    client.connect(&url).expect_err("without it");
    let ws = client.clone().insecure().connect(&url).expect("with it");
    assert_eq!(next(&ws), Message::from("TLSv1.3 None"));
    client
        .connect(&url)
        .expect_err("the copy alone is insecure");
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
