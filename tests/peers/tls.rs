//! TLS with real peers: Python, the `openssl` tool, curl and Chromium.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use plainws::{Client, Identity, Message};

use crate::browser::share;
use crate::support::browser::Browser;
use crate::support::certificates::{Certificate, LOCALHOST, Wish, client_certificate};
use crate::support::files::{Folder, arg};
use crate::support::hubs::{hub, registering, wait_registered};
use crate::support::process::{Daemon, end_of, plainws_command};
use crate::support::python;
use crate::support::raw::{self, text, upgrade_request};
use crate::support::secure::Secure;
use crate::support::talk::{end, next};
use crate::support::tools::{PATIENCE, require, wait_until};

/// Starts the daemon with one listener of the application, with TLS, and gives its port.
#[track_caller]
fn serve(app: &str, certificate: &Path, more: &[&str]) -> (Daemon, u16) {
    raw::serve(app, &[&["--tls-cert", arg(certificate)], more].concat())
}

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
        shell
            .args(["-c", r#"echo Rust | "$@""#, "sh"])
            .arg(python::python());
        shell.args(["-I", "-u"]).arg(script).arg(port.to_string());
        let mut client = Daemon::spawn_group(shell);
        assert!(client.wait_exit(PATIENCE).success(), "{}", client.report());
        let lines = client.stdout_lines();
        assert_eq!(lines, ["What's your name? > Rust", "< Hello Rust!"]);
    }
}

#[test]
fn our_client_talks_with_the_tutorials_server_with_the_same_file() {
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let script = folder.write("server.py", TUTORIAL_SERVER);
    let mut command = Command::new(python::python());
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

/// A server of Python's with this certificate, and its URL.
#[track_caller]
fn python_server(folder: &Folder, certificate: &Certificate, more: &[&str]) -> (Daemon, String) {
    let file = folder.write("server.pem", certificate.combined());
    let args = [&[arg(&file)], more].concat();
    let server = python::spawn(PYTHON_SERVER, &args);
    let url = server.wait_line("wss://");
    (server, url)
}

#[test]
fn our_client_shows_its_certificate_to_pythons_server() {
    let (issuer, own) = client_certificate();
    for version in ["1.2", "1.3"] {
        let folder = Folder::new();
        let clients = folder.write("clients.pem", issuer.pem());
        let more = [version, arg(&clients)];
        let (_server, url) = python_server(&folder, &LOCALHOST, &more);
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

// ---- Python's ssl and its libssl --------------------------------------------------------------

#[test]
fn pythons_ssl_sees_a_clean_end() {
    const SCRIPT: &str = r#"
import socket, ssl, sys

context = ssl.create_default_context(cafile=sys.argv[2])
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
with context.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False) as tls:
    tls.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    size = 0
    # An end without close_notify raises SSLEOFError here.
    while data := tls.recv(65536):
        size += len(data)
    print(tls.version(), size > 1000)
"#;
    let (folder, _daemon, port) = daemon("counter");
    let ca = folder.path("ca.pem");
    let told = python::run(SCRIPT, &[&port.to_string(), arg(&ca)]);
    assert_eq!(told, "TLSv1.3 True");
}

/// Speaks TLS by Python's own libssl, as its `ssl` cannot ask for new keys; `answers` of the
/// server are asked for, or not.
const KEY_UPDATES: &str = r#"
import _ssl, ctypes, socket, sys

lib = ctypes.CDLL(_ssl.__file__)
P, I = ctypes.c_void_p, ctypes.c_int
lib.TLS_client_method.restype = lib.SSL_CTX_new.restype = lib.SSL_new.restype = P
lib.SSL_CTX_new.argtypes = lib.SSL_new.argtypes = [P]
lib.SSL_connect.argtypes = lib.SSL_do_handshake.argtypes = [P]
lib.SSL_set_fd.argtypes = lib.SSL_key_update.argtypes = [P, I]
lib.SSL_write.argtypes = lib.SSL_read.argtypes = [P, ctypes.c_char_p, I]

sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
ssl = lib.SSL_new(lib.SSL_CTX_new(lib.TLS_client_method()))
lib.SSL_set_fd(ssl, sock.fileno())
assert lib.SSL_connect(ssl) == 1
request = sys.argv[2].encode()
assert lib.SSL_write(ssl, request, len(request)) == len(request)
buffer = ctypes.create_string_buffer(16384)
assert lib.SSL_read(ssl, buffer, 16384) > 0
print("flooding")
while lib.SSL_key_update(ssl, int(sys.argv[3])) == 1 and lib.SSL_do_handshake(ssl) == 1:
    pass
print("cut")
"#;

#[test]
fn a_flood_of_key_updates_holds_up_nobody() {
    let hub = hub(());
    let server = registering(&hub)
        .listen_tls("127.0.0.1:0", &LOCALHOST.tls())
        .start();
    let port = server.as_ref().expect("it starts").local_addr().port();
    let port = port.expect("a port");
    let mut other = Secure::upgrade(port, "/");
    wait_registered(&hub, 1);
    let request = upgrade_request("/", "");
    // With answers asked for, which are not read, and without.
    for answers in ["1", "0"] {
        let flood = python::spawn(KEY_UPDATES, &[&port.to_string(), &request, answers]);
        flood.wait_line("flooding");
        wait_registered(&hub, 2);
        let (mut worst, start) = (Duration::ZERO, Instant::now());
        for number in 0.. {
            let sent = Instant::now();
            hub.broadcast(format!("{number}"));
            assert_eq!(other.message().text(), number.to_string());
            worst = worst.max(sent.elapsed());
            if start.elapsed() > Duration::from_secs(4) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let limit = Duration::from_secs(2);
        assert!(worst < limit, "answers {answers}: a message took {worst:?}");
        drop(flood);
        wait_registered(&hub, 1);
    }
}

// ---- openssl and curl -------------------------------------------------------------------------

fn openssl() -> Command {
    Command::new(require("openssl", "apt-get install openssl"))
}

/// The daemon with a certificate for localhost, which is `ca.pem` in the folder.
#[track_caller]
fn daemon(app: &str) -> (Folder, Daemon, u16) {
    let folder = Folder::new();
    folder.write("ca.pem", LOCALHOST.pem());
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (daemon, port) = serve(app, &file, &["-v"]);
    (folder, daemon, port)
}

/// `openssl s_client` with this as its input, which stays open; behind it comes its output.
fn s_client(port: u16, options: &[&str], input: &str) -> Daemon {
    let mut shell = Command::new("sh");
    let script = r#"input=$1; shift; { printf %s "$input"; cat; } | "$@" 2>&1"#;
    shell.args(["-c", script, "sh", input]);
    shell
        .arg(openssl().get_program())
        .args(["s_client", "-servername", "localhost"]);
    shell.args(["-connect", &format!("127.0.0.1:{port}")]);
    shell.args(options);
    Daemon::spawn_group(shell)
}

#[test]
fn openssl_gets_a_page_and_a_clean_end_by_tls_1_3_and_1_2() {
    let (folder, _daemon, port) = daemon("hello");
    let ca = folder.path("ca.pem");
    for (option, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let options = [
            option,
            "-ign_eof",
            "-CAfile",
            arg(&ca),
            "-verify_return_error",
        ];
        let request = raw::get("/healthz", "");
        let client = s_client(port, &options, &request);
        client.wait_line("closed");
        let told = client.stdout_lines().join("\n");
        let version = format!("New, {version}, Cipher is ");
        for part in [&*version, "Verification: OK", "HTTP/1.1 200 OK", "\nok"] {
            assert!(told.contains(part), "{part} in {told}");
        }
        // Without close_notify it would be an unexpected end.
        assert!(
            !told.contains("unexpected eof") && !told.contains("error"),
            "{told}"
        );
    }
}

#[test]
fn new_keys_are_taken_and_another_handshake_is_refused() {
    let (_folder, daemon, port) = daemon("counter");
    let mut other = Secure::upgrade(port, "/counter");
    let updating = s_client(port, &["-tls1_3"], "K\n");
    updating.wait_line("KEYUPDATE");
    let renegotiating = s_client(port, &["-tls1_2"], "R\n");
    renegotiating.wait_line("no renegotiation");
    other.send(&text(r#"{"action":"plus"}"#));
    while !other.message().text().contains(r#""value":1"#) {}
    assert!(updating.is_running(), "{}", updating.report());
    drop((updating, renegotiating));
    wait_until("the end of their threads", PATIENCE, || {
        (daemon.clients() == 1).then_some(())
    });
}

#[test]
fn our_client_shows_its_certificate_to_openssls_server() {
    let (issuer, own) = client_certificate();
    let folder = Folder::new();
    let server = folder.write("server.pem", LOCALHOST.combined());
    let clients = folder.write("clients.pem", issuer.pem());
    let mut command = openssl();
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
        let failed = connecting.join().expect("no panic");
        failed.expect_err("no WebSocket");
    });
}

#[test]
fn what_openssl_made_too_old_or_too_weak_is_refused() {
    let folder = Folder::new();
    let make = |mut command: Command| {
        let mut make = Daemon::spawn({
            command.current_dir(folder.path(""));
            command
        });
        assert!(make.wait_exit(PATIENCE).success(), "{}", make.report());
    };
    folder.write("localhost.pem", LOCALHOST.combined());
    let mut export = openssl();
    export.args(["pkcs12", "-export", "-legacy", "-passout", "pass:secret"]);
    make({
        export.args(["-in", "localhost.pem", "-out", "legacy.p12"]);
        export
    });
    let why = Identity::from_pkcs12_file(folder.path("legacy.p12"), "secret");
    let why = why.expect_err("RC2").to_string();
    assert!(
        why.contains("too old") && why.contains("openssl pkcs12 -legacy"),
        "{why}"
    );
    let mut weak = openssl();
    weak.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:1024",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]);
    make({
        weak.args(["-keyout", "weak.key", "-out", "weak.pem"]);
        weak
    });
    let (certificate, key) = (folder.arg("weak.pem"), folder.arg("weak.key"));
    let args = [
        "serve",
        "--listen=127.0.0.1:0",
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    let (code, lines) = end_of(plainws_command(&args));
    assert_eq!((code, lines.len()), (1, 1), "{lines:#?}");
    assert!(lines[0].contains(&certificate), "{lines:#?}");
    assert!(
        lines[0].contains("too small") || lines[0].contains("too short"),
        "{lines:#?}"
    );
}

#[test]
fn curl_gets_the_page_over_https_and_a_hint_over_http() {
    let (folder, daemon, port) = daemon("counter");
    let ca = folder.arg("ca.pem");
    for (options, scheme, code, told) in [
        (
            &["--cacert", &*ca][..],
            "https",
            0,
            ["HTTP/1.1 200 OK", "<h1>Counter</h1>"],
        ),
        (&[], "http", 0, ["HTTP/1.1 400 ", "https://"]),
        // The server's certificate cannot be checked.
        (&[], "https", 60, ["curl: (60)", "self"]),
    ] {
        let mut curl = Command::new(require("curl", "apt-get install curl"));
        curl.args(["-sS", "-i", "--noproxy", "*"]).args(options);
        curl.arg(format!("{scheme}://localhost:{port}/"));
        let mut curl = Daemon::spawn(curl);
        assert_eq!(
            curl.wait_exit(PATIENCE).code(),
            Some(code),
            "{}",
            curl.report()
        );
        for told in told {
            assert!(curl.report().contains(told), "{told}: {}", curl.report());
        }
    }
    daemon.wait_line("handshake refused with 400: this port speaks TLS");
    daemon.wait_line("handshake failed: TLS: the client does not trust the certificate");
}

// ---- Chromium ---------------------------------------------------------------------------------

#[test]
fn two_counter_pages_over_https_show_the_same_value_and_users() {
    let certificate = Certificate::localhost();
    // This one key is trusted, and no other.
    let trust = certificate.spki_hash();
    let trust = format!("--ignore-certificate-errors-spki-list={trust}");
    let browser = Browser::open_with(&[&trust]);
    let folder = Folder::new();
    let file = folder.write("localhost.pem", certificate.combined());
    let (daemon, port) = serve("counter", &file, &["-v"]);
    share(&browser, &format!("https://127.0.0.1:{port}/"));
    let tab = browser.tab(&format!("https://localhost:{port}/"));
    tab.wait_text("#value", "-1");
    assert_eq!(tab.script("return location.protocol"), "https:");
    // The only listener has TLS, and these are WebSockets and no pages.
    let opened = |line: &String| line.ends_with(" / opened");
    let opened = daemon.lines().into_iter().filter(opened).count();
    assert!(opened >= 4, "{}", daemon.report());
}

#[test]
fn a_page_over_https_whose_certificate_is_not_trusted_is_not_shown() {
    let other = Certificate::localhost().spki_hash();
    let trust = format!("--ignore-certificate-errors-spki-list={other}");
    let browser = Browser::open_with(&[&trust]);
    let folder = Folder::new();
    let file = folder.write("localhost.pem", LOCALHOST.combined());
    let (daemon, port) = serve("counter", &file, &["-v"]);
    // Instead of it comes the browser's warning.
    let tab = browser.tab(&format!("https://127.0.0.1:{port}/"));
    let shown = tab.text("body");
    assert!(shown.contains("ERR_CERT_AUTHORITY_INVALID"), "{shown}");
    let line = daemon.wait_line("handshake failed: TLS: ");
    assert!(
        line.ends_with("the client does not trust the certificate"),
        "{line}"
    );
}
